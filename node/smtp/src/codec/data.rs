//! Message data: DATA with dot-stuffing (RFC 5321 §4.5.2), BDAT by count (RFC 3030).
//!
//! Only CRLF ends a line and only CRLF.CRLF ends DATA. Whatever else looks like a line ending makes the
//! message refused, so that no two servers can disagree on where it ends.

/// What is wrong with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// A CR without LF or an LF without CR.
    Bare,
    /// A NUL.
    Nul,
    /// A line longer than [`MAX_TEXT_LINE`].
    LineTooLong,
    /// Larger than the limit.
    TooLarge,
    /// Given up by the receiver.
    NoMemory,
}

/// Longest line of a message in bytes without its CRLF. RFC 5321 §4.5.3.1.6 has 998; mail with longer ones is common.
pub(crate) const MAX_TEXT_LINE: usize = 64 * 1024;

/// Looks at the bytes of a message one by one and keeps them.
#[derive(Debug)]
struct Text {
    bytes: Vec<u8>,
    max: u64,
    column: usize,
    after_cr: bool,
    flaw: Option<Flaw>,
}

impl Text {
    fn new(max: u64) -> Self {
        Self { bytes: Vec::new(), max, column: 0, after_cr: false, flaw: None }
    }

    fn flawed(&mut self, flaw: Flaw) {
        self.flaw.get_or_insert(flaw);
        self.bytes = Vec::new();
    }

    /// Keeps a byte of the message.
    fn push(&mut self, byte: u8) {
        match (self.after_cr, byte) {
            (true, b'\n') => self.column = 0,
            (true, _) | (false, b'\n') => self.flawed(Flaw::Bare),
            (false, 0) => self.flawed(Flaw::Nul),
            (false, b'\r') => {}
            (false, _) => self.column += 1,
        }
        self.after_cr = byte == b'\r';
        if self.column > MAX_TEXT_LINE {
            self.flawed(Flaw::LineTooLong);
        }
        if self.flaw.is_some() {
            return;
        }
        if self.bytes.len() as u64 >= self.max {
            return self.flawed(Flaw::TooLarge);
        }
        self.bytes.push(byte);
    }

    /// Keeps a run of bytes without CR, LF and NUL: the fast way.
    fn push_plain(&mut self, run: &[u8]) {
        if self.after_cr && !run.is_empty() {
            self.flawed(Flaw::Bare);
            self.after_cr = false;
        }
        self.column = self.column.saturating_add(run.len());
        if self.column > MAX_TEXT_LINE {
            self.flawed(Flaw::LineTooLong);
        }
        if self.flaw.is_none() && self.bytes.len() as u64 + run.len() as u64 > self.max {
            self.flawed(Flaw::TooLarge);
        }
        if self.flaw.is_none() {
            self.bytes.extend_from_slice(run);
        }
    }

    /// The message; a missing last CRLF is added.
    fn finish(mut self) -> Result<Vec<u8>, Flaw> {
        if self.after_cr {
            self.flawed(Flaw::Bare);
        }
        if let Some(flaw) = self.flaw {
            return Err(flaw);
        }
        if self.column > 0 {
            self.bytes.extend_from_slice(b"\r\n");
        }
        Ok(self.bytes)
    }
}

/// Bytes up to the next one that matters.
fn plain(input: &[u8]) -> usize {
    input.iter().position(|b| matches!(b, b'\r' | b'\n' | 0)).unwrap_or(input.len())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// Behind a CRLF, or at the very start.
    LineStart,
    /// Behind a dot at the start of a line.
    Dot,
    /// Behind a dot and a CR at the start of a line.
    DotCr,
    /// Anywhere else.
    Inside,
}

/// Takes the data that follows DATA until the CRLF.CRLF.
#[derive(Debug)]
pub struct DataReader {
    text: Text,
    at: At,
}

impl DataReader {
    /// A message of at most `max` bytes.
    pub fn new(max: u64) -> Self {
        Self { text: Text::new(max), at: At::LineStart }
    }

    /// Takes bytes: how many of them, and whether the message has ended with the last one taken.
    pub fn feed(&mut self, input: &[u8]) -> (usize, bool) {
        let mut rest = input;
        while let Some((&byte, tail)) = rest.split_first() {
            match (self.at, byte) {
                (At::LineStart, b'.') => self.at = At::Dot,
                (At::Dot, b'\r') => self.at = At::DotCr,
                (At::DotCr, b'\n') => return (input.len() - tail.len(), true),
                (At::DotCr, _) => {
                    // `.CR` and then no LF: the CR is bare, whatever follows
                    self.text.flawed(Flaw::Bare);
                    self.text.after_cr = byte == b'\r';
                    self.at = At::Inside;
                }
                _ => {
                    let run = plain(rest);
                    if run > 0 {
                        self.text.push_plain(rest.get(..run).unwrap_or(rest));
                        self.at = At::Inside;
                        rest = rest.get(run..).unwrap_or_default();
                        continue;
                    }
                    let ends = self.text.after_cr && byte == b'\n';
                    self.text.push(byte);
                    self.at = if ends { At::LineStart } else { At::Inside };
                }
            }
            rest = tail;
        }
        (input.len(), false)
    }

    /// Something is wrong with the message already; it is read to its end all the same.
    pub fn flaw(&self) -> Option<Flaw> {
        self.text.flaw
    }

    /// Bytes held in memory.
    pub fn held(&self) -> usize {
        self.text.bytes.len()
    }

    /// Gives up the bytes; the message is read to its end and dropped.
    pub fn drop_content(&mut self) {
        self.text.flawed(Flaw::NoMemory);
    }

    /// The message without stuffing and end mark.
    pub fn finish(self) -> Result<Vec<u8>, Flaw> {
        self.text.finish()
    }
}

/// Takes the chunks that follow BDAT lines.
#[derive(Debug)]
pub struct ChunkReader {
    text: Text,
    left: u64,
}

impl ChunkReader {
    /// A message of at most `max` bytes.
    pub fn new(max: u64) -> Self {
        Self { text: Text::new(max), left: 0 }
    }

    /// A chunk of so many octets comes next.
    pub fn expect(&mut self, size: u64) {
        self.left = size;
    }

    /// Takes bytes: how many of them, and whether the chunk is complete.
    pub fn feed(&mut self, input: &[u8]) -> (usize, bool) {
        let take = usize::try_from(self.left).unwrap_or(usize::MAX).min(input.len());
        let mut rest = input.get(..take).unwrap_or_default();
        while let Some(&byte) = rest.first() {
            let run = plain(rest);
            if run > 0 {
                self.text.push_plain(rest.get(..run).unwrap_or(rest));
            } else {
                self.text.push(byte);
            }
            rest = rest.get(run.max(1)..).unwrap_or_default();
        }
        self.left -= take as u64;
        (take, self.left == 0)
    }

    /// Something is wrong with the message already.
    pub fn flaw(&self) -> Option<Flaw> {
        self.text.flaw
    }

    /// Bytes held in memory.
    pub fn held(&self) -> usize {
        self.text.bytes.len()
    }

    /// Gives up the bytes; the chunks are read and dropped.
    pub fn drop_content(&mut self) {
        self.text.flawed(Flaw::NoMemory);
    }

    /// The message.
    pub fn finish(self) -> Result<Vec<u8>, Flaw> {
        self.text.finish()
    }
}
