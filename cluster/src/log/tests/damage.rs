//! What a crash or a bad disk leaves.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha12Rng;

use super::{
    record::{Decoded, HEADER, Kind, Record, decode, encode, size},
    *,
};

/// A log with entries 0 to 2 that was not closed; where the last record begins and ends.
async fn three() -> (SimDisk, usize, usize) {
    let disk = SimDisk::new(1);
    let log = open(&disk);
    for index in 0..3 {
        append(&log, ONE, index).await.unwrap();
    }
    let start: usize = (0..2).map(|index| size(entry(index).len())).sum();
    (disk.crash(Crash::Process), start, start + HEADER + entry(2).len())
}

#[tokio::test]
async fn a_torn_tail_is_cut_wherever_it_is_torn() {
    let (disk, start, end) = three().await;
    let whole = raw(&disk, &path(1));
    for cut in start..=end {
        for rest in [0x00, 0xa5] {
            let mut torn = whole.clone();
            torn[cut..].fill(rest);
            let disk = disk.crash(Crash::Process);
            overwrite(&disk, &path(1), &torn);
            let log = open(&disk);
            let kept = if cut == end { 3 } else { 2 };
            // the last byte may happen to be what the tear left there
            let same = torn[..end] == whole[..end];
            let kept = if same { 3 } else { kept };
            assert_eq!(read(&log, ONE).len() as u64, kept, "cut at {cut}, rest {rest:#x}");
            append(&log, ONE, kept).await.unwrap();
            let log = open(&disk.crash(Crash::Power));
            assert_eq!(read(&log, ONE), (0..=kept).map(entry).collect::<Vec<_>>());
        }
    }
}

#[tokio::test]
async fn a_file_that_ends_early_is_a_torn_tail() {
    let (disk, start, end) = three().await;
    let whole = raw(&disk, &path(1));
    for len in [0, 1, start, start + 1, end - 1] {
        let disk = disk.crash(Crash::Process);
        overwrite(&disk, &path(1), &whole[..len]);
        let kept = if len < start { 0 } else { 2 };
        assert_eq!(read(&open(&disk), ONE).len(), kept, "length {len}");
    }
}

#[tokio::test]
async fn a_bit_that_flips_before_the_tail_is_refused_with_file_and_offset() {
    let (disk, start, _) = three().await;
    // the first record: a later one says that this one was on disk before
    for offset in 0..HEADER + entry(0).len() {
        let disk = disk.crash(Crash::Process);
        disk.flip(&path(1), offset as u64, 0x10);
        let Err(OpenError::Damaged(text)) = try_open(&disk, SMALL) else {
            panic!("flip at {offset} was not noticed")
        };
        assert!(text.contains(&segment_name(1)) && text.contains("offset 0"), "{text}");
    }
    // the last record cannot be told from a torn one
    let disk = disk.crash(Crash::Process);
    disk.flip(&path(1), start as u64 + 2, 0x10);
    assert_eq!(read(&open(&disk), ONE).len(), 2);
}

#[tokio::test]
async fn a_bit_that_flips_in_a_closed_segment_is_refused() {
    let disk = SimDisk::new(1);
    let log = open(&disk);
    for index in 0..200 {
        append(&log, ONE, index).await.unwrap();
    }
    close(log).await;
    for (number, offset) in [(1, 4), (1, 3000), (2, 8), (3, 50)] {
        let disk = disk.crash(Crash::Process);
        disk.flip(&path(number), offset, 1);
        let Err(OpenError::Damaged(text)) = try_open(&disk, SMALL) else {
            panic!("flip at {offset} of {number} was not noticed")
        };
        assert!(text.contains(&segment_name(number)), "{text}");
    }
}

#[tokio::test]
async fn a_segment_that_is_missing_is_refused() {
    let disk = SimDisk::new(1);
    let log = open(&disk);
    for index in 0..300 {
        append(&log, ONE, index).await.unwrap();
    }
    close(log).await;
    for number in [1, 2, 3] {
        let disk = disk.crash(Crash::Process);
        disk.remove(&path(number)).unwrap();
        assert!(matches!(try_open(&disk, SMALL), Err(OpenError::Damaged(_))), "{number}");
    }
}

#[tokio::test]
async fn an_entry_that_rots_while_the_log_is_open_is_noticed_when_read() {
    let disk = SimDisk::new(1);
    let log = open(&disk);
    for index in 0..100 {
        append(&log, ONE, index).await.unwrap();
    }
    assert_eq!(log.read_cached(ONE, 0, 1, 1 << 20), None, "no longer in memory");
    disk.flip(&path(1), HEADER as u64 + 2, 1);
    assert!(matches!(log.read(ONE, 0, 1, 1 << 20), Err(LogError::Damaged(_))));
    assert_eq!(log.read(ONE, 1, 2, 1 << 20).unwrap(), [entry(1)]);
}

#[test]
fn the_decoder_takes_nothing_that_was_changed() {
    let seed = crate::sim::seeds(1).start;
    let mut random = ChaCha12Rng::seed_from_u64(seed);
    for round in 0..20_000 {
        let mut payload = vec![0; random.random_range(0..200)];
        random.fill(&mut payload[..]);
        let record = Record {
            kind: [Kind::Entry, Kind::Vote, Kind::State, Kind::Seal][random.random_range(0..4)],
            group: GroupId(random.random()),
            index: random.random(),
            payload: payload.into(),
        };
        let (segment, synced) = (random.random_range(1..1000), random.random());
        let mut bytes = Vec::new();
        encode(&record, segment, synced, &mut bytes);
        let whole = Decoded::Record(record.clone(), bytes.len(), synced);
        assert_eq!(decode(&bytes, segment, bytes.len()), whole, "seed {seed} round {round}");
        assert_eq!(decode(&bytes, segment + 1, bytes.len()), Decoded::Nothing);
        let short = &bytes[..random.random_range(0..bytes.len())];
        assert_ne!(decode(short, segment, short.len()), whole, "seed {seed} round {round}");
        let covered = HEADER + record.payload.len();
        for _ in 0..random.random_range(1..4) {
            bytes[random.random_range(0..covered)] ^= 1 << random.random_range(0..8);
        }
        let mut same = Vec::new();
        encode(&record, segment, synced, &mut same);
        if bytes != same {
            let taken = decode(&bytes, segment, bytes.len());
            assert!(!matches!(taken, Decoded::Record(..)), "seed {seed} round {round}");
        }
        random.fill(&mut bytes[..]);
        assert!(!matches!(decode(&bytes, segment, bytes.len()), Decoded::Record(..)));
    }
}
