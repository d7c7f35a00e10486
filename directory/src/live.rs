//! What the state machine shows to the rest of the program: the index, and that something changed.

use parking_lot::RwLock;
use tokio::sync::broadcast;

use crate::{Update, index::Index};

/// Updates that a slow receiver may be behind before it is told that it missed some.
const UPDATES: usize = 4_096;

/// Shared between the state machine, which writes, and [`crate::Directory`], which reads.
pub(crate) struct Live {
    pub(crate) index: RwLock<Index>,
    pub(crate) updates: broadcast::Sender<Update>,
}

impl Live {
    pub(crate) fn new() -> Self {
        Self { index: RwLock::default(), updates: broadcast::channel(UPDATES).0 }
    }

    /// Tells those who listen, if anybody does.
    pub(crate) fn tell(&self, update: Update) {
        let _ = self.updates.send(update);
    }
}
