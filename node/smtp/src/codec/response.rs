//! What a next hop answers (RFC 5321 §4.2), read with bounds.

use super::{LineError, LineReader};

/// Longest line of an answer in bytes (RFC 5321 §4.5.3.1.5 has 512).
const MAX_LINE: usize = 2048;
/// Most lines of one answer.
const MAX_LINES: usize = 128;

/// A whole answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// Reply code.
    pub code: u16,
    /// Lines without code and separator. From a stranger: escape before showing.
    pub lines: Vec<String>,
}

impl Response {
    /// 2xx or 3xx.
    pub fn is_positive(&self) -> bool {
        (200..400).contains(&self.code)
    }

    /// 5xx.
    pub fn is_permanent(&self) -> bool {
        (500..600).contains(&self.code)
    }

    /// The enhanced status code at the start of the text (RFC 2034), if its class fits the reply code.
    pub fn enhanced(&self) -> Option<&str> {
        let word = self.lines.first()?.split(' ').next()?;
        let (class, rest) = word.split_once('.')?;
        let (subject, detail) = rest.split_once('.')?;
        let number = |s: &str| (1..=3).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_digit());
        let fits = class == (self.code / 100).to_string();
        (fits && number(subject) && number(detail)).then_some(word)
    }

    /// The answer on one line, printable, at most 400 characters.
    pub fn text(&self) -> String {
        let text = format!("{} {}", self.code, self.lines.join(" "));
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(400).collect()
    }
}

/// Puts answers together from bytes.
#[derive(Debug, Default)]
pub struct ResponseReader {
    reader: LineReader,
    code: u16,
    lines: Vec<String>,
}

impl ResponseReader {
    /// The next answer, taken out of `buffer`; `None` if more bytes are needed. The error says what was wrong.
    pub fn next(&mut self, buffer: &mut Vec<u8>) -> Result<Option<Response>, &'static str> {
        loop {
            let line = match self.reader.next(buffer, MAX_LINE) {
                Ok(Some(line)) => line,
                Ok(None) => return Ok(None),
                Err(LineError::Bare) => return Err("its answer has a bare CR or LF"),
                Err(LineError::TooLong) => return Err("its answer has a line that is too long"),
            };
            let line = String::from_utf8_lossy(&line);
            let code = line.get(..3).filter(|c| c.bytes().all(|b| b.is_ascii_digit()));
            let code: u16 = code.and_then(|c| c.parse().ok()).ok_or("its answer has no code")?;
            if !(200..600).contains(&code) || (!self.lines.is_empty() && code != self.code) {
                return Err("its answer has a wrong code");
            }
            let more = match line.as_bytes().get(3) {
                Some(b'-') => true,
                Some(b' ') | None => false,
                Some(_) => return Err("its answer has no separator"),
            };
            self.code = code;
            self.lines.push(line.get(4..).unwrap_or_default().to_owned());
            if self.lines.len() > MAX_LINES {
                return Err("its answer has too many lines");
            }
            if !more {
                return Ok(Some(Response { code, lines: std::mem::take(&mut self.lines) }));
            }
        }
    }
}
