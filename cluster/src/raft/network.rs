//! How a group reaches its peers.

use std::future::Future;

use bytes::Bytes;
use openraft::{
    RaftNetworkFactory, RaftNetworkV2,
    errors::{RPCError, ReplicationClosed, StreamingError, Unreachable},
    network::RPCOption,
    raft::{
        AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse,
    },
};
use serde::{Serialize, de::DeserializeOwned};

use super::{Types, Vote, codec, machine::SnapshotData};
use crate::{GroupId, NodeId, env::BoxFuture};

/// Which question the bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    /// Entries or a heartbeat.
    Append,
    /// A vote.
    Vote,
    /// Whether a vote would be granted.
    PreVote,
}

/// Carries questions to other nodes. The links between nodes implement it; a cluster of one has
/// [`Alone`].
pub(crate) trait Transport: Send + Sync + 'static {
    /// Asks node `to`; the error says why there is no answer.
    fn ask(
        &self,
        to: NodeId,
        group: GroupId,
        question: Question,
        body: Bytes,
    ) -> BoxFuture<Result<Bytes, String>>;
}

/// No other nodes.
pub(crate) struct Alone;

impl Transport for Alone {
    fn ask(
        &self,
        to: NodeId,
        _: GroupId,
        _: Question,
        _: Bytes,
    ) -> BoxFuture<Result<Bytes, String>> {
        Box::pin(async move { Err(format!("no link to node {}", to.0)) })
    }
}

/// The peers of one group.
#[derive(Clone)]
pub(crate) struct Network {
    pub transport: std::sync::Arc<dyn Transport>,
    pub group: GroupId,
}

/// One peer.
pub(crate) struct Peer {
    network: Network,
    to: NodeId,
}

impl RaftNetworkFactory<Types> for Network {
    type Network = Peer;

    async fn new_client(&mut self, target: u64, _: &openraft::BasicNode) -> Peer {
        Peer { network: self.clone(), to: NodeId(target) }
    }
}

fn unreachable(reason: impl ToString) -> RPCError<Types> {
    RPCError::Unreachable(Unreachable::from_string(reason))
}

impl Peer {
    async fn ask<Q: Serialize, A: DeserializeOwned>(
        &self,
        question: Question,
        body: &Q,
    ) -> Result<A, RPCError<Types>> {
        let body = codec::to_bytes(body).map_err(unreachable)?;
        let Network { transport, group } = &self.network;
        let answer = transport.ask(self.to, *group, question, body).await.map_err(unreachable)?;
        codec::from_bytes(&answer).map_err(unreachable)
    }
}

impl RaftNetworkV2<Types> for Peer {
    type SnapshotData = SnapshotData;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Types>,
        _: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, RPCError<Types>> {
        self.ask(Question::Append, &request).await
    }

    async fn vote(
        &mut self,
        request: VoteRequest<Types>,
        _: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        self.ask(Question::Vote, &request).await
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<Types>,
        _: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        self.ask(Question::PreVote, &request).await
    }

    async fn full_snapshot(
        &mut self,
        _: Vote,
        _: openraft::alias::SnapshotOf<Types, SnapshotData>,
        _: impl Future<Output = ReplicationClosed> + openraft::OptionalSend + 'static,
        _: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        let reason = format!("no link to node {}", self.to.0);
        Err(StreamingError::Unreachable(Unreachable::from_string(reason)))
    }
}
