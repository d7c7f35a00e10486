//! How a group reaches its peers.

use std::{future::Future, pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::{Either, select};
use openraft::{
    RaftNetworkFactory, RaftNetworkV2,
    errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable},
    network::RPCOption,
    raft::{
        AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
        TransferLeaderResponse, VoteRequest, VoteResponse,
    },
};

use super::{
    Types, Vote,
    machine::SnapshotData,
    snapshot::Copies,
    wire::{self, Question},
};
use crate::{
    GroupId, NodeId,
    network::{LinkError, Network, Service},
};

/// How long a member may take to write entries. Asking again makes a slow disk slower; that a
/// connection is broken is known before.
const WRITTEN: Duration = Duration::from_secs(2);

/// The peers of one group.
#[derive(Clone)]
pub(crate) struct Peers {
    pub network: Arc<dyn Network>,
    pub group: GroupId,
    pub copies: Copies,
}

/// One peer.
pub(crate) struct Peer {
    peers: Peers,
    to: NodeId,
}

impl RaftNetworkFactory<Types> for Peers {
    type Network = Peer;

    async fn new_client(&mut self, target: u64, _: &openraft::BasicNode) -> Peer {
        Peer { peers: self.clone(), to: NodeId(target) }
    }
}

fn no_answer(error: LinkError) -> RPCError<Types> {
    match error {
        // asked again after a pause
        LinkError::Unreachable(..) | LinkError::Refused(..) => {
            RPCError::Unreachable(Unreachable::from_string(error))
        }
        // asked again at once
        LinkError::Lost(..) => RPCError::Network(NetworkError::from_string(error)),
    }
}

fn unreadable(reason: impl ToString) -> RPCError<Types> {
    RPCError::Unreachable(Unreachable::from_string(reason))
}

impl Peer {
    async fn ask(&self, question: &Question, patience: Duration) -> Result<Bytes, RPCError<Types>> {
        let Peers { network, group, .. } = &self.peers;
        let bytes = question.encode(*group).map_err(unreadable)?;
        network.ask(self.to, Service::RAFT, bytes, patience).await.map_err(no_answer)
    }
}

impl RaftNetworkV2<Types> for Peer {
    type SnapshotData = SnapshotData;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, RPCError<Types>> {
        let patience = match request.entries.is_empty() {
            true => option.hard_ttl(),
            false => WRITTEN.max(option.hard_ttl()),
        };
        let answer = self.ask(&Question::Append(request), patience).await?;
        wire::decode_appended(answer).map_err(unreadable)
    }

    async fn vote(
        &mut self,
        request: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        let answer = self.ask(&Question::Vote(request), option.hard_ttl()).await?;
        wire::decode_voted(answer).map_err(unreadable)
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        let answer = self.ask(&Question::PreVote(request), option.hard_ttl()).await?;
        wire::decode_voted(answer).map_err(unreadable)
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<Types>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<Types>, RPCError<Types>> {
        self.ask(&Question::Transfer(request), option.hard_ttl()).await?;
        Ok(Ok(()))
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        // what is sent is at least as new: the log goes on from it, too
        _: openraft::alias::SnapshotOf<Types, SnapshotData>,
        cancel: impl Future<Output = ReplicationClosed> + openraft::OptionalSend + 'static,
        _: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        let sent = self.peers.copies.send(self.peers.network.as_ref(), self.to, vote);
        match select(pin!(sent), pin!(cancel)).await {
            Either::Left((outcome, _)) => outcome,
            Either::Right((closed, _)) => Err(StreamingError::Closed(closed)),
        }
    }
}
