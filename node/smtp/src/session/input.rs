//! From bytes to commands, messages and SASL lines.

use super::{Action, MAX_SASL_LINE, Session, State, Transaction};
use crate::codec::{ChunkReader, Command, DataReader, LineError, MAX_MAIL_LINE, Reply};

impl Session {
    /// Takes bytes from the client. Read no more than some tens of KiB between calls of [`Session::advance`], so that a
    /// client that sends without waiting fills no memory.
    pub fn receive(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Bytes that the session holds for the client.
    pub fn held(&self) -> usize {
        let message = match &self.state {
            State::Data(_, reader) => reader.held(),
            State::Chunk(_, reader, _) | State::BetweenChunks(_, reader) => reader.held(),
            _ => 0,
        };
        message + self.buffer.len()
    }

    /// Gives up the message that is being received: no memory for it.
    pub fn drop_message(&mut self) {
        match &mut self.state {
            State::Data(_, reader) => reader.drop_content(),
            State::Chunk(_, reader, _) | State::BetweenChunks(_, reader) => reader.drop_content(),
            _ => {}
        }
    }

    /// The next thing to do; `None` until more bytes come.
    pub fn advance(&mut self) -> Option<Action> {
        loop {
            let action = match std::mem::take(&mut self.state) {
                State::Closed => {
                    self.state = State::Closed;
                    return Some(Action::Close);
                }
                state @ (State::Idle | State::Mail(_) | State::BetweenChunks(..)) => {
                    self.state = state;
                    let line = self.line(self.command_limit())?;
                    line.and_then(|line| self.on_line(&line))
                }
                State::Data(transaction, reader) => self.on_data(transaction, reader)?,
                State::Chunk(transaction, reader, last) => {
                    self.on_chunk(transaction, reader, last)?
                }
                State::SkipChunk(reader, reply) => {
                    self.skip_chunk(reader, reply)?;
                    None
                }
                State::Sasl => {
                    self.state = State::Sasl;
                    let line = self.line(MAX_SASL_LINE)?;
                    line.and_then(|line| self.on_sasl_line(&line))
                }
                State::SaslLast(user) => {
                    self.state = State::SaslLast(user.clone());
                    if self.line(MAX_SASL_LINE)?.is_some() {
                        self.signed_on(user);
                    }
                    None
                }
                waiting => {
                    self.state = waiting;
                    return None;
                }
            };
            if action.is_some() {
                return action;
            }
        }
    }

    fn command_limit(&self) -> usize {
        if self.settings.mode.is_submission() && self.user.is_none() {
            MAX_SASL_LINE
        } else {
            MAX_MAIL_LINE
        }
    }

    /// `None`: more bytes are needed. `Some(None)`: the line was refused and the connection ends.
    #[allow(clippy::option_option)]
    fn line(&mut self, max: usize) -> Option<Option<Vec<u8>>> {
        match self.lines.next(&mut self.buffer, max) {
            Ok(line) => line.map(Some),
            Err(LineError::Bare) => {
                self.close(Reply::BareLineEnding);
                Some(None)
            }
            Err(LineError::TooLong) => {
                self.close(Reply::LineTooLong);
                Some(None)
            }
        }
    }

    fn on_line(&mut self, line: &[u8]) -> Option<Action> {
        match Command::parse(line) {
            Ok(command) => self.on_command(command),
            Err(reply) => {
                // after a BDAT that cannot be read nobody knows where the next command starts
                if line.get(..4).is_some_and(|verb| verb.eq_ignore_ascii_case(b"BDAT")) {
                    self.close(reply);
                } else {
                    self.refuse(reply);
                }
                None
            }
        }
    }

    fn on_data(
        &mut self,
        transaction: Box<Transaction>,
        mut reader: DataReader,
    ) -> Option<Option<Action>> {
        let (taken, done) = reader.feed(&self.buffer);
        self.buffer.drain(..taken);
        if !done {
            self.state = State::Data(transaction, reader);
            return None;
        }
        Some(self.on_message(transaction, reader.finish()))
    }

    fn on_chunk(
        &mut self,
        transaction: Box<Transaction>,
        mut reader: ChunkReader,
        last: bool,
    ) -> Option<Option<Action>> {
        let (taken, done) = reader.feed(&self.buffer);
        self.buffer.drain(..taken);
        if !done {
            self.state = State::Chunk(transaction, reader, last);
            return None;
        }
        if last {
            return Some(self.on_message(transaction, reader.finish()));
        }
        match reader.flaw() {
            None => {
                self.state = State::BetweenChunks(transaction, reader);
                self.reply(Reply::ChunkOk);
            }
            Some(flaw) => self.refuse(flaw.into()),
        }
        Some(None)
    }

    fn skip_chunk(&mut self, mut reader: ChunkReader, reply: Reply) -> Option<()> {
        let (taken, done) = reader.feed(&self.buffer);
        self.buffer.drain(..taken);
        if done {
            self.refuse(reply);
        } else {
            self.state = State::SkipChunk(reader, reply);
        }
        done.then_some(())
    }
}
