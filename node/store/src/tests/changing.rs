//! Requests that change something, one after the other.

use posthouse_cluster::Timestamp;

use super::*;
use crate::{FlagChange, FolderUse, Refusal, Report, SpoolEntry, SpoolId, SpoolOutcome, Usage};

fn names(bench: &mut Bench) -> Vec<String> {
    match bench.request(Request::Folders { mailbox: ADA }) {
        Response::Folders(folders) => folders.into_iter().map(|folder| folder.name).collect(),
        other => panic!("{other:?}"),
    }
}

fn usage(bench: &mut Bench, mailbox: MailboxId) -> Usage {
    match bench.request(Request::Quota { mailbox }) {
        Response::Quota { usage, .. } => usage,
        other => panic!("{other:?}"),
    }
}

fn spool(bench: &mut Bench) -> Vec<SpoolEntry> {
    match bench.request(Request::Spool { after: SpoolId(0), limit: 100, due: None }) {
        Response::Spool(entries) => entries,
        other => panic!("{other:?}"),
    }
}

fn create(name: &str) -> Request {
    Request::CreateFolder { mailbox: ADA, name: name.into(), purpose: FolderUse::None }
}

fn rename(from: &str, to: &str) -> Request {
    Request::RenameFolder { mailbox: ADA, from: from.into(), to: to.into() }
}

fn remove(name: &str) -> Request {
    Request::RemoveFolder { mailbox: ADA, name: name.into() }
}

#[test]
fn a_mailbox_begins_with_its_standard_folders() {
    let mut bench = Bench::with_ada();
    assert_eq!(names(&mut bench), ["Archive", "Drafts", "INBOX", "Junk", "Sent", "Trash"]);
    let inbox = bench.folder(ADA, "inbox");
    assert_eq!((inbox.purpose, inbox.exists, inbox.uid_next), (FolderUse::Inbox, 0, 1));
    let again =
        Request::CreateMailbox { mailbox: ADA, quota: Quota { bytes: Some(5), items: None } };
    assert_eq!(bench.request(again), Response::Done);
    let answer = bench.request(Request::Quota { mailbox: ADA });
    let quota = Quota { bytes: Some(5), items: None };
    assert_eq!(answer, Response::Quota { usage: Usage::default(), quota });
}

#[test]
fn folder_requests_and_their_refusals() {
    let mut bench = Bench::with_ada();
    use Refusal::*;
    for (request, refusal) in [
        (create("a/b/c"), None),
        (create("a/b"), Some(FolderExists)),
        (create("inbox"), Some(FolderExists)),
        (create("x//y"), Some(BadName)),
        (rename("a", "z/a"), None),
        (rename("a", "q"), Some(NoSuchFolder)),
        (rename("z/a", "Trash"), Some(FolderExists)),
        (rename("z", "z/a/y"), Some(BadName)),
        (remove("z/a"), Some(FolderInUse)),
        (remove("z/a/b/c"), None),
        (remove("INBOX"), Some(FolderInUse)),
        (remove("nowhere"), Some(NoSuchFolder)),
        (Request::RemoveMailbox { mailbox: BOB }, Some(NoSuchMailbox(BOB))),
        (Request::SpoolRemove { id: SpoolId(7) }, Some(NotFound)),
    ] {
        let answer = bench.request(request.clone());
        let refused = match answer {
            Response::Refused(refusal) => Some(refusal),
            _ => None,
        };
        assert_eq!(refused, refusal, "{request:?}");
    }
    let own: Vec<_> = names(&mut bench).into_iter().filter(|name| name.starts_with('z')).collect();
    assert_eq!(own, ["z", "z/a", "z/a/b"]);
}

