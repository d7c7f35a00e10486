//! Folder names: levels separated by `/`, Unicode.

/// The name that needs no creating.
pub(crate) const INBOX: &str = "INBOX";
/// Longest level in bytes.
const MAX_LEVEL: usize = 255;
/// Longest name in bytes.
const MAX_NAME: usize = 1000;
/// Deepest level.
const MAX_LEVELS: usize = 16;

/// The name as it is stored: INBOX as the first level in capitals. `None` if it is not allowed.
pub(crate) fn normal(name: &str) -> Option<String> {
    if name.len() > MAX_NAME || name.split('/').count() > MAX_LEVELS {
        return None;
    }
    let allowed = |level: &str| {
        !level.is_empty() && level.len() <= MAX_LEVEL && !level.chars().any(char::is_control)
    };
    if !name.split('/').all(allowed) {
        return None;
    }
    match name.split_once('/') {
        None if name.eq_ignore_ascii_case(INBOX) => Some(INBOX.into()),
        Some((first, rest)) if first.eq_ignore_ascii_case(INBOX) => Some(format!("{INBOX}/{rest}")),
        _ => Some(name.into()),
    }
}

/// All folders above a name, the highest first.
pub(crate) fn parents(name: &str) -> impl Iterator<Item = &str> {
    name.match_indices('/').map(|(at, _)| name.get(..at).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_allowed_or_not() {
        let long = "x".repeat(256);
        let deep = ["a"; 17].join("/");
        let wide = vec!["abcdefgh".repeat(30); 5].join("/");
        for (name, expected) in [
            ("Work", Some("Work")),
            ("inbox", Some("INBOX")),
            ("iNbOx/Work", Some("INBOX/Work")),
            ("Work/inbox", Some("Work/inbox")),
            ("Größe/日本", Some("Größe/日本")),
            ("", None),
            ("/a", None),
            ("a/", None),
            ("a//b", None),
            ("a\u{0}", None),
            ("a\nb", None),
            (&long, None),
            (&deep, None),
            (&wide, None),
        ] {
            assert_eq!(normal(name).as_deref(), expected, "{name:?}");
        }
        assert_eq!(parents("a/b/c").collect::<Vec<_>>(), ["a", "a/b"]);
    }
}
