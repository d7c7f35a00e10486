//! The segmented log as its users see it.

use std::{
    collections::HashMap,
    io,
    path::Path,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::{
    Done, GroupState, LogEngine, LogError, LogOptions,
    memory::{Found, GroupLog, Location},
    record::{Decoded, Kind, Record, decode, size},
    recover::{head, recover},
    segment::{Files, Segments, segment_name},
    writer::{Op, Writer},
};
use crate::{Environment, GroupId, OpenError};

/// Category of the log's own messages.
pub(super) const TARGET: &str = "operation";

/// What callers and the writer share.
pub(super) struct Shared {
    groups: Mutex<HashMap<GroupId, GroupLog>>,
    /// Commit positions that wait for the next write.
    committed: Mutex<HashMap<GroupId, Bytes>>,
    files: Files,
    cache: usize,
    pub failed: OnceLock<String>,
    full: AtomicBool,
    pub syncs: AtomicU64,
    pinning: Mutex<Vec<GroupId>>,
    lock: Mutex<Option<Box<dyn Send + Sync>>>,
}

impl Shared {
    pub(super) fn fail(&self, reason: &str) {
        let _ = self.failed.set(reason.to_owned());
    }

    pub(super) fn set_full(&self, full: bool) {
        if self.full.swap(full, Ordering::SeqCst) != full {
            if full {
                tracing::warn!(target: "warning", "disk full: the log takes no new proposals");
            } else {
                tracing::info!(target: TARGET, "the log has space again");
            }
        }
        metrics::gauge!("posthouse_log_full").set(f64::from(u8::from(full)));
    }

    pub(super) fn take_committed(&self) -> Vec<(GroupId, Bytes)> {
        let mut positions: Vec<_> = self.committed.lock().drain().collect();
        positions.sort_unstable_by_key(|(group, _)| *group);
        positions
    }

    pub(super) fn has_committed(&self) -> bool {
        !self.committed.lock().is_empty()
    }

    pub(super) fn set_pinning(&self, groups: Vec<GroupId>) {
        *self.pinning.lock() = groups;
    }

    pub(super) fn written(&self, entries: &[(GroupId, u64, u64, Location)]) {
        let mut groups = self.groups.lock();
        for (group, index, stamp, at) in entries {
            if let Some(log) = groups.get_mut(group) {
                log.written(*index, *stamp, *at, self.cache);
            }
        }
        metrics::counter!("posthouse_log_entries_total").increment(entries.len() as u64);
        metrics::counter!("posthouse_log_syncs_total").increment(1);
    }

    pub(super) fn release_lock(&self) {
        self.lock.lock().take();
    }
}

/// Own segmented log. See `docs/decisions/0001-own-segmented-log.md`.
pub(crate) struct SegmentedLog {
    shared: Arc<Shared>,
    queue: UnboundedSender<Op>,
    options: LogOptions,
    stamps: AtomicU64,
}

impl SegmentedLog {
    /// Opens the log in `folder`, creating it if need be, and starts its writer. Blocks.
    pub(crate) fn open(
        env: &Environment,
        folder: &Path,
        options: LogOptions,
    ) -> Result<Self, OpenError> {
        let storage = |error: io::Error| OpenError::Storage(error.to_string());
        env.disk.create_dir_all(folder).map_err(storage)?;
        let lock = env.disk.lock(folder).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => OpenError::InUse(folder.to_owned()),
            _ => storage(error),
        })?;
        let (mut segments, numbers) =
            Segments::open(env, folder, options.segment, options.min_free)?;
        let recovered = recover(&segments, &numbers)?;
        let current = segments.start_first(recovered.next_segment).map_err(storage)?;
        let room = segments.make_room().map_err(storage)?;
        let shared = Arc::new(Shared {
            groups: Mutex::new(recovered.groups),
            committed: Mutex::default(),
            files: segments.files.clone(),
            cache: options.cache,
            failed: OnceLock::new(),
            full: AtomicBool::new(false),
            syncs: AtomicU64::new(0),
            pinning: Mutex::default(),
            lock: Mutex::new(Some(lock)),
        });
        shared.set_full(!room);
        let (queue, ops) = unbounded_channel();
        let writer = Writer::new(shared.clone(), segments, current, recovered.written);
        env.spawner.worker("log-writer", Box::pin(writer.run(ops))).map_err(storage)?;
        Ok(Self { shared, queue, options, stamps: AtomicU64::new(1) })
    }

    /// Syncs so far.
    #[cfg(test)]
    pub(crate) fn syncs(&self) -> u64 {
        self.shared.syncs.load(Ordering::Relaxed)
    }

    fn check(&self) -> Result<(), LogError> {
        match self.shared.failed.get() {
            Some(reason) => Err(LogError::Storage(reason.clone())),
            None => Ok(()),
        }
    }

    /// Changes a group in memory and queues the record, in the same order for all callers.
    fn write(
        &self,
        group: GroupId,
        done: Done,
        change: impl FnOnce(&mut GroupLog) -> Result<Vec<(Record, u64)>, LogError>,
    ) -> Result<(), LogError> {
        self.check()?;
        let mut groups = self.shared.groups.lock();
        let records = change(groups.entry(group).or_default())?;
        self.queue.send(Op::Write(records, done)).map_err(|_| LogError::Closed)
    }

    fn read_file(&self, group: GroupId, index: u64, at: Location) -> Result<Bytes, LogError> {
        let damaged = |what: &str| {
            let (name, offset) = (segment_name(at.segment), at.offset);
            LogError::Damaged(format!("{name} at offset {offset}: {what}"))
        };
        let file = self.shared.files.read().get(&at.segment).cloned();
        let file = file.ok_or_else(|| damaged("the segment is gone"))?;
        let mut bytes = vec![0; size(at.payload)];
        let read = file
            .read_at(&mut bytes, at.offset)
            .map_err(|error| LogError::Storage(error.to_string()))?;
        bytes.truncate(read);
        match decode(&bytes, at.segment, bytes.len()) {
            Decoded::Record(record, _, _)
                if record.kind == Kind::Entry && record.group == group && record.index == index =>
            {
                Ok(record.payload)
            }
            _ => Err(damaged("the record cannot be read back")),
        }
    }

    fn find(&self, group: GroupId, index: u64) -> Option<Found> {
        self.shared.groups.lock().get(&group)?.find(index)
    }
}

