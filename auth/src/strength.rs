//! Which new passwords are taken. One rule for set-up, pages, API and command line.

use std::collections::HashSet;

/// Shortest password in characters.
pub const PASSWORD_MIN: usize = 10;

/// Longest password in bytes: argon2 takes more, but nobody types more.
const MAX_BYTES: usize = 1024;

/// Fewest different characters, without case.
const MIN_DIFFERENT: usize = 5;

/// Why a new password is not good enough, in words; `None` if it is. `names` are those of its owner: it must not contain them.
pub fn password_problem(password: &str, names: &[&str]) -> Option<&'static str> {
    let folded = password.to_lowercase();
    let different: HashSet<char> = folded.chars().collect();
    if password.chars().count() < PASSWORD_MIN {
        Some("the password needs at least 10 characters")
    } else if password.len() > MAX_BYTES {
        Some("the password is longer than 1,024 bytes")
    } else if password.chars().any(char::is_control) {
        Some("the password has control characters")
    } else if different.len() < MIN_DIFFERENT {
        Some("the password has too few different characters")
    } else if names.iter().any(|name| name.len() > 3 && folded.contains(&name.to_lowercase())) {
        Some("the password contains the name")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weak_passwords_are_named() {
        for (password, weak) in [
            ("", true),
            ("123456789", true),
            ("1234567890\0", true),
            ("aaaaaaaaaaaa", true),
            ("Anna.Meier-2026", true),
            ("with\u{7}bell-and-more", true),
            ("correct horse battery", false),
            ("größer-als-zehn", false),
            ("1234567890", false),
        ] {
            assert_eq!(password_problem(password, &["anna", "x"]).is_some(), weak, "{password:?}");
        }
        assert!(password_problem(&"ab3de".repeat(300), &[]).is_some());
    }

    #[test]
    fn the_text_and_the_constant_agree() {
        assert!(
            password_problem("", &[]).is_some_and(|text| text.contains(&PASSWORD_MIN.to_string()))
        );
    }
}
