//! The shared log as openraft's log of one group.

use std::{
    fmt::Debug,
    io,
    ops::{Bound, RangeBounds},
    sync::Arc,
};

use futures_util::{Stream, stream};
use openraft::{
    LogState, OptionalSend, RaftLogReader,
    entry::RaftEntry,
    storage::{IOFlushed, RaftLogStorage},
};
use tokio::sync::{mpsc, oneshot};

use super::{Entry, LogId, Types, Vote, codec};
use crate::{
    Environment, GroupId, OpenError, failpoint,
    log::{Done, LogEngine, LogError},
    sim::plant::{self, Plant},
};

/// Bytes of entries that are read or sent at once, a single larger entry aside.
const READ_BYTES: usize = 4 << 20;

fn io_error(error: LogError) -> io::Error {
    match &error {
        LogError::Damaged(_) => io::Error::new(io::ErrorKind::InvalidData, error),
        _ => io::Error::other(error),
    }
}

type Read = Box<dyn FnOnce() + Send>;

/// Runs reads of the log's files outside the runtime. Cheap to clone.
#[derive(Clone)]
pub(crate) struct FileReader(mpsc::UnboundedSender<Read>);

impl FileReader {
    /// Starts a thread of this name.
    pub(crate) fn start(env: &Environment, name: &str) -> Result<Self, OpenError> {
        let (jobs, mut queue) = mpsc::unbounded_channel::<Read>();
        let serve = async move {
            while let Some(job) = queue.recv().await {
                job();
            }
        };
        env.spawner
            .worker(name, Box::pin(serve))
            .map_err(|error| OpenError::Storage(error.to_string()))?;
        Ok(Self(jobs))
    }

    pub(crate) async fn run<T: Send + 'static>(
        &self,
        read: impl FnOnce() -> Result<T, LogError> + Send + 'static,
    ) -> Result<T, LogError> {
        let (answer, result) = oneshot::channel();
        let job = Box::new(move || drop(answer.send(read())));
        self.0.send(job).map_err(|_| LogError::Closed)?;
        result.await.map_err(|_| LogError::Closed)?
    }
}

/// One group's part of the log. Cheap to clone.
#[derive(Clone)]
pub(crate) struct RaftLog {
    pub engine: Arc<dyn LogEngine>,
    pub group: GroupId,
    pub files: FileReader,
}

impl RaftLog {
    /// Entries from `from` on, before `to`, bounded in bytes.
    async fn entries(&self, from: u64, to: u64) -> io::Result<Vec<Entry>> {
        let cached = self.engine.read_cached(self.group, from, to, READ_BYTES);
        let found = match cached {
            Some(found) => found,
            None => {
                let (engine, group) = (self.engine.clone(), self.group);
                let read = move || engine.read(group, from, to, READ_BYTES);
                self.files.run(read).await.map_err(io_error)?
            }
        };
        (from..).zip(&found).map(|(index, bytes)| codec::decode_entry(index, bytes)).collect()
    }

    fn bounds(&self, range: &impl RangeBounds<u64>) -> (u64, u64) {
        let state = self.engine.state(self.group);
        let from = match range.start_bound() {
            Bound::Included(start) => *start,
            Bound::Excluded(start) => start.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let to = match range.end_bound() {
            Bound::Included(end) => end.saturating_add(1),
            Bound::Excluded(end) => *end,
            Bound::Unbounded => u64::MAX,
        };
        (from.max(state.first), to.min(state.next))
    }

    /// Returns when all before is on disk.
    pub(crate) async fn flushed(&self) -> io::Result<()> {
        match self.engine.state(self.group).vote {
            Some(vote) => self.durable(|done| self.engine.save_vote(self.group, vote, done)).await,
            // nothing was ever promised
            None => Ok(()),
        }
    }

    /// Runs an operation and waits until it is on disk.
    async fn durable(
        &self,
        operation: impl FnOnce(Done) -> Result<(), LogError>,
    ) -> io::Result<()> {
        let (done, result) = oneshot::channel();
        operation(Box::new(move |outcome| drop(done.send(outcome)))).map_err(io_error)?;
        result.await.map_err(|_| io_error(LogError::Closed))?.map_err(io_error)
    }
}

impl RaftLogReader<Types> for RaftLog {
    async fn try_get_log_entries<R: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: R,
    ) -> io::Result<Vec<Entry>> {
        let (mut from, to) = self.bounds(&range);
        let mut all = Vec::new();
        while from < to {
            let some = self.entries(from, to).await?;
            if some.is_empty() {
                break;
            }
            from += some.len() as u64;
            all.extend(some);
        }
        Ok(all)
    }

