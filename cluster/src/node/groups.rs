//! Groups of a node: starting, stopping, forgetting.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use parking_lot::{Mutex, RwLock};
use tokio::sync::{Semaphore, oneshot};

use super::{Node, OpenError};
use crate::{
    Group, GroupId, GroupSpec, NodeId, StateMachine,
    log::LogError,
    raft::{
        self,
        machine::{Handle, RaftMachine},
        network::Peers,
        snapshot::Copies,
        storage::RaftLog,
        timing::Timing,
    },
    watch,
};

/// How long a sole voter waits for itself.
const RECOVERY_TIMEOUT: Duration = Duration::from_secs(60);

impl Node {
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
        let network = inner.options.network.clone();
        let voters = raft_machine.voters().into_iter().map(NodeId).collect();
        let measured = crate::group::round_trip(network.as_ref(), &voters);
        let timing = Timing::of(measured.unwrap_or_default());
        let folder = inner.options.log.join("copies").join(spec.id.0.to_string());
        let (bulk, engine) = (inner.bulk.clone(), inner.engine.clone());
        let copies = Copies::new(spec.id, folder, bulk, handle.clone(), engine);
        let peers = Peers { network: network.clone(), group: spec.id, copies: copies.clone() };
        let (id, machine) = (inner.options.id, raft_machine.clone());
        let raft = raft::start(id, &spec.name, &timing, peers, log.clone(), machine)
            .await
            .map_err(|error| self.start_error(&handle, error))?;
        let group = Group {
            inner: Arc::new(crate::group::Inner {
                node: inner.options.id,
                env: inner.env.clone(),
                network,
                raft: RwLock::new(raft),
                started: RwLock::new(inner.env.clock.monotonic()),
                timing: RwLock::new(timing),
                heard: AtomicU64::new(0),
                yielded: AtomicU64::new(0),
                state: watch::Sender::default(),
                copies,
                applied: raft_machine.reached(),
                raft_machine: Mutex::new(raft_machine),
                log,
                machine: handle,
                engine: inner.engine.clone(),
                in_flight: inner.in_flight.clone(),
                waiting: Semaphore::new(crate::group::MAX_WAITING as usize),
                spec,
            }),
        };
        inner.groups.lock().insert(group.inner.spec.id, group.clone());
        if let Err(reason) = group.begin().await {
            inner.groups.lock().remove(&group.inner.spec.id);
            return Err(self.start_error(&group.inner.machine, OpenError::Group(reason)));
        }
        crate::checkpoint::watch(&group);
        crate::group::follow(&group);
        crate::group::follow_round_trips(&group);
        Ok(group)
    }

    /// Stops a group on this node after what was proposed is answered, and checkpoints it. Another
    /// member leads before. Nothing happens if it does not run here.
    pub async fn stop_group(&self, id: GroupId) -> Result<(), OpenError> {
        let group = self.group(id);
        if let Some(group) = group {
            group.hand_over().await;
            group.end().await;
            self.inner.groups.lock().remove(&id);
        }
        Ok(())
    }

    /// Stops a group and erases, durably, everything that the log holds of it. The folder of its state
    /// machine is the caller's, and must go before the group is started here again.
    pub async fn forget_group(&self, id: GroupId) -> Result<(), OpenError> {
        self.stop_group(id).await?;
        let (done, erased) = oneshot::channel();
        let done = Box::new(move |outcome| drop(done.send(outcome)));
        let storage = |error: LogError| OpenError::Storage(error.to_string());
        self.inner.engine.forget(id, done).map_err(storage)?;
        erased.await.map_err(|_| storage(LogError::Closed))?.map_err(storage)
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

    fn start_error(&self, machine: &Handle, error: OpenError) -> OpenError {
        match machine.failure() {
            Some(failure) => OpenError::Machine(crate::MachineError::Storage(failure)),
            None => error,
        }
    }
}

impl Group {
    /// Makes a new group's only member, or a restarted sole voter, the leader without waiting for a
    /// timeout, and waits until the state machine is current.
    async fn begin(&self) -> Result<(), String> {
        let (raft, me) = (self.inner.raft(), self.inner.node.0);
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

    /// Lets another voter lead, if this node does and there is one that can.
    pub(super) async fn hand_over(&self) {
        if !self.inner.raft().is_leader() {
            return;
        }
        let Some(to) = self.most_caught_up(&self.members().voters) else { return };
        if let Err(error) = self.transfer(to).await {
            let group = &self.inner.spec.name;
            tracing::warn!(target: "warning", %error, group, "leadership not handed over at the stop");
        }
    }

    /// Answers what was proposed, makes the state durable, and stops.
    pub(super) async fn end(&self) {
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
        let _ = self.inner.raft().shutdown().await;
    }
}
