//! The server's side of a connection as a state machine: without IO, clock or directory.
//!
//! Bytes go in by [`Session::receive`]; [`Session::advance`] says what is to be done; [`Session::take_output`] has the bytes for the
//! client. An [`Action`] that asks something is answered by [`Session::answer`] before `advance` is called again.

mod command;
mod input;
mod sign_on;
mod transaction;

use posthouse_directory::{AccountId, Target};

use crate::codec::{
    Address, Auth, ChunkReader, DataReader, HeloName, LineReader, MailFrom, RcptTo, Reply,
};

/// What a listener is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Port 25: mail from anywhere to recipients of ours.
    Transfer,
    /// Port 587: mail from users of ours, STARTTLS.
    Submission,
    /// Port 465: mail from users of ours, TLS from the start.
    SubmissionTls,
}

impl Mode {
    /// For users of ours (RFC 6409), not for strangers.
    pub const fn is_submission(self) -> bool {
        !matches!(self, Self::Transfer)
    }
}

/// Limits that a client runs into.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Largest message in bytes.
    pub message: u64,
    /// Most recipients of one message.
    pub recipients: usize,
    /// Most Received fields.
    pub hops: usize,
}

/// Most errors in one connection.
pub const MAX_ERRORS: u32 = 20;
/// Most failed sign-ons in one connection.
pub const MAX_SIGN_ON_FAILURES: u32 = 3;
/// Most commands but RCPT and BDAT without a message being accepted.
pub const MAX_COMMANDS: u32 = 200;
/// Longest line of a SASL exchange: 64 KiB in base64.
pub const MAX_SASL_LINE: usize = 64 * 1024 / 3 * 4 + 8;

/// What a session knows from the start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// This host's name.
    pub host: String,
    /// What the listener is for.
    pub mode: Mode,
    /// STARTTLS can be offered.
    pub tls_available: bool,
    /// The connection is under TLS already.
    pub tls: bool,
    /// Limits.
    pub limits: Limits,
    /// SASL mechanisms to offer now.
    pub mechanisms: Vec<&'static str>,
}

/// A user who has signed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Which account.
    pub account: AccountId,
    /// Name for the log.
    pub name: String,
}

/// A recipient that was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// As given.
    pub address: Address,
    /// ORCPT.
    pub original: Option<String>,
    /// NOTIFY.
    pub notify: u8,
    /// Where it leads.
    pub targets: Vec<Target>,
}

/// A message with its envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// MAIL.
    pub mail: MailFrom,
    /// Accepted recipients.
    pub recipients: Vec<Recipient>,
    /// The message.
    pub message: Vec<u8>,
}

impl Transaction {
    /// The sender; `None` is the null sender.
    pub fn sender(&self) -> Option<&Address> {
        self.mail.path.as_ref().map(|path| &path.address)
    }
}

/// What the shell is to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Send the output, then start TLS; [`Session::tls_started`] follows.
    StartTls,
    /// Start a SASL exchange → [`Answer::SignOn`].
    SignOn(Auth),
    /// The client's next SASL message → [`Answer::SignOn`].
    Sasl(Vec<u8>),
    /// The client gave up the exchange. No answer.
    CancelSignOn,
    /// May the user send as this address? → [`Answer::Checked`].
    CheckSender(Address),
    /// Where does this address lead? With the announced size → [`Answer::Resolved`].
    Resolve(Box<RcptTo>, u64),
    /// Take responsibility for the message → [`Answer::Checked`].
    Accept(Box<Transaction>),
    /// Send the output, then close.
    Close,
}

/// How a sign-on goes on.
#[derive(Debug, PartialEq, Eq)]
pub enum SignOn {
    /// Send this.
    Challenge(Vec<u8>),
    /// Signed on; the bytes must reach the client first, if any.
    Done(User, Vec<u8>),
    /// Refused.
    Failed(Reply),
}

/// Answer to an [`Action`].
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// To SignOn and Sasl.
    SignOn(SignOn),
    /// To CheckSender and Accept: this is the reply.
    Checked(Reply),
    /// To Resolve.
    Resolved(Result<Recipient, Reply>),
}

