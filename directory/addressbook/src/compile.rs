//! Filters in the form that they are evaluated in: attributes looked up, values normalized once.

use ldap3_proto::proto::{LdapFilter, LdapMatchingRuleAssertion, LdapSubstringFilter};
use posthouse_directory::{
    AccountId,
    name::{fold, search_form, telephone_form},
};

use crate::{
    dn::Dn,
    schema::{AttributeSpec, Rule, attribute},
    tree::Tree,
};

/// Most items of one filter.
pub(crate) const MAX_ITEMS: usize = 1_024;
/// Most texts that people are narrowed down by.
const MAX_NEEDLES: usize = 64;

/// A filter (RFC 4511 §4.5.1.7).
#[derive(Debug)]
pub(crate) enum Filter {
    And(Vec<Filter>),
    Or(Vec<Filter>),
    Not(Box<Filter>),
    /// A test of one attribute.
    Item(&'static AttributeSpec, Test),
    /// Extensible match without a type: any attribute with this rule.
    Any(Rule, String),
    /// Extensible match that also looks at the names.
    WithDn(Box<Filter>),
    /// Unknown attribute, rule or value: neither true nor false.
    Undefined,
}

/// What is asked of an attribute. Values are in normal form.
#[derive(Debug)]
pub(crate) enum Test {
    Present,
    Equal(String),
    /// caseExactMatch, by extensible match only.
    Exact(String),
    /// Pieces in order; the first and the last may be bound to the ends.
    Substrings(Option<String>, Vec<String>, Option<String>),
    GreaterOrEqual(String),
    LessOrEqual(String),
    /// Every word begins a word of the value.
    Approximate(Vec<String>),
    /// `member` or `memberOf` is this account.
    Account(AccountId),
}

/// The normal form of a value, or `None` if it is not one of this kind.
pub(crate) fn normal(rule: Rule, value: &str) -> Option<String> {
    match rule {
        Rule::CaseIgnore => Some(search_form(value)),
        Rule::Telephone => Some(telephone_form(value)),
        Rule::ObjectIdentifier => Some(class_name(value)),
        Rule::Uuid => uuid::Uuid::parse_str(value).ok().map(|uuid| uuid.to_string()),
        Rule::Time => time(value),
        Rule::Dn => Dn::parse(value).map(|dn| {
            let parts: Vec<String> = dn.0.iter().map(|(a, v)| format!("{a}={v}")).collect();
            parts.join("\n")
        }),
        Rule::Octets => None,
    }
}

/// A class or attribute by name, also where it was given by OID.
fn class_name(value: &str) -> String {
    let by_oid = crate::schema::OBJECT_CLASSES
        .iter()
        .find(|(_, text)| text.split_whitespace().nth(1) == Some(value.trim()));
    by_oid.map_or_else(|| fold(value.trim()), |(name, _)| fold(name))
}

/// GeneralizedTime to seconds, in UTC only. Fractions are cut off.
fn time(value: &str) -> Option<String> {
    let digits = value.strip_suffix('Z')?;
    let digits = digits.split(['.', ',']).next()?;
    let good = (10..=14).contains(&digits.len()) && digits.len() % 2 == 0;
    let good = good && digits.bytes().all(|b| b.is_ascii_digit());
    good.then(|| format!("{digits:0<14}"))
}

/// Builds the form that is evaluated; `None` if the filter has too many items.
pub(crate) fn compile(filter: &LdapFilter, tree: &Tree) -> Option<Filter> {
    let mut left = MAX_ITEMS;
    build(filter, tree, &mut left)
}

fn build(filter: &LdapFilter, tree: &Tree, left: &mut usize) -> Option<Filter> {
    *left = left.checked_sub(1)?;
    Some(match filter {
        LdapFilter::And(all) => Filter::And(each(all, tree, left)?),
        LdapFilter::Or(any) => Filter::Or(each(any, tree, left)?),
        LdapFilter::Not(inner) => Filter::Not(Box::new(build(inner, tree, left)?)),
        LdapFilter::Present(name) => item(name, |_| Some(Test::Present)),
        LdapFilter::Equality(name, value) => item(name, |spec| equal(spec, value, tree)),
        LdapFilter::Approx(name, value) => item(name, |spec| match spec.rule {
            Rule::CaseIgnore => Some(Test::Approximate(words(value))),
            _ => equal(spec, value, tree),
        }),
        LdapFilter::GreaterOrEqual(name, value) => {
            item(name, |spec| ordered(spec, value).map(Test::GreaterOrEqual))
        }
        LdapFilter::LessOrEqual(name, value) => {
            item(name, |spec| ordered(spec, value).map(Test::LessOrEqual))
        }
        LdapFilter::Substring(name, pieces) => item(name, |spec| substrings(spec, pieces)),
        LdapFilter::Extensible(assertion) => extensible(assertion, tree),
    })
}

fn each(filters: &[LdapFilter], tree: &Tree, left: &mut usize) -> Option<Vec<Filter>> {
    filters.iter().map(|filter| build(filter, tree, left)).collect()
}

/// An attribute with options (`cn;lang-de`) is none that we have.
fn item(name: &str, test: impl FnOnce(&'static AttributeSpec) -> Option<Test>) -> Filter {
    let Some(spec) = attribute(name.trim()) else { return Filter::Undefined };
    test(spec).map_or(Filter::Undefined, |test| Filter::Item(spec, test))
}

fn equal(spec: &AttributeSpec, value: &str, tree: &Tree) -> Option<Test> {
    if matches!(spec.name(), "member" | "memberOf") {
        return tree.account_at(value).map(Test::Account);
    }
    normal(spec.rule, value).map(Test::Equal)
}

fn ordered(spec: &AttributeSpec, value: &str) -> Option<String> {
    matches!(spec.rule, Rule::CaseIgnore | Rule::Time | Rule::Uuid)
        .then(|| normal(spec.rule, value))
        .flatten()
}

fn words(value: &str) -> Vec<String> {
    search_form(value)
        .split(|c: char| !c.is_alphanumeric())
        .filter(|w| !w.is_empty())
        .map(str::to_owned)
        .collect()
}

/// A piece of a value: as the whole value, but one space at an end stays.
fn piece(rule: Rule, text: &str) -> String {
    if rule == Rule::Telephone {
        return telephone_form(text);
    }
    let mut piece = search_form(text);
    if text.starts_with(char::is_whitespace) {
        piece.insert(0, ' ');
    }
    if text.ends_with(char::is_whitespace) && piece != " " {
        piece.push(' ');
    }
    piece
}

fn substrings(spec: &AttributeSpec, pieces: &LdapSubstringFilter) -> Option<Test> {
    if !matches!(spec.rule, Rule::CaseIgnore | Rule::Telephone) {
        return None;
    }
    let initial = pieces.initial.as_ref().map(|p| piece(spec.rule, p));
    let last = pieces.final_.as_ref().map(|p| piece(spec.rule, p));
    let any: Vec<String> = pieces.any.iter().map(|p| piece(spec.rule, p)).collect();
    let nothing = initial.is_none() && last.is_none() && any.is_empty();
    (!nothing).then_some(Test::Substrings(
        initial.map(|p| p.trim_start().to_owned()),
        any,
        last.map(|p| p.trim_end().to_owned()),
    ))
}

/// What a matching rule compares, by name or OID (RFC 4517 §4.2).
enum Matching {
    By(Rule),
    Exact,
}

fn matching(rule: &str) -> Option<Matching> {
    Some(match rule.to_ascii_lowercase().as_str() {
        "caseignorematch" | "2.5.13.2" => Matching::By(Rule::CaseIgnore),
        "caseexactmatch" | "2.5.13.5" => Matching::Exact,
        "telephonenumbermatch" | "2.5.13.20" => Matching::By(Rule::Telephone),
        "distinguishednamematch" | "2.5.13.1" => Matching::By(Rule::Dn),
        "objectidentifiermatch" | "2.5.13.0" => Matching::By(Rule::ObjectIdentifier),
        "uuidmatch" | "1.3.6.1.1.16.2" => Matching::By(Rule::Uuid),
        "generalizedtimematch" | "2.5.13.27" => Matching::By(Rule::Time),
        _ => return None,
    })
}

fn extensible(assertion: &LdapMatchingRuleAssertion, tree: &Tree) -> Filter {
    let value = &assertion.match_value;
    let filter = match (&assertion.type_, assertion.matching_rule.as_deref().map(matching)) {
        (_, Some(None)) | (None, None) => Filter::Undefined,
        (Some(name), None) => item(name, |spec| equal(spec, value, tree)),
        (Some(name), Some(Some(Matching::Exact))) => item(name, |spec| {
            (spec.rule == Rule::CaseIgnore).then(|| Test::Exact(value.trim().to_owned()))
        }),
        (Some(name), Some(Some(Matching::By(rule)))) => {
            item(name, |spec| (spec.rule == rule).then(|| equal(spec, value, tree)).flatten())
        }
        (None, Some(Some(Matching::Exact))) => Filter::Undefined,
        (None, Some(Some(Matching::By(rule)))) => {
            normal(rule, value).map_or(Filter::Undefined, |value| Filter::Any(rule, value))
        }
    };
    if assertion.dn_attributes { Filter::WithDn(Box::new(filter)) } else { filter }
}

/// What narrows people down: everybody whom the filter can match has one of these.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Needles {
    /// A text in name, address or telephone number.
    Texts(Vec<String>),
    /// An address.
    Addresses(Vec<String>),
}

impl Needles {
    /// How much it narrows down: an address names one, a long text few.
    fn strength(&self) -> usize {
        match self {
            Self::Texts(texts) => texts.iter().map(String::len).min().unwrap_or(0),
            Self::Addresses(_) => usize::MAX,
        }
    }