#[test]
fn uid_validity_is_never_used_twice() {
    let mut bench = Bench::with_ada();
    bench.done(create("x"));
    let first = bench.folder(ADA, "x").uid_validity;
    bench.done(remove("x"));
    bench.done(create("x"));
    let second = bench.folder(ADA, "x").uid_validity;
    assert!(second > first);
    bench.done(Request::RemoveMailbox { mailbox: ADA });
    bench.done(Request::CreateMailbox { mailbox: ADA, quota: Quota::default() });
    assert!(bench.folder(ADA, "INBOX").uid_validity > second);
}

#[test]
fn renaming_inbox_moves_its_items_and_leaves_it_empty() {
    let mut bench = Bench::with_ada();
    bench.append(ADA, "INBOX", &["one", "two"]);
    let before = bench.folder(ADA, "INBOX");
    assert_eq!(bench.uids(ADA, before.id), [1, 2]);
    bench.done(rename("INBOX", "old/2026"));
    let inbox = bench.folder(ADA, "INBOX");
    assert_eq!((inbox.id, inbox.exists, inbox.size, inbox.unseen), (before.id, 0, 0, 0));
    assert_eq!(inbox.uid_next, before.uid_next);
    let old = bench.folder(ADA, "old/2026");
    assert_eq!((old.exists, old.size, old.unseen), (2, 6, 2));
    assert_eq!(bench.uids(ADA, old.id), [1, 2]);
    assert_eq!(bench.uids(ADA, inbox.id), [0; 0]);
    let since = before.highest_modseq;
    let answer = bench.request(Request::Changes { mailbox: ADA, folder: inbox.id, since });
    let Response::Changes { changed, vanished, .. } = answer else { panic!("{answer:?}") };
    assert_eq!((changed, vanished), (vec![], set(&[1, 2])));
}

