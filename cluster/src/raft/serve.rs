//! Questions of other members, answered.

use std::{sync::atomic::Ordering, time::Duration};

use bytes::Bytes;
use openraft::{async_runtime::WatchReceiver, raft::VoteRequest};

use super::{
    Raft, Types, Vote,
    wire::{self, Question},
};
use crate::{
    Group, NodeId,
    env::BoxFuture,
    network::Handler,
    node::WeakNode,
    sim::plant::{self, Plant},
};

/// Answers for all groups of a node.
pub(crate) struct RaftService(pub WeakNode);

impl Handler for RaftService {
    fn handle(&self, from: NodeId, question: Bytes) -> BoxFuture<Result<Bytes, String>> {
        let node = self.0.clone();
        Box::pin(async move {
            let (id, question) = Question::decode(question)?;
            answer(&node.group(id)?, from, question).await
        })
    }
}

async fn answer(group: &Group, from: NodeId, question: Question) -> Result<Bytes, String> {
    let raft = group.inner.raft();
    let failed = |error: &dyn std::fmt::Display| format!("the group cannot answer: {error}");
    match question {
        Question::Append(mut request) => {
            own(from, &request.vote)?;
            if plant::is(Plant::NoTermCheck) {
                let known = raft.server_metrics().borrow_watched().vote;
                if known > request.vote {
                    request.vote = known;
                }
            }
            let answer = raft.append_entries(request).await.map_err(|error| failed(&error))?;
            if !matches!(answer, openraft::raft::AppendEntriesResponse::HigherVote(_)) {
                let now = group.inner.env.clock.monotonic().max(Duration::from_millis(1));
                group.inner.heard.store(now.as_millis() as u64, Ordering::Relaxed);
            }
            Ok(wire::encode_appended(&answer))
        }
        Question::Vote(request) => {
            own(from, &request.vote)?;
            candidate(group, &raft, from, &request)?;
            let answer = raft.vote(request).await.map_err(|error| failed(&error))?;
            Ok(wire::encode_voted(&answer))
        }
        Question::PreVote(request) => {
            own(from, &request.vote)?;
            candidate(group, &raft, from, &request)?;
            let answer = raft.pre_vote(request).await.map_err(|error| failed(&error))?;
            Ok(wire::encode_voted(&answer))
        }
        Question::Transfer(request) => {
            own(from, request.from_leader())?;
            let answer = raft.handle_transfer_leader(request).await;
            match answer.map_err(|error| failed(&error))? {
                Ok(()) => Ok(Bytes::new()),
                Err(error) => Err(failed(&error)),
            }
        }
    }
}

/// Nobody speaks for another.
fn own(from: NodeId, vote: &Vote) -> Result<(), String> {
    match vote.leader_id.node_id == from.0 {
        true => Ok(()),
        false => Err(format!("{from} speaks for node {}", vote.leader_id.node_id)),
    }
}

/// Who is no voter by our book may stand only with a log that is newer than ours: then it may know of
/// voters that we do not. A removed node with an old disk must not raise the term.
fn candidate(
    group: &Group,
    raft: &Raft,
    from: NodeId,
    request: &VoteRequest<Types>,
) -> Result<(), String> {
    let members = raft.server_metrics().borrow_watched().membership_config.clone();
    let last = raft.data_metrics().borrow_watched().last_log;
    let known = members.voter_ids().any(|voter| voter == from.0);
    if !known && last.is_some() && request.last_log_id <= last {
        return Err(format!("{from} is no voter of the group"));
    }
    // the promise of the process before this one, to vote for nobody else, is not on disk
    let (inner, now) = (&group.inner, group.inner.env.clock.monotonic());
    let (lease, started) = (inner.timing.read().lease(), *inner.started.read());
    if !request.leadership_transfer && now.saturating_sub(started) < lease {
        return Err("the group has just started here and does not vote yet".into());
    }
    Ok(())
}
