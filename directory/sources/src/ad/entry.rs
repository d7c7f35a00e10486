//! An LDAP entry as it came, with access by attribute name.

use std::collections::BTreeMap;

use uuid::Uuid;

/// Values of one attribute.
pub type Values = Vec<Vec<u8>>;

/// An entry: distinguished name and attributes, their names in lower case and without options.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// Distinguished name without the parts of the extended form.
    pub dn: String,
    /// Values by attribute name.
    pub attributes: BTreeMap<String, Values>,
    /// Where the values of `member` go on, if there are more than one answer holds (MS-ADTS §3.1.1.3.1.3.3).
    pub more_members: Option<u32>,
}

impl Entry {
    /// An entry from what the protocol brought: the distinguished name may be of the extended form, `member` may be a range.
    pub fn new(dn: &str, attributes: impl IntoIterator<Item = (String, Values)>) -> Self {
        let mut entry = Self { dn: split_extended_dn(dn).1.to_owned(), ..Self::default() };
        for (description, values) in attributes {
            let description = description.to_ascii_lowercase();
            let (name, option) = description.split_once(';').unwrap_or((&description, ""));
            if let Some(range) = option.strip_prefix("range=") {
                entry.more_members = range
                    .split_once('-')
                    .and_then(|(_, last)| last.parse::<u32>().ok())
                    .and_then(|last| last.checked_add(1));
            }
            entry.attributes.entry(name.to_owned()).or_default().extend(values);
        }
        entry
    }

    /// All values as text; those that are not UTF-8 are left out.
    pub fn texts(&self, name: &str) -> impl Iterator<Item = &str> {
        self.attributes
            .get(name)
            .into_iter()
            .flatten()
            .filter_map(|value| std::str::from_utf8(value).ok())
    }

    /// The first value as text, trimmed; empty if there is none.
    pub fn text(&self, name: &str) -> &str {
        self.texts(name).next().unwrap_or_default().trim()
    }

    /// The first value as a number.
    pub fn number(&self, name: &str) -> Option<i64> {
        self.texts(name).next()?.trim().parse().ok()
    }

    /// The first value.
    pub fn bytes(&self, name: &str) -> Option<&[u8]> {
        self.attributes.get(name)?.first().map(Vec::as_slice)
    }

    /// objectGUID, as it is stored.
    pub fn guid(&self) -> Option<[u8; 16]> {
        self.bytes("objectguid")?.try_into().ok()
    }
}

/// Takes `<GUID=…>;<SID=…>;CN=…` (MS-ADTS §3.1.1.3.4.1.5) apart: objectGUID as it is stored, and the plain name.
pub fn split_extended_dn(text: &str) -> (Option<[u8; 16]>, &str) {
    let (mut guid, mut rest) = (None, text);
    while let Some((part, after)) = rest.strip_prefix('<').and_then(|r| r.split_once(">;")) {
        if let Some(text) = part.strip_prefix("GUID=") {
            guid = Uuid::parse_str(text).ok().map(|uuid| uuid.to_bytes_le());
        }
        rest = after;
    }
    (guid, rest)
}

/// An objectGUID as tools show it.
pub fn guid_text(key: &[u8]) -> String {
    <[u8; 16]>::try_from(key).map_or_else(
        |_| key.iter().map(|byte| format!("{byte:02x}")).collect(),
        |bytes| Uuid::from_bytes_le(bytes).to_string(),
    )
}
