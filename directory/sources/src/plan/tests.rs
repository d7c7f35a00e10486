use posthouse_directory::{Person, Rights};
use uuid::Uuid;

use super::*;

const DAY: u64 = 86_400_000;
const NOW: Timestamp = Timestamp(100 * DAY);

fn mapping() -> Mapping {
    Mapping {
        source: SourceId(Uuid::from_u128(1)),
        domain: DomainId(Uuid::from_u128(2)),
        directory_domain: "ad.example.test".into(),
        netbios: "EXAMPLE".into(),
        mail_domains: ["example.test".to_owned()].into(),
        store: Some(StoreId(7)),
        removal_threshold_percent: 10,
        removals_confirmed: false,
        now: NOW,
    }
}

fn key(number: u8) -> Vec<u8> {
    vec![number; 16]
}

fn user(number: u8, name: &str) -> MappedEntry {
    MappedEntry {
        key: key(number),
        dn: format!("CN={name},DC=x"),
        display_name: name.to_uppercase(),
        addresses: Vec::new(),
        kind: MappedKind::User(Users {
            account_name: name.into(),
            principal_name: format!("{name}@ad.example.test"),
            ..Users::default()
        }),
    }
}

fn change(mut entry: MappedEntry, change: impl FnOnce(&mut Users)) -> MappedEntry {
    if let MappedKind::User(user) = &mut entry.kind {
        change(user);
    }
    entry
}

fn group(number: u8, name: &str, members: &[u8]) -> MappedEntry {
    MappedEntry {
        key: key(number),
        dn: format!("CN={name},DC=x"),
        display_name: name.into(),
        addresses: Vec::new(),
        kind: MappedKind::Group {
            name: name.into(),
            members: members.iter().map(|m| key(*m)).collect(),
        },
    }
}

fn run(mapping: &Mapping, previous: &Previous, reading: &Reading) -> Plan {
    let mut next = 1_000 + previous.accounts.len() as u128;
    plan(mapping, previous, reading, &mut || {
        next += 1;
        AccountId(Uuid::from_u128(next))
    })
}

fn full(entries: Vec<MappedEntry>) -> Reading {
    let present = entries.iter().map(|e| e.key.clone()).collect();
    Reading { entries, present: Some(present), deleted: Vec::new() }
}

fn changes(entries: Vec<MappedEntry>) -> Reading {
    Reading { entries, ..Reading::default() }
}

/// What is known after these entries have been read.
fn known(entries: Vec<MappedEntry>) -> Previous {
    let plan = run(&mapping(), &Previous::default(), &full(entries));
    Previous { accounts: plan.wanted.into_iter().map(Arc::new).collect(), ..Previous::default() }
}

fn many(count: u8) -> Vec<MappedEntry> {
    (1..=count).map(|n| user(n, &format!("u{n}"))).collect()
}

fn named<'a>(plan: &'a Plan, name: &str) -> &'a Account {
    plan.wanted.iter().find(|a| a.name == name).unwrap()
}

#[test]
fn a_new_user_gets_names_principals_and_a_store() {
    let mut entry = user(1, "alice");
    entry.addresses = vec!["a.adler@example.test".into(), "alice@elsewhere.test".into()];
    let plan = run(&mapping(), &Previous::default(), &full(vec![entry]));
    let alice = named(&plan, "alice");
    assert_eq!(alice.addresses, ["a.adler@example.test"]);
    assert_eq!(plan.warnings.len(), 1, "{:?}", plan.warnings);
    let user = alice.user().unwrap();
    assert_eq!(user.principals, ["alice@AD.EXAMPLE.TEST"]);
    assert_eq!(user.login_names, ["example\\alice", "alice@ad.example.test"]);
    assert_eq!(user.store, Some(StoreId(7)));
    assert_eq!(alice.state, State::Enabled);
    assert!(plan.changed.contains(&alice.id) && plan.new.contains(&alice.id));
}

