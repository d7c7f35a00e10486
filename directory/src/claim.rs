//! What an account claims for itself: the one place that says which names and addresses an account has. Uniqueness
//! in the state machine, the index and the address book are all derived from it.

use std::collections::BTreeSet;

use crate::{Account, DomainId, Kind, Origin, name};

/// Kinds of names that are unique, each for itself. The numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub(crate) enum Space {
    /// Local parts by which a user or contact gets mail.
    Mail = 1,
    /// Local parts by which a group gets mail. Apart from users: both may have the same, and both receive (F9.1-2).
    GroupMail = 2,
    /// Names of groups in a domain.
    GroupName = 3,
    /// Names to sign on with that are no addresses.
    Login = 4,
    /// Kerberos principals.
    Principal = 5,
}

/// One claim.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Claim {
    pub(crate) space: Space,
    /// Unique within the space. Holds the id of the domain, never its name, so that a rename changes no claim.
    pub(crate) key: String,
}

/// Key of a local part in a domain.
pub(crate) fn mail_key(domain: DomainId, local: &str) -> String {
    format!("{}/{local}", domain.0.simple())
}

/// Where a name or address of an account leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A local part in a domain of ours.
    Ours(DomainId, String),
    /// An address elsewhere.
    Elsewhere(String),
}

/// Finds domains by any of their names.
pub(crate) trait DomainNames {
    /// The domain of this name, main or alias.
    fn domain_named(&self, name: &str) -> Option<DomainId>;
}

/// Reads an address of an account or a target of an alias: a full address, or a local part in `domain`.
pub(crate) fn place(address: &str, domain: DomainId, names: &dyn DomainNames) -> Option<Place> {
    if !address.contains('@') {
        return Some(Place::Ours(domain, name::local(address)?));
    }
    let (local, host) = name::split(address)?;
    Some(match names.domain_named(&host) {
        Some(id) => Place::Ours(id, local),
        // only its own domain knows whether case matters in a local part
        None => {
            let local = address.trim().rsplit_once('@').map_or(local.as_str(), |(local, _)| local);
            Place::Elsewhere(format!("{local}@{host}"))
        }
    })
}

/// The normal spelling of an address or local part.
pub(crate) fn spelling(text: &str, domain: DomainId, names: &dyn DomainNames) -> Option<String> {
    match place(text, domain, names)? {
        Place::Elsewhere(address) => Some(address),
        Place::Ours(_, local) if !text.contains('@') => Some(local),
        Place::Ours(..) => name::split(text).map(|(local, host)| format!("{local}@{host}")),
    }
}

/// Local parts of ours by which an account gets mail, its name included where that is an address.
pub(crate) fn mail_places(account: &Account, names: &dyn DomainNames) -> Vec<(DomainId, String)> {
    let mut places = Vec::new();
    // a stand-in name is none that anybody could write to
    if matches!(account.kind, Kind::User(_)) && name::local(&account.name).is_some() {
        places.push((account.domain, account.name.clone()));
    }
    if !matches!(account.kind, Kind::Alias(_)) {
        for address in &account.addresses {
            if let Some(Place::Ours(domain, local)) = place(address, account.domain, names) {
                places.push((domain, local));
            }
        }
    }
    let mut seen = BTreeSet::new();
    places.retain(|p| seen.insert(p.clone()));
    places
}

/// Everything that an account claims.
pub(crate) fn claims(account: &Account, names: &dyn DomainNames) -> BTreeSet<Claim> {
    let mut claims = BTreeSet::new();
    let mut add = |space, key| claims.insert(Claim { space, key });
    let mail = if matches!(account.kind, Kind::Group(_)) { Space::GroupMail } else { Space::Mail };
    for (domain, local) in mail_places(account, names) {
        add(mail, mail_key(domain, &local));
    }
    match &account.kind {
        Kind::Group(_) if name::title(&account.name).is_none() => {}
        Kind::Group(_) => {
            add(Space::GroupName, mail_key(account.domain, &account.name));
        }
        Kind::User(user) => {
            for login in &user.login_names {
                add(Space::Login, login.clone());
            }
            for principal in &user.principals {
                add(Space::Principal, principal.clone());
            }
        }
        Kind::Contact(_) | Kind::Alias(_) => {}
    }
    claims
}

/// Whether the account comes from a source.
pub(crate) fn is_mapped(account: &Account) -> bool {
    matches!(account.origin, Origin::Mapped { .. })
}
