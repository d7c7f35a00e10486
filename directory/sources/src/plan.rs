//! From what a source says to what changes here. Pure: no IO, no clock, no randomness of its own.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use posthouse_cluster::Timestamp;
use posthouse_directory::{
    Account, AccountId, DomainId, GroupInfo, Kind, Origin, SourceId, State, StoreId, User,
};

use crate::ad::{MappedEntry, MappedKind, Users};

/// Cause of a mapped account that is disabled in the directory.
pub const DISABLED_THERE: &str = "disabled in the directory";
/// Cause of a mapped account that the directory no longer has.
pub const GONE_THERE: &str = "no longer in the directory";
/// So many may disappear without a question, whatever the percentage.
pub const FEW_REMOVALS: usize = 5;
/// Removals of this time count together: a directory that loses a few people every minute is not believed either.
pub const REMOVAL_WINDOW: Duration = Duration::from_hours(24);

/// What is decided once for a source.
#[derive(Clone, Debug)]
pub struct Mapping {
    /// The source.
    pub source: SourceId,
    /// Mail domain that it is mapped into.
    pub domain: DomainId,
    /// Name of the directory's domain.
    pub directory_domain: String,
    /// Its NetBIOS name.
    pub netbios: String,
    /// Names of all mail domains of ours.
    pub mail_domains: BTreeSet<String>,
    /// Store of new users; `None`: the directory chooses.
    pub store: Option<StoreId>,
    /// [`posthouse_directory::SourceSpec::removal_threshold_percent`].
    pub removal_threshold_percent: u8,
    /// The administrator has agreed to any number of removals, once.
    pub removals_confirmed: bool,
    /// Now.
    pub now: Timestamp,
}

/// What is known so far.
#[derive(Clone, Debug, Default)]
pub struct Previous {
    /// All accounts of the source.
    pub accounts: Vec<Arc<Account>>,
    /// Those of them that could not have all that the source says; their state is the collision's.
    pub collided: HashSet<AccountId>,
}

/// What was read. An answer that broke off never gets here.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// Entries that are new or may have changed; all of them after a full reading.
    pub entries: Vec<MappedEntry>,
    /// Keys of all entries that there are, if they were listed.
    pub present: Option<HashSet<Vec<u8>>>,
    /// Keys of entries that the directory says were deleted.
    pub deleted: Vec<Vec<u8>>,
}

/// Removals that wait for the administrator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Withheld {
    /// So many are missing.
    pub missing: usize,
    /// Of so many.
    pub of: usize,
}

/// What changes.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// All accounts that were read, as they should be.
    pub wanted: Vec<Account>,
    /// Ids of those in `wanted` that are new or differ from what is known.
    pub changed: BTreeSet<AccountId>,
    /// Ids of those that are new.
    pub new: BTreeSet<AccountId>,
    /// Accounts to disable, with the cause.
    pub disables: Vec<(AccountId, String)>,
    /// Removals that were not believed.
    pub withheld: Option<Withheld>,
    /// For the administrator.
    pub warnings: Vec<String>,
}

/// Compares what was read with what is known. `fresh` makes ids.
pub fn plan(
    mapping: &Mapping,
    previous: &Previous,
    reading: &Reading,
    fresh: &mut dyn FnMut() -> AccountId,
) -> Plan {
    let mut plan = Plan::default();
    let known: HashMap<&[u8], &Arc<Account>> =
        previous.accounts.iter().filter_map(|a| Some((key_of(a)?, a))).collect();
    let mut ids: HashMap<&[u8], AccountId> = known.iter().map(|(key, a)| (*key, a.id)).collect();
    for entry in &reading.entries {
        ids.entry(&entry.key).or_insert_with(|| {
            let id = fresh();
            plan.new.insert(id);
            id
        });
    }
    let people = Names::of(mapping, previous, reading);
    let mut foreign = 0;
    for entry in &reading.entries {
        let Some(id) = ids.get(entry.key.as_slice()) else { continue };
        let before = known.get(entry.key.as_slice()).map(|a| a.as_ref());
        let collided = previous.collided.contains(id);
        let wanted = Wanted { mapping, ids: &ids, people: &people };
        let account = wanted.account(*id, entry, before, collided);
        foreign += entry.addresses.len().saturating_sub(account.addresses.len());
        if before.is_none_or(|before| collided || !same(before, &account)) {
            plan.changed.insert(*id);
        }
        plan.wanted.push(account);
    }
    if foreign > 0 {
        plan.warnings.push(format!(
            "{foreign} addresses are in domains that are not ours; they are left out"
        ));
    }
    removals(mapping, previous, reading, &mut plan);
    plan
}

fn key_of(account: &Account) -> Option<&[u8]> {
    match &account.origin {
        Origin::Mapped { key, .. } => Some(key),
        Origin::Local => None,
    }
}

