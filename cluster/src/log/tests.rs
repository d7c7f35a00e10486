//! The log on a simulated disk.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use tokio::sync::oneshot;

use super::{
    Done, GroupState, LogEngine, LogError, LogOptions, SegmentedLog, record, segment::segment_name,
};
use crate::{
    Environment, GroupId, OpenError,
    env::{Disk, Open},
    sim::{Crash, SimClock, SimDisk, environment},
};

mod damage;
mod model;
mod space;

const FOLDER: &str = "/log";
const ONE: GroupId = GroupId(1);
const TWO: GroupId = GroupId(2);
const SMALL: LogOptions = LogOptions { segment: 4096, min_free: 0, cache: 512 };

fn env(disk: &SimDisk) -> Environment {
    environment(0, disk, &SimClock::default())
}

fn try_open(disk: &SimDisk, options: LogOptions) -> Result<SegmentedLog, OpenError> {
    SegmentedLog::open(&env(disk), Path::new(FOLDER), options)
}

fn open(disk: &SimDisk) -> SegmentedLog {
    try_open(disk, SMALL).unwrap()
}

fn path(number: u64) -> PathBuf {
    Path::new(FOLDER).join(segment_name(number))
}

fn raw(disk: &SimDisk, path: &Path) -> Vec<u8> {
    let file = disk.open(path, Open::Read).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_at(&mut bytes, 0).unwrap();
    bytes
}

fn overwrite(disk: &SimDisk, path: &Path, bytes: &[u8]) {
    let file = disk.open(path, Open::Write).unwrap();
    file.write_at(bytes, 0).unwrap();
    file.set_len(bytes.len() as u64).unwrap();
    file.sync_data().unwrap();
}

fn waiting() -> (Done, oneshot::Receiver<Result<(), LogError>>) {
    let (done, result) = oneshot::channel();
    (Box::new(move |outcome| drop(done.send(outcome))), result)
}

fn entry(index: u64) -> Bytes {
    Bytes::from(format!("entry {index} {}", "x".repeat(index as usize % 40)))
}

async fn append(log: &SegmentedLog, group: GroupId, index: u64) -> Result<(), LogError> {
    let (done, result) = waiting();
    log.append(group, vec![(index, entry(index))], done)?;
    result.await.unwrap()
}

async fn purge(log: &SegmentedLog, group: GroupId, first: u64) {
    let (done, result) = waiting();
    log.purge(group, first, Bytes::from_static(b"id"), done).unwrap();
    result.await.unwrap().unwrap();
}

async fn close(log: SegmentedLog) {
    let (done, result) = waiting();
    log.close(done);
    result.await.unwrap().unwrap();
}

fn read(log: &SegmentedLog, group: GroupId) -> Vec<Bytes> {
    let state = log.state(group);
    log.read(group, state.first, state.next, usize::MAX).unwrap()
}

