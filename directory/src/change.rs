//! What can be changed in the domain, by whom, and what comes of it. These are the commands of the
//! domain group.

use posthouse_cluster::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    Account, AccountId, Domain, DomainId, Invite, InviteId, JoinInfo, Joined, MailboxMove,
    MoveState, NodeInfo, NodeInfoV1, NodeState, PasswordVerifier, Rights, SettingChange, SourceId,
    SourceSpec, State, StoreId, StoreInfo, StoreInfoV1,
};

/// Who changes something; goes into the audit log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Actor {
    /// A signed-on account.
    Account(AccountId),
    /// The node itself, with the reason (`set-up`, `sync of source X`, `lock-out`).
    System(String),
}

/// A proposal: one change with everything that makes it deterministic.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Proposal {
    /// Idempotency key.
    pub id: u128,
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub actor: Actor,
    /// What.
    pub change: Change,
}

/// One change. Put variants create (fresh id) or replace (known id).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Change {
    /// Several changes, all or none.
    All(Vec<Change>),
    /// Makes or replaces a domain. A changed name is a rename: the old name stays as an alias.
    PutDomain(Domain),
    /// Removes a domain without accounts.
    RemoveDomain(DomainId),
    /// Makes or replaces an account. A changed name of a user is a rename: the mailbox stays and the old
    /// address stays as one of its addresses. `password: None` keeps the present verifier. The store counts only for a
    /// new user (`None`: the least loaded one): a mailbox moves by [`Change::PutMove`] and by nothing else.
    PutAccount(Box<Account>),
    /// Removes an account. Its mailbox is left to the caller. Refused for the last full administrator.
    RemoveAccount(AccountId),
    /// Sets a local user's password.
    SetPassword {
        /// Whose.
        account: AccountId,
        /// New verifier.
        verifier: PasswordVerifier,
    },
    /// Enables or disables an account.
    SetState {
        /// Whose.
        account: AccountId,
        /// New state.
        state: State,
    },
    /// Sets own rights. The last full administrator cannot lower himself (F8.1-6).
    SetRights {
        /// Whose.
        account: AccountId,
        /// New rights.
        rights: Rights,
    },
    /// Sets one setting.
    Set(SettingChange),
    /// Makes or replaces a source.
    PutSource(Box<SourceSpec>),
    /// Removes a source; its accounts become disabled and stay.
    RemoveSource(SourceId),
    /// What a reading of a source brought: accounts to make or bring up to date and accounts that are gone. See
    /// [`SyncBatch`]. The only change that degrades account by account instead of being refused as a whole.
    Sync(Box<SyncBatch>),
    /// What a sync of a source learned: its progress and, for the administrator, its state.
    SourceProgress {
        /// Which.
        source: SourceId,
        /// Cookie or watermark, opaque to the directory.
        watermark: Option<Vec<u8>>,
        /// Last outcome in words; empty when all is well.
        problem: String,
    },
    /// A node, as level 1 wrote it. Only read from old logs: use [`Change::PutNode`].
    PutNodeV1(NodeInfoV1),
    /// A store, as level 1 wrote it. Only read from old logs: use [`Change::PutStore`].
    PutStoreV1(StoreInfoV1),
    /// Puts an encrypted blob (keytab, certificates) under a name; replaced as a whole. See `auth`.
    PutSecret {
        /// Name, such as `keytab`.
        name: String,
        /// Ciphertext, at most 1 MiB.
        ciphertext: Vec<u8>,
    },
    /// Replaces a piece of sign-on state (sessions, lock-out, replay cache), opaque to the directory, that expires.
    PutEphemeral {
        /// Space, such as `session`.
        space: String,
        /// Key within the space.
        key: Vec<u8>,
        /// Value; `None` removes it.
        value: Option<Vec<u8>>,
        /// When it may be forgotten.
        expires: Timestamp,
        /// Refuse with [`ChangeRefusal::Exists`] if the key is there already.
        only_new: bool,
    },
    /// A line for the audit log without a change (a sign-on as administrator, an export).
    Audit(String),

    // Level 2. The order is the number on the wire: new ones come last.
    /// Makes or replaces a node. Never brings back a removed one.
    PutNode(NodeInfo),
    /// Makes or replaces a store: home, replicas, how many are wanted.
    PutStore(StoreInfo),
    /// Makes an invitation.
    PutInvite(Invite),
    /// Takes an invitation back. One that was used stays used.
    RevokeInvite(InviteId),
    /// A node joins by an invitation: it gets its number and a store ([`ChangeOutcome::joined`]). The same
    /// invitation with the same key gets the same answer again.
    Join(Box<JoinInfo>),
    /// What a node says of itself when it starts. Refused for a removed one.
    NodeReport {
        /// Which.
        id: u64,
        /// Where its node port is reached: `host:port`.
        links: Vec<String>,
        /// SHA-256 of its public key; `None` keeps the known one.
        key: Option<Vec<u8>>,
        /// Version of its program.
        version: String,
        /// Highest level that its program knows.
        level: u32,
    },
    /// Moves a node to another site.
    SetSite {
        /// Which.
        node: u64,
        /// The site.
        site: String,
    },
    /// Makes a node active or draining. For removal there is [`Change::RemoveNode`].
    SetNodeState {
        /// Which.
        node: u64,
        /// New state.
        state: NodeState,
    },
    /// Removes a node for ever: its replicas go, its stores get another home. Refused if a store with mailboxes has no
    /// replica on another member, unless forced: those mailboxes are lost and begin anew in other stores.
    RemoveNode {
        /// Which.
        id: u64,
        /// Even if mailboxes are lost.
        force: bool,
    },
    /// Raises the agreed level. Refused while a member does not know it.
    SetLevel(u32),
    /// Says where a mailbox is. The mailbox itself is moved by [`Change::PutMove`].
    SetStore {
        /// Whose.
        account: AccountId,
        /// In which store.
        store: StoreId,
    },
    /// Takes a store out of use: no new mailboxes, and it goes away once it has none.
    RetireStore(StoreId),
    /// Forgets a retired store without mailboxes. Its number is never used again.
    RemoveStore(StoreId),
    /// Asks for the move of a mailbox to another store.
    PutMove(MailboxMove),
    /// A move got further. `Done` also says that the mailbox is in the new store from now on.
    MoveState {
        /// Which.
        id: u128,
        /// New state.
        state: MoveState,
    },
    /// As [`Change::PutAccount`]; a new user's mailbox is made in this site if it has a store.
    PutAccountIn {
        /// The account.
        account: Box<Account>,
        /// The site.
        site: String,
    },
}

