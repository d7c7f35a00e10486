//! Audit lines in words, without secrets.

use crate::{Account, Kind, Rights, State};

/// What an account is, as a word.
pub(crate) fn kind(account: &Account) -> &'static str {
    match account.kind {
        Kind::User(_) => "user",
        Kind::Contact(_) => "contact",
        Kind::Group(_) => "group",
        Kind::Alias(_) => "alias",
    }
}

/// Rights in words.
fn rights(rights: Rights) -> &'static str {
    match rights {
        Rights::None => "none",
        Rights::OwnDomain => "own domain",
        Rights::ReadOnly => "everything, reading only",
        Rights::Full => "everything",
    }
}

fn state(state: &State) -> String {
    match state {
        State::Enabled => "enabled".into(),
        State::Disabled(cause) => format!("disabled ({cause})"),
    }
}

fn changed<T: PartialEq>(out: &mut Vec<String>, what: &str, a: &T, b: &T) {
    if a != b {
        out.push(what.to_owned());
    }
}

/// What differs between an account before and after: values where they are short and matter, else only what.
pub(crate) fn differences(a: &Account, b: &Account) -> String {
    let mut out = Vec::new();
    if a.name != b.name {
        out.push(format!("name {} to {}", a.name, b.name));
    }
    if a.state != b.state {
        out.push(state(&b.state));
    }
    if a.addresses != b.addresses {
        out.push(format!("addresses {}", list(&b.addresses)));
    }
    changed(&mut out, "domain", &a.domain, &b.domain);
    changed(&mut out, "display name", &a.display_name, &b.display_name);
    changed(&mut out, "description", &a.description, &b.description);
    changed(&mut out, "origin", &a.origin, &b.origin);
    if a.published != b.published {
        out.push(if b.published { "published" } else { "hidden" }.into());
    }
    match (&a.kind, &b.kind) {
        (Kind::User(a), Kind::User(b)) => {
            changed(&mut out, "person", &a.person, &b.person);
            changed(&mut out, "principals", &a.principals, &b.principals);
            changed(&mut out, "login names", &a.login_names, &b.login_names);
            changed(&mut out, "password", &a.password, &b.password);
            changed(&mut out, "expiry", &a.expires, &b.expires);
            if a.rights != b.rights {
                out.push(format!("rights {} to {}", rights(a.rights), rights(b.rights)));
            }
            changed(&mut out, "quota", &a.quota_bytes, &b.quota_bytes);
            changed(&mut out, "quota of items", &a.quota_items, &b.quota_items);
            changed(&mut out, "store", &a.store, &b.store);
        }
        (Kind::Group(a), Kind::Group(b)) => {
            if a.members != b.members {
                out.push(format!("members ({} to {})", a.members.len(), b.members.len()));
            }
            if a.rights != b.rights {
                out.push(format!("rights {} to {}", rights(a.rights), rights(b.rights)));
            }
        }
        (Kind::Alias(a), Kind::Alias(b)) if a.targets != b.targets => {
            out.push(format!("targets {}", list(&b.targets)));
        }
        (a, b) => changed(&mut out, "person", a, b),
    }
    out.join(", ")
}

/// The first few of a list.
pub(crate) fn list(items: &[String]) -> String {
    const SHOWN: usize = 10;
    match items.len() {
        0 => "none".into(),
        n if n <= SHOWN => items.join(", "),
        n => format!("{} and {} more", items[..SHOWN].join(", "), n - SHOWN),
    }
}
