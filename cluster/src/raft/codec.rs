//! openraft's types as bytes in our log and state machines.
//!
//! What is stored has its own shape here, so that a newer openraft reads what an older one wrote. An
//! entry is: term (8), leader (8), kind (1), then nothing, the command, or the membership. The command
//! is not serialized once more: a mail of 8 MiB is copied as seldom as possible.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

use bytes::{BufMut, Bytes};
use openraft::{BasicNode, EntryPayload, entry::RaftEntry, vote::leader_id_adv::LeaderId};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{Entry, LogId, Membership, Proposal, Vote};
use crate::Applied;

const HEADER: usize = 17;
const BLANK: u8 = 0;
const NORMAL: u8 = 1;
const MEMBERSHIP: u8 = 2;

/// The voters and learners of a group.
type Members = openraft::Membership<u64, BasicNode>;

/// Term, leader, index.
type StoredLogId = (u64, u64, u64);

#[derive(Serialize, Deserialize)]
struct StoredVote {
    term: u64,
    node: u64,
    committed: bool,
}

/// Voters (two sets while they change), and the address of everybody.
#[derive(Default, Serialize, Deserialize)]
struct StoredMembers {
    voters: Vec<BTreeSet<u64>>,
    nodes: BTreeMap<u64, String>,
}

#[derive(Serialize, Deserialize)]
struct StoredPosition {
    log_id: StoredLogId,
    members_at: Option<StoredLogId>,
    members: StoredMembers,
}

fn unreadable(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{what} in the log cannot be read"))
}

/// Any small value.
pub(crate) fn to_bytes<T: Serialize>(value: &T) -> io::Result<Bytes> {
    postcard::to_allocvec(value).map(Bytes::from).map_err(io::Error::other)
}

/// The opposite of [`to_bytes`].
pub(crate) fn from_bytes<T: DeserializeOwned>(bytes: &[u8]) -> io::Result<T> {
    postcard::from_bytes(bytes).map_err(|_| unreadable("a value"))
}

fn store_log_id(log_id: &LogId) -> StoredLogId {
    (log_id.leader_id.term, log_id.leader_id.node_id, log_id.index)
}

fn load_log_id((term, node_id, index): StoredLogId) -> LogId {
    LogId::new(LeaderId { term, node_id }, index)
}

fn store_members(members: &Members) -> StoredMembers {
    StoredMembers {
        voters: members.get_joint_config().clone(),
        nodes: members.nodes().map(|(id, node)| (*id, node.addr.clone())).collect(),
    }
}

fn load_members(stored: StoredMembers) -> io::Result<Members> {
    if stored.voters.is_empty() && stored.nodes.is_empty() {
        return Ok(Members::default());
    }
    let nodes: BTreeMap<_, _> =
        stored.nodes.into_iter().map(|(id, address)| (id, BasicNode::new(address))).collect();
    Members::new(stored.voters, nodes).map_err(|_| unreadable("a membership"))
}

/// A position in the log.
pub(crate) fn encode_log_id(log_id: &LogId) -> io::Result<Bytes> {
    to_bytes(&store_log_id(log_id))
}

/// The opposite of [`encode_log_id`].
pub(crate) fn decode_log_id(bytes: &[u8]) -> io::Result<LogId> {
    from_bytes(bytes).map(load_log_id)
}

/// A vote.
pub(crate) fn encode_vote(vote: &Vote) -> io::Result<Bytes> {
    let (term, node) = (vote.leader_id.term, vote.leader_id.node_id);
    to_bytes(&StoredVote { term, node, committed: vote.committed })
}

/// The opposite of [`encode_vote`].
pub(crate) fn decode_vote(bytes: &[u8]) -> io::Result<Vote> {
    let StoredVote { term, node, committed } = from_bytes(bytes)?;
    Ok(Vote { leader_id: LeaderId { term, node_id: node }, committed })
}

/// Bytes of [`encode_entry`], exact for commands.
pub(crate) fn entry_size(entry: &Entry) -> usize {
    match &entry.payload {
        EntryPayload::Normal(proposal) => HEADER + proposal.0.len(),
        EntryPayload::Blank | EntryPayload::Membership(_) => HEADER,
    }
}

/// Appends an entry without its index, which the log keeps.
pub(crate) fn put_entry(entry: &Entry, out: &mut impl BufMut) -> io::Result<()> {
    let (leader, _) = entry.log_id_parts();
    let members;
    let (kind, payload): (u8, &[u8]) = match &entry.payload {
        EntryPayload::Blank => (BLANK, &[]),
        EntryPayload::Normal(proposal) => (NORMAL, &proposal.0),
        EntryPayload::Membership(value) => {
            members = to_bytes(&store_members(value))?;
            (MEMBERSHIP, &members)
        }
    };
    out.put_u64_le(leader.term);
    out.put_u64_le(leader.node_id);
    out.put_u8(kind);
    out.put_slice(payload);
    Ok(())
}

