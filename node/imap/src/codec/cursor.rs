//! Reads the lexical elements of RFC 9051 §9 from a command.

use bytes::Bytes;

use super::{
    frame::RawCommand,
    limits,
    set::{SeqNumber, SequenceSet},
};

/// A command that is not one. The text goes to the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Syntax error.
    #[error("{0}")]
    Bad(&'static str),
    /// SEARCH in a charset other than US-ASCII and UTF-8.
    #[error("unknown charset")]
    BadCharset,
}

pub(super) type Result<T> = std::result::Result<T, ParseError>;

pub(super) fn bad<T>(text: &'static str) -> Result<T> {
    Err(ParseError::Bad(text))
}

/// atom-specials are `(`, `)`, `{`, SP, CTL, `%`, `*`, `"`, `\`, `]`.
pub(super) const fn is_atom_char(byte: u8) -> bool {
    matches!(byte, 0x21..=0x7e)
        && !matches!(byte, b'(' | b')' | b'{' | b'%' | b'*' | b'"' | b'\\' | b']')
}

pub(super) const fn is_astring_char(byte: u8) -> bool {
    is_atom_char(byte) || byte == b']'
}

const fn is_list_char(byte: u8) -> bool {
    is_astring_char(byte) || matches!(byte, b'%' | b'*') || byte >= 0x80
}

