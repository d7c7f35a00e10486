//! A Raft group as its users see it.

use bytes::Bytes;

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

/// Handle of one Raft group. Cheap to clone.
#[derive(Clone)]
pub struct Group {}

impl Group {
    /// Largest command in bytes. Bodies above 16 KiB travel beside the log.
    pub const MAX_COMMAND: usize = 8 << 20;

    /// Proposes a command and returns the state machine's answer once a majority has it on disk and
    /// it is applied here.
    pub async fn propose(&self, command: Bytes) -> Result<Bytes, ProposeError> {
        let _ = command;
        unimplemented!()
    }

    /// Returns when everything that was acknowledged before the call is applied here.
    pub async fn read_barrier(&self) -> Result<(), ProposeError> {
        unimplemented!()
    }

    /// Makes the state machine's state durable and purges the log behind it.
    pub async fn checkpoint(&self) -> Result<(), ProposeError> {
        unimplemented!()
    }

    /// How the group is doing.
    pub fn status(&self) -> GroupStatus {
        unimplemented!()
    }
}
