//! F10.1.1-5 and DESIGN §6: what a source brings never fails as a whole, and local accounts win.

use crate::{
    Change, ChangeRefusal, Kind, Rights, State, SyncBatch,
    testing::{Lab, SOURCE, admin, group, id, mapped, source, user},
};

fn batch(upserts: Vec<crate::Account>) -> SyncBatch {
    SyncBatch { source: SOURCE, upserts, disables: Vec::new(), watermark: None, problem: None }
}

fn sync(upserts: Vec<crate::Account>) -> Change {
    Change::Sync(Box::new(batch(upserts)))
}

fn lab() -> Lab {
    let mut lab = Lab::new();
    lab.ok(Change::PutSource(Box::new(source())));
    lab
}

#[test]
fn a_mapped_account_with_a_taken_name_waits_disabled_until_the_name_is_free() {
    let mut lab = lab();
    lab.put(user(10, "anna", &[]));
    let outcome =
        lab.ok(sync(vec![mapped(user(20, "Anna", &["a.s"]), 1), mapped(user(21, "bob", &[]), 2)]));
    assert_eq!(outcome.collisions.len(), 1);
    assert_eq!(outcome.collisions[0].account, id(20));
    assert!(outcome.collisions[0].problems[0].contains("anna@example.test"), "{outcome:?}");
    assert_eq!(lab.live.index.read().login("anna").map(|a| a.id), Some(id(10)), "local wins");
    assert!(matches!(lab.account(id(20)).state, State::Disabled(_)));
    assert_eq!(lab.targets("anna@example.test"), ["anna"]);
    assert_eq!(lab.targets("a.s@example.test"), [lab.account(id(20)).name]);
    assert_eq!(lab.live.index.read().configuration.collisions, outcome.collisions);
    assert_eq!(lab.live.index.read().login("bob").map(|a| a.id), Some(id(21)));
    // the same again changes nothing
    let again = lab.ok(sync(vec![mapped(user(20, "anna", &["a.s"]), 1)]));
    assert_eq!(again.collisions.len(), 1);
    lab.ok(Change::RemoveAccount(id(10)));
    assert_eq!(lab.live.index.read().login("anna").map(|a| a.id), Some(id(20)), "mended");
    assert_eq!(lab.account(id(20)).state, State::Enabled);
    assert!(lab.live.index.read().configuration.collisions.is_empty());
}

#[test]
fn a_taken_address_login_name_or_principal_is_left_out() {
    let mut lab = lab();
    let mut anna = user(10, "anna", &["info"]);
    let mut bob = mapped(user(20, "bob", &["info", "b"]), 1);
    for account in [&mut anna, &mut bob] {
        if let Kind::User(user) = &mut account.kind {
            user.login_names = vec!["shared".into()];
            user.principals = vec!["shared@AD.TEST".into()];
        }
    }
    lab.put(anna);
    let outcome = lab.ok(sync(vec![bob]));
    assert_eq!(outcome.collisions[0].problems.len(), 3, "{outcome:?}");
    let bob = lab.account(id(20));
    assert_eq!((bob.state.clone(), bob.addresses.clone()), (State::Enabled, vec!["b".to_owned()]));
    assert_eq!(lab.targets("info@example.test"), ["anna"]);
    assert!(bob.user().is_some_and(|u| u.login_names.is_empty() && u.principals.is_empty()));
}

#[test]
fn names_and_texts_that_cannot_be_used_refuse_nothing() {
    let mut lab = lab();
    let mut odd =
        mapped(user(20, "jürgen müller", &["bad address@@", "j@elsewhere.test", "j.m"]), 1);
    odd.display_name = format!("J\u{7}{}", "ü".repeat(2_000));
    let outcome = lab.ok(sync(vec![odd, mapped(user(21, "bob", &[]), 2)]));
    assert_eq!(outcome.collisions.len(), 1);
    let odd = lab.account(id(20));
    assert!(odd.name.starts_with("j_rgen_m_ller~"), "{}", odd.name);
    assert_eq!(odd.addresses, ["j.m"]);
    assert!(odd.display_name.len() <= 1_024 && odd.display_name.starts_with("Jü"));
    assert!(lab.live.index.read().login("bob").is_some());
}

