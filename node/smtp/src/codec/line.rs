//! Lines that end with CRLF and nothing else.

/// Why there is no line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineError {
    /// CR without LF, or LF without CR.
    Bare,
    /// Longer than allowed.
    TooLong,
}

/// Cuts command lines out of a buffer. Remembers how far it has looked, so that bytes that trickle in are looked at
/// once.
#[derive(Debug, Default)]
pub struct LineReader {
    seen: usize,
}

impl LineReader {
    /// The next line without its CRLF, taken out of `buffer`; `None` if more bytes are needed. After an error the
    /// connection cannot go on.
    pub fn next(&mut self, buffer: &mut Vec<u8>, max: usize) -> Result<Option<Vec<u8>>, LineError> {
        let found = buffer.iter().skip(self.seen).position(|b| matches!(b, b'\r' | b'\n'));
        let Some(at) = found.map(|at| self.seen + at) else {
            self.seen = buffer.len();
            return if buffer.len() > max { Err(LineError::TooLong) } else { Ok(None) };
        };
        self.seen = at;
        match (buffer.get(at), buffer.get(at + 1)) {
            _ if at > max => Err(LineError::TooLong),
            (Some(b'\r'), None) => Ok(None),
            (Some(b'\r'), Some(b'\n')) => {
                let mut line: Vec<u8> = buffer.drain(..at + 2).collect();
                line.truncate(at);
                self.seen = 0;
                Ok(Some(line))
            }
            _ => Err(LineError::Bare),
        }
    }
}
