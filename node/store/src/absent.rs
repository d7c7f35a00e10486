//! Bodies that the database names and that are not on this node's disk.

use std::collections::HashMap;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::BodyHash;

/// What is missing, and what came. Shared by the state machine, which learns of bodies, and the task that
/// fetches them.
#[derive(Default)]
pub(crate) struct Absent {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    /// With their sizes in bytes.
    missing: HashMap<BodyHash, u32>,
    look: Look,
    fetched: Progress,
}

/// Whether the database has been compared with the disk since it was opened or replaced.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Look {
    #[default]
    Due,
    UnderWay,
    Done,
}

/// Number and bytes of bodies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    pub bodies: u64,
    pub bytes: u64,
}

impl Absent {
    /// A body is missing.
    pub(crate) fn add(&self, hash: BodyHash, size: u32) {
        self.state.lock().missing.insert(hash, size);
        self.changed.notify_one();
    }

    /// The database was replaced: everything may be missing.
    pub(crate) fn look_again(&self) {
        self.state.lock().look = Look::Due;
        self.changed.notify_one();
    }

    /// Whether database and disk are to be compared now.
    pub(crate) fn begin_look(&self) -> bool {
        let mut state = self.state.lock();
        let due = state.look == Look::Due;
        if due {
            state.look = Look::UnderWay;
        }
        due
    }

    /// They were compared: what is missing was added.
    pub(crate) fn end_look(&self) {
        let mut state = self.state.lock();
        if state.look == Look::UnderWay {
            state.look = Look::Done;
        }
    }

    /// A body came, or is not needed any more (`came` is false).
    pub(crate) fn remove(&self, hash: &BodyHash, came: bool) {
        let mut state = self.state.lock();
        if let Some(size) = state.missing.remove(hash)
            && came
        {
            state.fetched.bodies += 1;
            state.fetched.bytes += u64::from(size);
        }
    }

    /// Some of what is missing.
    pub(crate) fn some(&self, limit: usize) -> Vec<(BodyHash, u32)> {
        self.state.lock().missing.iter().take(limit).map(|(hash, size)| (*hash, *size)).collect()
    }

    /// Whether everything is there for certain.
    pub(crate) fn is_complete(&self) -> bool {
        let state = self.state.lock();
        state.look == Look::Done && state.missing.is_empty()
    }

    /// What is missing, and what came so far.
    pub(crate) fn progress(&self) -> (Progress, Progress) {
        let state = self.state.lock();
        let bytes = state.missing.values().map(|size| u64::from(*size)).sum();
        (Progress { bodies: state.missing.len() as u64, bytes }, state.fetched)
    }

    /// Returns when there may be something to do.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }
}