#[test]
fn accounts_are_known_by_key_and_keep_what_the_source_does_not_know() {
    let mut lab = lab();
    lab.ok(sync(vec![mapped(user(20, "anna", &["anna.smith"]), 1)]));
    lab.ok(Change::SetRights { account: id(20), rights: Rights::ReadOnly });
    let mut edited = lab.account(id(20));
    edited.addresses.push("sales".into());
    lab.put(edited);
    // another id, a new name, a new first address; a group that names the id that gives way
    lab.ok(sync(vec![
        mapped(user(30, "anna.bell", &["a.bell"]), 1),
        mapped(group(31, "Staff", &["staff"], &[30]), 2),
    ]));
    assert!(lab.live.index.read().account(id(30)).is_none());
    assert_eq!(lab.live.index.read().rights(id(20)), Rights::ReadOnly);
    for address in ["anna", "anna.smith", "anna.bell", "a.bell", "sales", "staff"] {
        assert_eq!(lab.targets(&format!("{address}@example.test")), ["anna.bell"], "{address}");
    }
    // and still after the next reading
    lab.ok(sync(vec![mapped(user(20, "anna.bell", &["a.bell"]), 1)]));
    assert_eq!(lab.targets("anna@example.test"), ["anna.bell"]);
    let shown = lab.live.index.read().entry(id(20)).map(|e| e.mail.clone());
    assert_eq!(shown.as_deref(), Some("a.bell@example.test"));
}

#[test]
fn what_is_gone_in_the_source_is_disabled_and_kept() {
    let mut lab = lab();
    lab.put(user(10, "local", &[]));
    lab.ok(sync(vec![mapped(user(20, "anna", &[]), 1)]));
    let mut gone = batch(Vec::new());
    gone.disables = vec![
        (id(20), "no longer in the directory".into()),
        (id(10), "x".into()),
        (id(99), "x".into()),
    ];
    gone.watermark = Some(vec![9]);
    gone.problem = Some("two of three controllers are away".into());
    lab.ok(Change::Sync(Box::new(gone)));
    assert_eq!(lab.account(id(20)).state, State::Disabled("no longer in the directory".into()));
    assert_eq!(lab.account(id(10)).state, State::Enabled, "not of this source");
    assert_eq!(lab.targets("anna@example.test"), ["anna"], "mail is kept");
    let source = lab.live.index.read().configuration.sources[0].clone();
    assert_eq!(source.watermark.as_deref(), Some(&[9][..]));
    assert_eq!(source.problem, "two of three controllers are away");
    lab.ok(sync(vec![mapped(user(20, "anna", &[]), 1)]));
    assert_eq!(lab.account(id(20)).state, State::Enabled, "it is back");
    lab.ok(Change::RemoveSource(SOURCE));
    assert!(matches!(lab.account(id(20)).state, State::Disabled(_)));
}

#[test]
fn batches_are_bounded_and_of_one_source() {
    let mut lab = lab();
    let wrong = lab.run(sync(vec![user(20, "anna", &[])]));
    assert!(matches!(wrong, Err(ChangeRefusal::Invalid(_))), "{wrong:?}");
    let mut none = batch(Vec::new());
    none.source = crate::SourceId(uuid::Uuid::nil());
    assert!(matches!(lab.run(Change::Sync(Box::new(none))), Err(ChangeRefusal::NotFound(_))));
    let mut many = batch(Vec::new());
    many.disables = vec![(id(1), String::new()); SyncBatch::MAX_ACCOUNTS + 1];
    assert!(lab.run(Change::Sync(Box::new(many))).is_err());
}

#[test]
fn a_source_may_disable_the_last_administrator_and_the_log_says_so() {
    let mut lab = lab();
    lab.ok(sync(vec![mapped(admin(20, "root"), 1)]));
    lab.ok(Change::SetRights { account: id(20), rights: Rights::Full });
    let mut gone = batch(Vec::new());
    gone.disables = vec![(id(20), "disabled in the directory".into())];
    lab.ok(Change::Sync(Box::new(gone)));
    let lines = crate::machine::read_audit(lab.machine.db.connection(), None, 10).unwrap();
    assert!(lines.iter().any(|l| l.text.contains("no full administrator")), "{lines:?}");
}
