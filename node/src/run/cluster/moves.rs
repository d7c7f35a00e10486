//! Moves of mailboxes: the node that leads the store that a mailbox leaves drives the move.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use posthouse_cluster::{GroupId, env::BoxFuture};
use posthouse_directory::{
    Actor, Change, ChangeError, ChangeRefusal, Directory, MailboxMove, MoveState as Stored, key,
};
use posthouse_http::{MoveState, MoveView};
use posthouse_store::{
    Ledger, MailboxId, Mark, MarkError, MoveId, MoveRunner, Pace, RunnerOptions, Standing, Wish,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Cluster, status::NodeStatus};

/// How often the settings of moves are looked at.
const INTERVAL: Duration = Duration::from_secs(5);

/// How far a move is, as its driver knows.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Progress {
    /// Which.
    pub(super) id: u128,
    /// Messages copied.
    pub(super) items_done: u64,
    /// Messages in the mailbox; 0 while unknown.
    pub(super) items: u64,
    /// Bytes copied.
    pub(super) bytes_done: u64,
    /// Bytes to copy; 0 while unknown.
    pub(super) bytes: u64,
    /// What it is doing, in one word.
    pub(super) phase: String,
    /// Why it waits, in words.
    pub(super) problem: String,
}

/// The moves that this node drives.
#[derive(Default)]
pub(super) struct Moving {
    runner: Mutex<Option<MoveRunner>>,
}

impl Moving {
    pub(super) fn progress(&self) -> Vec<Progress> {
        let all = self.runner.lock().as_ref().map(MoveRunner::progress).unwrap_or_default();
        let shown = |one: posthouse_store::Progress| Progress {
            id: one.id.map_or(0, |id| id.0),
            items_done: one.items,
            items: one.items_total,
            bytes_done: one.bytes,
            bytes: one.bytes_total,
            phase: one.phase.word().to_owned(),
            problem: one.problem.unwrap_or_default(),
        };
        all.into_iter().map(shown).collect()
    }
}

/// The directory's part in moves.
struct Register(Directory);

fn standing(state: &Stored) -> Standing {
    match state {
        Stored::Queued | Stored::Running | Stored::Switching => Standing::Wanted,
        Stored::Cancelling => Standing::Ending,
        Stored::Cancelled | Stored::Failed(_) => Standing::Ended,
        Stored::Done => Standing::Moved,
    }
}

impl Ledger for Register {
    fn wishes(&self) -> Vec<Wish> {
        let mut open: Vec<_> =
            self.0.moves().into_iter().filter(|one| !one.state.is_final()).collect();
        open.sort_by_key(|one| (one.created, one.id));
        let wish = |one: MailboxMove| Wish {
            id: MoveId(one.id),
            mailbox: MailboxId(one.account.0),
            from: GroupId(one.from.0),
            to: GroupId(one.to.0),
        };
        open.into_iter().map(wish).collect()
    }

    fn standing(&self, id: MoveId) -> Standing {
        let found = self.0.moves().into_iter().find(|one| one.id == id.0);
        found.map_or(Standing::Unknown, |one| standing(&one.state))
    }

    fn mark(&self, id: MoveId, mark: Mark) -> BoxFuture<Result<Standing, MarkError>> {
        let directory = self.0.clone();
        let state = match mark {
            Mark::Running => Stored::Running,
            Mark::Switching => Stored::Switching,
            Mark::Moved => Stored::Done,
            Mark::Ending => Stored::Cancelling,
            Mark::Ended => Stored::Cancelled,
            Mark::Failed(why) => Stored::Failed(why),
        };
        Box::pin(async move {
            let change = Change::MoveState { id: id.0, state };
            let marked = directory.change(Actor::System("move of a mailbox".into()), change).await;
            match marked {
                // what the state does not allow changes nothing
                Ok(()) | Err(ChangeError::Refused(ChangeRefusal::MoveStep { .. })) => {
                    Ok(Register(directory).standing(id))
                }
                Err(ChangeError::Refused(refusal)) => Err(MarkError::Refused(refusal.to_string())),
                Err(other) => Err(MarkError::Unavailable(other.to_string())),
            }
        })
    }
}

