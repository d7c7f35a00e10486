//! Moves while a client works, compared with a mailbox that never moves.

use std::sync::Arc;

use parking_lot::Mutex;

use super::*;
use crate::MoveEnd;

/// Lets the client do something before each question of the driver.
pub(super) fn busy(world: &World, client: &Arc<Mutex<Client>>, changes: usize) {
    let client = client.clone();
    client.lock().left = changes;
    world.meanwhile(move |inner| client.lock().step(inner));
}

#[tokio::test]
async fn a_mailbox_in_use_is_moved_there_and_back_and_further_and_nobody_can_tell() {
    for seed in 0..4 {
        let world = World::new(3);
        let client = Arc::new(Mutex::new(Client::new(&world, seed, ADA)));
        for (number, to) in [(1, 2), (2, 1), (3, 3), (4, 2), (5, 1)] {
            busy(&world, &client, 60);
            let wish = world.wish(number, ADA, to);
            assert_eq!(world.drive_to_the_end(wish).await, MoveEnd::Moved, "seed {seed}");
            world.nothing_meanwhile();
            assert_eq!(world.with(|inner| inner.place[&ADA]), to);
            client.lock().compare(&world);
            world.check();
        }
    }
}

#[tokio::test]
async fn a_client_that_never_stops_does_not_keep_its_mailbox_from_being_moved() {
    let world = World::new(2);
    let client = Arc::new(Mutex::new(Client::new(&world, 7, ADA)));
    busy(&world, &client, usize::MAX);
    let wish = world.wish(1, ADA, 2);
    assert_eq!(world.drive_to_the_end(wish).await, MoveEnd::Moved);
    world.nothing_meanwhile();
    client.lock().compare(&world);
    world.check();
}

#[tokio::test]
async fn two_mailboxes_move_at_once_without_disturbing_each_other() {
    let world = World::new(2);
    let client = |seed, mailbox| Arc::new(Mutex::new(Client::new(&world, seed, mailbox)));
    let clients = [client(3, ADA), client(4, BOB)];
    let both = clients.clone();
    for client in &both {
        client.lock().left = 100;
    }
    world.meanwhile(move |inner| both.iter().for_each(|client| client.lock().step(inner)));
    let wishes = [world.wish(1, ADA, 2), world.wish(2, BOB, 2)];
    let ends = futures_util::future::join(
        world.drive_to_the_end(wishes[0]),
        world.drive_to_the_end(wishes[1]),
    );
    assert_eq!(ends.await, (MoveEnd::Moved, MoveEnd::Moved));
    world.nothing_meanwhile();
    for client in clients {
        client.lock().compare(&world);
    }
    world.check();
}
