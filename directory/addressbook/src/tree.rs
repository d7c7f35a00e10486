//! The tree that people are shown in: `ou=people` and `ou=groups` below the primary domain's name.

use std::sync::Arc;

use posthouse_directory::{AccountId, Directory, Domain, Kind, PersonEntry};

use crate::{
    dn::{Dn, escape},
    schema::{ATTRIBUTES, AttributeSpec, OBJECT_CLASSES},
};

/// Where the schema is.
pub(crate) const SCHEMA_DN: &str = "cn=schema";

/// An entry that is not a person: its attributes are spelled out.
#[derive(Clone, Debug)]
pub(crate) struct Fixed {
    pub(crate) dn: String,
    pub(crate) attributes: Vec<(&'static str, Vec<String>)>,
}

/// An entry of the tree.
#[derive(Clone, Debug)]
pub(crate) enum Entry {
    Fixed(Arc<Fixed>),
    Person(Arc<PersonEntry>),
}

/// One state of the tree's upper part, and the directory for the rest.
#[derive(Clone)]
pub(crate) struct Tree {
    pub(crate) directory: Directory,
    primary: Option<Arc<Domain>>,
    /// Name of the base, `dc=example,dc=test`.
    pub(crate) base: String,
}

/// What a base names.
pub(crate) enum Node {
    /// The empty name.
    Root,
    /// The schema.
    Schema,
    /// The base of the tree.
    Base,
    /// `ou=people`.
    People,
    /// `ou=groups`.
    Groups,
    /// A person, group or contact.
    Leaf(Arc<PersonEntry>),
}

impl Tree {
    pub(crate) fn new(directory: &Directory) -> Self {
        let primary = directory.domains().into_iter().find(|domain| domain.primary);
        let parts = primary.iter().flat_map(|domain| domain.name.split('.'));
        let base: Vec<String> = parts.map(|part| format!("dc={}", escape(part))).collect();
        Self { directory: directory.clone(), primary, base: base.join(",") }
    }

    /// A user's or group's name, which is unique: with the domain if that is not the primary one.
    pub(crate) fn unique_name(&self, entry: &PersonEntry) -> String {
        let account = &entry.account;
        if self.primary.as_ref().is_some_and(|primary| primary.id == account.domain) {
            return account.name.clone();
        }
        self.sign_on_name(entry)
    }

    /// Name that a user signs on with.
    pub(crate) fn sign_on_name(&self, entry: &PersonEntry) -> String {
        let domains = self.directory.domains();
        let domain = domains.iter().find(|domain| domain.id == entry.account.domain);
        format!("{}@{}", entry.account.name, domain.map_or("", |domain| domain.name.as_str()))
    }

    /// The entry's own name.
    pub(crate) fn dn(&self, entry: &PersonEntry) -> String {
        match entry.account.kind {
            Kind::Group(_) => {
                format!("cn={},ou=groups,{}", escape(&self.unique_name(entry)), self.base)
            }
            Kind::User(_) => {
                format!("uid={},ou=people,{}", escape(&self.unique_name(entry)), self.base)
            }
            Kind::Contact(_) | Kind::Alias(_) => {
                format!("entryUUID={},ou=people,{}", entry.account.id.0, self.base)
            }
        }
    }

    /// What a name names, if the address book shows it.
    pub(crate) fn node(&self, name: &Dn) -> Option<Node> {
        if name.0.is_empty() {
            return Some(Node::Root);
        }
        if Dn::parse(SCHEMA_DN).as_ref() == Some(name) {
            return Some(Node::Schema);
        }
        let leaf = name.below(&Dn::parse(&self.base)?)?;
        let pair = |at: usize| leaf.get(at).map(|(a, v)| (a.as_str(), v.as_str()));
        match (pair(1), pair(0), leaf.len()) {
            (_, _, 0) => Some(Node::Base),
            (_, Some(("ou", "people")), 1) => Some(Node::People),
            (_, Some(("ou", "groups")), 1) => Some(Node::Groups),
            (Some(("ou", "people")), Some(("uid", name)), 2) => {
                self.named(name, |kind| matches!(kind, Kind::User(_)))
            }
            (Some(("ou", "groups")), Some(("cn", name)), 2) => {
                self.named(name, |kind| matches!(kind, Kind::Group(_)))
            }
            (Some(("ou", "people")), Some(("entryuuid", id)), 2) => {
                let entry = self.directory.entry(AccountId(id.parse().ok()?))?;
                let contact = matches!(entry.account.kind, Kind::Contact(_));
                (contact && entry.is_shown()).then_some(Node::Leaf(entry))
            }
            _ => None,
        }
    }

