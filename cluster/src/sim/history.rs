//! What clients saw, and whether a system that does one thing after the other could have shown it.
//!
//! A [`History`] records operations on registers by key with the time of their call and return: real
//! time, or numbers from a [`Sequence`](super::Sequence). [`History::check`] looks for an order of all
//! operations on a key that fits these times and explains every answer (linearizability, searched as
//! Wing and Gong described it, with Lowe's memory of positions that were tried). [`Deliveries`] judges
//! whether things that were handed in arrived once.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    fmt::Debug,
};

#[cfg(test)]
mod tests;

/// Positions that are tried for one key before the search is given up.
const TRIES: usize = 2_000_000;

/// What a client did to a register, and saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action<V> {
    /// Set it.
    Write(V),
    /// Read it; `None` if it was never set.
    Read(Option<V>),
}

/// An operation on one register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation<V> {
    /// Who did it.
    pub client: u64,
    /// When it was called.
    pub called: u64,
    /// When it returned. `None` if it never did: then it may take effect at any later time, or not.
    pub returned: Option<u64>,
    /// What it was.
    pub action: Action<V>,
}

/// Why a history is not linearizable, or not known to be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Anomaly {
    /// No order explains it. The text shows the operations that fit nowhere after the longest order.
    #[error("register {key}: {explained} operations can be explained, and then none of: {rest}")]
    Impossible {
        /// Which register.
        key: String,
        /// How many operations the longest order has.
        explained: usize,
        /// Those that would have to come next.
        rest: String,
    },
    /// The search took too long.
    #[error("register {key}: undecided after {TRIES} tries")]
    Undecided {
        /// Which register.
        key: String,
    },
}

/// Operations by key.
#[derive(Clone, Debug)]
pub struct History<K, V> {
    operations: BTreeMap<K, Vec<Operation<V>>>,
}

impl<K, V> Default for History<K, V> {
    fn default() -> Self {
        Self { operations: BTreeMap::new() }
    }
}

impl<K: Ord + Debug, V: Clone + Eq + Debug> History<K, V> {
    /// Adds an operation that is over. A read that never returned says nothing: leave it out.
    pub fn record(&mut self, key: K, operation: Operation<V>) {
        self.operations.entry(key).or_default().push(operation);
    }

    /// How many operations there are.
    pub fn len(&self) -> usize {
        self.operations.values().map(Vec::len).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    /// Whether the history of each register, which nobody had set before, is linearizable.
    pub fn check(&self) -> Result<(), Anomaly> {
        for (key, operations) in &self.operations {
            Search::new(operations).run().map_err(|found| found.of(format!("{key:?}")))?;
        }
        Ok(())
    }
}

enum Found {
    Impossible(usize, String),
    Undecided,
}

impl Found {
    fn of(self, key: String) -> Anomaly {
        match self {
            Self::Impossible(explained, rest) => Anomaly::Impossible { key, explained, rest },
            Self::Undecided => Anomaly::Undecided { key },
        }
    }
}

/// What was put in order so far: a bit for each operation, and the write that is seen now.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Position {
    done: Vec<u64>,
    value: Option<usize>,
}

impl Position {
    fn is_done(&self, at: usize) -> bool {
        self.done.get(at / 64).is_some_and(|word| word & (1 << (at % 64)) != 0)
    }

    fn add(&mut self, at: usize) {
        if let Some(word) = self.done.get_mut(at / 64) {
            *word |= 1 << (at % 64);
        }
    }

    fn count(&self) -> usize {
        self.done.iter().map(|word| word.count_ones() as usize).sum()
    }
}

/// The operations on one register, by the time of their call.
struct Search<'a, V>(Vec<&'a Operation<V>>);

impl<'a, V: Clone + Eq + Debug> Search<'a, V> {
    fn new(operations: &'a [Operation<V>]) -> Self {
        let seen = |value: &V| {
            operations
                .iter()
                .any(|other| matches!(&other.action, Action::Read(Some(v)) if v == value))
        };
        // what never returned and nobody saw need not have happened
        let counts = |operation: &&Operation<V>| match (&operation.action, operation.returned) {
            (_, Some(_)) => true,
            (Action::Write(value), None) => seen(value),
            (Action::Read(_), None) => false,
        };
        let mut operations: Vec<_> = operations.iter().filter(counts).collect();
        operations.sort_by_key(|operation| operation.called);
        Self(operations)
    }

    fn value(&self, position: &Position) -> Option<&V> {
        match &self.0.get(position.value?)?.action {
            Action::Write(value) => Some(value),
            Action::Read(_) => None,
        }
    }

