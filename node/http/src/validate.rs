//! Bounds of what administrators type.

use crate::Problem;

/// Longest text of one line in bytes.
pub(crate) const LINE: usize = 256;

/// Longest text of several lines in bytes.
pub(crate) const TEXT: usize = 4096;

/// Most addresses of an account, targets of an alias, controllers of a source.
pub(crate) const LIST: usize = 1000;

/// One line of at most [`LINE`] bytes without control characters.
pub(crate) fn line(field: &str, value: &str) -> Result<String, Problem> {
    bounded(field, value, LINE, false)
}

/// Text of at most [`TEXT`] bytes; line breaks are allowed.
pub(crate) fn text(field: &str, value: &str) -> Result<String, Problem> {
    bounded(field, value, TEXT, true)
}

/// A list of at most [`LIST`] lines; empty ones are left out.
pub(crate) fn lines(field: &str, values: &[String]) -> Result<Vec<String>, Problem> {
    if values.len() > LIST {
        return Err(Problem::invalid(field, format!("more than {LIST} entries")));
    }
    values
        .iter()
        .map(|value| line(field, value))
        .filter(|value| !value.as_ref().is_ok_and(String::is_empty))
        .collect()
}

/// Text of at most `max` bytes without control characters besides line breaks, where allowed.
pub(crate) fn bounded(
    field: &str,
    value: &str,
    max: usize,
    breaks: bool,
) -> Result<String, Problem> {
    let value = value.trim();
    if value.len() > max {
        return Err(Problem::invalid(field, format!("longer than {max} bytes")));
    }
    let control = |c: char| c.is_control() && !(breaks && matches!(c, '\n' | '\r' | '\t'));
    if value.chars().any(control) {
        return Err(Problem::invalid(field, "control characters are not allowed"));
    }
    Ok(value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_injection_in_names_is_refused() {
        for (value, good) in [
            ("Anna Meier", true),
            ("Anna\r\nBcc: eve@evil.example", false),
            ("Anna\nMeier", false),
            ("nul\0", false),
            ("esc\u{1b}[31m", false),
        ] {
            assert_eq!(line("display_name", value).is_ok(), good, "{value:?}");
        }
        assert!(text("description", "two\nlines").is_ok());
        assert!(line("name", &"x".repeat(LINE + 1)).is_err());
    }
}
