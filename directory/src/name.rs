//! Names and addresses: how they are normalized and which are allowed (F7.2-1, F8.2-2, F12.3-7).
//!
//! Everything that is compared goes through here first, so that two spellings of one name are one name.

use unicode_normalization::UnicodeNormalization;

/// Longest local part in bytes (RFC 5321 §4.5.3.1.1).
pub const MAX_LOCAL: usize = 64;
/// Longest domain in bytes (RFC 5321 §4.5.3.1.2; 253 without the final dot).
pub const MAX_DOMAIN: usize = 253;
/// Longest name of a group or contact in bytes.
const MAX_TITLE: usize = 256;

/// Folds text for comparison: compatibility forms and case do not matter.
pub fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    text.nfkc().flat_map(char::to_lowercase).nfc().collect()
}

/// Text in the form that people are searched by: folded, and runs of white space are one space.
pub fn search_form(text: &str) -> String {
    let folded = fold(text);
    let mut words = folded.split_whitespace();
    let mut out = words.next().unwrap_or_default().to_owned();
    for word in words {
        out.push(' ');
        out.push_str(word);
    }
    out
}

/// A telephone number as LDAP compares it: without spaces and hyphens (RFC 4518 §2.6.3).
pub fn telephone_form(text: &str) -> String {
    fold(text).chars().filter(|c| !c.is_whitespace() && *c != '-').collect()
}

/// A domain name in lower-case A-labels, or `None` if it is not one.
pub fn domain(text: &str) -> Option<String> {
    let name = idna::domain_to_ascii(text.trim()).ok()?;
    let good_label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    (name.len() <= MAX_DOMAIN && name.split('.').all(good_label)).then_some(name)
}

/// A login name or local part of ours, folded, or `None` if it has other characters than F12.3-7 allows.
pub fn local(text: &str) -> Option<String> {
    pattern(text).filter(|name| !is_wildcard(name))
}

/// The name of an alias: as [`local`], also with `?` and `*`.
pub fn pattern(text: &str) -> Option<String> {
    let name = fold(text.trim());
    let good = |b: u8| {
        b.is_ascii_lowercase()
            || b.is_ascii_digit()
            || matches!(b, b'.' | b'-' | b'_' | b'?' | b'*')
    };
    let dots = name.starts_with('.') || name.ends_with('.') || name.contains("..");
    (!name.is_empty() && name.len() <= MAX_LOCAL && !dots && name.bytes().all(good)).then_some(name)
}

/// The name of a group or contact, which is no address: printable text without `@` and `~`, folded.
pub fn title(text: &str) -> Option<String> {
    let name = fold(text.trim());
    let good = |c: char| !c.is_control() && !matches!(c, '@' | '~' | '\\' | '"');
    (!name.is_empty() && name.len() <= MAX_TITLE && name.chars().all(good)).then_some(name)
}

/// Whether the name of an alias is a pattern.
pub fn is_wildcard(name: &str) -> bool {
    name.contains(['*', '?'])
}

/// Takes an address apart into folded local part and domain in A-labels. The local part may be any that mail can
/// be sent to, not only one of ours.
pub fn split(address: &str) -> Option<(String, String)> {
    let (local, host) = address.trim().rsplit_once('@')?;
    let local = local.strip_prefix('"').and_then(|l| l.strip_suffix('"')).unwrap_or(local);
    let local = fold(local);
    let good = |c: char| !c.is_control() && c != ' ';
    let fits = !local.is_empty() && local.len() <= MAX_LOCAL && local.chars().all(good);
    Some((fits.then_some(local)?, domain(host)?))
}

/// A Kerberos principal in the form that it is compared in: name in lower case, realm in upper case.
pub fn principal(text: &str) -> Option<String> {
    let (name, realm) = text.trim().rsplit_once('@')?;
    let good =
        |part: &str| !part.is_empty() && part.len() <= 256 && !part.chars().any(char::is_control);
    (good(name) && good(realm)).then(|| format!("{}@{}", fold(name), realm.to_uppercase()))
}

/// Whether `name` matches the pattern: `*` any characters, `?` exactly one (F12.3-2). Linear in memory, at worst
/// the product of both lengths in time; both are bounded by [`MAX_LOCAL`].
pub fn matches(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    let (mut p, mut n, mut retry) = (0, 0, None);
    while let Some(&c) = name.get(n) {
        match pattern.get(p) {
            Some('*') => {
                retry = Some((p, n));
                p += 1;
            }
            Some(&want) if want == '?' || want == c => (p, n) = (p + 1, n + 1),
            _ => match retry {
                Some((star, from)) => {
                    retry = Some((star, from + 1));
                    (p, n) = (star + 1, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(p).all(|&c| c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_folded_and_only_allowed_characters_pass() {
        for (text, want) in [
            ("anna", Some("anna")),
            (" Anna.B-c_9 ", Some("anna.b-c_9")),
            ("ＡＮＮＡ", Some("anna")),
            ("", None),
            (".anna", None),
            ("anna.", None),
            ("a..b", None),
            ("an na", None),
            ("jürgen", None),
            ("a*", None),
            ("a@b", None),
            ("a\0b", None),
        ] {
            assert_eq!(local(text).as_deref(), want, "{text:?}");
        }
        assert_eq!(local(&"a".repeat(64)).map(|n| n.len()), Some(64));
        assert_eq!(local(&"a".repeat(65)), None);
        assert_eq!(pattern("info*?").as_deref(), Some("info*?"));
    }

    #[test]
    fn domains_become_a_labels() {
        for (text, want) in [
            ("Example.TEST", Some("example.test")),
            ("bücher.test", Some("xn--bcher-kva.test")),
            ("XN--BCHER-KVA.test", Some("xn--bcher-kva.test")),
            ("a_b.test", None),
            (".test", None),
            ("test.", None),
            ("a..b", None),
            ("-a.test", None),
            ("", None),
            ("a b.test", None),
        ] {
            assert_eq!(domain(text).as_deref(), want, "{text:?}");
        }
    }

    #[test]
    fn addresses_are_taken_apart() {
        for (text, want) in [
            ("Anna@Example.test", Some(("anna", "example.test"))),
            ("\"anna\"@example.test", Some(("anna", "example.test"))),
            ("o'brien+x@example.test", Some(("o'brien+x", "example.test"))),
            ("anna", None),
            ("@example.test", None),
            ("anna@", None),
            ("an na@example.test", None),
            ("anna\r\n@example.test", None),
        ] {
            let want = want.map(|(l, d)| (l.to_owned(), d.to_owned()));
            assert_eq!(split(text), want, "{text:?}");
        }
    }

    #[test]
    fn star_matches_any_and_question_mark_one() {
        for (p, n, want) in [
            ("*", "", true),
            ("*", "x", true),
            ("info*", "info", true),
            ("info*", "information", true),
            ("info*", "inf", false),
            ("?nna", "anna", true),
            ("?nna", "nna", false),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxbyy", false),
            ("*a", "aaaa", true),
            ("a?*", "a", false),
        ] {
            assert_eq!(matches(p, n), want, "{p} {n}");
        }
        let many = "*a".repeat(31);
        assert!(!matches(&many, &"a".repeat(30)), "a hostile pattern ends");
    }

    #[test]
    fn principals_fold_the_name_and_raise_the_realm() {
        assert_eq!(principal("Anna@ad.test").as_deref(), Some("anna@AD.TEST"));
        assert_eq!(principal("anna"), None);
    }
}
