//! Entries of an Active Directory → what Posthouse knows of them.

use posthouse_cluster::Timestamp;
use posthouse_directory::Person;

use super::{Entry, split_extended_dn};

/// ADS_UF_ACCOUNTDISABLE in userAccountControl (MS-ADTS §2.2.16).
pub const ACCOUNT_DISABLE: i64 = 0x2;

/// Seconds from 1601 (FILETIME, MS-DTYP §2.3.3) to 1970.
const EPOCH_1601: i64 = 11_644_473_600;

/// One entry of the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappedEntry {
    /// objectGUID as it is stored: what the entry is known by for ever.
    pub key: Vec<u8>,
    /// Distinguished name.
    pub dn: String,
    /// How it is shown.
    pub display_name: String,
    /// Addresses, the one to show first.
    pub addresses: Vec<String>,
    /// What it is.
    pub kind: MappedKind,
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MappedKind {
    /// A user.
    User(Users),
    /// A group, with the keys of its members.
    Group {
        /// sAMAccountName.
        name: String,
        /// objectGUIDs of direct members.
        members: Vec<Vec<u8>>,
    },
    /// Somebody elsewhere.
    Contact(Person),
}

/// What is known of a user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Users {
    /// sAMAccountName in lower case.
    pub account_name: String,
    /// userPrincipalName in lower case; empty if there is none.
    pub principal_name: String,
    /// Whether userAccountControl says so.
    pub disabled: bool,
    /// accountExpires.
    pub expires: Option<Timestamp>,
    /// Person, without photo.
    pub person: Person,
}

/// Why an entry is not mapped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Skipped {
    /// It has no objectGUID; the right to read is missing, or this is no Active Directory.
    #[error("{0} has no objectGUID")]
    NoKey(String),
    /// A user or group without a name.
    #[error("{0} has no sAMAccountName")]
    NoName(String),
    /// Neither user nor group nor contact.
    #[error("{0} is neither user nor group nor contact")]
    OtherKind(String),
}

/// Maps one entry. Members of a group must be of the extended form and complete.
pub fn map(entry: &Entry) -> Result<MappedEntry, Skipped> {
    let key = entry.guid().ok_or_else(|| Skipped::NoKey(entry.dn.clone()))?;
    let has_class = |class: &str| entry.texts("objectclass").any(|c| c.eq_ignore_ascii_case(class));
    let name = || match entry.text("samaccountname") {
        "" => Err(Skipped::NoName(entry.dn.clone())),
        name => Ok(name.to_owned()),
    };
    let kind = if has_class("group") {
        MappedKind::Group { name: name()?, members: members(entry) }
    } else if has_class("contact") {
        MappedKind::Contact(person(entry))
    } else if has_class("user") {
        MappedKind::User(Users {
            account_name: name()?.to_lowercase(),
            principal_name: entry.text("userprincipalname").to_lowercase(),
            disabled: entry.number("useraccountcontrol").is_some_and(|f| f & ACCOUNT_DISABLE != 0),
            expires: entry.number("accountexpires").and_then(expiry),
            person: person(entry),
        })
    } else {
        return Err(Skipped::OtherKind(entry.dn.clone()));
    };
    let display_name = match (entry.text("displayname"), entry.text("cn")) {
        ("", "") => entry.text("samaccountname"),
        ("", cn) => cn,
        (shown, _) => shown,
    };
    Ok(MappedEntry {
        key: key.to_vec(),
        dn: entry.dn.clone(),
        display_name: display_name.to_owned(),
        addresses: addresses(entry),
        kind,
    })
}

/// accountExpires: 0 and the largest number mean never.
fn expiry(value: i64) -> Option<Timestamp> {
    if value == 0 || value == i64::MAX {
        return None;
    }
    let milliseconds = value / 10_000 - EPOCH_1601 * 1_000;
    Some(Timestamp(u64::try_from(milliseconds).unwrap_or_default()))
}

/// The primary of proxyAddresses (`SMTP:` in capitals), else mail, then the others; lower case, each once.
fn addresses(entry: &Entry) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut add = |address: &str| {
        let address = address.trim().to_lowercase();
        if address.contains('@') && !found.contains(&address) {
            found.push(address);
        }
    };
    let proxies: Vec<_> =
        entry.texts("proxyaddresses").filter_map(|value| value.split_once(':')).collect();
    proxies.iter().filter(|(kind, _)| *kind == "SMTP").for_each(|(_, address)| add(address));
    add(entry.text("mail"));
    proxies
        .iter()
        .filter(|(kind, _)| kind.eq_ignore_ascii_case("smtp"))
        .for_each(|(_, address)| add(address));
    found
}

fn members(entry: &Entry) -> Vec<Vec<u8>> {
    let mut keys: Vec<Vec<u8>> = entry
        .texts("member")
        .filter_map(|dn| split_extended_dn(dn).0)
        .map(|guid| guid.to_vec())
        .collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

fn person(entry: &Entry) -> Person {
    let text = |name: &str| entry.text(name).to_owned();
    Person {
        given_name: text("givenname"),
        surname: text("sn"),
        title: text("title"),
        department: text("department"),
        company: text("company"),
        office: text("physicaldeliveryofficename"),
        phone: text("telephonenumber"),
        mobile: text("mobile"),
        postal_address: postal_address(entry),
        photo: None,
    }
}

/// Street; postal code and place; state; country: a line each.
fn postal_address(entry: &Entry) -> String {
    let town = format!("{} {}", entry.text("postalcode"), entry.text("l"));
    [entry.text("streetaddress"), town.trim(), entry.text("st"), entry.text("co")]
        .into_iter()
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join("\n")
        .replace('\r', "")
}
