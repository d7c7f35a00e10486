//! An account's addresses as people see them.

use super::Index;
use crate::{
    Account, Kind,
    claim::{Place, place},
    name,
};

/// The address that is shown (empty if there is none) and all addresses, the shown one first.
pub(super) fn spelled(account: &Account, index: &Index) -> (String, Vec<String>) {
    let Some(domain) = index.domain(account.domain) else { return Default::default() };
    let mut all: Vec<String> = Vec::new();
    let mut add = |address: String| {
        if !all.contains(&address) {
            all.push(address);
        }
    };
    for address in &account.addresses {
        match place(address, account.domain, index) {
            Some(Place::Ours(_, local)) if !address.contains('@') => {
                add(format!("{local}@{}", domain.name));
            }
            Some(_) => add(address.clone()),
            None => {}
        }
    }
    let named = match account.kind {
        Kind::User(_) => name::local(&account.name).is_some(),
        Kind::Alias(_) => !name::is_wildcard(&account.name),
        Kind::Group(_) | Kind::Contact(_) => false,
    };
    if named {
        add(format!("{}@{}", account.name, domain.name));
    }
    (all.first().cloned().unwrap_or_default(), all)
}
