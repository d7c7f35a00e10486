//! Questions of the consensus layer and their answers as bytes.
//!
//! A question is: version (1), kind (1), group (8), then its fields. Numbers are little-endian. Entries
//! are not serialized once more: the payload of each is copied once when it is sent and not at all when
//! it is received.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use openraft::{
    entry::RaftEntry,
    raft::{
        AppendEntriesRequest, AppendEntriesResponse, TransferLeaderRequest, VoteRequest,
        VoteResponse,
    },
    vote::leader_id_adv::LeaderId,
};

use super::{Entry, LogId, Types, Vote, codec};
use crate::{GroupId, network::MAX_MESSAGE};

/// Version of questions and answers.
const VERSION: u8 = 1;
/// Entries of one question at most.
const MAX_ENTRIES: u32 = 1 << 16;

/// What one member asks another.
#[derive(Debug)]
pub(crate) enum Question {
    /// Entries or a heartbeat.
    Append(AppendEntriesRequest<Types>),
    /// A vote.
    Vote(VoteRequest<Types>),
    /// Whether a vote would be granted.
    PreVote(VoteRequest<Types>),
    /// To take the leadership over.
    Transfer(TransferLeaderRequest<Types>),
}

const APPEND: u8 = 1;
const VOTE: u8 = 2;
const PRE_VOTE: u8 = 3;
const TRANSFER: u8 = 4;

/// What is wrong with some bytes.
type Unreadable = &'static str;

const SHORT: Unreadable = "a question or answer between members is cut short";

fn put_vote(out: &mut BytesMut, vote: &Vote) {
    out.put_u64_le(vote.leader_id.term);
    out.put_u64_le(vote.leader_id.node_id);
    out.put_u8(u8::from(vote.committed));
}

fn put_log_id(out: &mut BytesMut, log_id: Option<&LogId>) {
    match log_id {
        None => out.put_u8(0),
        Some(log_id) => {
            out.put_u8(1);
            out.put_u64_le(log_id.leader_id.term);
            out.put_u64_le(log_id.leader_id.node_id);
            out.put_u64_le(log_id.index);
        }
    }
}

fn flag(bytes: &mut Bytes) -> Result<bool, Unreadable> {
    match bytes.try_get_u8() {
        Ok(0) => Ok(false),
        Ok(1) => Ok(true),
        Ok(_) => Err("a flag is neither set nor unset"),
        Err(_) => Err(SHORT),
    }
}

fn number(bytes: &mut Bytes) -> Result<u64, Unreadable> {
    bytes.try_get_u64_le().map_err(|_| SHORT)
}

fn vote(bytes: &mut Bytes) -> Result<Vote, Unreadable> {
    let leader_id = LeaderId { term: number(bytes)?, node_id: number(bytes)? };
    Ok(Vote { leader_id, committed: flag(bytes)? })
}

fn log_id(bytes: &mut Bytes) -> Result<Option<LogId>, Unreadable> {
    if !flag(bytes)? {
        return Ok(None);
    }
    let leader_id = LeaderId { term: number(bytes)?, node_id: number(bytes)? };
    let index = number(bytes)?;
    if index == u64::MAX {
        return Err("an impossible index");
    }
    Ok(Some(LogId::new(leader_id, index)))
}

impl Question {
    /// As bytes, for the members of `group`.
    pub(crate) fn encode(&self, group: GroupId) -> Result<Bytes, String> {
        let mut out = BytesMut::with_capacity(128);
        out.put_u8(VERSION);
        let (kind, request) = match self {
            Self::Append(request) => {
                out.put_u8(APPEND);
                out.put_u64_le(group.0);
                put_append(&mut out, request)?;
                return Ok(out.freeze());
            }
            Self::Transfer(request) => {
                out.put_u8(TRANSFER);
                out.put_u64_le(group.0);
                put_vote(&mut out, request.from_leader());
                out.put_u64_le(*request.to_node_id());
                put_log_id(&mut out, request.last_log_id());
                return Ok(out.freeze());
            }
            Self::Vote(request) => (VOTE, request),
            Self::PreVote(request) => (PRE_VOTE, request),
        };
        out.put_u8(kind);
        out.put_u64_le(group.0);
        put_vote(&mut out, &request.vote);
        put_log_id(&mut out, request.last_log_id.as_ref());
        out.put_u8(u8::from(request.leadership_transfer));
        Ok(out.freeze())
    }

