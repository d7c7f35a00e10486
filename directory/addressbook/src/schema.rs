//! The one table of attributes: what they are called, how they are compared, where they come from. Search results,
//! filters, the subschema and the guide are derived from it.

use posthouse_cluster::Timestamp;
use posthouse_directory::{Kind, Person, PersonEntry};

use crate::tree::Tree;

/// How values are compared (RFC 4517 §4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// caseIgnoreMatch, with ordering and substrings.
    CaseIgnore,
    /// telephoneNumberMatch, with substrings.
    Telephone,
    /// distinguishedNameMatch.
    Dn,
    /// objectIdentifierMatch.
    ObjectIdentifier,
    /// uuidMatch.
    Uuid,
    /// generalizedTimeMatch, with ordering.
    Time,
    /// Only given out, never compared.
    Octets,
}

impl Rule {
    /// OID of the syntax, names of equality, ordering and substrings rules.
    fn parts(self) -> (&'static str, &'static str) {
        match self {
            Self::CaseIgnore => (
                "1.3.6.1.4.1.1466.115.121.1.15",
                "EQUALITY caseIgnoreMatch ORDERING caseIgnoreOrderingMatch SUBSTR caseIgnoreSubstringsMatch",
            ),
            Self::Telephone => (
                "1.3.6.1.4.1.1466.115.121.1.50",
                "EQUALITY telephoneNumberMatch SUBSTR telephoneNumberSubstringsMatch",
            ),
            Self::Dn => ("1.3.6.1.4.1.1466.115.121.1.12", "EQUALITY distinguishedNameMatch"),
            Self::ObjectIdentifier => {
                ("1.3.6.1.4.1.1466.115.121.1.38", "EQUALITY objectIdentifierMatch")
            }
            Self::Uuid => ("1.3.6.1.1.16.1", "EQUALITY UUIDMatch ORDERING UUIDOrderingMatch"),
            Self::Time => (
                "1.3.6.1.4.1.1466.115.121.1.24",
                "EQUALITY generalizedTimeMatch ORDERING generalizedTimeOrderingMatch",
            ),
            Self::Octets => ("1.3.6.1.4.1.1466.115.121.1.28", ""),
        }
    }
}

/// When an attribute is given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// With `*` or no selection.
    User,
    /// With `+` or by name.
    Operational,
    /// By name only: large, or costly to read.
    Named,
}

/// One attribute.
pub struct AttributeSpec {
    /// Names, the first is the one that is given out.
    pub names: &'static [&'static str],
    /// Object identifier.
    pub oid: &'static str,
    /// How it is compared.
    pub rule: Rule,
    /// When it is given out.
    pub given: Use,
    /// Whether the directory can search people by parts of it without looking at everybody.
    pub searched: bool,
    /// What it shows, for the guide.
    pub description: &'static str,
    /// Values of a person, group or contact.
    pub(crate) values: fn(&PersonEntry, &Tree) -> Vec<String>,
}

impl std::fmt::Debug for AttributeSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl AttributeSpec {
    /// The name that is given out.
    pub fn name(&self) -> &'static str {
        self.names.first().copied().unwrap_or_default()
    }

    /// AttributeTypeDescription (RFC 4512 §4.1.2).
    pub fn description(&self) -> String {
        let (syntax, rules) = self.rule.parts();
        let names: Vec<String> = self.names.iter().map(|name| format!("'{name}'")).collect();
        let usage = if self.given == Use::Operational {
            " NO-USER-MODIFICATION USAGE directoryOperation"
        } else {
            ""
        };
        let rules = if rules.is_empty() { String::new() } else { format!(" {rules}") };
        format!("( {} NAME ( {} ){rules} SYNTAX {syntax}{usage} )", self.oid, names.join(" "))
    }
}

/// The attribute of a name or OID, in any case.
pub fn attribute(name: &str) -> Option<&'static AttributeSpec> {
    ATTRIBUTES
        .iter()
        .find(|a| a.oid == name || a.names.iter().any(|n| n.eq_ignore_ascii_case(name)))
}

/// Object classes: name, OID, superior, kind, attributes that must and may be there.
pub const OBJECT_CLASSES: &[(&str, &str)] = &[
    ("top", "( 2.5.6.0 NAME 'top' ABSTRACT MUST objectClass )"),
    ("person", "( 2.5.6.6 NAME 'person' SUP top STRUCTURAL MUST ( sn $ cn ) MAY telephoneNumber )"),
    (
        "organizationalPerson",
        "( 2.5.6.7 NAME 'organizationalPerson' SUP person STRUCTURAL MAY ( title $ ou $ \
         physicalDeliveryOfficeName $ postalAddress ) )",
    ),
    (
        "inetOrgPerson",
        "( 2.16.840.1.113730.3.2.2 NAME 'inetOrgPerson' SUP organizationalPerson STRUCTURAL MAY ( \
         displayName $ givenName $ mail $ mobile $ o $ uid $ jpegPhoto ) )",
    ),
    (
        "groupOfNames",
        "( 2.5.6.9 NAME 'groupOfNames' SUP top STRUCTURAL MUST cn MAY ( member $ mail $ displayName ) )",
    ),
    ("domain", "( 0.9.2342.19200300.100.4.13 NAME 'domain' SUP top STRUCTURAL MUST dc )"),
    ("organizationalUnit", "( 2.5.6.5 NAME 'organizationalUnit' SUP top STRUCTURAL MUST ou )"),
    ("subschema", "( 2.5.20.1 NAME 'subschema' AUXILIARY MAY ( attributeTypes $ objectClasses ) )"),
];

