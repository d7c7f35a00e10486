//! The one writer of a log: batches what is queued, one sync for each batch.

use std::{
    collections::{HashMap, VecDeque},
    io,
    sync::{Arc, atomic::Ordering},
};

use tokio::sync::mpsc::UnboundedReceiver;

use super::{
    Done, GroupState, LogError,
    engine::{Shared, TARGET},
    memory::Location,
    record::{self, Kind, Record},
    recover::{Written, head},
    segment::{Current, Segments, is_no_space},
};
use crate::{
    GroupId, failpoint,
    sim::plant::{self, Plant},
};

/// Bytes that one sync covers at most, single large records aside.
const BATCH: usize = 4 << 20;
/// Operations that are taken from the queue at once.
const TAKE: usize = 1024;
/// Segments in use beyond which groups that pin the oldest are asked to move on.
const MANY_SEGMENTS: u64 = 6;

/// What is handed to the writer.
pub(super) enum Op {
    /// Records, and whom to tell when all are on disk.
    Write(Vec<(Record, u64)>, Done),
    /// Look for space, and try again what did not fit.
    Retry,
    /// Write all before this, seal, and end.
    Close(Done),
}

struct Queued {
    record: Record,
    stamp: u64,
    done: Option<Done>,
}

/// What goes to disk with one write.
struct Batch {
    bytes: Vec<u8>,
    entries: Vec<(GroupId, u64, u64, Location)>,
    records: Vec<Record>,
    done: Vec<Done>,
}

pub(super) struct Writer {
    pub shared: Arc<Shared>,
    pub segments: Segments,
    pub current: Current,
    pub written: HashMap<GroupId, Written>,
    pub synced: bool,
    pending: VecDeque<Queued>,
    batch: Option<Batch>,
}

impl Writer {
    pub(super) fn new(
        shared: Arc<Shared>,
        segments: Segments,
        current: Current,
        written: HashMap<GroupId, Written>,
    ) -> Self {
        let (pending, batch) = (VecDeque::new(), None);
        Self { shared, segments, current, written, synced: true, pending, batch }
    }

    /// Runs until the log is closed or nobody is left to use it.
    pub(super) async fn run(mut self, mut queue: UnboundedReceiver<Op>) {
        let mut ops = Vec::new();
        while queue.recv_many(&mut ops, TAKE).await > 0 {
            let mut close = None;
            for op in ops.drain(..) {
                match op {
                    Op::Write(records, done) => self.accept(records, done),
                    Op::Retry => self.look_for_space(),
                    Op::Close(done) => close = Some(done),
                }
            }
            self.write_pending();
            if let Some(done) = close {
                queue.close();
                let outcome = self.close();
                self.shared.release_lock();
                return done(outcome);
            }
        }
        self.shared.release_lock();
    }

    fn accept(&mut self, records: Vec<(Record, u64)>, done: Done) {
        if let Some(reason) = self.shared.failed.get() {
            return done(Err(LogError::Storage(reason.clone())));
        }
        let mut done = Some(done);
        let last = records.len().saturating_sub(1);
        for (position, (record, stamp)) in records.into_iter().enumerate() {
            let done = if position == last { done.take() } else { None };
            self.pending.push_back(Queued { record, stamp, done });
        }
        if let Some(done) = done {
            done(Ok(()));
        }
    }

    fn write_pending(&mut self) {
        while self.batch.is_some() || !self.pending.is_empty() {
            let outcome = self.write_batch();
            match outcome {
                Ok(()) => {}
                // nothing was promised yet: it is tried again when there may be space
                Err(error) if is_no_space(&error) => return self.shared.set_full(true),
                Err(error) => return self.fail(&error),
            }
        }
    }

    fn write_batch(&mut self) -> io::Result<()> {
        if self.batch.is_none() {
            self.build_batch()?;
        }
        let Some(batch) = &self.batch else { return Ok(()) };
        let zeros = self.current.zeros_after(batch.bytes.len() as u64);
        failpoint::hit(failpoint::LOG_BEFORE_WRITE);
        if zeros > 0 {
            let mut padded = batch.bytes.clone();
            padded.resize(padded.len() + zeros as usize, 0);
            self.current.file.write_at(&padded, self.current.tail)?;
        } else {
            self.current.file.write_at(&batch.bytes, self.current.tail)?;
        }
        failpoint::hit(failpoint::LOG_AFTER_WRITE);
        self.sync()?;
        let Some(batch) = self.batch.take() else { return Ok(()) };
        self.current.tail += batch.bytes.len() as u64;
        self.current.filled = self.current.filled.max(self.current.tail + zeros);
        self.committed(batch);
        self.after_sync()
    }

    /// A failed sync must never be tried again: the kernel may have dropped what it could not write
    /// and report success the next time.
    fn sync(&mut self) -> io::Result<()> {
        if plant::is(Plant::NoSync) {
            return Ok(());
        }
        self.current.file.sync_data().map_err(|error| io::Error::other(error.to_string()))?;
        self.shared.syncs.fetch_add(1, Ordering::Relaxed);
        failpoint::hit(failpoint::LOG_AFTER_SYNC);
        Ok(())
    }

