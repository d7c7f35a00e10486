//! Drivers that come late, two at a time, and questions that arrive again.

use std::sync::Arc;

use parking_lot::Mutex;
use posthouse_cluster::GroupId;

use super::{model::busy, *};
use crate::{Export, MoveEnd, MoveStep, Places, Refusal};

fn moving(bench: &mut Bench, step: MoveStep) -> Response {
    bench.request(Request::Moving(step))
}

#[tokio::test]
async fn two_drivers_of_one_move_do_not_harm_each_other() {
    for seed in 0..4 {
        let world = World::new(2);
        let client = Arc::new(Mutex::new(Client::new(&world, seed, ADA)));
        let wish = world.wish(1, ADA, 2);
        let changing = client.clone();
        client.lock().left = 60;
        // a second driver runs to its end, or to its first lost question, in the middle of the first one
        let (other, mut asked) = (world.clone(), 0);
        world.meanwhile(move |inner| {
            asked += 1;
            changing.lock().step(inner);
            if asked == 5 + seed as usize * 4 {
                let _ = &other;
                let step = Request::Moving(MoveStep::Import {
                    id: wish.id,
                    step: asked as u64,
                    parts: vec![crate::Portion::FoldersGone(Vec::new())],
                });
                inner.bench(2).request(step);
            }
        });
        let second = world.driver(wish);
        let ends = futures_util::future::join(world.drive_to_the_end(wish), async {
            for _ in 0..20 {
                if let Ok(end) = second.drive().await {
                    return end;
                }
            }
            panic!("the second driver does not end");
        });
        assert_eq!(ends.await, (MoveEnd::Moved, MoveEnd::Moved), "seed {seed}");
        world.nothing_meanwhile();
        client.lock().compare(&world);
        world.check();
    }
}

#[tokio::test]
async fn every_step_that_was_done_may_arrive_again_at_any_later_time() {
    let world = World::new(2);
    let client = Arc::new(Mutex::new(Client::new(&world, 9, ADA)));
    busy(&world, &client, 40);
    let heard = Arc::new(Mutex::new(Vec::<(GroupId, MoveStep)>::new()));
    let eavesdropper = Arc::new(Eavesdropper { world: world.clone(), heard: heard.clone() });
    let wish = world.wish(1, ADA, 2);
    let driver = crate::Driver::new(
        Environment::real(),
        eavesdropper,
        Arc::new(world.clone()),
        wish,
        crate::Pace::default(),
        Arc::new(|| true),
    );
    assert_eq!(driver.drive().await, Ok(MoveEnd::Moved));
    world.nothing_meanwhile();
    let steps = heard.lock().clone();
    assert!(steps.len() > 10);
    // with request ids of their own: the memory of requests is not what protects
    for (store, step) in steps.iter().chain(steps.iter().rev()) {
        world.with(|inner| moving(inner.bench(store.0), step.clone()));
    }
    client.lock().compare(&world);
    world.check();
}

/// Remembers the steps.
struct Eavesdropper {
    world: World,
    heard: Arc<Mutex<Vec<(GroupId, MoveStep)>>>,
}

impl Places for Eavesdropper {
    fn call(
        &self,
        store: GroupId,
        call: Call,
    ) -> posthouse_cluster::env::BoxFuture<Result<Response, crate::StoreError>> {
        if let Request::Moving(step) = &call.request {
            let mut heard = self.heard.lock();
            heard.push((store, step.clone()));
            // what arrives twice in a row
            let again = heard[heard.len() / 2].clone();
            drop(heard);
            let answer = self.world.call(store, call);
            let _ = self.world.with(|inner| moving(inner.bench(again.0.0), again.1));
            return answer;
        }
        self.world.call(store, call)
    }
}

#[tokio::test]
async fn a_driver_that_comes_after_the_end_finds_that_it_is_over() {
    let world = World::new(2);
    let wish = world.wish(1, ADA, 2);
    world.with(|inner| inner.mark(wish.id, &Mark::Ending));
    assert_eq!(world.drive_to_the_end(wish).await, MoveEnd::Stayed);
    world.with(|inner| {
        let (id, mailbox) = (wish.id, ADA);
        let leave = MoveStep::Leave { mailbox, id, to: GroupId(2) };
        let answer = moving(inner.bench(1), leave);
        assert!(
            matches!(&answer, Response::Departure(departure) if !departure.state.is_open()),
            "{answer:?}"
        );
        let over = Response::Refused(Refusal::MoveOver);
        let arrive = MoveStep::Arrive { mailbox, id, from: GroupId(1) };
        for (store, step) in [
            (2, arrive),
            (2, MoveStep::Activate { id }),
            (1, MoveStep::Part { id }),
            (1, MoveStep::Erase { id }),
            (1, MoveStep::Freeze { id, since: 0, items: 9, bytes: 9 }),
        ] {
            assert_eq!(moving(inner.bench(store), step.clone()), over, "{step:?}");
        }
        let open = inner.bench(1).request(Request::Export(Export::Departures));
        assert_eq!(open, Response::Exported(crate::Exported::Departures(Vec::new())));
    });
    world.check();
}