    /// Which operations can come next: those that were called before any other one had returned.
    fn next(&self, position: &Position) -> Vec<usize> {
        let (mut end, mut next) = (u64::MAX, Vec::new());
        for (at, operation) in self.0.iter().enumerate() {
            if operation.called > end {
                break;
            }
            if !position.is_done(at) {
                end = end.min(operation.returned.unwrap_or(u64::MAX));
                next.push((at, operation.called));
            }
        }
        next.into_iter().filter(|(_, called)| *called <= end).map(|(at, _)| at).collect()
    }

    /// Puts in order all reads that fit at once: that never stands in the way of anything later.
    fn read(&self, position: &mut Position) -> Vec<usize> {
        loop {
            let next = self.next(position);
            let mut any = false;
            for at in &next {
                let fits = match self.0.get(*at).map(|operation| &operation.action) {
                    Some(Action::Read(value)) => value.as_ref() == self.value(position),
                    _ => false,
                };
                if fits {
                    position.add(*at);
                    any = true;
                }
            }
            if !any {
                return next;
            }
        }
    }

    fn is_complete(&self, position: &Position) -> bool {
        let required = |(_, operation): &(usize, &&Operation<V>)| operation.returned.is_some();
        self.0.iter().enumerate().filter(required).all(|(at, _)| position.is_done(at))
    }

    fn run(&self) -> Result<(), Found> {
        let start = Position { done: vec![0; self.0.len().div_ceil(64)], value: None };
        let (mut open, mut tried) = (vec![start], HashSet::new());
        let mut longest: Option<(usize, Vec<usize>)> = None;
        while let Some(mut position) = open.pop() {
            let next = self.read(&mut position);
            if self.is_complete(&position) {
                return Ok(());
            }
            let count = position.count();
            if longest.as_ref().is_none_or(|(most, _)| count > *most) {
                longest = Some((count, next.clone()));
            }
            for at in next.into_iter().rev() {
                if matches!(self.0.get(at).map(|o| &o.action), Some(Action::Write(_))) {
                    let mut then = position.clone();
                    then.add(at);
                    then.value = Some(at);
                    if tried.insert(then.clone()) {
                        open.push(then);
                    }
                }
            }
            if tried.len() > TRIES {
                return Err(Found::Undecided);
            }
        }
        let (explained, rest) = longest.unwrap_or_default();
        let rest: Vec<_> = rest.iter().filter_map(|at| self.0.get(*at)).collect();
        Err(Found::Impossible(explained, format!("{rest:?}")))
    }
}

/// Things that were handed in, with an id each, and must be found once.
#[derive(Clone, Debug)]
pub struct Deliveries<I> {
    offered: BTreeSet<I>,
    acknowledged: BTreeSet<I>,
}

impl<I> Default for Deliveries<I> {
    fn default() -> Self {
        Self { offered: BTreeSet::new(), acknowledged: BTreeSet::new() }
    }
}

/// What is wrong with what was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wrong<I> {
    /// Acknowledged, and not there.
    pub lost: Vec<I>,
    /// There more than once.
    pub doubled: Vec<I>,
    /// There, and never handed in.
    pub phantoms: Vec<I>,
}

impl<I> Wrong<I> {
    /// Whether nothing is wrong.
    pub fn is_nothing(&self) -> bool {
        self.lost.is_empty() && self.doubled.is_empty() && self.phantoms.is_empty()
    }
}

impl<I: Ord + Clone> Deliveries<I> {
    /// Something is about to be handed in.
    pub fn offer(&mut self, id: I) {
        self.offered.insert(id);
    }

    /// It was acknowledged.
    pub fn acknowledge(&mut self, id: I) {
        self.acknowledged.insert(id);
    }

    /// How many were acknowledged.
    pub fn acknowledged(&self) -> usize {
        self.acknowledged.len()
    }

    /// Compares with what is there.
    pub fn check(&self, found: impl IntoIterator<Item = I>) -> Wrong<I> {
        let mut counts = BTreeMap::<I, u64>::new();
        for id in found {
            *counts.entry(id).or_default() += 1;
        }
        let doubled = counts.iter().filter(|(_, count)| **count > 1).map(|(id, _)| id.clone());
        Wrong {
            lost: self
                .acknowledged
                .iter()
                .filter(|id| !counts.contains_key(*id))
                .cloned()
                .collect(),
            doubled: doubled.collect(),
            phantoms: counts.keys().filter(|id| !self.offered.contains(*id)).cloned().collect(),
        }
    }
}