impl LogEngine for SegmentedLog {
    fn state(&self, group: GroupId) -> GroupState {
        self.shared.groups.lock().get(&group).map(GroupLog::state).unwrap_or_default()
    }

    fn append(
        &self,
        group: GroupId,
        entries: Vec<(u64, Bytes)>,
        done: Done,
    ) -> Result<(), LogError> {
        let largest = entries.iter().map(|(_, data)| size(data.len())).max().unwrap_or(0);
        if largest as u64 > self.options.segment / 2 {
            return Err(LogError::TooLarge(largest));
        }
        self.write(group, done, |log| {
            let mut records = Vec::with_capacity(entries.len());
            for (index, payload) in entries {
                let stamp = self.stamps.fetch_add(1, Ordering::Relaxed);
                log.append(index, payload.clone(), stamp)?;
                records.push((Record { kind: Kind::Entry, group, index, payload }, stamp));
            }
            Ok(records)
        })
    }

    fn save_vote(&self, group: GroupId, vote: Bytes, done: Done) -> Result<(), LogError> {
        self.write(group, done, |log| {
            log.vote = Some(vote.clone());
            Ok(vec![(Record { kind: Kind::Vote, group, index: 0, payload: vote }, 0)])
        })
    }

    fn save_committed(&self, group: GroupId, committed: Option<Bytes>) {
        let mut groups = self.shared.groups.lock();
        groups.entry(group).or_default().committed = committed.clone();
        self.shared.committed.lock().insert(group, committed.unwrap_or_default());
    }

    fn truncate(&self, group: GroupId, next: u64, done: Done) -> Result<(), LogError> {
        self.write(group, done, |log| {
            log.truncate(next);
            // the end that there is now, should `next` be before the first or behind the last entry
            let (index, payload) = (log.next(), Bytes::new());
            Ok(vec![(Record { kind: Kind::Truncate, group, index, payload }, 0)])
        })
    }

    fn purge(&self, group: GroupId, first: u64, id: Bytes, done: Done) -> Result<(), LogError> {
        self.write(group, done, |log| {
            if first < log.first() {
                return Ok(Vec::new());
            }
            log.purge(first);
            log.purged = Some(id.clone());
            Ok(vec![(Record { kind: Kind::Purge, group, index: first, payload: id }, 0)])
        })
    }

    fn forget(&self, group: GroupId, done: Done) -> Result<(), LogError> {
        self.write(group, done, |log| {
            *log = GroupLog::default();
            self.shared.committed.lock().remove(&group);
            Ok(vec![(head(group, &GroupState::default()), 0)])
        })
    }

    fn read(
        &self,
        group: GroupId,
        from: u64,
        to: u64,
        max_bytes: usize,
    ) -> Result<Vec<Bytes>, LogError> {
        let (mut found, mut bytes) = (Vec::new(), 0);
        for index in from..to {
            let entry = match self.find(group, index) {
                None => break,
                Some(Found::Here(data)) => data,
                Some(Found::At(at)) => match self.read_file(group, index, at) {
                    Ok(data) => data,
                    // purged between the look-up and the read: not there, as for a later caller
                    Err(_) if self.find(group, index).is_none() => break,
                    Err(error) => return Err(error),
                },
            };
            bytes += entry.len();
            if bytes > max_bytes && !found.is_empty() {
                break;
            }
            found.push(entry);
        }
        Ok(found)
    }

    fn read_cached(&self, group: GroupId, from: u64, to: u64, max: usize) -> Option<Vec<Bytes>> {
        let groups = self.shared.groups.lock();
        let (mut found, mut bytes) = (Vec::new(), 0);
        for index in from..to {
            match groups.get(&group).and_then(|log| log.find(index)) {
                None => break,
                Some(Found::At(_)) => return None,
                Some(Found::Here(data)) => {
                    bytes += data.len();
                    if bytes > max && !found.is_empty() {
                        break;
                    }
                    found.push(data);
                }
            }
        }
        Some(found)
    }

    fn failed(&self) -> Option<String> {
        self.shared.failed.get().cloned()
    }

    fn is_full(&self) -> bool {
        self.shared.full.load(Ordering::SeqCst)
    }

    fn check_space(&self) {
        let _ = self.queue.send(Op::Retry);
    }

    fn pinning(&self) -> Vec<GroupId> {
        self.shared.pinning.lock().clone()
    }

    fn in_flight_limit(&self) -> usize {
        (self.options.segment / 4) as usize
    }

    fn close(&self, done: Done) {
        if let Err(unsent) = self.queue.send(Op::Close(done))
            && let Op::Close(done) = unsent.0
        {
            done(Err(LogError::Closed));
        }
    }
}
