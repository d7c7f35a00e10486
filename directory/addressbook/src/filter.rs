//! Evaluation of filters: true, false or undefined (RFC 4511 §4.5.1.7).

use posthouse_directory::{Kind, name::search_form};

use crate::{
    compile::{Filter, Test, normal},
    dn::Dn,
    schema::{ATTRIBUTES, AttributeSpec, Rule, attribute},
    tree::{Entry, Tree},
};

impl Filter {
    /// Whether the entry matches; `None` is undefined.
    pub(crate) fn matches(&self, entry: &Entry, tree: &Tree) -> Option<bool> {
        match self {
            Self::And(all) => combine(all.iter().map(|f| f.matches(entry, tree)), false),
            Self::Or(any) => combine(any.iter().map(|f| f.matches(entry, tree)), true),
            Self::Not(inner) => inner.matches(entry, tree).map(|found| !found),
            Self::Item(spec, test) => test.matches(spec, entry, tree),
            Self::Any(rule, value) => Some(any_attribute(*rule, value, entry, tree)),
            Self::WithDn(inner) => {
                let own = inner.matches(entry, tree);
                if own == Some(true) { own } else { Some(in_name(inner, entry, tree)?) }
            }
            Self::Undefined => None,
        }
    }
}

/// And ends at false, or at true; otherwise one undefined makes the whole undefined.
fn combine(parts: impl Iterator<Item = Option<bool>>, end: bool) -> Option<bool> {
    let mut undefined = false;
    for part in parts {
        match part {
            Some(found) if found == end => return Some(end),
            Some(_) => {}
            None => undefined = true,
        }
    }
    (!undefined).then_some(!end)
}

fn any_attribute(rule: Rule, value: &str, entry: &Entry, tree: &Tree) -> bool {
    ATTRIBUTES.iter().filter(|spec| spec.rule == rule).any(|spec| {
        entry.values(spec, tree).iter().any(|own| normal(rule, own).as_deref() == Some(value))
    })
}

/// Whether a part of the entry's name matches.
fn in_name(filter: &Filter, entry: &Entry, tree: &Tree) -> Option<bool> {
    let name = Dn::parse(&entry.dn(tree))?;
    let equals = |wanted: Option<&AttributeSpec>, rule: Rule, value: &str| {
        name.0.iter().any(|(part, own)| {
            let spec = attribute(part);
            spec.is_some_and(|spec| {
                spec.rule == rule
                    && wanted.is_none_or(|wanted| wanted.oid == spec.oid)
                    && normal(rule, own).as_deref() == Some(value)
            })
        })
    };
    match filter {
        Filter::Item(spec, Test::Equal(value)) => Some(equals(Some(spec), spec.rule, value)),
        Filter::Any(rule, value) => Some(equals(None, *rule, value)),
        _ => None,
    }
}

impl Test {
    fn matches(&self, spec: &AttributeSpec, entry: &Entry, tree: &Tree) -> Option<bool> {
        if let Self::Account(id) = self {
            let Entry::Person(person) = entry else { return Some(false) };
            return Some(match &person.account.kind {
                Kind::Group(group) if spec.name() == "member" => group.members.contains(id),
                _ if spec.name() == "memberOf" => {
                    tree.directory.groups(person.account.id).contains(id)
                }
                _ => false,
            });
        }
        // what a photo is like is not known without reading it
        if spec.rule == Rule::Octets && matches!(entry, Entry::Person(_)) {
            return None;
        }
        let values = entry.values(spec, tree);
        match self {
            Self::Present => Some(!values.is_empty()),
            _ => Some(values.iter().any(|value| self.holds(spec.rule, value))),
        }
    }

    fn holds(&self, rule: Rule, value: &str) -> bool {
        if let Self::Exact(wanted) = self {
            return value.trim() == wanted;
        }
        let Some(own) = normal(rule, value) else { return false };
        match self {
            Self::Equal(wanted) => own == *wanted,
            Self::GreaterOrEqual(wanted) => own >= *wanted,
            Self::LessOrEqual(wanted) => own <= *wanted,
            Self::Substrings(first, any, last) => in_order(&own, first, any, last),
            Self::Approximate(words) => {
                let own = search_form(value);
                let own: Vec<&str> = own.split(|c: char| !c.is_alphanumeric()).collect();
                words.iter().all(|word| own.iter().any(|o| o.starts_with(word.as_str())))
            }
            Self::Present | Self::Exact(_) | Self::Account(_) => false,
        }
    }
}

fn in_order(own: &str, first: &Option<String>, any: &[String], last: &Option<String>) -> bool {
    let Some(mut rest) = own.strip_prefix(first.as_deref().unwrap_or_default()) else {
        return false;
    };
    for piece in any {
        let Some((_, after)) = rest.split_once(piece.as_str()) else { return false };
        rest = after;
    }
    last.as_ref().is_none_or(|last| rest.ends_with(last.as_str()))
}
