//! The handle that everybody uses.

use std::{collections::HashSet, path::PathBuf, sync::Arc};

use bytes::Bytes;
use posthouse_cluster::{
    Environment, Group, GroupId, GroupSpec, MachineError, Node, OpenError, network::Network,
    sqlite::Readers,
};
use tokio::sync::broadcast;

use crate::{
    Account, AccountId, Actor, AuditEntry, Change, ChangeError, ChangeOutcome, ChangeRefusal,
    Collision, Domain, DomainId, Invite, Kind, MailboxMove, NodeInfo, Proposal, Resolution, Rights,
    SettingType, SourceId, SourceSpec, State, StoreId, StoreInfo,
    live::Live,
    machine::{DirectoryMachine, decode_answer, read_audit, read_photo, store_of},
    name, settings, submit,
};

/// Connections for reading the audit log and photos.
const READERS: usize = 2;
/// Matches of a people search that are gathered first.
const FIRST_MATCHES: usize = 1_024;
/// Most accounts of one page.
const MAX_PAGE: usize = 1_000;
/// Most lines of the audit log in one answer.
const MAX_LINES: usize = 10_000;

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
    /// A move of a mailbox was asked for or got further.
    Moves,
}

/// What to list.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// Only of this domain.
    pub domain: Option<DomainId>,
    /// Only accounts whose name, display name, address or telephone number contains this, without case.
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
    /// Exactly one of these addresses, in any spelling; empty: any. Looked up, not searched for.
    pub addresses: Vec<String>,
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

impl PersonEntry {
    /// Whether the address book shows it: published, enabled, no alias.
    pub fn is_shown(&self) -> bool {
        let account = &self.account;
        account.published
            && account.state == State::Enabled
            && !matches!(account.kind, Kind::Alias(_))
    }
}

/// The replicated directory. Cheap to clone.
#[derive(Clone)]
pub struct Directory {
    inner: Arc<Inner>,
}

struct Inner {
    live: Arc<Live>,
    group: Group,
    network: Arc<dyn Network>,
    readers: Readers,
    environment: Environment,
    /// Highest level that this node takes part in.
    level: u32,
}

impl Directory {
    /// Opens the directory and starts the domain group.
    pub async fn open(node: &Node, options: DirectoryOptions) -> Result<Self, OpenError> {
        let live = Arc::new(Live::new());
        let folder = options.folder;
        let shared = live.clone();
        let opened = tokio::task::spawn_blocking(move || {
            let machine = DirectoryMachine::open(&folder, shared)?;
            let readers = Readers::open(machine.path(), READERS)?;
            Ok::<_, MachineError>((machine, readers))
        });
        let (machine, readers) =
            opened.await.map_err(|error| OpenError::Storage(error.to_string()))??;
        let (level, agreed) = (node.level(), live.index.read().configuration.level);
        if agreed > level {
            let text = format!(
                "the cluster has agreed on level {agreed}, this node takes part up to level {level}"
            );
            return Err(MachineError::Corrupt(text).into());
        }
        let spec =
            GroupSpec { id: GroupId::DOMAIN, name: "domain".into(), bootstrap: options.bootstrap };
        let group = node.start_group(spec, Box::new(machine)).await?;
        let (environment, network) = (node.environment().clone(), node.network().clone());
        Ok(Self { inner: Arc::new(Inner { live, group, network, readers, environment, level }) })
    }

    fn read<T>(&self, look: impl FnOnce(&crate::index::Index) -> T) -> T {
        look(&self.inner.live.index.read())
    }

    /// Changes something. Returns once a majority has it on disk and this node's index shows it.
    pub async fn change(&self, actor: Actor, change: Change) -> Result<(), ChangeError> {
        self.change_outcome(actor, change).await.map(|_| ())
    }

    /// As [`Directory::change`], and says what came of it.
    pub async fn change_outcome(
        &self,
        actor: Actor,
        change: Change,
    ) -> Result<ChangeOutcome, ChangeError> {
        self.reach(change.level()).await?;
        let environment = &self.inner.environment;
        let proposal =
            Proposal { id: environment.random.u128(), at: environment.clock.now(), actor, change };
        let command = postcard::to_allocvec(&proposal)
            .map(Bytes::from)
            .map_err(|error| ChangeRefusal::Invalid(error.to_string()))?;
        let answer = self.propose(command).await?;
        let answer = decode_answer(&answer)
            .map_err(|error| ChangeError::Unavailable(format!("unknown answer: {error}")))?;
        Ok(answer?)
    }