#[test]
fn a_frozen_mailbox_is_read_and_not_changed_and_a_parted_one_is_elsewhere() {
    let world = World::new(2);
    let (id, mailbox, to) = (MoveId(77), ADA, GroupId(2));
    world.with(|inner| {
        let bench = inner.bench(1);
        let delivered =
            |bench: &mut Bench| bench.request(deliver(vec![local(ADA), local(BOB)], vec![], "x"));
        moving(bench, MoveStep::Leave { mailbox, id, to });
        assert!(matches!(delivered(bench), Response::Accepted { .. }));
        let freeze = |since| MoveStep::Freeze { id, since, items: 0, bytes: 0 };
        let not_yet = moving(bench, freeze(0));
        assert!(matches!(not_yet, Response::Departure(one) if one.state == crate::DepartureState::Leaving));
        moving(bench, freeze(1000));
        let refused = Response::Refused(Refusal::Moving(ADA));
        let quota = Quota::default();
        assert_eq!(delivered(bench), refused);
        assert_eq!(bench.request(Request::CreateMailbox { mailbox, quota }), refused);
        assert_eq!(bench.request(Request::RemoveMailbox { mailbox }), refused);
        let inbox = bench.folder(ADA, "INBOX");
        assert_eq!(bench.items(ADA, inbox.id).len(), 1);
        moving(bench, MoveStep::Part { id });
        let moved = Response::Refused(Refusal::Moved { mailbox, to });
        assert_eq!(delivered(bench), moved);
        assert_eq!(bench.request(Request::Folders { mailbox }), moved);
        assert_eq!(bench.request(Request::CreateMailbox { mailbox, quota }), moved);
        let other = bench.request(deliver(vec![local(BOB)], vec![], "x"));
        assert!(matches!(other, Response::Accepted { .. }), "{other:?}");
    });
}

#[tokio::test]
async fn a_mailbox_that_is_removed_while_it_moves_is_gone_everywhere() {
    let world = World::new(2);
    let wish = world.wish(1, ADA, 2);
    let mut asked = 0;
    world.meanwhile(move |inner| {
        asked += 1;
        if asked == 10 {
            inner.bench(1).done(Request::RemoveMailbox { mailbox: ADA });
        }
    });
    assert_eq!(world.drive_to_the_end(wish).await, MoveEnd::Stayed);
    world.nothing_meanwhile();
    world.with(|inner| {
        inner.place.remove(&ADA);
        assert_eq!(inner.bench(2).rows("mailboxes"), 0);
    });
    world.check();
}

#[tokio::test]
async fn a_copy_that_differs_is_never_switched_to() {
    for sql in [
        "-- nothing",
        "UPDATE items SET flags = (flags & ~4) | (~flags & 4) WHERE uid = 1",
        "UPDATE items SET keywords = 'other' WHERE uid = 1",
        "UPDATE folders SET uid_next = uid_next + 1 WHERE name = 'INBOX'",
        "UPDATE folders SET subscribed = 1 - subscribed WHERE name = 'Sent'",
    ] {
        let world = World::new(2);
        let client = Arc::new(Mutex::new(Client::new(&world, 1, ADA)));
        client.lock().left = 0;
        let wish = world.wish(1, ADA, 2);
        let mut done = false;
        world.meanwhile(move |inner| {
            // everything has been carried over and nothing compared
            if !done && inner.names.last() == Some(&"import mailbox") {
                done = true;
                let path = inner.bench(2).machine.path();
                let _ = rusqlite::Connection::open(path).unwrap().execute(sql, []);
            }
        });
        let broken = !sql.starts_with("--");
        let expected = if broken { MoveEnd::Stayed } else { MoveEnd::Moved };
        assert_eq!(world.drive_to_the_end(wish).await, expected, "{sql}");
        world.nothing_meanwhile();
        client.lock().compare(&world);
        world.check();
        let failed = world.with(|inner| inner.failed.clone());
        assert_eq!(failed.len(), usize::from(broken), "{failed:?}");
    }
}