    /// What everybody has who has one of either.
    fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Addresses(a), Self::Addresses(b)) => Self::Addresses([a, b].concat()),
            (Self::Texts(a) | Self::Addresses(a), Self::Texts(b) | Self::Addresses(b)) => {
                Self::Texts([a, b].concat())
            }
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Texts(all) | Self::Addresses(all) => all.len(),
        }
    }
}

impl Filter {
    /// What narrows people down; `None` if all must be looked at.
    pub(crate) fn needles(&self) -> Option<Needles> {
        match self {
            Self::And(all) => all.iter().filter_map(Self::needles).max_by_key(Needles::strength),
            Self::Or(any) => {
                let each: Option<Vec<Needles>> = any.iter().map(Self::needles).collect();
                let needles = each?.into_iter().reduce(Needles::or)?;
                (needles.len() <= MAX_NEEDLES).then_some(needles)
            }
            Self::Item(spec, Test::Equal(address)) if spec.name() == "mail" => {
                Some(Needles::Addresses(vec![address.clone()]))
            }
            Self::Item(spec, test) if spec.searched => {
                test.needle().map(|needle| Needles::Texts(vec![needle]))
            }
            Self::Item(..) | Self::Not(_) | Self::Any(..) | Self::WithDn(_) | Self::Undefined => {
                None
            }
        }
    }
}

impl Test {
    fn needle(&self) -> Option<String> {
        let longest = |pieces: &mut dyn Iterator<Item = &String>| {
            pieces.map(|p| p.trim()).max_by_key(|p| p.len()).map(str::to_owned)
        };
        let needle = match self {
            Self::Equal(value) => Some(value.clone()),
            Self::Exact(value) => Some(search_form(value)),
            Self::Substrings(first, any, last) => longest(&mut first.iter().chain(any).chain(last)),
            Self::Approximate(words) => longest(&mut words.iter()),
            Self::Present | Self::GreaterOrEqual(_) | Self::LessOrEqual(_) | Self::Account(_) => {
                None
            }
        };
        needle.filter(|needle| !needle.trim().is_empty())
    }
}