fn one(text: &str) -> Vec<String> {
    let text = text.trim();
    if text.is_empty() { Vec::new() } else { vec![text.to_owned()] }
}

fn person<'a>(entry: &'a PersonEntry, field: impl Fn(&'a Person) -> &'a String) -> Vec<String> {
    match &entry.account.kind {
        Kind::User(user) => one(field(&user.person)),
        Kind::Contact(person) => one(field(person)),
        Kind::Group(_) | Kind::Alias(_) => Vec::new(),
    }
}

/// The name that is shown: of those who have none, their name in the domain.
pub(crate) fn shown_name(entry: &PersonEntry) -> &str {
    let shown = entry.account.display_name.trim();
    if shown.is_empty() { &entry.account.name } else { shown }
}

fn common_name(entry: &PersonEntry, tree: &Tree) -> Vec<String> {
    let mut names = one(shown_name(entry));
    if matches!(entry.account.kind, Kind::Group(_)) {
        names.push(tree.unique_name(entry));
        names.dedup();
    }
    names
}

/// Surname; the class requires one, so that those without get the last word of their name.
fn surname(entry: &PersonEntry, _: &Tree) -> Vec<String> {
    let given = person(entry, |p| &p.surname);
    if !given.is_empty() || matches!(entry.account.kind, Kind::Group(_)) {
        return given;
    }
    shown_name(entry).split_whitespace().next_back().map(one).unwrap_or_default()
}

fn uid(entry: &PersonEntry, tree: &Tree) -> Vec<String> {
    match entry.account.kind {
        Kind::User(_) => vec![tree.unique_name(entry)],
        Kind::Contact(_) | Kind::Group(_) | Kind::Alias(_) => Vec::new(),
    }
}

/// Lines of an address are divided by `$` (RFC 4517 §3.3.28).
fn postal_address(entry: &PersonEntry, _: &Tree) -> Vec<String> {
    let escaped = |text: String| text.replace('\\', "\\5C").replace('$', "\\24");
    let lines = |text: String| escaped(text).lines().map(str::trim).collect::<Vec<_>>().join("$");
    person(entry, |p| &p.postal_address).into_iter().map(lines).collect()
}

fn proxy_addresses(entry: &PersonEntry, _: &Tree) -> Vec<String> {
    let kind = |at| if at == 0 { "SMTP" } else { "smtp" };
    entry.addresses.iter().enumerate().map(|(at, a)| format!("{}:{a}", kind(at))).collect()
}

/// Classes of an entry, by kind.
pub(crate) fn classes(entry: &PersonEntry) -> &'static [&'static str] {
    match entry.account.kind {
        Kind::Group(_) => &["top", "groupOfNames"],
        Kind::User(_) | Kind::Contact(_) | Kind::Alias(_) => {
            &["top", "person", "organizationalPerson", "inetOrgPerson"]
        }
    }
}

/// GeneralizedTime in UTC, whole seconds.
pub(crate) fn generalized_time(at: Timestamp) -> String {
    let seconds = i64::try_from(at.seconds()).unwrap_or(0);
    let t = time::OffsetDateTime::from_unix_timestamp(seconds)
        .unwrap_or(time::OffsetDateTime::UNIX_EPOCH);
    format!(
        "{:04}{:02}{:02}{:02}{:02}{:02}Z",
        t.year(),
        u8::from(t.month()),
        t.day(),
        t.hour(),
        t.minute(),
        t.second()
    )
}

macro_rules! attributes {
    ($([$($name:literal),+] $oid:literal $rule:ident $given:ident $searched:literal $values:expr, $doc:literal;)*) => {
        /// All attributes.
        pub static ATTRIBUTES: &[AttributeSpec] = &[$(AttributeSpec {
            names: &[$($name),+], oid: $oid, rule: Rule::$rule, given: Use::$given, searched: $searched,
            values: $values, description: $doc,
        }),*];
    };
}

