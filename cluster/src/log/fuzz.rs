//! Any bytes as a segment.

use std::{collections::BTreeMap, path::Path};

use bytes::Bytes;

use super::{
    GroupState,
    record::{Decoded, HEADER, Kind, Record, decode, encode},
    recover::recover,
    segment::{Segments, segment_name},
};
use crate::{
    Environment, GroupId,
    env::{File, Open},
    sim::{SimClock, SimDisk, environment},
};

const FOLDER: &str = "/log";
/// Number of the segment.
const NUMBER: u64 = 1;

/// Recovers from `data`, raw or as a recipe. Returns the payloads of the records at its beginning.
pub(crate) fn segment(data: &[u8], recipe: bool) -> Vec<Bytes> {
    let (records, content) = if recipe { cook(data) } else { (Vec::new(), data.to_vec()) };
    let found = records_of(&content);
    assert!(found.starts_with(&records), "sound records are read back");
    if let Ok(first) = recovered(&content) {
        for state in first.1.values() {
            assert!(state.first <= state.next);
        }
        let again = recovered(&first.0).ok();
        assert_eq!(again, Some(first), "what was recovered is recovered again");
    }
    found.into_iter().map(|record| record.payload).collect()
}

/// Records as `data` describes them: kind, group, index and length in few bytes each, then the payload. What is left
/// over follows as it is.
fn cook(mut data: &[u8]) -> (Vec<Record>, Vec<u8>) {
    let (mut records, mut content) = (Vec::new(), Vec::new());
    while let Some((&[kind, flags, low, length], rest)) = data.split_first_chunk::<4>() {
        let Some(kind) = Kind::from_u8(kind) else { break };
        let length = usize::from(length).min(rest.len());
        let (payload, rest) = rest.split_at(length);
        // near both ends of what an index can be
        let index = if flags & 2 == 0 { u64::from(low) } else { u64::MAX - u64::from(low) };
        let group = GroupId(u64::from(flags >> 2 & 3));
        let record = Record { kind, group, index, payload: Bytes::copy_from_slice(payload) };
        encode(&record, NUMBER, flags & 1 != 0, &mut content);
        records.push(record);
        data = rest;
    }
    content.extend_from_slice(data);
    (records, content)
}

/// The records at the beginning of a segment. Each is encoded again and compared.
fn records_of(content: &[u8]) -> Vec<Record> {
    let (mut records, mut rest) = (Vec::new(), content);
    while let Decoded::Record(record, size, synced) = decode(rest, NUMBER, rest.len()) {
        let mut again = Vec::new();
        encode(&record, NUMBER, synced, &mut again);
        let same = decode(&again, NUMBER, again.len());
        assert_eq!(same, Decoded::Record(record.clone(), size, synced));
        assert!(record.payload.len() + HEADER <= size && size <= rest.len());
        records.push(record);
        rest = rest.get(size..).unwrap_or_default();
    }
    records
}

/// The segment as recovery leaves it, and every group's state; the error of recovery.
fn recovered(content: &[u8]) -> Result<(Vec<u8>, BTreeMap<u64, GroupState>), String> {
    let disk = SimDisk::new(1);
    let env = environment(1, &disk, &SimClock::default());
    let file = file(&env, content).map_err(|error| error.to_string())?;
    let opened = Segments::open(&env, Path::new(FOLDER), content.len() as u64, 0);
    let (segments, numbers) = opened.map_err(|error| error.to_string())?;
    let recovered = recover(&segments, &numbers).map_err(|error| error.to_string())?;
    let groups = recovered.groups.iter().map(|(group, log)| (group.0, log.state())).collect();
    let mut left = vec![0; content.len()];
    let length = file.read_at(&mut left, 0).map_err(|error| error.to_string())?;
    left.truncate(length);
    Ok((left, groups))
}

fn file(env: &Environment, content: &[u8]) -> std::io::Result<std::sync::Arc<dyn File>> {
    let folder = Path::new(FOLDER);
    env.disk.create_dir_all(folder)?;
    let file = env.disk.open(&folder.join(segment_name(NUMBER)), Open::New)?;
    file.write_at(content, 0)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng, rngs::StdRng};

    use super::*;

    #[test]
    fn mutated_segments_are_recovered_the_same_again_or_refused_but_never_panic() {
        let record = |kind: Kind, flags: u8, low: u8, payload: &[u8]| {
            [&[kind as u8, flags, low, payload.len() as u8], payload].concat()
        };
        let state = super::super::recover::head(
            GroupId(0),
            &GroupState { first: 2, next: 3, ..GroupState::default() },
        );
        let recipe = [
            record(Kind::State, 0, 2, &state.payload),
            record(Kind::Vote, 1, 0, b"\x03\x01\x01"),
            record(Kind::Entry, 1, 2, b"two"),
            record(Kind::Entry, 4, 7, b"seven"),
            record(Kind::Entry, 1, 3, b"three"),
            record(Kind::Committed, 0, 0, b"\x03\x01\x02"),
            record(Kind::Truncate, 1, 3, b""),
            record(Kind::Purge, 4, 8, b"\x03\x01\x07"),
        ]
        .concat();
        let sound = cook(&recipe).1;
        assert_eq!(recovered(&sound).unwrap().1.len(), 2);
        let mut random = StdRng::seed_from_u64(19);
        let mut records = 0;
        for round in 0..2_000 {
            let cooked = round % 2 == 0;
            let mut bytes = if cooked { recipe.clone() } else { sound.clone() };
            for _ in 0..random.random_range(1..5) {
                let at = random.random_range(0..bytes.len());
                match random.random_range(0..4) {
                    0 => bytes[at] = random.random_range(0..9),
                    1 => bytes[at] = random.random(),
                    2 => bytes.insert(at, random.random_range(0..9)),
                    _ => drop(bytes.remove(at)),
                }
            }
            records += segment(&bytes, cooked).len();
        }
        assert!(records > 3_000, "{records}");
    }
}
