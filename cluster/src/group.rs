//! A Raft group as its users see it.

use std::{
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::{Either, select};
use openraft::{
    Instant as _, ReadPolicy,
    async_runtime::WatchReceiver,
    errors::{ClientWriteError, Fatal, LinearizableReadError, RaftError},
};
use parking_lot::{Mutex, RwLock};
use tokio::sync::Semaphore;

use crate::{
    Environment, NodeId, failpoint,
    log::LogEngine,
    network::Network,
    raft::{
        Proposal, Raft, Types,
        machine::{Handle, Position, RaftMachine},
        network::Peers,
        snapshot::Copies,
        storage::RaftLog,
        timing::{READ_LEASE, Timing},
    },
    sim::plant::{self, Plant},
    watch,
};

mod members;
mod pace;
mod remote;
mod status;

pub use members::MemberError;
pub(crate) use pace::{follow_round_trips, release, round_trip};
pub(crate) use remote::GroupService;
pub(crate) use status::follow;
pub use status::{GroupState, GroupStatus, MemberStatus, Members, SnapshotProgress};

/// Number of a group within a cluster. 0 is the domain group; stores count from 1.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct GroupId(pub u64);

impl GroupId {
    /// The group that replicates the directory and all settings.
    pub const DOMAIN: Self = Self(0);
}

/// What to start.
#[derive(Clone, Debug)]
pub struct GroupSpec {
    /// Its number.
    pub id: GroupId,
    /// Its name, for logs and metrics.
    pub name: String,
    /// If the group is new: make this node its only member. Otherwise a new group waits to be joined.
    pub bootstrap: bool,
}

/// Why a proposal has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// Another node leads, or nobody does. The command was not accepted here; try there.
    #[error("this node does not lead the group")]
    NotLeader {
        /// The leader, where known.
        leader: Option<crate::NodeId>,
    },
    /// No majority answered in time. The command may or may not take effect: retry with the same
    /// request id.
    #[error("the group has no majority at the moment")]
    Unavailable,
    /// The disk of this node failed or is full. Nothing is acknowledged here until that is mended.
    #[error("storage failed: {0}")]
    Storage(String),
    /// The command is larger than [`Group::MAX_COMMAND`].
    #[error("command of {0} bytes is too large")]
    TooLarge(usize),
    /// The node is stopping.
    #[error("the node is stopping")]
    Stopping,
}

/// How long a proposal or a barrier waits for a majority.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Proposals of one group that wait for their answer at most; more wait before they are proposed.
pub(crate) const MAX_WAITING: u32 = 4096;

/// Handle of one Raft group. Cheap to clone.
#[derive(Clone)]
pub struct Group {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub spec: GroupSpec,
    pub node: NodeId,
    pub env: Environment,
    pub network: Arc<dyn Network>,
    /// Started anew when the timings change.
    pub raft: RwLock<Raft>,
    /// When that was, by the monotonic clock.
    pub started: RwLock<Duration>,
    pub timing: RwLock<Timing>,
    pub log: RaftLog,
    pub machine: Handle,
    pub raft_machine: Mutex<RaftMachine>,
    pub applied: watch::Receiver<Position>,
    pub engine: Arc<dyn LogEngine>,
    /// Bytes of all groups that are proposed and not yet answered.
    pub in_flight: Arc<Semaphore>,
    /// Proposals of this group that wait for their answer; closed when the node stops.
    pub waiting: Semaphore,
    /// When a leader was heard last, in milliseconds of the monotonic clock; 0 for never.
    pub heard: AtomicU64,
    /// Term in which this node began to hand the leadership over: its lease is void.
    pub yielded: AtomicU64,
    pub state: watch::Sender<GroupState>,
    pub copies: Copies,
}

impl Inner {
    pub(crate) fn raft(&self) -> Raft {
        self.raft.read().clone()
    }

