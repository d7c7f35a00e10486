//! Any bytes as what a record of the log, or the position of a state machine, holds.

use bytes::Bytes;

use super::codec;
use crate::Applied;

/// Decodes in every way. What can be decoded must encode to something that decodes to the same.
pub(crate) fn stored(payload: &Bytes) {
    if let Ok(log_id) = codec::decode_log_id(payload) {
        let again = codec::encode_log_id(&log_id).and_then(|bytes| codec::decode_log_id(&bytes));
        assert_eq!(again.ok(), Some(log_id));
        position(log_id.index, payload);
    }
    if let Ok(vote) = codec::decode_vote(payload) {
        let again = codec::encode_vote(&vote).and_then(|bytes| codec::decode_vote(&bytes));
        assert_eq!(again.ok(), Some(vote));
    }
    if let Ok(entry) = codec::decode_entry(7, payload) {
        let again = codec::encode_entry(&entry).and_then(|bytes| codec::decode_entry(7, &bytes));
        assert!(again.is_ok_and(|again| again == entry), "{entry}");
    }
}

/// A position begins with a log id.
fn position(index: u64, opaque: &[u8]) {
    let stored = Applied { index, opaque: opaque.to_vec() };
    let Ok((Some(log_id), membership)) = codec::position(Some(&stored)) else { return };
    let again = codec::applied(&log_id, &membership);
    let again = again.and_then(|applied| codec::position(Some(&applied)));
    assert_eq!(again.ok(), Some((Some(log_id), membership)));
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng, rngs::StdRng};

    use super::*;

    #[test]
    fn mutated_entries_votes_and_positions_are_read_back_the_same_or_refused() {
        // a position with two sets of voters, and an entry with the same membership
        let members = b"\x02\x01\x01\x02\x01\x02\x02\x01\x03a:1\x02\x03b:2";
        let position = [&[3, 1, 172, 2, 1, 3, 1, 172, 2][..], members].concat();
        let entry = [&[3, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2][..], members].concat();
        let seeds = [position, entry, vec![3, 1, 1]];
        let mut random = StdRng::seed_from_u64(23);
        let mut read = 0;
        for round in 0..30_000 {
            let mut bytes = seeds[round % seeds.len()].clone();
            for _ in 0..random.random_range(0..4) {
                let at = random.random_range(0..bytes.len());
                match random.random_range(0..3) {
                    0 => bytes[at] = random.random(),
                    1 => bytes.insert(at, random.random()),
                    _ => bytes.truncate(at.max(1)),
                }
            }
            let bytes = Bytes::from(bytes);
            read += usize::from(codec::decode_entry(7, &bytes).is_ok());
            stored(&bytes);
        }
        assert!(read > 1_000, "{read}");
    }
}
