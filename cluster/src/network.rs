//! How nodes reach each other: handed in like clock and disk, so that a cluster can be simulated.
//!
//! Everything between nodes is a question with one answer. What is large (a snapshot, a body) is asked
//! for or offered in parts of at most [`MAX_MESSAGE`] bytes. The real network is the links between nodes; the
//! sender's number that a [`Handler`] gets is proven by its certificate there.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use crate::{NodeId, env::BoxFuture};

/// Largest question or answer in bytes.
pub const MAX_MESSAGE: usize = 16 << 20;

/// Traffic that shares connections. Each has its own, so that a large body never delays a heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Votes, heartbeats, entries.
    Raft,
    /// Proposals, store requests, change events, states of nodes.
    Request,
    /// Snapshots and bodies.
    Bulk,
}

/// Whom a question is for on the other node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Service(pub u8);

impl Service {
    /// Consensus: append, vote, pre-vote, transfer of leadership.
    pub const RAFT: Self = Self(0);
    /// Proposals and reads for a group that the other node leads.
    pub const GROUP: Self = Self(1);
    /// Parts of a snapshot.
    pub const SNAPSHOT: Self = Self(2);
    /// A call of a store (`posthouse-store`).
    pub const STORE: Self = Self(16);
    /// Change events of a store.
    pub const STORE_EVENTS: Self = Self(17);
    /// Parts of bodies.
    pub const BODIES: Self = Self(18);
    /// State of a node, for the administrator.
    pub const NODE: Self = Self(32);

    /// Which connections it uses.
    pub fn class(self) -> Class {
        match self {
            Self::RAFT => Class::Raft,
            Self::SNAPSHOT | Self::BODIES => Class::Bulk,
            _ => Class::Request,
        }
    }
}

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// The other node has certainly not seen the question: ask it again, or another one.
    #[error("{0} cannot be reached: {1}")]
    Unreachable(NodeId, String),
    /// No answer in time, or the connection broke: the question may have taken effect.
    #[error("no answer from {0}: {1}")]
    Lost(NodeId, String),
    /// The other node answered that it cannot: the text says why.
    #[error("{0} refused: {1}")]
    Refused(NodeId, String),
}

/// Answers questions of other nodes. An error text goes to the asking node as [`LinkError::Refused`].
pub trait Handler: Send + Sync + 'static {
    /// Answers one question of node `from`.
    fn handle(&self, from: NodeId, question: Bytes) -> BoxFuture<Result<Bytes, String>>;
}

/// How a peer is reached at the moment.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct PeerState {
    /// Which node.
    pub node: NodeId,
    /// Whether it answers.
    pub reachable: bool,
    /// Round trip, median of the last measurements.
    pub round_trip: Option<Duration>,
    /// Since when it has not answered (or has answered again), by the monotonic clock.
    pub since: Duration,
    /// Its wall clock minus ours in milliseconds.
    pub clock_difference: Option<i64>,
    /// Why it is not reachable, for the administrator.
    pub problem: Option<String>,
}

/// What a network notices about a peer at once, before anybody asked it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hint {
    /// It answers (again).
    Up,
    /// Its host refuses connections that its program took before: the program died or was stopped.
    Died,
    /// Nothing was heard from it for the settled time.
    Silent,
}

/// Gets hints. Must not block.
pub type Watcher = Arc<dyn Fn(NodeId, Hint) + Send + Sync>;

/// A connection to other nodes.
pub trait Network: Send + Sync + 'static {
    /// Asks node `to` and waits at most `patience` for the answer.
    fn ask(
        &self,
        to: NodeId,
        service: Service,
        question: Bytes,
        patience: Duration,
    ) -> BoxFuture<Result<Bytes, LinkError>>;

    /// Answers questions for `service` from now on. The last handler counts.
    fn serve(&self, service: Service, handler: Arc<dyn Handler>);

    /// All peers that this node knows, itself left out.
    fn peers(&self) -> Vec<PeerState>;

    /// Tells `watcher` at once what is noticed about peers. A network that notices nothing never calls it.
    fn watch(&self, watcher: Watcher) {
        let _ = watcher;
    }
}

/// No other nodes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alone;

impl Network for Alone {
    fn ask(
        &self,
        to: NodeId,
        _: Service,
        _: Bytes,
        _: Duration,
    ) -> BoxFuture<Result<Bytes, LinkError>> {
        Box::pin(async move { Err(LinkError::Unreachable(to, "there is no link".into())) })
    }

    fn serve(&self, _: Service, _: Arc<dyn Handler>) {}

    fn peers(&self) -> Vec<PeerState> {
        Vec::new()
    }
}
