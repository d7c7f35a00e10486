//! What the client has been told of the selected folder: sequence number ↔ uid.

use std::collections::HashSet;

use posthouse_store::{Folder, ModSeq, Uid};

use crate::codec::Ranges;

/// Uids in order as ranges, with the number of uids before each: both ways by binary search.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Numbering {
    uids: Ranges,
    before: Vec<u32>,
}

impl Numbering {
    pub(crate) fn new(uids: Ranges) -> Self {
        let mut count = 0u32;
        let before = uids.as_slice().iter().map(|(first, last)| {
            let before = count;
            count = count.saturating_add(last - first).saturating_add(1);
            before
        });
        Self { before: before.collect(), uids }
    }

    pub(crate) fn uids(&self) -> &Ranges {
        &self.uids
    }

    pub(crate) fn len(&self) -> u32 {
        match (self.uids.as_slice().last(), self.before.last()) {
            (Some((first, last)), Some(before)) => before + (last - first) + 1,
            _ => 0,
        }
    }

    /// The sequence number of a uid.
    pub(crate) fn seq(&self, uid: Uid) -> Option<u32> {
        let at = self.uids.as_slice().partition_point(|range| range.1 < uid);
        let (first, _) = self.uids.as_slice().get(at).filter(|range| range.0 <= uid)?;
        Some(self.before.get(at)? + (uid - first) + 1)
    }

    /// The uid of a sequence number.
    #[cfg(test)]
    pub(crate) fn uid(&self, seq: u32) -> Option<Uid> {
        self.uids_of(&Ranges::span(seq, seq)).first()
    }

    /// The uids of sequence numbers; those beyond the last are left out.
    pub(crate) fn uids_of(&self, seqs: &Ranges) -> Ranges {
        let mut found = Vec::new();
        for (first, last) in seqs.as_slice() {
            let mut at = self.before.partition_point(|before| *before < *first).saturating_sub(1);
            while let (Some(range), Some(before)) =
                (self.uids.as_slice().get(at), self.before.get(at))
            {
                // the range holds the numbers before + 1 ..= before + (last - first) + 1
                if before + 1 > *last {
                    break;
                }
                let from = range.0.saturating_add(first.saturating_sub(before + 1));
                let to = range.1.min(range.0.saturating_add(*last - (before + 1)));
                if from <= to {
                    found.push((from, to));
                }
                at += 1;
            }
        }
        Ranges::new(found)
    }

    /// The sequence numbers of uids; unknown ones are left out.
    pub(crate) fn seqs_of(&self, uids: &Ranges) -> Ranges {
        let both = self.uids.intersect(uids);
        let seqs = both.as_slice().iter().filter_map(|(first, last)| {
            let seq = self.seq(*first)?;
            Some((seq, seq + (last - first)))
        });
        Ranges::new(seqs.collect())
    }

    /// Takes uids out. Returns the sequence numbers to expunge, highest first, so that each is right
    /// when it is told.
    pub(crate) fn remove(&mut self, uids: &Ranges) -> Vec<u32> {
        let gone: Vec<u32> = self.seqs_of(uids).iter().rev().collect();
        if !gone.is_empty() {
            *self = Self::new(self.uids.subtract(uids));
        }
        gone
    }

    /// Adds uids.
    pub(crate) fn add(&mut self, uids: &Ranges) {
        *self = Self::new(self.uids.union(uids));
    }
}

/// The selected folder as the client knows it.
#[derive(Clone, Debug)]
pub(crate) struct View {
    /// The folder as it was when it was selected.
    pub(crate) folder: Folder,
    pub(crate) read_only: bool,
    /// Everything up to this modseq has been told.
    pub(crate) modseq: ModSeq,
    /// Uids from here on have not been told.
    pub(crate) uid_next: Uid,
    /// Messages that the client knows of.
    pub(crate) exists: u32,
    /// Loaded when first needed: a SELECT reads no item.
    pub(crate) numbering: Option<Numbering>,
    /// Changes that this session made and told itself.
    pub(crate) own: HashSet<ModSeq>,
    /// `$` (RFC 5182).
    pub(crate) saved: Ranges,
    /// Something may have changed.
    pub(crate) dirty: bool,
}

impl View {
    pub(crate) fn new(folder: Folder, read_only: bool) -> Self {
        Self {
            read_only,
            modseq: folder.highest_modseq,
            uid_next: folder.uid_next,
            exists: folder.exists,
            numbering: None,
            own: HashSet::new(),
            saved: Ranges::default(),
            // something may have happened between reading the counters and watching
            dirty: true,
            folder,
        }
    }

