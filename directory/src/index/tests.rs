use proptest::prelude::*;

use super::Index;
use crate::{
    Change, Kind, Person, State,
    name::search_form as normal,
    testing::{DOMAIN, Lab, OTHER, account, alias, domain, group, id, user},
};

/// Users anna, bob, carl; a contact; aliases, patterns and groups of every sort.
fn lab() -> Lab {
    let mut lab = Lab::new();
    let mut contact = account(13, "Pat Partner", Kind::Contact(Person::default()));
    contact.addresses = vec!["pat@example.test".into(), "Pat@Remote.test".into()];
    let mut off = alias(39, "off", &["anna"]);
    off.state = State::Disabled("test".into());
    let mut elsewhere = alias(38, "sales", &["anna@example.test", "bob"]);
    elsewhere.domain = OTHER;
    for account in [
        user(10, "anna", &["a.smith"]),
        user(11, "bob", &["bob@other.test"]),
        user(12, "carl", &[]),
        contact,
        group(20, "Team", &["team"], &[10, 11, 13]),
        group(21, "Silent", &[], &[10]),
        group(22, "Outer", &["outer"], &[23]),
        group(23, "Inner", &["inner"], &[12, 22]),
        group(24, "Same", &["carl"], &[11]),
        alias(30, "info", &["anna"]),
        alias(31, "info", &["Someone@Remote.test"]),
        alias(32, "info*", &["bob"]),
        alias(33, "in?o", &["carl"]),
        alias(34, "chain1", &["chain2"]),
        alias(35, "chain2", &["chain3@example.org", "team"]),
        alias(36, "chain3", &["a.smith"]),
        alias(37, "nowhere", &["nobody"]),
        elsewhere,
        off,
    ] {
        lab.put(account);
    }
    lab
}

#[test]
fn mail_goes_where_the_facts_of_12_3_say() {
    let lab = lab();
    for (address, want) in [
        // users: name, addresses, case, domain aliases, other domains
        ("anna@example.test", &["anna"][..]),
        ("ANNA@Example.TEST", &["anna"]),
        ("\"anna\"@example.org", &["anna"]),
        ("a.smith@example.org", &["anna"]),
        ("anna", &["anna"]),
        ("anna@other.test", &[]),
        ("bob@other.test", &["bob"]),
        ("nobody@example.test", &[]),
        ("x@remote.test", &["x@remote.test"]),
        ("X.y@Remote.test", &["X.y@remote.test"]),
        ("not an address", &[]),
        ("@example.test", &[]),
        // F12.3-1, F12.3-4: targets of any kind, the same alias twice, chains
        ("info@example.test", &["Someone@remote.test", "anna"]),
        ("chain1@example.test", &["Pat@remote.test", "anna", "bob"]),
        ("sales@other.test", &["anna", "bob"]),
        ("nowhere@example.test", &[]),
        ("off@example.test", &[]),
        // F12.3-2, F12.3-6: wildcards, exact first, the most specific one only
        ("infos@example.test", &["bob"]),
        ("info.desk@example.test", &["bob"]),
        ("inxo@example.test", &["bob", "carl"]), // carl is a user and a group
        ("inf@example.test", &[]),
        // groups: with an address, without one, nested in a circle, contacts as members
        ("team@example.test", &["Pat@remote.test", "anna", "bob"]),
        ("silent@example.test", &[]),
        ("outer@example.test", &["carl"]),
        ("inner@example.test", &["carl"]),
        ("pat@example.test", &["Pat@remote.test"]),
        // F9.1-2: a user and a group of one name, both receive
        ("carl@example.test", &["bob", "carl"]),
    ] {
        assert_eq!(lab.targets(address), want, "{address}");
    }
}