    /// The opposite of [`Self::encode`].
    pub(crate) fn decode(mut bytes: Bytes) -> Result<(GroupId, Self), Unreadable> {
        let bytes = &mut bytes;
        if bytes.try_get_u8().map_err(|_| SHORT)? != VERSION {
            return Err("this version of questions between members is not known here");
        }
        let kind = bytes.try_get_u8().map_err(|_| SHORT)?;
        let group = GroupId(number(bytes)?);
        let question = match kind {
            APPEND => Self::Append(append(bytes)?),
            VOTE => Self::Vote(vote_request(bytes)?),
            PRE_VOTE => Self::PreVote(vote_request(bytes)?),
            TRANSFER => {
                let (from, to) = (vote(bytes)?, number(bytes)?);
                Self::Transfer(TransferLeaderRequest::new(from, to, log_id(bytes)?))
            }
            _ => return Err("this kind of question between members is not known here"),
        };
        if bytes.has_remaining() {
            return Err("a question between members is too long");
        }
        Ok((group, question))
    }
}

fn vote_request(bytes: &mut Bytes) -> Result<VoteRequest<Types>, Unreadable> {
    let mut request = VoteRequest::new(vote(bytes)?, log_id(bytes)?);
    request.leadership_transfer = flag(bytes)?;
    Ok(request)
}

/// Bytes of an entry on the wire before its content: length and index.
const ENTRY: usize = 12;

fn put_append(out: &mut BytesMut, request: &AppendEntriesRequest<Types>) -> Result<(), String> {
    put_vote(out, &request.vote);
    put_log_id(out, request.prev_log_id.as_ref());
    put_log_id(out, request.leader_commit.as_ref());
    let sizes = request.entries.iter().map(|entry| codec::entry_size(entry) + ENTRY);
    out.reserve(4 + sizes.sum::<usize>());
    out.put_u32_le(request.entries.len() as u32);
    for entry in &request.entries {
        let at = out.len();
        out.put_u32_le(0);
        out.put_u64_le(entry.index());
        codec::put_entry(entry, out).map_err(|error| error.to_string())?;
        let len = (out.len() - at - ENTRY) as u32;
        if let Some(field) = out.get_mut(at..at + 4) {
            field.copy_from_slice(&len.to_le_bytes());
        }
    }
    match out.len() > MAX_MESSAGE {
        true => Err(format!("entries of {} bytes are too many for one question", out.len())),
        false => Ok(()),
    }
}

fn append(bytes: &mut Bytes) -> Result<AppendEntriesRequest<Types>, Unreadable> {
    let (vote, prev_log_id, leader_commit) = (vote(bytes)?, log_id(bytes)?, log_id(bytes)?);
    let count = bytes.try_get_u32_le().map_err(|_| SHORT)?;
    if count > MAX_ENTRIES || count as usize * ENTRY > bytes.len() {
        return Err("impossibly many entries");
    }
    let mut entries = Vec::with_capacity(count as usize);
    let first = prev_log_id.map_or(0, |log_id| log_id.index + 1);
    for expected in (first..).take(count as usize) {
        let len = bytes.try_get_u32_le().map_err(|_| SHORT)? as usize;
        let index = number(bytes)?;
        if len > bytes.len() {
            return Err(SHORT);
        }
        if index != expected || index == u64::MAX {
            return Err("entries that do not follow each other");
        }
        entries.push(entry(index, &bytes.split_to(len))?);
    }
    Ok(AppendEntriesRequest { vote, prev_log_id, entries, leader_commit })
}

fn entry(index: u64, bytes: &Bytes) -> Result<Entry, Unreadable> {
    codec::decode_entry(index, bytes).map_err(|_| "an entry cannot be read")
}

const SUCCESS: u8 = 0;
const PARTIAL: u8 = 1;
const CONFLICT: u8 = 2;
const HIGHER_VOTE: u8 = 3;

/// Answer to [`Question::Append`].
pub(crate) fn encode_appended(answer: &AppendEntriesResponse<Types>) -> Bytes {
    let mut out = BytesMut::with_capacity(32);
    match answer {
        AppendEntriesResponse::Success => out.put_u8(SUCCESS),
        AppendEntriesResponse::PartialSuccess(upto) => {
            out.put_u8(PARTIAL);
            put_log_id(&mut out, upto.as_ref());
        }
        AppendEntriesResponse::Conflict => out.put_u8(CONFLICT),
        AppendEntriesResponse::HigherVote(vote) => {
            out.put_u8(HIGHER_VOTE);
            put_vote(&mut out, vote);
        }
    }
    out.freeze()
}

/// The opposite of [`encode_appended`].
pub(crate) fn decode_appended(
    mut bytes: Bytes,
) -> Result<AppendEntriesResponse<Types>, Unreadable> {
    let bytes = &mut bytes;
    match bytes.try_get_u8() {
        Ok(SUCCESS) => Ok(AppendEntriesResponse::Success),
        Ok(PARTIAL) => Ok(AppendEntriesResponse::PartialSuccess(log_id(bytes)?)),
        Ok(CONFLICT) => Ok(AppendEntriesResponse::Conflict),
        Ok(HIGHER_VOTE) => Ok(AppendEntriesResponse::HigherVote(vote(bytes)?)),
        Ok(_) => Err("this kind of answer between members is not known here"),
        Err(_) => Err(SHORT),
    }
}