fn is_gone(account: &Account) -> bool {
    matches!(&account.state, State::Disabled(cause) if cause == GONE_THERE)
}

/// Who is gone, and whether that is believed.
fn removals(mapping: &Mapping, previous: &Previous, reading: &Reading, plan: &mut Plan) {
    let there: Vec<&Arc<Account>> = previous.accounts.iter().filter(|a| !is_gone(a)).collect();
    let came: HashSet<&[u8]> = reading.entries.iter().map(|e| e.key.as_slice()).collect();
    let deleted: HashSet<&[u8]> = reading.deleted.iter().map(Vec::as_slice).collect();
    let missing: Vec<&Arc<Account>> = there
        .iter()
        .copied()
        .filter(|account| {
            key_of(account).is_some_and(|key| match &reading.present {
                Some(present) => !present.contains(key) && !came.contains(key),
                None => deleted.contains(key) && !came.contains(key),
            })
        })
        .collect();
    if missing.is_empty() {
        return;
    }
    let recently = previous
        .accounts
        .iter()
        .filter(|a| is_gone(a) && mapping.now.since(a.changed) < REMOVAL_WINDOW)
        .count();
    let of = there.len() + recently;
    let percent = usize::from(mapping.removal_threshold_percent);
    let allowed = FEW_REMOVALS.max(of.saturating_mul(percent) / 100);
    let nobody_left = missing.len() == there.len();
    if !mapping.removals_confirmed && (nobody_left || missing.len() + recently > allowed) {
        plan.withheld = Some(Withheld { missing: missing.len(), of: there.len() });
        return;
    }
    plan.disables = missing.iter().map(|account| (account.id, GONE_THERE.to_owned())).collect();
}

/// sAMAccountNames of the domain, so that nobody gets another's name by way of userPrincipalName.
struct Names<'a>(HashMap<String, &'a [u8]>);

impl<'a> Names<'a> {
    fn of(mapping: &Mapping, previous: &'a Previous, reading: &'a Reading) -> Self {
        let prefix = format!("{}\\", mapping.netbios.to_lowercase());
        let mut names = HashMap::new();
        for account in &previous.accounts {
            let logins = account.user().map(|user| user.login_names.as_slice()).unwrap_or_default();
            if let Some(key) = key_of(account) {
                names.extend(
                    logins.iter().filter_map(|n| Some((n.strip_prefix(&prefix)?.to_owned(), key))),
                );
            }
        }
        for entry in &reading.entries {
            if let MappedKind::User(user) = &entry.kind {
                names.insert(user.account_name.clone(), entry.key.as_slice());
            }
        }
        Self(names)
    }

    fn belongs_to_another(&self, name: &str, key: &[u8]) -> bool {
        self.0.get(name).is_some_and(|owner| *owner != key)
    }
}

/// Makes accounts of entries.
struct Wanted<'a> {
    mapping: &'a Mapping,
    ids: &'a HashMap<&'a [u8], AccountId>,
    people: &'a Names<'a>,
}

impl Wanted<'_> {
    fn account(
        &self,
        id: AccountId,
        entry: &MappedEntry,
        before: Option<&Account>,
        collided: bool,
    ) -> Account {
        let name = match &entry.kind {
            MappedKind::User(user) => mail_name(self.mapping, user, &entry.addresses),
            MappedKind::Group { name, .. } => title(name),
            MappedKind::Contact(_) => title(&entry.display_name),
        };
        let addresses = self.ours(entry);
        let kind = match &entry.kind {
            MappedKind::User(user) => Kind::User(self.user(user, &entry.key, before)),
            MappedKind::Contact(person) => Kind::Contact(person.clone()),
            MappedKind::Group { members, .. } => Kind::Group(GroupInfo {
                members: members
                    .iter()
                    .filter_map(|key| self.ids.get(key.as_slice()).copied())
                    .collect(),
                rights: match before.map(|b| &b.kind) {
                    Some(Kind::Group(group)) => group.rights,
                    _ => Default::default(),
                },
            }),
        };
        Account {
            id,
            domain: self.mapping.domain,
            name,
            display_name: entry.display_name.clone(),
            addresses,
            origin: Origin::Mapped {
                source: self.mapping.source,
                key: entry.key.clone(),
                dn: entry.dn.clone(),
            },
            state: state(entry, before, collided),
            published: before.is_none_or(|b| b.published),
            description: before.map(|b| b.description.clone()).unwrap_or_default(),
            kind,
            created: before.map_or(self.mapping.now, |b| b.created),
            changed: self.mapping.now,
        }
    }

    /// Addresses in domains of ours; those of contacts are elsewhere.
    fn ours(&self, entry: &MappedEntry) -> Vec<String> {
        if matches!(entry.kind, MappedKind::Contact(_)) {
            return entry.addresses.clone();
        }
        entry
            .addresses
            .iter()
            .filter(|address| {
                address
                    .rsplit_once('@')
                    .is_some_and(|(_, domain)| self.mapping.mail_domains.contains(domain))
            })
            .cloned()
            .collect()
    }

    fn user(&self, user: &Users, key: &[u8], before: Option<&Account>) -> User {
        let old = before.and_then(Account::user);
        let realm = self.mapping.directory_domain.to_uppercase();
        let directory_domain = self.mapping.directory_domain.to_lowercase();
        let name = &user.account_name;
        let mut principals = vec![format!("{name}@{realm}")];
        let mut login_names = vec![
            format!("{}\\{name}", self.mapping.netbios.to_lowercase()),
            format!("{name}@{directory_domain}"),
        ];
        if let Some((prefix, suffix)) = user.principal_name.rsplit_once('@')
            && !prefix.is_empty()
        {
            let another = self.people.belongs_to_another(prefix, key);
            if suffix != directory_domain {
                // An enterprise name that was not canonicalised (RFC 6806 §5).
                principals.push(format!("{prefix}\\@{suffix}@{realm}"));
                login_names.push(user.principal_name.clone());
            } else if !another && prefix != name {
                principals.push(format!("{prefix}@{realm}"));
                login_names.push(user.principal_name.clone());
            }
        }
        User {
            person: user.person.clone(),
            principals,
            login_names,
            password: None,
            expires: user.expires,
            rights: old.map(|o| o.rights).unwrap_or_default(),
            quota_bytes: old.and_then(|o| o.quota_bytes),
            quota_items: old.and_then(|o| o.quota_items),
            store: old.map_or(self.mapping.store, |o| o.store),
        }
    }
}

