//! Moves of mailboxes: the node that leads the store that a mailbox leaves drives the move.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;
use posthouse_directory::{MailboxMove, MoveState as Stored};
use posthouse_http::{MoveState, MoveView};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Cluster, status::NodeStatus};

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
    /// Why it waits, in words.
    pub(super) problem: String,
}

/// The moves that this node drives.
#[derive(Default)]
pub(super) struct Moving {
    running: Mutex<BTreeMap<u128, Progress>>,
}

impl Moving {
    pub(super) fn progress(&self) -> Vec<Progress> {
        self.running.lock().values().cloned().collect()
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

/// Runs until it is dropped.
pub(super) async fn run(_cluster: Arc<Cluster>) {
    std::future::pending::<()>().await;
}
