use posthouse_cluster::{Applied, Command, StateMachine, Timestamp};

use super::read_audit;
use crate::{
    Change, ChangeRefusal, Kind, Origin, PasswordVerifier, Rights, SettingChange, State,
    testing::{DOMAIN, Lab, OTHER, admin, alias, domain, group, id, user},
};

mod cluster;
mod moves;
mod replay;
mod sync;

fn taken(result: Result<crate::ChangeOutcome, ChangeRefusal>) -> Option<String> {
    match result {
        Ok(_) => None,
        Err(ChangeRefusal::AddressTaken { address, .. }) => Some(address),
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn a_name_or_address_belongs_to_one_user() {
    let mut lab = Lab::new();
    lab.put(user(10, "anna", &["a.smith", "anna@other.test"]));
    let mut elsewhere = user(20, "anna", &[]);
    elsewhere.domain = OTHER;
    for (account, want) in [
        (user(20, "anna", &[]), Some("anna@example.test")),
        (user(20, "ANNA", &[]), Some("anna@example.test")),
        (user(20, "ａｎｎａ", &[]), Some("anna@example.test")),
        (user(20, "a.smith", &[]), Some("a.smith@example.test")),
        (user(20, "bob", &["anna"]), Some("anna@example.test")),
        (user(20, "bob", &["A.Smith@EXAMPLE.org"]), Some("a.smith@example.test")),
        (elsewhere, Some("anna@other.test")),
        (user(20, "bob", &["b"]), None),
        (group(21, "anna", &["anna"], &[]), None),
        (group(22, "anna", &[], &[]), Some("anna")),
        (group(22, "others", &["anna"], &[]), Some("anna@example.test")),
        (alias(23, "anna", &["anna", "bob"]), None),
        (alias(24, "anna", &["elsewhere@remote.test"]), None),
    ] {
        let text = format!("{} {:?}", account.name, account.addresses);
        let result = lab.run(Change::PutAccount(Box::new(account)));
        assert_eq!(taken(result).as_deref(), want, "{text}");
    }
}

#[test]
fn login_names_and_principals_belong_to_one_user() {
    let mut lab = Lab::new();
    let with = |number, name: &str, login: &str, principal: &str| {
        let mut account = user(number, name, &[]);
        if let Kind::User(user) = &mut account.kind {
            user.login_names = vec![login.into()];
            user.principals = vec![principal.into()];
        }
        account
    };
    lab.put(with(10, "anna", r"CORP\Anna", "anna@corp.test"));
    let clash = lab.run(Change::PutAccount(Box::new(with(11, "bob", r"corp\ANNA", "b@CORP.TEST"))));
    assert_eq!(taken(clash).as_deref(), Some(r"corp\anna"));
    let clash = lab.run(Change::PutAccount(Box::new(with(11, "bob", "b", "ANNA@Corp.Test"))));
    assert_eq!(taken(clash).as_deref(), Some("anna@CORP.TEST"));
    let index = lab.live.index.read();
    for (login, want) in [
        ("anna", true),
        ("Anna@Example.test", true),
        (r"CORP\anna", true),
        ("anna@example.org", false),
        ("*", false),
        ("ann?", false),
        ("", false),
        ("anna@", false),
        ("bob", false),
    ] {
        assert_eq!(index.login(login).is_some(), want, "{login}");
    }
    assert!(index.principal("anna@CORP.test").is_some());
    assert!(index.principal("anna@OTHER.test").is_none());
}

#[test]
fn names_are_checked_by_kind() {
    let mut lab = Lab::new();
    for (account, good) in [
        (user(10, "o'brien", &[]), false),
        (user(10, "a b", &[]), false),
        (user(10, "a*", &[]), false),
        (user(10, "a", &["x@remote.test"]), false),
        (user(10, "a", &["o'brien@example.test"]), true),
        (group(11, "Domain Users", &[], &[]), true),
        (group(12, "a@b", &[], &[]), false),
        (alias(13, "in*fo?", &["a"]), true),
        (alias(14, "info", &[]), false),
        (alias(14, "info", &["*"]), false),
        (alias(14, "info", &["no address@x"]), false),
    ] {
        let text = format!("{} {:?}", account.name, account.addresses);
        let result = lab.run(Change::PutAccount(Box::new(account)));
        assert_eq!(result.is_ok(), good, "{text}: {result:?}");
    }
}

#[test]
fn a_renamed_user_keeps_id_password_and_old_addresses() {
    let mut lab = Lab::new();
    let anna = lab.put(user(10, "anna", &[]));
    lab.ok(Change::SetPassword { account: anna, verifier: PasswordVerifier("v".into()) });
    let mut renamed = lab.account(anna);
    renamed.name = "anna.bell".into();
    if let Kind::User(user) = &mut renamed.kind {
        user.password = None;
    }
    lab.put(renamed);
    let mut moved = lab.account(anna);
    assert_eq!(moved.user().and_then(|u| u.password.clone()), Some(PasswordVerifier("v".into())));
    assert_eq!(moved.addresses, ["anna.bell", "anna"]);
    moved.domain = OTHER;
    moved.addresses = vec!["anna.bell@example.test".into(), "anna@example.test".into()];
    lab.put(moved);
    for address in ["anna@example.test", "anna.bell@example.org", "anna.bell@other.test"] {
        assert_eq!(lab.targets(address), ["anna.bell"], "{address}");
    }
    assert_eq!(lab.targets("anna@other.test"), [""; 0]);
    let shown = lab.live.index.read().entry(anna).map(|e| e.mail.clone());
    assert_eq!(shown.as_deref(), Some("anna.bell@other.test"));
}

#[test]
fn a_renamed_domain_still_gets_mail_but_no_sign_on_by_its_old_name() {
    let mut lab = Lab::new();
    lab.put(user(10, "anna", &["a@example.test"]));
    lab.ok(Change::PutDomain(domain(DOMAIN, "Neu-Bücher.test", &[])));
    let stored = lab.live.index.read().primary().cloned().unwrap();
    assert_eq!(stored.name, crate::name::domain("neu-bücher.test").unwrap());
    assert_eq!(stored.aliases, ["example.test"], "aliases left out are gone, the old name stays");
    assert_eq!(lab.targets("anna@example.test"), ["anna"]);
    assert_eq!(lab.targets("a@neu-bücher.test"), ["anna"]);
    assert!(lab.live.index.read().login("anna@neu-bücher.test").is_some());
    assert!(lab.live.index.read().login("anna@example.test").is_none());
}

#[test]
fn domains_are_unique_and_exactly_one_is_primary() {
    let mut lab = Lab::new();
    let third = crate::DomainId(uuid::Uuid::from_u128(99));
    for (change, want) in [
        (
            Change::PutDomain(domain(third, "example.ORG", &[])),
            "the domain example.org exists already",
        ),
        (
            Change::PutDomain(domain(third, "x.test", &["other.test"])),
            "the domain other.test exists already",
        ),
        (Change::PutDomain(domain(third, "no domain", &[])), "\"no domain\" is not a valid name"),
        (
            Change::RemoveDomain(DOMAIN),
            "the primary domain cannot be removed; make another one primary first",
        ),
        (Change::RemoveDomain(third), "there is no such domain"),
    ] {
        assert_eq!(lab.run(change).unwrap_err().to_string(), want);
    }
    lab.put(user(10, "anna", &["a@other.test"]));
    let refused = lab.run(Change::RemoveDomain(OTHER)).unwrap_err();
    assert!(refused.to_string().contains("other domains have addresses"), "{refused}");
    let mut other = domain(OTHER, "other.test", &[]);
    other.primary = true;
    lab.ok(Change::PutDomain(other));
    let primaries: Vec<_> = lab.live.index.read().domains().iter().map(|d| d.primary).collect();
    assert_eq!(primaries, [true, false]);
    assert!(lab.live.index.read().login("anna").is_none(), "bare names are of the primary domain");
    let mut demoted = domain(OTHER, "other.test", &[]);
    demoted.primary = false;
    assert_eq!(lab.run(Change::PutDomain(demoted)), Err(ChangeRefusal::PrimaryDomain));
    let used = lab.run(Change::RemoveDomain(DOMAIN));
    assert_eq!(used, Err(ChangeRefusal::DomainInUse(1)));
}

#[test]
fn the_last_full_administrator_stays() {
    let disabled = || State::Disabled("test".into());
    let mut lab = Lab::new();
    let root = lab.put(admin(10, "root"));
    let anna = lab.put(user(11, "anna", &[]));
    let outer = lab.put(group(12, "outer", &[], &[13]));
    let inner = lab.put(group(13, "inner", &[], &[11, 12]));
    let last = Err(ChangeRefusal::LastAdministrator);
    assert_eq!(lab.run(Change::RemoveAccount(root)), last);
    assert_eq!(lab.run(Change::SetState { account: root, state: disabled() }), last);
    assert_eq!(lab.run(Change::SetRights { account: root, rights: Rights::ReadOnly }), last);
    assert_eq!(lab.run(Change::PutAccount(Box::new(user(10, "root", &[])))), last);
    assert_eq!(lab.live.index.read().rights(root), Rights::Full, "nothing was changed");
    // rights by nested groups in a circle
    lab.ok(Change::SetRights { account: outer, rights: Rights::Full });
    assert_eq!(lab.live.index.read().rights(anna), Rights::Full);
    lab.ok(Change::RemoveAccount(root));
    for change in [
        Change::SetRights { account: outer, rights: Rights::None },
        Change::RemoveAccount(outer),
        Change::RemoveAccount(inner),
        Change::SetState { account: outer, state: disabled() },
        Change::PutAccount(Box::new(group(13, "inner", &[], &[12]))),
        Change::SetState { account: anna, state: disabled() },
    ] {
        assert_eq!(lab.run(change.clone()), last, "{change:?}");
    }
    // one step that swaps administrators is fine
    lab.ok(Change::All(vec![
        Change::RemoveAccount(anna),
        Change::PutAccount(Box::new(admin(14, "new"))),
    ]));
}

#[test]
fn several_changes_happen_all_or_none() {
    let mut lab = Lab::new();
    let refused = lab.run(Change::All(vec![
        Change::PutAccount(Box::new(user(10, "anna", &[]))),
        Change::PutAccount(Box::new(user(11, "anna", &[]))),
    ]));
    assert!(refused.is_err());
    assert_eq!(lab.targets("anna@example.test"), [""; 0]);
    lab.put(user(12, "anna", &[]));
    let mut deep = Change::Audit("deep".into());
    for _ in 0..super::MAX_NESTING {
        deep = Change::All(vec![deep]);
    }
    lab.ok(deep.clone());
    assert!(lab.run(Change::All(vec![deep])).is_err());
}

#[test]
fn a_repeated_proposal_is_answered_as_the_first_time_and_done_once() {
    let mut lab = Lab::new();
    let put = lab.command(77, 5, Change::PutAccount(Box::new(user(10, "anna", &[]))));
    let remove = lab.command(78, 6, Change::RemoveAccount(id(10)));
    assert!(lab.apply(put.clone()).is_ok());
    assert!(lab.apply(remove.clone()).is_ok());
    assert!(lab.apply(put).is_ok(), "the answer of the first time");
    assert!(lab.apply(remove).is_ok());
    assert!(lab.live.index.read().account(id(10)).is_none());
}

#[test]
fn a_command_that_cannot_be_read_is_refused_and_harms_nobody() {
    let mut lab = Lab::new();
    for data in [&b""[..], b"garbage", &[0xFF; 100]] {
        let answer = lab.apply(bytes::Bytes::copy_from_slice(data));
        assert!(matches!(answer, Err(ChangeRefusal::Invalid(_))), "{data:?}");
    }
    lab.put(user(10, "anna", &[]));
}

#[test]
fn settings_have_types_and_bounds() {
    let mut lab = Lab::new();
    let mut set = |name: &str, value: Option<&str>| {
        lab.run(Change::Set(SettingChange { name: name.into(), value: value.map(Into::into) }))
            .is_ok()
    };
    for (name, value, good) in [
        (crate::key::SMTP_MAX_RECIPIENTS, Some("1"), true),
        (crate::key::SMTP_MAX_RECIPIENTS, Some("10000"), true),
        (crate::key::SMTP_MAX_RECIPIENTS, Some("0"), false),
        (crate::key::SMTP_MAX_RECIPIENTS, Some("10001"), false),
        (crate::key::SMTP_MAX_RECIPIENTS, Some("-1"), false),
        (crate::key::SMTP_MAX_RECIPIENTS, Some("1.5"), false),
        (crate::key::SMTP_MAX_RECIPIENTS, Some("\"5\""), false),
        (crate::key::SMTP_MAX_RECIPIENTS, Some(""), false),
        (crate::key::SMTP_MAX_RECIPIENTS, None, true),
        ("no.such.setting", Some("1"), false),
    ] {
        assert_eq!(set(name, value), good, "{name} {value:?}");
    }
    for spec in crate::SETTINGS {
        assert_eq!(spec.check(spec.default).as_deref(), Ok(spec.default), "{}", spec.name);
        assert!(!spec.description.trim().is_empty(), "{}", spec.name);
    }
}

#[test]
fn passwords_are_for_local_users_only_and_never_in_the_audit_log() {
    let mut lab = Lab::new();
    let anna = lab.put(user(10, "anna", &[]));
    let team = lab.put(group(11, "team", &[], &[]));
    let verifier = || PasswordVerifier("$argon2id$secret".into());
    lab.ok(Change::SetPassword { account: anna, verifier: verifier() });
    assert!(lab.run(Change::SetPassword { account: team, verifier: verifier() }).is_err());
    let mut other = lab.account(anna);
    if let Kind::User(user) = &mut other.kind {
        user.password = Some(PasswordVerifier("$argon2id$other".into()));
    }
    lab.put(other);
    lab.ok(Change::Audit("line\nforged\u{1b}[31m".into()));
    let lines = read_audit(lab.machine.db.connection(), None, 100).unwrap();
    let text = format!("{lines:?}");
    assert!(text.contains("set the password of user anna@example.test"), "{text}");
    assert!(!text.contains("argon2id"), "{text}");
    assert_eq!(lines[0].text, r"line\nforged\u{1b}[31m");
    assert!(lines.windows(2).all(|w| w[0].sequence > w[1].sequence), "newest first");
    let before = read_audit(lab.machine.db.connection(), Some(lines[0].sequence), 1).unwrap();
    assert_eq!(before[0], lines[1]);
}

#[test]
fn ephemerals_expire_by_the_time_of_commands() {
    let mut lab = Lab::empty();
    let put = |key: &[u8], value: Option<&[u8]>, expires, only_new| Change::PutEphemeral {
        space: "s".into(),
        key: key.into(),
        value: value.map(Into::into),
        expires: Timestamp(expires),
        only_new,
    };
    let step = |lab: &mut Lab, at, change| {
        let id = u128::from(lab.index) + 1;
        let command = lab.command(id, at, change);
        lab.apply(command).map(|_| ())
    };
    assert_eq!(step(&mut lab, 10, put(b"k", Some(b"1"), 100, true)), Ok(()));
    assert_eq!(step(&mut lab, 20, put(b"k", Some(b"2"), 100, true)), Err(ChangeRefusal::Exists));
    let get = |lab: &Lab, now| {
        lab.live.index.read().ephemeral("s", b"k", Timestamp(now)).map(|v| v.to_vec())
    };
    assert_eq!(get(&lab, 99), Some(b"1".to_vec()));
    assert_eq!(get(&lab, 100), None);
    assert_eq!(step(&mut lab, 30, put(b"k", Some(b"3"), 50, false)), Ok(()));
    assert_eq!(get(&lab, 40), Some(b"3".to_vec()));
    assert_eq!(step(&mut lab, 50, put(b"k", Some(b"4"), 90, true)), Ok(()), "expired");
    assert_eq!(step(&mut lab, 60, put(b"k", None, 0, false)), Ok(()));
    assert_eq!(get(&lab, 60), None);
    let large = vec![0; 70_000];
    assert!(step(&mut lab, 60, put(b"k", Some(&large), 90, false)).is_err());
}

#[test]
fn what_an_account_is_cannot_change_and_removed_members_leave_groups() {
    let mut lab = Lab::new();
    lab.put(user(10, "anna", &[]));
    lab.put(group(11, "team", &["team"], &[10]));
    assert!(lab.run(Change::PutAccount(Box::new(group(10, "anna", &[], &[])))).is_err());
    lab.ok(Change::RemoveAccount(id(10)));
    assert!(matches!(&lab.account(id(11)).kind, Kind::Group(g) if g.members.is_empty()));
    assert_eq!(lab.account(id(11)).origin, Origin::Local);
}

#[test]
fn a_batch_is_applied_in_one_step_with_an_answer_for_each() {
    let mut lab = Lab::new();
    let commands: Vec<Command> = (0..3u64)
        .map(|n| Command {
            index: 10 + n,
            data: lab.command(
                u128::from(100 + n),
                1,
                Change::PutAccount(Box::new(user(u128::from(20 + n), "anna", &[]))),
            ),
        })
        .collect();
    let applied = Applied { index: 12, opaque: vec![1] };
    let answers = lab.machine.apply(&commands, &applied).unwrap();
    let good: Vec<bool> =
        answers.iter().map(|a| super::decode_answer(a).unwrap().is_ok()).collect();
    assert_eq!(good, [true, false, false]);
    assert_eq!(lab.machine.applied().unwrap(), Some(applied));
}