    /// Checks that a level is agreed. A node on its own agrees with itself at once.
    async fn reach(&self, needed: u32) -> Result<(), ChangeError> {
        let agreed = self.level();
        if agreed >= needed {
            return Ok(());
        }
        let members = self.nodes().iter().filter(|node| node.is_member()).count();
        if members > 1 || needed > self.inner.level {
            return Err(ChangeRefusal::LevelTooLow { needed, agreed }.into());
        }
        let raise = Change::SetLevel(self.inner.level);
        Box::pin(self.change(Actor::System("level of the program".into()), raise)).await
    }

    /// The highest level that all members know, if it is above the agreed one: what the leader of the domain group
    /// proposes with [`Change::SetLevel`].
    pub fn level_to_agree_on(&self) -> Option<u32> {
        let nodes = self.nodes();
        let known = match nodes.iter().filter(|node| node.is_member()).count() {
            0 => return None,
            1 => self.inner.level,
            _ => nodes.iter().filter(|n| n.is_member()).map(|n| n.level).min().unwrap_or(1),
        };
        Some(known.min(self.inner.level)).filter(|level| *level > self.level())
    }

    async fn propose(&self, command: Bytes) -> Result<Bytes, ChangeError> {
        let Inner { group, environment, network, .. } = &*self.inner;
        submit::submit(group, &*environment.clock, &**network, command).await
    }

    /// Why settings cannot be changed on this node at the moment, as the rest of a sentence that says that they cannot;
    /// `None`: they can.
    pub fn read_only_reason(&self) -> Option<String> {
        if self.has_quorum() {
            return None;
        }
        let missing = submit::missing(&self.inner.group, &*self.inner.network);
        Some(format!("this node reaches no majority of the cluster{missing}"))
    }

    /// Whether the node is set up: there is a primary domain.
    pub fn is_set_up(&self) -> bool {
        self.read(|index| index.primary().is_some())
    }

    /// Where mail for `address` goes, with the steps.
    pub fn resolve(&self, address: &str) -> Resolution {
        self.read(|index| index.resolve(address))
    }

    /// The user that signs on as `name`: login name (primary domain), address, UPN, `DOMAIN\name`. No wildcards.
    pub fn login(&self, name: &str) -> Option<Arc<Account>> {
        self.read(|index| index.login(name))
    }

    /// The user behind a Kerberos principal `user@REALM`.
    pub fn principal(&self, principal: &str) -> Option<Arc<Account>> {
        self.read(|index| index.principal(principal))
    }

    /// An account by id.
    pub fn account(&self, id: AccountId) -> Option<Arc<Account>> {
        self.read(|index| index.account(id).cloned())
    }

    /// An account with its addresses spelled out, by id.
    pub fn entry(&self, id: AccountId) -> Option<Arc<PersonEntry>> {
        self.read(|index| index.entry(id).cloned())
    }

    /// Accounts of exactly this name in a domain: of any kind, and aliases can be several.
    pub fn named(&self, domain: DomainId, name: &str) -> Vec<Arc<PersonEntry>> {
        let name = name::fold(name.trim());
        self.read(|index| index.named(domain, &name))
    }

    /// The photo of an account (JPEG).
    pub async fn photo(&self, id: AccountId) -> Result<Option<Vec<u8>>, MachineError> {
        self.inner.readers.read(move |db| read_photo(db, id)).await
    }

    /// An account by the key that a source knows it by.
    pub fn mapped(&self, source: SourceId, key: &[u8]) -> Option<Arc<Account>> {
        self.read(|index| index.mapped(source, key).cloned())
    }

    /// All accounts of a source.
    pub fn accounts_of(&self, source: SourceId) -> Vec<Arc<Account>> {
        self.read(|index| index.accounts_of(source))
    }

