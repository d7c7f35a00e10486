//! One node's part of the cluster.

use std::path::PathBuf;

use crate::{Environment, Group, GroupSpec, StateMachine};

/// Number of a node in the cluster, never used twice.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct NodeId(pub u64);

/// How to open a node.
#[derive(Clone, Debug)]
pub struct NodeOptions {
    /// This node's number.
    pub id: NodeId,
    /// Folder of the shared log; created if missing.
    pub log: PathBuf,
}

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The log is damaged before its tail. The text names file and offset. Never repaired silently.
    #[error("the log is damaged: {0}")]
    Damaged(String),
    /// Another process uses the folder.
    #[error("the folder {0} is in use by another process")]
    InUse(PathBuf),
    /// A file could not be read or written.
    #[error("storage failed: {0}")]
    Storage(String),
    /// The state machine does not start.
    #[error(transparent)]
    Machine(#[from] crate::MachineError),
    /// The consensus layer does not start.
    #[error("the group does not start: {0}")]
    Group(String),
}

/// One node's part of the cluster: the shared log and the groups that use it.
#[derive(Clone)]
pub struct Node {}

impl Node {
    /// Opens the shared log, cuts a torn tail, refuses damage before it.
    pub async fn open(env: Environment, options: NodeOptions) -> Result<Self, OpenError> {
        let _ = (env, options);
        unimplemented!()
    }

    /// Starts a group on this node and returns once its state machine has everything that the log
    /// holds as committed.
    pub async fn start_group(
        &self,
        spec: GroupSpec,
        machine: Box<dyn StateMachine>,
    ) -> Result<Group, OpenError> {
        let _ = (spec, machine);
        unimplemented!()
    }

    /// What was handed in.
    pub fn environment(&self) -> &Environment {
        unimplemented!()
    }

    /// This node's number.
    pub fn id(&self) -> NodeId {
        unimplemented!()
    }

    /// Stops all groups after what was proposed is answered, checkpoints them, and closes the log.
    pub async fn shutdown(&self) -> Result<(), OpenError> {
        unimplemented!()
    }
}
