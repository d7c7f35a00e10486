//! Cuts the client's bytes into commands: lines with their literals, in bounded memory.

use bytes::{Buf, Bytes, BytesMut};

use super::limits::{self, Limits};

/// A command with its literals taken out: after each `{n}` CRLF of `text` belongs the next literal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawCommand {
    /// The text, without the last CRLF.
    pub text: Vec<u8>,
    /// The literals in order.
    pub literals: Vec<Bytes>,
}

/// Why a command was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The line is too long. Nothing sensible can follow.
    LineTooLong,
    /// The literal is too large.
    TooBig,
    /// No literals before TLS.
    PrivacyRequired,
    /// Too many literals.
    TooManyLiterals,
}

/// What the bytes so far amount to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// More bytes are needed.
    Incomplete,
    /// A synchronizing literal is announced and welcome: ask for it, then go on.
    Continue,
    /// A literal above [`limits::LITERAL_AFTER`] of so many bytes is announced: get memory for it,
    /// then call [`Framer::grant`] or [`Framer::deny`].
    WantsMemory {
        /// Its size.
        bytes: usize,
    },
    /// A whole command.
    Command(RawCommand),
    /// The command is refused. With `close` the connection cannot go on.
    Refused {
        /// Its tag, where it can be told.
        tag: Option<String>,
        /// Why.
        refusal: Refusal,
        /// Whether bytes follow that would have to be read.
        close: bool,
    },
}

enum State {
    Line,
    Granting { bytes: usize, wait: bool },
    Literal { left: usize, data: BytesMut },
}

/// Collects bytes until there is a command.
pub struct Framer {
    input: BytesMut,
    scanned: usize,
    command: RawCommand,
    state: State,
}

impl Default for Framer {
    fn default() -> Self {
        Self {
            input: BytesMut::new(),
            scanned: 0,
            command: RawCommand::default(),
            state: State::Line,
        }
    }
}

impl Framer {
    /// Where to put bytes from the network. Take all frames before putting more.
    pub fn input(&mut self) -> &mut BytesMut {
        &mut self.input
    }

    /// Whether a command has begun.
    pub fn has_begun(&self) -> bool {
        !self.input.is_empty() || !self.command.text.is_empty()
    }

    /// Bytes that are held.
    pub fn held(&self) -> usize {
        let literal = match &self.state {
            State::Literal { data, .. } => data.capacity(),
            _ => 0,
        };
        let literals: usize = self.command.literals.iter().map(Bytes::len).sum();
        self.input.capacity() + self.command.text.capacity() + literals + literal
    }

    /// The next raw line without CRLF, for SASL answers and IDLE. `Err` if longer than `max`.
    pub fn line(&mut self, max: usize) -> Result<Option<Bytes>, Refusal> {
        let found = self.input.iter().skip(self.scanned).position(|byte| *byte == b'\n');
        match found.map(|at| at + self.scanned) {
            Some(end) if end <= max => {
                self.scanned = 0;
                let mut line = self.input.split_to(end + 1).freeze();
                line.truncate(end);
                if line.last() == Some(&b'\r') {
                    line.truncate(end - 1);
                }
                Ok(Some(line))
            }
            Some(_) => Err(Refusal::LineTooLong),
            None if self.input.len() > max => Err(Refusal::LineTooLong),
            None => {
                self.scanned = self.input.len();
                Ok(None)
            }
        }
    }

    /// The next frame under `limits`.
    pub fn next(&mut self, limits: Limits) -> Frame {
        loop {
            match std::mem::replace(&mut self.state, State::Line) {
                State::Line => match self.next_line(limits) {
                    Some(frame) => return frame,
                    None => continue,
                },
                State::Granting { bytes, wait } => {
                    self.state = State::Granting { bytes, wait };
                    return Frame::WantsMemory { bytes };
                }
                State::Literal { left, data } => {
                    if !self.fill(left, data) {
                        return Frame::Incomplete;
                    }
                }
            }
        }
    }

    /// The memory asked for by [`Frame::WantsMemory`] is there. Whether to ask the client for the literal.
    pub fn grant(&mut self) -> bool {
        let State::Granting { bytes, wait } = self.state else { return false };
        self.begin_literal(bytes);
        wait
    }

    /// The memory is not there: the frame to act on.
    pub fn deny(&mut self) -> Frame {
        let wait = matches!(self.state, State::Granting { wait: true, .. });
        self.refuse(Refusal::TooBig, !wait)
    }

    fn begin_literal(&mut self, bytes: usize) {
        let data = BytesMut::with_capacity(bytes.min(limits::LITERAL_AFTER));
        self.state = State::Literal { left: bytes, data };
    }