    /// Mapped accounts that do not have all that their source says, because others have it (F10.1.1-5).
    pub fn collisions(&self) -> Vec<Collision> {
        self.read(|index| index.configuration.collisions.clone())
    }

    /// The address that is shown for an account: its first address, or `name@domain`.
    pub fn address_of(&self, account: &Account) -> Option<String> {
        self.read(|index| index.entry(account.id).map(|entry| entry.mail.clone()))
            .filter(|mail| !mail.is_empty())
    }

    /// Whether mail may be sent by this user as `address`: it resolves to exactly this user by name or address
    /// (not through a group or a wildcard).
    pub fn may_send_as(&self, user: AccountId, address: &str) -> bool {
        self.read(|index| index.may_send_as(user, address))
    }

    /// Effective rights: the strongest of own and those of groups, nested ones too.
    pub fn rights(&self, account: AccountId) -> Rights {
        self.read(|index| index.rights(account))
    }

    /// Groups that an account is in, nested ones too.
    pub fn groups(&self, account: AccountId) -> Vec<AccountId> {
        self.read(|index| index.groups(account).into_iter().collect())
    }

    /// Accounts for an administrator, by name: the page and how many there are in all.
    pub fn list(&self, listing: &Listing) -> (Vec<Arc<Account>>, usize) {
        let fits = |account: &Account| {
            listing.domain.is_none_or(|domain| domain == account.domain)
                && listing.kind.is_none_or(|kind| kind == crate::audit::kind(account))
        };
        let limit = listing.limit.min(MAX_PAGE);
        self.read(|index| {
            if listing.contains.trim().is_empty() {
                let mut all = index.in_order().map(|e| &e.account).filter(|a| fits(a));
                let page = all.by_ref().skip(listing.offset).take(limit).cloned().collect();
                let total = index.in_order().filter(|e| fits(&e.account)).count();
                return (page, total);
            }
            let any = [listing.contains.clone()];
            let mut found: Vec<_> =
                index.containing(&any).into_iter().map(|e| &e.account).collect();
            found.retain(|account| fits(account));
            found.sort_by(|a, b| (&a.name, a.id).cmp(&(&b.name, b.id)));
            let page = found.iter().skip(listing.offset).take(limit).map(|a| (*a).clone());
            (page.collect(), found.len())
        })
    }

    /// Candidates for an address book search; `visit` returns false to stop. Unpublished and disabled accounts
    /// and aliases are left out. `visit` may ask the directory: nothing is locked while it runs.
    pub fn people(&self, query: &PersonQuery, visit: &mut dyn FnMut(&Arc<PersonEntry>) -> bool) {
        if let Some(id) = query.account {
            if let Some(entry) = self.entry(id).filter(|entry| entry.is_shown()) {
                visit(&entry);
            }
            return;
        }
        if !query.addresses.is_empty() {
            let found = self.read(|index| index.with_addresses(&query.addresses));
            for entry in found.iter().filter(|entry| entry.is_shown()) {
                if !visit(entry) {
                    return;
                }
            }
            return;
        }
        // most who search want few: gathering all matches before the first is shown would be wasted
        let mut seen = HashSet::new();
        for limit in [FIRST_MATCHES, usize::MAX] {
            let (candidates, all): (Vec<Arc<PersonEntry>>, bool) = self.read(|index| {
                let (found, all) = index.some_containing(&query.contains_any, limit);
                (found.into_iter().cloned().collect(), all)
            });
            for entry in candidates {
                if seen.insert(entry.account.id) && entry.is_shown() && !visit(&entry) {
                    return;
                }
            }
            if all {
                return;
            }
        }
    }

    /// All domains, primary first.
    pub fn domains(&self) -> Vec<Arc<Domain>> {
        self.read(|index| index.domains())
    }

    /// The domain of this name, main or alias, in any spelling.
    pub fn domain_named(&self, name: &str) -> Option<Arc<Domain>> {
        let name = name::domain(name)?;
        self.read(|index| index.domains())
            .into_iter()
            .find(|domain| domain.name == name || domain.aliases.contains(&name))
    }

    /// All sources.
    pub fn sources(&self) -> Vec<Arc<SourceSpec>> {
        self.read(|index| index.configuration.sources.clone())
    }

