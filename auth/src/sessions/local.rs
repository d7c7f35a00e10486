//! What holds on this node only, while the directory cannot be written: sessions that were made, and ends of sessions.

use std::collections::HashMap;

use posthouse_cluster::Timestamp;

/// Most sessions, and most ends, that are kept here. Beyond, the one that would be over first gives way.
pub(super) const MAX_KEPT: usize = 10_000;

/// Hash of a token.
pub(super) type Key = [u8; 32];

/// Values that expire, bounded. In memory: a restart forgets them.
pub(super) struct Kept<T>(HashMap<Key, (T, Timestamp)>);

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T: Clone> Kept<T> {
    pub(super) fn put(&mut self, key: Key, value: T, expires: Timestamp, now: Timestamp) {
        if self.0.len() >= MAX_KEPT && !self.0.contains_key(&key) {
            self.0.retain(|_, (_, expires)| *expires > now);
        }
        if self.0.len() >= MAX_KEPT && !self.0.contains_key(&key) {
            let first = self.0.iter().min_by_key(|(_, (_, expires))| *expires).map(|(key, _)| *key);
            first.map(|first| self.0.remove(&first));
        }
        self.0.insert(key, (value, expires));
    }

    pub(super) fn get(&self, key: &Key, now: Timestamp) -> Option<T> {
        self.0.get(key).filter(|(_, expires)| *expires > now).map(|(value, _)| value.clone())
    }

    pub(super) fn remove(&mut self, key: &Key) -> Option<T> {
        self.0.remove(key).map(|(value, _)| value)
    }

    /// A few of those that have not expired; those that have are forgotten.
    pub(super) fn some(&mut self, most: usize, now: Timestamp) -> Vec<(Key, T)> {
        self.0.retain(|_, (_, expires)| *expires > now);
        self.0.iter().take(most).map(|(key, (value, _))| (*key, value.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u64) -> Key {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&number.to_be_bytes());
        key
    }

    #[test]
    fn what_is_kept_is_bounded_and_expires() {
        let mut kept = Kept::default();
        for number in 0..MAX_KEPT as u64 + 10 {
            kept.put(key(number), (), Timestamp(1_000 + number), Timestamp(0));
        }
        assert_eq!(kept.0.len(), MAX_KEPT);
        assert!(kept.get(&key(9), Timestamp(0)).is_none(), "the one that ends first gave way");
        assert!(kept.get(&key(10), Timestamp(0)).is_some());
        assert!(kept.get(&key(10), Timestamp(1_010)).is_none());
        kept.put(key(u64::MAX), (), Timestamp(u64::MAX), Timestamp(20_000));
        assert_eq!(kept.0.len(), 1, "what has expired makes room first");
        assert_eq!(kept.some(5, Timestamp(0)), [(key(u64::MAX), ())]);
        assert!(kept.remove(&key(u64::MAX)).is_some());
    }
}
