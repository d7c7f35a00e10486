//! One node with two groups in the simulation, crashed at every step.
//!
//! What must hold whatever happens: everything that was acknowledged is in the state machine once,
//! nothing is there twice or in part, and the node starts again.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use bytes::Bytes;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha12Rng;

use super::{Crash, Lie, SimClock, SimDisk, environment};
use crate::{Group, GroupId, GroupSpec, Node, NodeId, NodeOptions, ProposeError, log::LogOptions};

mod machine;
mod many;
mod refusals;

use machine::Journal;

const GROUPS: u64 = 2;
/// Small segments, so that a short run fills and recycles several.
const LOG: LogOptions = LogOptions { segment: 4096, min_free: 0, cache: 1024 };
/// Longer than any run needs that gets anywhere.
const HANG: Duration = Duration::from_secs(20);

/// What the world outside knows.
#[derive(Clone, Default)]
struct World {
    next: u64,
    proposed: BTreeSet<(u64, Vec<u8>)>,
    acknowledged: BTreeSet<(u64, Vec<u8>)>,
}

fn folder(group: u64) -> PathBuf {
    PathBuf::from(format!("/state-{group}"))
}

/// A payload that shows when part of it is missing.
fn payload(number: u64, len: usize) -> Vec<u8> {
    let mut bytes = number.to_le_bytes().to_vec();
    bytes.extend((0..len).map(|i| (i as u64 ^ number) as u8));
    bytes
}

async fn start(disk: &SimDisk, seed: u64) -> Result<(Node, Vec<Group>), String> {
    start_with(disk, seed, LOG).await
}

async fn start_with(
    disk: &SimDisk,
    seed: u64,
    log: LogOptions,
) -> Result<(Node, Vec<Group>), String> {
    let env = environment(seed, disk, &SimClock::default());
    let options = NodeOptions::alone(NodeId(1), "/log");
    let node = Node::open_with(env, options, log).await.map_err(|error| error.to_string())?;
    let mut groups = Vec::new();
    for id in 0..GROUPS {
        let machine = Journal::open(disk, &folder(id)).map_err(|error| error.to_string())?;
        let spec = GroupSpec { id: GroupId(id), name: format!("group {id}"), bootstrap: true };
        let group = node.start_group(spec, Box::new(machine)).await;
        groups.push(group.map_err(|error| error.to_string())?);
    }
    Ok((node, groups))
}

/// Proposes `count` commands at once.
async fn propose(
    world: &mut World,
    groups: &[Group],
    random: &mut ChaCha12Rng,
    count: u64,
) -> Result<(), ProposeError> {
    let mut under_way = Vec::new();
    for _ in 0..count {
        let (number, id) = (world.next, random.random_range(0..GROUPS));
        world.next += 1;
        let bytes = payload(number, random.random_range(0..300));
        world.proposed.insert((id, bytes.clone()));
        let group = &groups[id as usize];
        under_way.push(async move { (id, group.propose(Bytes::from(bytes)).await) });
    }
    let mut outcome = Ok(());
    for (id, answer) in futures_util::future::join_all(under_way).await {
        match answer {
            // the machine answers with the command itself
            Ok(answer) => drop(world.acknowledged.insert((id, answer.to_vec()))),
            Err(error) => outcome = Err(error),
        }
    }
    outcome
}

/// Some work; ends early when something fails.
async fn work(
    world: &mut World,
    disk: &SimDisk,
    seed: u64,
    steps: u64,
    random: &mut ChaCha12Rng,
) -> Result<(), String> {
    let (node, groups) = start(disk, seed).await?;
    for step in 0..steps {
        let count = random.random_range(1..5);
        propose(world, &groups, random, count).await.map_err(|error| error.to_string())?;
        if step % 5 == 4 {
            let group = &groups[random.random_range(0..GROUPS) as usize];
            group.checkpoint().await.map_err(|error| error.to_string())?;
        }
        if step % 7 == 6 {
            groups[0].read_barrier().await.map_err(|error| error.to_string())?;
        }
    }
    node.shutdown().await.map_err(|error| error.to_string())
}

/// Runs `task` on a runtime of its own, which ends with it: what the power cut leaves of a process.
fn in_process<T>(task: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(HANG, task).await.expect("it hangs") })
}