    /// All nodes.
    pub fn nodes(&self) -> Vec<NodeInfo> {
        self.read(|index| index.configuration.nodes.clone())
    }

    /// All stores.
    pub fn stores(&self) -> Vec<StoreInfo> {
        self.read(|index| index.configuration.stores.clone())
    }

    /// Invitations: open, used and expired ones.
    pub fn invites(&self) -> Vec<Invite> {
        self.read(|index| index.configuration.invites.clone())
    }

    /// Moves of mailboxes: all open ones, and the last finished ones; in no particular order.
    pub fn moves(&self) -> Vec<MailboxMove> {
        self.read(|index| index.moves.values().cloned().collect())
    }

    /// Nodes that were removed.
    pub fn removed_nodes(&self) -> Vec<NodeInfo> {
        let mut nodes = self.nodes();
        nodes.retain(|node| !node.is_member());
        nodes
    }

    /// The agreed level of the cluster; 1 before anything was agreed.
    pub fn level(&self) -> u32 {
        self.read(|index| index.configuration.level.max(1))
    }

    /// Random number of the cluster, once level 2 is agreed.
    pub fn cluster_id(&self) -> Option<u128> {
        self.read(|index| index.configuration.cluster)
    }

    /// Name of the cluster: that of its primary domain. Empty before the set-up.
    pub fn cluster_name(&self) -> String {
        self.read(|index| index.primary().map(|domain| domain.name.clone()).unwrap_or_default())
    }

    /// The store of a user's mailbox; `None` if there is no such user.
    pub fn store_of(&self, account: AccountId) -> Option<StoreId> {
        self.read(|index| index.account(account).and_then(|a| a.user().map(store_of)))
    }

    /// Value of an integer setting ([`crate::key`]), or its default. 0 for a name that is no integer setting.
    pub fn integer(&self, key: &str) -> u64 {
        let is_integer = settings::spec(key)
            .is_some_and(|spec| matches!(spec.kind, SettingType::Integer { .. }));
        debug_assert!(is_integer, "{key} is not an integer setting");
        self.setting(key).and_then(|value| value.parse().ok()).unwrap_or(0)
    }

    /// JSON of any setting, or its default; `None` if there is no such setting.
    pub fn setting(&self, key: &str) -> Option<String> {
        let spec = settings::spec(key)?;
        let set = self.read(|index| index.configuration.settings.get(key).cloned());
        Some(set.unwrap_or_else(|| spec.default.to_owned()))
    }

    /// An encrypted blob.
    pub fn secret(&self, name: &str) -> Option<Arc<Vec<u8>>> {
        self.read(|index| index.configuration.secrets.get(name).cloned())
    }

    /// A piece of sign-on state that has not expired at the present time.
    pub fn ephemeral(&self, space: &str, key: &[u8]) -> Option<Arc<Vec<u8>>> {
        let now = self.inner.environment.clock.now();
        self.read(|index| index.ephemeral(space, key, now))
    }

    /// The newest lines of the audit log before `before` (exclusive), newest first.
    pub async fn audit(
        &self,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<AuditEntry>, ChangeError> {
        let limit = limit.min(MAX_LINES);
        let read = self.inner.readers.read(move |db| read_audit(db, before, limit)).await;
        read.map_err(|error| ChangeError::Storage(error.to_string()))
    }

    /// Updates from now on.
    pub fn updates(&self) -> broadcast::Receiver<Update> {
        self.inner.live.updates.subscribe()
    }

    /// State of the domain group.
    pub fn status(&self) -> posthouse_cluster::GroupStatus {
        self.inner.group.status()
    }

    /// Node that leads the domain group, where known.
    pub fn leader(&self) -> Option<posthouse_cluster::NodeId> {
        self.inner.group.status().leader
    }

    /// Whether this node reaches a majority, as far as it knows: whether settings can be changed.
    pub fn has_quorum(&self) -> bool {
        self.inner.group.status().quorum
    }

    /// The domain group.
    pub fn group(&self) -> &Group {
        &self.inner.group
    }

    /// What the node was given from outside: clock, randomness, tasks.
    pub fn environment(&self) -> &Environment {
        &self.inner.environment
    }
}
