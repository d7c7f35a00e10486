//! What the cluster says and is told, as the API shows it.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// The state of the cluster. What no node could tell is missing. Times are milliseconds since the Unix epoch.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct ClusterStatus {
    /// Name of the cluster: its primary domain.
    pub name: String,
    /// The node that answers.
    pub this_node: u64,
    /// Whether settings can be changed here at this moment.
    pub settings_writable: bool,
    /// Why not, as the rest of a sentence; empty when they can.
    pub read_only_reason: String,
    /// The group that replicates the directory and all settings.
    pub domain_group: DomainGroupView,
    /// All nodes, removed ones too.
    pub nodes: Vec<ClusterNode>,
    /// How each node reaches each other one.
    pub matrix: Vec<ClusterLink>,
    /// All stores.
    pub stores: Vec<ClusterStore>,
    /// Moves of mailboxes that run or wait.
    pub moves: Vec<MoveView>,
    /// What the cluster is about to do by itself.
    pub planned: Vec<PlannedAction>,
    /// Who certifies nodes.
    pub authority: AuthorityView,
    /// What needs attention, the gravest first, one sentence each.
    pub warnings: Vec<String>,
}

/// The group of the directory.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct DomainGroupView {
    /// The node that leads it; missing while there is none.
    pub leader: Option<u64>,
    /// Whether a majority of the voters answers.
    pub quorum: bool,
    /// Nodes that vote.
    pub voters: Vec<u64>,
    /// Nodes that have it without a vote.
    pub learners: Vec<u64>,
    /// Level of commands that all nodes understand.
    pub level: u32,
}

/// A node.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct ClusterNode {
    /// Its number, never used again.
    pub id: u64,
    /// Its host name.
    pub host: String,
    /// Its site.
    pub site: String,
    /// Its state.
    pub state: ClusterNodeState,
    /// Whether it answers the node that was asked.
    pub reachable: bool,
    /// Since when it has (not) answered.
    pub since: Option<u64>,
    /// Where other nodes reach it.
    pub addresses: Vec<String>,
    /// Version of its program.
    pub version: String,
    /// Highest level of commands that it understands.
    pub level: u32,
    /// Days until its node certificate ends.
    pub certificate_days: Option<i64>,
    /// Its clock minus ours in milliseconds.
    pub clock_difference_ms: Option<i64>,
    /// Free bytes where its data is.
    pub disk_free: Option<u64>,
    /// Size of that disk in bytes.
    pub disk_total: Option<u64>,
    /// How long it has been running, in seconds.
    pub uptime: Option<u64>,
    /// Entries of the domain group that it has still to apply.
    pub domain_lag: Option<u64>,
    /// Stores that it leads.
    pub stores_led: Vec<u64>,
    /// Stores of which it has a replica.
    pub stores_held: Vec<u64>,
    /// What would be lost or stop if it died for good at this moment, in words.
    pub what_if_lost: String,
    /// What is wrong with it, in words; empty when all is well.
    pub problem: String,
}

/// State of a node in the cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClusterNodeState {
    /// It takes part.
    #[default]
    Active,
    /// It is being emptied and goes then, or stays without mailboxes.
    Draining,
    /// It was removed and is refused for good.
    Removed,
}

/// How one node reaches another, measured by the first.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct ClusterLink {
    /// Who measured.
    pub from: u64,
    /// Who was measured.
    pub to: u64,
    /// Whether it answered.
    pub reachable: bool,
    /// Round trip in microseconds, median of the last measurements.
    pub round_trip_us: Option<u64>,
    /// Why it is not reachable.
    pub problem: String,
}

/// A store.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct ClusterStore {
    /// Its number.
    pub id: u64,
    /// The node that should lead it.
    pub home: u64,
    /// The node that leads it; missing while there is none.
    pub leader: Option<u64>,
    /// How many replicas it should have.
    pub wanted: u32,
    /// Its replicas.
    pub replicas: Vec<ClusterReplica>,
    /// Mailboxes in it.
    pub mailboxes: u64,
    /// Size in bytes, bodies included.
    pub bytes: u64,
    /// Whether a majority of its voters answers: mail is taken and changes are possible.
    pub quorum: bool,
}

/// A replica of a store.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct ClusterReplica {
    /// Where.
    pub node: u64,
    /// Whether it votes.
    pub voter: bool,
    /// Whether it answers the leader.
    pub reachable: bool,
    /// Entries that it has still to get.
    pub lag: Option<u64>,
    /// Whether it has everything: entries and bodies.
    pub complete: bool,
    /// Bodies that it has still to get.
    pub missing_bodies: Option<u64>,
    /// How far its seeding is, in percent; missing when it is not being seeded.
    pub progress: Option<f64>,
}

/// Something that the cluster is about to do by itself.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct PlannedAction {
    /// What, such as `node 4 becomes a voter of the domain group`.
    pub action: String,
    /// Why.
    pub reason: String,
}

/// The cluster's certificate authority.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct AuthorityView {
    /// SHA-256 of its certificate, in hexadecimal.
    pub fingerprint: String,
    /// Days until it ends.
    pub days: Option<i64>,
    /// SHA-256 of the new one while it is being replaced; empty when it is not.
    pub next_fingerprint: String,
    /// Nodes that have not yet a certificate of the new one.
    pub waiting_for: Vec<u64>,
}

/// A new invite, shown once.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct NewInvite {
    /// Its id, for revoking it.
    pub id: Uuid,
    /// The code. Whoever has it can join one node until it expires.
    pub code: String,
    /// When it stops being good.
    pub expires: u64,
    /// Addresses in the code: the new node must reach one of them.
    pub addresses: Vec<String>,
}

impl NewInvite {
    /// How long it can be good at most.
    pub const LONGEST: Duration = Duration::from_secs(7 * 24 * 60 * 60);
}