#[test]
fn loops_end_in_the_last_mailbox_on_the_way() {
    let mut lab = Lab::new();
    for account in [
        user(10, "anna", &[]),
        user(11, "bob", &[]),
        user(12, "carl", &[]),
        alias(30, "anna", &["anna", "bob"]),
        alias(31, "a", &["b"]),
        alias(32, "b", &["c"]),
        alias(33, "c", &["a"]),
        alias(34, "carl", &["d"]),
        alias(35, "d", &["carl"]),
        alias(36, "e", &["f", "g"]),
        alias(37, "f", &["h"]),
        alias(38, "g", &["h"]),
        alias(39, "h", &["bob"]),
        alias(40, "w*", &["wx", "bob"]),
        alias(41, "self", &["self"]),
    ] {
        lab.put(account);
    }
    for (address, want) in [
        ("anna@example.test", &["anna", "bob"][..]), // a copy
        ("a@example.test", &[]),                     // nobody has a mailbox
        ("carl@example.test", &["carl"]),            // d has none, carl has
        ("d@example.test", &["carl"]),
        ("e@example.test", &["bob"]), // two ways to one place are no loop
        ("wx@example.test", &["bob"]),
        ("self@example.test", &[]),
    ] {
        assert_eq!(lab.targets(address), want, "{address}");
    }
    let resolution = lab.live.index.read().resolve("d@example.test");
    let steps: Vec<_> =
        resolution.steps.iter().map(|s| (s.address.as_str(), s.found.as_str())).collect();
    assert_eq!(
        steps,
        [
            ("d@example.test", "alias d → carl"),
            ("carl@example.test", "alias carl → d"),
            ("d@example.test", "already visited"),
            ("carl@example.test", "user carl"),
        ]
    );
}

#[test]
fn the_catch_all_takes_what_nobody_else_takes() {
    let mut lab = lab();
    lab.put(alias(50, "*", &["carl@example.test"]));
    for (address, want) in [
        ("whoever@example.test", &["bob", "carl"][..]), // carl is a user and a group
        ("anna@example.test", &["anna"]),
        ("off@example.test", &["bob", "carl"]),
        ("silent@example.test", &["bob", "carl"]),
        ("infos@example.test", &["bob"]),
        ("nowhere@example.test", &["bob", "carl"]),
        ("whoever@other.test", &[]),
    ] {
        assert_eq!(lab.targets(address), want, "{address}");
    }
    assert!(lab.live.index.read().login("whoever").is_none(), "no sign-on by wildcard");
}

#[test]
fn sending_as_needs_an_own_address() {
    let lab = lab();
    let index = lab.live.index.read();
    for (address, want) in [
        ("anna@example.test", true),
        ("A.Smith@example.org", true),
        ("team@example.test", false),
        ("info@example.test", false),
        ("bob@example.test", false),
        ("anna@other.test", false),
        ("anna@remote.test", false),
        ("anna", false),
    ] {
        assert_eq!(index.may_send_as(id(10), address), want, "{address}");
    }
}

#[test]
fn long_ways_and_many_targets_end_at_a_limit_that_is_told() {
    let mut lab = Lab::new();
    lab.put(user(9, "end", &[]));
    for n in 0..40u128 {
        let target = if n == 39 { "end".into() } else { format!("x{}", n + 1) };
        lab.put(alias(100 + n, &format!("x{n}"), &[&target]));
        lab.put(group(200 + n, &format!("g{n}"), &[&format!("g{n}")], &[201 + n]));
    }
    for (address, limited) in [("x0", true), ("x10", false), ("g0", true), ("x39", false)] {
        let found = lab.live.index.read().resolve(&format!("{address}@example.test"));
        assert_eq!(found.limit.is_some(), limited, "{address}: {found:?}");
    }
    assert_eq!(lab.targets("x10@example.test"), ["end"]);

    let mut index = Index::default();
    index.set_domains(vec![domain(DOMAIN, "example.test", &[])]);
    let members: Vec<u128> = (1_000..11_050).collect();
    for n in &members {
        index.put_account(user(*n, &format!("u{n}"), &[]));
    }
    index.put_account(group(1, "all", &["all"], &members));
    let found = index.resolve("all@example.test");
    assert_eq!(found.targets.len(), 10_000);
    assert_eq!(found.limit.as_deref(), Some("more than 10000 targets"));
}

#[test]
fn postmaster_without_an_alias_reaches_the_administrators() {
    let mut lab = Lab::new();
    lab.put(crate::testing::admin(10, "root"));
    assert_eq!(lab.targets("postmaster@example.test"), ["root"]);
    assert_eq!(lab.targets("Postmaster@other.test"), ["root"]);
    lab.put(user(11, "bob", &[]));
    lab.put(alias(12, "postmaster", &["bob"]));
    assert_eq!(lab.targets("postmaster@example.test"), ["bob"]);
}

