//! Reading a log back: cuts the torn tail of the last segment, refuses damage before it.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    sync::Arc,
};

use bytes::Bytes;

use super::{
    GroupState,
    memory::{GroupLog, Location},
    record::{ALIGN, Decoded, HEADER, Kind, Record, decode},
    segment::{Segments, segment_name},
};
use crate::{GroupId, OpenError, env::File};

/// What was read.
#[derive(Default)]
pub(super) struct Recovered {
    pub groups: HashMap<GroupId, GroupLog>,
    /// Per group: state, and last index in each segment that holds entries of it.
    pub written: HashMap<GroupId, Written>,
    /// Number of the next segment.
    pub next_segment: u64,
}

/// A group as the segments have it.
#[derive(Clone, Debug, Default)]
pub(super) struct Written {
    pub state: GroupState,
    /// Segment and last index in it, ascending.
    pub runs: Vec<(u64, u64)>,
}

impl Written {
    /// A log may begin at any index, as after the installation of a snapshot.
    fn begin_at(&mut self, index: u64) {
        let state = &mut self.state;
        if state.next == state.first && state.purged.is_none() && index > state.first {
            (state.first, state.next) = (index, index);
        }
    }

    /// Notes that entry `index` stands in `segment`.
    pub(super) fn entry(&mut self, index: u64, segment: u64) {
        self.begin_at(index);
        self.truncate(index);
        self.state.next = index + 1;
        match self.runs.last_mut() {
            Some((last, end)) if *last == segment => *end = index,
            _ => self.runs.push((segment, index)),
        }
    }

    pub(super) fn truncate(&mut self, next: u64) {
        while let Some((_, end)) = self.runs.last_mut() {
            if *end < next {
                break;
            }
            // the run may have begun before `next`; keeping it a little too long does no harm
            if next > self.state.first {
                *end = next - 1;
                let end = *end;
                let before = self.runs.len().checked_sub(2).and_then(|i| self.runs.get(i));
                if before.is_some_and(|(_, earlier)| *earlier >= end) {
                    self.runs.pop();
                    continue;
                }
                break;
            }
            self.runs.pop();
        }
        self.state.next = next;
    }

    pub(super) fn purge(&mut self, first: u64, id: Bytes) {
        self.runs.retain(|(_, end)| *end >= first);
        self.state.first = first;
        self.state.next = self.state.next.max(first);
        self.state.purged = Some(id);
    }

    /// The oldest segment that is needed for the group's entries.
    pub(super) fn pin(&self) -> Option<u64> {
        self.runs.first().map(|(segment, _)| *segment)
    }
}

/// A group's state at the head of a segment. Byte strings are opaque here.
#[derive(serde::Serialize, serde::Deserialize)]
struct Head {
    first: u64,
    vote: Option<Bytes>,
    committed: Option<Bytes>,
    purged: Option<Bytes>,
}

/// The record that repeats `state` at the head of a segment.
pub(super) fn head(group: GroupId, state: &GroupState) -> Record {
    let head = Head {
        first: state.first,
        vote: state.vote.clone(),
        committed: state.committed.clone(),
        purged: state.purged.clone(),
    };
    let payload = postcard::to_allocvec(&head).unwrap_or_default().into();
    Record { kind: Kind::State, group, index: state.next, payload }
}

fn damaged(segment: u64, offset: u64, what: &str) -> OpenError {
    OpenError::Damaged(format!("{} at offset {offset}: {what}", segment_name(segment)))
}

fn storage(error: io::Error) -> OpenError {
    OpenError::Storage(error.to_string())
}

/// Reads all segments and leaves the last one cut to what is valid, and on disk.
pub(super) fn recover(segments: &Segments, numbers: &[u64]) -> Result<Recovered, OpenError> {
    let mut replay = Replay::default();
    for (position, &number) in numbers.iter().enumerate() {
        let expected = numbers.first().map_or(number, |first| first + position as u64);
        if number != expected {
            return Err(OpenError::Damaged(format!("{} is missing", segment_name(expected))));
        }
        let file = segments.open_segment(number).map_err(storage)?;
        let last = position + 1 == numbers.len();
        let tail = replay.segment(&file, number, last)?;
        if let Some(tail) = tail {
            file.set_len(tail).map_err(storage)?;
            // what was read may be only in the page cache yet
            file.sync_data().map_err(storage)?;
        }
    }
    replay.finish(numbers.last().map_or(1, |last| last + 1))
}

#[derive(Default)]
struct Replay {
    groups: HashMap<GroupId, Written>,
    entries: HashMap<GroupId, BTreeMap<u64, Location>>,
}

impl Replay {
    /// Reads one segment. Returns where to cut it if it is the last one and was not sealed.
    fn segment(
        &mut self,
        file: &Arc<dyn File>,
        number: u64,
        last: bool,
    ) -> Result<Option<u64>, OpenError> {
        let mut reader = Reader::new(file.clone(), number).map_err(storage)?;
        loop {
            let at = reader.at;
            match reader.next().map_err(storage)? {
                Some((record, _)) if record.kind == Kind::Seal => {
                    if last {
                        file.sync_data().map_err(storage)?;
                    }
                    return Ok(None);
                }
                Some((record, _)) => self.record(record, number, at)?,
                None if !last && at == reader.len => return Ok(None),
                None if !last => return Err(damaged(number, at, "bad record in a closed segment")),
                None => {
                    if let Some(later) = reader.synced_record_after(at).map_err(storage)? {
                        let what = format!("bad record before the synced one at {later}");
                        return Err(damaged(number, at, &what));
                    }
                    return Ok(Some(at));
                }
            }
        }
    }

