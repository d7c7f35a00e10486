//! The body log on a simulated disk: torn tails, damage, full disks, failed syncs.

use std::{collections::HashSet, io::ErrorKind, path::PathBuf};

use posthouse_cluster::sim::{Crash, Lie, SimClock, SimDisk, environment};
use rand::{Rng, SeedableRng, rngs::StdRng};

use super::*;

fn body(number: u32) -> (BodyHash, Bytes) {
    let bytes = Bytes::from(format!("body {number} ").repeat(100 + number as usize));
    (BodyHash(*blake3::hash(&bytes).as_bytes()), bytes)
}

/// A log on a simulated disk that sees time stand still.
fn open(disk: &SimDisk) -> Result<BodyLog, BodyLogError> {
    let mut env = Environment::real();
    env.disk = environment(1, disk, &SimClock::default()).disk;
    BodyLog::open(env, Path::new("/store"))
}

fn put(log: &BodyLog, number: u32) -> Result<(), BodyLogError> {
    let (hash, bytes) = body(number);
    log.stage(hash, bytes)
}

fn has(log: &BodyLog, number: u32) -> bool {
    let (hash, bytes) = body(number);
    matches!(log.get(hash), Ok(found) if found == bytes)
}

fn file() -> PathBuf {
    path_of(Path::new("/store/bodies"), 1)
}

#[test]
fn bodies_are_there_after_any_crash_once_they_were_acknowledged() {
    for seed in 0..300 {
        let mut random = StdRng::seed_from_u64(seed);
        let disk = SimDisk::new(seed);
        let log = open(&disk).unwrap();
        disk.crash_at(disk.operations() + random.random_range(1..20));
        let stored: Vec<u32> = (0..10).take_while(|number| put(&log, *number).is_ok()).collect();
        let how = if seed % 2 == 0 { Crash::Power } else { Crash::Process };
        let disk = disk.crash(how);
        let log = open(&disk).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        for number in &stored {
            assert!(has(&log, *number), "seed {seed}: body {number} of {stored:?} is lost");
        }
        put(&log, 100).unwrap();
        assert!(has(&log, 100));
    }
}

#[test]
fn a_disk_that_lies_about_syncs_is_found_out() {
    let lost = (0..100).any(|seed| {
        let disk = SimDisk::new(seed);
        let log = open(&disk).unwrap();
        disk.lie(Lie::Data);
        put(&log, 1).unwrap();
        let disk = disk.crash(Crash::Power);
        open(&disk).map_or(true, |log| !has(&log, 1))
    });
    assert!(lost, "the test above would not notice a missing sync");
}

#[test]
fn a_torn_tail_is_cut_and_damage_before_it_is_refused() {
    let first = Header::of(&body(1).1, body(1).0, Timestamp(0), 0).record();
    for (name, at, refused) in [
        ("the header of the first record", 10, true),
        ("the header of the last record", first + 10, false),
        ("the body of the last record", first + HEADER as u64 + 50, false),
        ("the length of the first record", 24, true),
    ] {
        let disk = SimDisk::new(1);
        let log = open(&disk).unwrap();
        put(&log, 1).unwrap();
        put(&log, 2).unwrap();
        drop(log);
        disk.flip(&file(), at, 0x40);
        match open(&disk) {
            Err(BodyLogError::Damaged(text)) => {
                assert!(refused && text.contains("00000001.bodies at 0"), "{name}: {text}");
            }
            Err(error) => panic!("{name}: {error}"),
            Ok(log) => {
                assert!(!refused, "{name} was not noticed");
                assert!(has(&log, 1) && !has(&log, 2), "{name}");
                put(&log, 2).unwrap();
                assert!(has(&log, 2), "{name}");
            }
        }
    }
}

