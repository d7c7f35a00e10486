//! Large folders, large bodies, many changes at once.

use std::sync::Arc;

use parking_lot::Mutex;

use super::*;
use crate::{FlagChange, MoveEnd};

/// Of a large body: four of them are more than one portion.
const SIZE: usize = 5 << 18;

/// A thousand messages, and copies of them until there are so many thousand.
fn fill(bench: &mut Bench, folder: &str, thousands: u32) {
    let messages =
        (0..1000).map(|number| new_item(format!("Subject: {number}\r\n\r\n").as_bytes(), 8, &[]));
    let (mailbox, to) = (ADA, folder.to_owned());
    bench.done(Request::Append { mailbox, folder: to.clone(), messages: messages.collect() });
    let there = bench.folder(ADA, folder);
    let uids = UidSet(vec![(there.uid_next - 1000, there.uid_next - 1)]);
    for _ in 1..thousands {
        let (folder, uids, to) = (there.id, uids.clone(), to.clone());
        bench.done(Request::Copy { mailbox, folder, uids, to });
    }
}

#[tokio::test]
async fn a_folder_of_twenty_thousand_items_loses_tombstones_while_it_is_copied() {
    let world = World::new(2);
    world.with(|inner| fill(inner.bench(1), "INBOX", 20));
    let wish = world.wish(1, ADA, 2);
    let asked = Arc::new(Mutex::new(0));
    let count = asked.clone();
    world.meanwhile(move |inner| {
        *count.lock() += 1;
        // every other item goes, while the copy is in the middle: more than a folder remembers
        if *count.lock() == 60 {
            let inbox = inner.bench(1).folder(ADA, "INBOX").id;
            for part in 0..2 {
                let uids = (1..10_000).filter(|uid| uid % 2 == 0).map(|uid| uid + part * 10_000);
                let uids = Some(UidSet::from_uids(uids));
                inner.bench(1).done(Request::Expunge { mailbox: ADA, folder: inbox, uids });
            }
            for round in 0..3 {
                fill(inner.bench(1), "INBOX", 10);
                let first = 20_000 + round * 10_000;
                let uids = (first..first + 10_000).filter(|uid| uid % 2 == 0);
                let uids = Some(UidSet::from_uids(uids));
                inner.bench(1).done(Request::Expunge { mailbox: ADA, folder: inbox, uids });
            }
        }
    });
    let before = |inner: &mut world::Inner, store| {
        let inbox = inner.bench(store).folder(ADA, "INBOX");
        (inner.bench(store).uids(ADA, inbox.id), inbox)
    };
    let end = world.drive_to_the_end(wish).await;
    assert_eq!(end, MoveEnd::Moved, "{:?}", world.with(|inner| inner.failed.clone()));
    world.nothing_meanwhile();
    assert!(*asked.lock() > 60);
    assert!(world.with(|inner| inner.names.contains(&"import uids")), "tombstones were forgotten");
    let (uids, inbox) = world.with(|inner| before(inner, 2));
    assert_eq!(uids.len(), 25_002);
    assert_eq!(inbox.exists, 25_002);
    world.check();
}

#[tokio::test]
async fn large_bodies_and_one_body_in_many_items_arrive_whole_and_once() {
    let world = World::new(2);
    world.with(|inner| {
        let quota = Quota::default();
        inner.bench(1).done(Request::CreateMailbox { mailbox: ADA, quota });
        for number in 0..4_u8 {
            let mut body = vec![b'a' + number; SIZE];
            // lines of usual length
            body.iter_mut().skip(70).step_by(72).for_each(|byte| *byte = b'\n');
            let messages = vec![new_item(&body, 0, &[])];
            inner.bench(1).done(Request::Append { mailbox: ADA, folder: "Sent".into(), messages });
        }
        let sent = inner.bench(1).folder(ADA, "Sent").id;
        for _ in 0..50 {
            let (uids, to) = (UidSet(vec![(1, 4)]), "Archive".into());
            inner.bench(1).done(Request::Copy { mailbox: ADA, folder: sent, uids, to });
        }
        // quota says no, a move does not ask it
        let quota = Quota { bytes: Some(1), items: Some(1) };
        inner.bench(1).done(Request::CreateMailbox { mailbox: ADA, quota });
    });
    let (usage, path) = world.with(|inner| {
        let usage = inner.bench(1).request(Request::Quota { mailbox: ADA });
        (usage, inner.bench(2).folder.path().join("bodies"))
    });
    let wish = world.wish(1, ADA, 2);
    assert_eq!(world.drive_to_the_end(wish).await, MoveEnd::Moved);
    world.with(|inner| {
        assert_eq!(inner.bench(2).request(Request::Quota { mailbox: ADA }), usage);
        assert_eq!(inner.bench(2).rows("bodies"), 4);
        let archive = inner.bench(2).folder(ADA, "Archive");
        assert_eq!(archive.exists, 200);
        for item in inner.bench(2).items(ADA, archive.id).into_iter().take(4) {
            let body = Request::Body { mailbox: ADA, body: item.body };
            assert!(
                matches!(inner.bench(2).request(body), Response::Body(body) if body.len() == SIZE)
            );
        }
        let refused = inner.bench(2).request(deliver(vec![local(ADA)], vec![], "x"));
        assert!(matches!(refused, Response::Refused(crate::Refusal::OverQuota(_))));
    });
    let files: u64 =
        std::fs::read_dir(path).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum();
    assert!(files < 4 * SIZE as u64 + 100_000, "bodies were sent more than once: {files}");
    world.check();
}

#[tokio::test]
async fn names_that_folders_exchange_arrive_as_they_are() {
    let world = World::new(2);
    let rename = |inner: &mut world::Inner, from: &str, to: &str| {
        let (from, to) = (from.into(), to.into());
        inner.bench(1).done(Request::RenameFolder { mailbox: ADA, from, to });
    };
    world.with(|inner| fill(inner.bench(1), "Sent", 1));
    let wish = world.wish(1, ADA, 2);
    let mut asked = 0;
    world.meanwhile(move |inner| {
        asked += 1;
        if asked == 7 {
            rename(inner, "Sent", "x");
            rename(inner, "Drafts", "Sent");
            rename(inner, "x", "Drafts");
            rename(inner, "INBOX", "old");
            let sent = inner.bench(1).folder(ADA, "Drafts").id;
            inner.bench(1).done(Request::SetFlags {
                mailbox: ADA,
                folder: sent,
                uids: UidSet(vec![(1, 500)]),
                change: FlagChange::Replace,
                flags: flags(1, &["New"]),
                unchanged_since: None,
            });
        }
    });
    assert_eq!(world.drive_to_the_end(wish).await, MoveEnd::Moved);
    world.nothing_meanwhile();
    world.with(|inner| {
        let drafts = inner.bench(2).folder(ADA, "Drafts");
        assert_eq!((drafts.exists, drafts.unseen), (1000, 500));
        assert_eq!(drafts.purpose, crate::FolderUse::Sent);
        assert_eq!(inner.bench(2).folder(ADA, "Sent").purpose, crate::FolderUse::Drafts);
    });
    world.check();
}
