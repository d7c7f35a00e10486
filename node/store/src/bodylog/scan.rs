//! Reading a file of the body log from its beginning, at start-up.

use std::io;

use posthouse_cluster::env::File;

use super::{
    BodyLogError,
    record::{ALIGN, HEADER, Header, MAGIC},
};

/// Bytes read at once.
const CHUNK: usize = 1 << 20;

/// What a file holds.
pub(super) struct Scan {
    /// Records with their offsets, in order.
    pub records: Vec<(u64, Header)>,
    /// Where the next record goes.
    pub end: u64,
}

/// Reads the headers of a file. Of the last file a torn tail is left out (and has to be cut by the
/// caller); everything else that is not a record is damage.
pub(super) fn scan(file: &dyn File, name: &str, last: bool) -> Result<Scan, BodyLogError> {
    let length = file.len()?;
    let (mut records, mut end) = headers(file, length)?;
    if end < length && !last {
        return Err(damaged(name, end));
    }
    let mut synced = records.iter().map(|(_, header)| header.synced).max().unwrap_or(0);
    if end < length {
        synced = synced.max(latest_mark(file, end, length)?);
        if end < synced {
            return Err(damaged(name, end));
        }
    }
    if last {
        // what was never marked as synced may be torn inside
        let from = records.partition_point(|(at, header)| at + header.record() <= synced);
        for index in from..records.len() {
            let Some((at, header)) = records.get(index).copied() else { break };
            if !is_whole(file, at, &header)? {
                if at < synced {
                    return Err(damaged(name, at));
                }
                end = at;
                records.truncate(index);
                break;
            }
        }
    }
    Ok(Scan { records, end })
}

fn damaged(name: &str, at: u64) -> BodyLogError {
    BodyLogError::Damaged(format!("{name} at {at}: not a record, but what follows had been synced"))
}

/// The chain of records from the beginning, and where it ends.
fn headers(file: &dyn File, length: u64) -> io::Result<(Vec<(u64, Header)>, u64)> {
    let mut records = Vec::new();
    let mut at = 0;
    while at < length {
        let mut bytes = [0; HEADER];
        if file.read_at(&mut bytes, at)? < HEADER {
            break;
        }
        let Some(header) = Header::decode(&bytes) else { break };
        let next = at + header.record();
        if next > length {
            break;
        }
        records.push((at, header));
        at = next;
    }
    Ok((records, at))
}

/// The highest synced mark of any sound header behind `from`.
fn latest_mark(file: &dyn File, from: u64, length: u64) -> io::Result<u64> {
    let mut latest = 0;
    let mut at = from.next_multiple_of(ALIGN);
    let mut buffer = vec![0; CHUNK + HEADER];
    while at < length {
        let read = file.read_at(&mut buffer, at)?;
        let bytes = buffer.get(..read).unwrap_or_default();
        for offset in (0..read.min(CHUNK)).step_by(ALIGN as usize) {
            let rest = bytes.get(offset..).unwrap_or_default();
            if rest.starts_with(&MAGIC)
                && let Some(header) = Header::decode(rest)
            {
                // a mark beyond its own record would be no mark of ours
                latest = latest.max(header.synced.min(at + offset as u64));
            }
        }
        at += CHUNK as u64;
    }
    Ok(latest)
}

/// Whether the body has the checksum that its header names.
fn is_whole(file: &dyn File, at: u64, header: &Header) -> io::Result<bool> {
    let mut crc = crc32fast::Hasher::new();
    let mut buffer = vec![0; CHUNK.min(header.length as usize)];
    let mut done = 0;
    while done < header.length as usize {
        let want = buffer.len().min(header.length as usize - done);
        let Some(part) = buffer.get_mut(..want) else { break };
        if file.read_at(part, at + (HEADER + done) as u64)? < want {
            return Ok(false);
        }
        crc.update(part);
        done += want;
    }
    Ok(crc.finalize() == header.crc)
}