    fn named(&self, name: &str, kind: impl Fn(&Kind) -> bool) -> Option<Node> {
        let (name, domain) = match name.rsplit_once('@') {
            Some((name, host)) => (name, self.directory.domain_named(host)?.id),
            None => (name, self.primary.as_ref()?.id),
        };
        let mut found = self.directory.named(domain, name).into_iter();
        found.find(|entry| kind(&entry.account.kind) && entry.is_shown()).map(Node::Leaf)
    }

    /// The account that a name names.
    pub(crate) fn account_at(&self, name: &str) -> Option<AccountId> {
        match self.node(&Dn::parse(name)?)? {
            Node::Leaf(entry) => Some(entry.account.id),
            Node::Root | Node::Schema | Node::Base | Node::People | Node::Groups => None,
        }
    }

    fn names(&self, ids: impl IntoIterator<Item = AccountId>) -> Vec<String> {
        let entries = ids.into_iter().filter_map(|id| self.directory.entry(id));
        entries.filter(|entry| entry.is_shown()).map(|entry| self.dn(&entry)).collect()
    }

    /// Names of a group's members.
    pub(crate) fn members(&self, entry: &PersonEntry) -> Vec<String> {
        match &entry.account.kind {
            Kind::Group(group) => self.names(group.members.iter().copied()),
            Kind::User(_) | Kind::Contact(_) | Kind::Alias(_) => Vec::new(),
        }
    }

    /// Names of the groups that an entry is in.
    pub(crate) fn groups_of(&self, entry: &PersonEntry) -> Vec<String> {
        self.names(self.directory.groups(entry.account.id))
    }

    /// The base of the tree.
    pub(crate) fn base_entry(&self) -> Fixed {
        let primary = self.primary.as_ref().map_or("", |domain| domain.name.as_str());
        let first = primary.split('.').next().unwrap_or_default().to_owned();
        let classes = vec!["top".to_owned(), "domain".to_owned()];
        let attributes = vec![("objectClass", classes), ("dc", vec![first])];
        Fixed { dn: self.base.clone(), attributes }
    }

    /// `ou=people` or `ou=groups`.
    pub(crate) fn unit(&self, name: &str) -> Fixed {
        let classes = vec!["top".to_owned(), "organizationalUnit".to_owned()];
        let attributes = vec![("objectClass", classes), ("ou", vec![name.to_owned()])];
        Fixed { dn: format!("ou={name},{}", self.base), attributes }
    }
}

/// The schema (RFC 4512 §4.2).
pub(crate) fn schema_entry() -> Fixed {
    let classes = vec!["top".to_owned(), "subschema".to_owned()];
    Fixed {
        dn: SCHEMA_DN.to_owned(),
        attributes: vec![
            ("objectClass", classes),
            ("cn", vec!["schema".to_owned()]),
            ("attributeTypes", ATTRIBUTES.iter().map(AttributeSpec::description).collect()),
            ("objectClasses", OBJECT_CLASSES.iter().map(|(_, text)| (*text).to_owned()).collect()),
        ],
    }
}

impl Entry {
    /// Its name.
    pub(crate) fn dn(&self, tree: &Tree) -> String {
        match self {
            Self::Fixed(fixed) => fixed.dn.clone(),
            Self::Person(entry) => tree.dn(entry),
        }
    }

    /// Values of an attribute.
    pub(crate) fn values(&self, attribute: &AttributeSpec, tree: &Tree) -> Vec<String> {
        match self {
            Self::Fixed(fixed) => {
                let own = fixed.attributes.iter().find(|(name, _)| *name == attribute.name());
                own.map(|(_, values)| values.clone()).unwrap_or_default()
            }
            Self::Person(entry) => (attribute.values)(entry, tree),
        }
    }
}
