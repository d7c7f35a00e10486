//! Aliases with wildcards, the most specific first.

use std::{cmp::Reverse, collections::BTreeMap};

use crate::{AccountId, name};

/// Order of specificity: more fixed characters, then fewer `*`, then more `?`. The catch-all is last.
type Rank = (Reverse<usize>, usize, Reverse<usize>, String);

fn rank(pattern: &str) -> Rank {
    let count = |c: char| pattern.chars().filter(|p| *p == c).count();
    let (stars, marks) = (count('*'), count('?'));
    (Reverse(pattern.chars().count() - stars - marks), stars, Reverse(marks), pattern.to_owned())
}

/// The patterns of one domain.
#[derive(Default)]
pub(super) struct Patterns(BTreeMap<Rank, Vec<AccountId>>);

impl Patterns {
    pub(super) fn add(&mut self, pattern: &str, alias: AccountId) {
        let aliases = self.0.entry(rank(pattern)).or_default();
        aliases.push(alias);
        aliases.sort_unstable();
    }

    pub(super) fn remove(&mut self, pattern: &str, alias: AccountId) {
        let rank = rank(pattern);
        if let Some(aliases) = self.0.get_mut(&rank) {
            aliases.retain(|a| *a != alias);
            if aliases.is_empty() {
                self.0.remove(&rank);
            }
        }
    }

    /// Patterns that match, the most specific first, with their aliases.
    pub(super) fn matching(&self, local: &str) -> impl Iterator<Item = (&str, &[AccountId])> {
        self.0
            .iter()
            .map(|(rank, aliases)| (rank.3.as_str(), aliases.as_slice()))
            .filter(move |(pattern, _)| name::matches(pattern, local))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_specific_pattern_is_first_and_the_catch_all_last() {
        let mut patterns = Patterns::default();
        for pattern in ["*", "info*", "i*", "info?", "????", "*fo*", "in*fo*"] {
            patterns.add(pattern, AccountId(uuid::Uuid::nil()));
        }
        for (local, want) in [
            ("info1", vec!["info?", "info*", "in*fo*", "*fo*", "i*", "*"]),
            ("abcd", vec!["????", "*"]),
            ("x", vec!["*"]),
        ] {
            let found: Vec<_> = patterns.matching(local).map(|(p, _)| p).collect();
            assert_eq!(found, want, "{local}");
        }
    }
}