    /// Moves input into a literal; whether it is complete.
    fn fill(&mut self, left: usize, mut data: BytesMut) -> bool {
        let take = left.min(self.input.len());
        data.extend_from_slice(self.input.get(..take).unwrap_or_default());
        self.input.advance(take);
        if take < left {
            self.state = State::Literal { left: left - take, data };
            return false;
        }
        self.command.literals.push(data.freeze());
        true
    }

    /// Takes a line from the input; `None` to look again.
    fn next_line(&mut self, limits: Limits) -> Option<Frame> {
        let limit = self.line_limit(limits);
        let found = self.input.iter().skip(self.scanned).position(|byte| *byte == b'\n');
        let length = found.map_or(self.input.len(), |at| at + self.scanned);
        if self.command.text.len() + length > limit {
            return Some(self.refuse(Refusal::LineTooLong, true));
        }
        let Some(at) = found.map(|at| at + self.scanned) else {
            self.scanned = self.input.len();
            return Some(Frame::Incomplete);
        };
        self.scanned = 0;
        self.command.text.extend_from_slice(self.input.get(..=at).unwrap_or_default());
        self.input.advance(at + 1);
        match announced(&self.command.text) {
            Some(literal) => self.literal(literal, limits),
            None => {
                let mut command = std::mem::take(&mut self.command);
                // A line that does not end in CRLF keeps its LF, which no parser takes.
                if command.text.ends_with(b"\r\n") {
                    command.text.truncate(command.text.len() - 2);
                }
                Some(Frame::Command(command))
            }
        }
    }

    fn line_limit(&self, limits: Limits) -> usize {
        let head = if self.command.text.is_empty() { &self.input[..] } else { &self.command.text };
        if verb(head).eq_ignore_ascii_case(b"AUTHENTICATE") {
            limits.line.max(limits::SASL_LINE)
        } else {
            limits.line
        }
    }

    fn literal(&mut self, literal: Announced, limits: Limits) -> Option<Frame> {
        let is_append = verb(&self.command.text).eq_ignore_ascii_case(b"APPEND");
        let most = if is_append { limits.literal.max(limits.message) } else { limits.literal };
        if self.command.literals.len() >= limits::LITERALS {
            return Some(self.refuse(Refusal::TooManyLiterals, true));
        }
        if literal.bytes > most as u64 {
            let refusal =
                if limits.literal == 0 { Refusal::PrivacyRequired } else { Refusal::TooBig };
            return Some(self.refuse(refusal, !literal.wait));
        }
        let bytes = literal.bytes as usize;
        if bytes > limits::LITERAL_AFTER {
            self.state = State::Granting { bytes, wait: literal.wait };
            return None;
        }
        self.begin_literal(bytes);
        literal.wait.then_some(Frame::Continue)
    }

    fn refuse(&mut self, refusal: Refusal, close: bool) -> Frame {
        let head = if self.command.text.is_empty() { &self.input[..] } else { &self.command.text };
        let tag = tag(head);
        self.command = RawCommand::default();
        self.state = State::Line;
        self.scanned = 0;
        if close {
            self.input.clear();
        }
        Frame::Refused { tag, refusal, close }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Announced {
    pub(super) bytes: u64,
    pub(super) wait: bool,
}

/// The literal that a line announces at its end: `{n}`, `{n+}` (RFC 7888), CRLF included.
fn announced(line: &[u8]) -> Option<Announced> {
    let line = line.strip_suffix(b"}\r\n")?;
    let (line, wait) = match line.strip_suffix(b"+") {
        Some(line) => (line, false),
        None => (line, true),
    };
    let open = line.iter().rposition(|byte| *byte == b'{')?;
    let digits = line.get(open + 1..)?;
    if digits.is_empty() || digits.len() > 19 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let bytes = digits.iter().fold(0u64, |n, digit| n * 10 + u64::from(digit - b'0'));
    Some(Announced { bytes, wait })
}

/// The tag at the start of a command, if it is one (RFC 9051 §9).
pub(super) fn tag(text: &[u8]) -> Option<String> {
    let text = text.get(..text.len().min(limits::TAG + 1))?;
    let end = text.iter().position(|byte| *byte == b' ')?;
    let tag = text.get(..end)?;
    let good =
        !tag.is_empty() && tag.iter().all(|b| super::cursor::is_astring_char(*b) && *b != b'+');
    good.then(|| String::from_utf8_lossy(tag).into_owned())
}

fn verb(text: &[u8]) -> &[u8] {
    let head = text.get(..text.len().min(limits::TAG + 16)).unwrap_or_default();
    let mut words = head.split(|byte| matches!(byte, b' ' | b'\r' | b'\n'));
    words.nth(1).unwrap_or_default()
}
