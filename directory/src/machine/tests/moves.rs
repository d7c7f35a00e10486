//! Moves of mailboxes.

use super::cluster::{cluster, node, store};
use crate::{
    AccountId, Actor, Change, ChangeRefusal, MailboxMove, MoveState, StoreId, Update,
    machine::store_of,
    testing::{Lab, group, id, user},
};
use posthouse_cluster::Timestamp;

fn wish(number: u128, account: AccountId, to: u64) -> Change {
    Change::PutMove(MailboxMove {
        id: number,
        account,
        from: StoreId(99),
        to: StoreId(to),
        state: MoveState::Done,
        created: Timestamp(0),
        changed: Timestamp(0),
        by: Actor::System("somebody else".into()),
    })
}

fn state(number: u128, state: MoveState) -> Change {
    Change::MoveState { id: number, state }
}

fn of(lab: &Lab, number: u128) -> MailboxMove {
    lab.live.index.read().moves.get(&number).unwrap().clone()
}

fn whereabouts(lab: &Lab, number: u128) -> u64 {
    store_of(lab.account(id(number)).user().unwrap()).0
}

/// Two stores; anna is in the first.
fn lab() -> Lab {
    let mut lab = cluster();
    lab.put(user(10, "anna", &[]));
    lab.ok(Change::PutNode(node(2, "two.example.test", "a")));
    lab.ok(Change::PutStore(store(2, 2, &[2])));
    lab
}

#[test]
fn a_move_is_asked_for_once_and_ends_with_the_mailbox_in_the_new_store() {
    let mut lab = lab();
    lab.put(group(20, "team", &[], &[]));
    for (change, refusal) in [
        (wish(1, id(99), 2), ChangeRefusal::NotFound("account".into())),
        (wish(1, id(10), 7), ChangeRefusal::NotFound("store 7".into())),
    ] {
        assert_eq!(lab.run(change).unwrap_err(), refusal);
    }
    assert!(lab.run(wish(1, id(20), 2)).is_err(), "a group has no mailbox");
    assert!(lab.run(wish(1, id(10), 1)).is_err(), "it is there already");

    let mut updates = lab.live.updates.subscribe();
    lab.ok(wish(1, id(10), 2));
    assert_eq!(updates.try_recv(), Ok(Update::Moves));
    let open = of(&lab, 1);
    assert_eq!((open.from, open.to, &open.state), (StoreId(1), StoreId(2), &MoveState::Queued));
    assert_eq!(open.by, Actor::System("test".into()), "whoever proposes asks for it");
    assert_eq!(lab.run(wish(1, id(10), 2)).unwrap_err(), ChangeRefusal::Exists);
    assert!(matches!(lab.run(wish(2, id(10), 2)), Err(ChangeRefusal::MoveOpen(_))));

    lab.ok(state(1, MoveState::Running));
    lab.ok(state(1, MoveState::Running));
    lab.ok(state(1, MoveState::Switching));
    assert_eq!(whereabouts(&lab, 10), 1);
    lab.ok(state(1, MoveState::Done));
    assert_eq!(whereabouts(&lab, 10), 2);
    // and back
    lab.ok(wish(2, id(10), 1));
    assert_eq!(of(&lab, 2).from, StoreId(2));
}

#[test]
fn a_move_goes_only_through_its_states() {
    use MoveState::{Cancelled, Cancelling, Done, Queued, Running, Switching};
    let failed = || MoveState::Failed("the disk is full".into());
    for (path, good) in [
        (vec![Done], false),
        (vec![Switching], false),
        (vec![Running, Done], false),
        (vec![Running, Queued, Running, Switching, Running, Switching, Done], true),
        (vec![Cancelled], true),
        (vec![Running, Cancelling, Cancelled], true),
        (vec![Running, Cancelling, Running], false),
        (vec![Running, Switching, Cancelling, Cancelled], true),
        (vec![Running, failed()], true),
        (vec![Running, failed(), Running], false),
        (vec![Running, Switching, Done, Cancelling], false),
        (vec![Cancelled, Done], false),
    ] {
        let mut lab = lab();
        lab.ok(wish(1, id(10), 2));
        let text = format!("{path:?}");
        let done = path.last() == Some(&Done);
        let outcomes: Vec<bool> =
            path.into_iter().map(|step| lab.run(state(1, step)).is_ok()).collect();
        let (last, before) = outcomes.split_last().unwrap();
        assert!(before.iter().all(|ok| *ok), "{text}");
        assert_eq!(*last, good, "{text}");
        let moved = outcomes.iter().all(|ok| *ok) && done || text.contains("Done, Cancelling");
        assert_eq!(whereabouts(&lab, 10), if moved { 2 } else { 1 }, "{text}");
    }
}

#[test]
fn a_move_into_a_store_that_went_out_of_use_does_not_end_there() {
    let mut lab = lab();
    lab.ok(wish(1, id(10), 2));
    lab.ok(state(1, MoveState::Running));
    lab.ok(state(1, MoveState::Switching));
    lab.ok(Change::RetireStore(StoreId(2)));
    assert!(matches!(lab.run(state(1, MoveState::Done)), Err(ChangeRefusal::StoreInUse(_))));
    assert_eq!(whereabouts(&lab, 10), 1);
}

#[test]
fn a_removed_account_is_not_moved_any_more() {
    let mut lab = lab();
    lab.ok(wish(1, id(10), 2));
    lab.ok(Change::RemoveAccount(id(10)));
    assert_eq!(of(&lab, 1).state, MoveState::Failed("the account was removed".into()));
}

#[test]
fn finished_moves_are_bounded_and_open_ones_stay() {
    let mut lab = lab();
    lab.put(user(11, "bob", &[]));
    lab.ok(Change::SetStore { account: id(11), store: StoreId(1) });
    lab.ok(wish(1, id(11), 2));
    for number in 0..1_005u128 {
        let mut changes = vec![wish(10 + number, id(10), 2)];
        changes.push(state(10 + number, MoveState::Failed("x".repeat(5_000))));
        lab.ok(Change::All(changes));
    }
    assert_eq!(lab.live.index.read().moves.len(), 1_001);
    assert_eq!(of(&lab, 1).state, MoveState::Queued);
    assert_eq!(of(&lab, 1_014).state, MoveState::Failed("x".repeat(1_024)));
}
