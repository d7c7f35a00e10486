//! Nodes, stores, invitations and moves: what the cluster is meant to look like.

use posthouse_cluster::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{AccountId, Actor, StoreId};

/// Whether a node takes part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum NodeState {
    /// It does.
    #[default]
    Active,
    /// It does, but gets no new stores and mailboxes, and gives away those that it has.
    Draining,
    /// It never will again. It stays listed, and its number is never used again.
    Removed,
}

/// A node of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeInfo {
    /// Its number.
    pub id: u64,
    /// Its host name.
    pub host: String,
    /// Its site.
    pub site: String,
    /// Where its node port is reached: `host:port`.
    pub links: Vec<String>,
    /// SHA-256 of its public key (SubjectPublicKeyInfo); empty while unknown.
    pub key: Vec<u8>,
    /// Whether it takes part.
    pub state: NodeState,
    /// Version of its program, for people.
    pub version: String,
    /// Highest level that its program knows; 0 while unknown.
    pub level: u32,
    /// When it joined.
    pub joined: Timestamp,
    /// When it was removed.
    pub removed: Option<Timestamp>,
}

impl NodeInfo {
    /// Whether it is a member: active or draining.
    pub fn is_member(&self) -> bool {
        self.state != NodeState::Removed
    }
}

/// A store of the cluster, as it should be. Its group follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreInfo {
    /// Its number; the number of its group.
    pub id: StoreId,
    /// Node that should lead it.
    pub home: u64,
    /// Nodes that should have a replica. One without members was lost or is gone.
    pub replicas: Vec<u64>,
    /// Replicas wanted, 1 to 5.
    pub wanted: u8,
    /// Gets no new mailboxes, and goes away once it is empty.
    pub retired: bool,
}

impl StoreInfo {
    /// Replicas that a store gets unless the settings say otherwise.
    pub const WANTED: u8 = 3;
    /// Most replicas of a store.
    pub const MAX_WANTED: u8 = 5;

    /// Whether it takes new mailboxes: it is in use and was not lost.
    pub fn takes(&self) -> bool {
        !self.retired && !self.replicas.is_empty()
    }
}

impl Default for StoreInfo {
    fn default() -> Self {
        Self { id: StoreId(0), home: 0, replicas: Vec::new(), wanted: Self::WANTED, retired: false }
    }
}

/// A node as level 1 wrote it; only read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeInfoV1 {
    /// Its number.
    pub id: u64,
    /// Its host name.
    pub host: String,
    /// Its site.
    pub site: String,
}

impl From<NodeInfoV1> for NodeInfo {
    fn from(old: NodeInfoV1) -> Self {
        Self { id: old.id, host: old.host, site: old.site, level: 1, ..Self::default() }
    }
}

/// A store as level 1 wrote it; only read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreInfoV1 {
    /// Its number.
    pub id: StoreId,
    /// Node that should lead it.
    pub home: u64,
    /// Nodes that have a replica.
    pub replicas: Vec<u64>,
}

impl From<StoreInfoV1> for StoreInfo {
    fn from(old: StoreInfoV1) -> Self {
        Self { id: old.id, home: old.home, replicas: old.replicas, ..Self::default() }
    }
}

/// Number of an invitation: random.
pub type InviteId = [u8; 16];

/// Leave for one node to join. Works once, until it expires.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invite {
    /// Its number.
    pub id: InviteId,
    /// What a proof of its secret is checked with. Never shown.
    pub verifier: Vec<u8>,
    /// When it was made.
    pub created: Timestamp,
    /// Until when it works.
    pub expires: Timestamp,
    /// Who made it.
    pub by: Actor,
    /// Only a node of this host name may use it.
    pub host: Option<String>,
    /// Who used it.
    pub used: Option<InviteUse>,
    /// Taken back before it was used.
    pub revoked: bool,
}

impl std::fmt::Debug for Invite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Invite")
            .field("id", &self.id)
            .field("expires", &self.expires)
            .field("host", &self.host)
            .field("used", &self.used)
            .field("revoked", &self.revoked)
            .finish_non_exhaustive()
    }
}

/// Who used an invitation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InviteUse {
    /// The node that it became.
    pub node: u64,
    /// The store that it got.
    pub store: StoreId,
    /// SHA-256 of its public key.
    pub key: Vec<u8>,
    /// When.
    pub at: Timestamp,
}

/// A node that joins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinInfo {
    /// By which invitation; that it knows the secret has been checked.
    pub invite: InviteId,
    /// SHA-256 of its public key, 32 bytes.
    pub key: Vec<u8>,
    /// Its host name.
    pub host: String,
    /// Its site.
    pub site: String,
    /// Where its node port is reached: `host:port`.
    pub links: Vec<String>,
    /// Version of its program.
    pub version: String,
    /// Highest level that its program knows.
    pub level: u32,
}

/// What a node that joined became.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joined {
    /// Its number.
    pub node: u64,
    /// The store that it is the home of.
    pub store: StoreId,
}

/// How far a move is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MoveState {
    /// It waits for its turn.
    Queued,
    /// The mailbox is copied while it is used.
    Running,
    /// The last changes are carried over; the mailbox waits.
    Switching,
    /// The mailbox is in the new store.
    Done,
    /// Somebody wants it to end; what was copied is thrown away.
    Cancelling,
    /// It ended, and the mailbox is where it was.
    Cancelled,
    /// It ended for this reason, and the mailbox is where it was.
    Failed(String),
}

impl MoveState {
    /// Whether nothing comes after it.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Done | Self::Cancelled | Self::Failed(_))
    }

    /// In one word.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Switching => "switching",
            Self::Done => "done",
            Self::Cancelling => "cancelling",
            Self::Cancelled => "cancelled",
            Self::Failed(_) => "failed",
        }
    }
}

/// The move of a mailbox from one store to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailboxMove {
    /// Its number: random.
    pub id: u128,
    /// Whose mailbox.
    pub account: AccountId,
    /// From which store.
    pub from: StoreId,
    /// To which store.
    pub to: StoreId,
    /// How far it is.
    pub state: MoveState,
    /// When it was asked for; set when the change is applied.
    pub created: Timestamp,
    /// When its state changed last; set when the change is applied.
    pub changed: Timestamp,
    /// Who asked for it.
    pub by: Actor,
}
