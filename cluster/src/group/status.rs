//! What a group says of itself.

use std::{
    collections::BTreeSet,
    pin::pin,
    sync::{Arc, Weak, atomic::Ordering},
    time::Duration,
};

use futures_util::future::select;
use openraft::{Instant as _, async_runtime::WatchReceiver, errors::Fatal};

use super::{Group, GroupId, Inner};
use crate::{NodeId, watch};

/// How a group is doing.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct GroupStatus {
    /// Its number.
    pub id: GroupId,
    /// Its name.
    pub name: String,
    /// Who leads, where known.
    pub leader: Option<NodeId>,
    /// Current term.
    pub term: u64,
    /// Last index in the log.
    pub last_log: u64,
    /// Last index in the state machine.
    pub applied: u64,
    /// Last index that is in a durable checkpoint of the state machine.
    pub checkpoint: u64,
    /// Whether the leader is in touch with a majority; on other members, whether they hear a leader.
    pub quorum: bool,
    /// Everybody, the leader itself included. Empty where this node does not lead.
    pub members: Vec<MemberStatus>,
    /// Copies of the state on their way from or to this node.
    pub snapshots: Vec<SnapshotProgress>,
    /// Why the group no longer acknowledges, if so.
    pub failed: Option<String>,
}

/// How a member is doing, as the leader sees it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct MemberStatus {
    /// Which node.
    pub node: NodeId,
    /// Whether it votes; otherwise it is a learner.
    pub voter: bool,
    /// Last index that is on its disk for certain; 0 if nothing is known yet.
    pub matched: u64,
    /// Entries of the leader's log that are not on its disk for certain.
    pub lag_entries: u64,
    /// How long ago it answered last, `None` if never in this term.
    pub heard_ago: Option<Duration>,
}

/// A copy of the state on its way.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SnapshotProgress {
    /// The other node.
    pub peer: NodeId,
    /// Whether this node sends it; otherwise it receives it.
    pub sending: bool,
    /// Bytes that are there.
    pub done: u64,
    /// Bytes of the whole copy.
    pub total: u64,
}

/// Who is in a group.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Members {
    /// Who votes. While the voters change, those of both sets.
    pub voters: BTreeSet<NodeId>,
    /// Who only gets the log.
    pub learners: BTreeSet<NodeId>,
}

impl Members {
    /// Whether the node is a voter or a learner.
    pub fn contains(&self, node: NodeId) -> bool {
        self.voters.contains(&node) || self.learners.contains(&node)
    }
}

/// What changes rarely: to be watched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupState {
    /// Who leads, where known.
    pub leader: Option<NodeId>,
    /// Current term.
    pub term: u64,
    /// As [`GroupStatus::quorum`].
    pub quorum: bool,
    /// Who is in it.
    pub members: Members,
}

/// How often the state is looked at when nothing else says that it may have changed.
const LOOK: Duration = Duration::from_millis(200);
/// Shortest time between two looks.
const PAUSE: Duration = Duration::from_millis(5);

impl Group {
    /// Who leads, where known.
    pub fn leader(&self) -> Option<NodeId> {
        self.inner.raft().metrics().borrow_watched().current_leader.map(NodeId)
    }

    /// Who is in the group, as far as this node knows.
    pub fn members(&self) -> Members {
        let raft = self.inner.raft();
        let metrics = raft.metrics();
        let membership = metrics.borrow_watched().membership_config.clone();
        Members {
            voters: membership.voter_ids().map(NodeId).collect(),
            learners: membership.membership().learner_ids().map(NodeId).collect(),
        }
    }

    /// The group's state from now on. The first value is there at once.
    pub fn watch(&self) -> watch::Receiver<GroupState> {
        self.inner.state.subscribe()
    }

