//! Requests that read.

use super::*;
use crate::{BodyHash, Refusal, Structure};

#[test]
fn bodies_are_read_only_through_a_mailbox_that_has_them() {
    let mut bench = Bench::with_ada();
    bench.done(Request::CreateMailbox { mailbox: BOB, quota: Quota::default() });
    let large = "x".repeat(crate::Store::INLINE_BODY + 1);
    for text in ["small", &large] {
        bench.append(ADA, "INBOX", &[text]);
        let body = BodyHash(*blake3::hash(text.as_bytes()).as_bytes());
        let answer = bench.request(Request::Body { mailbox: ADA, body });
        assert_eq!(answer, Response::Body(Bytes::copy_from_slice(text.as_bytes())));
        let answer = bench.request(Request::Body { mailbox: BOB, body });
        assert_eq!(answer, Response::Refused(Refusal::NotFound));
    }
}

#[test]
fn a_folder_is_read_only_through_its_mailbox() {
    let mut bench = Bench::with_ada();
    bench.done(Request::CreateMailbox { mailbox: BOB, quota: Quota::default() });
    let folder = bench.folder(ADA, "INBOX").id;
    let (mailbox, uids, to) = (BOB, UidSet(vec![ALL]), String::from("INBOX"));
    for request in [
        Request::Uids { mailbox, folder },
        Request::Items {
            mailbox,
            folder,
            uids: uids.clone(),
            parts: Parts::default(),
            changed_since: 0,
        },
        Request::Changes { mailbox, folder, since: 0 },
        Request::Search { mailbox, folder, query: Query::All },
        Request::Copy { mailbox, folder, uids: uids.clone(), to: to.clone() },
        Request::Move { mailbox, folder, uids: uids.clone(), to },
        Request::Expunge { mailbox, folder, uids: None },
        Request::SetFlags {
            mailbox,
            folder,
            uids,
            change: crate::FlagChange::Add,
            flags: flags(1, &[]),
            unchanged_since: None,
        },
    ] {
        let answer = bench.request(request.clone());
        assert_eq!(answer, Response::Refused(Refusal::NoSuchFolder), "{request:?}");
    }
}

