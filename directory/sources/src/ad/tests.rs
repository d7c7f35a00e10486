use posthouse_cluster::Timestamp;

use super::*;

const GUID: [u8; 16] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16];

fn entry(dn: &str, attributes: &[(&str, &[&str])]) -> Entry {
    let values = |values: &[&str]| values.iter().map(|v| v.as_bytes().to_vec()).collect();
    let guid = ("objectGUID".to_owned(), vec![GUID.to_vec()]);
    let named = attributes.iter().map(|(name, list)| ((*name).to_owned(), values(list)));
    Entry::new(dn, std::iter::once(guid).chain(named))
}

fn user(attributes: &[(&str, &[&str])]) -> MappedEntry {
    let mut all = vec![
        ("objectClass", &["top", "person", "organizationalPerson", "user"][..]),
        ("sAMAccountName", &["Alice"][..]),
        ("cn", &["Alice Adler"][..]),
    ];
    all.extend_from_slice(attributes);
    map(&entry("CN=Alice Adler,OU=People,DC=ad,DC=test", &all)).unwrap()
}

fn as_user(entry: &MappedEntry) -> &Users {
    match &entry.kind {
        MappedKind::User(user) => user,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_key_is_the_guid_and_names_are_lower_case() {
    let mapped = user(&[("userPrincipalName", &["Alice@Corp.Example.Test"])]);
    assert_eq!(mapped.key, GUID);
    assert_eq!(mapped.dn, "CN=Alice Adler,OU=People,DC=ad,DC=test");
    assert_eq!(mapped.display_name, "Alice Adler", "cn stands in for displayName");
    assert_eq!(as_user(&mapped).account_name, "alice");
    assert_eq!(as_user(&mapped).principal_name, "alice@corp.example.test");
    assert_eq!(guid_text(&mapped.key), "04030201-0605-0807-090a-0b0c0d0e0f10");
}

#[test]
fn addresses_come_primary_first_and_each_once() {
    for (mail, proxies, want) in [
        ("", &[][..], &[][..]),
        ("A@x.test", &[], &["a@x.test"]),
        ("a@x.test", &["smtp:b@x.test", "SMTP:A@x.test"], &["a@x.test", "b@x.test"]),
        ("a@x.test", &["SMTP:b@x.test"], &["b@x.test", "a@x.test"]),
        ("", &["X400:c=DE;s=A", "smtp:b@x.test", "SIP:b@x.test"], &["b@x.test"]),
        ("not an address", &["smtp:", "smtp"], &[]),
        ("a@x.test", &["smtp:a@x.test", "smtp:A@X.test"], &["a@x.test"]),
    ] {
        let mapped = user(&[("mail", &[mail]), ("proxyAddresses", proxies)]);
        assert_eq!(mapped.addresses, want, "{mail} {proxies:?}");
    }
}

#[test]
fn disabled_and_expiring_accounts_are_told() {
    for (control, disabled) in
        [("512", false), ("514", true), ("66050", true), ("", false), ("x", false)]
    {
        let mapped = user(&[("userAccountControl", &[control])]);
        assert_eq!(as_user(&mapped).disabled, disabled, "{control}");
    }
    for (expires, want) in [
        ("0", None),
        ("9223372036854775807", None),
        ("116444736000000000", Some(Timestamp(0))),
        ("134399887446685790", Some(Timestamp(1_795_515_144_668))),
        ("1", Some(Timestamp(0))),
        ("-5", Some(Timestamp(0))),
        ("soon", None),
    ] {
        let mapped = user(&[("accountExpires", &[expires])]);
        assert_eq!(as_user(&mapped).expires, want, "{expires}");
    }
}

#[test]
fn what_the_address_book_shows_is_mapped() {
    let mapped = user(&[
        ("givenName", &["Alice"]),
        ("sn", &["Adler"]),
        ("title", &["Engineer"]),
        ("department", &["Research"]),
        ("company", &["Example"]),
        ("physicalDeliveryOfficeName", &["B 12"]),
        ("telephoneNumber", &["+49 30 1"]),
        ("mobile", &["+49 170 1"]),
        ("streetAddress", &["Lindenweg 1\r\nHof"]),
        ("postalCode", &["10115"]),
        ("l", &["Berlin"]),
        ("co", &["Germany"]),
    ]);
    let person = &as_user(&mapped).person;
    assert_eq!(person.surname, "Adler");
    assert_eq!(person.office, "B 12");
    assert_eq!(person.mobile, "+49 170 1");
    assert_eq!(person.postal_address, "Lindenweg 1\nHof\n10115 Berlin\nGermany");
    assert_eq!(as_user(&user(&[("l", &["Berlin"])])).person.postal_address, "Berlin");
}

#[test]
fn members_are_known_by_guid() {
    let named = "<GUID=04030201-0605-0807-090a-0b0c0d0e0f10>;<SID=S-1-5-21-1>;CN=A\\, B,DC=x";
    let group = entry(
        "<GUID=04030201-0605-0807-090a-0b0c0d0e0f10>;CN=staff,DC=x",
        &[
            ("objectClass", &["top", "group"]),
            ("sAMAccountName", &["Staff"]),
            ("member;range=0-*", &[named, "CN=without guid,DC=x", named]),
        ],
    );
    assert_eq!(group.more_members, None);
    assert_eq!(group.dn, "CN=staff,DC=x");
    let mapped = map(&group).unwrap();
    let want = MappedKind::Group { name: "Staff".into(), members: vec![GUID.to_vec()] };
    assert_eq!(mapped.kind, want);
}

#[test]
fn a_range_says_where_it_goes_on() {
    for (attribute, more) in [
        ("member", None),
        ("member;range=0-*", None),
        ("member;range=0-1499", Some(1_500)),
        ("member;Range=1500-2999", Some(3_000)),
        ("member;range=0-4294967295", None),
        ("member;range=x", None),
    ] {
        assert_eq!(entry("CN=g", &[(attribute, &["a"])]).more_members, more, "{attribute}");
    }
}

#[test]
fn extended_names_are_taken_apart() {
    for (text, guid, plain) in [
        ("CN=a", false, "CN=a"),
        ("<SID=S-1>;CN=a", false, "CN=a"),
        ("<GUID=04030201-0605-0807-090a-0b0c0d0e0f10>;CN=a", true, "CN=a"),
        ("<GUID=04030201060508070 90a>;CN=a", false, "CN=a"),
        (
            "<GUID=04030201-0605-0807-090a-0b0c0d0e0f10>",
            false,
            "<GUID=04030201-0605-0807-090a-0b0c0d0e0f10>",
        ),
        ("", false, ""),
    ] {
        assert_eq!(split_extended_dn(text), (guid.then_some(GUID), plain), "{text}");
    }
}

#[test]
fn what_cannot_be_known_again_is_skipped() {
    let no_guid = Entry::new("CN=a", [("objectClass".into(), vec![b"user".to_vec()])]);
    assert_eq!(map(&no_guid), Err(Skipped::NoKey("CN=a".into())));
    let short = Entry::new("CN=a", [("objectGUID".into(), vec![vec![1, 2]])]);
    assert_eq!(map(&short), Err(Skipped::NoKey("CN=a".into())));
    let nameless = entry("CN=a", &[("objectClass", &["user"])]);
    assert_eq!(map(&nameless), Err(Skipped::NoName("CN=a".into())));
    let other = entry("CN=a", &[("objectClass", &["printQueue"])]);
    assert_eq!(map(&other), Err(Skipped::OtherKind("CN=a".into())));
}

#[test]
fn an_administrators_filter_only_narrows_down() {
    for good in ["", " (mail=*) ", "(|(a=1)(b=2))", "(cn=a\\2ab)"] {
        let filter = accounts_filter(good).unwrap();
        assert!(ldap3::parse_filter(&filter).is_ok(), "{filter}");
    }
    for bad in ["mail=*", "(mail=*", "(a=1)(b=2)", "(a=1))(|(b=2)", "(a=1))", "()", "(&)x"] {
        assert!(accounts_filter(bad).is_err(), "{bad}");
    }
}

#[test]
fn names_in_filters_are_escaped() {
    let filter = groups_of_filter(["CN=a*)(objectClass=*\\,DC=x\0"]);
    assert!(filter.contains("(member=CN=a\\2a\\29\\28objectClass=\\2a\\5c,DC=x\\00)"), "{filter}");
    assert!(ldap3::parse_filter(filter).is_ok());
}