#[derive(Debug, Default)]
enum State {
    /// Commands; no transaction.
    #[default]
    Idle,
    /// Commands; after MAIL.
    Mail(Box<Transaction>),
    /// The text after DATA.
    Data(Box<Transaction>, DataReader),
    /// Commands; between chunks.
    BetweenChunks(Box<Transaction>, ChunkReader),
    /// The octets of a chunk.
    Chunk(Box<Transaction>, ChunkReader, bool),
    /// The octets of a chunk that is refused with this reply.
    SkipChunk(ChunkReader, Reply),
    /// The next line is a SASL message.
    Sasl,
    /// The next line answers the last server data.
    SaslLast(User),
    /// An action waits for its answer.
    SigningOn,
    CheckingSender(Box<MailFrom>),
    Resolving(Box<Transaction>),
    Accepting,
    StartingTls,
    /// The connection ends.
    Closed,
}

/// What the session waits for; decides how long the shell waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expects {
    /// A command or SASL line.
    Line,
    /// Message data.
    Data,
    /// Message data that is refused already because of a bare CR or LF: the end may never come.
    BrokenData,
}

/// One connection.
#[derive(Debug)]
pub struct Session {
    settings: Settings,
    buffer: Vec<u8>,
    output: Vec<u8>,
    lines: LineReader,
    state: State,
    helo: Option<HeloName>,
    extended: bool,
    user: Option<User>,
    errors: u32,
    sign_on_failures: u32,
    commands: u32,
}

impl Session {
    /// A new connection; the greeting is in the output.
    pub fn new(settings: Settings) -> Self {
        let output = format!("220 {} ESMTP Posthouse\r\n", settings.host).into_bytes();
        Self {
            settings,
            buffer: Vec::new(),
            output,
            lines: LineReader::default(),
            state: State::Idle,
            helo: None,
            extended: false,
            user: None,
            errors: 0,
            sign_on_failures: 0,
            commands: 0,
        }
    }

    /// Bytes for the client; they are to be sent before more is read.
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// Who has signed on.
    pub fn user(&self) -> Option<&User> {
        self.user.as_ref()
    }

    /// What the client calls itself.
    pub fn helo(&self) -> String {
        self.helo.as_ref().map(ToString::to_string).unwrap_or_default()
    }

    /// Whether the client said EHLO.
    pub fn is_extended(&self) -> bool {
        self.extended
    }

    /// SASL mechanisms to offer from now on.
    pub fn set_mechanisms(&mut self, mechanisms: Vec<&'static str>) {
        self.settings.mechanisms = mechanisms;
    }

    /// What comes next from the client.
    pub fn expects(&self) -> Expects {
        use crate::codec::Flaw;
        match &self.state {
            State::Data(_, reader) if reader.flaw() == Some(Flaw::Bare) => Expects::BrokenData,
            State::Data(..) | State::Chunk(..) | State::SkipChunk(..) => Expects::Data,
            _ => Expects::Line,
        }
    }

    /// TLS has been started: everything that was learned before is forgotten (RFC 3207 §4.2).
    pub fn tls_started(&mut self, mechanisms: Vec<&'static str>) {
        self.settings.tls = true;
        self.settings.mechanisms = mechanisms;
        self.buffer.clear();
        self.lines = LineReader::default();
        self.helo = None;
        self.extended = false;
        self.user = None;
        self.state = State::Idle;
    }

    /// The client has been silent for too long.
    pub fn timed_out(&mut self) {
        let reply = match self.expects() {
            Expects::BrokenData => Reply::BareInMessage,
            _ => Reply::TooSlow,
        };
        self.close(reply);
    }

    /// The service stops: said only where the client can understand it.
    pub fn stop(&mut self) {
        if self.expects() == Expects::Line {
            self.close(Reply::Stopping);
        }
    }

    fn reply(&mut self, reply: Reply) {
        reply.write(&mut self.output);
        if reply.code() == 421 || reply == Reply::BareLineEnding {
            self.state = State::Closed;
        }
    }

    fn close(&mut self, reply: Reply) {
        self.reply(reply);
        self.state = State::Closed;
    }

    /// A reply to a command that failed; too many of them end the connection.
    fn refuse(&mut self, reply: Reply) {
        self.reply(reply);
        if reply.is_error() {
            self.errors += 1;
        }
        if self.errors >= MAX_ERRORS && !matches!(self.state, State::Closed) {
            self.close(Reply::TooManyErrors);
        }
    }
}

#[cfg(test)]
mod tests;
