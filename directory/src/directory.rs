//! The handle that everybody uses.

use std::{path::PathBuf, sync::Arc};

use posthouse_cluster::Node;
use tokio::sync::broadcast;

use crate::{
    Account, AccountId, Actor, AuditEntry, Change, ChangeError, Domain, DomainId, NodeInfo,
    Resolution, Rights, SourceId, SourceSpec, StoreInfo,
};

/// How to open the directory.
#[derive(Clone, Debug)]
pub struct DirectoryOptions {
    /// Its folder.
    pub folder: PathBuf,
    /// If new: this node is its only member.
    pub bootstrap: bool,
}

/// Something in the directory changed. Sent after the change is applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Update {
    /// An account was made, changed or removed.
    Account(AccountId),
    /// A domain, source, node, store or setting was changed.
    Configuration,
    /// An ephemeral of this space changed.
    Ephemeral(String),
}

/// What to list.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// Only of this domain.
    pub domain: Option<DomainId>,
    /// Only names, display names and addresses that contain this, without case.
    pub contains: String,
    /// Only this kind: `user`, `group`, `alias`, `contact`.
    pub kind: Option<&'static str>,
    /// Skip so many.
    pub offset: usize,
    /// At most so many (1,000).
    pub limit: usize,
}

/// How an address book search narrows people down before its filter is evaluated.
#[derive(Clone, Debug, Default)]
pub struct PersonQuery {
    /// Any of name, mail, phone starts with or contains one of these, without case; empty: everybody.
    pub contains_any: Vec<String>,
    /// Exactly this account.
    pub account: Option<AccountId>,
}

/// One entry of the address book: account with its addresses spelled out.
#[derive(Clone, Debug)]
pub struct PersonEntry {
    /// The account.
    pub account: Arc<Account>,
    /// The address that is shown.
    pub mail: String,
    /// All addresses.
    pub addresses: Vec<String>,
}

/// The replicated directory. Cheap to clone.
#[derive(Clone)]
pub struct Directory {}

impl Directory {
    /// Opens the directory and starts the domain group.
    pub async fn open(
        node: &Node,
        options: DirectoryOptions,
    ) -> Result<Self, posthouse_cluster::OpenError> {
        let _ = (node, options);
        unimplemented!()
    }

    /// Changes something. Returns once a majority has it on disk and this node's index shows it.
    pub async fn change(&self, actor: Actor, change: Change) -> Result<(), ChangeError> {
        let _ = (actor, change);
        unimplemented!()
    }

    /// Whether the node is set up: there is a primary domain.
    pub fn is_set_up(&self) -> bool {
        unimplemented!()
    }

    /// Where mail for `address` goes, with the steps.
    pub fn resolve(&self, address: &str) -> Resolution {
        let _ = address;
        unimplemented!()
    }

    /// The user that signs on as `name`: login name (primary domain), address, UPN, `DOMAIN\name`. No wildcards.
    pub fn login(&self, name: &str) -> Option<Arc<Account>> {
        let _ = name;
        unimplemented!()
    }

    /// The user behind a Kerberos principal `user@REALM`.
    pub fn principal(&self, principal: &str) -> Option<Arc<Account>> {
        let _ = principal;
        unimplemented!()
    }

    /// An account by id.
    pub fn account(&self, id: AccountId) -> Option<Arc<Account>> {
        let _ = id;
        unimplemented!()
    }

    /// An account by the key that a source knows it by.
    pub fn mapped(&self, source: SourceId, key: &[u8]) -> Option<Arc<Account>> {
        let _ = (source, key);
        unimplemented!()
    }

    /// All accounts of a source.
    pub fn accounts_of(&self, source: SourceId) -> Vec<Arc<Account>> {
        let _ = source;
        unimplemented!()
    }

    /// The address that is shown for an account: its first address, or `name@domain`.
    pub fn address_of(&self, account: &Account) -> Option<String> {
        let _ = account;
        unimplemented!()
    }

    /// Whether mail may be sent by this user as `address`: it resolves to exactly this user by name or address
    /// (not through a group or a wildcard).
    pub fn may_send_as(&self, user: AccountId, address: &str) -> bool {
        let _ = (user, address);
        unimplemented!()
    }

    /// Effective rights: the strongest of own and those of groups, nested ones too.
    pub fn rights(&self, account: AccountId) -> Rights {
        let _ = account;
        unimplemented!()
    }

    /// Accounts for an administrator: the page and how many there are in all.
    pub fn list(&self, listing: &Listing) -> (Vec<Arc<Account>>, usize) {
        let _ = listing;
        unimplemented!()
    }

    /// Candidates for an address book search; `visit` returns false to stop. Unpublished and disabled accounts
    /// and aliases are left out.
    pub fn people(&self, query: &PersonQuery, visit: &mut dyn FnMut(&PersonEntry) -> bool) {
        let _ = (query, visit);
        unimplemented!()
    }

    /// All domains, primary first.
    pub fn domains(&self) -> Vec<Arc<Domain>> {
        unimplemented!()
    }

    /// All sources.
    pub fn sources(&self) -> Vec<Arc<SourceSpec>> {
        unimplemented!()
    }

    /// All nodes.
    pub fn nodes(&self) -> Vec<NodeInfo> {
        unimplemented!()
    }

    /// All stores.
    pub fn stores(&self) -> Vec<StoreInfo> {
        unimplemented!()
    }

    /// Value of an integer setting ([`crate::key`]), or its default.
    pub fn integer(&self, key: &str) -> u64 {
        let _ = key;
        unimplemented!()
    }

    /// JSON of any setting, or its default; `None` if there is no such setting.
    pub fn setting(&self, key: &str) -> Option<String> {
        let _ = key;
        unimplemented!()
    }

    /// An encrypted blob.
    pub fn secret(&self, name: &str) -> Option<Arc<Vec<u8>>> {
        let _ = name;
        unimplemented!()
    }

    /// A piece of sign-on state that has not expired at the present time.
    pub fn ephemeral(&self, space: &str, key: &[u8]) -> Option<Arc<Vec<u8>>> {
        let _ = (space, key);
        unimplemented!()
    }

    /// The newest lines of the audit log before `before` (exclusive), newest first.
    pub async fn audit(
        &self,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<AuditEntry>, ChangeError> {
        let _ = (before, limit);
        unimplemented!()
    }

    /// Updates from now on.
    pub fn updates(&self) -> broadcast::Receiver<Update> {
        unimplemented!()
    }

    /// State of the domain group.
    pub fn status(&self) -> posthouse_cluster::GroupStatus {
        unimplemented!()
    }
}