#[test]
fn items_come_in_pages_with_their_structure() {
    let mut bench = Bench::with_ada();
    let texts: Vec<String> = (0..1500).map(|n| format!("Subject: {n}\r\n\r\nbody")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    bench.append(ADA, "INBOX", &texts[..1000]);
    bench.append(ADA, "INBOX", &texts[1000..]);
    let folder = bench.folder(ADA, "INBOX").id;
    let page = |bench: &mut Bench, from, since| {
        let uids = UidSet(vec![(from, Uid::MAX)]);
        let parts = Parts { structure: true };
        match bench.request(Request::Items {
            mailbox: ADA,
            folder,
            uids,
            parts,
            changed_since: since,
        }) {
            Response::Items { items, more } => (items, more),
            other => panic!("{other:?}"),
        }
    };
    let (items, more) = page(&mut bench, 1, 0);
    assert_eq!((items.len(), items[0].uid, more), (1000, 1, true));
    let structure: Structure = postcard::from_bytes(items[7].structure.as_ref().unwrap()).unwrap();
    assert_eq!(structure.envelope.subject.as_deref(), Some("7"));
    let first_append = items[0].modseq;
    let (items, more) = page(&mut bench, 1001, 0);
    assert_eq!((items.len(), items[0].uid, more), (500, 1001, false));
    let (items, more) = page(&mut bench, 1, first_append);
    assert_eq!((items.len(), items[0].uid, more), (500, 1001, false));
}

const LETTER: &str = "From: Ada <ada@example.test>\r\nTo: bob@example.test\r\n\
    Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= from\r\n London\r\nDate: Mon, 2 Nov 2026 10:00:00 +0100\r\n\
    Content-Type: multipart/alternative; boundary=b\r\n\r\n\
    --b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n\
    SMOkdHRlIGljaA==\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>some <b>bold</b> words</p>\r\n--b--\r\n";

#[test]
fn search_finds_what_matches() {
    let mut bench = Bench::with_ada();
    let second = new_item(b"Subject: plain\r\n\r\nnothing here", Flags::SEEN, &["$Work"]);
    let messages = vec![new_item(LETTER.as_bytes(), Flags::FLAGGED, &[]), second];
    bench.done(Request::Append { mailbox: ADA, folder: "INBOX".into(), messages });
    let folder = bench.folder(ADA, "INBOX").id;
    let header = |name: &str, value: &str| Query::Header(name.into(), value.into());
    let day = |day: u64| Timestamp(1_793_491_200_000 + (day - 1) * 86_400_000); // November 2026
    use Query::*;
    for (query, expected) in [
        (All, vec![1, 2]),
        (Uids(set(&[2, 5])), vec![2]),
        (System(Flags::SEEN), vec![2]),
        (Not(Box::new(System(Flags::SEEN))), vec![1]),
        (System(Flags::DELETED), vec![]),
        (Keyword("$work".into()), vec![2]),
        (Larger(100), vec![1]),
        (Smaller(100), vec![2]),
        (ReceivedSince(Timestamp(1_700_000_000_000)), vec![1, 2]),
        (ReceivedBefore(Timestamp(1_700_000_000_000)), vec![]),
        (SentSince(day(2)), vec![1]),
        (SentBefore(day(2)), vec![2]),
        (ModSeq(99), vec![]),
        (header("subject", "grüße from london"), vec![1]),
        (header("Subject", "PLAIN"), vec![2]),
        (header("subject", ""), vec![1, 2]),
        (Not(Box::new(header("subject", "plain"))), vec![1]),
        (And(vec![header("subject", "from"), header("to", "bob")]), vec![1]),
        (Or(vec![header("subject", "plain"), Body("hätte".into())]), vec![1, 2]),
        (header("to", ""), vec![1]),
        (Body("hätte ICH".into()), vec![1]),
        (Body("bold words".into()), vec![1]),
        (Body("grüße".into()), vec![]),
        (Text("Grüße".into()), vec![1]),
        (Text("nothing".into()), vec![2]),
        (And(vec![Body("nothing".into()), System(Flags::SEEN)]), vec![2]),
        (And(vec![Body("nothing".into()), System(Flags::FLAGGED)]), vec![]),
        (Or(vec![Body("hätte".into()), System(Flags::SEEN)]), vec![1, 2]),
        (Not(Box::new(Body("hätte".into()))), vec![2]),
        (And(vec![]), vec![1, 2]),
        (Or(vec![]), vec![]),
    ] {
        let answer = bench.request(Request::Search { mailbox: ADA, folder, query: query.clone() });
        let Response::Found { uids, .. } = answer else { panic!("{query:?}: {answer:?}") };
        assert_eq!(uids, set(&expected), "{query:?}");
    }
}

#[test]
fn subjects_are_searched_without_reading_messages() {
    let mut bench = Bench::with_ada();
    let bare = new_item(b"To: ada@example.test\r\n\r\nno subject", 0, &[]);
    let messages = vec![new_item(LETTER.as_bytes(), 0, &[]), bare];
    bench.done(Request::Append { mailbox: ADA, folder: "INBOX".into(), messages });
    let id = bench.folder(ADA, "INBOX").id;
    let folder = crate::read::folder(bench.reader(), ADA, id).unwrap_or_else(|_| panic!("gone"));
    let header = |name: &str, value: &str| Query::Header(name.into(), value.into());
    for (query, found, open) in [
        // without a subject only the message tells
        (header("Subject", "grüße"), vec![1], vec![2]),
        (header("subject", "nobody wrote this"), vec![], vec![2]),
        (Query::Not(Box::new(header("subject", "grüße"))), vec![], vec![2]),
        (Query::And(vec![header("subject", "grüße"), header("to", "ada")]), vec![], vec![1, 2]),
        (header("to", "ada"), vec![], vec![1, 2]),
    ] {
        let Ok(candidates) = crate::read::candidates(bench.reader(), &folder, &query) else {
            panic!("{query:?} is refused");
        };
        let uids: Vec<_> = candidates.found.into_iter().map(|(uid, _)| uid).collect();
        assert_eq!((uids, candidates.open), (found, open), "{query:?}");
    }
}

#[test]
fn a_query_is_bounded_in_depth_and_size() {
    let mut bench = Bench::with_ada();
    let folder = bench.folder(ADA, "INBOX").id;
    let deep = (0..40).fold(Query::All, |query, _| Query::Not(Box::new(query)));
    let wide = Query::Or(vec![Query::All; 600]);
    for query in [deep, wide] {
        let answer = bench.request(Request::Search { mailbox: ADA, folder, query });
        assert!(matches!(answer, Response::Refused(Refusal::Limit(_))), "{answer:?}");
    }
}

#[test]
fn the_plans_of_hot_queries_use_an_index() {
    let bench = Bench::new();
    for (sql, index) in [
        (
            "SELECT uid FROM items WHERE folder = 1 AND uid >= 1 ORDER BY uid",
            "PRIMARY KEY (folder=? AND uid>?)",
        ),
        ("SELECT uid FROM items WHERE folder = 1 AND modseq > 5", "COVERING INDEX items_by_modseq"),
        (
            "SELECT uid, size FROM items INDEXED BY items_unseen WHERE folder = 1 AND uid BETWEEN 1 AND 9 AND flags & 1 = 0 ORDER BY uid",
            "items_unseen",
        ),
        (
            "SELECT uid, size FROM items INDEXED BY items_deleted WHERE folder = 1 AND uid BETWEEN 1 AND 9 AND flags & 8 <> 0 ORDER BY uid",
            "items_deleted",
        ),
        (
            "SELECT uid, bytes FROM items JOIN structures USING (body) WHERE folder = 1 AND uid = 2",
            "SEARCH structures USING INTEGER PRIMARY KEY (rowid=?)",
        ),
        ("SELECT id FROM bodies WHERE hash = x'00'", "sqlite_autoindex_bodies_1"),
        (
            "SELECT b.id FROM bodies b JOIN mailbox_bodies m ON m.body = b.id AND m.mailbox = 2 WHERE b.hash = x'00'",
            "PRIMARY KEY (body=? AND mailbox=?)",
        ),
        ("SELECT answer FROM requests WHERE id = x'00'", "sqlite_autoindex_requests_1"),
        ("DELETE FROM requests WHERE number <= 5", "INTEGER PRIMARY KEY (rowid<?)"),
        ("SELECT id FROM folders WHERE mailbox = 1 AND name = 'x'", "sqlite_autoindex_folders_1"),
    ] {
        let mut statement = bench.reader().prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let plan: Vec<String> =
            statement.query_map([], |row| row.get(3)).unwrap().map(Result::unwrap).collect();
        assert!(plan.iter().any(|line| line.contains(index)), "{sql}: {plan:?}");
        assert!(!plan.iter().any(|line| line.contains("SCAN")), "{sql}: {plan:?}");
    }
}
