//! Domains and accounts.

use posthouse_cluster::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// An account: user, group or alias. Never used twice; the mailbox of a user has the same id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AccountId(pub Uuid);

/// A mail domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DomainId(pub Uuid);

/// An external directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SourceId(pub Uuid);

/// A store of the cluster: number of its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StoreId(pub u64);

/// A mail domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Domain {
    /// Its id.
    pub id: DomainId,
    /// Its name, lower case, A-labels.
    pub name: String,
    /// Other names for the same domain (domain aliases, and its names before a rename).
    pub aliases: Vec<String>,
    /// Whether this is the primary domain: names without a domain belong here. Exactly one is.
    pub primary: bool,
    /// Description for administrators.
    pub description: String,
}

/// Where an account comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Origin {
    /// It lives only here.
    Local,
    /// It is mapped from a source.
    Mapped {
        /// Which.
        source: SourceId,
        /// objectGUID or its like, as bytes: what the account is known by for ever.
        key: Vec<u8>,
        /// Distinguished name at the last reading; only for display and for binding.
        dn: String,
    },
}

/// Whether an account may be used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// It may.
    #[default]
    Enabled,
    /// It may not sign on; mail is still delivered. The text is the cause (`disabled by administrator`, `disabled
    /// in the directory`, `no longer in the directory`).
    Disabled(String),
}

/// What an account may administer (F8.1-3). Ordered by strength.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum Rights {
    /// Nothing.
    #[default]
    None,
    /// Accounts of the own domain.
    OwnDomain,
    /// Everything, reading only.
    ReadOnly,
    /// Everything.
    Full,
}

/// How a local user's password is verified, or a secret derived for it. Never leaves the directory in
/// an API answer or a log line.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PasswordVerifier(pub String);

impl std::fmt::Debug for PasswordVerifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PasswordVerifier(…)")
    }
}

/// What the address book shows of a person besides name and addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Person {
    /// Given name.
    pub given_name: String,
    /// Surname.
    pub surname: String,
    /// Job title.
    pub title: String,
    /// Department.
    pub department: String,
    /// Company.
    pub company: String,
    /// Office.
    pub office: String,
    /// Business telephone.
    pub phone: String,
    /// Mobile telephone.
    pub mobile: String,
    /// Street, city, postal code, country as one text.
    pub postal_address: String,
    /// Photo (JPEG), at most [`Person::MAX_PHOTO`] bytes. Only for changes: `None` keeps the present photo, an empty
    /// one removes it. Accounts that are read never have it; see [`crate::Directory::photo`].
    pub photo: Option<Vec<u8>>,
}

impl Person {
    /// Largest photo in bytes.
    pub const MAX_PHOTO: usize = 100 * 1024;
}

/// What an account is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// Somebody with a mailbox.
    User(User),
    /// Somebody without a mailbox who is only shown in the address book.
    Contact(Person),
    /// Many.
    Group(GroupInfo),
    /// A pattern that stands for others (F12.3).
    Alias(AliasInfo),
}

/// A user's part of an account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Person.
    pub person: Person,
    /// Kerberos principals `user@REALM`, realm upper case, that are this user.
    pub principals: Vec<String>,
    /// `DOMAIN\name`, userPrincipalName and other names that this user may sign on with, lower case.
    pub login_names: Vec<String>,
    /// For local users.
    pub password: Option<PasswordVerifier>,
    /// When a mapped account expires.
    pub expires: Option<Timestamp>,
    /// Own rights; the effective right is the strongest of own and those of groups (F8.1-4).
    pub rights: Rights,
    /// Largest sum of item sizes in bytes.
    pub quota_bytes: Option<u64>,
    /// Largest number of items.
    pub quota_items: Option<u64>,
    /// Where the mailbox is.
    pub store: Option<StoreId>,
}

/// A group's part of an account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupInfo {
    /// Members: users, groups, contacts.
    pub members: Vec<AccountId>,
    /// Rights that members get.
    pub rights: Rights,
}

/// An alias' part of an account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AliasInfo {
    /// Targets: full addresses, local or not; or names in the alias' own domain.
    pub targets: Vec<String>,
}

/// A user, group, contact or alias.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Its id.
    pub id: AccountId,
    /// Its domain.
    pub domain: DomainId,
    /// Its name in the domain: login name of a user, name of a group, pattern of an alias (`sales`, `info*`, `*`).
    /// Lower case.
    pub name: String,
    /// How it is shown.
    pub display_name: String,
    /// Local parts in the domain, or full addresses in any domain of ours, by which it gets mail besides
    /// `name@domain` (users; groups have only these). The first full or partial one is the one that is shown.
    pub addresses: Vec<String>,
    /// Where it comes from.
    pub origin: Origin,
    /// Whether it may be used.
    pub state: State,
    /// Whether the address book shows it.
    pub published: bool,
    /// Description for administrators.
    pub description: String,
    /// What it is.
    pub kind: Kind,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last changed.
    pub changed: Timestamp,
}

impl Account {
    /// The user's part, if it is a user.
    pub fn user(&self) -> Option<&User> {
        match &self.kind {
            Kind::User(user) => Some(user),
            _ => None,
        }
    }
}
