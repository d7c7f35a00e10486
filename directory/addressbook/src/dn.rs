//! Distinguished names as text (RFC 4514), as far as this tree needs them: one attribute in each part.

use posthouse_directory::name::search_form;

/// Most parts of a name.
const MAX_PARTS: usize = 64;

/// A name in the form that it is compared in, the leaf first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dn(pub(crate) Vec<(String, String)>);

impl Dn {
    /// Reads a name; `None` if it is not one.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text.trim().is_empty() {
            return Some(Self::default());
        }
        let mut parts = Vec::new();
        for part in split(text)? {
            let (attribute, value) = part.split_once('=')?;
            let attribute = attribute.trim().to_ascii_lowercase();
            if attribute.is_empty() || parts.len() >= MAX_PARTS {
                return None;
            }
            parts.push((attribute, search_form(&unescape(value)?)));
        }
        Some(Self(parts))
    }

    /// What is left of this name above `base`, if it lies at or below it: empty for `base` itself.
    pub(crate) fn below(&self, base: &Self) -> Option<&[(String, String)]> {
        let (leaf, rest) = self.0.split_at_checked(self.0.len().checked_sub(base.0.len())?)?;
        (rest == base.0).then_some(leaf)
    }
}

/// The parts between unescaped commas.
fn split(text: &str) -> Option<Vec<&str>> {
    let mut parts = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' | ';' => {
                parts.push(text.get(start..at)?);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text.get(start..)?);
    Some(parts)
}

fn unescape(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        let first = bytes.next()?;
        match char::from(first).to_digit(16) {
            Some(high) => {
                let low = char::from(bytes.next()?).to_digit(16)?;
                out.push(u8::try_from(high * 16 + low).ok()?);
            }
            None => out.push(first),
        }
    }
    String::from_utf8(out).ok()
}

/// A value with what has a meaning in names escaped (RFC 4514 §2.4).
pub(crate) fn escape(value: &str) -> String {
    let mut out = String::with_capacity(value.len() + 4);
    let last = value.chars().count().saturating_sub(1);
    for (at, c) in value.chars().enumerate() {
        let edge = (c == ' ' && (at == 0 || at == last)) || (c == '#' && at == 0);
        match c {
            ',' | '+' | '"' | '\\' | '<' | '>' | ';' | '=' => out.extend(['\\', c]),
            _ if edge => out.extend(['\\', c]),
            '\0' => out.push_str("\\00"),
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_compared_without_case_and_spaces() {
        for (text, want) in [
            ("", Some(vec![])),
            ("DC=Example, dc=TEST", Some(vec![("dc", "example"), ("dc", "test")])),
            (r"cn=a\,b\2Cc\\,ou=x", Some(vec![("cn", r"a,b,c\"), ("ou", "x")])),
            ("cn=a  b ,ou=x", Some(vec![("cn", "a b"), ("ou", "x")])),
            ("cn", None),
            ("=a", None),
            (r"cn=a\", None),
            (r"cn=\fg", None),
            (r"cn=\ff", None),
            ("cn=a,,ou=x", None),
        ] {
            let want = want.map(|parts| {
                Dn(parts.into_iter().map(|(a, v): (&str, &str)| (a.into(), v.into())).collect())
            });
            assert_eq!(Dn::parse(text), want, "{text:?}");
        }
        assert_eq!(Dn::parse(&"cn=a,".repeat(1_000)), None);
    }

    #[test]
    fn escaped_values_are_read_back() {
        for value in ["a,b", " a ", "#x", r#"a"b\c"#, "a+b=c;d<e>", "ü", "a\0b"] {
            let parsed = Dn::parse(&format!("cn={},dc=x", escape(value)));
            let found = parsed.map(|dn| dn.0[0].1.clone());
            assert_eq!(found, Some(search_form(value)), "{value:?}");
        }
    }

    #[test]
    fn below_is_by_whole_parts() {
        let dn = |text| Dn::parse(text).unwrap();
        let base = dn("dc=example,dc=test");
        assert_eq!(dn("ou=people,dc=example,dc=test").below(&base).map(<[_]>::len), Some(1));
        assert_eq!(base.below(&base).map(<[_]>::len), Some(0));
        assert_eq!(dn("dc=test").below(&base), None);
        assert_eq!(dn("dc=xexample,dc=test").below(&base), None);
    }
}