/// What is wrong with the disk's state, after a start that brings everything up to date.
fn check(world: &World, disk: &SimDisk) -> Result<(), String> {
    in_process(async {
        let (node, _) = start(disk, 0).await.map_err(|error| format!("no start: {error}"))?;
        node.shutdown().await.map_err(|error| format!("no stop: {error}"))
    })?;
    let mut found = BTreeMap::new();
    for id in 0..GROUPS {
        let content = Journal::open(disk, &folder(id)).map_err(|error| error.to_string())?.content;
        if !content.entries.is_sorted_by(|a, b| a.0 < b.0) {
            return Err(format!("group {id} applied an entry twice or out of order"));
        }
        for (_, bytes) in content.entries {
            *found.entry((id, bytes)).or_insert(0) += 1;
        }
    }
    if let Some((what, count)) = found.iter().find(|(_, count)| **count > 1) {
        return Err(format!("{:?} is there {count} times", what.0));
    }
    if found.keys().any(|what| !world.proposed.contains(what)) {
        return Err("something is there that nobody proposed, or part of it".into());
    }
    match world.acknowledged.iter().find(|what| !found.contains_key(*what)) {
        Some((group, bytes)) => {
            let number = bytes.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
            Err(format!("command {number} of group {group} was acknowledged and is lost"))
        }
        None => Ok(()),
    }
}

/// Operations of a run that nothing disturbs.
fn undisturbed(steps: u64) -> u64 {
    let disk = SimDisk::new(0);
    let mut world = World::default();
    let mut random = ChaCha12Rng::seed_from_u64(0);
    in_process(work(&mut world, &disk, 0, steps, &mut random)).unwrap();
    check(&world, &disk.crash(Crash::Power)).unwrap();
    assert!(world.acknowledged.len() as u64 > steps && world.acknowledged == world.proposed);
    disk.operations()
}

/// The fixed work, crashed at an operation. `Err` says what does not hold.
fn crashed(operation: u64, steps: u64, how: Crash, lie: Option<Lie>) -> Result<(), String> {
    let disk = SimDisk::new(operation);
    if let Some(about) = lie {
        disk.lie(about);
    }
    disk.crash_at(operation);
    let mut world = World::default();
    let mut random = ChaCha12Rng::seed_from_u64(0);
    let _ = in_process(work(&mut world, &disk, 0, steps, &mut random));
    let disk = disk.crash(how);
    check(&world, &disk)
}

/// Runs the cases on some threads: most of a run's time is openraft waiting for its own tick.
fn all<T: Send + Sync>(cases: Vec<T>, run: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    run(case);
                }
            });
        }
    });
}

#[test]
fn a_crash_at_any_disk_operation_loses_and_doubles_nothing() {
    let steps = 20;
    let operations = undisturbed(steps);
    assert!(operations > 100, "{operations} operations are no test");
    let powers = (1..=operations).map(|operation| (operation, Crash::Power));
    let kills = (1..=operations).step_by(3).map(|operation| (operation, Crash::Process));
    all(powers.chain(kills).collect(), |(operation, how)| {
        if let Err(what) = crashed(*operation, steps, *how, None) {
            panic!("{how:?} crash at operation {operation}: {what}");
        }
    });
}

#[test]
fn a_disk_that_only_claims_to_sync_is_found_out() {
    let steps = 20;
    let operations = undisturbed(steps);
    for (about, least) in [(Lie::Data, 50), (Lie::Folders, 10)] {
        let tried: Vec<_> = (1..=operations).step_by(4).collect();
        let (lost, count) = (AtomicUsize::new(0), tried.len());
        all(tried, |operation| {
            let found = crashed(*operation, steps, Crash::Power, Some(about));
            if found.is_err_and(|what| what.contains("is lost") || what.contains("damaged")) {
                lost.fetch_add(1, Ordering::Relaxed);
            }
        });
        let percent = lost.into_inner() * 100 / count;
        assert!(percent >= least, "{about:?}: only {percent} % of the crashes showed it");
    }
}

/// Lives of one disk.
const LIVES: u64 = 6;

/// Several lives of one disk, each ended at random.
fn lives(seed: u64) -> Result<(), String> {
    let mut random = ChaCha12Rng::seed_from_u64(seed);
    let mut disk = SimDisk::new(seed);
    let mut world = World::default();
    for life in 0..LIVES {
        disk.crash_at(disk.operations() + random.random_range(1..120));
        let steps = random.random_range(1..25);
        let _ = in_process(work(&mut world, &disk, seed, steps, &mut random));
        let how = if random.random() { Crash::Power } else { Crash::Process };
        disk = disk.crash(how);
        // not always: the clean stop of a check heals what a second crash would show
        if life == LIVES - 1 || random.random() {
            check(&world, &disk).map_err(|what| format!("life {life}, {how:?}: {what}"))?;
            disk = disk.crash(Crash::Power);
        }
    }
    Ok(())
}

#[test]
fn several_lives_with_random_ends_lose_and_double_nothing() {
    all(super::seeds(50).collect(), |seed| {
        if let Err(what) = lives(*seed) {
            panic!("{}={seed}: {what}", super::SEED);
        }
    });
}

#[test]
fn the_same_seed_gives_the_same_history() {
    let history = || {
        let disk = SimDisk::new(3);
        let mut world = World::default();
        let mut random = ChaCha12Rng::seed_from_u64(3);
        in_process(work(&mut world, &disk, 3, 12, &mut random)).unwrap();
        (disk.operations(), disk.syncs(), world.acknowledged)
    };
    assert_eq!(history(), history());
}
