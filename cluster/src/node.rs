//! One node's part of the cluster.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::sync::{Semaphore, oneshot};

use crate::{
    Environment, Group, GroupId, GroupSpec, StateMachine,
    log::{LogEngine, LogError, LogOptions, SegmentedLog},
    raft::{
        self, Raft,
        machine::{Handle, RaftMachine},
        network::{Alone, Network, Transport},
        storage::{FileReader, RaftLog},
    },
};

/// Number of a node in the cluster, never used twice.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct NodeId(pub u64);

impl std::fmt::Display for NodeId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "node {}", self.0)
    }
}

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

/// How long a sole voter waits for itself.
const RECOVERY_TIMEOUT: Duration = Duration::from_secs(60);
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
    transport: Arc<dyn Transport>,
    in_flight: Arc<Semaphore>,
    groups: Mutex<BTreeMap<GroupId, Group>>,
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
        let files = FileReader::start(&env)?;
        let in_flight = Arc::new(Semaphore::new(engine.in_flight_limit()));
        watch_space(&env, &engine);
        let (transport, groups) = (Arc::new(Alone), Mutex::default());
        let inner = Inner { env, options, engine, files, transport, in_flight, groups };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Starts a group on this node and returns once its state machine has everything that the log
    /// holds as committed.
    pub async fn start_group(
        &self,
        spec: GroupSpec,
        machine: Box<dyn StateMachine>,
    ) -> Result<Group, OpenError> {
        let inner = &self.inner;
        if inner.groups.lock().contains_key(&spec.id) {
            return Err(OpenError::Group(format!("group {} runs already", spec.id.0)));
        }
        let scratch = inner.options.log.join("copies").join(spec.id.0.to_string());
        let handle = Handle::start(&inner.env, &spec.name, machine, scratch)?;
        let raft_machine = RaftMachine::open(handle.clone()).await?;
        self.check_positions(&spec, &raft_machine)?;
        let log =
            RaftLog { engine: inner.engine.clone(), group: spec.id, files: inner.files.clone() };
        let network = Network { transport: inner.transport.clone(), group: spec.id };
        let config = raft::config(&spec.name)?;
        let raft = Raft::new(inner.options.id.0, config, network, log, raft_machine)
            .await
            .map_err(|fatal| self.start_error(&handle, &fatal.to_string()))?;
        let group = Group {
            inner: Arc::new(crate::group::Inner {
                node: inner.options.id,
                env: inner.env.clone(),
                raft,
                machine: handle,
                engine: inner.engine.clone(),
                in_flight: inner.in_flight.clone(),
                waiting: Semaphore::new(crate::group::MAX_WAITING as usize),
                spec,
            }),
        };
        group.begin().await.map_err(|reason| self.start_error(&group.inner.machine, &reason))?;
        crate::checkpoint::watch(&group);
        inner.groups.lock().insert(group.inner.spec.id, group.clone());
        Ok(group)
    }

    /// Log and state machine must belong together.
    fn check_positions(&self, spec: &GroupSpec, machine: &RaftMachine) -> Result<(), OpenError> {
        let state = self.inner.engine.state(spec.id);
        let next = machine.applied_index().map_or(0, |index| index + 1);
        if next < state.first {
            return Err(OpenError::Damaged(format!(
                "the state machine of {} ends before entry {next}, the log begins with entry {}: \
                 the state machine is older than the log",
                spec.name, state.first
            )));
        }
        if next > 0 && state.vote.is_none() {
            return Err(OpenError::Damaged(format!(
                "the state machine of {} has {next} entries, the log knows nothing of the group: \
                 the log's folder is not the one that belongs to it",
                spec.name
            )));
        }
        Ok(())
    }

    fn start_error(&self, machine: &Handle, reason: &str) -> OpenError {
        match machine.failure() {
            Some(failure) => OpenError::Machine(crate::MachineError::Storage(failure)),
            None => OpenError::Group(reason.to_owned()),
        }
    }

    /// What was handed in.
    pub fn environment(&self) -> &Environment {
        &self.inner.env
    }

    /// This node's number.
    pub fn id(&self) -> NodeId {
        self.inner.options.id
    }

    /// Stops all groups after what was proposed is answered, checkpoints them, and closes the log.
    pub async fn shutdown(&self) -> Result<(), OpenError> {
        let groups = std::mem::take(&mut *self.inner.groups.lock());
        for group in groups.values() {
            group.end().await;
        }
        let (done, closed) = oneshot::channel();
        self.inner.engine.close(Box::new(move |outcome| drop(done.send(outcome))));
        match closed.await {
            Ok(Ok(()) | Err(LogError::Closed)) | Err(_) => Ok(()),
            Ok(Err(error)) => Err(OpenError::Storage(error.to_string())),
        }
    }
}

impl Group {
    /// Makes a new group's only member, or a restarted sole voter, the leader without waiting for a
    /// timeout, and waits until the state machine is current.
    async fn begin(&self) -> Result<(), String> {
        let (raft, me) = (&self.inner.raft, self.inner.node.0);
        let initialized = raft.is_initialized().await.map_err(|fatal| fatal.to_string())?;
        if !initialized {
            if !self.inner.spec.bootstrap {
                return Ok(());
            }
            let members = BTreeMap::from([(me, openraft::BasicNode::new(""))]);
            raft.initialize(members).await.map_err(|error| error.to_string())?;
        }
        // asked of the core: the metrics may lag behind
        let sole = raft
            .with_raft_state(move |state| state.membership_state.effective().voter_ids().eq([me]))
            .await
            .map_err(|fatal| fatal.to_string())?;
        if !sole {
            return Ok(());
        }
        if initialized {
            raft.trigger().elect(false).await.map_err(|fatal| fatal.to_string())?;
        }
        raft.wait(Some(RECOVERY_TIMEOUT))
            .metrics(|metrics| metrics.current_leader == Some(me), "the sole voter leads")
            .await
            .map_err(|error| error.to_string())?;
        raft.wait_for_recovery(Some(RECOVERY_TIMEOUT))
            .await
            .map(drop)
            .map_err(|error| error.to_string())
    }

    /// Answers what was proposed, makes the state durable, and stops.
    async fn end(&self) {
        // whoever comes from now on is told; whoever is inside has a permit
        let all = self.inner.waiting.acquire_many(crate::group::MAX_WAITING);
        let stopped = all.await.map(drop);
        self.inner.waiting.close();
        if stopped.is_ok()
            && let Err(error) = self.checkpoint().await
        {
            let group = &self.inner.spec.name;
            tracing::warn!(target: "warning", %error, group, "no checkpoint at the stop");
        }
        let _ = self.inner.raft.shutdown().await;
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
