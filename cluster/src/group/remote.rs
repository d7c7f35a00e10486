//! Proposals and reads for a group that another node leads.
//!
//! A question is: version (1), kind (1), group (8), and the command of a proposal. An answer is: kind
//! (1), then what belongs to it. All numbers little-endian.

use std::{pin::pin, time::Duration};

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::future::{Either, select};

use super::{Group, GroupId, ProposeError};
use crate::{
    NodeId,
    env::BoxFuture,
    network::{Handler, LinkError, Service},
    node::WeakNode,
};

/// Version of questions and answers.
const VERSION: u8 = 1;
const SUBMIT: u8 = 1;
const READ_INDEX: u8 = 2;
const HEADER: usize = 10;

const DONE: u8 = 0;
const NOT_LEADER: u8 = 1;
const UNAVAILABLE: u8 = 2;
const STORAGE: u8 = 3;
const TOO_LARGE: u8 = 4;
const STOPPING: u8 = 5;

/// For how long it is tried to find a leader that answers.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long one question may take. Longer than a proposal may take there.
const ASK: Duration = Duration::from_secs(12);
/// Pause before the next try, when nothing better is known.
const PAUSE: Duration = Duration::from_millis(20);

fn question(kind: u8, group: GroupId, command: &Bytes) -> Bytes {
    let mut bytes = BytesMut::with_capacity(HEADER + command.len());
    bytes.put_u8(VERSION);
    bytes.put_u8(kind);
    bytes.put_u64_le(group.0);
    bytes.put_slice(command);
    bytes.freeze()
}

/// Kind, group, command.
fn read_question(bytes: &Bytes) -> Result<(u8, GroupId, Bytes), String> {
    let (Some([version, kind]), Some(group)) =
        (bytes.first_chunk::<2>(), bytes.get(2..HEADER).and_then(|b| <[u8; 8]>::try_from(b).ok()))
    else {
        return Err("the question is cut short".into());
    };
    if *version != VERSION {
        return Err(format!("version {version} of the question is not known here"));
    }
    Ok((*kind, GroupId(u64::from_le_bytes(group)), bytes.slice(HEADER..)))
}

fn answer(outcome: Result<(u64, Bytes), ProposeError>) -> Bytes {
    let mut bytes = BytesMut::new();
    match outcome {
        Ok((index, data)) => {
            bytes.reserve(9 + data.len());
            bytes.put_u8(DONE);
            bytes.put_u64_le(index);
            bytes.put_slice(&data);
        }
        Err(ProposeError::NotLeader { leader }) => {
            bytes.put_u8(NOT_LEADER);
            if let Some(leader) = leader {
                bytes.put_u64_le(leader.0);
            }
        }
        Err(ProposeError::Unavailable) => bytes.put_u8(UNAVAILABLE),
        Err(ProposeError::Storage(reason)) => {
            bytes.put_u8(STORAGE);
            bytes.put_slice(reason.as_bytes());
        }
        Err(ProposeError::TooLarge(size)) => {
            bytes.put_u8(TOO_LARGE);
            bytes.put_u64_le(size as u64);
        }
        Err(ProposeError::Stopping) => bytes.put_u8(STOPPING),
    }
    bytes.freeze()
}

/// The opposite of [`answer`]; anything else is no answer.
fn read_answer(bytes: &Bytes) -> Result<(u64, Bytes), ProposeError> {
    let number = bytes.get(1..9).and_then(|b| <[u8; 8]>::try_from(b).ok()).map(u64::from_le_bytes);
    match (bytes.first(), number) {
        (Some(&DONE), Some(index)) => Ok((index, bytes.slice(9..))),
        (Some(&NOT_LEADER), leader) => Err(ProposeError::NotLeader { leader: leader.map(NodeId) }),
        (Some(&STORAGE), _) => {
            let reason = bytes.get(1..).unwrap_or_default();
            Err(ProposeError::Storage(String::from_utf8_lossy(reason).into_owned()))
        }
        (Some(&TOO_LARGE), Some(size)) => Err(ProposeError::TooLarge(size as usize)),
        // another node's end is not ours: somebody else will lead
        _ => Err(ProposeError::Unavailable),
    }
}

