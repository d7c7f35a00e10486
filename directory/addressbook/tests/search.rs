//! Searches as a client sees them, over TLS, with another implementation of LDAP on the other side.
#![allow(clippy::unwrap_used)]

mod support;

use ldap3::{Ldap, LdapConnAsync, LdapConnSettings, ResultEntry, Scope, SearchEntry};
use support::{Book, PASSWORD};

async fn connect(book: &Book) -> Ldap {
    let settings = LdapConnSettings::new().set_no_tls_verify(true);
    let url = format!("ldaps://localhost:{}", book.tls.port());
    let (driver, ldap) = LdapConnAsync::with_settings(settings, &url).await.unwrap();
    ldap3::drive!(driver);
    ldap
}

async fn signed_on(book: &Book) -> Ldap {
    let mut ldap = connect(book).await;
    ldap.simple_bind("anna@example.test", PASSWORD).await.unwrap().success().unwrap();
    ldap
}

const BASE: &str = "dc=example,dc=test";

async fn names(ldap: &mut Ldap, base: &str, scope: Scope, filter: &str) -> (Vec<String>, u32) {
    let found = ldap.search(base, scope, filter, vec!["1.1"]).await.unwrap();
    let mut names: Vec<String> = found
        .0
        .into_iter()
        .map(|entry: ResultEntry| SearchEntry::construct(entry).dn)
        .map(|dn| dn.split(',').next().unwrap().trim_end_matches('\\').to_owned())
        .map(|rdn| if rdn.starts_with("entryUUID") { "pat".into() } else { rdn })
        .collect();
    names.sort();
    (names, found.1.rc)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filters_find_whom_they_should() {
    let book = Book::open().await;
    let mut ldap = signed_on(&book).await;
    let all = "ou=groups ou=people dc=example uid=anna uid=anna@other.test uid=bob cn=team pat";
    for (filter, want) in [
        ("(cn=anna müller)", "uid=anna"),
        ("(CN=ANNA  MÜLLER )", "uid=anna"),
        ("(cn=anna)", ""),
        ("(cn=anna*)", "uid=anna uid=anna@other.test"),
        ("(cn=*smith*)", "uid=bob"),
        ("(cn=b*smith*jones)", "uid=bob"),
        ("(cn=*jones*smith*)", ""),
        ("(commonName=*ller)", "uid=anna"),
        ("(2.5.4.3=the team)", "cn=team"),
        ("(cn=pat, partner\\2bco)", "pat"),
        ("(sn=smith-jones)", "uid=bob"),
        ("(mail=a.mueller@example.test)", "uid=anna"),
        ("(mail=anna@*)", "uid=anna uid=anna@other.test"),
        ("(mail=pat@remote.test)", "pat"),
        ("(uid=anna@other.test)", "uid=anna@other.test"),
        ("(telephoneNumber=+49301234567)", "uid=anna"),
        ("(telephoneNumber=*123 45*)", "uid=anna"),
        ("(mobile=*9988)", "uid=anna"),
        ("(title=*tests*)", "uid=anna"),
        ("(title=*)", "uid=anna"),
        ("(department=quality)", "uid=anna"),
        ("(o=example)", "uid=anna"),
        ("(givenName>=b)", "uid=bob pat"),
        ("(givenName<=b)", "uid=anna uid=anna@other.test"),
        ("(cn~=mul ann)", ""),
        ("(cn~=mül ann)", "uid=anna"),
        ("(objectClass=groupOfNames)", "cn=team"),
        ("(objectClass=2.5.6.9)", "cn=team"),
        ("(objectClass=person)", "uid=anna uid=anna@other.test uid=bob pat"),
        ("(objectClass=*)", all),
        ("(objectClass=domain)", "dc=example"),
        ("(member=uid=anna,ou=people,dc=example,dc=test)", "cn=team"),
        ("(member=uid=nobody,ou=people,dc=example,dc=test)", ""),
        ("(memberOf=cn=team,ou=groups,dc=example,dc=test)", "uid=anna uid=bob pat"),
        ("(modifyTimestamp>=20000101000000Z)", "uid=anna uid=anna@other.test uid=bob cn=team pat"),
        ("(modifyTimestamp<=20000101000000Z)", ""),
        // combinations and the third truth value
        ("(&(givenName=anna)(mail=*other*))", "uid=anna@other.test"),
        ("(|(givenName=bob)(cn=the team))", "uid=bob cn=team"),
        ("(&(objectClass=person)(!(givenName=anna)))", "uid=bob pat"),
        ("(noSuchAttribute=x)", ""),
        ("(!(noSuchAttribute=x))", ""),
        ("(|(noSuchAttribute=x)(uid=bob))", "uid=bob"),
        ("(&(noSuchAttribute=x)(uid=bob))", ""),
        ("(!(&(noSuchAttribute=x)(uid=nobody)))", all),
        ("(cn;lang-de=anna*)", ""),
        ("(&)", all),
        ("(|)", ""),
        // extensible matching
        ("(cn:caseIgnoreMatch:=ANNA müller)", "uid=anna"),
        ("(cn:caseExactMatch:=ANNA müller)", ""),
        ("(cn:2.5.13.5:=Anna Müller)", "uid=anna"),
        ("(cn:=anna müller)", "uid=anna"),
        ("(:caseIgnoreMatch:=quality)", "uid=anna"),
        ("(:noSuchRule:=quality)", ""),
        ("(ou:dn:=people)", "ou=people uid=anna uid=anna@other.test uid=bob pat"),
        // hidden and disabled people, remarks, passwords, and characters with a meaning
        ("(cn=hidden person)", ""),
        ("(cn=gone person)", ""),
        ("(description=*)", ""),
        ("(userPassword=*)", ""),
        ("(cn=\\2a)", ""),
        ("(cn=*\\28*)", ""),
        ("(cn=*\\00*)", ""),
    ] {
        let (mut found, code) = names(&mut ldap, "", Scope::Subtree, filter).await;
        let mut want: Vec<&str> = want.split_whitespace().collect();
        found.sort();
        want.sort();
        assert_eq!((found, code), (want.iter().map(|w| (*w).to_owned()).collect(), 0), "{filter}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bases_and_scopes() {
    let book = Book::open().await;
    let mut ldap = signed_on(&book).await;
    use Scope::{Base, OneLevel, Subtree};
    for (base, scope, want, code) in [
        (BASE, Base, "dc=example", 0),
        (BASE, OneLevel, "ou=groups ou=people", 0),
        (
            BASE,
            Subtree,
            "cn=team dc=example ou=groups ou=people pat uid=anna uid=anna@other.test uid=bob",
            0,
        ),
        ("", OneLevel, "dc=example", 0),
        ("ou=people,dc=example,dc=test", Base, "ou=people", 0),
        ("OU=People, DC=Example, DC=Test", OneLevel, "pat uid=anna uid=anna@other.test uid=bob", 0),
        ("ou=groups,dc=example,dc=test", Subtree, "cn=team ou=groups", 0),
        ("uid=anna,ou=people,dc=example,dc=test", Base, "uid=anna", 0),
        ("uid=anna@other.test,ou=people,dc=example,dc=test", Subtree, "uid=anna@other.test", 0),
        ("uid=anna,ou=people,dc=example,dc=test", OneLevel, "", 0),
        ("cn=schema", Base, "cn=schema", 0),
        ("uid=hidden,ou=people,dc=example,dc=test", Base, "", 32),
        ("uid=gone,ou=people,dc=example,dc=test", Base, "", 32),
        ("uid=team,ou=people,dc=example,dc=test", Base, "", 32),
        ("ou=elsewhere,dc=example,dc=test", Subtree, "", 32),
        ("dc=test", Subtree, "", 32),
        ("not a name", Subtree, "", 34),
    ] {
        let (found, rc) = names(&mut ldap, base, scope, "(objectClass=*)").await;
        assert_eq!((found.join(" "), rc), (want.to_owned(), code), "{base} {scope:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attributes_are_given_as_selected() {
    let book = Book::open().await;
    let mut ldap = signed_on(&book).await;
    let mut entry = async |attributes: Vec<&str>| {
        let base = "uid=anna,ou=people,dc=example,dc=test";
        let found = ldap.search(base, Scope::Base, "(objectClass=*)", attributes).await.unwrap();
        SearchEntry::construct(found.0.into_iter().next().unwrap())
    };
    let found = entry(vec![]).await;
    let value = |name: &str| found.attrs.get(name).cloned().unwrap_or_default();
    assert_eq!(value("mail"), ["a.mueller@example.test", "anna@example.test"]);
    assert_eq!(value("cn"), ["Anna Müller"]);
    assert_eq!(value("postalAddress"), ["Main \\24treet 1$12345 Town"]);
    assert_eq!(value("objectClass"), ["top", "person", "organizationalPerson", "inetOrgPerson"]);
    for absent in ["entryUUID", "userPassword", "description", "jpegPhoto", "memberOf"] {
        assert!(!found.attrs.contains_key(absent), "{absent}");
    }
    assert!(!format!("{found:?}").contains("secret remark"));
    let all = entry(vec!["*", "+"]).await;
    assert!(all.attrs.contains_key("entryUUID") && all.attrs.contains_key("cn"));
    assert!(!format!("{all:?}").contains("argon2"));
    let none = entry(vec!["1.1"]).await;
    assert!(none.attrs.is_empty() && none.bin_attrs.is_empty(), "{none:?}");
    let some = entry(vec!["SN", "thumbnailPhoto", "nothing", "memberOf", "proxyAddresses"]).await;
    assert_eq!(some.attrs["SN"], ["Müller"]);
    assert_eq!(some.bin_attrs["thumbnailPhoto"], [b"\xFF\xD8photo".to_vec()]);
    assert_eq!(some.attrs["memberOf"], ["cn=team,ou=groups,dc=example,dc=test"]);
    assert_eq!(
        some.attrs["proxyAddresses"],
        ["SMTP:a.mueller@example.test", "smtp:anna@example.test"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_bring_everybody_once_and_limits_cut() {
    let book = Book::open().await;
    for n in 0..95 {
        let kind = posthouse_directory::Kind::User(Default::default());
        let shown = format!("Clone {n:03}");
        book.put(support::account(book.domain, &format!("clone{n}"), &shown, kind)).await;
    }
    book.set(posthouse_directory::key::LDAP_SIZE_LIMIT, "20").await;
    let mut ldap = signed_on(&book).await;
    let (found, code) = names(&mut ldap, BASE, Scope::Subtree, "(cn=clone*)").await;
    assert_eq!((found.len(), code), (20, 4), "sizeLimitExceeded with what fits");
    let paged = ldap3::adapters::PagedResults::new(10);
    let mut search = ldap
        .streaming_search_with(paged, BASE, Scope::Subtree, "(cn=clone*)", vec!["cn"])
        .await
        .unwrap();
    let mut seen = std::collections::BTreeSet::new();
    let mut count = 0;
    while let Some(entry) = search.next().await.unwrap() {
        seen.insert(SearchEntry::construct(entry).dn);
        count += 1;
    }
    assert_eq!(search.finish().await.rc, 0);
    assert_eq!((count, seen.len()), (95, 95));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signing_on_takes_address_login_name_or_dn_and_nothing_else() {
    let book = Book::open().await;
    for (name, password, want) in [
        ("anna@example.test", PASSWORD, 0),
        ("anna", PASSWORD, 0),
        ("a.mueller@example.test", PASSWORD, 0),
        ("uid=anna,ou=people,dc=example,dc=test", PASSWORD, 0),
        ("UID=Anna, OU=People, DC=example, DC=test", PASSWORD, 0),
        ("anna", "wrong", 49),
        ("nobody", PASSWORD, 49),
        ("uid=nobody,ou=people,dc=example,dc=test", PASSWORD, 49),
        ("cn=anna müller,ou=people,dc=example,dc=test", PASSWORD, 49),
        ("*", PASSWORD, 49),
        ("ann*", PASSWORD, 49),
        ("anna)(uid=*", PASSWORD, 49),
        ("team", PASSWORD, 49),
        ("anna", "", 53),
        ("", "", 48),
    ] {
        let mut ldap = connect(&book).await;
        let result = ldap.simple_bind(name, password).await.unwrap();
        assert_eq!(result.rc, want, "{name:?}");
        let search = ldap.search(BASE, Scope::Subtree, "(cn=*)", vec!["cn"]).await.unwrap();
        assert_eq!(search.1.rc, if want == 0 { 0 } else { 50 }, "{name:?}");
        assert_eq!(search.0.is_empty(), want != 0, "{name:?}");
    }
    let mut ldap = signed_on(&book).await;
    let (exop, _) = ldap.extended(ldap3::exop::WhoAmI).await.unwrap().success().unwrap();
    let answer: ldap3::exop::WhoAmIResp = exop.parse();
    assert_eq!(answer.authzid, "u:a.mueller@example.test");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_see_the_root_and_nothing_else() {
    let book = Book::open().await;
    let mut ldap = connect(&book).await;
    let found = ldap.search("", Scope::Base, "(objectClass=*)", vec!["*", "+"]).await.unwrap();
    let root = SearchEntry::construct(found.0.into_iter().next().unwrap());
    assert_eq!(root.attrs["supportedLDAPVersion"], ["3"]);
    assert_eq!(root.attrs["namingContexts"], [BASE]);
    for (base, scope) in [
        ("", Scope::Subtree),
        ("", Scope::OneLevel),
        (BASE, Scope::Base),
        ("cn=schema", Scope::Base),
        ("uid=anna,ou=people,dc=example,dc=test", Scope::Base),
    ] {
        let (found, code) = names(&mut ldap, base, scope, "(objectClass=*)").await;
        assert_eq!((found.len(), code), (0, 50), "{base}");
    }
}