    fn record(&mut self, record: Record, segment: u64, offset: u64) -> Result<(), OpenError> {
        let Record { kind, group, index, payload } = record;
        if index == u64::MAX {
            return Err(damaged(segment, offset, "impossible index"));
        }
        let written = self.groups.entry(group).or_default();
        let (first, next) = (written.state.first, written.state.next);
        let entries = self.entries.entry(group).or_default();
        match kind {
            Kind::Entry => {
                written.begin_at(index);
                if index > written.state.next || index < written.state.first {
                    return Err(damaged(segment, offset, "entry does not follow the one before"));
                }
                entries.split_off(&index);
                entries.insert(index, Location { segment, offset, payload: payload.len() });
                written.entry(index, segment);
            }
            Kind::Truncate if index < first || index > next => {
                return Err(damaged(segment, offset, "cut where no entry is"));
            }
            Kind::Truncate => {
                entries.split_off(&index);
                written.truncate(index);
            }
            Kind::Purge if index < first => {
                return Err(damaged(segment, offset, "purge behind an earlier one"));
            }
            Kind::Purge => {
                *entries = entries.split_off(&index);
                written.purge(index, payload);
            }
            Kind::Vote => written.state.vote = Some(payload),
            Kind::Committed => {
                written.state.committed = Some(payload).filter(|payload| !payload.is_empty());
            }
            Kind::State => {
                let head: Head = postcard::from_bytes(&payload)
                    .map_err(|_| damaged(segment, offset, "unreadable state of a group"))?;
                if head.first > index {
                    return Err(damaged(segment, offset, "impossible state of a group"));
                }
                entries.split_off(&index);
                *entries = entries.split_off(&head.first);
                written.runs.retain(|(_, end)| *end >= head.first && head.first < index);
                let (first, next) = (head.first, index);
                let (vote, committed, purged) = (head.vote, head.committed, head.purged);
                written.state = GroupState { first, next, vote, committed, purged };
            }
            Kind::Seal => {}
        }
        Ok(())
    }

    fn finish(mut self, next_segment: u64) -> Result<Recovered, OpenError> {
        let mut groups = HashMap::new();
        for (id, written) in &self.groups {
            let entries = self.entries.remove(id).unwrap_or_default();
            let state = &written.state;
            let mut locations = Vec::with_capacity(entries.len());
            for index in state.first..state.next {
                let Some(at) = entries.get(&index) else {
                    let what = format!("entry {index} of group {} is missing", id.0);
                    return Err(OpenError::Damaged(what));
                };
                locations.push(*at);
            }
            groups.insert(*id, GroupLog::recovered(state.clone(), locations));
        }
        Ok(Recovered { groups, written: self.groups, next_segment })
    }
}

/// Reads records one after the other through a buffer.
pub(super) struct Reader {
    file: Arc<dyn File>,
    segment: u64,
    len: u64,
    at: u64,
    buffer: Vec<u8>,
    buffer_at: u64,
}

/// Bytes that are read at once.
const BLOCK: usize = 256 << 10;

/// Whether there is nothing but zeros: by comparing memory, which is fast in debug builds too.
fn is_zero(bytes: &[u8]) -> bool {
    const ZEROS: [u8; 4096] = [0; 4096];
    bytes.chunks(ZEROS.len()).all(|chunk| ZEROS.get(..chunk.len()) == Some(chunk))
}

impl Reader {
    pub(super) fn new(file: Arc<dyn File>, segment: u64) -> io::Result<Self> {
        let len = file.len()?;
        Ok(Self { file, segment, len, at: 0, buffer: Vec::new(), buffer_at: 0 })
    }

    /// The record at the current place, and steps behind it; `None` if there is none.
    pub(super) fn next(&mut self) -> io::Result<Option<(Record, bool)>> {
        let mut need = HEADER;
        loop {
            let limit = usize::try_from(self.len - self.at).unwrap_or(usize::MAX);
            self.fill(self.at, need.min(limit))?;
            let from = (self.at - self.buffer_at) as usize;
            match decode(self.buffer.get(from..).unwrap_or_default(), self.segment, limit) {
                Decoded::Record(record, size, synced) => {
                    self.at += size as u64;
                    return Ok(Some((record, synced)));
                }
                Decoded::NeedMore(more) if more > need => need = more,
                Decoded::NeedMore(_) | Decoded::Nothing => return Ok(None),
            }
        }
    }

    /// Makes sure that `need` bytes from `at` are in the buffer, as far as the file goes.
    fn fill(&mut self, at: u64, need: usize) -> io::Result<()> {
        let end = self.buffer_at + self.buffer.len() as u64;
        if at >= self.buffer_at && at + need as u64 <= end {
            return Ok(());
        }
        self.buffer.resize(need.max(BLOCK), 0);
        self.buffer_at = at;
        let read = self.file.read_at(&mut self.buffer, at)?;
        self.buffer.truncate(read);
        Ok(())
    }

    /// Where behind `bad` a valid record stands that says that all before it was synced.
    fn synced_record_after(&mut self, bad: u64) -> io::Result<Option<u64>> {
        let mut at = bad + ALIGN as u64;
        while at + HEADER as u64 <= self.len {
            self.fill(at, HEADER)?;
            let from = (at - self.buffer_at) as usize;
            if from == 0 && self.buffer.len() >= BLOCK && is_zero(&self.buffer) {
                at += (BLOCK - HEADER) as u64 / ALIGN as u64 * ALIGN as u64;
                continue;
            }
            // most of what is behind a tail is zeros or old: skip without decoding
            let number = self.buffer.get(from + 8..from + 16);
            if number == Some(&self.segment.to_le_bytes()[..]) {
                self.at = at;
                if let Some((_, true)) = self.next()? {
                    return Ok(Some(at));
                }
            }
            at += ALIGN as u64;
        }
        Ok(None)
    }
}
