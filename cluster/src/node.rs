//! One node's part of the cluster.

use std::{
    collections::BTreeMap,
    fmt,
    path::PathBuf,
    sync::{Arc, Weak},
    time::Duration,
};

use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, oneshot};

use crate::{
    Environment, Group, GroupId, LEVEL,
    group::GroupService,
    log::{LogEngine, LogError, LogOptions, SegmentedLog},
    network::{Alone, Network, Service},
    raft::{
        serve::RaftService,
        snapshot::{Bulk, SnapshotService},
        storage::FileReader,
    },
};

mod force;
mod groups;

pub use force::{ForceError, Forced};

/// Number of a node in the cluster, never used twice.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct NodeId(pub u64);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {}", self.0)
    }
}

/// How to open a node.
#[derive(Clone)]
pub struct NodeOptions {
    /// This node's number.
    pub id: NodeId,
    /// Folder of the shared log; created if missing.
    pub log: PathBuf,
    /// How other nodes are reached, and reach this one.
    pub network: Arc<dyn Network>,
    /// Highest level that this node takes part in: [`LEVEL`], or less to act as an older program does.
    pub level: u32,
}

impl NodeOptions {
    /// A node without others.
    pub fn alone(id: NodeId, log: impl Into<PathBuf>) -> Self {
        Self { id, log: log.into(), network: Arc::new(Alone), level: LEVEL }
    }
}

impl fmt::Debug for NodeOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeOptions").field("id", &self.id).field("log", &self.log).finish()
    }
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

/// How often free space is looked at.
const SPACE_INTERVAL: Duration = Duration::from_secs(1);

/// One node's part of the cluster: the shared log and the groups that use it.
#[derive(Clone)]
pub struct Node {
    inner: Arc<Inner>,
}

struct Inner {
    env: Environment,
    options: NodeOptions,
    engine: Arc<dyn LogEngine>,
    files: FileReader,
    bulk: Bulk,
    in_flight: Arc<Semaphore>,
    groups: Mutex<BTreeMap<GroupId, Group>>,
}

/// A node that may be gone: for those that it owns.
#[derive(Clone)]
pub(crate) struct WeakNode(Weak<Inner>);

impl WeakNode {
    /// The group with this number; the text says why there is none.
    pub(crate) fn group(&self, id: GroupId) -> Result<Group, String> {
        let node = self.0.upgrade().ok_or("the node is stopping")?;
        let group = node.groups.lock().get(&id).cloned();
        group.ok_or_else(|| format!("group {} does not run on {}", id.0, node.options.id))
    }
}

impl Node {
    /// Opens the shared log, cuts a torn tail, refuses damage before it.
    pub async fn open(env: Environment, options: NodeOptions) -> Result<Self, OpenError> {
        Self::open_with(env, options, LogOptions::default()).await
    }

    /// As [`Self::open`], with other sizes.
    pub(crate) async fn open_with(
        env: Environment,
        options: NodeOptions,
        log: LogOptions,
    ) -> Result<Self, OpenError> {
        let engine: Arc<dyn LogEngine> = Arc::new(open_log(&env, &options, log).await?);
        let files = FileReader::start(&env, "log-reader")?;
        let in_flight = Arc::new(Semaphore::new(engine.in_flight_limit()));
        watch_space(&env, &engine);
        let (bulk, groups) = (Bulk::start(&env)?, Mutex::default());
        let inner = Arc::new(Inner { env, options, engine, files, bulk, in_flight, groups });
        let (network, weak) = (&inner.options.network, WeakNode(Arc::downgrade(&inner)));
        network.serve(Service::RAFT, Arc::new(RaftService(weak.clone())));
        network.serve(Service::GROUP, Arc::new(GroupService(weak.clone())));
        network.serve(Service::SNAPSHOT, Arc::new(SnapshotService(weak)));
        Ok(Self { inner })
    }

    /// Highest level that this node takes part in.
    pub fn level(&self) -> u32 {
        self.inner.options.level
    }

    /// What was handed in.
    pub fn environment(&self) -> &Environment {
        &self.inner.env
    }

    /// This node's number.
    pub fn id(&self) -> NodeId {
        self.inner.options.id
    }

    /// How other nodes are reached.
    pub fn network(&self) -> &Arc<dyn Network> {
        &self.inner.options.network
    }

    /// Bytes per second that this node sends of copies of state machines, all together.
    pub fn set_snapshot_rate(&self, bytes_per_second: u64) {
        self.inner.bulk.set_rate(bytes_per_second);
    }

    /// The groups that run here.
    pub fn groups(&self) -> Vec<Group> {
        self.inner.groups.lock().values().cloned().collect()
    }

    /// The group with this number, if it runs here.
    pub fn group(&self, id: GroupId) -> Option<Group> {
        self.inner.groups.lock().get(&id).cloned()
    }

    /// Hands over every leadership to a voter that can take it, stops all groups after what was proposed
    /// is answered, checkpoints them, and closes the log.
    pub async fn shutdown(&self) -> Result<(), OpenError> {
        let groups = self.groups();
        join_all(groups.iter().map(Group::hand_over)).await;
        for group in &groups {
            group.end().await;
        }
        self.inner.groups.lock().clear();
        let (done, closed) = oneshot::channel();
        self.inner.engine.close(Box::new(move |outcome| drop(done.send(outcome))));
        match closed.await {
            Ok(Ok(()) | Err(LogError::Closed)) | Err(_) => Ok(()),
            Ok(Err(error)) => Err(OpenError::Storage(error.to_string())),
        }
    }
}

/// Opens the log on a thread that may block.
async fn open_log(
    env: &Environment,
    options: &NodeOptions,
    log: LogOptions,
) -> Result<SegmentedLog, OpenError> {
    let (answer, opened) = oneshot::channel();
    let (inner, folder) = (env.clone(), options.log.clone());
    let open = async move {
        let _ = answer.send(SegmentedLog::open(&inner, &folder, log));
    };
    let storage = |reason: String| OpenError::Storage(reason);
    env.spawner.worker("log-open", Box::pin(open)).map_err(|error| storage(error.to_string()))?;
    opened.await.map_err(|_| storage("opening the log was given up".into()))?
}

/// Looks for free space as long as the log is there.
fn watch_space(env: &Environment, engine: &Arc<dyn LogEngine>) {
    let (clock, engine) = (env.clock.clone(), Arc::downgrade(engine));
    let watch = async move {
        while let Some(engine) = engine.upgrade() {
            engine.check_space();
            drop(engine);
            clock.sleep(SPACE_INTERVAL).await;
        }
    };
    env.spawner.spawn("log-space", Box::pin(watch));
}
