//! A Raft group as its users see it.

use std::{future::Future, pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::{Either, select};
use openraft::{
    ReadPolicy,
    async_runtime::WatchReceiver,
    errors::{ClientWriteError, Fatal, LinearizableReadError, RaftError},
};
use tokio::sync::Semaphore;

use crate::{
    Environment, NodeId, failpoint,
    log::LogEngine,
    raft::{Proposal, Raft, Types, machine::Handle},
};

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
#[derive(Clone, Debug, thiserror::Error)]
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

/// How a group is doing.
#[derive(Clone, Debug, serde::Serialize)]
pub struct GroupStatus {
    /// Its number.
    pub id: GroupId,
    /// Its name.
    pub name: String,
    /// Who leads, where known.
    pub leader: Option<crate::NodeId>,
    /// Current term.
    pub term: u64,
    /// Last index in the log.
    pub last_log: u64,
    /// Last index in the state machine.
    pub applied: u64,
    /// Last index that is in a durable checkpoint of the state machine.
    pub checkpoint: u64,
    /// Why the group no longer acknowledges, if so.
    pub failed: Option<String>,
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
    pub raft: Raft,
    pub machine: Handle,
    pub engine: Arc<dyn LogEngine>,
    /// Bytes of all groups that are proposed and not yet answered.
    pub in_flight: Arc<Semaphore>,
    /// Proposals of this group that wait for their answer; closed when the node stops.
    pub waiting: Semaphore,
}

impl Group {
    /// Largest command in bytes. Bodies above 16 KiB travel beside the log.
    pub const MAX_COMMAND: usize = 8 << 20;

    /// Proposes a command and returns the state machine's answer once a majority has it on disk and
    /// it is applied here. Dropping the future does not take the command back.
    pub async fn propose(&self, command: Bytes) -> Result<Bytes, ProposeError> {
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
        let written = inner.raft.client_write(Proposal(command));
        let answer = self.in_time(written).await?.map_err(|error| self.write_error(error))?;
        failpoint::hit(failpoint::BEFORE_ANSWER);
        Ok(answer.data)
    }

    /// Returns when everything that was acknowledged before the call is applied here.
    pub async fn read_barrier(&self) -> Result<(), ProposeError> {
        let read = self.inner.raft.ensure_linearizable(ReadPolicy::ReadIndex);
        match self.in_time(read).await? {
            Ok(_) => Ok(()),
            Err(RaftError::APIError(LinearizableReadError::ForwardToLeader(to))) => {
                Err(ProposeError::NotLeader { leader: to.leader_id.map(NodeId) })
            }
            Err(RaftError::APIError(LinearizableReadError::QuorumNotEnough(_))) => {
                Err(ProposeError::Unavailable)
            }
            Err(RaftError::Fatal(fatal)) => Err(self.fatal(&fatal)),
        }
    }

    /// Makes the state machine's state durable and purges the log behind it.
    pub async fn checkpoint(&self) -> Result<(), ProposeError> {
        crate::checkpoint::run(&self.inner).await
    }

    /// How the group is doing.
    pub fn status(&self) -> GroupStatus {
        let inner = &self.inner;
        let metrics = inner.raft.metrics().borrow_watched().clone();
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
            failed,
        }
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
            (None, Fatal::Stopped) => ProposeError::Stopping,
            (None, fatal) => ProposeError::Storage(fatal.to_string()),
        }
    }
}
