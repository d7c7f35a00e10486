//! Everything that lookups need, in memory. Follows the database; decides nothing.

mod addresses;
mod arena;
mod pattern;
mod resolver;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use posthouse_cluster::Timestamp;

use crate::{
    Account, AccountId, Collision, Domain, DomainId, Invite, Kind, MailboxMove, NodeInfo, Origin,
    PersonEntry, Rights, SourceId, SourceSpec, State, StoreInfo,
    claim::{DomainNames, mail_places},
    machine::own_rights,
    name,
};
use addresses::spelled;
use arena::Arena;
use pattern::Patterns;

/// Settings and the other small tables.
#[derive(Default)]
pub(crate) struct Configuration {
    pub(crate) settings: BTreeMap<String, String>,
    pub(crate) secrets: BTreeMap<String, Arc<Vec<u8>>>,
    pub(crate) sources: Vec<Arc<SourceSpec>>,
    pub(crate) nodes: Vec<NodeInfo>,
    pub(crate) stores: Vec<StoreInfo>,
    pub(crate) invites: Vec<Invite>,
    /// Agreed level.
    pub(crate) level: u32,
    /// Random number of the cluster.
    pub(crate) cluster: Option<u128>,
    pub(crate) collisions: Vec<Collision>,
}

/// A value and when it may be forgotten.
type Ephemeral = (Arc<Vec<u8>>, Timestamp);

/// Who has one local part of a domain.
#[derive(Default)]
struct Holders {
    /// Users, contacts and groups.
    accounts: Vec<AccountId>,
    /// Aliases of exactly this name.
    aliases: Vec<AccountId>,
}

/// The index of one state of the directory.
#[derive(Default)]
pub(crate) struct Index {
    domains: BTreeMap<DomainId, Arc<Domain>>,
    domain_names: HashMap<String, DomainId>,
    entries: HashMap<AccountId, Arc<PersonEntry>>,
    mail: HashMap<DomainId, HashMap<String, Holders>>,
    /// Addresses of contacts that are not ours, folded.
    elsewhere: HashMap<String, BTreeSet<AccountId>>,
    patterns: HashMap<DomainId, Patterns>,
    logins: HashMap<String, AccountId>,
    principals: HashMap<String, AccountId>,
    mapped: HashMap<SourceId, BTreeMap<Vec<u8>, AccountId>>,
    groups_of: HashMap<AccountId, BTreeSet<AccountId>>,
    /// Users and groups that have or give full rights.
    full: BTreeSet<AccountId>,
    by_name: BTreeSet<(String, AccountId)>,
    arena: Arena,
    pub(crate) configuration: Configuration,
    pub(crate) moves: BTreeMap<u128, MailboxMove>,
    ephemerals: HashMap<String, HashMap<Vec<u8>, Ephemeral>>,
}

impl DomainNames for Index {
    fn domain_named(&self, name: &str) -> Option<DomainId> {
        self.domain_names.get(name).copied()
    }
}

impl Index {
    /// Sets the domains of a new index, before any account.
    pub(crate) fn set_domains(&mut self, domains: Vec<Domain>) {
        for domain in domains {
            for name in std::iter::once(&domain.name).chain(&domain.aliases) {
                self.domain_names.insert(name.clone(), domain.id);
            }
            self.domains.insert(domain.id, Arc::new(domain));
        }
    }

    /// Replaces settings and the like.
    pub(crate) fn set_configuration(&mut self, configuration: Configuration) {
        self.configuration = configuration;
    }

    /// Adds or replaces an account.
    pub(crate) fn put_account(&mut self, account: Account) {
        self.remove_account(account.id);
        let id = account.id;
        let (mail, addresses) = spelled(&account, self);
        for address in addresses_elsewhere(&account, &addresses) {
            self.elsewhere.entry(address).or_default().insert(id);
        }
        for (domain, local) in mail_places(&account, self) {
            let holders = self.mail.entry(domain).or_default().entry(local).or_default();
            holders.accounts.push(id);
            holders.accounts.sort_unstable();
        }
        match &account.kind {
            Kind::User(user) => {
                self.logins.extend(user.login_names.iter().map(|name| (name.clone(), id)));
                self.principals.extend(user.principals.iter().map(|name| (name.clone(), id)));
            }
            Kind::Group(group) => {
                for member in &group.members {
                    self.groups_of.entry(*member).or_default().insert(id);
                }
            }
            Kind::Alias(_) if name::is_wildcard(&account.name) => {
                self.patterns.entry(account.domain).or_default().add(&account.name, id);
            }
            Kind::Alias(_) => {
                let locals = self.mail.entry(account.domain).or_default();
                let holders = locals.entry(account.name.clone()).or_default();
                holders.aliases.push(id);
                holders.aliases.sort_unstable();
            }
            Kind::Contact(_) => {}
        }
        if own_rights(&account) == Rights::Full {
            self.full.insert(id);
        }
        if let Origin::Mapped { source, key, .. } = &account.origin {
            self.mapped.entry(*source).or_default().insert(key.clone(), id);
        }
        self.by_name.insert((account.name.clone(), id));
        let entry = PersonEntry { account: Arc::new(account), mail, addresses };
        let host = self.domain(entry.account.domain).map_or("", |domain| domain.name.as_str());
        let text = arena::text(&entry, host);
        self.arena.put(id, &text);
        self.entries.insert(id, Arc::new(entry));
    }

