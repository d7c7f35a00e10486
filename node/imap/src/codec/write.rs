//! Data to response bytes.

use std::fmt::{Display, Write as _};

use bytes::{Bytes, BytesMut};
use posthouse_store::Flags;

/// Strings up to this size in bytes are sent quoted where possible.
const QUOTED: usize = 1_000;

const FLAGS: &[(u8, &str)] = &[
    (Flags::ANSWERED, "\\Answered"),
    (Flags::FLAGGED, "\\Flagged"),
    (Flags::DELETED, "\\Deleted"),
    (Flags::SEEN, "\\Seen"),
    (Flags::DRAFT, "\\Draft"),
];

/// Response codes (RFC 9051 §7.1, RFC 5530, RFC 7162, RFC 4978). Named nowhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Code {
    AlreadyExists,
    AuthenticationFailed,
    BadCharset,
    Cannot,
    Closed,
    CompressionActive,
    Corruption,
    HasChildren,
    Limit,
    NonExistent,
    OverQuota,
    PrivacyRequired,
    ReadOnly,
    ReadWrite,
    ServerBug,
    TooBig,
    TryCreate,
    Unavailable,
    UnknownCte,
}

impl Code {
    /// As it is sent, without brackets.
    pub const fn text(self) -> &'static str {
        match self {
            Self::AlreadyExists => "ALREADYEXISTS",
            Self::AuthenticationFailed => "AUTHENTICATIONFAILED",
            Self::BadCharset => "BADCHARSET (US-ASCII UTF-8)",
            Self::Cannot => "CANNOT",
            Self::Closed => "CLOSED",
            Self::CompressionActive => "COMPRESSIONACTIVE",
            Self::Corruption => "CORRUPTION",
            Self::HasChildren => "HASCHILDREN",
            Self::Limit => "LIMIT",
            Self::NonExistent => "NONEXISTENT",
            Self::OverQuota => "OVERQUOTA",
            Self::PrivacyRequired => "PRIVACYREQUIRED",
            Self::ReadOnly => "READ-ONLY",
            Self::ReadWrite => "READ-WRITE",
            Self::ServerBug => "SERVERBUG",
            Self::TooBig => "TOOBIG",
            Self::TryCreate => "TRYCREATE",
            Self::Unavailable => "UNAVAILABLE",
            Self::UnknownCte => "UNKNOWN-CTE",
        }
    }
}

/// Composes responses.
#[derive(Default)]
pub struct Writer {
    buffer: BytesMut,
    /// The client has enabled UTF-8 in quoted strings and names (RFC 9051, RFC 6855).
    pub utf8: bool,
}

impl Writer {
    /// Bytes that are composed and not yet taken.
    pub fn len(&self) -> usize {
        self.buffer.len()
    }

    /// Whether nothing is composed.
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// Takes what is composed.
    pub fn take(&mut self) -> Bytes {
        self.buffer.split().freeze()
    }

    /// Adds text of our own.
    pub fn text(&mut self, text: impl Display) -> &mut Self {
        // writing into memory cannot fail
        let _ = write!(self.buffer, "{text}");
        self
    }

    /// Adds bytes as they are.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.buffer.extend_from_slice(bytes);
        self
    }

    /// An untagged response of our own text.
    pub fn untagged(&mut self, text: impl Display) {
        self.text("* ").text(text).text("\r\n");
    }

    /// A status response: `tag OK [CODE] text`.
    pub fn status(&mut self, tag: &str, kind: &str, code: Option<&str>, text: &str) {
        self.text(tag).text(" ").text(kind).text(" ");
        if let Some(code) = code {
            self.text("[").text(code).text("] ");
        }
        self.text(text).text("\r\n");
    }

    /// The head of a literal of `length` bytes.
    pub fn literal_head(&mut self, length: usize, binary: bool) {
        self.text(if binary { "~{" } else { "{" }).text(length).text("}\r\n");
    }

    /// `string`: quoted where that is possible, else a literal. NULs, which neither can have, are left out.
    pub fn string(&mut self, value: &str) {
        let quotable = value.len() <= QUOTED
            && value
                .chars()
                .all(|c| c.is_ascii_graphic() || c == ' ' || (self.utf8 && c >= '\u{a0}'));
        if !quotable {
            let value = value.replace('\0', "");
            self.literal_head(value.len(), false);
            self.buffer.extend_from_slice(value.as_bytes());
            return;
        }
        self.buffer.extend_from_slice(b"\"");
        for piece in value.split_inclusive(['"', '\\']) {
            match piece.strip_suffix(['"', '\\']) {
                Some(before) => {
                    let special = if piece.ends_with('"') { "\\\"" } else { "\\\\" };
                    self.text(before).text(special);
                }
                None => {
                    self.text(piece);
                }
            }
        }
        self.buffer.extend_from_slice(b"\"");
    }

    /// `nstring`.
    pub fn nstring(&mut self, value: Option<&str>) {
        match value {
            Some(value) => self.string(value),
            None => {
                self.text("NIL");
            }
        }
    }

    /// A mailbox name: UTF-8 if enabled, else modified UTF-7.
    pub fn mailbox(&mut self, name: &str) {
        if self.utf8 {
            self.string(name);
        } else {
            self.string(&super::utf7::encode(name));
        }
    }

    /// A parenthesized list of flags.
    pub fn flags(&mut self, flags: &Flags) {
        self.text("(");
        let system = FLAGS.iter().filter(|(bit, _)| flags.system & bit != 0).map(|flag| flag.1);
        let mut before = "";
        for flag in system.chain(flags.keywords.iter().map(String::as_str)) {
            self.text(before).text(flag);
            before = " ";
        }
        self.text(")");
    }

    /// All system flags, for FLAGS and PERMANENTFLAGS.
    pub fn all_system_flags() -> String {
        FLAGS.iter().map(|flag| flag.1).collect::<Vec<_>>().join(" ")
    }

    /// The bit of a system flag by its name, any case.
    pub fn system_flag(name: &str) -> Option<u8> {
        FLAGS.iter().find(|(_, known)| known.eq_ignore_ascii_case(name)).map(|flag| flag.0)
    }
}
