//! Messages that come again, by whatever request.

use bytes::Bytes;
use posthouse_cluster::GroupId;

use super::{ADA, BOB, Bench, envelope, local, relay};
use crate::{
    DeliveryId, LocalRecipient, Message, Quota, RelayRecipient, Request, Response, SpoolId,
};

const DAY: u64 = 24 * 3600 * 1000;

fn once(delivery: u128, local: Vec<LocalRecipient>, relay: Vec<RelayRecipient>) -> Request {
    Request::DeliverOnce {
        delivery: DeliveryId(delivery),
        envelope: envelope("from@example.test"),
        local,
        relay,
        message: Message(Bytes::from_static(b"Subject: once\r\n\r\ntext\r\n")),
    }
}

fn items(bench: &mut Bench, mailbox: crate::MailboxId) -> u64 {
    match bench.request(Request::Quota { mailbox }) {
        Response::Quota { usage, .. } => usage.items,
        other => panic!("{other:?}"),
    }
}

fn spooled(bench: &mut Bench) -> Vec<crate::SpoolEntry> {
    match bench.request(Request::Spool { after: SpoolId(0), limit: 100, due: None }) {
        Response::Spool(entries) => entries,
        other => panic!("{other:?}"),
    }
}

fn with_both() -> Bench {
    let mut bench = Bench::with_ada();
    bench.done(Request::CreateMailbox { mailbox: BOB, quota: Quota::default() });
    bench
}

#[test]
fn a_delivery_takes_effect_once_for_each_mailbox_and_once_for_the_spool() {
    let mut bench = with_both();
    let out = || vec![relay("out@elsewhere.test")];
    for (request, ada, bob, entries) in [
        (once(1, vec![local(ADA)], vec![]), 1, 0, 0),
        (once(1, vec![local(ADA)], vec![]), 1, 0, 0),
        (once(1, vec![local(ADA), local(BOB)], vec![]), 1, 1, 0),
        (once(1, vec![local(BOB)], out()), 1, 1, 1),
        (once(1, vec![local(BOB)], out()), 1, 1, 1),
        (once(2, vec![local(BOB)], out()), 1, 2, 2),
    ] {
        let answer = bench.request(request.clone());
        assert!(matches!(answer, Response::Accepted { .. }), "{answer:?}");
        let is = (items(&mut bench, ADA), items(&mut bench, BOB), spooled(&mut bench).len());
        assert_eq!(is, (ada, bob, entries), "{request:?}");
    }
    let entry = spooled(&mut bench).remove(0);
    assert_eq!((entry.delivery, entry.id.store()), (Some(DeliveryId(1)), GroupId(1)));
    let mut bench = bench.restart();
    bench.request(once(2, vec![local(ADA), local(BOB)], vec![]));
    assert_eq!((items(&mut bench, ADA), items(&mut bench, BOB)), (2, 2));
}

#[test]
fn a_full_mailbox_that_has_the_message_already_does_not_refuse_it() {
    let mut bench = with_both();
    bench.request(once(1, vec![local(ADA)], vec![]));
    let quota = Quota { bytes: None, items: Some(1) };
    bench.done(Request::CreateMailbox { mailbox: ADA, quota });
    let answer = bench.request(once(1, vec![local(ADA), local(BOB)], vec![]));
    assert!(matches!(answer, Response::Accepted { .. }), "{answer:?}");
    assert_eq!((items(&mut bench, ADA), items(&mut bench, BOB)), (1, 1));
}

#[test]
fn deliveries_are_remembered_for_thirty_days_of_commands_whatever_the_clock_does() {
    let mut bench = with_both();
    let begin = bench.now.0;
    let mut next = 16;
    let mut at = |bench: &mut Bench, day: u64| {
        bench.now.0 = begin + day * DAY;
        next += 16;
        bench.request(once(next, vec![local(BOB)], vec![]));
    };
    bench.request(once(1, vec![local(ADA)], vec![]));
    // a clock that jumps a year ahead and back is no year
    for day in [400, 0, 1] {
        at(&mut bench, day);
    }
    bench.request(once(1, vec![local(ADA)], vec![]));
    assert_eq!(items(&mut bench, ADA), 1);
    for day in 401..430 {
        at(&mut bench, day);
    }
    bench.request(once(1, vec![local(ADA)], vec![]));
    assert_eq!(items(&mut bench, ADA), 1, "thirty days are not over");
    for day in 430..433 {
        at(&mut bench, day);
    }
    bench.request(once(1, vec![local(ADA)], vec![]));
    assert_eq!(items(&mut bench, ADA), 2, "they are");
}

#[test]
fn spools_of_stores_number_from_different_beginnings() {
    for store in [1, 2, 3, 1000] {
        let beginning = SpoolId::beginning(GroupId(store));
        assert_eq!(SpoolId(beginning.0 + 1).store(), GroupId(store));
    }
    assert_eq!(SpoolId::beginning(GroupId(1)), SpoolId(0));
}
