//! Flags: what is allowed, and how they change.

use crate::{FlagChange, Flags, Refusal};

/// All bits that mean something.
const SYSTEM: u8 = Flags::SEEN | Flags::ANSWERED | Flags::FLAGGED | Flags::DELETED | Flags::DRAFT;

/// Flags as they are stored: bits, and sorted keywords joined by spaces.
pub(crate) fn check(flags: &Flags) -> Result<(u8, Option<String>), Refusal> {
    let mut keywords: Vec<&str> = flags.keywords.iter().map(String::as_str).collect();
    let allowed = |word: &&str| {
        (1..=Flags::MAX_KEYWORD).contains(&word.len())
            && !word.chars().any(|c| c.is_whitespace() || c.is_control())
    };
    if !keywords.iter().all(allowed) {
        return Err(Refusal::Limit(format!("keyword of {} bytes", Flags::MAX_KEYWORD)));
    }
    keywords.sort_unstable();
    keywords.dedup_by(|a, b| same(a, b));
    if keywords.len() > Flags::MAX_KEYWORDS {
        return Err(Refusal::Limit(format!("{} keywords on an item", Flags::MAX_KEYWORDS)));
    }
    let joined = (!keywords.is_empty()).then(|| keywords.join(" "));
    Ok((flags.system & SYSTEM, joined))
}

/// What the flags are after a change.
pub(crate) fn change(before: &Flags, change: FlagChange, by: &Flags) -> Flags {
    let among = |words: &[String], word: &String| words.iter().any(|other| same(other, word));
    match change {
        FlagChange::Replace => {
            // keep the spelling of what stays
            let mut keywords = before.keywords.clone();
            keywords.retain(|word| among(&by.keywords, word));
            keywords
                .extend(by.keywords.iter().filter(|word| !among(&before.keywords, word)).cloned());
            Flags { system: by.system, keywords }
        }
        FlagChange::Add => {
            let mut keywords = before.keywords.clone();
            keywords
                .extend(by.keywords.iter().filter(|word| !among(&before.keywords, word)).cloned());
            Flags { system: before.system | by.system, keywords }
        }
        FlagChange::Remove => {
            let mut keywords = before.keywords.clone();
            keywords.retain(|word| !among(&by.keywords, word));
            Flags { system: before.system & !by.system, keywords }
        }
    }
}

/// Whether two keywords are the same one.
pub(crate) fn same(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(system: u8, words: &[&str]) -> Flags {
        Flags { system, keywords: words.iter().map(|word| word.to_string()).collect() }
    }

    #[test]
    fn flags_change() {
        use FlagChange::*;
        for (before, how, by, after) in [
            (flags(1, &["A"]), Add, flags(2, &["a", "b"]), flags(3, &["A", "b"])),
            (flags(3, &["A", "b"]), Remove, flags(1, &["B"]), flags(2, &["A"])),
            (flags(3, &["A", "b"]), Replace, flags(8, &["a", "C"]), flags(8, &["A", "C"])),
            (flags(3, &["A"]), Replace, flags(0, &[]), flags(0, &[])),
        ] {
            assert_eq!(change(&before, how, &by), after, "{before:?} {how:?} {by:?}");
        }
    }

    #[test]
    fn keywords_are_bounded() {
        let many: Vec<String> = (0..65).map(|n| format!("k{n}")).collect();
        let long = "x".repeat(129);
        for (words, allowed) in [
            (vec!["$Forwarded".to_owned()], true),
            (many[..64].to_vec(), true),
            (many, false),
            (vec![long], false),
            (vec!["a b".into()], false),
            (vec![String::new()], false),
            (vec!["a\0".into()], false),
        ] {
            assert_eq!(
                check(&Flags { system: 0, keywords: words.clone() }).is_ok(),
                allowed,
                "{words:?}"
            );
        }
        assert_eq!(check(&flags(255, &["b", "a", "A"])), Ok((31, Some("A b".into()))));
    }
}
