//! Where mail for an address goes (F12.3-1 to F12.3-7).
//!
//! An alias of exactly the name comes first, then users and groups, then the most specific pattern. A name that is
//! met again on the way that led to it ends the way: the mail goes to the mailbox of the last name on it that has
//! one (F12.3-4), so that an alias `anna` to `anna` and `bob` is a copy, and no loop loses mail.

use std::collections::HashSet;

use super::Index;
use crate::{
    Account, AccountId, DomainId, Kind, Resolution, ResolveStep, State, Target, audit,
    claim::{DomainNames, Place, place},
    name,
};

/// Longest way from the address to a target, in aliases and groups.
const MAX_DEPTH: usize = 32;
/// Most targets of one address.
const MAX_TARGETS: usize = 10_000;
/// Most steps that are told.
const MAX_STEPS: usize = 500;

type Name = (DomainId, String);

struct Walk<'a> {
    index: &'a Index,
    out: Resolution,
    seen: HashSet<Target>,
    path: Vec<Name>,
    done: HashSet<Name>,
    groups: HashSet<AccountId>,
}

impl Index {
    /// Where mail for `address` goes, with the steps.
    pub(crate) fn resolve(&self, address: &str) -> Resolution {
        let mut walk = Walk {
            index: self,
            out: Resolution::default(),
            seen: HashSet::new(),
            path: Vec::new(),
            done: HashSet::new(),
            groups: HashSet::new(),
        };
        // an address without a domain belongs to the primary one, as names without a domain do
        let found = match address.rsplit_once('@') {
            Some((local, host)) => self.place_of(local, host),
            None => self.primary().map(|d| Place::Ours(d.id, name::fold(address.trim()))),
        };
        match found {
            None => walk.tell(address, "not an address".into()),
            Some(Place::Elsewhere(address)) => walk.remote(address),
            Some(Place::Ours(domain, local)) => {
                walk.out.local_domain = true;
                walk.visit(domain, local.clone());
                if walk.out.targets.is_empty() && local == "postmaster" {
                    walk.postmaster(domain);
                }
            }
        }
        walk.out
    }

    fn place_of(&self, local: &str, host: &str) -> Option<Place> {
        let (folded, host) = name::split(&format!("{local}@{host}"))?;
        Some(match self.domain_named(&host) {
            Some(domain) => Place::Ours(domain, folded),
            None => Place::Elsewhere(format!("{}@{host}", local.trim())),
        })
    }

    fn enabled_alias(&self, id: AccountId) -> Option<&Account> {
        self.account(id).map(AsRef::as_ref).filter(|alias| alias.state == State::Enabled)
    }
}

impl<'a> Walk<'a> {
    fn tell(&mut self, address: &str, found: String) {
        if self.out.steps.len() < MAX_STEPS {
            self.out.steps.push(ResolveStep { address: address.to_owned(), found });
        }
    }

    fn spelled(&self, domain: DomainId, local: &str) -> String {
        let host = self.index.domain(domain).map_or("", |d| d.name.as_str());
        format!("{local}@{host}")
    }

    /// Adds a target; false once there are too many.
    fn add(&mut self, target: Target) -> bool {
        if self.out.targets.len() >= MAX_TARGETS && !self.seen.contains(&target) {
            self.out.limit = Some(format!("more than {MAX_TARGETS} targets"));
            return false;
        }
        if self.seen.insert(target.clone()) {
            self.out.targets.push(target);
        }
        true
    }

    fn remote(&mut self, address: String) {
        self.tell(&address, "an address elsewhere".into());
        self.add(Target::Remote(address));
    }

    fn too_deep(&mut self, depth: usize) -> bool {
        if depth >= MAX_DEPTH {
            self.out.limit = Some(format!("more than {MAX_DEPTH} aliases and groups in a row"));
        }
        depth >= MAX_DEPTH
    }

    fn visit(&mut self, domain: DomainId, local: String) {
        let address = self.spelled(domain, &local);
        let name: Name = (domain, local);
        if self.path.contains(&name) {
            self.tell(&address, "already visited".into());
            return self.end_of_loop();
        }
        if self.done.contains(&name) {
            return self.tell(&address, "already resolved".into());
        }
        if self.too_deep(self.path.len()) {
            return self.end_of_loop();
        }
        let exact: Vec<&'a Account> = self.aliases_named(&name);
        if !exact.is_empty() {
            return self.follow(&address, name, exact);
        }
        if self.deliver(&name) {
            return;
        }
        let matching = self.aliases_matching(&name);
        match matching.is_empty() {
            true => self.tell(&address, "nobody has this name".into()),
            false => self.follow(&address, name, matching),
        }
    }

