//! A process that dies at every named fail point and at random, and is started again.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::{
    collections::BTreeSet,
    fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use bytes::Bytes;
use common::{content, ledger_path, open, start};
use posthouse_cluster::failpoint;

/// Tells the child that it is one, and its folder.
const CHILD: &str = "POSTHOUSE_TEST_CHILD";
/// Which life of the folder this is.
const LIFE: &str = "POSTHOUSE_TEST_LIFE";
/// Commands of one life.
const COMMANDS: u64 = 60;

fn number(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes[..8].try_into().unwrap())
}

/// Not a test by itself: the process that the others start and that dies.
#[test]
fn child() {
    let Some(folder) = std::env::var_os(CHILD) else { return };
    let folder = Path::new(&folder);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut acknowledged =
            fs::OpenOptions::new().create(true).append(true).open(folder.join("acks")).unwrap();
        let node = open(folder).await;
        let group = start(&node, folder, 0).await;
        let life: u64 = std::env::var(LIFE).unwrap().parse().unwrap();
        let first = life * 1000;
        for i in first..first + COMMANDS {
            let command = Bytes::from(i.to_le_bytes().repeat(20));
            group.propose(command).await.unwrap();
            acknowledged.write_all(&i.to_le_bytes()).unwrap();
            if i % 10 == 9 {
                group.checkpoint().await.unwrap();
            }
        }
        node.shutdown().await.unwrap();
    });
}

fn live(folder: &Path, life: u64, fail_point: &str) -> std::process::Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env(CHILD, folder)
        .env(LIFE, life.to_string())
        .env(failpoint::VARIABLE, fail_point)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Starts again, and sees what is there.
fn check(folder: &Path, what: &str) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let began = Instant::now();
    runtime.block_on(async {
        let node = open(folder).await;
        start(&node, folder, 0).await;
        assert!(began.elapsed() < Duration::from_secs(2), "{what}: took {:?}", began.elapsed());
        node.shutdown().await.unwrap();
    });
    let there: Vec<_> = content(&ledger_path(folder, 0));
    assert!(there.iter().all(|bytes| bytes[..] == bytes[..8].repeat(20)), "{what}: half a command");
    let numbers: Vec<_> = there.iter().map(|bytes| number(bytes)).collect();
    let once: BTreeSet<_> = numbers.iter().copied().collect();
    assert_eq!(once.len(), numbers.len(), "{what}: something is there twice");
    for acknowledged in fs::read(folder.join("acks")).unwrap_or_default().chunks_exact(8) {
        let acknowledged = number(acknowledged);
        assert!(
            once.contains(&acknowledged),
            "{what}: {acknowledged} was acknowledged and is lost"
        );
    }
}

#[test]
fn nothing_acknowledged_is_lost_or_doubled_at_any_fail_point() {
    for point in failpoint::POINTS {
        let folder = tempfile::tempdir().unwrap();
        for visit in [1, 3] {
            let point = format!("{point}:{visit}");
            let died = live(folder.path(), visit, &point).wait().unwrap();
            assert_eq!(died.code(), None, "{point} was not met");
            check(folder.path(), &point);
        }
    }
}

#[test]
fn nothing_acknowledged_is_lost_or_doubled_when_killed_at_random() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..5u64 {
        let mut child = live(folder.path(), round, "");
        // not the same moment each time, whatever the machine's speed
        std::thread::sleep(Duration::from_millis(20 + round * 37 % 150));
        child.kill().unwrap();
        child.wait().unwrap();
        check(folder.path(), &format!("round {round}"));
    }
}