    /// Removes an account, if it is there.
    pub(crate) fn remove_account(&mut self, id: AccountId) {
        let Some(entry) = self.entries.remove(&id) else { return };
        let account = &entry.account;
        for address in addresses_elsewhere(account, &entry.addresses) {
            if let Some(ids) = self.elsewhere.get_mut(&address) {
                ids.remove(&id);
                if ids.is_empty() {
                    self.elsewhere.remove(&address);
                }
            }
        }
        for (domain, local) in mail_places(account, self) {
            self.drop_holder(domain, &local, id);
        }
        match &account.kind {
            Kind::User(user) => {
                for name in &user.login_names {
                    self.logins.remove(name);
                }
                for name in &user.principals {
                    self.principals.remove(name);
                }
            }
            Kind::Group(group) => {
                for member in &group.members {
                    if let Some(groups) = self.groups_of.get_mut(member) {
                        groups.remove(&id);
                    }
                }
            }
            Kind::Alias(_) if name::is_wildcard(&account.name) => {
                if let Some(patterns) = self.patterns.get_mut(&account.domain) {
                    patterns.remove(&account.name, id);
                }
            }
            Kind::Alias(_) => self.drop_holder(account.domain, &account.name, id),
            Kind::Contact(_) => {}
        }
        if let Origin::Mapped { source, key, .. } = &account.origin
            && let Some(keys) = self.mapped.get_mut(source)
        {
            keys.remove(key);
        }
        self.full.remove(&id);
        self.by_name.remove(&(account.name.clone(), id));
        self.arena.remove(id);
    }

    fn drop_holder(&mut self, domain: DomainId, local: &str, id: AccountId) {
        let Some(locals) = self.mail.get_mut(&domain) else { return };
        let Some(holders) = locals.get_mut(local) else { return };
        holders.accounts.retain(|a| *a != id);
        holders.aliases.retain(|a| *a != id);
        if holders.accounts.is_empty() && holders.aliases.is_empty() {
            locals.remove(local);
        }
    }

    pub(crate) fn put_ephemeral(
        &mut self,
        space: String,
        key: Vec<u8>,
        value: Vec<u8>,
        expires: Timestamp,
    ) {
        self.ephemerals.entry(space).or_default().insert(key, (Arc::new(value), expires));
    }

    pub(crate) fn remove_ephemeral(&mut self, space: &str, key: &[u8]) {
        if let Some(keys) = self.ephemerals.get_mut(space) {
            keys.remove(key);
        }
    }

    pub(crate) fn ephemeral(
        &self,
        space: &str,
        key: &[u8],
        now: Timestamp,
    ) -> Option<Arc<Vec<u8>>> {
        let (value, expires) = self.ephemerals.get(space)?.get(key)?;
        (*expires > now).then(|| value.clone())
    }

    pub(crate) fn account(&self, id: AccountId) -> Option<&Arc<Account>> {
        self.entries.get(&id).map(|entry| &entry.account)
    }

    pub(crate) fn entry(&self, id: AccountId) -> Option<&Arc<PersonEntry>> {
        self.entries.get(&id)
    }

    pub(crate) fn mapped(&self, source: SourceId, key: &[u8]) -> Option<&Arc<Account>> {
        self.account(*self.mapped.get(&source)?.get(key)?)
    }

    pub(crate) fn accounts_of(&self, source: SourceId) -> Vec<Arc<Account>> {
        let ids = self.mapped.get(&source).into_iter().flat_map(BTreeMap::values);
        ids.filter_map(|id| self.account(*id).cloned()).collect()
    }

    /// All domains, primary first, then by name.
    pub(crate) fn domains(&self) -> Vec<Arc<Domain>> {
        let mut domains: Vec<_> = self.domains.values().cloned().collect();
        domains.sort_by(|a, b| (!a.primary, &a.name).cmp(&(!b.primary, &b.name)));
        domains
    }

    pub(crate) fn primary(&self) -> Option<&Arc<Domain>> {
        self.domains.values().find(|domain| domain.primary)
    }

    fn domain(&self, id: DomainId) -> Option<&Arc<Domain>> {
        self.domains.get(&id)
    }

    /// The user of this name or address in a domain, not through groups, aliases or wildcards.
    fn user_at(&self, domain: DomainId, local: &str) -> Option<&Arc<Account>> {
        let holders = self.mail.get(&domain)?.get(local)?;
        let accounts = holders.accounts.iter().filter_map(|id| self.account(*id));
        accounts.into_iter().find(|account| account.user().is_some())
    }

    /// The user that signs on by this name. Other names of a domain are for mail only (F7.6-1, F7.8-6).
    pub(crate) fn login(&self, name: &str) -> Option<Arc<Account>> {
        let by_address = match name.contains('@') {
            true => name::split(name).and_then(|(local, host)| {
                let domain = self.domain(self.domain_named(&host)?)?;
                (domain.name == host).then(|| self.user_at(domain.id, &local)).flatten()
            }),
            false => self.primary().and_then(|d| self.user_at(d.id, &name::local(name)?)),
        };
        let by_login = || {
            let id = self.logins.get(name::fold(name.trim()).as_str())?;
            self.account(*id)
        };
        by_address.or_else(by_login).cloned()
    }

