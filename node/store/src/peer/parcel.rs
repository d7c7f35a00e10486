//! Parcels at the node that answers: those that arrive in parts, and long answers that wait to be fetched.

use std::{collections::HashMap, time::Duration};

use bytes::Bytes;
use parking_lot::Mutex;
use posthouse_cluster::NodeId;

use super::Parcel;
use crate::Store;

/// Longest parcel: a call with the largest message, or several smaller ones.
pub(super) const MAX_PARCEL: u64 = Store::MAX_MESSAGE as u64 + (64 << 20);
/// Bytes of all parcels that are held at a time.
const MAX_HELD: u64 = 2 * MAX_PARCEL;
/// Parcels of one other node that are held at a time.
const MAX_PARCELS: usize = 256;
/// A parcel that nobody touches for so long is given up.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes of a part.
pub(crate) const PART: usize = 2 << 20;

/// Who sent it, or is to fetch it, and its number.
type Key = (NodeId, u128);

struct Incoming {
    total: u64,
    bytes: Vec<u8>,
    touched: Duration,
}

struct Outgoing {
    bytes: Bytes,
    touched: Duration,
}

#[derive(Default)]
struct Held {
    incoming: HashMap<Key, Incoming>,
    outgoing: HashMap<Key, Outgoing>,
}

/// All parcels of this node.
#[derive(Default)]
pub(crate) struct Parcels(Mutex<Held>);

impl Parcels {
    /// Takes a part; how many bytes are there then. A part that came before changes nothing.
    pub(crate) fn part(
        &self,
        from: NodeId,
        parcel: Parcel,
        offset: u64,
        bytes: &[u8],
        now: Duration,
    ) -> Result<u64, String> {
        let mut held = self.0.lock();
        held.forget(now);
        let key = (from, parcel.id);
        if !held.incoming.contains_key(&key) {
            held.check_room(from, parcel.total)?;
            let new = Incoming { total: parcel.total, bytes: Vec::new(), touched: now };
            held.incoming.insert(key, new);
        }
        let Some(incoming) = held.incoming.get_mut(&key) else { return Err("no room".into()) };
        incoming.touched = now;
        let there = incoming.bytes.len() as u64;
        if offset == there && bytes.len() as u64 <= incoming.total - there {
            incoming.bytes.extend_from_slice(bytes);
        }
        Ok(incoming.bytes.len() as u64)
    }

    /// A parcel that arrived whole, once.
    pub(crate) fn arrived(&self, from: NodeId, id: u128) -> Option<Bytes> {
        let mut held = self.0.lock();
        let incoming = held.incoming.remove(&(from, id))?;
        (incoming.bytes.len() as u64 == incoming.total).then(|| incoming.bytes.into())
    }

    /// Keeps a long answer for `to`.
    pub(crate) fn offer(
        &self,
        to: NodeId,
        id: u128,
        bytes: Bytes,
        now: Duration,
    ) -> Result<Parcel, String> {
        let mut held = self.0.lock();
        held.forget(now);
        let total = bytes.len() as u64;
        held.check_room(to, total)?;
        held.outgoing.insert((to, id), Outgoing { bytes, touched: now });
        Ok(Parcel { id, total })
    }

    /// A part of a long answer. With the last one it is let go.
    pub(crate) fn take(&self, to: NodeId, id: u128, offset: u64, now: Duration) -> Option<Bytes> {
        let mut held = self.0.lock();
        let outgoing = held.outgoing.get_mut(&(to, id))?;
        outgoing.touched = now;
        let start = usize::try_from(offset).ok()?.min(outgoing.bytes.len());
        let end = start.saturating_add(PART).min(outgoing.bytes.len());
        let part = outgoing.bytes.slice(start..end);
        if start == outgoing.bytes.len() {
            held.outgoing.remove(&(to, id));
        }
        Some(part)
    }
}

impl Held {
    fn forget(&mut self, now: Duration) {
        let fresh = |touched: Duration| now.saturating_sub(touched) < PATIENCE;
        self.incoming.retain(|_, parcel| fresh(parcel.touched));
        self.outgoing.retain(|_, parcel| fresh(parcel.touched));
    }

    fn check_room(&self, node: NodeId, more: u64) -> Result<(), String> {
        let of_node =
            |keys: &mut dyn Iterator<Item = &Key>| keys.filter(|key| key.0 == node).count();
        let count =
            of_node(&mut self.incoming.keys()).saturating_add(of_node(&mut self.outgoing.keys()));
        let incoming: u64 = self.incoming.values().map(|parcel| parcel.total).sum();
        let outgoing: u64 = self.outgoing.values().map(|parcel| parcel.bytes.len() as u64).sum();
        if more > MAX_PARCEL {
            return Err(format!("{more} bytes are too many"));
        }
        if count >= MAX_PARCELS || incoming + outgoing + more > MAX_HELD {
            return Err("too many large requests at a time".into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: NodeId = NodeId(2);
    const NOW: Duration = Duration::from_secs(100);

    #[test]
    fn a_parcel_is_whole_whatever_comes_twice_or_out_of_order() {
        let parcels = Parcels::default();
        let parcel = Parcel { id: 7, total: 6 };
        for (offset, bytes, there) in
            [(0, "abc", 3), (0, "abc", 3), (5, "f", 3), (3, "defg", 3), (3, "def", 6), (6, "x", 6)]
        {
            let have = parcels.part(ME, parcel, offset, bytes.as_bytes(), NOW);
            assert_eq!(have, Ok(there), "{offset} {bytes}");
        }
        assert_eq!(parcels.arrived(NodeId(3), 7), None, "of another node");
        assert_eq!(parcels.arrived(ME, 7).as_deref(), Some(&b"abcdef"[..]));
        assert_eq!(parcels.arrived(ME, 7), None);
    }

    #[test]
    fn parcels_are_bounded_and_given_up() {
        let parcels = Parcels::default();
        let huge = Parcel { id: 1, total: MAX_PARCEL + 1 };
        assert!(parcels.part(ME, huge, 0, b"", NOW).unwrap_err().contains("too many"));
        for id in 0..2 {
            let parcel = Parcel { id, total: MAX_PARCEL };
            assert_eq!(parcels.part(ME, parcel, 0, b"x", NOW), Ok(1));
        }
        let one = Parcel { id: 9, total: 1 };
        assert!(parcels.part(ME, one, 0, b"x", NOW).is_err(), "all room is taken");
        assert_eq!(parcels.part(ME, one, 0, b"x", NOW + PATIENCE), Ok(1), "and given back");
    }

    #[test]
    fn a_long_answer_is_there_until_its_end_was_taken() {
        let parcels = Parcels::default();
        let bytes = Bytes::from(vec![5; PART + 10]);
        let parcel = parcels.offer(ME, 4, bytes.clone(), NOW).unwrap();
        assert_eq!(parcel.total, bytes.len() as u64);
        let first = parcels.take(ME, 4, 0, NOW).unwrap();
        assert_eq!(first.len(), PART);
        for _ in 0..2 {
            assert_eq!(parcels.take(ME, 4, PART as u64, NOW).unwrap().len(), 10, "may be repeated");
        }
        assert_eq!(parcels.take(ME, 4, parcel.total, NOW).unwrap().len(), 0);
        assert_eq!(parcels.take(ME, 4, 0, NOW), None);
    }
}
