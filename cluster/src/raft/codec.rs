//! openraft's types as bytes in our log.
//!
//! An entry is: term (8), leader (8), kind (1), then nothing, the command, or the membership. The
//! command is not serialized once more: a mail of 8 MiB is copied as seldom as possible.

use std::io;

use bytes::Bytes;
use openraft::{
    EntryPayload,
    entry::RaftEntry,
    vote::{RaftLeaderId, leader_id_adv::LeaderId},
};
use serde::{Serialize, de::DeserializeOwned};

use super::{Entry, LogId, Membership, Proposal};
use crate::Applied;

const HEADER: usize = 17;
const BLANK: u8 = 0;
const NORMAL: u8 = 1;
const MEMBERSHIP: u8 = 2;

fn unreadable(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{what} in the log cannot be read"))
}

/// Any of openraft's small values.
pub(crate) fn to_bytes<T: Serialize>(value: &T) -> io::Result<Bytes> {
    postcard::to_allocvec(value).map(Bytes::from).map_err(io::Error::other)
}

/// The opposite of [`to_bytes`].
pub(crate) fn from_bytes<T: DeserializeOwned>(bytes: &[u8]) -> io::Result<T> {
    postcard::from_bytes(bytes).map_err(|_| unreadable("a position"))
}

/// An entry without its index, which the log keeps.
pub(crate) fn encode_entry(entry: &Entry) -> io::Result<Bytes> {
    let (leader, _) = entry.log_id_parts();
    let membership;
    let (kind, payload): (u8, &[u8]) = match &entry.payload {
        EntryPayload::Blank => (BLANK, &[]),
        EntryPayload::Normal(proposal) => (NORMAL, &proposal.0),
        EntryPayload::Membership(value) => {
            membership = to_bytes(value)?;
            (MEMBERSHIP, &membership)
        }
    };
    let mut bytes = Vec::with_capacity(HEADER + payload.len());
    bytes.extend_from_slice(&leader.term.to_le_bytes());
    bytes.extend_from_slice(&leader.node_id.to_le_bytes());
    bytes.push(kind);
    bytes.extend_from_slice(payload);
    Ok(bytes.into())
}

/// The entry with this index.
pub(crate) fn decode_entry(index: u64, bytes: &Bytes) -> io::Result<Entry> {
    let number = |at: usize| -> Option<u64> {
        Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
    };
    let (Some(term), Some(node), Some(kind)) = (number(0), number(8), bytes.get(16)) else {
        return Err(unreadable("an entry"));
    };
    let log_id = LogId::new(LeaderId::new(term, node).to_committed(), index);
    let payload = bytes.slice(HEADER..);
    let payload = match *kind {
        BLANK => EntryPayload::Blank,
        NORMAL => EntryPayload::Normal(Proposal(payload)),
        MEMBERSHIP => EntryPayload::Membership(from_bytes(&payload)?),
        _ => return Err(unreadable("an entry of unknown kind")),
    };
    Ok(Entry { log_id, payload })
}

/// The position that a state machine stores with its effects.
pub(crate) fn applied(log_id: &LogId, membership: &Membership) -> io::Result<Applied> {
    Ok(Applied { index: log_id.index, opaque: to_bytes(&(log_id, membership))?.to_vec() })
}

/// The opposite of [`applied`].
pub(crate) fn position(applied: Option<&Applied>) -> io::Result<(Option<LogId>, Membership)> {
    let Some(applied) = applied else { return Ok((None, Membership::default())) };
    let (log_id, membership): (LogId, Membership) = from_bytes(&applied.opaque)?;
    if log_id.index != applied.index {
        return Err(unreadable("the state machine's position"));
    }
    Ok((Some(log_id), membership))
}
