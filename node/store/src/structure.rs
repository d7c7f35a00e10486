//! Envelope and body structure of a message (RFC 9051 §7.5.2), parsed once at append and cached.

mod address;
pub(crate) mod fields;
mod params;
mod walk;

use serde::{Deserialize, Serialize};

/// What IMAP's ENVELOPE and BODYSTRUCTURE need, and where each part lies in the message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Structure {
    /// Envelope.
    pub envelope: MailEnvelope,
    /// The outermost part.
    pub root: Part,
}

/// Header fields of ENVELOPE as they stand in the message, unfolded, still encoded (RFC 2047).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailEnvelope {
    /// Date field, text.
    pub date: Option<String>,
    /// Date field, seconds since the Unix epoch.
    pub sent: Option<i64>,
    /// Subject.
    pub subject: Option<String>,
    /// From.
    pub from: Vec<MailAddress>,
    /// Sender; From if missing.
    pub sender: Vec<MailAddress>,
    /// Reply-To; From if missing.
    pub reply_to: Vec<MailAddress>,
    /// To.
    pub to: Vec<MailAddress>,
    /// Cc.
    pub cc: Vec<MailAddress>,
    /// Bcc.
    pub bcc: Vec<MailAddress>,
    /// In-Reply-To.
    pub in_reply_to: Option<String>,
    /// Message-ID.
    pub message_id: Option<String>,
}

/// An address, or the start or end of a group (RFC 9051 §7.5.2: host is NIL).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailAddress {
    /// Display name.
    pub name: Option<String>,
    /// Local part; in a group start, its name; in a group end, `None`.
    pub mailbox: Option<String>,
    /// Domain; `None` at the start and end of a group.
    pub host: Option<String>,
}

/// A body part.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Media type, lower case.
    pub kind: String,
    /// Media subtype, lower case.
    pub subtype: String,
    /// Parameters of Content-Type.
    pub params: Vec<(String, String)>,
    /// Content-ID.
    pub id: Option<String>,
    /// Content-Description.
    pub description: Option<String>,
    /// Content-Transfer-Encoding, lower case; `7bit` if missing.
    pub encoding: String,
    /// Content-MD5.
    pub md5: Option<String>,
    /// Content-Disposition and its parameters.
    pub disposition: Option<(String, Vec<(String, String)>)>,
    /// Content-Language.
    pub language: Vec<String>,
    /// Content-Location.
    pub location: Option<String>,
    /// Offset of the part's header in the message.
    pub header: u32,
    /// Offset of the part's body, behind the blank line.
    pub body: u32,
    /// Offset behind the last byte of the part's body.
    pub end: u32,
    /// Lines in the body.
    pub lines: u32,
    /// Parts of a multipart, in order.
    pub children: Vec<Part>,
    /// The message of a message/rfc822 part. Its offsets count from the start of the outermost message.
    pub message: Option<Box<Structure>>,
}

impl Structure {
    /// Deepest nesting of parts; what lies deeper is opaque text.
    pub const MAX_DEPTH: usize = 64;
    /// Most parts; what comes after is part of the last one.
    pub const MAX_PARTS: usize = 2_000;
    /// Most addresses in one header field.
    pub const MAX_ADDRESSES: usize = 5_000;

    /// Parses a message. Never fails, whatever the bytes are: mail without any structure is one text
    /// part. Takes time in proportion to the length; up to a second for the largest, so not for the
    /// async runtime.
    pub fn parse(message: &[u8]) -> Self {
        walk::structure(message)
    }
}

#[cfg(test)]
mod tests;
