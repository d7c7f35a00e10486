//! Sets of numbers as sorted ranges, and sequence sets as the client writes them.

use posthouse_store::UidSet;

/// One end of a range (RFC 9051 `seq-number`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeqNumber {
    /// A number.
    Number(u32),
    /// `*`: the largest in use.
    Last,
}

/// RFC 9051 `sequence-set`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SequenceSet {
    /// Ranges, as sent.
    Ranges(Vec<(SeqNumber, SeqNumber)>),
    /// `$` (RFC 5182).
    Saved,
}

impl SequenceSet {
    /// The numbers, with `*` as `last`. `None` for `$`.
    pub fn resolve(&self, last: u32) -> Option<Ranges> {
        let Self::Ranges(ranges) = self else { return None };
        let number = |n: SeqNumber| match n {
            SeqNumber::Number(n) => n,
            SeqNumber::Last => last,
        };
        let ranges = ranges.iter().map(|(a, b)| {
            let (a, b) = (number(*a), number(*b));
            (a.min(b), a.max(b))
        });
        Some(Ranges::new(ranges.collect()))
    }
}

/// Numbers as closed ranges: ascending, not touching.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges(Vec<(u32, u32)>);

impl From<UidSet> for Ranges {
    fn from(set: UidSet) -> Self {
        Self::new(set.0)
    }
}

impl From<Ranges> for UidSet {
    fn from(ranges: Ranges) -> Self {
        Self(ranges.0)
    }
}

impl FromIterator<u32> for Ranges {
    fn from_iter<I: IntoIterator<Item = u32>>(numbers: I) -> Self {
        let mut all = Vec::<(u32, u32)>::new();
        for number in numbers {
            match all.last_mut() {
                Some((_, last)) if last.checked_add(1) == Some(number) => *last = number,
                _ => all.push((number, number)),
            }
        }
        Self::new(all)
    }
}

impl Ranges {
    /// From ranges in any order.
    pub fn new(mut ranges: Vec<(u32, u32)>) -> Self {
        ranges.retain(|(first, last)| first <= last);
        if !ranges.windows(2).all(|w| matches!(w, [a, b] if a.1 < b.0 && b.0 - a.1 > 1)) {
            ranges.sort_unstable();
            let mut merged = Vec::<(u32, u32)>::with_capacity(ranges.len());
            for (first, last) in ranges {
                match merged.last_mut() {
                    Some(before) if first <= before.1.saturating_add(1) => {
                        before.1 = before.1.max(last);
                    }
                    _ => merged.push((first, last)),
                }
            }
            ranges = merged;
        }
        Self(ranges)
    }

    /// One range.
    pub fn span(first: u32, last: u32) -> Self {
        Self::new(vec![(first, last)])
    }

    /// The ranges.
    pub fn as_slice(&self) -> &[(u32, u32)] {
        &self.0
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many numbers.
    pub fn count(&self) -> u64 {
        self.0.iter().map(|(first, last)| u64::from(last - first) + 1).sum()
    }

    /// The smallest.
    pub fn first(&self) -> Option<u32> {
        self.0.first().map(|range| range.0)
    }

    /// The largest.
    pub fn last(&self) -> Option<u32> {
        self.0.last().map(|range| range.1)
    }

    /// Whether `number` is in it.
    pub fn contains(&self, number: u32) -> bool {
        let at = self.0.partition_point(|range| range.1 < number);
        self.0.get(at).is_some_and(|range| range.0 <= number)
    }

    /// All numbers, ascending.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = u32> + '_ {
        self.0.iter().flat_map(|(first, last)| *first..=*last)
    }

    /// What is in both.
    pub fn intersect(&self, other: &Self) -> Self {
        let (mut a, mut b) = (self.0.iter().peekable(), other.0.iter().peekable());
        let mut both = Vec::new();
        while let (Some(x), Some(y)) = (a.peek(), b.peek()) {
            let (first, last) = (x.0.max(y.0), x.1.min(y.1));
            if first <= last {
                both.push((first, last));
            }
            if x.1 < y.1 {
                a.next()
            } else {
                b.next()
            };
        }
        Self(both)
    }

    /// What is in either.
    pub fn union(&self, other: &Self) -> Self {
        Self::new(self.0.iter().chain(&other.0).copied().collect())
    }

    /// What is only in this.
    pub fn subtract(&self, other: &Self) -> Self {
        let mut rest = Vec::new();
        let mut cuts = other.0.iter().peekable();
        for (first, last) in &self.0 {
            let mut from = *first;
            let mut done = false;
            while let Some(cut) = cuts.peek() {
                if cut.1 < from {
                    cuts.next();
                    continue;
                }
                if cut.0 > *last {
                    break;
                }
                if cut.0 > from {
                    rest.push((from, cut.0 - 1));
                }
                if cut.1 >= *last {
                    done = true;
                    break;
                }
                from = cut.1 + 1;
                cuts.next();
            }
            if !done {
                rest.push((from, *last));
            }
        }
        Self(rest)
    }

    /// Cut into pieces of at most `size` numbers, in order.
    pub fn pieces(&self, size: u32) -> Vec<Self> {
        let mut pieces = Vec::new();
        let (mut piece, mut room) = (Vec::new(), size.max(1));
        for (first, last) in &self.0 {
            let mut from = *first;
            loop {
                let to = (*last).min(from.saturating_add(room - 1));
                piece.push((from, to));
                room -= to - from + 1;
                if room == 0 {
                    pieces.push(Self(std::mem::take(&mut piece)));
                    room = size.max(1);
                }
                if to == *last {
                    break;
                }
                from = to + 1;
            }
        }
        if !piece.is_empty() {
            pieces.push(Self(piece));
        }
        pieces
    }
}

impl std::fmt::Display for Ranges {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, (first, last)) in self.0.iter().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            if first == last {
                write!(f, "{comma}{first}")?;
            } else {
                write!(f, "{comma}{first}:{last}")?;
            }
        }
        Ok(())
    }
}
