//! The codec: a version byte, then postcard.

use bytes::Bytes;
use posthouse_cluster::{GroupId, NodeId, Timestamp};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{BodyHash, Call, Event, ReplicaState, Response, StoreError};

/// First byte of a question and of an answer.
const VERSION: u8 = 1;
/// Bytes of an encoded question or answer above which it crosses as a parcel.
pub(crate) const FRAME: usize = 256 << 10;

/// Bytes that lie in parts at the node that answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Parcel {
    /// Its number, chosen at random.
    pub id: u128,
    /// Its length in bytes.
    pub total: u64,
}

/// For [`Service::STORE`](posthouse_cluster::network::Service::STORE).
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum StoreQuestion {
    /// A call, for the leader.
    Call { store: GroupId, call: Call },
    /// A question that was sent as a parcel before.
    Sent { parcel: u128 },
    /// How the replica there is doing.
    State { store: GroupId },
}

/// Answer to a [`StoreQuestion`].
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum StoreAnswer {
    /// What the store says.
    Done(Response),
    /// Not the leader; who is, where known.
    NotLeader(Option<NodeId>),
    /// No answer of the store.
    Failed(WireError),
    /// The answer is to be fetched as a parcel.
    Long(Parcel),
    /// How the replica is doing.
    State(ReplicaState),
}

/// A [`StoreError`] on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum WireError {
    /// [`StoreError::Unavailable`]
    Unavailable(String),
    /// [`StoreError::OutOfReach`]
    OutOfReach(String),
    /// [`StoreError::Storage`]
    Storage(String),
    /// [`StoreError::Damaged`]
    Damaged(String),
}

/// For [`Service::BODIES`](posthouse_cluster::network::Service::BODIES).
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum BulkQuestion {
    /// The part of a parcel from `offset` → [`BulkAnswer::Have`].
    Part { parcel: Parcel, offset: u64, bytes: Bytes },
    /// The part of a long answer from `offset` → [`BulkAnswer::Bytes`].
    Take { parcel: u128, offset: u64 },
    /// Put this body on disk → [`BulkAnswer::Stored`].
    Stage { store: GroupId, hash: BodyHash, at: Timestamp, bytes: Bytes },
    /// Put the body on disk that was sent as a parcel → [`BulkAnswer::Stored`].
    StageSent { store: GroupId, hash: BodyHash, at: Timestamp, parcel: u128 },
    /// Whether a sound body is there → [`BulkAnswer::Stored`] or [`BulkAnswer::Missing`].
    Has { store: GroupId, hash: BodyHash },
    /// A body → [`BulkAnswer::Bytes`], [`BulkAnswer::Long`] or [`BulkAnswer::Missing`].
    Fetch { store: GroupId, hash: BodyHash },
}

/// Answer to a [`BulkQuestion`].
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum BulkAnswer {
    /// So many bytes of the parcel are there.
    Have(u64),
    /// Bytes.
    Bytes(Bytes),
    /// To be fetched as a parcel.
    Long(Parcel),
    /// The body is on disk.
    Stored,
    /// There is no such body or parcel.
    Missing,
}

/// For [`Service::STORE_EVENTS`](posthouse_cluster::network::Service::STORE_EVENTS): answered when there
/// is something, or empty after a while.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct EventsQuestion {
    /// Of which store.
    pub store: GroupId,
    /// Run of the program that gave the numbers; 0 at first.
    pub run: u64,
    /// Number of the next event that is wanted.
    pub next: u64,
}

/// Answer to an [`EventsQuestion`].
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct EventsAnswer {
    /// Run of the program that answers.
    pub run: u64,
    /// Number of the event after these.
    pub next: u64,
    /// Events were missed: before these, or all because of another run.
    pub missed: bool,
    /// The events.
    pub events: Vec<Event>,
}

/// For the network.
pub(crate) fn encode<T: Serialize>(value: &T) -> Result<Bytes, String> {
    postcard::to_extend(value, vec![VERSION]).map(Bytes::from).map_err(|error| error.to_string())
}

/// From the network. Allocates no more than the input is long.
pub(crate) fn decode<T: DeserializeOwned>(data: &[u8]) -> Result<T, String> {
    let (version, rest) = data.split_first().ok_or("an empty message")?;
    if *version != VERSION {
        return Err(format!("a message of unknown version {version}"));
    }
    match postcard::take_from_bytes(rest) {
        Ok((value, [])) => Ok(value),
        Ok((_, rest)) => Err(format!("{} bytes too many in a message", rest.len())),
        Err(error) => Err(format!("a message cannot be read: {error}")),
    }
}

impl From<StoreError> for WireError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(text) => Self::Unavailable(text),
            StoreError::OutOfReach(text) => Self::OutOfReach(text),
            StoreError::Storage(text) => Self::Storage(text),
            StoreError::Damaged(text) => Self::Damaged(text),
        }
    }
}

impl From<WireError> for StoreError {
    fn from(error: WireError) -> Self {
        match error {
            WireError::Unavailable(text) => Self::Unavailable(text),
            WireError::OutOfReach(text) => Self::OutOfReach(text),
            WireError::Storage(text) => Self::Storage(text),
            WireError::Damaged(text) => Self::Damaged(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_message_is_refused_with_the_reason() {
        let state = encode(&StoreQuestion::State { store: GroupId(1) }).unwrap();
        let with = |extra: &[u8]| [&state[..], extra].concat();
        for (bytes, reason) in [
            (Vec::new(), "an empty message"),
            (vec![9, 0], "unknown version 9"),
            (vec![VERSION, 200], "cannot be read"),
            (with(b"x"), "1 bytes too many"),
            (state[..state.len() - 1].to_vec(), "cannot be read"),
            // a call whose text claims to be longer than the message
            (vec![VERSION, 0, 1, 0, 0, 1, 0, 0xff, 0xff, 0xff, 0x7f], "cannot be read"),
        ] {
            let error = decode::<StoreQuestion>(&bytes).unwrap_err();
            assert!(error.contains(reason), "{bytes:?}: {error}");
        }
        assert!(matches!(decode(&state), Ok(StoreQuestion::State { store: GroupId(1) })));
    }
}
