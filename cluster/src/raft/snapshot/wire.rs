//! Questions about copies as bytes: version (1), kind (1), then postcard; a part has fixed fields and its
//! bytes.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::FileInfo;
use crate::GroupId;

const VERSION: u8 = 1;
const BEGIN: u8 = 1;
const PART: u8 = 2;
const END: u8 = 3;

/// A copy is offered.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Begin {
    pub group: GroupId,
    pub copy: u128,
    /// The leader's term.
    pub term: u64,
    /// What the copy has applied.
    pub index: u64,
    /// As in [`crate::Applied`].
    pub opaque: Vec<u8>,
    pub files: Vec<FileInfo>,
}

/// Answer to [`Begin`]: nothing is needed, or the bytes of each file that are there.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Begun {
    NotNeeded,
    Have(Vec<u64>),
}

/// The next bytes of a file.
#[derive(Debug)]
pub(super) struct Part {
    pub group: GroupId,
    pub copy: u128,
    pub file: u32,
    pub offset: u64,
    pub data: Bytes,
}

/// All parts are there: install it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct End {
    pub group: GroupId,
    pub copy: u128,
    pub term: u64,
}

/// The vote of the member that installed it: term, node, committed.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Ended {
    pub term: u64,
    pub node: u64,
    pub committed: bool,
}

#[derive(Debug)]
pub(super) enum Question {
    Begin(Begin),
    Part(Part),
    End(End),
}

fn structured(kind: u8, value: &impl Serialize) -> Result<Bytes, String> {
    let out = postcard::to_extend(value, vec![VERSION, kind]).map_err(|error| error.to_string())?;
    Ok(out.into())
}

impl Question {
    pub(super) fn encode(&self) -> Result<Bytes, String> {
        match self {
            Self::Begin(begin) => structured(BEGIN, begin),
            Self::End(end) => structured(END, end),
            Self::Part(part) => {
                let mut out = BytesMut::with_capacity(40 + part.data.len());
                out.put_slice(&[VERSION, PART]);
                out.put_u64_le(part.group.0);
                out.put_u128_le(part.copy);
                out.put_u32_le(part.file);
                out.put_u64_le(part.offset);
                out.put_slice(&part.data);
                Ok(out.freeze())
            }
        }
    }

    pub(super) fn decode(mut bytes: Bytes) -> Result<Self, String> {
        let short = |_| "a question about a copy is cut short".to_owned();
        let version = bytes.try_get_u8().map_err(short)?;
        if version != VERSION {
            return Err(format!("version {version} of questions about copies is not known here"));
        }
        match bytes.try_get_u8().map_err(short)? {
            BEGIN => from_bytes(&bytes).map(Self::Begin),
            END => from_bytes(&bytes).map(Self::End),
            PART => Ok(Self::Part(Part {
                group: GroupId(bytes.try_get_u64_le().map_err(short)?),
                copy: bytes.try_get_u128_le().map_err(short)?,
                file: bytes.try_get_u32_le().map_err(short)?,
                offset: bytes.try_get_u64_le().map_err(short)?,
                data: bytes,
            })),
            kind => Err(format!("questions of kind {kind} about copies are not known here")),
        }
    }

    pub(super) fn group(&self) -> GroupId {
        match self {
            Self::Begin(begin) => begin.group,
            Self::Part(part) => part.group,
            Self::End(end) => end.group,
        }
    }
}

pub(super) fn from_bytes<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    postcard::from_bytes(bytes).map_err(|_| "a question or answer about a copy is damaged".into())
}

pub(super) fn to_bytes(value: &impl Serialize) -> Result<Bytes, String> {
    postcard::to_allocvec(value).map(Bytes::from).map_err(|error| error.to_string())
}
