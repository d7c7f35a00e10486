//! What goes wrong in a run: kinds, and for how long.

use std::{io::ErrorKind, path::Path, time::Duration};

use rand::{Rng, seq::SliceRandom};

use super::cluster::{Cluster, ms};
use crate::{
    NodeId,
    env::Disk,
    sim::{Crash, Link},
};

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Kill,
    PowerCut,
    PowerCutInDiskOperation,
    PowerCutOfAll,
    KillOfLeader,
    Pause,
    PauseOfLeader,
    Partition,
    OneWay,
    Bridge,
    LeaderAlone,
    SwizzleClog,
    Lossy,
    FarAway,
    SlowDisk,
    DiskError,
    DiskFull,
    ClockJump,
    Drift,
    Transfer,
    Members,
    Checkpoint,
    Restart,
}

/// All kinds, with their names in the report.
pub(super) const KINDS: [(Kind, &str); 23] = [
    (Kind::Kill, "process killed"),
    (Kind::PowerCut, "power cut"),
    (Kind::PowerCutInDiskOperation, "power cut at the nth disk operation, armed"),
    (Kind::PowerCutOfAll, "power cut of all nodes"),
    (Kind::KillOfLeader, "leader killed"),
    (Kind::Pause, "pause of a node"),
    (Kind::PauseOfLeader, "pause of the leader"),
    (Kind::Partition, "partition"),
    (Kind::OneWay, "one-way partition"),
    (Kind::Bridge, "bridge"),
    (Kind::LeaderAlone, "leader cut off"),
    (Kind::SwizzleClog, "swizzle-clog"),
    (Kind::Lossy, "lossy network"),
    (Kind::FarAway, "slow network"),
    (Kind::SlowDisk, "slow disk"),
    (Kind::DiskError, "disk error"),
    (Kind::DiskFull, "disk full"),
    (Kind::ClockJump, "clock jump"),
    (Kind::Drift, "clock drift"),
    (Kind::Transfer, "leadership handed over"),
    (Kind::Members, "members changed"),
    (Kind::Checkpoint, "checkpoint"),
    (Kind::Restart, "restart in order"),
];

/// What ends a fault.
enum Heal {
    Open(NodeId, NodeId),
    Clog(NodeId, NodeId),
    Unclog(NodeId, NodeId),
    Network,
    Resume(NodeId),
    Disk(NodeId),
    Clock(NodeId),
}

/// The faults of one run.
pub(super) struct Faults {
    kinds: Vec<(Kind, &'static str)>,
    every: (u64, u64),
    next: Duration,
    healing: Vec<(Duration, Heal)>,
}

fn usual() -> Link {
    Link { delay: (ms(1), ms(4)), ..Link::default() }
}

impl Faults {
    /// A choice of kinds, and of how often they strike.
    pub(super) fn new(cluster: &mut Cluster) -> Self {
        cluster.world.wires().set_usual(usual());
        let random = &mut cluster.random;
        let mut kinds = KINDS.to_vec();
        // some runs have a bit of everything, others much of a few
        if random.random_bool(0.7) {
            kinds.shuffle(random);
            kinds.truncate(random.random_range(2..10));
        }
        let longest = random.random_range(200..3000);
        Self { kinds, every: (20, longest), next: ms(1500), healing: Vec::new() }
    }

    /// These kinds only.
    pub(super) fn of(cluster: &mut Cluster, kinds: &[Kind], every: (u64, u64)) -> Self {
        cluster.world.wires().set_usual(usual());
        let kinds = KINDS.iter().filter(|(kind, _)| kinds.contains(kind)).copied().collect();
        Self { kinds, every, next: ms(1500), healing: Vec::new() }
    }

    /// A millisecond.
    pub(super) fn step(&mut self, cluster: &mut Cluster) {
        let now = cluster.world.now();
        let (due, rest) =
            std::mem::take(&mut self.healing).into_iter().partition(|(at, _)| *at <= now);
        self.healing = rest;
        let due: Vec<_> = due;
        for (_, heal) in due {
            apply(cluster, heal);
        }
        if now >= self.next && !self.kinds.is_empty() {
            self.next = now + ms(cluster.random.random_range(self.every.0..self.every.1));
            let (kind, name) = self.kinds[cluster.random.random_range(0..self.kinds.len())];
            if self.strike(cluster, kind).is_some() {
                cluster.count(name);
            }
        }
    }

    /// Ends all faults, and wants all nodes as voters again.
    pub(super) fn end(&mut self, cluster: &mut Cluster) {
        self.kinds.clear();
        self.healing.clear();
        cluster.wanted.voters = cluster.nodes().into_iter().collect();
        cluster.wanted.learners.clear();
        apply(cluster, Heal::Network);
        for node in cluster.nodes() {
            for heal in [Heal::Resume(node), Heal::Disk(node), Heal::Clock(node)] {
                apply(cluster, heal);
            }
        }
    }

