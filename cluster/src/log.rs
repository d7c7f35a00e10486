//! The durable log that all groups of a node share.
//!
//! [`LogEngine`] is what the consensus layer needs; [`SegmentedLog`] is the one engine. One writer
//! commits what is queued with one sync, so a slow disk costs the groups one wait, not one each.

use bytes::Bytes;

use crate::GroupId;

mod engine;
pub(crate) mod fuzz;
mod memory;
mod record;
mod recover;
mod segment;
#[cfg(test)]
mod tests;
mod writer;

pub(crate) use engine::SegmentedLog;

/// Called once when the operation is on disk, or will never be.
pub(crate) type Done = Box<dyn FnOnce(Result<(), LogError>) + Send>;

/// Why an operation on the log failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LogError {
    /// A write or a sync failed. Final: nothing is acknowledged until the log is opened again.
    #[error("log storage failed: {0}")]
    Storage(String),
    /// A record cannot be read back as it was written. Names file and offset.
    #[error("log is damaged: {0}")]
    Damaged(String),
    /// One record is larger than half a segment.
    #[error("record of {0} bytes is too large for the log")]
    TooLarge(usize),
    /// The entries do not follow on what is there.
    #[error("entry {got} does not follow: the next is {next}")]
    Gap {
        /// Index that was offered.
        got: u64,
        /// Index that would follow.
        next: u64,
    },
    /// The log was closed.
    #[error("the log is closed")]
    Closed,
}

/// What the log holds of one group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct GroupState {
    /// Index of the first entry that was not purged.
    pub first: u64,
    /// Index that the next entry will have; `first` if there is none.
    pub next: u64,
    /// As saved.
    pub vote: Option<Bytes>,
    /// As saved.
    pub committed: Option<Bytes>,
    /// What [`LogEngine::purge`] was given last.
    pub purged: Option<Bytes>,
}

/// Tunables of a log. Tests take small segments.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogOptions {
    /// Size of a segment in bytes.
    pub segment: u64,
    /// Free bytes on the file system below which the log counts as full.
    pub min_free: u64,
    /// Bytes of recent entries that each group keeps in memory.
    pub cache: usize,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self { segment: 64 << 20, min_free: 128 << 20, cache: 4 << 20 }
    }
}

/// A durable log of many groups. Operations take effect in memory when the call returns, in the order
/// of the calls, and on disk when their [`Done`] is called.
pub(crate) trait LogEngine: Send + Sync + 'static {
    /// What is there of `group`.
    fn state(&self, group: GroupId) -> GroupState;

    /// Appends entries with consecutive indexes. They can be read when this returns.
    fn append(
        &self,
        group: GroupId,
        entries: Vec<(u64, Bytes)>,
        done: Done,
    ) -> Result<(), LogError>;

    /// Saves the vote.
    fn save_vote(&self, group: GroupId, vote: Bytes, done: Done) -> Result<(), LogError>;

    /// Saves the commit position together with whatever is written next; costs no sync of its own.
    fn save_committed(&self, group: GroupId, committed: Option<Bytes>);

    /// Removes all entries from index `next` on.
    fn truncate(&self, group: GroupId, next: u64, done: Done) -> Result<(), LogError>;

    /// Removes all entries before index `first`. `id` is handed back in [`GroupState::purged`].
    fn purge(&self, group: GroupId, first: u64, id: Bytes, done: Done) -> Result<(), LogError>;

    /// Removes everything of `group`, as if it had never been.
    fn forget(&self, group: GroupId, done: Done) -> Result<(), LogError>;

    /// Entries in `from..to`, stopping after `max_bytes` but not before the first. Reads files: not
    /// for the runtime.
    fn read(
        &self,
        group: GroupId,
        from: u64,
        to: u64,
        max_bytes: usize,
    ) -> Result<Vec<Bytes>, LogError>;

    /// As [`Self::read`], `None` if that would have to read a file.
    fn read_cached(&self, group: GroupId, from: u64, to: u64, max: usize) -> Option<Vec<Bytes>>;

    /// Why the log acknowledges nothing any more.
    fn failed(&self) -> Option<String>;

    /// Whether the disk is too full for new proposals. What was accepted before still fits.
    fn is_full(&self) -> bool;

    /// Looks again whether there is space. Cheap; called once a second and when a proposal is refused.
    fn check_space(&self);

    /// Groups whose entries keep old segments from being used again, when there are many of these.
    fn pinning(&self) -> Vec<GroupId>;

    /// Largest sum of bytes that may be proposed and not yet be on disk.
    fn in_flight_limit(&self) -> usize;

    /// Writes what is queued and ends. Later operations fail with [`LogError::Closed`].
    fn close(&self, done: Done);
}