#[tokio::test]
async fn everything_is_there_again_after_closing_and_after_a_power_cut() {
    for closed in [true, false] {
        let disk = SimDisk::new(1);
        let log = open(&disk);
        for index in 0..200 {
            append(&log, ONE, index).await.unwrap();
        }
        let (done, saved) = waiting();
        log.save_vote(TWO, Bytes::from_static(b"vote"), done).unwrap();
        saved.await.unwrap().unwrap();
        log.save_committed(ONE, Some(Bytes::from_static(b"committed")));
        let (done, cut) = waiting();
        log.truncate(ONE, 180, done).unwrap();
        cut.await.unwrap().unwrap();
        purge(&log, ONE, 30).await;
        if closed {
            close(log).await;
        }
        let disk = disk.crash(Crash::Power);
        let log = open(&disk);
        let (vote, committed) = (Bytes::from_static(b"vote"), Bytes::from_static(b"committed"));
        let state = log.state(ONE);
        assert_eq!((state.first, state.next), (30, 180));
        assert_eq!((state.committed, state.purged), (Some(committed), Some("id".into())));
        assert_eq!(log.state(TWO), GroupState { vote: Some(vote), ..GroupState::default() });
        assert_eq!(read(&log, ONE), (30..180).map(entry).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn one_sync_serves_all_that_wait_of_all_groups() {
    let disk = SimDisk::new(1);
    let log = try_open(&disk, LogOptions::default()).unwrap();
    append(&log, ONE, 0).await.unwrap();
    append(&log, TWO, 0).await.unwrap();
    let before = disk.syncs();
    let mut waiters = Vec::new();
    for index in 1..=100 {
        for group in [ONE, TWO] {
            let (done, result) = waiting();
            log.append(group, vec![(index, entry(index))], done).unwrap();
            waiters.push(result);
        }
    }
    // readable before it is on disk
    assert_eq!(log.read_cached(TWO, 100, 101, 1 << 20), Some(vec![entry(100)]));
    for waiter in waiters {
        waiter.await.unwrap().unwrap();
    }
    assert_eq!(disk.syncs() - before, 1);
    assert_eq!(log.syncs(), 3);
}

#[tokio::test]
async fn a_commit_position_costs_no_sync_of_its_own() {
    let disk = SimDisk::new(1);
    let log = open(&disk);
    append(&log, ONE, 0).await.unwrap();
    let before = disk.syncs();
    log.save_committed(ONE, Some(Bytes::from_static(b"7")));
    tokio::task::yield_now().await;
    assert_eq!(disk.syncs(), before);
    append(&log, ONE, 1).await.unwrap();
    assert_eq!(disk.syncs(), before + 1);
    let log = open(&disk.crash(Crash::Power));
    assert_eq!(log.state(ONE).committed, Some(Bytes::from_static(b"7")));
}

#[tokio::test]
async fn entries_must_follow_and_must_fit() {
    let log = open(&SimDisk::new(1));
    append(&log, ONE, 0).await.unwrap();
    let gap = append(&log, ONE, 2).await;
    assert_eq!(gap, Err(LogError::Gap { got: 2, next: 1 }));
    let (done, _) = waiting();
    let large = log.append(ONE, vec![(1, Bytes::from(vec![0; 4000]))], done);
    assert!(matches!(large, Err(LogError::TooLarge(_))));
    append(&log, ONE, 1).await.unwrap();
}

#[tokio::test]
async fn an_overwritten_entry_never_comes_back() {
    let disk = SimDisk::new(1);
    let log = open(&disk);
    for index in 0..20 {
        append(&log, ONE, index).await.unwrap();
    }
    // both in the queue at once: the old record must not claim the new entry's place
    let (first, second) = (waiting(), waiting());
    log.append(ONE, vec![(20, Bytes::from_static(b"old"))], first.0).unwrap();
    log.append(ONE, vec![(10, Bytes::from_static(b"new"))], second.0).unwrap();
    second.1.await.unwrap().unwrap();
    let expected: Vec<_> = (0..10).map(entry).chain([Bytes::from_static(b"new")]).collect();
    assert_eq!(read(&log, ONE), expected);
    assert_eq!(read(&open(&disk.crash(Crash::Power)), ONE), expected);
}

#[tokio::test]
async fn segments_are_used_again_and_old_content_is_not_believed() {
    let disk = SimDisk::new(3);
    let mut log = open(&disk);
    let mut disk = disk;
    for round in 0..40u64 {
        for index in round * 20..round * 20 + 20 {
            append(&log, ONE, index).await.unwrap();
        }
        purge(&log, ONE, round * 20 + 10).await;
        if round % 7 == 3 {
            // not closed: the last segment has old records behind its tail
            disk = disk.crash(Crash::Process);
            log = open(&disk);
            let first = round * 20 + 10;
            assert_eq!(read(&log, ONE), (first..first + 10).map(entry).collect::<Vec<_>>());
        }
    }
    let files = disk.list(Path::new(FOLDER)).unwrap();
    assert!(files.len() <= 6, "{files:?}");
}

#[tokio::test]
async fn a_group_that_keeps_old_segments_in_use_is_named() {
    let disk = SimDisk::new(1);
    let log = open(&disk);
    append(&log, TWO, 0).await.unwrap();
    for index in 0..600 {
        append(&log, ONE, index).await.unwrap();
        purge(&log, ONE, index + 1).await;
    }
    assert_eq!(log.pinning(), [TWO]);
    purge(&log, TWO, 1).await;
    append(&log, ONE, 600).await.unwrap();
    assert_eq!(log.pinning(), []);
    assert!(disk.list(Path::new(FOLDER)).unwrap().len() <= 4);
}

#[tokio::test]
async fn the_folder_belongs_to_one_log_at_a_time() {
    let disk = SimDisk::new(1);
    let log = open(&disk);
    assert!(matches!(try_open(&disk, SMALL), Err(OpenError::InUse(_))));
    close(log).await;
    open(&disk);
}

#[tokio::test]
async fn nothing_is_taken_after_closing() {
    let log = open(&SimDisk::new(1));
    let (done, closed) = waiting();
    log.close(done);
    closed.await.unwrap().unwrap();
    assert_eq!(append(&log, ONE, 0).await, Err(LogError::Closed));
}