/// A place in a command.
pub(super) struct Cursor<'a> {
    text: &'a [u8],
    literals: std::slice::Iter<'a, Bytes>,
    keys: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(command: &'a RawCommand) -> Self {
        Self { text: &command.text, literals: command.literals.iter(), keys: 0 }
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.text.first().copied()
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.text.is_empty()
    }

    pub(super) fn end(&self) -> Result<()> {
        if self.is_at_end() { Ok(()) } else { bad("something follows the command") }
    }

    /// Takes `byte` if it comes next.
    pub(super) fn take(&mut self, byte: u8) -> bool {
        match self.text.strip_prefix(&[byte]) {
            Some(rest) => {
                self.text = rest;
                true
            }
            None => false,
        }
    }

    pub(super) fn expect(&mut self, byte: u8, text: &'static str) -> Result<()> {
        if self.take(byte) { Ok(()) } else { bad(text) }
    }

    pub(super) fn space(&mut self) -> Result<()> {
        self.expect(b' ', "a space is missing")
    }

    /// Takes `word` in any case if it comes next and ends there.
    pub(super) fn keyword(&mut self, word: &str) -> bool {
        let Some(head) = self.text.get(..word.len()) else { return false };
        let ends = self.text.get(word.len()).is_none_or(|b| !b.is_ascii_alphanumeric());
        let found = ends && head.eq_ignore_ascii_case(word.as_bytes());
        if found {
            self.text = self.text.get(word.len()..).unwrap_or_default();
        }
        found
    }

    fn run(&mut self, good: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self.text.iter().position(|b| !good(*b)).unwrap_or(self.text.len());
        let (head, rest) = self.text.split_at(end);
        self.text = rest;
        head
    }

    /// Letters, digits, `.` and `-`: names of items and options, upper case.
    pub(super) fn word(&mut self) -> Result<String> {
        let word =
            self.run(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'=' | b'_'));
        if word.is_empty() || word.len() > limits::TAG {
            return bad("a keyword is missing");
        }
        Ok(String::from_utf8_lossy(word).to_ascii_uppercase())
    }

    pub(super) fn atom(&mut self) -> Result<String> {
        let atom = self.run(is_atom_char);
        if atom.is_empty() {
            return bad("an atom is missing");
        }
        Ok(String::from_utf8_lossy(atom).into_owned())
    }

    pub(super) fn base64(&mut self) -> &'a [u8] {
        self.run(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'='))
    }

    pub(super) fn number(&mut self) -> Result<u32> {
        self.number64().and_then(|n| u32::try_from(n).or(bad("the number is too large")))
    }

    pub(super) fn nz_number(&mut self) -> Result<u32> {
        self.number().and_then(|n| if n == 0 { bad("0 is not allowed here") } else { Ok(n) })
    }

    /// A number below 2^63 (RFC 9051 `number64`).
    pub(super) fn number64(&mut self) -> Result<u64> {
        let digits = self.run(|b| b.is_ascii_digit());
        if digits.is_empty() {
            return bad("a number is missing");
        }
        let parsed = std::str::from_utf8(digits).ok().and_then(|d| d.parse::<u64>().ok());
        match parsed.filter(|n| *n < 1 << 63) {
            Some(number) => Ok(number),
            None => bad("the number is too large"),
        }
    }

    /// A literal or, with `~`, a literal8.
    pub(super) fn literal(&mut self) -> Result<Bytes> {
        self.take(b'~');
        self.expect(b'{', "a literal is missing")?;
        self.run(|b| b.is_ascii_digit() || b == b'+');
        self.text = match self.text.strip_prefix(b"}\r\n") {
            Some(rest) => rest,
            None => return bad("a literal is malformed"),
        };
        match self.literals.next() {
            Some(literal) => Ok(literal.clone()),
            None => bad("a literal is missing"),
        }
    }

    fn quoted(&mut self) -> Result<Vec<u8>> {
        self.expect(b'"', "a quoted string is missing")?;
        let mut value = Vec::new();
        loop {
            let (first, rest) = match self.text.split_first() {
                Some(split) => split,
                None => return bad("a quoted string does not end"),
            };
            self.text = rest;
            match first {
                b'"' => return Ok(value),
                b'\\' => match self.text.split_first() {
                    Some((byte @ (b'"' | b'\\'), rest)) => {
                        value.push(*byte);
                        self.text = rest;
                    }
                    _ => return bad("only \" and \\ can be escaped"),
                },
                0 | b'\r' | b'\n' => return bad("a quoted string has a control character"),
                byte => value.push(*byte),
            }
        }
    }

    /// `string`: quoted or literal, as bytes.
    pub(super) fn string_bytes(&mut self) -> Result<Vec<u8>> {
        match self.peek() {
            Some(b'"') => self.quoted(),
            _ => self.literal().map(|literal| literal.to_vec()),
        }
    }

    pub(super) fn string(&mut self) -> Result<String> {
        self.string_bytes().and_then(text)
    }

    pub(super) fn astring(&mut self) -> Result<String> {
        self.plain_or_string(is_astring_char)
    }

    /// A mailbox name as sent: `astring`, not yet decoded.
    pub(super) fn mailbox(&mut self) -> Result<String> {
        let name = self.plain_or_string(is_astring_char)?;
        if name.len() > limits::NAME { bad("the mailbox name is too long") } else { Ok(name) }
    }

    /// `list-mailbox`: may have wildcards without quotes.
    pub(super) fn list_mailbox(&mut self) -> Result<String> {
        let name = self.plain_or_string(is_list_char)?;
        if name.len() > limits::NAME { bad("the pattern is too long") } else { Ok(name) }
    }

    fn plain_or_string(&mut self, good: fn(u8) -> bool) -> Result<String> {
        match self.peek() {
            Some(b'"' | b'{' | b'~') => self.string(),
            Some(byte) if good(byte) => text(self.run(good).to_vec()),
            _ => bad("a string is missing"),
        }
    }

    /// `( element SP element … )`, empty allowed, bounded.
    pub(super) fn list<T>(
        &mut self,
        mut element: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<Vec<T>> {
        self.expect(b'(', "a list is missing")?;
        let mut all = Vec::new();
        if self.take(b')') {
            return Ok(all);
        }
        loop {
            all.push(element(self)?);
            if all.len() > limits::LIST_ITEMS {
                return bad("the list is too long");
            }
            if self.take(b')') {
                return Ok(all);
            }
            self.space()?;
        }
    }

    /// `flag`: `\Name` or a keyword.
    pub(super) fn flag(&mut self) -> Result<String> {
        let system = self.take(b'\\');
        let name = self.atom()?;
        if name.len() > posthouse_store::Flags::MAX_KEYWORD {
            return bad("the keyword is too long");
        }
        Ok(if system { format!("\\{name}") } else { name })
    }

    fn seq_number(&mut self) -> Result<SeqNumber> {
        if self.take(b'*') { Ok(SeqNumber::Last) } else { self.nz_number().map(SeqNumber::Number) }
    }

    /// `sequence-set`, or `$` for the saved result.
    pub(super) fn sequence_set(&mut self) -> Result<SequenceSet> {
        if self.take(b'$') {
            return Ok(SequenceSet::Saved);
        }
        let mut ranges = Vec::new();
        loop {
            let first = self.seq_number()?;
            let last = if self.take(b':') { self.seq_number()? } else { first };
            // the same again (`1:*,1:*,…`) costs nothing
            if ranges.last() != Some(&(first, last)) {
                ranges.push((first, last));
            }
            if !self.take(b',') {
                return Ok(SequenceSet::Ranges(ranges));
            }
        }
    }

    /// Counts a search key against its limit.
    pub(super) fn count_key(&mut self) -> Result<()> {
        self.keys += 1;
        if self.keys > limits::SEARCH_KEYS { bad("too many search keys") } else { Ok(()) }
    }
}

fn text(bytes: Vec<u8>) -> Result<String> {
    match String::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => Ok(text),
        _ => bad("a string is not UTF-8 or has a NUL"),
    }
}