    /// How the group is doing.
    pub fn status(&self) -> GroupStatus {
        let inner = &self.inner;
        let metrics = inner.raft().metrics().borrow_watched().clone();
        let failed = self.failure().or_else(|| match &metrics.running_state {
            Err(Fatal::Stopped) | Ok(()) => None,
            Err(fatal) => Some(fatal.to_string()),
        });
        GroupStatus {
            id: inner.spec.id,
            name: inner.spec.name.clone(),
            leader: metrics.current_leader.map(NodeId),
            term: metrics.current_term,
            last_log: metrics.last_log_index.unwrap_or(0),
            applied: metrics.last_applied.map_or(0, |log_id| log_id.index),
            checkpoint: metrics.snapshot.map_or(0, |log_id| log_id.index),
            quorum: self.quorum(),
            members: self.member_status(),
            snapshots: inner.copies.progress(),
            failed,
        }
    }

    fn member_status(&self) -> Vec<MemberStatus> {
        let metrics = self.inner.raft().metrics().borrow_watched().clone();
        let Some(replication) = &metrics.replication else { return Vec::new() };
        let last = metrics.last_log_index.map_or(0, |index| index + 1);
        let membership = metrics.membership_config.membership();
        let voters: BTreeSet<u64> = membership.voter_ids().collect();
        let member = |id: u64| {
            let me = id == self.inner.node.0;
            let matched = if me {
                last
            } else {
                replication.get(&id).copied().flatten().map_or(0, |log_id| log_id.index + 1)
            };
            let heard = metrics.heartbeat.as_ref().and_then(|beats| beats.get(&id).copied());
            let heard_ago =
                if me { Some(Duration::ZERO) } else { heard.flatten().map(|at| at.elapsed()) };
            MemberStatus {
                node: NodeId(id),
                voter: voters.contains(&id),
                matched: matched.saturating_sub(1),
                lag_entries: last.saturating_sub(matched),
                heard_ago,
            }
        };
        membership.nodes().map(|(id, _)| member(*id)).collect()
    }

    /// Whether the leader is in touch with a majority, or this member hears a leader.
    pub(super) fn quorum(&self) -> bool {
        let inner = &self.inner;
        if self.failure().is_some() {
            return false;
        }
        let raft = inner.raft();
        let metrics = raft.metrics();
        let metrics = metrics.borrow_watched();
        if metrics.running_state.is_err() {
            return false;
        }
        let lease = inner.timing.read().lease();
        if metrics.state.is_leader() {
            let me = inner.node.0;
            return metrics.membership_config.voter_ids().eq([me])
                || metrics.last_quorum_acked.is_some_and(|at| at.elapsed() < lease);
        }
        metrics.current_leader.is_some() && self.last_contact().is_some_and(|ago| ago < lease)
    }

    /// How long ago this node heard from a leader, `None` if never.
    pub(crate) fn last_contact(&self) -> Option<Duration> {
        let heard = Duration::from_millis(self.inner.heard.load(Ordering::Relaxed));
        (!heard.is_zero()).then(|| self.inner.env.clock.monotonic().saturating_sub(heard))
    }

    /// The state as it is now.
    pub(crate) fn look(&self) -> GroupState {
        let raft = self.inner.raft();
        let (leader, term) = {
            let metrics = raft.metrics();
            let metrics = metrics.borrow_watched();
            (metrics.current_leader.map(NodeId), metrics.current_term)
        };
        GroupState { leader, term, quorum: self.quorum(), members: self.members() }
    }
}

/// Keeps the watched state current, until the group ends.
pub(crate) fn follow(group: &Group) {
    group.inner.state.send_replace(group.look());
    let (env, weak) = (group.inner.env.clone(), Arc::downgrade(&group.inner));
    env.spawner.spawn("group-state", Box::pin(follow_loop(weak)));
}

async fn follow_loop(weak: Weak<Inner>) {
    loop {
        let Some(inner) = weak.upgrade() else { return };
        if inner.waiting.is_closed() {
            return;
        }
        let clock = inner.env.clock.clone();
        let raft = inner.raft();
        let mut server = raft.server_metrics();
        let group = Group { inner };
        let now = group.look();
        group.inner.state.send_if_modified(|state| {
            let changed = *state != now;
            if changed {
                *state = now;
            }
            changed
        });
        drop((group, raft));
        let changed = async {
            if server.changed().await.is_err() {
                // the consensus layer ended or is being started anew
                std::future::pending::<()>().await;
            }
        };
        select(pin!(changed), clock.sleep(LOOK)).await;
        clock.sleep(PAUSE).await;
    }
}
