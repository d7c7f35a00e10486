//! Several nodes in the simulation, with everything going wrong from a seed.
//!
//! What must hold whatever happens: one leader for a term, logs that match, leaders that have all that
//! was committed, replicas that apply the same; nothing acknowledged is lost, nothing takes effect
//! twice, what clients see is linearizable; and when the faults end, everybody goes on soon.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha12Rng;

mod checks;
mod clients;
mod cluster;
mod faults;
mod planted;
mod registers;

use clients::Clients;
use cluster::{Cluster, ms};
use faults::{Faults, Kind};

use crate::sim::{MINUTES, SEED, seeds};

/// Simulated time within which everything must be well again once the faults ended.
const RECOVERY: Duration = Duration::from_secs(60);

/// What a run was like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Report {
    /// What does not hold.
    violations: Vec<String>,
    /// Faults, messages and operations by kind.
    counts: BTreeMap<&'static str, u64>,
    /// Differs when anything was different.
    trace: u64,
    /// Milliseconds of all nodes together.
    node_time: u64,
}

impl Report {
    fn add(&mut self, other: &Self) {
        for (what, count) in &other.counts {
            *self.counts.entry(what).or_default() += count;
        }
        self.node_time += other.node_time;
    }
}

/// What a run is made of.
#[derive(Clone, Debug)]
struct Plan {
    nodes: u64,
    clients: u64,
    faulty: Duration,
    /// These kinds only, this often.
    only: Option<(Vec<Kind>, (u64, u64))>,
}

impl Plan {
    fn of(random: &mut ChaCha12Rng) -> Self {
        let nodes = [2, 3, 3, 3, 3, 4, 5, 5][random.random_range(0..8)];
        let clients = random.random_range(2..6);
        Self { nodes, clients, faulty: ms(random.random_range(4000..16000)), only: None }
    }
}

fn run(seed: u64) -> Report {
    let mut random = ChaCha12Rng::seed_from_u64(seed);
    let plan = Plan::of(&mut random);
    run_plan(random.random(), &plan)
}

fn run_plan(seed: u64, plan: &Plan) -> Report {
    let mut cluster = Cluster::new(seed, plan.nodes);
    let mut clients = Clients::new(plan.clients, &mut cluster);
    let mut faults = match &plan.only {
        Some((kinds, every)) => Faults::of(&mut cluster, kinds, *every),
        None => Faults::new(&mut cluster),
    };
    while cluster.world.now() < plan.faulty && cluster.checks.violations().is_empty() {
        cluster.step();
        clients.step(&cluster, false);
        faults.step(&mut cluster);
    }
    faults.end(&mut cluster);
    recover(&mut cluster, &mut clients);
    judge(&cluster, &clients)
}

/// Everybody must go on, and agree.
fn recover(cluster: &mut Cluster, clients: &mut Clients) {
    let end = cluster.world.now() + RECOVERY;
    let busy = cluster.world.now() + ms(2000);
    let mut differs = None;
    while cluster.checks.violations().is_empty() {
        let now = cluster.world.now();
        if now >= end {
            let what = differs.unwrap_or_else(|| "a client has no answer".into());
            let text = format!("not well {RECOVERY:?} after the last fault: {what}");
            return cluster.checks.violated(format!("{text}\n{}", cluster.describe()));
        }
        cluster.step();
        clients.step(cluster, now >= busy);
        if now >= busy && clients.idle() && now.as_millis().is_multiple_of(50) {
            differs = cluster.differs();
            if differs.is_none() {
                return;
            }
        }
    }
}

fn judge(cluster: &Cluster, clients: &Clients) -> Report {
    let mut violations = cluster.checks.violations();
    for node in cluster.nodes() {
        if let Some((_, running)) = cluster.running(node) {
            cluster.checks.log(node, &running.group, u64::MAX);
        }
    }
    if violations.is_empty() {
        violations = cluster.checks.violations();
        violations.extend(clients.history.check().err().map(|anomaly| anomaly.to_string()));
        for effects in cluster.effects() {
            let wrong = clients.deliveries.check(effects);
            if !wrong.is_nothing() {
                violations.push(format!("writes: {wrong:?}"));
                break;
            }
        }
    }
    let mut counts = cluster.counts.clone();
    counts.extend(cluster.world.wires().counts());
    counts.extend(clients.done.iter().map(|(what, count)| (*what, *count)));
    let (elections, installed) = cluster.checks.counts();
    counts.extend([("leader elected", elections), ("copy of the state installed", installed)]);
    let node_time = cluster.world.now().as_millis() as u64 * cluster.nodes().len() as u64;
    Report { violations, counts, trace: cluster.world.wires().trace(), node_time }
}

/// Violations after which a test ends.
const ENOUGH: usize = 5;

/// Runs the seeds on some threads, prints what was done, and fails with the command that shows a
/// violation again.
fn all_hold(seeds: impl Iterator<Item = u64> + Send, threads: usize) {
    let (seeds, outcome) = (Mutex::new(seeds), Mutex::new((Report::default(), 0, Vec::new())));
    let work = || {
        while outcome.lock().2.len() < ENOUGH
            && let Some(seed) = { seeds.lock().next() }
        {
            let report = run(seed);
            let (sum, count, violations) = &mut *outcome.lock();
            if !report.violations.is_empty() {
                let what = report.violations.join("\n");
                let again =
                    format!("{SEED}={seed} cargo nextest run -p posthouse-cluster fixed_seeds");
                violations.push(format!("{what}\nsee it again: {again}"));
            }
            sum.add(&report);
            *count += 1;
        }
    };
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    let (sum, count, violations) = outcome.into_inner();
    println!("{count} seeds, {:.2} node-hours", sum.node_time as f64 / 3_600_000.0);
    for (what, count) in &sum.counts {
        println!("{count:>9}  {what}");
    }
    assert!(violations.is_empty(), "{}", violations.join("\n\n"));
}

#[test]
fn fixed_seeds_of_faults_break_nothing() {
    all_hold(seeds(12), 1);
}

/// For as many minutes as [`MINUTES`] says, otherwise for some seconds.
#[test]
fn new_seeds_of_faults_break_nothing() {
    let minutes = std::env::var(MINUTES).ok().and_then(|value| value.parse::<f64>().ok());
    let end = Instant::now() + Duration::from_secs_f64(minutes.map_or(5.0, |count| count * 60.0));
    let first = u64::from(rand::random::<u32>());
    let all = std::thread::available_parallelism().map_or(1, |count| count.get());
    let threads = if minutes.is_some() { all } else { 1 };
    all_hold((first << 16..).take_while(|_| Instant::now() < end), threads);
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in 100..102 {
        assert_eq!(run(seed), run(seed), "seed {seed}");
    }
}
