//! Bytes of joining: one message in each direction, each a length (4 bytes, big endian) and that many bytes.
//!
//! The first byte of a message is its version; the rest is postcard.

use serde::{Serialize, de::DeserializeOwned};

use super::{Admission, InviteId, JoinRefusal, JoinRequest};

/// Version of what this file describes.
pub(crate) const VERSION: u8 = 1;
/// Largest message of a new node in bytes.
pub(crate) const MAX_KNOCK: usize = 16 << 10;
/// Largest answer in bytes: the list of all nodes is in it.
pub(crate) const MAX_ANSWER: usize = 4 << 20;
/// Longest text in a request in bytes (a host name, RFC 1035 §2.3.4).
const MAX_TEXT: usize = 255;
/// Most addresses of a new node.
const MAX_ADDRESSES: usize = 16;
/// Longest public key in bytes.
const MAX_KEY: usize = 256;

/// What a new node sends.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Knock {
    pub(crate) invite: InviteId,
    /// A [`JoinRequest`]; as bytes, because the signatures are over them.
    pub(crate) request: Vec<u8>,
    /// Signature with the key that the invite's secret stands for.
    pub(crate) proof: Vec<u8>,
    /// Signature with the node's own key.
    pub(crate) possession: Vec<u8>,
}

/// What it gets.
pub(crate) type Answer = Result<Admission, JoinRefusal>;

/// Why bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MessageError {
    #[error("version {0} of joining; this program knows {VERSION}")]
    Version(u8),
    #[error("a message that cannot be read")]
    Unreadable,
}

pub(crate) fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, MessageError> {
    postcard::to_extend(message, vec![VERSION]).map_err(|_| MessageError::Unreadable)
}

pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, MessageError> {
    match bytes {
        [VERSION, message @ ..] => {
            postcard::from_bytes(message).map_err(|_| MessageError::Unreadable)
        }
        [other, ..] => Err(MessageError::Version(*other)),
        [] => Err(MessageError::Unreadable),
    }
}

/// Whether what a new node says about itself may be taken on.
pub(crate) fn check(request: &JoinRequest) -> Result<(), &'static str> {
    let text = |text: &str| text.len() <= MAX_TEXT && !text.chars().any(char::is_control);
    let checks = [
        (text(&request.host) && !request.host.is_empty(), "its host name"),
        (request.site.as_deref().is_none_or(text), "its site"),
        (text(&request.version), "its version"),
        (request.addresses.len() <= MAX_ADDRESSES, "the number of its addresses"),
        (request.addresses.iter().all(|address| text(address)), "its addresses"),
        (request.public_key.len() <= MAX_KEY, "its key"),
    ];
    checks.iter().find(|(good, _)| !good).map_or(Ok(()), |(_, what)| Err(*what))
}