impl Cluster {
    /// Moves that run or wait.
    pub(super) fn open_moves(&self, said: &BTreeMap<u64, NodeStatus>) -> Vec<MoveView> {
        let mut all = self.move_views(said);
        all.retain(|view| view.ended.is_none());
        all
    }

    /// All moves that are remembered: the open ones first.
    pub(super) async fn all_moves(&self) -> Vec<MoveView> {
        let nodes = self.parts.directory.nodes();
        let mut said: BTreeMap<u64, NodeStatus> =
            nodes.iter().filter_map(|node| Some((node.id, self.heard(node.id)?))).collect();
        said.insert(self.parts.node, self.own_status().await);
        self.move_views(&said)
    }

    fn move_views(&self, said: &BTreeMap<u64, NodeStatus>) -> Vec<MoveView> {
        let mut all: Vec<MoveView> =
            self.parts.directory.moves().iter().map(|one| self.move_view(one, said)).collect();
        all.sort_by_key(|view| (view.ended.is_some(), std::cmp::Reverse(view.ended), view.created));
        all
    }

    fn move_view(&self, one: &MailboxMove, said: &BTreeMap<u64, NodeStatus>) -> MoveView {
        let driven = said.values().flat_map(|status| &status.moves);
        let progress = driven.filter(|known| known.id == one.id).max_by_key(|p| p.bytes_done);
        let progress = progress.cloned().unwrap_or_default();
        let account = self.parts.directory.account(one.account);
        MoveView {
            id: Uuid::from_u128(one.id),
            account: one.account.0,
            name: account.map(|account| account.name.clone()).unwrap_or_default(),
            from: one.from.0,
            to: one.to.0,
            state: match &one.state {
                Stored::Queued => MoveState::Waiting,
                Stored::Running => MoveState::Copying,
                Stored::Switching => MoveState::Switching,
                Stored::Cancelling => MoveState::Cancelling,
                Stored::Done => MoveState::Done,
                Stored::Cancelled => MoveState::Cancelled,
                Stored::Failed(_) => MoveState::Failed,
            },
            messages_done: progress.items_done,
            messages: progress.items,
            bytes_done: progress.bytes_done,
            bytes: progress.bytes,
            created: one.created.0,
            ended: one.state.is_final().then_some(one.changed.0),
            problem: match &one.state {
                Stored::Failed(why) => why.clone(),
                _ => progress.problem,
            },
        }
    }
}

/// Drives the moves of the stores that this node leads, until it is dropped.
pub(super) async fn run(cluster: Arc<Cluster>) {
    let parts = &cluster.parts;
    let led = parts.stores.clone();
    let runner = MoveRunner::start(
        parts.env.clone(),
        Arc::new(parts.stores.clone()),
        Arc::new(Register(parts.directory.clone())),
        Arc::new(move || led.led_here()),
        cluster.move_options(),
    );
    let _stop = StopMoves(runner.clone());
    *cluster.moving.runner.lock() = Some(runner.clone());
    loop {
        parts.env.clock.sleep(INTERVAL).await;
        runner.set_options(cluster.move_options());
    }
}

/// Ends the moves of this node with the task that began them.
struct StopMoves(MoveRunner);

impl Drop for StopMoves {
    fn drop(&mut self) {
        self.0.stop();
    }
}

impl Cluster {
    fn move_options(&self) -> RunnerOptions {
        let directory = &self.parts.directory;
        let rate = directory.integer(key::CLUSTER_MOVE_RATE);
        RunnerOptions {
            at_once: directory.integer(key::CLUSTER_MOVES) as usize,
            pace: Pace { bytes_per_second: Some(rate).filter(|rate| *rate > 0) },
        }
    }
}