    fn aliases_named(&self, (domain, local): &Name) -> Vec<&'a Account> {
        let holders = self.index.mail.get(domain).and_then(|locals| locals.get(local));
        let ids = holders.map_or(&[][..], |holders| &holders.aliases);
        ids.iter().filter_map(|id| self.index.enabled_alias(*id)).collect()
    }

    fn aliases_matching(&self, (domain, local): &Name) -> Vec<&'a Account> {
        let index: &'a Index = self.index;
        let Some(patterns) = index.patterns.get(domain) else { return Vec::new() };
        let enabled = |ids: &[AccountId]| -> Vec<&'a Account> {
            ids.iter().filter_map(|id| index.enabled_alias(*id)).collect()
        };
        let mut found = patterns.matching(local).map(|(_, ids)| enabled(ids));
        found.find(|aliases| !aliases.is_empty()).unwrap_or_default()
    }

    fn follow(&mut self, address: &str, name: Name, aliases: Vec<&'a Account>) {
        self.path.push(name.clone());
        for alias in aliases {
            let Kind::Alias(info) = &alias.kind else { continue };
            self.tell(address, format!("alias {} → {}", alias.name, audit::list(&info.targets)));
            for target in &info.targets {
                if self.out.targets.len() >= MAX_TARGETS {
                    break;
                }
                match place(target, alias.domain, self.index) {
                    Some(Place::Ours(domain, local)) => self.visit(domain, local),
                    Some(Place::Elsewhere(address)) => self.remote(address),
                    None => self.tell(target, "not an address".into()),
                }
            }
        }
        self.path.pop();
        self.done.insert(name);
    }

    /// The way came back to itself or is too long: its last name with a mailbox or group gets the mail.
    fn end_of_loop(&mut self) {
        for name in self.path.clone().into_iter().rev() {
            if self.deliver(&name) {
                return;
            }
        }
    }

    /// Delivers to users, groups and contacts of exactly this name; false if there are none.
    fn deliver(&mut self, name: &Name) -> bool {
        let index: &'a Index = self.index;
        let holders = index.mail.get(&name.0).and_then(|locals| locals.get(&name.1));
        let Some(holders) = holders.filter(|h| !h.accounts.is_empty()) else { return false };
        let address = self.spelled(name.0, &name.1);
        for account in holders.accounts.iter().filter_map(|id| index.account(*id)) {
            self.deliver_to(&address, account, self.path.len());
        }
        true
    }

    fn deliver_to(&mut self, address: &str, account: &'a Account, depth: usize) {
        match &account.kind {
            Kind::User(_) => {
                self.tell(address, format!("user {}", account.name));
                self.add(Target::Mailbox(account.id));
            }
            Kind::Contact(_) => self.contact(address, account),
            Kind::Group(group) => {
                if !self.groups.insert(account.id) {
                    return self.tell(address, format!("group {}, already visited", account.name));
                }
                let many = group.members.len();
                self.tell(address, format!("group {} ({many} members)", account.name));
                self.members(&group.members, depth + 1);
            }
            Kind::Alias(_) => {}
        }
    }

    fn contact(&mut self, address: &str, account: &Account) {
        let elsewhere =
            account.addresses.iter().find_map(|a| match place(a, account.domain, self.index) {
                Some(Place::Elsewhere(address)) => Some(address),
                _ => None,
            });
        match elsewhere {
            Some(to) => {
                self.tell(address, format!("contact {} → {to}", account.name));
                self.add(Target::Remote(to));
            }
            None => self.tell(address, format!("contact {}, without an address", account.name)),
        }
    }

    fn members(&mut self, members: &[AccountId], depth: usize) {
        if self.too_deep(depth) {
            return;
        }
        let index: &'a Index = self.index;
        for account in members.iter().filter_map(|id| index.account(*id)) {
            let fits = match &account.kind {
                // not told one by one: groups are large
                Kind::User(_) => self.add(Target::Mailbox(account.id)),
                Kind::Contact(_) | Kind::Group(_) => {
                    self.deliver_to(&account.name, account, depth);
                    self.out.targets.len() < MAX_TARGETS
                }
                Kind::Alias(_) => true,
            };
            if !fits {
                return;
            }
        }
    }

    /// Somebody reads postmaster's mail (RFC 5321 §4.5.1), also where nobody thought of it.
    fn postmaster(&mut self, domain: DomainId) {
        let address = self.spelled(domain, "postmaster");
        self.tell(&address, "no alias and no user: the administrators".into());
        for id in self.index.administrators() {
            self.add(Target::Mailbox(id));
        }
    }
}
