//! Copies of state machines on their way between nodes.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;

use crate::{NodeId, SnapshotProgress};

/// The copies of one group that are under way.
#[derive(Clone, Default)]
pub(crate) struct Copies {
    progress: Arc<Mutex<BTreeMap<(NodeId, bool), (u64, u64)>>>,
}

impl Copies {
    /// How far they are.
    pub(crate) fn progress(&self) -> Vec<SnapshotProgress> {
        let progress = self.progress.lock();
        let one = |(&(peer, sending), &(done, total)): (&(NodeId, bool), &(u64, u64))| {
            SnapshotProgress { peer, sending, done, total }
        };
        progress.iter().map(one).collect()
    }
}
