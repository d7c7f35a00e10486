//! Which entries a search finds, and what it shows of them. Blocks, but for nothing else than time on a processor.

use std::{collections::BTreeMap, sync::Arc};

use ldap3_proto::{
    control::ServerSortRequet as SortKey,
    proto::{
        LdapPartialAttribute, LdapResultCode, LdapSearchRequest, LdapSearchResultEntry,
        LdapSearchScope as Scope,
    },
};
use posthouse_directory::{Kind, PersonEntry, PersonQuery};

use crate::{
    compile::{Filter, Needles, compile, normal},
    dn::Dn,
    schema::{ATTRIBUTES, AttributeSpec, Use, attribute},
    tree::{Entry, Fixed, Node, Tree, schema_entry},
};

#[cfg(test)]
mod tests;

/// Most attributes that are named in one request.
const MAX_NAMED: usize = 256;
/// Entries between two looks at the clock.
const STRIDE: usize = 32;

/// A search that is refused before it begins.
#[derive(Debug, PartialEq)]
pub(crate) struct Refusal(pub(crate) LdapResultCode, pub(crate) &'static str);

/// A search, ready to run.
pub(crate) struct Query {
    node: Node,
    scope: Scope,
    filter: Filter,
    tree: Tree,
    root: Fixed,
}

/// What a search found, and how it ended: success, sizeLimitExceeded, timeLimitExceeded.
pub(crate) struct Found {
    pub(crate) entries: Vec<Entry>,
    pub(crate) code: LdapResultCode,
}

impl Query {
    /// Looks up base and filter. `root` is the entry of the empty name.
    pub(crate) fn new(
        request: &LdapSearchRequest,
        tree: Tree,
        root: Fixed,
    ) -> Result<Self, Refusal> {
        let base = Dn::parse(&request.base)
            .ok_or(Refusal(LdapResultCode::InvalidDNSyntax, "the base is not a name"))?;
        let node = tree
            .node(&base)
            .ok_or(Refusal(LdapResultCode::NoSuchObject, "there is no such entry"))?;
        let filter = compile(&request.filter, &tree)
            .ok_or(Refusal(LdapResultCode::AdminLimitExceeded, "the filter has too many items"))?;
        Ok(Self { node, scope: request.scope.clone(), filter, tree, root })
    }

    /// Whether it is answered by looking addresses up, which takes microseconds.
    pub(crate) fn is_look_up(&self) -> bool {
        matches!(self.filter.needles(), Some(Needles::Addresses(_)))
    }

    /// Runs the search: at most `limit` entries; `late` ends it.
    pub(crate) fn run(&self, limit: usize, late: &dyn Fn() -> bool) -> Found {
        let mut found = Found { entries: Vec::new(), code: LdapResultCode::Success };
        for fixed in self.fixed() {
            let entry = Entry::Fixed(Arc::new(fixed));
            if !self.visit(entry, limit, &mut found) {
                return found;
            }
        }
        if let Node::Leaf(entry) = &self.node {
            if matches!(self.scope, Scope::Base | Scope::Subtree) {
                self.visit(Entry::Person(entry.clone()), limit, &mut found);
            }
            return found;
        }
        let Some(shown) = self.people() else { return found };
        let mut query = PersonQuery::default();
        match self.filter.needles() {
            Some(Needles::Texts(texts)) => query.contains_any = texts,
            Some(Needles::Addresses(addresses)) => query.addresses = addresses,
            None => {}
        }
        let mut seen = 0;
        self.tree.directory.people(&query, &mut |entry| {
            seen += 1;
            if seen % STRIDE == 0 && late() {
                found.code = LdapResultCode::TimeLimitExceeded;
                return false;
            }
            !shown(entry) || self.visit(Entry::Person(entry.clone()), limit, &mut found)
        });
        found
    }

    /// Whether an entry matches; undefined is no.
    pub(crate) fn matches(&self, entry: &Entry) -> bool {
        self.filter.matches(entry, &self.tree) == Some(true)
    }

    /// Adds an entry if it matches; false ends the search.
    fn visit(&self, entry: Entry, limit: usize, found: &mut Found) -> bool {
        if !self.matches(&entry) {
            return true;
        }
        if found.entries.len() >= limit {
            found.code = LdapResultCode::SizeLimitExceeded;
            return false;
        }
        found.entries.push(entry);
        true
    }

    /// Entries in scope that are no people.
    fn fixed(&self) -> Vec<Fixed> {
        let tree = &self.tree;
        let units = || vec![tree.unit("people"), tree.unit("groups")];
        let with_units = || [vec![tree.base_entry()], units()].concat();
        match (&self.node, &self.scope) {
            (Node::Root, Scope::Base) => vec![self.root.clone()],
            (Node::Root, Scope::OneLevel) | (Node::Base, Scope::Base) => vec![tree.base_entry()],
            (Node::Root, Scope::Subtree | Scope::Children) | (Node::Base, Scope::Subtree) => {
                with_units()
            }
            (Node::Base, Scope::OneLevel | Scope::Children) => units(),
            (Node::People, Scope::Base | Scope::Subtree) => vec![tree.unit("people")],
            (Node::Groups, Scope::Base | Scope::Subtree) => vec![tree.unit("groups")],
            (Node::Schema, Scope::Base | Scope::Subtree) => vec![schema_entry()],
            (Node::People | Node::Groups | Node::Schema | Node::Leaf(_), _) => Vec::new(),
        }
    }

    /// Which people are in scope; `None`: none are.
    fn people(&self) -> Option<fn(&PersonEntry) -> bool> {
        match (&self.node, &self.scope) {
            (_, Scope::Base) | (Node::Root | Node::Base, Scope::OneLevel) => None,
            (Node::Schema | Node::Leaf(_), _) => None,
            (Node::Root | Node::Base, _) => Some(|_| true),
            (Node::People, _) => Some(|entry| !is_group(entry)),
            (Node::Groups, _) => Some(is_group),
        }
    }
}

fn is_group(entry: &PersonEntry) -> bool {
    matches!(entry.account.kind, Kind::Group(_))
}

/// Sorts entries (RFC 2891): those without the attribute last. The error names a key that is unknown.
pub(crate) fn sort(entries: &mut [Entry], keys: &[SortKey], tree: &Tree) -> Result<(), String> {
    let mut specs = Vec::new();
    for key in keys {
        let spec = attribute(&key.attribute_name).ok_or_else(|| key.attribute_name.clone())?;
        specs.push((spec, key.reverse_order));
    }
    entries.sort_by_cached_key(|entry| {
        let first = |spec: &AttributeSpec| {
            entry.values(spec, tree).first().and_then(|value| normal(spec.rule, value))
        };
        let key = |&(spec, reverse): &(&AttributeSpec, bool)| match (first(spec), reverse) {
            (None, _) => (true, Direction::Up(String::new())),
            (Some(value), false) => (false, Direction::Up(value)),
            (Some(value), true) => (false, Direction::Down(std::cmp::Reverse(value))),
        };
        specs.iter().map(key).collect::<Vec<_>>()
    });
    Ok(())
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Direction {
    Up(String),
    Down(std::cmp::Reverse<String>),
}

/// Which attributes are shown (RFC 4511 §4.5.1.8).
#[derive(Clone, Debug, Default)]
pub(crate) struct Selection {
    user: bool,
    operational: bool,
    /// As the client spells them.
    named: Vec<(String, &'static AttributeSpec)>,
    types_only: bool,
}

impl Selection {
    pub(crate) fn new(request: &LdapSearchRequest) -> Self {
        let mut selection = Self { types_only: request.typesonly, ..Self::default() };
        selection.user = request.attrs.is_empty();
        for name in request.attrs.iter().take(MAX_NAMED) {
            match name.as_str() {
                "*" => selection.user = true,
                "+" => selection.operational = true,
                _ => selection.named.extend(attribute(name).map(|spec| (name.clone(), spec))),
            }
        }
        selection
    }

    /// Whether photos must be read.
    pub(crate) fn wants_photo(&self) -> bool {
        self.named.iter().any(|(_, spec)| spec.name() == "jpegPhoto")
    }

    fn shows(&self, spec: &AttributeSpec, fixed: bool) -> bool {
        match spec.given {
            Use::User => self.user,
            Use::Operational if fixed => self.user || self.operational,
            Use::Operational => self.operational,
            Use::Named => false,
        }
    }

    /// An entry as it is sent.
    pub(crate) fn render(
        &self,
        entry: &Entry,
        photo: Option<Vec<u8>>,
        tree: &Tree,
    ) -> LdapSearchResultEntry {
        let fixed = matches!(entry, Entry::Fixed(_));
        let mut chosen: BTreeMap<&str, (&str, &AttributeSpec)> = BTreeMap::new();
        for spec in ATTRIBUTES.iter().filter(|spec| self.shows(spec, fixed)) {
            chosen.insert(spec.oid, (spec.name(), spec));
        }
        for (name, spec) in &self.named {
            chosen.insert(spec.oid, (name, spec));
        }
        let mut attributes = Vec::with_capacity(chosen.len());
        for (name, spec) in chosen.into_values() {
            let mut vals: Vec<Vec<u8>> =
                entry.values(spec, tree).into_iter().map(String::into_bytes).collect();
            if spec.name() == "jpegPhoto" {
                vals.extend(photo.clone());
            }
            if vals.is_empty() {
                continue;
            }
            if self.types_only {
                vals.clear();
            }
            attributes.push(LdapPartialAttribute { atype: name.to_owned(), vals });
        }
        LdapSearchResultEntry { dn: entry.dn(tree), attributes }
    }
}
