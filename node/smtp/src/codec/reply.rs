//! The one table of replies.

macro_rules! replies {
    ($($(#[doc = $doc:literal])+ $name:ident = $code:literal, $enhanced:literal, $text:literal;)*) => {
        /// Everything that the server says, but for the greeting, the answer to EHLO and SASL challenges.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reply { $($(#[doc = $doc])+ $name,)* }

        impl Reply {
            /// All replies, for tests and docs.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// Reply code (RFC 5321 §4.2.3), enhanced status code (RFC 3463), text. Named nowhere else.
            pub const fn parts(self) -> (u16, &'static str, &'static str) {
                match self { $(Self::$name => ($code, $enhanced, $text),)* }
            }
        }
    };
}

replies! {
    /// Answer to HELP.
    Help = 214, "2.0.0", "Posthouse, free software under AGPL-3.0-or-later; see RFC 5321 for the commands";
    /// Answer to STARTTLS.
    ReadyForTls = 220, "2.0.0", "ready to start TLS";
    /// Answer to QUIT.
    Bye = 221, "2.0.0", "bye";
    /// Signed on.
    SignedOn = 235, "2.7.0", "signed on";
    /// Done.
    Ok = 250, "2.0.0", "ok";
    /// Sender noted.
    SenderOk = 250, "2.1.0", "sender ok";
    /// Recipient accepted.
    RecipientOk = 250, "2.1.5", "recipient ok";
    /// The message is on disk at a majority.
    Accepted = 250, "2.0.0", "message accepted";
    /// A chunk that is not the last.
    ChunkOk = 250, "2.0.0", "chunk taken";
    /// Answer to VRFY: strangers learn nothing.
    CannotVerify = 252, "2.5.0", "send a message and see";
    /// Answer to DATA.
    StartMail = 354, "", "end with <CRLF>.<CRLF>";
    /// The server closes: it stops.
    Stopping = 421, "4.3.2", "service is stopping";
    /// The server closes: silence.
    TooSlow = 421, "4.4.2", "waited too long";
    /// The server closes: connection limit.
    TooManyConnections = 421, "4.7.0", "too many connections";
    /// The server closes: error limit.
    TooManyErrors = 421, "4.7.0", "too many errors";
    /// The server closes: unknown recipients.
    TooManyUnknown = 421, "4.7.0", "too many unknown recipients";
    /// The server closes: commands limit.
    TooManyCommands = 421, "4.7.0", "too many commands without a message";
    /// No majority, no leader, a failed disk.
    StoreUnavailable = 451, "4.3.0", "mail storage is not available at the moment, try again";
    /// The disk is full.
    DiskFull = 452, "4.3.1", "not enough disk space, try again later";
    /// Too many messages are being received at this moment.
    NoMemory = 452, "4.3.1", "too many messages at the moment, try again";
    /// Recipient limit.
    TooManyRecipients = 452, "4.5.3", "too many recipients, send the rest in another transaction";
    /// The directory is away.
    SignOnUnavailable = 454, "4.7.0", "sign-on is not available at the moment, try again later";
    /// No certificate.
    TlsUnavailable = 454, "4.7.0", "TLS is not available";
    /// Not a command.
    UnknownCommand = 500, "5.5.2", "command not recognised";
    /// Command line limit.
    LineTooLong = 500, "5.5.6", "line too long";
    /// Arguments that cannot be read.
    SyntaxError = 501, "5.5.4", "syntax error in arguments";
    /// MAIL FROM path.
    BadSender = 501, "5.1.7", "syntax error in sender address";
    /// RCPT TO path, source routes too.
    BadRecipient = 501, "5.1.3", "syntax error in recipient address";
    /// Malformed SASL message.
    SaslMalformed = 501, "5.5.2", "malformed sign-on";
    /// `*` in a SASL exchange.
    SaslCancelled = 501, "5.7.0", "sign-on cancelled";
    /// Known and not offered.
    NotImplemented = 502, "5.5.1", "command not implemented";
    /// Order of commands.
    BadSequence = 503, "5.5.1", "command out of order";
    /// Something was sent behind STARTTLS without waiting.
    PipelinedTls = 503, "5.5.1", "nothing may follow STARTTLS before the answer";
    /// SASL mechanism.
    UnknownMechanism = 504, "5.5.4", "mechanism not available, or not without TLS";
    /// A bare CR or LF in a command.
    BareLineEnding = 521, "5.5.2", "lines end with CR LF";
    /// Sign-on needed.
    SignOnRequired = 530, "5.7.0", "sign on first";
    /// TLS needed.
    TlsRequired = 530, "5.7.0", "STARTTLS first";
    /// Wrong name or password, or any other cause: not told apart.
    SignOnFailed = 535, "5.7.8", "sign-on failed";
    /// Unknown recipient.
    NoSuchMailbox = 550, "5.1.1", "no such mailbox";
    /// Not a domain of ours and not signed on.
    RelayDenied = 550, "5.7.1", "relaying denied";
    /// From or Sender of somebody else.
    FromNotYours = 550, "5.7.1", "From or Sender is not an address of yours";
    /// Mailbox full.
    MailboxFull = 552, "5.2.2", "mailbox full";
    /// Message size limit.
    TooLarge = 552, "5.3.4", "message too large";
    /// Envelope sender of somebody else.
    SenderNotYours = 553, "5.7.1", "sender is not an address of yours";
    /// Non-ASCII address without SMTPUTF8.
    NeedsUtf8 = 553, "5.6.7", "address needs SMTPUTF8";
    /// No RCPT was accepted.
    NoRecipients = 503, "5.5.1", "no valid recipients";
    /// Too many Received fields, or an alias that never ends.
    Loop = 554, "5.4.6", "mail loop";
    /// Bare CR or LF in a message.
    BareInMessage = 554, "5.6.0", "message has a CR or LF on its own";
    /// NUL in a message.
    NulInMessage = 554, "5.6.0", "message has a NUL";
    /// Text line limit.
    TextLineTooLong = 554, "5.6.0", "message has a line that is too long";
    /// Header limit.
    HeaderTooLarge = 554, "5.6.0", "message header is too large";
    /// A header that cannot be read (submission).
    BadHeader = 554, "5.6.0", "message header is malformed";
    /// Two From fields or the like (submission).
    DoubleField = 554, "5.6.0", "message has From, Sender, Date or Message-ID more than once";
    /// Parameter of MAIL or RCPT.
    UnknownParameter = 555, "5.5.4", "parameter not recognised";
}

impl Reply {
    /// Appends the reply as one line.
    pub fn write(self, out: &mut Vec<u8>) {
        let (code, enhanced, text) = self.parts();
        let gap = if enhanced.is_empty() { "" } else { " " };
        out.extend_from_slice(format!("{code} {enhanced}{gap}{text}\r\n").as_bytes());
    }

    /// The reply code.
    pub const fn code(self) -> u16 {
        self.parts().0
    }

    /// 4xx or 5xx.
    pub const fn is_error(self) -> bool {
        self.code() >= 400
    }
}
