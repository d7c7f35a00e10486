//! What is in memory of one group: where its entries are, and the recent ones themselves.

use std::collections::VecDeque;

use bytes::Bytes;

use super::{GroupState, LogError};

/// Where an entry's record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Location {
    pub segment: u64,
    pub offset: u64,
    pub payload: usize,
}

#[derive(Debug)]
struct Slot {
    /// Tells this entry from an earlier one with the same index that is still being written.
    stamp: u64,
    at: Option<Location>,
    data: Option<Bytes>,
}

/// An entry as a reader finds it.
pub(super) enum Found {
    Here(Bytes),
    At(Location),
}

/// The log of one group in memory.
#[derive(Debug, Default)]
pub(super) struct GroupLog {
    first: u64,
    slots: VecDeque<Slot>,
    cached: usize,
    /// Entries before this index hold no data in memory.
    cached_from: u64,
    pub vote: Option<Bytes>,
    pub committed: Option<Bytes>,
    pub purged: Option<Bytes>,
}

impl GroupLog {
    /// A group as recovery found it.
    pub(super) fn recovered(state: GroupState, locations: Vec<Location>) -> Self {
        let slots =
            locations.into_iter().map(|at| Slot { stamp: 0, at: Some(at), data: None }).collect();
        Self {
            first: state.first,
            slots,
            cached: 0,
            cached_from: state.next,
            vote: state.vote,
            committed: state.committed,
            purged: state.purged,
        }
    }

    pub(super) fn first(&self) -> u64 {
        self.first
    }

    pub(super) fn next(&self) -> u64 {
        self.first + self.slots.len() as u64
    }

    pub(super) fn state(&self) -> GroupState {
        GroupState {
            first: self.first,
            next: self.next(),
            vote: self.vote.clone(),
            committed: self.committed.clone(),
            purged: self.purged.clone(),
        }
    }

    pub(super) fn append(&mut self, index: u64, data: Bytes, stamp: u64) -> Result<(), LogError> {
        if self.slots.is_empty() && self.purged.is_none() && index > self.first {
            // a log that begins later, as after the installation of a snapshot
            self.first = index;
            self.cached_from = index;
        }
        if index < self.first || index > self.next() {
            return Err(LogError::Gap { got: index, next: self.next() });
        }
        self.truncate(index);
        self.cached += data.len();
        self.slots.push_back(Slot { stamp, at: None, data: Some(data) });
        Ok(())
    }

    pub(super) fn truncate(&mut self, next: u64) {
        while self.next() > next {
            let Some(slot) = self.slots.pop_back() else { return };
            self.cached -= slot.data.map_or(0, |data| data.len());
        }
        self.cached_from = self.cached_from.min(self.next());
    }

    pub(super) fn purge(&mut self, first: u64) {
        while self.first < first {
            if let Some(slot) = self.slots.pop_front() {
                self.cached -= slot.data.map_or(0, |data| data.len());
                self.first += 1;
            } else {
                self.first = first;
            }
        }
        self.cached_from = self.cached_from.max(self.first);
    }

    /// Notes that an entry is on disk, and forgets the data of old ones beyond `cache` bytes.
    pub(super) fn written(&mut self, index: u64, stamp: u64, at: Location, cache: usize) {
        if let Some(slot) = self.slot_mut(index)
            && slot.stamp == stamp
        {
            slot.at = Some(at);
        }
        while self.cached > cache {
            let from = self.cached_from;
            let Some(slot) = self.slot_mut(from) else { return };
            if slot.at.is_none() {
                return;
            }
            let freed = slot.data.take().map_or(0, |data| data.len());
            self.cached -= freed;
            self.cached_from += 1;
        }
    }

    pub(super) fn find(&self, index: u64) -> Option<Found> {
        let slot = self.slots.get(usize::try_from(index.checked_sub(self.first)?).ok()?)?;
        match (&slot.data, slot.at) {
            (Some(data), _) => Some(Found::Here(data.clone())),
            (None, Some(at)) => Some(Found::At(at)),
            (None, None) => None,
        }
    }

    fn slot_mut(&mut self, index: u64) -> Option<&mut Slot> {
        self.slots.get_mut(usize::try_from(index.checked_sub(self.first)?).ok()?)
    }
}