    /// Some time from now, mostly short.
    fn later(&self, cluster: &mut Cluster) -> Duration {
        let longest = [200, 800, 3000, 8000][cluster.random.random_range(0..4)];
        cluster.world.now() + ms(cluster.random.random_range(20..longest))
    }

    fn cut(&mut self, cluster: &mut Cluster, ways: &[(NodeId, NodeId)]) {
        let end = self.later(cluster);
        for (from, to) in ways {
            cluster.world.wires().change(*from, *to, |link| link.open = false);
            self.healing.push((end, Heal::Open(*from, *to)));
        }
    }

    fn strike(&mut self, cluster: &mut Cluster, kind: Kind) -> Option<()> {
        match kind {
            Kind::Kill
            | Kind::PowerCut
            | Kind::PowerCutInDiskOperation
            | Kind::PowerCutOfAll
            | Kind::KillOfLeader
            | Kind::Restart => kill(cluster, kind),
            Kind::Pause | Kind::PauseOfLeader => {
                let any = cluster.any_node();
                let node = match kind {
                    Kind::Pause => any,
                    _ => cluster.leader()?.0,
                };
                let end = self.later(cluster);
                cluster.world.stop(node, true);
                self.healing.push((end, Heal::Resume(node)));
                Some(())
            }
            Kind::Partition | Kind::OneWay | Kind::Bridge | Kind::LeaderAlone => {
                let ways = ways(cluster, kind)?;
                self.cut(cluster, &ways);
                Some(())
            }
            Kind::SwizzleClog => self.swizzle(cluster),
            Kind::Lossy | Kind::FarAway => {
                let link = weather(cluster, kind);
                cluster.world.wires().set_usual(link);
                let end = self.later(cluster);
                self.healing.push((end, Heal::Network));
                Some(())
            }
            Kind::SlowDisk | Kind::DiskError | Kind::DiskFull => {
                let node = cluster.any_node();
                trouble(cluster, node, kind)?;
                let end = self.later(cluster);
                self.healing.push((end, Heal::Disk(node)));
                Some(())
            }
            Kind::ClockJump => {
                let node = cluster.any_node();
                const HOUR: i64 = 3_600_000;
                let by = [HOUR, -HOUR, 365 * 24 * HOUR, -200, 200];
                cluster.world.jump(node, by[cluster.random.random_range(0..by.len())]);
                Some(())
            }
            Kind::Drift => {
                let node = cluster.any_node();
                // two clocks run apart by a tenth at most
                let rate = cluster.random.random_range(0.955..1.045);
                cluster.world.set_rate(node, rate);
                let end = self.later(cluster);
                self.healing.push((end, Heal::Clock(node)));
                Some(())
            }
            Kind::Transfer | Kind::Checkpoint => ask(cluster, kind),
            Kind::Members => members(cluster),
        }
    }