/// Answers questions of other nodes.
pub(crate) struct GroupService(pub WeakNode);

impl Handler for GroupService {
    fn handle(&self, _: NodeId, question: Bytes) -> BoxFuture<Result<Bytes, String>> {
        let node = self.0.clone();
        Box::pin(async move {
            let (kind, id, command) = read_question(&question)?;
            drop(question);
            let group = node.group(id)?;
            match kind {
                SUBMIT => Ok(answer(group.propose_at(command).await)),
                READ_INDEX => {
                    let index = match group.leased() {
                        Some(index) => Ok(index),
                        None => group.read_index().await,
                    };
                    Ok(answer(index.map(|index| (index, Bytes::new()))))
                }
                kind => Err(format!("questions of kind {kind} are not known here")),
            }
        })
    }
}

/// See [`Group::submit`].
pub(super) async fn submit(group: &Group, command: Bytes) -> Result<Bytes, ProposeError> {
    if command.len() > Group::MAX_COMMAND {
        return Err(ProposeError::TooLarge(command.len()));
    }
    let (index, answer) = by_leader(group, SUBMIT, command).await?;
    group.applied_here(index).await?;
    Ok(answer)
}

/// The index up to which must be applied what a read that begins now sees.
pub(super) async fn read_index(group: &Group) -> Result<u64, ProposeError> {
    by_leader(group, READ_INDEX, Bytes::new()).await.map(|(index, _)| index)
}

/// Asks whoever leads until there is an answer that counts.
async fn by_leader(group: &Group, kind: u8, command: Bytes) -> Result<(u64, Bytes), ProposeError> {
    let clock = &group.inner.env.clock;
    let end = clock.monotonic() + PATIENCE;
    let mut hint = None;
    loop {
        let asked = hint.take().or_else(|| group.leader()).filter(|node| *node != group.inner.node);
        let outcome = match asked {
            Some(leader) => ask(group, leader, kind, &command).await,
            None if kind == SUBMIT => group.propose_at(command.clone()).await,
            None => group.read_index().await.map(|index| (index, Bytes::new())),
        };
        let error = match outcome {
            Ok(answer) => return Ok(answer),
            Err(error @ (ProposeError::TooLarge(_) | ProposeError::Stopping)) => return Err(error),
            // the disk of this node; another one's leads to another leader
            Err(error @ ProposeError::Storage(_)) if asked.is_none() => return Err(error),
            Err(error) => error,
        };
        if clock.monotonic() >= end {
            return Err(error);
        }
        if let ProposeError::NotLeader { leader: Some(leader) } = error
            && Some(leader) != asked
        {
            hint = Some(leader);
        }
        if group.inner.waiting.is_closed() {
            return Err(ProposeError::Stopping);
        }
        // a new leader may be known at any moment
        let mut state = group.watch();
        state.mark_unchanged();
        select(pin!(state.changed()), clock.sleep(PAUSE)).await;
    }
}

async fn ask(
    group: &Group,
    leader: NodeId,
    kind: u8,
    command: &Bytes,
) -> Result<(u64, Bytes), ProposeError> {
    let question = question(kind, group.inner.spec.id, command);
    let asked = group.inner.network.ask(leader, Service::GROUP, question, ASK);
    let answer = match select(asked, pin!(succeeded(group))).await {
        Either::Left((answer, _)) => answer,
        // the one that was asked leads no more: its answer may never come
        Either::Right(((), _)) => return Err(ProposeError::Unavailable),
    };
    match answer {
        Ok(answer) => read_answer(&answer),
        // certainly not seen, or the group does not run there
        Err(LinkError::Unreachable(..) | LinkError::Refused(..)) => {
            Err(ProposeError::NotLeader { leader: None })
        }
        Err(LinkError::Lost(..)) => Err(ProposeError::Unavailable),
    }
}

/// Returns when another leader than the present one is known.
async fn succeeded(group: &Group) {
    let mut state = group.watch();
    let before = state.borrow().term;
    if state.wait_for(|now| now.term > before && now.leader.is_some()).await.is_err() {
        std::future::pending::<()>().await;
    }
}