// not derived: the code is a secret
impl fmt::Debug for NewInvite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewInvite").field("id", &self.id).finish_non_exhaustive()
    }
}

/// An invite as it is listed: without its code.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct InviteView {
    /// Its id.
    pub id: Uuid,
    /// Only a node of this name may use it; empty: any.
    pub host: String,
    /// When it was made.
    pub created: u64,
    /// When it stops being good.
    pub expires: u64,
    /// What became of it.
    pub state: InviteState,
    /// The node that joined with it.
    pub node: Option<u64>,
}

/// What became of an invite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum InviteState {
    /// It can be used.
    Open,
    /// A node joined with it.
    Used,
    /// Its time is over.
    Expired,
    /// It was revoked.
    Revoked,
}

/// A move of a mailbox to another store.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct MoveView {
    /// Its id.
    pub id: Uuid,
    /// Whose mailbox.
    pub account: Uuid,
    /// Its name.
    pub name: String,
    /// From this store.
    pub from: u64,
    /// To this store.
    pub to: u64,
    /// How far it is.
    pub state: MoveState,
    /// Messages copied.
    pub messages_done: u64,
    /// Messages in the mailbox; 0 while unknown.
    pub messages: u64,
    /// Bytes copied.
    pub bytes_done: u64,
    /// Bytes to copy; 0 while unknown.
    pub bytes: u64,
    /// When it was asked for.
    pub created: u64,
    /// When it ended.
    pub ended: Option<u64>,
    /// Why it waits or failed, in words.
    pub problem: String,
}

/// How far a move is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MoveState {
    /// It waits for its turn.
    Waiting,
    /// Messages are being copied; the mailbox is used as always.
    Copying,
    /// The last changes are carried over.
    Switching,
    /// The mailbox is in its new store.
    Done,
    /// It is being stopped; what was copied is thrown away.
    Cancelling,
    /// Cancelled; the mailbox is where it was.
    Cancelled,
    /// Given up; the mailbox is where it was.
    Failed,
}

/// Something that changes the cluster. All can be tried with a dry run first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum ClusterOrder {
    /// Removes a node for good. Without `force` refused while it has what no other node has.
    Remove {
        /// Which.
        node: u64,
        /// It is dead: go on although something may be lost. The plan says what.
        #[serde(default)]
        force: bool,
    },
    /// The node that is asked hands everything over and leaves.
    Leave,
    /// Gives an invite; the node that joins with it takes over the stores and votes of the dead node, which is removed.
    Replace {
        /// The dead node.
        node: u64,
    },
    /// Puts a node into another site.
    SetSite {
        /// Which.
        node: u64,
        /// The site.
        site: String,
    },
    /// Replaces the certificate authority: first both are trusted and all nodes get new certificates; with `finish` the
    /// old one is not trusted any more.
    RotateAuthority {
        /// Whether to end it.
        #[serde(default)]
        finish: bool,
    },
    /// Makes the learner of a store that lost its majority the only voter. What only the lost replica had is missing.
    Promote {
        /// The store.
        store: u64,
        /// The node of the learner.
        node: u64,
    },
    /// Moves a mailbox to another store while it is used.
    MoveMailbox {
        /// Whose.
        account: Uuid,
        /// The new store.
        store: u64,
    },
    /// Stops a move; the mailbox stays where it was.
    CancelMove {
        /// Which.
        id: Uuid,
    },
    /// Moves everything away from a node: leadership, replicas, mailboxes of its stores. It stays a member.
    Drain {
        /// Which.
        node: u64,
    },
    /// Sets how many replicas a store should have.
    SetReplicas {
        /// The store.
        store: u64,
        /// How many.
        replicas: u32,
    },
    /// Lets another node lead a store.
    Transfer {
        /// The store.
        store: u64,
        /// The node.
        node: u64,
    },
}

impl fmt::Display for ClusterOrder {
    /// As it stands in the audit log, after "asks to".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Remove { node, force: false } => write!(f, "remove node {node}"),
            Self::Remove { node, force: true } => write!(f, "remove node {node} by force"),
            Self::Leave => write!(f, "let this node leave"),
            Self::Replace { node } => write!(f, "replace the dead node {node}"),
            Self::SetSite { node, site } => write!(f, "put node {node} into the site {site}"),
            Self::RotateAuthority { finish: false } => {
                write!(f, "replace the cluster's certificate authority")
            }
            Self::RotateAuthority { finish: true } => {
                write!(f, "distrust the cluster's old certificate authority")
            }
            Self::Promote { store, node } => {
                write!(f, "make node {node} the only voter of store {store}")
            }
            Self::MoveMailbox { account, store } => {
                write!(f, "move the mailbox {account} to store {store}")
            }
            Self::CancelMove { id } => write!(f, "cancel the move {id}"),
            Self::Drain { node } => write!(f, "empty node {node}"),
            Self::SetReplicas { store, replicas } => {
                write!(f, "keep {replicas} replicas of store {store}")
            }
            Self::Transfer { store, node } => write!(f, "let node {node} lead store {store}"),
        }
    }
}

/// What an order means.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ClusterPlan {
    /// What is done, in order, one sentence each.
    pub steps: Vec<String>,
    /// What the administrator should know before: what may be lost, what stops for how long.
    pub warnings: Vec<String>,
    /// Why it is not done; empty when it can be.
    pub refuses: Vec<String>,
}

/// What came of an order.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct ClusterOutcome {
    /// What it means.
    #[serde(flatten)]
    pub plan: ClusterPlan,
    /// Whether it was done or begun; not after a dry run or a refusal.
    pub done: bool,
    /// The invite that it gives ([`ClusterOrder::Replace`]).
    pub invite: Option<NewInvite>,
}
