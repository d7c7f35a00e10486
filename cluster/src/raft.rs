//! openraft behind our own types. Nothing outside this module and [`crate::Group`] names it.

use std::{fmt, sync::Arc};

use bytes::Bytes;

use crate::{NodeId, OpenError};
use timing::Timing;

pub(crate) mod codec;
pub(crate) mod fuzz;
pub(crate) mod machine;
pub(crate) mod network;
pub(crate) mod runtime;
pub(crate) mod serve;
pub(crate) mod snapshot;
pub(crate) mod storage;
#[cfg(test)]
mod suite;
pub(crate) mod timing;
pub(crate) mod wire;

/// Proposals that wait for the consensus layer's loop.
const API_QUEUE: u64 = 8192;

/// Entries of one question to a follower at most; bytes are bounded by the log's reader.
const PAYLOAD: u64 = 1024;

/// A command on its way through the log.
#[derive(Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Proposal(pub Bytes);

impl fmt::Debug for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // never the bytes: they may hold secrets
        write!(f, "{} bytes", self.0.len())
    }
}

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

openraft::declare_raft_types!(
    /// What openraft is instantiated with.
    pub(crate) Types:
        D = Proposal,
        R = Bytes,
        NodeId = u64,
        Node = openraft::impls::BasicNode,
        AsyncRuntime = runtime::Runtime,
);

pub(crate) type LogId = openraft::alias::LogIdOf<Types>;
pub(crate) type Entry = openraft::alias::EntryOf<Types>;
pub(crate) type Vote = openraft::alias::VoteOf<Types>;
pub(crate) type Membership = openraft::alias::StoredMembershipOf<Types>;
pub(crate) type SnapshotMeta = openraft::alias::SnapshotMetaOf<Types>;
pub(crate) type Raft = openraft::Raft<Types, machine::RaftMachine>;

/// openraft's settings for a group.
pub(crate) fn config(name: &str, timing: &Timing) -> Result<Arc<openraft::Config>, OpenError> {
    let config = openraft::Config {
        cluster_name: name.to_owned(),
        heartbeat_interval: timing.heartbeat.as_millis() as u64,
        heartbeat_min_interval: Some(timing.heartbeat.as_millis() as u64 / 2),
        election_timeout_min: timing.election.0.as_millis() as u64,
        election_timeout_max: timing.election.1.as_millis() as u64,
        // a leader without a majority goes quiet and asks again in turns of this length
        quorum_loss_probe_interval: Some(timing.election.1.as_millis() as u64 * 5 / 2),
        enable_pre_vote: Some(true),
        // the state machine is not synced in `apply`: a restarted leader must be elected again
        enable_leader_restore: Some(false),
        // our own policy decides (crate::checkpoint)
        snapshot_policy: openraft::SnapshotPolicy::Never,
        // our own policy purges, too
        max_in_snapshot_log_to_keep: u64::MAX,
        max_payload_entries: PAYLOAD,
        purge_batch_size: 1,
        api_channel_size: Some(API_QUEUE),
        install_snapshot_timeout: 60_000,
        ..Default::default()
    };
    config.validate().map(Arc::new).map_err(|error| OpenError::Group(error.to_string()))
}

/// Starts the consensus layer of a group on what its log and its machine have.
pub(crate) async fn start(
    node: NodeId,
    name: &str,
    timing: &Timing,
    peers: network::Peers,
    log: storage::RaftLog,
    machine: machine::RaftMachine,
) -> Result<Raft, OpenError> {
    let started = Raft::new(node.0, config(name, timing)?, peers, log, machine).await;
    started.map_err(|fatal| OpenError::Group(fatal.to_string()))
}
