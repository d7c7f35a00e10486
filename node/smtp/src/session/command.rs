//! Which command may follow which (RFC 5321 §4.1.4), and what it does.

use super::{Action, MAX_COMMANDS, Recipient, Session, State, Transaction};
use crate::codec::{Chunk, ChunkReader, Command, DataReader, HeloName, MailFrom, RcptTo, Reply};

impl Session {
    pub(super) fn on_command(&mut self, command: Command) -> Option<Action> {
        let free = matches!(&command, Command::RcptTo(_))
            || matches!(&command, Command::Bdat(chunk) if chunk.size > 0);
        if !free {
            self.commands += 1;
        }
        if self.commands > MAX_COMMANDS {
            self.close(Reply::TooManyCommands);
            return None;
        }
        match command {
            Command::Helo(name) => self.hello(name, false),
            Command::Ehlo(name) => self.hello(name, true),
            Command::MailFrom(mail) => return self.mail(mail),
            Command::RcptTo(rcpt) => return self.rcpt(rcpt),
            Command::Data => self.data(),
            Command::Bdat(chunk) => self.bdat(chunk),
            Command::Rset => {
                self.state = State::Idle;
                self.reply(Reply::Ok);
            }
            Command::Noop => self.reply(Reply::Ok),
            Command::Quit => self.close(Reply::Bye),
            Command::Vrfy => self.reply(Reply::CannotVerify),
            Command::Expn => self.refuse(Reply::NotImplemented),
            Command::Help => self.reply(Reply::Help),
            Command::StartTls => return self.start_tls(),
            Command::Auth(auth) => return self.auth(auth),
        }
        None
    }

    fn hello(&mut self, name: HeloName, extended: bool) {
        self.helo = Some(name);
        self.extended = extended;
        self.state = State::Idle;
        let mut lines = vec![self.settings.host.clone()];
        if extended {
            lines.extend(self.extensions());
        }
        let last = lines.len().saturating_sub(1);
        for (i, line) in lines.iter().enumerate() {
            let separator = if i == last { ' ' } else { '-' };
            self.output.extend_from_slice(format!("250{separator}{line}\r\n").as_bytes());
        }
    }

    fn extensions(&self) -> Vec<String> {
        let settings = &self.settings;
        let mut lines: Vec<String> = [
            "PIPELINING",
            "8BITMIME",
            "SMTPUTF8",
            "CHUNKING",
            "ENHANCEDSTATUSCODES",
            "DSN",
            "HELP",
        ]
        .map(str::to_owned)
        .to_vec();
        lines.push(format!("SIZE {}", settings.limits.message));
        lines.push(format!("LIMITS RCPTMAX={}", settings.limits.recipients));
        if settings.tls_available && !settings.tls {
            lines.push("STARTTLS".to_owned());
        }
        if settings.mode.is_submission() && self.user.is_none() && !settings.mechanisms.is_empty() {
            lines.push(format!("AUTH {}", settings.mechanisms.join(" ")));
        }
        lines
    }

    fn start_tls(&mut self) -> Option<Action> {
        let settings = &self.settings;
        let reply = match () {
            () if settings.tls || !matches!(self.state, State::Idle) => Reply::BadSequence,
            () if !settings.tls_available => Reply::TlsUnavailable,
            // whoever injects plaintext in front of the handshake gets nowhere: RFC 3207 §6
            () if !self.buffer.is_empty() => {
                self.close(Reply::PipelinedTls);
                return None;
            }
            () => {
                self.reply(Reply::ReadyForTls);
                self.state = State::StartingTls;
                return Some(Action::StartTls);
            }
        };
        self.refuse(reply);
        None
    }

    fn mail(&mut self, mail: MailFrom) -> Option<Action> {
        let submission = self.settings.mode.is_submission();
        let reply = match () {
            () if self.helo.is_none() || !matches!(self.state, State::Idle) => Reply::BadSequence,
            () if submission && self.user.is_none() => self.sign_on_first(),
            () if mail.parameters.size.is_some_and(|size| size > self.settings.limits.message) => {
                Reply::TooLarge
            }
            () => {
                if let (true, Some(path)) = (submission, &mail.path) {
                    let address = path.address.clone();
                    self.state = State::CheckingSender(Box::new(mail));
                    return Some(Action::CheckSender(address));
                }
                self.sender_checked(mail, Reply::SenderOk);
                return None;
            }
        };
        self.refuse(reply);
        None
    }