    fn build_batch(&mut self) -> io::Result<()> {
        let first =
            self.pending.front().map_or(0, |queued| record::size(queued.record.payload.len()));
        self.roll_for(first)?;
        let mut batch =
            Batch { bytes: Vec::new(), entries: Vec::new(), records: Vec::new(), done: Vec::new() };
        if self.current.tail == 0 {
            for (group, written) in sorted(&self.written) {
                self.put(&mut batch, head(group, &written.state), 0);
            }
        }
        for (group, payload) in self.shared.take_committed() {
            let record = Record { kind: Kind::Committed, group, index: 0, payload };
            self.put(&mut batch, record, 0);
        }
        let limit = BATCH.min(self.segments.size() as usize / 4);
        while let Some(queued) = self.pending.front() {
            let size = record::size(queued.record.payload.len());
            let full =
                batch.bytes.len() + size > limit || !self.current.fits(batch.bytes.len() + size);
            if full && !batch.records.is_empty() {
                break;
            }
            let Some(queued) = self.pending.pop_front() else { break };
            self.put(&mut batch, queued.record, queued.stamp);
            batch.done.extend(queued.done);
        }
        self.batch = Some(batch);
        Ok(())
    }

    fn put(&self, batch: &mut Batch, record: Record, stamp: u64) {
        let offset = self.current.tail + batch.bytes.len() as u64;
        let first = batch.bytes.is_empty();
        record::encode(&record, self.current.number, first && self.synced, &mut batch.bytes);
        if record.kind == Kind::Entry {
            let payload = record.payload.len();
            let at = Location { segment: self.current.number, offset, payload };
            batch.entries.push((record.group, record.index, stamp, at));
        }
        // the payload is in `bytes`; what is kept of an entry is its index
        let payload = if record.kind == Kind::Entry { Default::default() } else { record.payload };
        batch.records.push(Record { payload, ..record });
    }

    /// Goes to the next segment if a record of `size` bytes does not fit into this one.
    fn roll_for(&mut self, size: usize) -> io::Result<()> {
        // room for what goes before it: positions of all groups
        let extra = self.written.len() * 128;
        let whole = self.current.size >= self.segments.size();
        if self.current.fits(size + extra) || (whole && self.current.tail == 0) {
            return Ok(());
        }
        self.seal()?;
        self.current = self.segments.start(self.current.number + 1)?;
        self.make_room()
    }

    fn seal(&mut self) -> io::Result<()> {
        let (group, payload) = (GroupId(0), Default::default());
        let record = Record { kind: Kind::Seal, group, index: 0, payload };
        let mut bytes = Vec::new();
        record::encode(&record, self.current.number, self.synced, &mut bytes);
        self.current.file.write_at(&bytes, self.current.tail)?;
        self.sync()
    }

    /// Brings the books up to date and tells those who wait.
    fn committed(&mut self, batch: Batch) {
        for record in batch.records {
            if record.kind == Kind::State && record == head(record.group, &GroupState::default()) {
                // written at the head of a segment for groups that are there, elsewhere to forget one
                self.written.remove(&record.group);
                continue;
            }
            let written = self.written.entry(record.group).or_default();
            match record.kind {
                Kind::Entry => written.entry(record.index, self.current.number),
                Kind::Vote => written.state.vote = Some(record.payload),
                Kind::Truncate => written.truncate(record.index),
                Kind::Purge => written.purge(record.index, record.payload),
                Kind::Committed => {
                    written.state.committed = Some(record.payload).filter(|p| !p.is_empty());
                }
                Kind::State | Kind::Seal => {}
            }
        }
        self.shared.written(&batch.entries);
        for done in batch.done {
            done(Ok(()));
        }
    }

    /// Takes segments out of use that nothing needs any more.
    fn after_sync(&mut self) -> io::Result<()> {
        let current = self.current.number;
        let keep = self.written.values().filter_map(Written::pin).min().unwrap_or(current);
        let oldest = self.segments.files.read().keys().next().copied().unwrap_or(current);
        // an older segment still has the groups' states until the current one has its head
        if keep > oldest && self.current.tail > 0 {
            self.segments.release_before(keep.min(current))?;
        }
        let mut pinning = Vec::new();
        if current - keep.min(current) >= MANY_SEGMENTS {
            let pins = self.written.iter().filter(|(_, written)| written.pin() == Some(keep));
            pinning.extend(pins.map(|(group, _)| *group));
        }
        self.shared.set_pinning(pinning);
        Ok(())
    }

    fn make_room(&mut self) -> io::Result<()> {
        let room = self.segments.make_room()?;
        self.shared.set_full(!room);
        Ok(())
    }

    fn look_for_space(&mut self) {
        if let Err(error) = self.make_room() {
            tracing::warn!(target: "warning", %error, "cannot see whether the log has space");
        }
    }

    fn fail(&mut self, error: &io::Error) {
        let reason = error.to_string();
        tracing::error!(target: TARGET, %error, "the log failed and acknowledges nothing more");
        self.shared.fail(&reason);
        let waiting = self.batch.take().map(|batch| batch.done).unwrap_or_default();
        let queued = self.pending.drain(..).filter_map(|queued| queued.done);
        for done in waiting.into_iter().chain(queued) {
            done(Err(LogError::Storage(reason.clone())));
        }
    }

    fn close(&mut self) -> Result<(), LogError> {
        if let Some(reason) = self.shared.failed.get() {
            return Err(LogError::Storage(reason.clone()));
        }
        let positions = self.shared.has_committed();
        let written = if positions { self.write_batch() } else { Ok(()) };
        if self.batch.is_some() || !self.pending.is_empty() {
            let full = io::Error::from(io::ErrorKind::StorageFull);
            self.fail(&full);
            return Err(LogError::Storage(full.to_string()));
        }
        written.and_then(|()| self.seal()).map_err(|error| {
            self.fail(&error);
            LogError::Storage(error.to_string())
        })
    }
}

fn sorted(written: &HashMap<GroupId, Written>) -> Vec<(GroupId, &Written)> {
    let mut groups: Vec<_> = written.iter().map(|(group, written)| (*group, written)).collect();
    groups.sort_unstable_by_key(|(group, _)| *group);
    groups
}
