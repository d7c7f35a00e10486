//! The store behind its handle, with a group of one around it.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use common::{Action, Op, disk, folder, mailbox, open};
use posthouse_store::{
    BodyHash, Event, Query, Quota, Request, Response, Store, StoreError, UidSet,
};

async fn with_mailboxes(store: &Store) {
    for writer in 0..common::WRITERS {
        let request = Request::CreateMailbox { mailbox: mailbox(writer), quota: Quota::default() };
        assert_eq!(store.request(request).await.unwrap(), Response::Done);
    }
}

fn hash(op: Op) -> BodyHash {
    BodyHash(*blake3::hash(&op.message()).as_bytes())
}

const SMALL: Op = Op { writer: 0, number: 1, action: Action::Small };
const LARGE: Op = Op { writer: 0, number: 2, action: Action::Large };
const DELIVERY: Op = Op { writer: 0, number: 3, action: Action::Deliver };

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_wakes_who_listens_and_can_be_read_searched_and_fetched() {
    let place = tempfile::tempdir().unwrap();
    let (node, store) = open(disk::environment(), place.path()).await.unwrap();
    with_mailboxes(&store).await;
    let mut events = store.events();
    let answer = store.call(DELIVERY.call()).await.unwrap();
    assert!(matches!(answer, Response::Accepted { spool: Some(_) }), "{answer:?}");
    let inbox = folder(&store, 0, "INBOX").await.unwrap();
    let expected =
        Event::Folder { mailbox: mailbox(0), folder: inbox.id, modseq: inbox.highest_modseq };
    assert_eq!(events.recv().await.unwrap(), expected);
    let query = Query::Header("subject".into(), "0/3".into());
    let search = Request::Search { mailbox: mailbox(0), folder: inbox.id, query };
    let answer = store.request(search).await.unwrap();
    let found = Response::Found { uids: UidSet::from_uids([1]), modseq: inbox.highest_modseq };
    assert_eq!(answer, found);
    let body = store.request(Request::Body { mailbox: mailbox(1), body: hash(DELIVERY) }).await;
    assert_eq!(body.unwrap(), Response::Body(DELIVERY.message().into()));
    node.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_request_twice_at_the_same_time_takes_effect_once() {
    let place = tempfile::tempdir().unwrap();
    let (node, store) = open(disk::environment(), place.path()).await.unwrap();
    with_mailboxes(&store).await;
    let calls = (0..8).map(|_| store.call(LARGE.call()));
    let answers = futures_util::future::try_join_all(calls).await.unwrap();
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    assert_eq!(folder(&store, 0, "INBOX").await.unwrap().exists, 1);
    node.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_changes_clearly_and_reads_go_on() {
    let place = tempfile::tempdir().unwrap();
    let free = Arc::new(AtomicU64::new(u64::MAX));
    let (node, store) = open(disk::with_free_space(free.clone()), place.path()).await.unwrap();
    with_mailboxes(&store).await;
    store.call(LARGE.call()).await.unwrap();
    free.store(Store::RESERVE - 1, Ordering::SeqCst);
    let refused = store.call(SMALL.call()).await;
    assert!(matches!(refused, Err(StoreError::Storage(_))), "{refused:?}");
    let body = store.request(Request::Body { mailbox: mailbox(0), body: hash(LARGE) }).await;
    assert_eq!(body.unwrap(), Response::Body(LARGE.message().into()));
    free.store(u64::MAX, Ordering::SeqCst);
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
    while let Err(error) = store.call(SMALL.call()).await {
        assert!(tokio::time::Instant::now() < deadline, "{error}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(folder(&store, 0, "INBOX").await.unwrap().exists, 2);
    node.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_body_is_an_error_that_says_so_and_is_mended_when_it_comes_again() {
    let place = tempfile::tempdir().unwrap();
    let (node, store) = open(disk::environment(), place.path()).await.unwrap();
    with_mailboxes(&store).await;
    store.call(LARGE.call()).await.unwrap();
    let file = place.path().join("store/bodies/00000001.bodies");
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[500] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let read = Request::Body { mailbox: mailbox(0), body: hash(LARGE) };
    let damaged = store.request(read.clone()).await;
    assert!(matches!(damaged, Err(StoreError::Damaged(_))), "{damaged:?}");
    assert_eq!(store.scrub(None).await.unwrap().damaged.len(), 1);
    let Request::Append { .. } = LARGE.call().request else { panic!() };
    store.request(LARGE.call().request).await.unwrap();
    assert_eq!(store.request(read).await.unwrap(), Response::Body(LARGE.message().into()));
    node.shutdown().await.unwrap();
}