#[test]
fn principal_names_are_mapped_without_taking_anothers() {
    for (upn, principals) in [
        ("", &["alice@AD.EXAMPLE.TEST"][..]),
        ("alice@ad.example.test", &["alice@AD.EXAMPLE.TEST"]),
        ("a.adler@ad.example.test", &["alice@AD.EXAMPLE.TEST", "a.adler@AD.EXAMPLE.TEST"]),
        ("a@corp.test", &["alice@AD.EXAMPLE.TEST", "a\\@corp.test@AD.EXAMPLE.TEST"]),
        ("bob@ad.example.test", &["alice@AD.EXAMPLE.TEST"]),
        ("nonsense", &["alice@AD.EXAMPLE.TEST"]),
        ("@ad.example.test", &["alice@AD.EXAMPLE.TEST"]),
    ] {
        let alice = change(user(1, "alice"), |u| u.principal_name = upn.into());
        let reading = changes(vec![alice]);
        let plan = run(&mapping(), &known(vec![user(2, "bob")]), &reading);
        assert_eq!(named(&plan, "alice").user().unwrap().principals, principals, "{upn}");
    }
}

#[test]
fn a_name_that_cannot_be_an_address_gives_way_to_one_of_its_addresses() {
    for (name, address, want) in [
        ("zoë", "zoe@example.test", "zoe"),
        ("zoë", "zoe@elsewhere.test", "zoë"),
        ("john smith", "john.smith@example.test", "john.smith"),
        ("john.smith", "js@example.test", "john.smith"),
    ] {
        let mut entry = user(1, name);
        entry.addresses = vec![address.into()];
        let plan = run(&mapping(), &Previous::default(), &full(vec![entry]));
        assert_eq!(plan.wanted[0].name, want);
        assert!(plan.wanted[0].user().unwrap().login_names.contains(&format!("example\\{name}")));
    }
}

#[test]
fn reading_the_same_again_changes_nothing() {
    let entries = || {
        let mut entries = many(20);
        entries.push(group(100, "Staff", &[1, 2, 101]));
        entries.push(group(101, "Nested", &[3, 250]));
        entries
    };
    let previous = known(entries());
    let plan = run(&mapping(), &previous, &full(entries()));
    assert!(plan.changed.is_empty() && plan.disables.is_empty(), "{plan:?}");
    assert_eq!(plan.wanted.len(), 22);
}

#[test]
fn a_renamed_or_moved_account_keeps_its_id_and_what_was_given_to_it_here() {
    let mut previous = known(many(2));
    let mut before = previous.accounts[0].as_ref().clone();
    before.description = "ours".into();
    before.published = false;
    if let Kind::User(user) = &mut before.kind {
        user.rights = Rights::Full;
        user.quota_bytes = Some(5);
        user.store = Some(StoreId(9));
    }
    previous.accounts[0] = Arc::new(before.clone());
    let mut renamed = user(1, "newname");
    renamed.dn = "CN=new,OU=Other,DC=x".into();
    let plan = run(&mapping(), &previous, &changes(vec![renamed]));
    let after = &plan.wanted[0];
    assert_eq!((after.id, after.name.as_str()), (before.id, "newname"));
    assert_eq!((after.published, after.description.as_str()), (false, "ours"));
    let user = after.user().unwrap();
    assert_eq!(
        (user.rights, user.quota_bytes, user.store),
        (Rights::Full, Some(5), Some(StoreId(9)))
    );
    assert_eq!(plan.changed.len(), 1);
}

#[test]
fn members_are_found_among_the_known_and_the_new() {
    let previous = known(vec![user(1, "a")]);
    let reading = changes(vec![group(9, "g", &[1, 2, 3]), user(2, "b")]);
    let plan = run(&mapping(), &previous, &reading);
    let Kind::Group(group) = &named(&plan, "g").kind else { panic!() };
    assert_eq!(group.members, [previous.accounts[0].id, named(&plan, "b").id]);
}

#[test]
fn who_is_disabled_there_is_disabled_and_comes_back() {
    let disabled = |cause: &str| State::Disabled(cause.into());
    for (before, there, collided, after) in [
        (State::Enabled, true, false, disabled(DISABLED_THERE)),
        (disabled(DISABLED_THERE), false, false, State::Enabled),
        (disabled(GONE_THERE), false, false, State::Enabled),
        (disabled(GONE_THERE), true, false, disabled(DISABLED_THERE)),
        (disabled("by an administrator"), false, false, disabled("by an administrator")),
        (disabled("by an administrator"), true, false, disabled("by an administrator")),
        (disabled("name taken"), false, true, State::Enabled),
    ] {
        let mut previous = known(many(1));
        let mut account = previous.accounts[0].as_ref().clone();
        account.state = before.clone();
        if collided {
            previous.collided.insert(account.id);
        }
        previous.accounts[0] = Arc::new(account);
        let entry = change(user(1, "u1"), |u| u.disabled = there);
        let plan = run(&mapping(), &previous, &changes(vec![entry]));
        assert_eq!(plan.wanted[0].state, after, "{before:?} {there}");
    }
}