#[test]
fn a_resolution_says_what_it_found() {
    let lab = lab();
    let index = lab.live.index.read();
    for (address, want) in [
        ("anna@example.test", "user anna"),
        ("infos@example.test", "alias info* → bob"),
        ("team@example.test", "group team (3 members)"),
        ("nobody@example.test", "nobody has this name"),
        ("x@remote.test", "an address elsewhere"),
        ("x@", "not an address"),
        ("pat@example.test", "contact pat partner → Pat@remote.test"),
    ] {
        let found = index.resolve(address);
        assert_eq!(found.steps.first().map(|s| s.found.as_str()), Some(want), "{address}");
        assert_eq!(found.local_domain, address.ends_with("example.test"), "{address}");
    }
}

#[test]
fn people_are_found_by_part_of_name_mail_and_phone() {
    let mut lab = Lab::new();
    let mut anna = user(10, "anna", &["a.smith"]);
    anna.display_name = "Ánna   Müller-Smith".into();
    if let Kind::User(user) = &mut anna.kind {
        user.person.phone = "+49 (30) 123-4567".into();
        user.person.mobile = "0170 99".into();
        user.person.surname = "Müller".into();
    }
    lab.put(anna);
    lab.put(user(11, "bob", &[]));
    for (text, want) in [
        ("ánna müller", true),
        ("ÁNNA  MÜLLER", true),
        ("smith@exam", true),
        ("123-4567", true),
        ("1234567", true),
        ("+49(30)123", true),
        ("01709", true),
        ("bob", false),
        ("smith\nanna", true), // white space of any kind is a space, and it spans no fields
        ("nobody", false),
    ] {
        let index = lab.live.index.read();
        let found = index.containing(&[text.into()]).iter().any(|e| e.account.id == id(10));
        assert_eq!(found, want && text != "smith\nanna", "{text:?}");
    }
    lab.ok(Change::RemoveAccount(id(10)));
    assert!(lab.live.index.read().containing(&["smith".into()]).is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    /// The arena against reading everything, while people come, change and go.
    #[test]
    fn search_finds_what_a_scan_finds(
        changes in prop::collection::vec((0u128..40, prop::option::of("[a-cA-C ü]{0,60}")), 1..300),
        needle in "[a-cü ]{1,6}",
    ) {
        let mut index = Index::default();
        index.set_domains(vec![domain(DOMAIN, "example.test", &[])]);
        for (number, name) in changes {
            match name {
                None => index.remove_account(id(number)),
                Some(name) => {
                    let mut account = user(number, &format!("u{number}"), &[]);
                    account.display_name = name.repeat(40);
                    index.put_account(account);
                }
            }
        }
        let any = [needle.clone(), "u7@".to_owned()];
        let mut found: Vec<_> = index.containing(&any).iter().map(|e| e.account.id).collect();
        found.sort();
        let wanted: Vec<String> = any.iter().map(|n| normal(n)).collect();
        let mut scan: Vec<_> = index
            .entries
            .values()
            .filter(|e| {
                let text = super::arena::text(e, "example.test");
                wanted.iter().any(|needle| needle.is_empty() || text.contains(needle))
            })
            .map(|e| e.account.id)
            .collect();
        scan.sort();
        prop_assert_eq!(found, scan);
    }
}

#[test]
fn a_bounded_search_says_whether_it_found_all() {
    let mut index = Index::default();
    index.set_domains(vec![domain(DOMAIN, "example.test", &[])]);
    for n in 0..50 {
        index.put_account(user(n, &format!("u{n}"), &[]));
    }
    for (any, limit, found, all) in [
        (&["u"][..], 10, 10, false),
        (&["u"], 50, 50, true),
        (&["u4"], 10, 10, false),
        (&["u4"], 11, 11, true),
        (&["u11@", "u12@"], 1, 2, true),
        (&[], 10, 10, false),
        (&[], 50, 50, true),
        (&["nobody"], 1, 0, true),
    ] {
        let any: Vec<String> = any.iter().map(|t| (*t).to_owned()).collect();
        let (entries, complete) = index.some_containing(&any, limit);
        assert_eq!((entries.len(), complete), (found, all), "{any:?} {limit}");
    }
}
