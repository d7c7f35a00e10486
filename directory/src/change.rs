//! What can be changed in the domain, by whom, and what comes of it. These are the commands of the
//! domain group.

use posthouse_cluster::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    Account, AccountId, Domain, DomainId, NodeInfo, PasswordVerifier, Rights, SettingChange,
    SourceId, SourceSpec, State, StoreInfo,
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
    /// address stays as one of its addresses. `password: None` keeps the present verifier.
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
    /// What a sync of a source learned: its progress and, for the administrator, its state.
    SourceProgress {
        /// Which.
        source: SourceId,
        /// Cookie or watermark, opaque to the directory.
        watermark: Option<Vec<u8>>,
        /// Last outcome in words; empty when all is well.
        problem: String,
    },
    /// Makes or replaces a node.
    PutNode(NodeInfo),
    /// Makes or replaces a store.
    PutStore(StoreInfo),
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
}

/// Why a change has no outcome, or was refused.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ChangeError {
    /// Refused; nothing was changed.
    #[error(transparent)]
    Refused(#[from] ChangeRefusal),
    /// Not now: no majority or no leader. May be repeated.
    #[error("the settings cannot be changed at the moment: {0}")]
    Unavailable(String),
    /// The disk failed or is full.
    #[error("storage failed: {0}")]
    Storage(String),
}

/// Ids for new objects are chosen by whoever proposes.
pub fn fresh_id() -> Uuid {
    Uuid::now_v7()
}