attributes! {
    ["objectClass"] "2.5.4.0" ObjectIdentifier User false
        |e, _| classes(e).iter().map(|c| (*c).to_owned()).collect(), "what kind of entry it is";
    ["cn", "commonName"] "2.5.4.3" CaseIgnore User true common_name, "display name";
    ["sn", "surname"] "2.5.4.4" CaseIgnore User true surname, "surname";
    ["givenName"] "2.5.4.42" CaseIgnore User true |e, _| person(e, |p| &p.given_name), "given name";
    ["displayName"] "2.16.840.1.113730.3.1.241" CaseIgnore User true
        |e, _| one(shown_name(e)), "display name";
    ["mail", "rfc822Mailbox"] "0.9.2342.19200300.100.1.3" CaseIgnore User true
        |e, _| e.addresses.clone(), "all addresses, the main one first";
    ["proxyAddresses"] "1.2.840.113556.1.2.210" CaseIgnore Named false
        proxy_addresses, "all addresses as `SMTP:main` and `smtp:other`";
    ["uid", "userid"] "0.9.2342.19200300.100.1.1" CaseIgnore User true
        uid, "login name, with the domain if it is not the primary one";
    ["telephoneNumber"] "2.5.4.20" Telephone User true |e, _| person(e, |p| &p.phone), "business telephone";
    ["mobile", "mobileTelephoneNumber"] "0.9.2342.19200300.100.1.41" Telephone User true
        |e, _| person(e, |p| &p.mobile), "mobile telephone";
    ["title"] "2.5.4.12" CaseIgnore User false |e, _| person(e, |p| &p.title), "job title";
    ["ou", "organizationalUnitName"] "2.5.4.11" CaseIgnore User false
        |e, _| person(e, |p| &p.department), "department";
    ["department"] "1.2.840.113556.1.2.141" CaseIgnore User false
        |e, _| person(e, |p| &p.department), "department, as Outlook asks for it";
    ["o", "organizationName"] "2.5.4.10" CaseIgnore User false |e, _| person(e, |p| &p.company), "company";
    ["company"] "1.2.840.113556.1.2.146" CaseIgnore User false
        |e, _| person(e, |p| &p.company), "company, as Outlook asks for it";
    ["physicalDeliveryOfficeName"] "2.5.4.19" CaseIgnore User false
        |e, _| person(e, |p| &p.office), "office";
    ["postalAddress"] "2.5.4.16" CaseIgnore User false
        postal_address, "postal address, its lines divided by `$`";
    ["jpegPhoto", "thumbnailPhoto"] "0.9.2342.19200300.100.1.60" Octets Named false
        |_, _| Vec::new(), "photo";
    ["member"] "2.5.4.31" Dn User false |e, t| t.members(e), "members of a group that the address book shows";
    ["memberOf"] "1.2.840.113556.1.2.102" Dn Named false
        |e, t| t.groups_of(e), "groups that the entry is in, nested ones too";
    ["dc", "domainComponent"] "0.9.2342.19200300.100.1.25" CaseIgnore User false
        |_, _| Vec::new(), "part of the domain's name";
    ["entryUUID"] "1.3.6.1.1.16.4" Uuid Operational false
        |e, _| vec![e.account.id.0.to_string()], "id that never changes";
    ["createTimestamp"] "2.5.18.1" Time Operational false
        |e, _| vec![generalized_time(e.account.created)], "when it was made";
    ["modifyTimestamp"] "2.5.18.2" Time Operational false
        |e, _| vec![generalized_time(e.account.changed)], "when it was changed";
    ["entryDN"] "1.3.6.1.1.20" Dn Operational false |e, t| vec![t.dn(e)], "its own name";
    ["structuralObjectClass"] "2.5.21.9" ObjectIdentifier Operational false
        |e, _| classes(e).last().map(|c| (*c).to_owned()).into_iter().collect(), "its main class";
    ["subschemaSubentry"] "2.5.18.10" Dn Operational false
        |_, _| vec![crate::tree::SCHEMA_DN.to_owned()], "where the schema is";
    ["namingContexts"] "1.3.6.1.4.1.1466.101.120.5" Dn Operational false
        |_, _| Vec::new(), "root: where the tree begins";
    ["supportedControl"] "1.3.6.1.4.1.1466.101.120.13" ObjectIdentifier Operational false
        |_, _| Vec::new(), "root: controls";
    ["supportedExtension"] "1.3.6.1.4.1.1466.101.120.7" ObjectIdentifier Operational false
        |_, _| Vec::new(), "root: extended operations";
    ["supportedFeatures"] "1.3.6.1.4.1.4203.1.3.5" ObjectIdentifier Operational false
        |_, _| Vec::new(), "root: features";
    ["supportedLDAPVersion"] "1.3.6.1.4.1.1466.101.120.15" CaseIgnore Operational false
        |_, _| Vec::new(), "root: versions";
    ["supportedSASLMechanisms"] "1.3.6.1.4.1.1466.101.120.14" CaseIgnore Operational false
        |_, _| Vec::new(), "root: ways to sign on";
    ["attributeTypes"] "2.5.21.5" Octets Operational false |_, _| Vec::new(), "schema: attributes";
    ["objectClasses"] "2.5.21.6" Octets Operational false |_, _| Vec::new(), "schema: classes";
}
