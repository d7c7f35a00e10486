//! One record of a segment, and its bytes.
//!
//! All numbers little-endian: crc32 of what follows (4), payload length (4), number of the segment
//! (8), kind (1), flags (1), zero (6), group (8), index (8), payload, zeros up to a multiple of 8.
//! The segment's number stands in each record so that what an earlier use of the file left behind is
//! never taken for a record of this one.

use bytes::Bytes;

use crate::GroupId;

/// Bytes before the payload.
pub(super) const HEADER: usize = 40;
/// Records start at multiples of this.
pub(super) const ALIGN: usize = 8;
/// Flag: everything before this record was on disk before this record was written. A bad record
/// before one with this flag is damage, not a torn tail.
const SYNCED_BEFORE: u8 = 1;

/// What a record means. The number is the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// Entry `index`; whatever was at or behind that index is void.
    Entry = 1,
    /// The vote is the payload.
    Vote = 2,
    /// Entries from `index` on are void.
    Truncate = 3,
    /// Entries before `index` are purged; the payload names the last one.
    Purge = 4,
    /// The commit position is the payload; empty for none.
    Committed = 5,
    /// At the head of a segment: a group's state, so that older segments are not needed for it.
    /// `index` is the next entry's.
    State = 6,
    /// End of a segment; another follows.
    Seal = 7,
}

impl Kind {
    pub(super) fn from_u8(byte: u8) -> Option<Self> {
        [
            Self::Entry,
            Self::Vote,
            Self::Truncate,
            Self::Purge,
            Self::Committed,
            Self::State,
            Self::Seal,
        ]
        .into_iter()
        .find(|kind| *kind as u8 == byte)
    }
}

/// A record without its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub kind: Kind,
    pub group: GroupId,
    pub index: u64,
    pub payload: Bytes,
}

/// Bytes that a record with this payload takes.
pub(super) fn size(payload: usize) -> usize {
    (HEADER + payload).next_multiple_of(ALIGN)
}

/// Appends the record's bytes to `out`, whose length must be a multiple of [`ALIGN`].
pub(super) fn encode(record: &Record, segment: u64, synced_before: bool, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&(record.payload.len() as u32).to_le_bytes());
    out.extend_from_slice(&segment.to_le_bytes());
    out.extend_from_slice(&[record.kind as u8, u8::from(synced_before) * SYNCED_BEFORE]);
    out.extend_from_slice(&[0; 6]);
    out.extend_from_slice(&record.group.0.to_le_bytes());
    out.extend_from_slice(&record.index.to_le_bytes());
    out.extend_from_slice(&record.payload);
    let crc = out.get(start + 4..).map(crc32fast::hash).unwrap_or_default();
    if let Some(field) = out.get_mut(start..start + 4) {
        field.copy_from_slice(&crc.to_le_bytes());
    }
    out.resize(out.len().next_multiple_of(ALIGN), 0);
}

/// What stands at the start of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Decoded {
    /// A record, with its size in bytes and whether all before it was synced.
    Record(Record, usize, bool),
    /// Perhaps a record: this many bytes are needed to tell.
    NeedMore(usize),
    /// No record of this segment.
    Nothing,
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

/// Reads the record of segment number `segment` at the start of `bytes`. `limit` is how many bytes
/// there can be at most, up to the end of the file.
pub(super) fn decode(bytes: &[u8], segment: u64, limit: usize) -> Decoded {
    if limit < HEADER {
        return Decoded::Nothing;
    }
    if bytes.len() < HEADER {
        return Decoded::NeedMore(HEADER);
    }
    // cheap comparison first: the search behind a bad record tries every aligned position
    if u64_at(bytes, 8) != Some(segment) {
        return Decoded::Nothing;
    }
    let len = u32_at(bytes, 4).unwrap_or(u32::MAX) as usize;
    let whole = size(len);
    if whole > limit {
        return Decoded::Nothing;
    }
    let Some(body) = bytes.get(4..HEADER + len) else { return Decoded::NeedMore(whole) };
    if bytes.len() < whole {
        return Decoded::NeedMore(whole);
    }
    if u32_at(bytes, 0) != Some(crc32fast::hash(body)) {
        return Decoded::Nothing;
    }
    let (Some(kind), Some(flags)) = (bytes.get(16).copied().and_then(Kind::from_u8), bytes.get(17))
    else {
        return Decoded::Nothing;
    };
    let record = Record {
        kind,
        group: GroupId(u64_at(bytes, 24).unwrap_or_default()),
        index: u64_at(bytes, 32).unwrap_or_default(),
        payload: Bytes::copy_from_slice(bytes.get(HEADER..HEADER + len).unwrap_or_default()),
    };
    Decoded::Record(record, whole, flags & SYNCED_BEFORE != 0)
}
