//! What travels through the log: a changing call, with what its messages were found to be.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{BodyHash, Call, Response};

/// First byte of an encoded command.
pub(crate) const VERSION: u8 = 1;

/// A changing call as it is agreed on.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Command {
    /// The call; its messages are empty.
    pub call: Call,
    /// Its messages, in order.
    pub bodies: Vec<NewBody>,
}

/// A message of a command. Found out by the proposer, so that every replica has the same.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct NewBody {
    /// Its name.
    pub hash: BodyHash,
    /// Its length in bytes.
    pub size: u32,
    /// Date header, seconds since the Unix epoch.
    pub sent: Option<i64>,
    /// [`crate::Structure`] by postcard.
    pub structure: Bytes,
    /// The message itself, unless it is in the body log.
    pub inline: Option<Bytes>,
}

/// Why bytes are not a command.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DecodeError {
    /// No bytes.
    #[error("empty command")]
    Empty,
    /// Made by a program that this one does not know.
    #[error("command of unknown version {0}")]
    Version(u8),
    /// Not what the version says.
    #[error("command cannot be read: {0}")]
    Malformed(String),
}

impl Command {
    /// For the log.
    pub(crate) fn encode(&self) -> Result<Bytes, DecodeError> {
        postcard::to_extend(self, vec![VERSION])
            .map(Bytes::from)
            .map_err(|error| DecodeError::Malformed(error.to_string()))
    }

    /// From the log.
    pub(crate) fn decode(data: &[u8]) -> Result<Self, DecodeError> {
        let (version, rest) = data.split_first().ok_or(DecodeError::Empty)?;
        if *version != VERSION {
            return Err(DecodeError::Version(*version));
        }
        match postcard::take_from_bytes(rest) {
            Ok((command, [])) => Ok(command),
            Ok((_, rest)) => Err(DecodeError::Malformed(format!("{} bytes too many", rest.len()))),
            Err(error) => Err(DecodeError::Malformed(error.to_string())),
        }
    }
}

/// An answer as the state machine gives and remembers it.
pub(crate) fn encode_answer(answer: &Response) -> Result<Vec<u8>, postcard::Error> {
    postcard::to_stdvec(answer)
}

/// The other way.
pub(crate) fn decode_answer(bytes: &[u8]) -> Result<Response, postcard::Error> {
    postcard::from_bytes(bytes)
}
