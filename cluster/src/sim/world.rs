//! Many simulated machines in one thread, in steps of a millisecond.
//!
//! Each machine has a runtime of its own, so that a crash ends everything that ran there between two
//! instructions that anybody outside can tell apart: its disk takes no more, its messages stay inside,
//! and then the runtime is dropped. Machines run one after the other, in an order from the seed.

use std::{
    collections::BTreeMap,
    future::Future,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rand::{Rng, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha12Rng;

use super::{Crash, SimDisk, SimNetwork, Wires, host::Host};
use crate::{Environment, NodeId};

/// How far time goes in one step.
const STEP: Duration = Duration::from_millis(1);

/// A counter that all share: later events have greater numbers.
#[derive(Clone, Default)]
pub struct Sequence(Arc<AtomicU64>);

impl Sequence {
    /// The next number.
    pub fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// Simulated machines and what is between them.
pub struct World {
    hosts: BTreeMap<NodeId, Host>,
    wires: Wires,
    sequence: Sequence,
    now: Duration,
    random: ChaCha12Rng,
    scratch: PathBuf,
}

/// What a new process gets.
pub struct Boot {
    /// Clock, disk, randomness and tasks of the machine.
    pub environment: Environment,
    /// The way to others.
    pub network: Arc<SimNetwork>,
    /// A folder of the machine. On the simulated disk it has the same name as on the real one, which
    /// only state machines with real files use.
    pub folder: PathBuf,
}

impl World {
    /// No machines yet. State machines with real files find them in `scratch`.
    pub fn new(seed: u64, scratch: &Path) -> Self {
        let mut random = ChaCha12Rng::seed_from_u64(seed);
        let wires = Wires::new(random.random());
        let (hosts, scratch) = (BTreeMap::new(), scratch.to_owned());
        Self { hosts, wires, sequence: Sequence::default(), now: Duration::ZERO, random, scratch }
    }

    /// Adds a machine with an empty disk and no process.
    pub fn add(&mut self, node: NodeId) {
        let seed = self.random.random();
        self.hosts.insert(node, Host::new(seed));
    }

    /// All machines.
    pub fn nodes(&self) -> Vec<NodeId> {
        self.hosts.keys().copied().collect()
    }

    /// Starts a process on a machine that has none.
    pub fn boot(&mut self, node: NodeId) -> io::Result<Boot> {
        let host = self.hosts.get_mut(&node).ok_or(io::ErrorKind::NotFound)?;
        let environment = host.boot()?;
        let runtime = host.runtime.as_ref().ok_or(io::ErrorKind::NotFound)?;
        let network = Arc::new(self.wires.attach(node, &host.disk, runtime.handle()));
        let folder = self.scratch.join(format!("node-{}", node.0));
        Ok(Boot { environment, network, folder })
    }

    /// Runs a task in the process of a machine, if there is one.
    pub fn spawn(&self, node: NodeId, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(runtime) = self.hosts.get(&node).and_then(|host| host.runtime.as_ref()) {
            runtime.spawn(task);
        }
    }

    /// Ends the process of a machine; its disk is then what the crash left.
    pub fn crash(&mut self, node: NodeId, how: Crash) {
        self.wires.detach(node);
        if let Some(host) = self.hosts.get_mut(&node) {
            let left = host.disk.crash(how);
            host.end();
            host.disk = left;
        }
    }

    /// Lets a millisecond pass. Returns the machines whose disk went off meanwhile: [`Self::crash`]
    /// must be called for them.
    pub fn step(&mut self) -> Vec<NodeId> {
        self.now += STEP;
        self.wires.deliver(self.now);
        let mut order = self.nodes();
        order.shuffle(&mut self.random);
        for node in &order {
            if let Some(host) = self.hosts.get_mut(node) {
                host.step();
            }
        }
        let off = |node: &NodeId| self.hosts.get(node).is_some_and(|host| host.disk.is_off());
        order.retain(off);
        order
    }

    /// The process of a machine does nothing while time passes (as at SIGSTOP), or goes on.
    pub fn stop(&mut self, node: NodeId, stopped: bool) {
        if let Some(host) = self.hosts.get_mut(&node) {
            host.stopped = stopped;
        }
    }

    /// How fast a machine's clocks run: 1.1 is 10 % too fast.
    pub fn set_rate(&mut self, node: NodeId, rate: f64) {
        if let Some(host) = self.hosts.get_mut(&node) {
            host.rate = rate;
        }
    }

    /// Moves a machine's wall clock by milliseconds, and only it.
    pub fn jump(&mut self, node: NodeId, milliseconds: i64) {
        if let Some(host) = self.hosts.get(&node) {
            host.jump(milliseconds);
        }
    }

    /// Longest time for which a piece of work on a machine's disk waits.
    pub fn set_slow(&mut self, node: NodeId, longest: Duration) {
        if let Some(host) = self.hosts.get(&node) {
            host.slow(longest);
        }
    }

    /// A machine's disk. Another one after each crash.
    pub fn disk(&self, node: NodeId) -> Option<SimDisk> {
        self.hosts.get(&node).map(|host| host.disk.clone())
    }

    /// Whether a process runs on a machine.
    pub fn is_up(&self, node: NodeId) -> bool {
        self.hosts.get(&node).is_some_and(|host| host.runtime.is_some() && !host.disk.is_off())
    }

    /// The links.
    pub fn wires(&self) -> &Wires {
        &self.wires
    }

    /// Numbers in the order of events.
    pub fn sequence(&self) -> &Sequence {
        &self.sequence
    }

    /// How long the world has existed.
    pub fn now(&self) -> Duration {
        self.now
    }
}