#[test]
fn damage_inside_a_body_is_found_when_it_is_read_and_by_the_scrub_and_mended_when_it_comes_again() {
    let disk = SimDisk::new(1);
    let log = open(&disk).unwrap();
    put(&log, 1).unwrap();
    put(&log, 2).unwrap();
    disk.flip(&file(), HEADER as u64 + 5, 1);
    assert!(matches!(log.get(body(1).0), Err(BodyLogError::Damaged(_))));
    let scrub = log.scrub(|_| ());
    assert_eq!((scrub.sound, scrub.damaged.len(), scrub.damaged[0].0), (1, 1, body(1).0));
    put(&log, 1).unwrap();
    assert!(has(&log, 1));
}

#[test]
fn a_full_disk_refuses_the_body_and_keeps_the_rest() {
    let disk = SimDisk::new(1);
    let log = open(&disk).unwrap();
    put(&log, 1).unwrap();
    disk.set_capacity(1500);
    assert!(matches!(put(&log, 50), Err(BodyLogError::Storage(_))));
    assert!(has(&log, 1));
    disk.set_capacity(u64::MAX);
    put(&log, 50).unwrap();
    drop(log);
    let log = open(&disk).unwrap();
    assert!(has(&log, 1) && has(&log, 50));
}

#[test]
fn after_a_failed_sync_nothing_more_is_acknowledged() {
    let disk = SimDisk::new(1);
    let log = open(&disk).unwrap();
    put(&log, 1).unwrap();
    // the write is one operation, the sync the next
    disk.fail_at(disk.operations() + 2, ErrorKind::Other);
    assert!(put(&log, 2).is_err());
    assert!(put(&log, 3).is_err());
    assert!(has(&log, 1));
    drop(log);
    put(&open(&disk).unwrap(), 3).unwrap();
}

#[test]
fn what_nothing_names_is_collected_after_the_grace() {
    let disk = SimDisk::new(1);
    let log = open(&disk).unwrap();
    for number in 1..=3 {
        put(&log, number).unwrap();
    }
    let named = HashSet::from([body(2).0]);
    let hour = Duration::from_secs(3600);
    assert_eq!(log.collect(&named, hour).unwrap().bodies, 0);
    assert_eq!(log.collect(&named, Duration::ZERO).unwrap().bodies, 2);
    assert!(!has(&log, 1) && has(&log, 2) && !has(&log, 3));
    put(&log, 1).unwrap();
    assert!(has(&log, 1));
}

#[test]
fn a_file_of_garbage_is_removed_and_what_it_held_is_kept() {
    let disk = SimDisk::new(1);
    let log = open(&disk).unwrap();
    for number in 1..=5 {
        put(&log, number).unwrap();
    }
    log.begin_file();
    put(&log, 6).unwrap();
    let named = HashSet::from([body(2).0, body(6).0]);
    let collected = log.collect(&named, Duration::ZERO).unwrap();
    assert_eq!((collected.bodies, collected.files), (4, 1));
    assert!(has(&log, 2) && has(&log, 6) && !has(&log, 1));
    drop(log);
    let log = open(&disk.crash(Crash::Power)).unwrap();
    assert!(has(&log, 2) && has(&log, 6) && !has(&log, 1));
}

#[test]
fn mutated_records_are_never_taken_for_sound_and_never_panic() {
    let (hash, bytes) = body(1);
    let header = Header::of(&bytes, hash, Timestamp(5), 0);
    let sound = header.encode();
    assert_eq!(Header::decode(&sound), Some(header));
    let mut random = StdRng::seed_from_u64(11);
    for _ in 0..20_000 {
        let mut record = sound.to_vec();
        for _ in 0..random.random_range(1..4) {
            let at = random.random_range(0..record.len());
            record[at] ^= random.random_range(1..=255_u8);
        }
        record.truncate(random.random_range(0..=record.len()));
        if record != sound {
            assert_eq!(Header::decode(&record), None, "{record:?}");
        }
        let noise: Vec<u8> = (0..random.random_range(0..100)).map(|_| random.random()).collect();
        assert_eq!(Header::decode(&noise), None);
    }
}
