//! Disks that fail or are full.

use std::io::ErrorKind;

use super::*;

#[tokio::test]
async fn a_failed_sync_is_final_until_the_log_is_opened_again() {
    let disk = SimDisk::new(5);
    let log = open(&disk);
    append(&log, ONE, 0).await.unwrap();
    // next: the write, then the sync
    disk.fail_at(disk.operations() + 2, ErrorKind::Other);
    assert!(matches!(append(&log, ONE, 1).await, Err(LogError::Storage(_))));
    let syncs = disk.syncs();
    assert!(matches!(append(&log, ONE, 2).await, Err(LogError::Storage(_))));
    assert!(matches!(append(&log, TWO, 0).await, Err(LogError::Storage(_))));
    assert!(log.failed().is_some());
    assert_eq!(disk.syncs(), syncs, "it must not be tried again");
    let log = open(&disk.crash(Crash::Power));
    assert_eq!(log.state(ONE).next, 1);
    append(&log, ONE, 1).await.unwrap();
}

#[tokio::test]
async fn a_full_disk_at_a_sync_is_final_too() {
    let disk = SimDisk::new(5);
    let log = open(&disk);
    disk.fail_at(disk.operations() + 2, ErrorKind::StorageFull);
    assert!(matches!(append(&log, ONE, 0).await, Err(LogError::Storage(_))));
    assert!(matches!(append(&log, ONE, 1).await, Err(LogError::Storage(_))));
}

#[tokio::test]
async fn a_write_that_finds_no_space_waits_until_there_is_some() {
    let disk = SimDisk::new(5);
    let log = open(&disk);
    disk.fail_at(disk.operations() + 1, ErrorKind::StorageFull);
    let (done, mut result) = waiting();
    log.append(ONE, vec![(0, entry(0))], done).unwrap();
    tokio::task::yield_now().await;
    assert!(result.try_recv().is_err(), "neither acknowledged nor refused");
    assert!(log.is_full());
    log.check_space();
    result.await.unwrap().unwrap();
    assert!(!log.is_full());
    assert_eq!(read(&open(&disk.crash(Crash::Power)), ONE), [entry(0)]);
}

#[tokio::test]
async fn a_full_disk_shows_while_what_was_accepted_still_fits() {
    let disk = SimDisk::new(5);
    disk.set_capacity(4 * SMALL.segment);
    let options = LogOptions { min_free: SMALL.segment / 2, ..SMALL };
    let log = try_open(&disk, options).unwrap();
    let mut next = 0;
    while !log.is_full() {
        append(&log, ONE, next).await.unwrap();
        next += 1;
        assert!(next < 10_000, "it never got full");
    }
    // what may be under way at that moment
    let mut bytes = 0;
    while bytes < log.in_flight_limit() {
        append(&log, ONE, next).await.unwrap();
        bytes += entry(next).len();
        next += 1;
    }
    assert!(log.failed().is_none());
    disk.set_capacity(1 << 20);
    log.check_space();
    tokio::task::yield_now().await;
    assert!(!log.is_full());
    append(&log, ONE, next).await.unwrap();
    let log = try_open(&disk.crash(Crash::Power), options).unwrap();
    assert_eq!(read(&log, ONE), (0..=next).map(entry).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_error_at_any_operation_loses_nothing_that_was_acknowledged() {
    let mut failed = 0;
    for operation in 1.. {
        let disk = SimDisk::new(operation);
        disk.fail_at(operation, ErrorKind::Other);
        let mut acknowledged = 0;
        if let Ok(log) = try_open(&disk, SMALL) {
            for index in 0..150 {
                if append(&log, ONE, index).await.is_err() {
                    break;
                }
                acknowledged = index + 1;
                if index % 50 == 49 {
                    let (done, result) = waiting();
                    let _ = log.purge(ONE, index - 10, Bytes::new(), done);
                    let _ = result.await;
                }
            }
        }
        let reached = disk.operations() >= operation;
        let log = open(&disk.crash(Crash::Power));
        let state = log.state(ONE);
        assert!(state.next >= acknowledged, "error at operation {operation}: {state:?}");
        let expected: Vec<_> = (state.first..state.next).map(entry).collect();
        assert_eq!(read(&log, ONE), expected, "error at operation {operation}");
        failed += u64::from(acknowledged < 150);
        if !reached {
            break;
        }
    }
    assert!(failed > 100, "only {failed} runs met their error");
}

#[tokio::test]
async fn a_log_on_a_full_disk_comes_up_and_recovers_when_there_is_space() {
    let disk = SimDisk::new(5);
    disk.set_capacity(3 * SMALL.segment);
    let log = open(&disk);
    let mut next = 0;
    while !log.is_full() {
        append(&log, ONE, next).await.unwrap();
        next += 1;
    }
    let mut disk = disk.crash(Crash::Power);
    for _ in 0..2 {
        // something else takes what is left, but for a little
        let used = 3 * SMALL.segment - disk.free_space(Path::new(FOLDER)).unwrap();
        disk.set_capacity(used + SMALL.segment / 8);
        let log = open(&disk);
        assert!(log.is_full());
        assert_eq!(read(&log, ONE), (0..next).map(entry).collect::<Vec<_>>());
        let (done, saved) = waiting();
        log.save_vote(ONE, Bytes::from_static(b"vote"), done).unwrap();
        saved.await.unwrap().unwrap();
        disk = disk.crash(Crash::Power);
        disk.set_capacity(3 * SMALL.segment);
    }
    disk.set_capacity(1 << 20);
    let log = open(&disk);
    assert!(!log.is_full());
    append(&log, ONE, next).await.unwrap();
}

#[tokio::test]
async fn a_log_of_another_version_is_refused() {
    let disk = SimDisk::new(5);
    close(open(&disk)).await;
    let other = Path::new(FOLDER).join("0000000000000009.v2.segment");
    disk.open(&other, Open::New).unwrap();
    assert!(matches!(try_open(&disk, SMALL), Err(OpenError::Damaged(what)) if what.contains("v2")));
}