    pub(crate) fn principal(&self, principal: &str) -> Option<Arc<Account>> {
        let id = self.principals.get(name::principal(principal)?.as_str())?;
        self.account(*id).cloned()
    }

    /// Whether an address is this user's own.
    pub(crate) fn may_send_as(&self, user: AccountId, address: &str) -> bool {
        let found = name::split(address).and_then(|(local, host)| {
            let domain = self.domain_named(&host)?;
            self.user_at(domain, &local)
        });
        found.is_some_and(|account| account.id == user)
    }

    /// Groups that the account is in, nested ones too, disabled ones not.
    pub(crate) fn groups(&self, account: AccountId) -> BTreeSet<AccountId> {
        let mut found = BTreeSet::new();
        let mut open = vec![account];
        while let Some(id) = open.pop() {
            for group in self.groups_of.get(&id).into_iter().flatten() {
                let enabled = self.account(*group).is_some_and(|g| g.state == State::Enabled);
                if enabled && found.insert(*group) {
                    open.push(*group);
                }
            }
        }
        found
    }

    /// Own rights and those of groups: the strongest (F8.1-4).
    pub(crate) fn rights(&self, account: AccountId) -> Rights {
        let own = self.account(account).filter(|a| a.user().is_some());
        let Some(own) = own.map(|a| own_rights(a)) else { return Rights::None };
        let groups = self.groups(account);
        let given = groups.iter().filter_map(|id| self.account(*id)).map(|g| own_rights(g));
        given.fold(own, Rights::max)
    }

    /// Enabled users with full rights.
    pub(crate) fn administrators(&self) -> BTreeSet<AccountId> {
        let mut found = BTreeSet::new();
        let mut seen = BTreeSet::new();
        let mut open: Vec<AccountId> = self.full.iter().copied().collect();
        while let Some(id) = open.pop() {
            let Some(account) = self.account(id).filter(|a| a.state == State::Enabled) else {
                continue;
            };
            match &account.kind {
                Kind::User(_) => _ = found.insert(id),
                Kind::Group(group) if seen.insert(id) => open.extend(&group.members),
                Kind::Group(_) | Kind::Contact(_) | Kind::Alias(_) => {}
            }
        }
        found
    }

    /// Entries whose name, mail or phone contains one of the texts; all, if there is none. In no order.
    pub(crate) fn containing(&self, any: &[String]) -> Vec<&Arc<PersonEntry>> {
        self.some_containing(any, usize::MAX).0
    }

    /// As [`Index::containing`], but stops after about `limit`; whether these are all.
    pub(crate) fn some_containing(
        &self,
        any: &[String],
        limit: usize,
    ) -> (Vec<&Arc<PersonEntry>>, bool) {
        if any.is_empty() {
            let all = self.entries.len() <= limit;
            return (self.entries.values().take(limit).collect(), all);
        }
        let (found, all) = self.arena.search(any, limit);
        (found.into_iter().filter_map(|id| self.entries.get(&id)).collect(), all)
    }

    /// Entries that have one of these addresses, each once.
    pub(crate) fn with_addresses(&self, addresses: &[String]) -> Vec<Arc<PersonEntry>> {
        let mut ids = BTreeSet::new();
        for (local, host) in addresses.iter().filter_map(|address| name::split(address)) {
            let holders = self.domain_named(&host).and_then(|id| self.mail.get(&id)?.get(&local));
            ids.extend(holders.into_iter().flat_map(|holders| &holders.accounts));
            ids.extend(self.elsewhere.get(&format!("{local}@{host}")).into_iter().flatten());
        }
        ids.iter().filter_map(|id| self.entries.get(id).cloned()).collect()
    }

    /// Entries of exactly this name in a domain: of any kind, and aliases can be several.
    pub(crate) fn named(&self, domain: DomainId, name: &str) -> Vec<Arc<PersonEntry>> {
        let from = (name.to_owned(), AccountId(uuid::Uuid::nil()));
        let same = self.by_name.range(from..).take_while(|(found, _)| found == name);
        let entries = same.filter_map(|(_, id)| self.entries.get(id));
        entries.filter(|entry| entry.account.domain == domain).cloned().collect()
    }

    /// All entries by name.
    pub(crate) fn in_order(&self) -> impl Iterator<Item = &Arc<PersonEntry>> {
        self.by_name.iter().filter_map(|(_, id)| self.entries.get(id))
    }
}

/// Addresses of a contact as [`Index::with_addresses`] looks for them.
fn addresses_elsewhere(account: &Account, addresses: &[String]) -> Vec<String> {
    let contact = matches!(account.kind, Kind::Contact(_));
    let mine = addresses.iter().filter(|_| contact).filter_map(|address| name::split(address));
    mine.map(|(local, host)| format!("{local}@{host}")).collect()
}