/// Local part of ours: sAMAccountName where that can be one, else that of an address of ours.
fn mail_name(mapping: &Mapping, user: &Users, addresses: &[String]) -> String {
    if is_local_part(&user.account_name) {
        return user.account_name.clone();
    }
    addresses
        .iter()
        .filter_map(|address| address.rsplit_once('@'))
        .find(|(local, domain)| mapping.mail_domains.contains(*domain) && is_local_part(local))
        .map_or_else(|| user.account_name.clone(), |(local, _)| local.to_owned())
}

/// As strict as the directory is with names (F10-3); it decides in the end.
fn is_local_part(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 64
        && !name.starts_with('.')
        && !name.ends_with('.')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-+'".contains(&b))
}

/// Names of groups and contacts, without what addresses and sign-on names are told by.
fn title(name: &str) -> String {
    let name: String =
        name.chars().filter(|c| !c.is_control() && !matches!(c, '@' | '~' | '\\' | '"')).collect();
    name.trim().to_lowercase()
}

/// What the directory says; what an administrator decided here stays.
fn state(entry: &MappedEntry, before: Option<&Account>, collided: bool) -> State {
    let disabled = matches!(&entry.kind, MappedKind::User(user) if user.disabled);
    match before.map(|b| &b.state) {
        Some(State::Disabled(cause))
            if !collided && cause != DISABLED_THERE && cause != GONE_THERE =>
        {
            State::Disabled(cause.clone())
        }
        _ if disabled => State::Disabled(DISABLED_THERE.to_owned()),
        _ => State::Enabled,
    }
}

/// Whether an upsert would change nothing. The directory keeps old addresses behind those of the source, and photos are
/// compared elsewhere.
fn same(before: &Account, wanted: &Account) -> bool {
    let addresses = before.addresses.len() >= wanted.addresses.len()
        && wanted.addresses.iter().all(|a| before.addresses.contains(a))
        && (wanted.addresses.is_empty() || before.addresses.first() == wanted.addresses.first());
    let sorted = |list: &[String]| list.iter().cloned().collect::<BTreeSet<_>>();
    let kinds = match (&before.kind, &wanted.kind) {
        (Kind::User(a), Kind::User(b)) => {
            a.person == b.person
                && a.expires == b.expires
                && sorted(&a.principals) == sorted(&b.principals)
                && sorted(&a.login_names) == sorted(&b.login_names)
        }
        (Kind::Group(a), Kind::Group(b)) => {
            let set = |group: &GroupInfo| group.members.iter().copied().collect::<BTreeSet<_>>();
            set(a) == set(b)
        }
        (Kind::Contact(a), Kind::Contact(b)) => a == b,
        _ => false,
    };
    addresses
        && kinds
        && before.domain == wanted.domain
        && before.name == wanted.name
        && before.display_name == wanted.display_name
        && before.origin == wanted.origin
        && before.state == wanted.state
}

/// Counts by kind, for messages.
pub(crate) fn counts(accounts: &[Account]) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    for account in accounts {
        let kind = match account.kind {
            Kind::User(_) => "users",
            Kind::Group(_) => "groups",
            Kind::Contact(_) => "contacts",
            Kind::Alias(_) => continue,
        };
        *counts.entry(kind).or_default() += 1;
    }
    counts
}

#[cfg(test)]
mod tests;
