//! Bytes of frames.
//!
//! A message crosses in parts, so that a large one delays no other. Each part is one frame: length of the part
//! (4 bytes, big endian), length of the whole message (4), number of the question (8), kind (1), service (1),
//! zero (2), then the part. The first frame in each direction is [`Kind::Hello`].

use crate::network::MAX_MESSAGE;

/// Version of what this file describes.
pub(crate) const VERSION: u8 = 1;
/// Bytes in front of each part.
pub(crate) const HEADER: usize = 20;
/// Largest part in bytes.
pub(crate) const MAX_PART: usize = 64 << 10;
/// Largest payload of a hello, a ping or another frame that is not about a question, in bytes.
pub(crate) const MAX_CONTROL: usize = 1024;

/// What a frame is. Numbers that a program does not know are answered with [`Kind::Unknown`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// First frame of each side: [`Hello`].
    Hello,
    /// A question for a service.
    Question,
    /// The answer.
    Answer,
    /// The service cannot answer; the payload says why (UTF-8).
    Refused,
    /// Too many questions are open; the service has not seen this one.
    Busy,
    /// The frame with this number had a kind that is not known here.
    Unknown,
    /// Asks for a pong.
    Ping,
    /// Answers a ping: the wall clock in milliseconds (8 bytes).
    Pong,
    /// Sent while bytes arrive, so that the sender of something long knows.
    Alive,
    /// The connection ends; the payload says why (UTF-8).
    Close,
    /// Of a newer program.
    Other(u8),
}

const KINDS: [Kind; 10] = [
    Kind::Hello,
    Kind::Question,
    Kind::Answer,
    Kind::Refused,
    Kind::Busy,
    Kind::Unknown,
    Kind::Ping,
    Kind::Pong,
    Kind::Alive,
    Kind::Close,
];

impl From<u8> for Kind {
    fn from(number: u8) -> Self {
        KINDS.get(usize::from(number)).copied().unwrap_or(Self::Other(number))
    }
}

impl From<Kind> for u8 {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Other(number) => number,
            known => KINDS.iter().position(|kind| *kind == known).unwrap_or(0) as Self,
        }
    }
}

/// What stands in front of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) part: u32,
    pub(crate) total: u32,
    pub(crate) id: u64,
    pub(crate) kind: Kind,
    pub(crate) service: u8,
}

/// What no program sends: the connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("a part of {0} bytes")]
    Part(u32),
    #[error("a message of {0} bytes")]
    Message(u32),
    #[error("parts that do not fit together")]
    Parts,
    #[error("more messages at a time than allowed")]
    Open,
    #[error("a hello that cannot be read")]
    Hello,
}

impl Header {
    pub(crate) fn encode(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..4].copy_from_slice(&self.part.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.total.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.id.to_be_bytes());
        bytes[16] = self.kind.into();
        bytes[17] = self.service;
        bytes
    }

    /// Reads a header and checks its lengths.
    pub(crate) fn decode(bytes: &[u8; HEADER]) -> Result<Self, FrameError> {
        let word = |at: usize| {
            bytes[at..at + 4].iter().fold(0u32, |sum, byte| sum << 8 | u32::from(*byte))
        };
        let header = Self {
            part: word(0),
            total: word(4),
            id: u64::from(word(8)) << 32 | u64::from(word(12)),
            kind: bytes[16].into(),
            service: bytes[17],
        };
        if header.part as usize > MAX_PART || (header.part == 0 && header.total > 0) {
            return Err(FrameError::Part(header.part));
        }
        if header.total as usize > header.kind.largest() {
            return Err(FrameError::Message(header.total));
        }
        if header.part > header.total {
            return Err(FrameError::Parts);
        }
        Ok(header)
    }
}

/// Longest text of a refusal in bytes; what is longer is cut.
pub(crate) const MAX_REASON: usize = 16 << 10;

/// A text, cut where it is too long for a refusal.
pub(crate) fn reason(text: &str) -> &str {
    let mut end = text.len().min(MAX_REASON);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

impl Kind {
    /// Largest message of this kind.
    fn largest(self) -> usize {
        match self {
            Self::Question | Self::Answer | Self::Refused | Self::Other(_) => MAX_MESSAGE,
            _ => MAX_CONTROL,
        }
    }
}

/// What both sides say first. Bytes behind what is known are left for later versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hello {
    /// Version of the frames.
    pub(crate) version: u8,
    /// Highest level that the program knows.
    pub(crate) level: u32,
    /// Who speaks.
    pub(crate) from: u64,
    /// Whom it takes the other for.
    pub(crate) to: u64,
    /// Which traffic the connection is for.
    pub(crate) class: u8,
}

const HELLO: usize = 22;

impl Hello {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![self.version];
        bytes.extend_from_slice(&self.level.to_be_bytes());
        bytes.extend_from_slice(&self.from.to_be_bytes());
        bytes.extend_from_slice(&self.to.to_be_bytes());
        bytes.push(self.class);
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, FrameError> {
        let Some(&[version, ref level @ .., class]) = bytes.first_chunk::<HELLO>() else {
            return Err(FrameError::Hello);
        };
        let number = |part: &[u8]| part.iter().fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
        Ok(Self {
            version,
            level: number(&level[..4]) as u32,
            from: number(&level[4..12]),
            to: number(&level[12..20]),
            class,
        })
    }
}