    pub(crate) fn peers(&self) -> Peers {
        let (network, group) = (self.network.clone(), self.spec.id);
        Peers { network, group, copies: self.copies.clone() }
    }
}

impl Group {
    /// Largest command in bytes. Bodies above 16 KiB travel beside the log.
    pub const MAX_COMMAND: usize = 8 << 20;

    /// Proposes a command and returns the state machine's answer once a majority has it on disk and
    /// it is applied here. Only where this node leads. Dropping the future does not take the command
    /// back.
    pub async fn propose(&self, command: Bytes) -> Result<Bytes, ProposeError> {
        self.propose_at(command).await.map(|(_, answer)| answer)
    }

    /// As [`Self::propose`], with the index of the entry.
    pub(crate) async fn propose_at(&self, command: Bytes) -> Result<(u64, Bytes), ProposeError> {
        let inner = &self.inner;
        let limit = inner.engine.in_flight_limit();
        if command.len() > Self::MAX_COMMAND.min(limit) {
            return Err(ProposeError::TooLarge(command.len()));
        }
        let _waiting = inner.waiting.acquire().await.map_err(|_| ProposeError::Stopping)?;
        if inner.engine.is_full() {
            inner.engine.check_space();
            return Err(ProposeError::Storage("the disk is full".into()));
        }
        let bytes = command.len().max(1) as u32;
        let _bytes =
            inner.in_flight.acquire_many(bytes).await.map_err(|_| ProposeError::Stopping)?;
        let raft = inner.raft();
        let written = raft.client_write(Proposal(command));
        let answer = self.in_time(written).await?.map_err(|error| self.write_error(error))?;
        failpoint::hit(failpoint::BEFORE_ANSWER);
        Ok((answer.log_id.index, answer.data))
    }

    /// As [`Self::propose`] where this node leads, and otherwise by the leader: follows hints, waits for an
    /// election, and returns once the entry is applied here too. Tries for about ten seconds.
    ///
    /// The command may be proposed more than once, so it must carry an id that makes repeating it harmless.
    pub async fn submit(&self, command: Bytes) -> Result<Bytes, ProposeError> {
        remote::submit(self, command).await
    }

    /// Returns when everything that was acknowledged anywhere before the call is applied here. On a
    /// leader with a valid lease that costs nothing; elsewhere it asks the leader.
    pub async fn read_barrier(&self) -> Result<(), ProposeError> {
        if let Some(index) = self.leased() {
            return self.applied_here(index).await;
        }
        let index = match self.read_index().await {
            Err(ProposeError::NotLeader { .. }) => remote::read_index(self).await?,
            answer => answer?,
        };
        self.applied_here(index).await
    }

    /// Whether this node leads, its lease is valid, and everything that was acknowledged is applied
    /// here: what is read now is not stale. Cheap, for every read.
    ///
    /// Sound as long as the clocks of no two members run apart by more than a tenth: the lease counts
    /// from the sending of a heartbeat that a majority answered, and a member that answered votes for
    /// nobody else before a longer time has passed.
    pub fn leads(&self) -> bool {
        self.leased().is_some_and(|index| self.inner.applied.borrow().next > index)
    }

    /// On a leader with a valid lease: the index up to which must be applied what a read that begins
    /// now sees. That is what is committed, applied here or not: others may have applied and shown it.
    pub(crate) fn leased(&self) -> Option<u64> {
        let inner = &self.inner;
        let raft = inner.raft.read();
        let metrics = raft.metrics();
        let metrics = metrics.borrow_watched();
        if !metrics.state.is_leader() || metrics.running_state.is_err() {
            return None;
        }
        if plant::is(Plant::NoLeaseCheck) {
            return Some(0);
        }
        let term = metrics.current_term;
        // its first entry carries the term and its number: what earlier leaders acknowledged, one of the
        // same term included, is before it
        let first = {
            let applied = inner.applied.borrow();
            (applied.term, applied.leader) == (term, inner.node.0)
        };
        if !first || inner.yielded.load(Ordering::SeqCst) == term {
            return None;
        }
        let sole = metrics.membership_config.voter_ids().eq([inner.node.0]);
        let valid = sole || metrics.last_quorum_acked.is_some_and(|at| at.elapsed() < READ_LEASE);
        let committed = metrics.cluster_committed.max(metrics.local_committed);
        if valid { committed.map(|log_id| log_id.index) } else { None }
    }