    fn sign_on_first(&self) -> Reply {
        if !self.settings.tls && self.settings.mechanisms.is_empty() {
            Reply::TlsRequired
        } else {
            Reply::SignOnRequired
        }
    }

    pub(super) fn sender_checked(&mut self, mail: MailFrom, reply: Reply) {
        if reply.is_error() {
            return self.refuse(reply);
        }
        self.state = State::Mail(Box::new(Transaction {
            mail,
            recipients: Vec::new(),
            message: Vec::new(),
        }));
        self.reply(reply);
    }

    fn rcpt(&mut self, rcpt: RcptTo) -> Option<Action> {
        let State::Mail(transaction) = std::mem::take(&mut self.state) else {
            return self.out_of_order();
        };
        let reply = match () {
            () if transaction.recipients.len() >= self.settings.limits.recipients => {
                Reply::TooManyRecipients
            }
            () if rcpt.path.international && !transaction.mail.parameters.utf8 => Reply::NeedsUtf8,
            () => {
                let size = transaction.mail.parameters.size.unwrap_or(0);
                self.state = State::Resolving(transaction);
                return Some(Action::Resolve(Box::new(rcpt), size));
            }
        };
        self.state = State::Mail(transaction);
        self.refuse(reply);
        None
    }

    /// There is no transaction, or chunks of it have come already: then it is lost.
    fn out_of_order(&mut self) -> Option<Action> {
        self.refuse(Reply::BadSequence);
        None
    }

    pub(super) fn resolved(
        &mut self,
        mut transaction: Box<Transaction>,
        result: Result<Recipient, Reply>,
    ) {
        let reply = match result {
            Ok(recipient) => {
                if !transaction.recipients.iter().any(|r| r.address == recipient.address) {
                    transaction.recipients.push(recipient);
                }
                Reply::RecipientOk
            }
            Err(reply) => reply,
        };
        self.state = State::Mail(transaction);
        self.refuse(reply);
    }

    fn data(&mut self) {
        match std::mem::take(&mut self.state) {
            State::Mail(transaction) if transaction.recipients.is_empty() => {
                self.state = State::Mail(transaction);
                self.refuse(Reply::NoRecipients);
            }
            State::Mail(transaction) => {
                self.reply(Reply::StartMail);
                let reader = DataReader::new(self.settings.limits.message);
                self.state = State::Data(transaction, reader);
            }
            other => {
                self.state = other;
                self.refuse(Reply::BadSequence);
            }
        }
    }

    fn bdat(&mut self, chunk: Chunk) {
        let limit = self.settings.limits.message;
        let (transaction, mut reader) = match std::mem::take(&mut self.state) {
            State::BetweenChunks(transaction, reader) => (transaction, reader),
            State::Mail(transaction) if !transaction.recipients.is_empty() => {
                (transaction, ChunkReader::new(limit))
            }
            State::Mail(transaction) => {
                // RFC 3030 §2: the octets come all the same
                drop(transaction);
                return self.skip(chunk, Reply::NoRecipients);
            }
            _ => return self.skip(chunk, Reply::BadSequence),
        };
        if (reader.held() as u64).saturating_add(chunk.size) > limit {
            return self.skip(chunk, Reply::TooLarge);
        }
        reader.expect(chunk.size);
        self.state = State::Chunk(transaction, reader, chunk.last);
    }

    /// Refuses a chunk; its octets are skipped, unless there are more of them than a message may have.
    fn skip(&mut self, chunk: Chunk, reply: Reply) {
        if chunk.size > self.settings.limits.message {
            return self.close(Reply::TooLarge);
        }
        let mut reader = ChunkReader::new(0);
        reader.expect(chunk.size);
        self.state = State::SkipChunk(reader, reply);
    }
}
