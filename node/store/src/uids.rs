//! Sets of uids as ranges.

use crate::{Uid, UidSet};

impl UidSet {
    /// The set of these ranges, brought into order: ends swapped where reversed, 0 left out,
    /// overlapping and touching ranges joined.
    pub fn from_ranges(ranges: impl IntoIterator<Item = (Uid, Uid)>) -> Self {
        let mut ranges: Vec<_> = ranges
            .into_iter()
            .map(|(a, b)| (a.min(b).max(1), a.max(b)))
            .filter(|(first, last)| first <= last)
            .collect();
        ranges.sort_unstable();
        let mut set = Self::default();
        for (first, last) in ranges {
            set.push_range(first, last);
        }
        set
    }

    /// The set of these uids, in any order.
    pub fn from_uids(uids: impl IntoIterator<Item = Uid>) -> Self {
        Self::from_ranges(uids.into_iter().map(|uid| (uid, uid)))
    }

    /// Adds a uid that is not below any other of the set: constant time.
    pub fn push(&mut self, uid: Uid) {
        self.push_range(uid, uid);
    }

    /// Adds a range that does not begin below the last one of the set.
    fn push_range(&mut self, first: Uid, last: Uid) {
        match self.0.last_mut() {
            Some(range) if first <= range.1.saturating_add(1) => range.1 = range.1.max(last),
            _ => self.0.push((first, last)),
        }
    }

    /// Whether the uid is in the set, which must be in order.
    pub fn contains(&self, uid: Uid) -> bool {
        let after = self.0.partition_point(|range| range.0 <= uid);
        after.checked_sub(1).and_then(|at| self.0.get(at)).is_some_and(|range| uid <= range.1)
    }

    /// Number of uids.
    pub fn count(&self) -> u64 {
        self.0.iter().map(|(first, last)| u64::from(last - first) + 1).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All uids, ascending.
    pub fn iter(&self) -> impl Iterator<Item = Uid> + '_ {
        self.0.iter().flat_map(|(first, last)| *first..=*last)
    }

    /// Both sets must be in order.
    pub fn minus(&self, other: &Self) -> Self {
        let mut left = Self::default();
        let mut others = other.0.iter().copied().peekable();
        for &(first, last) in &self.0 {
            let mut from = Some(first);
            while let (Some(start), Some(&(cut, until))) = (from, others.peek()) {
                if until < start {
                    others.next();
                    continue;
                }
                if cut > last {
                    break;
                }
                if cut > start {
                    left.push_range(start, cut - 1);
                }
                from = until.checked_add(1).filter(|next| *next <= last);
                if until <= last {
                    others.next();
                }
            }
            if let Some(start) = from {
                left.push_range(start, last);
            }
        }
        left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_brought_into_order() {
        for (ranges, expected) in [
            (vec![], vec![]),
            (vec![(5, 3), (1, 2)], vec![(1, 5)]),
            (vec![(0, 0), (9, 9), (1, 4), (2, 3)], vec![(1, 4), (9, 9)]),
            (vec![(1, u32::MAX), (7, 7)], vec![(1, u32::MAX)]),
        ] {
            assert_eq!(UidSet::from_ranges(ranges.clone()).0, expected, "{ranges:?}");
        }
    }

    #[test]
    fn difference_of_sets() {
        for (a, b, expected) in [
            (vec![(1, 10)], vec![(3, 4), (10, 12)], vec![(1, 2), (5, 9)]),
            (vec![(1, 3), (5, 7)], vec![(2, 6)], vec![(1, 1), (7, 7)]),
            (vec![(1, 3)], vec![], vec![(1, 3)]),
            (vec![(2, 3)], vec![(1, 9)], vec![]),
            (vec![(1, u32::MAX)], vec![(9, u32::MAX)], vec![(1, 8)]),
            (
                vec![(1, 2), (4, 5), (7, 9)],
                vec![(4, 4), (8, 8)],
                vec![(1, 2), (5, 5), (7, 7), (9, 9)],
            ),
        ] {
            assert_eq!(
                UidSet(a.clone()).minus(&UidSet(b.clone())).0,
                expected,
                "{a:?} minus {b:?}"
            );
        }
    }

    #[test]
    fn membership_follows_the_ranges() {
        let set = UidSet(vec![(2, 4), (9, 9)]);
        let inside: Vec<_> = (0..12).filter(|uid| set.contains(*uid)).collect();
        assert_eq!(inside, [2, 3, 4, 9]);
        assert_eq!(set.iter().collect::<Vec<_>>(), inside);
        assert_eq!(set.count(), 4);
    }
}
