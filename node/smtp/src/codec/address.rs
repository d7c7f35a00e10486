//! Mailbox addresses of the envelope (RFC 5321 §4.1.2, RFC 6531 §3.3).

use std::{fmt, net::IpAddr};

use hickory_resolver::proto::rr::Name;

/// Longest local part in bytes (RFC 5321 §4.5.3.1.1).
const MAX_LOCAL_PART: usize = 64;
/// Longest domain in bytes (RFC 5321 §4.5.3.1.2).
pub(super) const MAX_DOMAIN: usize = 255;
/// Longest path in bytes without the angle brackets (RFC 5321 §4.5.3.1.3).
const MAX_PATH: usize = 254;

/// Local part and domain of an envelope address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    local: String,
    domain: String,
}

/// A path as it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// The address.
    pub address: Address,
    /// Characters beyond ASCII were used, so SMTPUTF8 must have been asked for.
    pub international: bool,
}

impl Address {
    /// Reads `local@domain` without angle brackets. Source routes, control characters and lengths above the limits
    /// are refused. The domain becomes lower case and A-labels, a quoted local part loses its quotes if it can.
    pub fn parse(text: &str) -> Option<Path> {
        if text.len() > MAX_PATH || text.chars().any(char::is_control) {
            return None;
        }
        let (local, rest) = local_part(text)?;
        let domain = domain(rest.strip_prefix('@')?)?;
        // A-labels are longer than what they stand for
        if local.len() + 1 + domain.len() > MAX_PATH {
            return None;
        }
        Some(Path { address: Self { local, domain }, international: !text.is_ascii() })
    }

    /// The local part as it stands in a path, quoted if it must be.
    pub fn local(&self) -> &str {
        &self.local
    }

    /// The domain: lower case A-labels, or an address literal in brackets.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// Whether the local part needs quotes. No account or alias has such a name.
    pub fn is_quoted(&self) -> bool {
        self.local.starts_with('"')
    }

    /// Whether the next hop must know SMTPUTF8.
    pub fn needs_utf8(&self) -> bool {
        !self.local.is_ascii()
    }

    /// Postmaster without a domain (RFC 5321 §4.5.1), at this domain.
    pub fn postmaster(domain: &str) -> Self {
        Self { local: "postmaster".to_owned(), domain: domain.to_owned() }
    }

    /// The address of an address literal, if the domain is one.
    pub fn literal(&self) -> Option<IpAddr> {
        literal(&self.domain)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.local, self.domain)
    }
}

/// The local part at the start of `text`, and the rest.
fn local_part(text: &str) -> Option<(String, &str)> {
    let (local, rest) = if let Some(quoted) = text.strip_prefix('"') {
        quoted_string(quoted)?
    } else {
        let (local, rest) = text.split_at_checked(text.find('@')?)?;
        if !is_dot_string(local) {
            return None;
        }
        (local.to_owned(), rest)
    };
    (1..=MAX_LOCAL_PART).contains(&local.len()).then_some((local, rest))
}

/// What follows an opening quote: the local part in its simplest form, and the rest.
fn quoted_string(text: &str) -> Option<(String, &str)> {
    let mut content = String::new();
    let mut chars = text.char_indices();
    let end = loop {
        match chars.next()? {
            (at, '"') => break at + 1,
            (_, '\\') => match chars.next() {
                Some((_, c)) if c.is_ascii() => content.push(c),
                _ => return None,
            },
            (_, c) => content.push(c),
        }
    };
    let rest = text.get(end..)?;
    if is_dot_string(&content) {
        return Some((content, rest));
    }
    let mut quoted = String::from("\"");
    for c in content.chars() {
        if matches!(c, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    Some((quoted, rest))
}

fn is_dot_string(text: &str) -> bool {
    let is_atext =
        |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c) || !c.is_ascii();
    text.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atext))
}

fn domain(text: &str) -> Option<String> {
    if text.starts_with('[') {
        return literal(text).map(|_| text.to_ascii_lowercase());
    }
    let ascii = if text.is_ascii() {
        text.to_ascii_lowercase()
    } else {
        // IDNA (RFC 5891): a look-alike of a domain of ours becomes a different A-label
        let name = Name::from_utf8(text).ok()?;
        name.to_ascii().trim_end_matches('.').to_ascii_lowercase()
    };
    is_domain(&ascii).then_some(ascii)
}

/// Labels of letters, digits, hyphens and underscores (seen in the wild), at most 63 bytes each.
fn is_domain(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    (1..=MAX_DOMAIN).contains(&text.len()) && text.split('.').all(is_label)
}

/// `[192.0.2.1]` or `[IPv6:2001:db8::1]` (RFC 5321 §4.1.3).
fn literal(text: &str) -> Option<IpAddr> {
    let inner = text.strip_prefix('[')?.strip_suffix(']')?;
    match inner.get(..5) {
        Some(tag) if tag.eq_ignore_ascii_case("ipv6:") => {
            inner.get(5..)?.parse().ok().map(IpAddr::V6)
        }
        _ => inner.parse().ok().map(IpAddr::V4),
    }
}
