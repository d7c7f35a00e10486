//! Passwords on their way from an answer to the verifier.

use std::fmt;

use rand::Rng;
use serde::{Deserialize, Serialize};

/// A password. Not shown by `Debug`.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Password(String);

impl Password {
    /// Takes a password as it is.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// A random password of about 100 bits, without characters that look alike.
    pub fn generate() -> Self {
        const ALPHABET: &[u8] = b"abcdefghijkmnpqrstuvwxyz23456789";
        let mut random = rand::rng();
        let mut text = String::new();
        for position in 0..20 {
            if position > 0 && position % 5 == 0 {
                text.push('-');
            }
            text.push(char::from(ALPHABET[random.random_range(0..ALPHABET.len())]));
        }
        Self(text)
    }

    /// The password itself.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Why it is not taken, if so.
    pub fn problem(&self) -> Option<&'static str> {
        posthouse_auth::password_problem(&self.0, &[])
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_does_not_show_the_password() {
        assert!(!format!("{:?}", Password::new("canary-canary")).contains("canary"));
    }

    #[test]
    fn a_generated_password_is_taken_and_differs_each_time() {
        let (a, b) = (Password::generate(), Password::generate());
        assert_eq!(a.problem(), None);
        assert_ne!(a, b);
    }

    #[test]
    fn short_overlong_and_nul_passwords_are_refused() {
        for text in ["", "123456789", "1234567890\0", &"x".repeat(1025)] {
            assert!(Password::new(text).problem().is_some(), "{text:?}");
        }
    }
}
