//! Some nodes with one group of registers, started, crashed and started again.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha12Rng;

use super::{
    checks::Checks,
    registers::{Registers, View},
};
use crate::{
    Group, GroupId, GroupSpec, Node, NodeId, NodeOptions,
    log::LogOptions,
    sim::{Boot, Crash, SimDisk, World},
};

pub(super) const GROUP: GroupId = GroupId(1);
/// Small segments and a small memory, so that a short run fills several and reads files.
pub(super) const LOG: LogOptions = LogOptions { segment: 16384, min_free: 32768, cache: 4096 };
/// How often somebody looks after nodes that failed, and after the members.
const CARE: u64 = 100;
/// How often logs are compared.
const COMPARE: u64 = 20;

pub(super) fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// What runs on a node.
#[derive(Clone)]
pub(super) struct Running {
    pub node: Node,
    pub group: Group,
    pub view: Arc<Mutex<View>>,
}

/// What became of a start.
#[derive(Default)]
pub(super) struct Started {
    running: Option<Running>,
    failed: Option<String>,
}

/// One node through its lives.
struct Member {
    life: u64,
    started: Arc<Mutex<Started>>,
    /// When it is started again, if it is down.
    due: Option<Duration>,
}

/// The members that somebody wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub voters: BTreeSet<NodeId>,
    pub learners: BTreeSet<NodeId>,
}

pub(super) struct Cluster {
    pub world: World,
    pub checks: Checks,
    pub random: ChaCha12Rng,
    pub wanted: Wanted,
    /// What was done to the nodes, by kind.
    pub counts: BTreeMap<&'static str, u64>,
    members: BTreeMap<NodeId, Member>,
    caring: Arc<Mutex<bool>>,
    _scratch: tempfile::TempDir,
}

async fn start(boot: Boot, id: NodeId, disk: SimDisk, checks: Checks) -> Result<Running, String> {
    let Boot { environment, network, folder } = boot;
    let options = NodeOptions { id, log: folder.join("log"), network, level: crate::LEVEL };
    let node = Node::open_with(environment, options, LOG).await.map_err(|e| e.to_string())?;
    let opened = Registers::open(&disk, id, &folder.join("state"), &checks);
    let (machine, view) = opened.map_err(|error| error.to_string())?;
    let spec = GroupSpec { id: GROUP, name: "registers".into(), bootstrap: id == NodeId(1) };
    let group = node.start_group(spec, Box::new(machine)).await.map_err(|e| e.to_string())?;
    checks.started(id, group.inner.engine.as_ref(), GROUP);
    Ok(Running { node, group, view })
}

/// Brings the members one step nearer to what is wanted. Failing is no harm: somebody tries again.
async fn change(group: Group, wanted: Wanted) {
    let members = group.members();
    let all = wanted.voters.iter().chain(&wanted.learners);
    for node in all.clone().filter(|node| !members.contains(**node)) {
        if group.add_learner(*node).await.is_err() {
            return;
        }
    }
    if members.voters != wanted.voters && group.set_voters(wanted.voters.clone()).await.is_err() {
        return;
    }
    for node in members.voters.iter().chain(&members.learners) {
        if !all.clone().any(|other| other == node) {
            let _ = group.remove_member(*node).await;
        }
    }
}

