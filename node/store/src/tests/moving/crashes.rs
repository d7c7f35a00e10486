//! Every question of a driver gets lost once, on the way there or back; every step is cancelled once.

use std::sync::Arc;

use parking_lot::Mutex;

use super::{model::busy, *};
use crate::MoveEnd;

/// A small world with a client; the number of changes that it makes while the mailbox moves.
fn prepared(seed: u64, changes: usize) -> (World, Arc<Mutex<Client>>) {
    let world = World::new(2);
    let client = Arc::new(Mutex::new(Client::new(&world, seed, ADA)));
    busy(&world, &client, changes);
    (world, client)
}

fn is_read(name: &str) -> bool {
    ["export", "read", "digests"].contains(&name)
}

/// What a move asks when nothing goes wrong.
async fn questions(seed: u64, changes: usize) -> Vec<&'static str> {
    let (world, _) = prepared(seed, changes);
    let wish = world.wish(1, ADA, 2);
    assert_eq!(world.drive(wish).await, Ok(MoveEnd::Moved));
    world.with(|inner| inner.names.clone())
}

#[tokio::test]
async fn a_driver_that_dies_at_any_question_is_followed_by_one_that_goes_on() {
    let names = questions(1, 25).await;
    assert!(names.len() > 30, "{names:?}");
    for kind in ["leave", "arrive", "import items", "freeze", "mark moved", "part", "activate"] {
        assert!(names.contains(&kind), "{kind} is not tried: {names:?}");
    }
    for (number, name) in names.iter().enumerate() {
        // of questions that change nothing, a sample
        let faults = match is_read(name) {
            true if number % 4 == 0 => vec![Fault::Before(number + 1)],
            true => vec![],
            false => vec![Fault::Before(number + 1), Fault::After(number + 1)],
        };
        for fault in faults {
            let (world, client) = prepared(1, 25);
            world.with(|inner| inner.fault = Some(fault));
            let wish = world.wish(1, ADA, 2);
            let first = world.drive(wish).await;
            assert!(first.is_err(), "{name}, {fault:?}: {first:?}");
            let end = world.drive_to_the_end(wish).await;
            assert_eq!(end, MoveEnd::Moved, "{name}, {fault:?}");
            world.nothing_meanwhile();
            client.lock().compare(&world);
            world.check();
        }
    }
}

#[tokio::test]
async fn a_move_that_is_cancelled_at_any_question_leaves_the_mailbox_where_it_belongs() {
    let names = questions(2, 15).await;
    let switched = names.iter().position(|name| *name == "mark moved").unwrap() + 1;
    for number in 1..=names.len() {
        // of questions that change nothing, a sample
        if is_read(names[number - 1]) && number % 3 > 0 {
            continue;
        }
        let (world, client) = prepared(2, 15);
        let wish = world.wish(1, ADA, 2);
        let changing = client.clone();
        let mut asked = 0;
        world.meanwhile(move |inner| {
            asked += 1;
            if asked == number {
                inner.mark(wish.id, &Mark::Ending);
            }
            changing.lock().step(inner);
        });
        let end = world.drive_to_the_end(wish).await;
        let expected = if number <= switched { MoveEnd::Stayed } else { MoveEnd::Moved };
        assert_eq!(end, expected, "cancelled before question {number}, {}", names[number - 1]);
        world.nothing_meanwhile();
        client.lock().compare(&world);
        world.check();
        if end == MoveEnd::Stayed {
            assert_eq!(world.with(|inner| inner.bench(2).rows("mailboxes")), 0);
        }
    }
}

#[tokio::test]
async fn a_cancelled_move_that_loses_a_question_while_it_is_undone_is_undone_all_the_same() {
    for (cancelled, lost) in [(12, 14), (12, 15), (12, 16), (12, 17), (30, 31), (30, 32), (30, 33)]
    {
        for fault in [Fault::Before(lost), Fault::After(lost)] {
            let (world, client) = prepared(4, 30);
            let wish = world.wish(1, ADA, 2);
            let changing = client.clone();
            let mut asked = 0;
            world.with(|inner| inner.fault = Some(fault));
            world.meanwhile(move |inner| {
                asked += 1;
                if asked == cancelled {
                    inner.mark(wish.id, &Mark::Ending);
                }
                changing.lock().step(inner);
            });
            let end = world.drive_to_the_end(wish).await;
            assert_eq!(end, MoveEnd::Stayed, "{cancelled} {fault:?}");
            world.nothing_meanwhile();
            client.lock().compare(&world);
            world.check();
        }
    }
}

#[tokio::test]
async fn a_store_that_restarts_at_any_question_goes_on_where_it_was() {
    let names = questions(5, 10).await;
    for number in (1..=names.len()).step_by(5) {
        let (world, client) = prepared(5, 10);
        let wish = world.wish(1, ADA, 2);
        let changing = client.clone();
        let mut asked = 0;
        world.meanwhile(move |inner| {
            asked += 1;
            if asked == number {
                for store in [1, 2] {
                    let bench = inner.benches.remove(&store).unwrap();
                    inner.benches.insert(store, bench.restart());
                }
            }
            changing.lock().step(inner);
        });
        assert_eq!(world.drive_to_the_end(wish).await, MoveEnd::Moved, "{number}");
        world.nothing_meanwhile();
        client.lock().compare(&world);
        world.check();
    }
}