    /// Fits the uids of now to what the client was told: without later arrivals, with what has gone
    /// since. Whether that gives the number of messages that it was told.
    pub(crate) fn load(&mut self, now: Ranges, vanished: &Ranges) -> bool {
        let told = match self.uid_next.checked_sub(1) {
            None | Some(0) => Ranges::default(),
            Some(last) => now.union(vanished).intersect(&Ranges::span(1, last)),
        };
        let numbering = Numbering::new(told);
        let fits = numbering.len() == self.exists;
        self.numbering = Some(numbering);
        fits
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Op {
        Append(u32),
        Gap(u32),
        Remove(Vec<u32>),
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            (1u32..6).prop_map(Op::Append),
            (1u32..4).prop_map(Op::Gap),
            prop::collection::vec(1u32..80, 0..8).prop_map(Op::Remove),
        ]
    }

    proptest! {
        #[test]
        fn numbering_is_a_list_of_uids_with_positions(ops in prop::collection::vec(op(), 0..40)) {
            let (mut naive, mut next) = (Vec::<u32>::new(), 1u32);
            let mut numbering = Numbering::default();
            for op in ops {
                match op {
                    Op::Gap(by) => next += by,
                    Op::Append(count) => {
                        naive.extend(next..next + count);
                        numbering.add(&Ranges::span(next, next + count - 1));
                        next += count;
                    }
                    Op::Remove(uids) => {
                        // a client that follows the EXPUNGEs one by one ends with the same list
                        let mut client = naive.clone();
                        for seq in numbering.remove(&uids.iter().copied().collect()) {
                            client.remove(seq as usize - 1);
                        }
                        naive.retain(|uid| !uids.contains(uid));
                        prop_assert_eq!(&client, &naive);
                    }
                }
                prop_assert_eq!(numbering.len() as usize, naive.len());
                for (at, uid) in naive.iter().enumerate() {
                    prop_assert_eq!(numbering.seq(*uid), Some(at as u32 + 1));
                    prop_assert_eq!(numbering.uid(at as u32 + 1), Some(*uid));
                }
                prop_assert_eq!(numbering.uid(0), None);
                prop_assert_eq!(numbering.uid(naive.len() as u32 + 1), None);
                let seqs = Ranges::new(vec![(2, 5), (9, u32::MAX)]);
                let expected: Vec<u32> = naive.iter().enumerate()
                    .filter(|(at, _)| seqs.contains(*at as u32 + 1)).map(|(_, uid)| *uid).collect();
                prop_assert_eq!(numbering.uids_of(&seqs).iter().collect::<Vec<_>>(), expected);
            }
        }

        #[test]
        fn ranges_are_sets(a in prop::collection::btree_set(1u32..60, 0..40),
                           b in prop::collection::btree_set(1u32..60, 0..40), size in 1u32..9) {
            let (x, y): (Ranges, Ranges) = (a.iter().copied().collect(), b.iter().copied().collect());
            let list = |r: &Ranges| r.iter().collect::<Vec<_>>();
            prop_assert_eq!(list(&x.union(&y)), a.union(&b).copied().collect::<Vec<_>>());
            prop_assert_eq!(list(&x.intersect(&y)), a.intersection(&b).copied().collect::<Vec<_>>());
            prop_assert_eq!(list(&x.subtract(&y)), a.difference(&b).copied().collect::<Vec<_>>());
            let pieces = x.pieces(size);
            prop_assert!(pieces.iter().all(|piece| piece.count() <= u64::from(size)));
            prop_assert_eq!(pieces.iter().flat_map(|p| p.iter().collect::<Vec<_>>()).collect::<Vec<_>>(), list(&x));
            prop_assert_eq!(x.count() as usize, a.len());
        }
    }

    #[test]
    fn a_million_messages_with_every_other_one_gone_are_renumbered_at_once() {
        let started = std::time::Instant::now();
        let mut numbering = Numbering::new(Ranges::span(1, 1_000_000));
        let odd: Ranges = (1..=1_000_000).step_by(2).collect();
        assert_eq!(numbering.remove(&odd).len(), 500_000);
        assert_eq!(numbering.seq(1_000_000), Some(500_000));
        assert!(started.elapsed().as_secs() < 5, "{:?}", started.elapsed());
    }
}