    /// On the leader: the index up to which must be applied what a read that begins now sees.
    async fn read_index(&self) -> Result<u64, ProposeError> {
        let raft = self.inner.raft();
        let read = raft.get_read_log_id(ReadPolicy::ReadIndex);
        match self.in_time(read).await? {
            Ok((read, _)) => Ok(read.index()),
            Err(RaftError::APIError(LinearizableReadError::ForwardToLeader(to))) => {
                Err(ProposeError::NotLeader { leader: to.leader_id.map(NodeId) })
            }
            Err(RaftError::APIError(LinearizableReadError::QuorumNotEnough(_))) => {
                Err(ProposeError::Unavailable)
            }
            Err(RaftError::Fatal(fatal)) => Err(self.fatal(&fatal)),
        }
    }

    /// Waits until the entry with this index is applied here.
    async fn applied_here(&self, index: u64) -> Result<(), ProposeError> {
        let mut applied = self.inner.applied.clone();
        let reached = async {
            loop {
                if applied.borrow_and_update().next > index {
                    return Ok(());
                }
                if applied.changed().await.is_err() {
                    return Err(ProposeError::Stopping);
                }
            }
        };
        self.in_time(reached).await?
    }

    /// Makes the state machine's state durable and purges the log behind it.
    pub async fn checkpoint(&self) -> Result<(), ProposeError> {
        crate::checkpoint::run(&self.inner).await
    }

    fn failure(&self) -> Option<String> {
        self.inner.machine.failure().or_else(|| self.inner.engine.failed())
    }

    async fn in_time<T>(&self, work: impl Future<Output = T>) -> Result<T, ProposeError> {
        let timeout = self.inner.env.clock.sleep(ANSWER_TIMEOUT);
        match select(pin!(work), timeout).await {
            Either::Left((done, _)) => Ok(done),
            Either::Right(((), _)) => match self.failure() {
                Some(reason) => Err(ProposeError::Storage(reason)),
                None => Err(ProposeError::Unavailable),
            },
        }
    }

    /// `work` within `patience`, `None` if it takes longer.
    async fn within<T>(&self, patience: Duration, work: impl Future<Output = T>) -> Option<T> {
        match select(pin!(work), self.inner.env.clock.sleep(patience)).await {
            Either::Left((done, _)) => Some(done),
            Either::Right(((), _)) => None,
        }
    }

    fn write_error(&self, error: RaftError<Types, ClientWriteError<Types>>) -> ProposeError {
        match error {
            RaftError::APIError(ClientWriteError::ForwardToLeader(to)) => {
                ProposeError::NotLeader { leader: to.leader_id.map(NodeId) }
            }
            // it may have been committed under another leader: the same as no answer
            RaftError::APIError(_) => ProposeError::Unavailable,
            RaftError::Fatal(fatal) => self.fatal(&fatal),
        }
    }

    pub(crate) fn fatal(&self, fatal: &Fatal<Types>) -> ProposeError {
        match (self.failure(), fatal) {
            (Some(reason), _) => ProposeError::Storage(reason),
            // it is being started anew with other timings
            (None, Fatal::Stopped) if !self.inner.waiting.is_closed() => ProposeError::Unavailable,
            (None, Fatal::Stopped) => ProposeError::Stopping,
            (None, fatal) => ProposeError::Storage(fatal.to_string()),
        }
    }
}

#[cfg(test)]
mod tests;
