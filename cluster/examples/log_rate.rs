//! How many proposals a second one group commits, against what the disk can sync.
//!
//! `cargo run --release -p posthouse-cluster --example log_rate [FOLDER] [SECONDS]` prints one line
//! for each number of proposers: commits a second, median and 99th percentile of the wait, and the
//! ratio to the raw rate of write + fdatasync of the same size in the same folder and run.
#![allow(clippy::unwrap_used)]

use std::{
    fs,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use posthouse_cluster::{
    Applied, Command, Environment, Group, GroupId, GroupSpec, MachineError, Node, NodeId,
    NodeOptions, StateMachine, sqlite::Database,
};

const PAYLOAD: usize = 1024;

/// Keeps nothing but its position: the rate is the log's.
struct Position(Database);

impl StateMachine for Position {
    fn applied(&mut self) -> Result<Option<Applied>, MachineError> {
        self.0.applied()
    }

    fn apply(&mut self, batch: &[Command], applied: &Applied) -> Result<Vec<Bytes>, MachineError> {
        let transaction = self.0.connection().transaction()?;
        Database::set_applied(&transaction, applied)?;
        transaction.commit()?;
        Ok(vec![Bytes::new(); batch.len()])
    }

    fn checkpoint(&mut self) -> Result<(), MachineError> {
        self.0.checkpoint()
    }

    fn snapshot(&mut self, into: &Path) -> Result<(), MachineError> {
        self.0.snapshot(&into.join("position"))
    }

    fn install(&mut self, from: &Path) -> Result<(), MachineError> {
        self.0.install(&from.join("position"))
    }
}

/// Syncs a second of one writer that overwrites a file that is already there.
fn raw_rate(folder: &Path, time: Duration) -> f64 {
    let file = fs::File::create(folder.join("raw")).unwrap();
    file.write_all_at(&vec![1; 16 << 20], 0).unwrap();
    file.sync_all().unwrap();
    let (data, start, mut syncs) = ([2; PAYLOAD], Instant::now(), 0u64);
    while start.elapsed() < time {
        file.write_all_at(&data, (syncs * PAYLOAD as u64) % (16 << 20)).unwrap();
        file.sync_data().unwrap();
        syncs += 1;
    }
    syncs as f64 / start.elapsed().as_secs_f64()
}

/// Waits of all proposals, in microseconds, and how long it took.
async fn commits(group: &Group, proposers: usize, time: Duration) -> (Vec<u64>, f64) {
    let start = Instant::now();
    let tasks: Vec<_> = (0..proposers)
        .map(|_| {
            let (group, command) = (group.clone(), Bytes::from(vec![7; PAYLOAD]));
            tokio::spawn(async move {
                let mut waits = Vec::new();
                while start.elapsed() < time {
                    let asked = Instant::now();
                    group.propose(command.clone()).await.unwrap();
                    waits.push(asked.elapsed().as_micros() as u64);
                }
                waits
            })
        })
        .collect();
    let mut waits = Vec::new();
    for task in tasks {
        waits.extend(task.await.unwrap());
    }
    waits.sort_unstable();
    (waits, start.elapsed().as_secs_f64())
}

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let seconds = arguments.next().and_then(|seconds| seconds.parse().ok()).unwrap_or(3);
    let (folder, time) = (folder.join("posthouse-log-rate"), Duration::from_secs(seconds));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();

    let options = NodeOptions::alone(NodeId(1), folder.join("log"));
    let node = Node::open(Environment::real(), options).await.unwrap();
    let machine = Position(Database::open(&folder.join("position"), &[]).unwrap());
    let spec = GroupSpec { id: GroupId::DOMAIN, name: "rate".into(), bootstrap: true };
    let group = node.start_group(spec, Box::new(machine)).await.unwrap();
    let raw = Arc::new(folder.clone());
    for proposers in [1, 16, 64] {
        let folder = raw.clone();
        let syncs = tokio::task::spawn_blocking(move || raw_rate(&folder, time)).await.unwrap();
        let (waits, took) = commits(&group, proposers, time).await;
        let rate = waits.len() as f64 / took;
        let at = |part: usize| waits.get(waits.len() * part / 100).copied().unwrap_or(0);
        println!(
            "proposers {proposers:>3}  commits/s {rate:>8.0}  p50 {:>6} us  p99 {:>6} us  \
             raw syncs/s {syncs:>7.0}  ratio {:.2}",
            at(50),
            at(99),
            rate / syncs
        );
    }
    node.shutdown().await.unwrap();
    let _ = fs::remove_dir_all(&folder);
}