#[test]
fn append_flags_copy_move_and_expunge_keep_the_counters() {
    let mut bench = Bench::with_ada();
    assert_eq!(bench.append(ADA, "INBOX", &["one", "three", "seventeen"]), [1, 2, 3]);
    let inbox = bench.folder(ADA, "INBOX");
    assert_eq!((inbox.exists, inbox.unseen, inbox.size, inbox.uid_next), (3, 3, 17, 4));
    let change = Request::SetFlags {
        mailbox: ADA,
        folder: inbox.id,
        uids: set(&[2, 3, 9]),
        change: FlagChange::Add,
        flags: flags(Flags::SEEN | Flags::DELETED, &["$Work"]),
        unchanged_since: None,
    };
    let answer = bench.request(change.clone());
    let Response::Flagged { changed, conflicting } = answer else { panic!("{answer:?}") };
    assert_eq!(changed.iter().map(|item| item.uid).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(changed[0].flags, flags(9, &["$Work"]));
    assert!(conflicting.is_empty());
    // again: nothing to change
    let answer = bench.request(change);
    assert_eq!(answer, Response::Flagged { changed: vec![], conflicting: UidSet::default() });
    let copy =
        Request::Copy { mailbox: ADA, folder: inbox.id, uids: set(&[1, 2]), to: "Archive".into() };
    let answer = bench.request(copy);
    let Response::Copied { uids, .. } = answer else { panic!("{answer:?}") };
    assert_eq!(uids, [(1, 1), (2, 2)]);
    let moved =
        Request::Move { mailbox: ADA, folder: inbox.id, uids: set(&[2]), to: "Archive".into() };
    let answer = bench.request(moved);
    let Response::Copied { uids, .. } = answer else { panic!("{answer:?}") };
    assert_eq!(uids, [(2, 3)]);
    let answer = bench.request(Request::Expunge { mailbox: ADA, folder: inbox.id, uids: None });
    let Response::Expunged { uids, modseq } = answer else { panic!("{answer:?}") };
    assert_eq!(uids, set(&[3]));
    let inbox = bench.folder(ADA, "INBOX");
    assert_eq!(inbox.highest_modseq, modseq);
    assert_eq!((inbox.exists, inbox.unseen, inbox.deleted, inbox.size), (1, 1, 0, 3));
    let archive = bench.folder(ADA, "Archive");
    assert_eq!((archive.exists, archive.unseen, archive.deleted, archive.size), (3, 1, 2, 13));
    assert_eq!(usage(&mut bench, ADA), Usage { bytes: 16, items: 4 });
    // "seventeen" went with its last item
    assert_eq!(bench.rows("bodies"), 2);
}

#[test]
fn unchanged_since_leaves_changed_items_alone() {
    let mut bench = Bench::with_ada();
    bench.append(ADA, "INBOX", &["one"]);
    let inbox = bench.folder(ADA, "INBOX");
    bench.append(ADA, "INBOX", &["two"]);
    let change = Request::SetFlags {
        mailbox: ADA,
        folder: inbox.id,
        uids: UidSet(vec![ALL]),
        change: FlagChange::Add,
        flags: flags(Flags::FLAGGED, &[]),
        unchanged_since: Some(inbox.highest_modseq),
    };
    let answer = bench.request(change);
    let Response::Flagged { changed, conflicting } = answer else { panic!("{answer:?}") };
    assert_eq!(changed.iter().map(|item| item.uid).collect::<Vec<_>>(), [1]);
    assert_eq!(conflicting, set(&[2]));
}

#[test]
fn a_repeated_request_takes_effect_once_and_gets_the_first_answer() {
    let mut bench = Bench::with_ada();
    let call = Call {
        id: RequestId(u128::MAX),
        at: bench.now,
        request: Request::Append {
            mailbox: ADA,
            folder: "INBOX".into(),
            messages: vec![new_item(b"once", 0, &[])],
        },
    };
    let first = bench.call(call.clone());
    bench.append(ADA, "INBOX", &["between"]);
    assert_eq!(bench.call(call.clone()), first);
    let mut bench = bench.restart();
    assert_eq!(bench.call(call), first);
    assert_eq!(bench.folder(ADA, "INBOX").exists, 2);
}

#[test]
fn uids_are_not_used_again_after_a_restart() {
    let mut bench = Bench::with_ada();
    bench.append(ADA, "INBOX", &["one", "two"]);
    let inbox = bench.folder(ADA, "INBOX").id;
    let all = UidSet(vec![ALL]);
    bench.done(Request::Move { mailbox: ADA, folder: inbox, uids: all, to: "Trash".into() });
    let mut bench = bench.restart();
    assert_eq!(bench.append(ADA, "INBOX", &["three"]), [3]);
}

#[test]
fn a_delivery_goes_to_all_or_to_none() {
    let mut bench = Bench::with_ada();
    let both = || vec![local(ADA), local(BOB), local(ADA)];
    let answer = bench.request(deliver(both(), vec![relay("x@y")], "hello"));
    assert_eq!(answer, Response::Refused(Refusal::NoSuchMailbox(BOB)));
    let quota = Quota { bytes: Some(4), items: None };
    bench.done(Request::CreateMailbox { mailbox: BOB, quota });
    let answer = bench.request(deliver(both(), vec![relay("x@y")], "hello"));
    assert_eq!(answer, Response::Refused(Refusal::OverQuota(vec![BOB])));
    assert_eq!((usage(&mut bench, ADA).items, spool(&mut bench).len()), (0, 0));
    bench.done(Request::CreateMailbox {
        mailbox: BOB,
        quota: Quota { bytes: None, items: Some(1) },
    });
    let answer = bench.request(deliver(both(), vec![relay("x@y")], "hello"));
    assert_eq!(answer, Response::Accepted { spool: Some(SpoolId(1)) });
    assert_eq!((usage(&mut bench, ADA).items, usage(&mut bench, BOB).items), (1, 1));
    assert_eq!(bench.rows("bodies"), 1);
    let answer = bench.request(deliver(both(), vec![], "hello"));
    assert_eq!(answer, Response::Refused(Refusal::OverQuota(vec![BOB])));
    let answer = bench.request(deliver(vec![], vec![], "hello"));
    assert!(matches!(answer, Response::Refused(Refusal::Limit(_))), "{answer:?}");
}

#[test]
fn the_spool_keeps_what_is_left_to_do() {
    let mut bench = Bench::with_ada();
    bench.done(deliver(vec![], vec![relay("a@x"), relay("b@x")], "hello"));
    let entry = spool(&mut bench).remove(0);
    assert_eq!((entry.id, entry.due, entry.size), (SpoolId(1), bench.now, 5));
    assert_eq!(bench.request(Request::SpoolBody { id: entry.id }), Response::Body("hello".into()));
    let later = Timestamp(bench.now.0 + 60_000);
    let deferred = SpoolOutcome::Deferred { error: "421 busy".into(), delay_reported: true };
    let report = Report {
        local: vec![local(ADA), local(BOB)],
        relay: vec![],
        message: Message("dsn".into()),
    };
    bench.done(Request::SpoolUpdate {
        id: entry.id,
        outcomes: vec![("a@x".into(), SpoolOutcome::Done), ("b@x".into(), deferred)],
        due: later,
        report: Some(Box::new(report)),
    });
    let entry = spool(&mut bench).remove(0);
    assert_eq!((entry.due, entry.recipients.len()), (later, 1));
    assert_eq!((entry.recipients[0].attempts, entry.recipients[0].delay_reported), (1, true));
    assert_eq!(usage(&mut bench, ADA).items, 1);
    let due = Some(bench.now);
    let answer = bench.request(Request::Spool { after: SpoolId(0), limit: 9, due });
    assert_eq!(answer, Response::Spool(vec![]));
    bench.done(Request::SpoolRetry { id: None });
    assert_eq!(spool(&mut bench)[0].due, bench.now);
    bench.done(Request::SpoolUpdate {
        id: entry.id,
        outcomes: vec![("b@x".into(), SpoolOutcome::Done)],
        due: later,
        report: None,
    });
    assert_eq!(spool(&mut bench), []);
    assert_eq!(bench.rows("bodies"), 1); // the report's
    bench.done(deliver(vec![], vec![relay("c@x")], "bye"));
    assert_eq!(spool(&mut bench)[0].id, SpoolId(2));
    bench.done(Request::SpoolRemove { id: SpoolId(2) });
    assert_eq!(spool(&mut bench), []);
}

#[test]
fn events_tell_what_changed() {
    let mut bench = Bench::with_ada();
    bench.append(ADA, "INBOX", &["one"]);
    let inbox = bench.folder(ADA, "INBOX");
    bench.done(deliver(vec![], vec![relay("c@x")], "bye"));
    let events: Vec<_> = std::iter::from_fn(|| bench.events.try_recv().ok()).collect();
    let (mailbox, folder, modseq) = (ADA, inbox.id, inbox.highest_modseq);
    let expected =
        [Event::Folders { mailbox }, Event::Folder { mailbox, folder, modseq }, Event::Spool];
    assert_eq!(events, expected);
}

#[test]
fn a_command_that_cannot_be_read_is_refused_and_the_next_is_applied() {
    let mut bench = Bench::with_ada();
    let answers = bench.apply(vec![
        Bytes::new(),
        Bytes::from_static(&[99, 1, 2]),
        Bytes::from_static(&[1, 255, 255]),
    ]);
    assert!(answers.iter().all(|answer| matches!(answer, Response::Refused(Refusal::Limit(_)))));
    bench.append(ADA, "INBOX", &["one"]);
}

#[test]
fn removing_a_mailbox_leaves_nothing_behind() {
    let mut bench = Bench::with_ada();
    let large = "x".repeat(crate::Store::INLINE_BODY + 1);
    bench.append(ADA, "INBOX", &["one", "two", &large]);
    bench.done(Request::RemoveMailbox { mailbox: ADA });
    for table in
        ["items", "bodies", "small_bodies", "structures", "mailbox_bodies", "folders", "tombstones"]
    {
        assert_eq!(bench.rows(table), 0, "{table}");
    }
}