#[test]
fn bad_news_is_not_believed_at_once() {
    // (known, still there, removed recently, confirmed) → (disabled, asked)
    for (known_count, left, recent, confirmed, disabled, asked) in [
        (100, 100, 0, false, 0, false),
        (100, 99, 0, false, 1, false),
        (100, 90, 0, false, 10, false),
        (100, 89, 0, false, 0, true),
        (100, 50, 0, false, 0, true),
        (100, 0, 0, false, 0, true),
        (100, 0, 0, true, 100, false),
        (100, 89, 0, true, 11, false),
        (20, 15, 0, false, 5, false),
        (20, 14, 0, false, 0, true),
        (4, 3, 0, false, 1, false),
        (4, 0, 0, false, 0, true),
        (1, 0, 0, false, 0, true),
        // a few at a time count together
        (100, 95, 6, false, 0, true),
        (100, 96, 6, false, 4, false),
    ] {
        let mut previous = known(many(known_count));
        for extra in 0..recent {
            let mut gone = previous.accounts[0].as_ref().clone();
            gone.id = AccountId(Uuid::from_u128(50_000 + u128::from(extra)));
            if let Origin::Mapped { key, .. } = &mut gone.origin {
                *key = vec![extra, 255];
            }
            gone.state = State::Disabled(GONE_THERE.into());
            gone.changed = Timestamp(NOW.0 - 1_000);
            previous.accounts.push(Arc::new(gone));
        }
        let mut mapping = mapping();
        mapping.removals_confirmed = confirmed;
        let case = format!("{known_count} {left} {recent} {confirmed}");
        let plan = run(&mapping, &previous, &full(many(left)));
        assert_eq!(plan.disables.len(), disabled, "{case}");
        assert_eq!(plan.withheld.is_some(), asked, "{case}");
        // The same when only keys were listed.
        let present = many(left).into_iter().map(|e| e.key).collect();
        let listed = Reading { present: Some(present), ..Reading::default() };
        let plan = run(&mapping, &previous, &listed);
        assert_eq!(plan.disables.len(), disabled, "listed: {case}");
    }
}

#[test]
fn old_removals_do_not_count() {
    let mut previous = known(many(120));
    for account in previous.accounts.iter_mut().take(20) {
        let mut gone = account.as_ref().clone();
        gone.state = State::Disabled(GONE_THERE.into());
        gone.changed = Timestamp(NOW.0 - 2 * DAY);
        *account = Arc::new(gone);
    }
    let left: Vec<_> = many(120).into_iter().skip(30).collect();
    let plan = run(&mapping(), &previous, &full(left));
    assert_eq!(plan.disables.len(), 10);
}

#[test]
fn nothing_is_removed_by_changes_alone() {
    let previous = known(many(10));
    let plan = run(&mapping(), &previous, &changes(vec![user(1, "u1")]));
    assert!(plan.disables.is_empty() && plan.withheld.is_none());
    let plan = run(&mapping(), &previous, &changes(Vec::new()));
    assert!(plan.disables.is_empty() && plan.wanted.is_empty());
}

#[test]
fn who_the_directory_says_was_deleted_is_disabled_unless_it_came_back() {
    let previous = known(many(10));
    let mut reading = changes(vec![user(2, "u2")]);
    reading.deleted = vec![key(1), key(2), key(99)];
    let plan = run(&mapping(), &previous, &reading);
    let id = previous.accounts[0].id;
    assert_eq!(plan.disables, [(id, GONE_THERE.to_owned())]);
}

#[test]
fn contacts_keep_addresses_of_elsewhere_and_groups_only_ours() {
    let mut contact = user(1, "c");
    contact.kind = MappedKind::Contact(Person::default());
    contact.display_name = "Clara \"C\" @ Partner".into();
    contact.addresses = vec!["clara@partner.test".into()];
    let mut staff = group(2, "Staff Berlin", &[]);
    staff.addresses = vec!["staff@example.test".into(), "staff@partner.test".into()];
    let plan = run(&mapping(), &Previous::default(), &full(vec![contact, staff]));
    assert_eq!(named(&plan, "clara c  partner").addresses, ["clara@partner.test"]);
    assert_eq!(named(&plan, "staff berlin").addresses, ["staff@example.test"]);
}