impl Change {
    /// Agreed level from which on the change may be proposed.
    pub fn level(&self) -> u32 {
        match self {
            Self::All(changes) => changes.iter().map(Self::level).max().unwrap_or(1),
            Self::PutDomain(_)
            | Self::RemoveDomain(_)
            | Self::PutAccount(_)
            | Self::RemoveAccount(_)
            | Self::SetPassword { .. }
            | Self::SetState { .. }
            | Self::SetRights { .. }
            | Self::Set(_)
            | Self::PutSource(_)
            | Self::RemoveSource(_)
            | Self::Sync(_)
            | Self::SourceProgress { .. }
            | Self::PutNodeV1(_)
            | Self::PutStoreV1(_)
            | Self::PutSecret { .. }
            | Self::PutEphemeral { .. }
            | Self::Audit(_)
            // who proposes it knows the level that it names, and so do all others
            | Self::SetLevel(_) => 1,
            Self::PutNode(_)
            | Self::PutStore(_)
            | Self::PutInvite(_)
            | Self::RevokeInvite(_)
            | Self::Join(_)
            | Self::NodeReport { .. }
            | Self::SetSite { .. }
            | Self::SetNodeState { .. }
            | Self::RemoveNode { .. }
            | Self::SetStore { .. }
            | Self::RetireStore(_)
            | Self::RemoveStore(_)
            | Self::PutAccountIn { .. } => 2,
            Self::PutMove(_) | Self::MoveState { .. } => 3,
        }
    }
}

/// What one reading of a source, or a part of it, brought. May be applied twice without harm.
///
/// **Upserts** are known by [`crate::Origin::Mapped`]'s `source` and `key`: if an account with that key exists, it is
/// brought up to date and keeps its id, whatever id the upsert has; otherwise it is made with the id of the upsert. Group
/// members may name ids of upserts of the same batch (they are corrected when an upsert's id gives way to a known one)
/// or ids that come in a later batch.
///
/// What the source does not know stays as it is: rights, quotas, store, description of an administrator,
/// addresses that an administrator added. A new name, or a new first address, is a rename: the old address keeps
/// working (DESIGN §6). `state` is taken from the upsert.
///
/// **Collisions** (F10.1.1-5) refuse nothing. The account that has a name or address already keeps it, local or not. The
/// mapped one is stored without it: without the address, login name or principal; and if its *name* is taken or not
/// valid, under a stand-in name (`anna~5d41402a`), disabled. Each is listed in [`ChangeOutcome::collisions`] and by
/// [`crate::Directory::collisions`], and is mended by itself as soon as the name is free.
///
/// Keep a batch within [`SyncBatch::MAX_ACCOUNTS`] and 4 MiB; send `watermark` with the last one of a reading only.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SyncBatch {
    /// Which source. There must be one of this id.
    pub source: SourceId,
    /// Accounts to make or to bring up to date.
    pub upserts: Vec<Account>,
    /// Accounts that the source no longer has: disabled with this cause and kept, never removed. Unknown ones and
    /// those of other sources are passed over.
    pub disables: Vec<(AccountId, String)>,
    /// New watermark; `None` keeps the present one.
    pub watermark: Option<Vec<u8>>,
    /// Problem of the source in words, empty when all is well; `None` keeps the present one.
    pub problem: Option<String>,
}

impl SyncBatch {
    /// Most upserts and disables of one batch.
    pub const MAX_ACCOUNTS: usize = 2_000;
}

