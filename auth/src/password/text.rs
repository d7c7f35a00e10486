//! Names and passwords as they come from a client.

use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

use crate::Reason;

/// Longest password in bytes.
pub(crate) const MAX_PASSWORD: usize = 1024;
/// Longest name in bytes.
pub(crate) const MAX_NAME: usize = 1024;

/// A password as the client sent it. Wiped when dropped, never shown.
#[derive(Clone)]
pub(crate) struct Password(Zeroizing<String>);

impl Password {
    /// Refuses what is too long, holds NUL, or is empty (an LDAP bind with an empty password succeeds without
    /// proving anything: RFC 4513 §5.1.2).
    pub(crate) fn new(text: &str) -> Result<Self, Reason> {
        if text.is_empty() {
            return Err(Reason::WrongPassword);
        }
        if text.len() > MAX_PASSWORD {
            return Err(Reason::Malformed("the password is too long".to_owned()));
        }
        if text.contains('\0') {
            return Err(Reason::Malformed("the password holds NUL".to_owned()));
        }
        Ok(Self(Zeroizing::new(text.to_owned())))
    }

    /// As the client sent it: what a directory gets.
    pub(crate) fn as_sent(&self) -> &str {
        &self.0
    }

    /// RFC 8265 §4.2 OpaqueString, so that the same key strokes are the same password on every system: spaces of other
    /// scripts become U+0020, then NFC.
    pub(crate) fn prepared(&self) -> Zeroizing<String> {
        prepare(&self.0)
    }
}

/// See [`Password::prepared`].
pub(crate) fn prepare(text: &str) -> Zeroizing<String> {
    let space = |c: char| if c.is_whitespace() && !c.is_ascii() { ' ' } else { c };
    Zeroizing::new(text.chars().map(space).nfc().collect())
}

/// Refuses names that no directory can hold.
pub(crate) fn check_name(name: &str) -> Result<(), Reason> {
    if name.is_empty() || name.len() > MAX_NAME {
        return Err(Reason::Malformed("the name is empty or too long".to_owned()));
    }
    if name.contains('\0') {
        return Err(Reason::Malformed("the name holds NUL".to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_that_prove_nothing_or_break_protocols_are_refused() {
        let long = "x".repeat(MAX_PASSWORD + 1);
        for (text, good) in [
            ("", false),
            ("a\0b", false),
            (long.as_str(), false),
            (&long[1..], true),
            ("pass word", true),
            ("пароль", true),
        ] {
            assert_eq!(Password::new(text).is_ok(), good, "{} bytes", text.len());
        }
    }

    #[test]
    fn the_same_key_strokes_are_the_same_password() {
        for (one, other, same) in [
            ("caf\u{e9}", "cafe\u{301}", true),
            ("a\u{a0}b", "a b", true),
            ("Secret", "secret", false),
            ("a\u{ff41}", "aa", false),
        ] {
            assert_eq!(prepare(one) == prepare(other), same, "{one:?} {other:?}");
        }
    }
}