    /// Links of some nodes get clogged one after the other, and free in another order.
    fn swizzle(&mut self, cluster: &mut Cluster) -> Option<()> {
        let mut nodes = cluster.nodes();
        nodes.shuffle(&mut cluster.random);
        nodes.truncate(cluster.random.random_range(1..=nodes.len()));
        let mut at = cluster.world.now();
        for heal in [Heal::Clog as fn(_, _) -> _, Heal::Unclog] {
            nodes.shuffle(&mut cluster.random);
            for node in &nodes {
                at += ms(cluster.random.random_range(1..700));
                for other in cluster.nodes().into_iter().filter(|other| other != node) {
                    self.healing.push((at, heal(*node, other)));
                    self.healing.push((at, heal(other, *node)));
                }
            }
        }
        Some(())
    }
}

fn apply(cluster: &mut Cluster, heal: Heal) {
    let wires = cluster.world.wires().clone();
    match heal {
        Heal::Open(from, to) => wires.change(from, to, |link| link.open = true),
        Heal::Clog(from, to) => wires.change(from, to, |link| link.clogged = true),
        Heal::Unclog(from, to) => wires.change(from, to, |link| link.clogged = false),
        Heal::Network => {
            wires.set_usual(usual());
            wires.heal();
        }
        Heal::Resume(node) => cluster.world.stop(node, false),
        Heal::Disk(node) => {
            cluster.world.set_slow(node, Duration::ZERO);
            if let Some(disk) = cluster.world.disk(node) {
                disk.set_capacity(u64::MAX);
            }
        }
        Heal::Clock(node) => cluster.world.set_rate(node, 1.0),
    }
}

fn kill(cluster: &mut Cluster, kind: Kind) -> Option<()> {
    let node = match kind {
        Kind::KillOfLeader => cluster.leader()?.0,
        _ => cluster.any_node(),
    };
    // some come back at once, before anybody missed them
    let longest = [20, 300, 4000][cluster.random.random_range(0..3)];
    let pause = ms(cluster.random.random_range(1..longest));
    match kind {
        Kind::Kill | Kind::KillOfLeader => cluster.crash(node, Crash::Process, pause),
        Kind::PowerCut => cluster.crash(node, Crash::Power, pause),
        Kind::PowerCutOfAll => {
            for node in cluster.nodes() {
                let pause = ms(cluster.random.random_range(1..longest));
                cluster.crash(node, Crash::Power, pause);
            }
        }
        Kind::Restart => cluster.restart(node),
        _ => {
            let disk = cluster.world.disk(node)?;
            disk.crash_at(disk.operations() + cluster.random.random_range(1..40));
        }
    }
    Some(())
}

/// Which directions a partition cuts.
fn ways(cluster: &mut Cluster, kind: Kind) -> Option<Vec<(NodeId, NodeId)>> {
    let mut nodes = cluster.nodes();
    nodes.shuffle(&mut cluster.random);
    let at = cluster.random.random_range(1..nodes.len().max(2));
    let (left, right) = match kind {
        Kind::LeaderAlone => {
            let leader = cluster.leader()?.0;
            nodes.retain(|node| *node != leader);
            (vec![leader], nodes)
        }
        // the last one sees both sides
        Kind::Bridge if nodes.len() > 2 => {
            nodes.pop();
            let right = nodes.split_off(at.min(nodes.len() - 1));
            (nodes, right)
        }
        _ => {
            let right = nodes.split_off(at.min(nodes.len()));
            (nodes, right)
        }
    };
    let one = left.iter().flat_map(|a| right.iter().map(move |b| (*a, *b)));
    let there: Vec<_> = one.collect();
    let both = there.iter().flat_map(|(a, b)| [(*a, *b), (*b, *a)]);
    Some(if kind == Kind::OneWay { there } else { both.collect() })
}

fn weather(cluster: &mut Cluster, kind: Kind) -> Link {
    let random = &mut cluster.random;
    match kind {
        Kind::Lossy => Link {
            loss: random.random_range(0.0..0.3),
            twice: random.random_range(0.0..0.3),
            late: random.random_range(0.0..0.3),
            ..usual()
        },
        _ => {
            let longest = [20, 75, 200][random.random_range(0..3)];
            let shortest = random.random_range(1..longest);
            Link { delay: (ms(shortest), ms(longest)), ..usual() }
        }
    }
}

fn trouble(cluster: &mut Cluster, node: NodeId, kind: Kind) -> Option<()> {
    let disk = cluster.world.disk(node)?;
    match kind {
        Kind::SlowDisk => {
            let longest = [10, 100, 600][cluster.random.random_range(0..3)];
            cluster.world.set_slow(node, ms(longest));
        }
        Kind::DiskError => {
            let at = disk.operations() + cluster.random.random_range(1..40);
            disk.fail_at(at, ErrorKind::Other);
        }
        _ => {
            disk.set_capacity(u64::MAX);
            let used = u64::MAX - disk.free_space(Path::new("/")).ok()?;
            disk.set_capacity(used + cluster.random.random_range(0..80_000));
        }
    }
    Some(())
}

/// What an administrator asks of a leader.
fn ask(cluster: &mut Cluster, kind: Kind) -> Option<()> {
    let (node, running) = match kind {
        Kind::Transfer => cluster.leader()?,
        _ => {
            let node = cluster.any_node();
            (node, cluster.running(node)?.1)
        }
    };
    let to = cluster.any_node();
    cluster.world.spawn(node, async move {
        match kind {
            Kind::Transfer => drop(running.group.transfer(to).await),
            _ => drop(running.group.checkpoint().await),
        }
    });
    Some(())
}

/// Other members are wanted from now on. One voter at least stays.
fn members(cluster: &mut Cluster) -> Option<()> {
    let mut wanted = cluster.wanted.clone();
    for node in cluster.nodes() {
        let (voters, learners) = (&mut wanted.voters, &mut wanted.learners);
        match cluster.random.random_range(0..8) {
            0 => (voters.remove(&node), learners.insert(node)),
            1 => (voters.remove(&node), learners.remove(&node)),
            2..5 => (voters.insert(node), learners.remove(&node)),
            _ => (false, false),
        };
    }
    if wanted.voters.is_empty() || wanted == cluster.wanted {
        return None;
    }
    cluster.wanted = wanted;
    Some(())
}