/// A mapped account that could not have all that its source says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collision {
    /// Which account.
    pub account: AccountId,
    /// Its name in the source.
    pub name: String,
    /// What is wrong, in words: one sentence each.
    pub problems: Vec<String>,
}

/// What came of a change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeOutcome {
    /// Mapped accounts of this change that could not have all that their source says.
    pub collisions: Vec<Collision>,
    /// What the node that joined became.
    pub joined: Option<Joined>,
}

/// A line of the audit log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// Ascending.
    pub sequence: u64,
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub actor: Actor,
    /// What, in words, without secrets.
    pub text: String,
}

/// Why a change was refused; nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum ChangeRefusal {
    /// A name or address belongs to another account.
    #[error("{address} belongs to {owner} already")]
    AddressTaken {
        /// The address.
        address: String,
        /// Name of the account that has it.
        owner: String,
    },
    /// A domain of that name exists.
    #[error("the domain {0} exists already")]
    DomainTaken(String),
    /// The name has characters that are not allowed, is empty, or too long.
    #[error("{0:?} is not a valid name")]
    BadName(String),
    /// There is none of that id.
    #[error("there is no such {0}")]
    NotFound(String),
    /// The domain still has accounts.
    #[error("the domain still has {0} accounts")]
    DomainInUse(u64),
    /// Somebody must remain who can administer.
    #[error("this is the last full administrator")]
    LastAdministrator,
    /// Exactly one domain is primary.
    #[error("the primary domain cannot be removed; make another one primary first")]
    PrimaryDomain,
    /// An ephemeral key exists already.
    #[error("exists already")]
    Exists,
    /// A value is out of range or too long; the text says which.
    #[error("{0}")]
    Invalid(String),
    /// There is no such invitation.
    #[error("this invitation is not known; make a new one")]
    InviteUnknown,
    /// Another node has used the invitation.
    #[error("this invitation has been used by node {0} already; make a new one")]
    InviteUsed(u64),
    /// The invitation has expired.
    #[error("this invitation has expired; make a new one")]
    InviteExpired,
    /// An administrator took the invitation back.
    #[error("this invitation was taken back by an administrator; make a new one")]
    InviteRevoked,
    /// The invitation is for another host.
    #[error("this invitation is only for the host {0}")]
    InviteHost(String),
    /// A member has this host name.
    #[error("{host} is node {node} already; remove that node first or use another host name")]
    HostTaken {
        /// The host name.
        host: String,
        /// Who has it.
        node: u64,
    },
    /// A node that is, or was, in the cluster has this key.
    #[error("the key is that of node {0} already; a node needs a key of its own")]
    KeyTaken(u64),
    /// The node was removed, for ever.
    #[error("node {0} was removed from the cluster and cannot come back under its old identity")]
    NodeRemoved(u64),
    /// Mailboxes would be lost; the text names the stores.
    #[error("{0}")]
    WouldLose(String),
    /// Somebody must remain who serves.
    #[error("this is the last node of the cluster that is not being emptied")]
    LastNode,
    /// The cluster has not agreed on the level that the change needs.
    #[error(
        "this needs level {needed} of the cluster, which has agreed on level {agreed}: \
         all nodes must run a program that knows it"
    )]
    LevelTooLow {
        /// What the change needs.
        needed: u32,
        /// What is agreed.
        agreed: u32,
    },
    /// Members do not know the level, or it is lower than the agreed one.
    #[error("the level cannot be set to {level}: {why}")]
    BadLevel {
        /// Which.
        level: u32,
        /// Who or what is in the way.
        why: String,
    },
    /// The store cannot be used for that now; the text says why.
    #[error("{0}")]
    StoreInUse(String),
    /// The mailbox is being moved already.
    #[error("the mailbox of {0} is being moved already")]
    MoveOpen(String),
    /// A move cannot go from one state to the other.
    #[error("a move that is {from} cannot become {to}")]
    MoveStep {
        /// State it has.
        from: String,
        /// State it should get.
        to: String,
    },
}

/// Why a change has no outcome, or was refused.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ChangeError {
    /// Refused; nothing was changed.
    #[error(transparent)]
    Refused(#[from] ChangeRefusal),
    /// No answer in time. It may or may not take effect: look before it is repeated.
    #[error("the settings cannot be changed at the moment: {0}")]
    Unavailable(String),
    /// The disk failed or is full.
    #[error("storage failed: {0}")]
    Storage(String),
    /// This side of the cluster has no majority: everything that is in the directory can be read, nothing can be
    /// changed, and nothing was. The text is empty or names the nodes that are missing, such as ` (node 2 does not
    /// answer)`. May be repeated.
    #[error(
        "settings are read-only at the moment: this node reaches no majority of the cluster{0}; \
         nothing was changed"
    )]
    NoMajority(String),
}

/// Ids for new objects are chosen by whoever proposes.
pub fn fresh_id() -> Uuid {
    Uuid::now_v7()
}
