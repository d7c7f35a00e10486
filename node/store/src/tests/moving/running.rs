//! The runner: finds moves by itself, a few at a time, and does not forget one that was left half done.

use std::{sync::Arc, time::Duration};

use posthouse_cluster::GroupId;

use super::*;
use crate::{MoveRunner, MoveStep, Pace, RunnerOptions};

async fn until(what: &str, mut reached: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while !reached() {
        assert!(tokio::time::Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn runner(world: &World, led: u64) -> MoveRunner {
    let places = Arc::new(world.clone());
    let options = RunnerOptions { at_once: 1, pace: Pace::default() };
    let led = Arc::new(move || vec![GroupId(led)]);
    MoveRunner::start(Environment::real(), places.clone(), places, led, options)
}

#[tokio::test]
async fn moves_that_were_asked_for_are_carried_out_and_cancelled_ones_are_tidied_up() {
    let world = World::new(3);
    let (ada, bob) = (world.wish(1, ADA, 2), world.wish(2, BOB, 3));
    world.with(|inner| inner.mark(bob.id, &Mark::Ending));
    // the leader of another store has nothing to do
    let idle = runner(&world, 2);
    let busy = runner(&world, 1);
    until("both are over", || {
        world.with(|inner| {
            inner.moves[&ada.id].1 == Standing::Moved && inner.moves[&bob.id].1 == Standing::Ended
        })
    })
    .await;
    until("nothing is left", || busy.progress().is_empty()).await;
    assert!(idle.progress().is_empty());
    world.check();
    idle.stop();
    busy.stop();
}

#[tokio::test]
async fn a_mailbox_that_was_left_frozen_by_a_move_that_is_over_is_used_again() {
    let world = World::new(2);
    let wish = world.wish(1, ADA, 2);
    world.with(|inner| {
        let (mailbox, id, to) = (ADA, wish.id, GroupId(2));
        let freeze = MoveStep::Freeze { id, since: 1000, items: 1, bytes: 1 };
        for step in [MoveStep::Leave { mailbox, id, to }, freeze] {
            inner.bench(1).done(Request::Moving(step));
        }
        // closed by somebody else: the directory lists it no more
        inner.mark(id, &Mark::Failed("the account was removed".into()));
    });
    let runner = runner(&world, 1);
    let message = || deliver(vec![local(ADA)], vec![], "x");
    until("mail is taken again", || {
        let answer = world.with(|inner| inner.bench(1).request(message()));
        matches!(answer, Response::Accepted { .. })
    })
    .await;
    runner.stop();
}