/// An entry without its index.
pub(crate) fn encode_entry(entry: &Entry) -> io::Result<Bytes> {
    let mut bytes = Vec::with_capacity(entry_size(entry));
    put_entry(entry, &mut bytes)?;
    Ok(bytes.into())
}

/// The entry with this index.
pub(crate) fn decode_entry(index: u64, bytes: &Bytes) -> io::Result<Entry> {
    let number = |at: usize| -> Option<u64> {
        Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
    };
    let (Some(term), Some(node_id), Some(kind)) = (number(0), number(8), bytes.get(16)) else {
        return Err(unreadable("an entry"));
    };
    let log_id = load_log_id((term, node_id, index));
    let payload = bytes.slice(HEADER..);
    let payload = match *kind {
        BLANK => EntryPayload::Blank,
        NORMAL => EntryPayload::Normal(Proposal(payload)),
        MEMBERSHIP => EntryPayload::Membership(load_members(from_bytes(&payload)?)?),
        _ => return Err(unreadable("an entry of unknown kind")),
    };
    Ok(Entry { log_id, payload })
}

/// The position that a state machine stores with its effects.
pub(crate) fn applied(log_id: &LogId, membership: &Membership) -> io::Result<Applied> {
    let stored = StoredPosition {
        log_id: store_log_id(log_id),
        members_at: membership.log_id().as_ref().map(store_log_id),
        members: store_members(membership.membership()),
    };
    Ok(Applied { index: log_id.index, opaque: to_bytes(&stored)?.to_vec() })
}

/// The opposite of [`applied`].
pub(crate) fn position(applied: Option<&Applied>) -> io::Result<(Option<LogId>, Membership)> {
    let Some(applied) = applied else { return Ok((None, Membership::default())) };
    let stored: StoredPosition = from_bytes(&applied.opaque)?;
    let log_id = load_log_id(stored.log_id);
    if log_id.index != applied.index {
        return Err(unreadable("the state machine's position"));
    }
    let members = load_members(stored.members)?;
    Ok((Some(log_id), Membership::new(stored.members_at.map(load_log_id), members)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members() -> Members {
        let nodes = BTreeMap::from([(1, BasicNode::new("a:1")), (2, BasicNode::new("b:2"))]);
        Members::new(vec![BTreeSet::from([1]), BTreeSet::from([1, 2])], nodes).unwrap()
    }

    #[test]
    fn what_is_stored_keeps_its_bytes() {
        let log_id = load_log_id((3, 1, 300));
        let vote = Vote { leader_id: LeaderId { term: 3, node_id: 1 }, committed: true };
        let position = applied(&log_id, &Membership::new(Some(log_id), members())).unwrap();
        assert_eq!(encode_log_id(&log_id).unwrap()[..], [3, 1, 172, 2]);
        assert_eq!(encode_vote(&vote).unwrap()[..], [3, 1, 1]);
        let expected = [
            &[3, 1, 172, 2, 1, 3, 1, 172, 2][..],
            &[2, 1, 1, 2, 1, 2, 2, 1, 3, 97, 58, 49, 2, 3, 98, 58, 50],
        ];
        assert_eq!(position.opaque, expected.concat());
    }

    #[test]
    fn everything_is_read_back() {
        let log_id = load_log_id((3, 1, 300));
        assert_eq!(decode_log_id(&encode_log_id(&log_id).unwrap()).unwrap(), log_id);
        let payloads = [
            EntryPayload::Blank,
            EntryPayload::Normal(Proposal(Bytes::from_static(b"command"))),
            EntryPayload::Membership(members()),
        ];
        for payload in payloads {
            let entry = Entry { log_id, payload };
            let bytes = encode_entry(&entry).unwrap();
            assert!(decode_entry(300, &bytes).unwrap() == entry);
            for len in 0..bytes.len().min(HEADER) {
                assert!(decode_entry(300, &bytes.slice(..len)).is_err());
            }
        }
        let membership = Membership::new(Some(log_id), members());
        let mut stored = applied(&log_id, &membership).unwrap();
        assert_eq!(position(Some(&stored)).unwrap(), (Some(log_id), membership));
        stored.index += 1;
        assert!(position(Some(&stored)).is_err());
    }
}