    async fn entries_stream<R>(
        &mut self,
        range: R,
    ) -> impl Stream<Item = io::Result<Entry>> + OptionalSend
    where
        R: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        use futures_util::{StreamExt, TryStreamExt};
        let (from, to) = self.bounds(&range);
        let log = self.clone();
        let blocks = stream::try_unfold(from, move |from| {
            let log = log.clone();
            async move {
                if from >= to {
                    return Ok::<_, io::Error>(None);
                }
                let some = log.entries(from, to).await?;
                let next = from + some.len() as u64;
                Ok((!some.is_empty()).then_some((some, next)))
            }
        });
        blocks.map_ok(|some| stream::iter(some).map(Ok)).try_flatten().boxed()
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        let vote = self.engine.state(self.group).vote;
        vote.map(|bytes| codec::decode_vote(&bytes)).transpose()
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        let (from, to) = self.bounds(&(start..end));
        if from != start || from >= to {
            return Ok(Vec::new());
        }
        self.entries(from, to).await
    }
}

impl RaftLogStorage<Types> for RaftLog {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<Types>> {
        let state = self.engine.state(self.group);
        let purged = state.purged.map(|bytes| codec::decode_log_id(&bytes)).transpose()?;
        let last = match state.next > state.first {
            true => self.entries(state.next - 1, state.next).await?.first().map(RaftEntry::log_id),
            false => purged,
        };
        Ok(LogState { last_purged_log_id: purged, last_log_id: last })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        let bytes = codec::encode_vote(vote)?;
        if plant::is(Plant::UnflushedVote) {
            let saved = self.engine.save_vote(self.group, bytes, Box::new(drop));
            return saved.map_err(io_error);
        }
        self.durable(|done| self.engine.save_vote(self.group, bytes, done)).await
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        let bytes = committed.map(|committed| codec::encode_log_id(&committed)).transpose()?;
        self.engine.save_committed(self.group, bytes);
        Ok(())
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        let Some(bytes) = self.engine.state(self.group).committed else { return Ok(None) };
        let committed = codec::decode_log_id(&bytes)?;
        // a majority elsewhere may have committed what was not on disk here when the power went
        let last = self.get_log_state().await?.last_log_id;
        Ok(match last {
            Some(last) if last.index < committed.index => Some(last),
            Some(_) => Some(committed),
            None => None,
        })
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut records = Vec::new();
        for entry in entries {
            records.push((entry.index(), codec::encode_entry(&entry)?));
        }
        let done = Box::new(|outcome: Result<(), LogError>| {
            callback.io_completed(outcome.map_err(io_error));
        });
        self.engine.append(self.group, records, done).map_err(io_error)
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> io::Result<()> {
        let next = last.map_or(0, |last| last.index + 1);
        self.durable(|done| self.engine.truncate(self.group, next, done)).await
    }

    async fn purge(&mut self, log_id: LogId) -> io::Result<()> {
        let (first, id) = (log_id.index + 1, codec::encode_log_id(&log_id)?);
        self.durable(|done| self.engine.purge(self.group, first, id, done)).await?;
        failpoint::hit(failpoint::PURGE_AFTER);
        Ok(())
    }
}
