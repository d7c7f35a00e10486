//! Memory for messages that are being received, over all connections.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// Most bytes of unfinished messages at a time. Whoever would go beyond gets 452.
pub(crate) const MAX_HELD: usize = 512 << 20;

/// Bytes held by all connections.
#[derive(Debug, Default)]
pub(super) struct Budget(AtomicUsize);

/// Bytes held by one connection; given back when dropped.
#[derive(Debug)]
pub(super) struct Share {
    budget: Arc<Budget>,
    held: usize,
}

impl Share {
    pub(super) fn new(budget: Arc<Budget>) -> Self {
        Self { budget, held: 0 }
    }

    /// The connection holds so many bytes now. False: that is too much.
    pub(super) fn set(&mut self, held: usize) -> bool {
        let before = self.held;
        self.held = held;
        if held >= before {
            let total = self.budget.0.fetch_add(held - before, Ordering::Relaxed) + held - before;
            total <= MAX_HELD
        } else {
            self.budget.0.fetch_sub(before - held, Ordering::Relaxed);
            true
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.0.fetch_sub(self.held, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_connection_held_is_free_when_it_ends() {
        let budget = Arc::new(Budget::default());
        let mut first = Share::new(budget.clone());
        assert!(first.set(MAX_HELD));
        assert!(!Share::new(budget.clone()).set(1));
        assert!(first.set(10));
        assert!(Share::new(budget.clone()).set(1));
        drop(first);
        assert_eq!(budget.0.load(Ordering::Relaxed), 0);
    }
}