/// Answer to [`Question::Vote`] and [`Question::PreVote`].
pub(crate) fn encode_voted(answer: &VoteResponse<Types>) -> Bytes {
    let mut out = BytesMut::with_capacity(64);
    put_vote(&mut out, &answer.vote);
    out.put_u8(u8::from(answer.vote_granted));
    put_log_id(&mut out, answer.last_log_id.as_ref());
    out.freeze()
}

/// The opposite of [`encode_voted`].
pub(crate) fn decode_voted(mut bytes: Bytes) -> Result<VoteResponse<Types>, Unreadable> {
    let bytes = &mut bytes;
    let (vote, granted) = (vote(bytes)?, flag(bytes)?);
    Ok(VoteResponse::new(vote, log_id(bytes)?, granted))
}

#[cfg(test)]
mod tests {
    use openraft::EntryPayload;
    use rand::{Rng, SeedableRng, rngs::StdRng};

    use super::*;
    use crate::raft::Proposal;

    fn questions() -> Vec<Question> {
        let leader_id = LeaderId { term: 3, node_id: 1 };
        let vote = Vote { leader_id, committed: true };
        let at = |index| LogId::new(leader_id, index);
        let entries = (5..9)
            .map(|index| {
                let payload = match index {
                    5 => EntryPayload::Blank,
                    _ => EntryPayload::Normal(Proposal(vec![index as u8; index as usize].into())),
                };
                Entry { log_id: at(index), payload }
            })
            .collect();
        let (prev_log_id, leader_commit) = (Some(at(4)), Some(at(3)));
        let transferred = VoteRequest { leadership_transfer: true, ..VoteRequest::new(vote, None) };
        vec![
            Question::Append(AppendEntriesRequest { vote, prev_log_id, entries, leader_commit }),
            Question::Append(AppendEntriesRequest {
                vote,
                prev_log_id: None,
                entries: Vec::new(),
                leader_commit: None,
            }),
            Question::Vote(VoteRequest::new(vote, Some(at(7)))),
            Question::PreVote(transferred),
            Question::Transfer(TransferLeaderRequest::new(vote, 2, Some(at(8)))),
        ]
    }

    #[test]
    fn questions_are_read_back_and_nothing_shorter_is() {
        for question in questions() {
            let bytes = question.encode(GroupId(9)).unwrap();
            let (group, again) = Question::decode(bytes.clone()).unwrap();
            assert_eq!(group, GroupId(9));
            assert_eq!(again.encode(GroupId(9)).unwrap(), bytes, "{question:?}");
            for len in 0..bytes.len() {
                assert!(Question::decode(bytes.slice(..len)).is_err(), "{question:?} of {len}");
            }
        }
    }

    #[test]
    fn damaged_questions_are_refused_or_mean_what_they_say() {
        let mut random = StdRng::seed_from_u64(5);
        let seeds: Vec<_> = questions().iter().map(|q| q.encode(GroupId(9)).unwrap()).collect();
        let mut read = 0;
        for round in 0..20_000 {
            let mut bytes = seeds[round % seeds.len()].to_vec();
            for _ in 0..random.random_range(1..4) {
                let at = random.random_range(0..bytes.len());
                match random.random_range(0..3) {
                    0 => bytes[at] = random.random(),
                    1 => bytes.insert(at, random.random()),
                    _ => bytes.truncate(at.max(1)),
                }
            }
            let bytes = Bytes::from(bytes);
            let _ = decode_appended(bytes.clone());
            let _ = decode_voted(bytes.clone());
            if let Ok((group, question)) = Question::decode(bytes.clone()) {
                read += 1;
                assert!(question.encode(group).is_ok(), "{question:?}");
            }
        }
        assert!(read > 500, "{read}");
    }

    #[test]
    fn answers_are_read_back() {
        let vote = Vote { leader_id: LeaderId { term: 3, node_id: 1 }, committed: false };
        let at = Some(LogId::new(LeaderId { term: 2, node_id: 1 }, 4));
        for answer in [
            AppendEntriesResponse::Success,
            AppendEntriesResponse::PartialSuccess(at),
            AppendEntriesResponse::Conflict,
            AppendEntriesResponse::HigherVote(vote),
        ] {
            assert_eq!(decode_appended(encode_appended(&answer)).unwrap(), answer);
        }
        for granted in [true, false] {
            let answer = VoteResponse::new(vote, at, granted);
            assert_eq!(decode_voted(encode_voted(&answer)).unwrap(), answer);
        }
    }
}