impl Cluster {
    /// `size` nodes that are off; the first one founds the group, all become voters.
    pub(super) fn new(seed: u64, size: u64) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let mut random = ChaCha12Rng::seed_from_u64(seed);
        let mut world = World::new(random.random(), scratch.path());
        let checks = Checks::default();
        let watching = checks.clone();
        world.wires().watch(move |exchange| watching.answered(exchange));
        let nodes: BTreeSet<_> = (1..=size).map(NodeId).collect();
        let mut members = BTreeMap::new();
        for node in &nodes {
            world.add(*node);
            let due = Some(ms(random.random_range(1..50)));
            members.insert(*node, Member { life: 0, started: Arc::default(), due });
        }
        Self {
            world,
            checks,
            random,
            wanted: Wanted { voters: nodes, learners: BTreeSet::new() },
            counts: BTreeMap::new(),
            members,
            caring: Arc::default(),
            _scratch: scratch,
        }
    }

    pub(super) fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    pub(super) fn nodes(&self) -> Vec<NodeId> {
        self.members.keys().copied().collect()
    }

    pub(super) fn any_node(&mut self) -> NodeId {
        let nodes = self.nodes();
        nodes[self.random.random_range(0..nodes.len())]
    }

    /// What runs on a node, and which life of it that is.
    pub(super) fn running(&self, node: NodeId) -> Option<(u64, Running)> {
        let member = &self.members[&node];
        member.started.lock().running.clone().map(|running| (member.life, running))
    }

    pub(super) fn life(&self, node: NodeId) -> u64 {
        self.members[&node].life
    }

    /// A node that takes itself for the leader.
    pub(super) fn leader(&self) -> Option<(NodeId, Running)> {
        let leads = |running: &Running| running.group.inner.raft().is_leader();
        let running =
            self.nodes().into_iter().filter_map(|node| Some((node, self.running(node)?.1)));
        // an old leader may not know yet: the last one counts
        running
            .filter(|(_, running)| leads(running))
            .max_by_key(|(_, running)| running.group.status().term)
    }

    /// Ends a node's process; it is started again after `pause`.
    pub(super) fn crash(&mut self, node: NodeId, how: Crash, pause: Duration) {
        let due = Some(self.world.now() + pause);
        let Some(member) = self.members.get_mut(&node) else { return };
        member.due = due;
        member.life += 1;
        let old = std::mem::take(&mut member.started);
        self.world.crash(node, how);
        old.lock().running = None;
    }

    /// Stops a node in order, then starts it again.
    pub(super) fn restart(&mut self, node: NodeId) {
        let Some((_, running)) = self.running(node) else { return };
        let started = self.members[&node].started.clone();
        self.world.spawn(node, async move {
            let _ = running.node.shutdown().await;
            drop(running);
            let mut started = started.lock();
            (started.running, started.failed) = (None, Some("stopped".into()));
        });
    }

    fn boot(&mut self, node: NodeId) {
        let (Ok(boot), Some(disk)) = (self.world.boot(node), self.world.disk(node)) else { return };
        let Some(member) = self.members.get_mut(&node) else { return };
        member.due = None;
        let (started, checks) = (member.started.clone(), self.checks.clone());
        self.world.spawn(node, async move {
            let outcome = start(boot, node, disk, checks).await;
            let mut started = started.lock();
            match outcome {
                Ok(running) => started.running = Some(running),
                Err(error) => started.failed = Some(error),
            }
        });
    }

    /// A millisecond.
    pub(super) fn step(&mut self) {
        for node in self.world.step() {
            self.count("power cut at a disk operation");
            let pause = ms(self.random.random_range(5..1500));
            self.crash(node, Crash::Power, pause);
        }
        let now = self.world.now();
        for node in self.nodes() {
            if self.members[&node].due.is_some_and(|due| due <= now) {
                self.boot(node);
            }
        }
        self.look();
        if (now.as_millis() as u64).is_multiple_of(CARE) {
            self.care();
        }
    }

    /// Checks what can be seen from outside.
    fn look(&mut self) {
        let compare = (self.world.now().as_millis() as u64).is_multiple_of(COMPARE);
        for node in self.nodes() {
            let Some((_, running)) = self.running(node) else { continue };
            let raft = running.group.inner.raft();
            let (leads, term) = {
                use openraft::async_runtime::WatchReceiver;
                let server = raft.server_metrics();
                let server = server.borrow_watched();
                (server.state.is_leader(), server.vote.leader_id.term)
            };
            if leads {
                self.checks.leads(node, (term, node.0), &running.group);
            }
            if compare {
                self.checks.log(node, &running.group, 30);
            }
        }
    }

    /// What an administrator (or systemd) does.
    fn care(&mut self) {
        for node in self.nodes() {
            let (failed, running) = {
                let started = self.members[&node].started.lock();
                (started.failed.clone(), started.running.clone())
            };
            let failed = failed.or_else(|| running.and_then(|r| r.group.status().failed));
            let Some(reason) = failed else { continue };
            if reason.contains("panick") || reason.contains("damaged") {
                self.checks.violated(format!("{node}: {reason}"));
            }
            if reason != "stopped" {
                self.count("node failed and was started again");
            }
            let pause = ms(self.random.random_range(50..1000));
            self.crash(node, Crash::Process, pause);
        }
        if let Some((node, running)) = self.leader()
            && !std::mem::replace(&mut *self.caring.lock(), true)
        {
            let (wanted, caring) = (self.wanted.clone(), Caring(self.caring.clone()));
            self.world.spawn(node, async move {
                change(running.group, wanted).await;
                drop(caring);
            });
        }
    }

    /// Why the replicas are not all the same and complete, if they are not.
    pub(super) fn differs(&self) -> Option<String> {
        let mut first: Option<(NodeId, u64, Vec<u64>)> = None;
        for node in self.nodes() {
            let Some((_, running)) = self.running(node) else {
                let why = self.members[&node].started.lock().failed.clone();
                return Some(format!("{node} does not run: {why:?}"));
            };
            let members = running.group.members();
            if members.voters != self.wanted.voters || !members.learners.is_empty() {
                return Some(format!("{node} has the members {members:?}"));
            }
            let (applied, effects) = {
                let view = running.view.lock();
                (view.applied, view.effects.clone())
            };
            let (other, there, same) = first.get_or_insert((node, applied, effects.clone()));
            if *there != applied {
                return Some(format!("{node} applied {applied}, {other} {there}"));
            }
            if *same != effects {
                return Some(format!("{node} and {other} show different things"));
            }
        }
        None
    }

    /// What took effect, on each node.
    pub(super) fn effects(&self) -> Vec<Vec<u64>> {
        let running = self.nodes().into_iter().filter_map(|node| self.running(node));
        running.map(|(_, running)| running.view.lock().effects.clone()).collect()
    }

    /// For the reader of a failure: how everybody is doing.
    pub(super) fn describe(&self) -> String {
        let mut text = String::new();
        for node in self.nodes() {
            let state = match self.running(node) {
                Some((life, running)) => {
                    let status = running.group.status();
                    format!(
                        "life {life}, term {}, leader {:?}, log {}, applied {}, members {:?}",
                        status.term,
                        status.leader,
                        status.last_log,
                        status.applied,
                        running.group.members()
                    )
                }
                None => "does not run".into(),
            };
            text += &format!("  {node}: {state}\n");
        }
        text
    }
}

/// Says that nobody changes the members any more, also when the node dies.
struct Caring(Arc<Mutex<bool>>);

impl Drop for Caring {
    fn drop(&mut self) {
        *self.0.lock() = false;
    }
}
