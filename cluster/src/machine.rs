//! What a group agrees on.

use std::path::Path;

use bytes::Bytes;

/// How far a state machine has come. Stored in the same transaction as the effect of the commands.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Applied {
    /// Index of the last log entry whose effect is in the state machine.
    pub index: u64,
    /// What the consensus layer wants back (log id and membership). Opaque to the state machine.
    pub opaque: Vec<u8>,
}

/// One agreed command.
#[derive(Clone, Debug)]
pub struct Command {
    /// Index of the log entry.
    pub index: u64,
    /// The bytes that were handed to [`crate::Group::propose`].
    pub data: Bytes,
}

/// A state machine that cannot go on. Business refusals are not errors: they travel in the answer.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// The database or a file failed. The node stops acknowledging and says so.
    #[error("state machine storage failed: {0}")]
    Storage(String),
    /// A stored command or row cannot be read. The reason names what and where.
    #[error("state machine data cannot be read: {0}")]
    Corrupt(String),
}

impl From<rusqlite::Error> for MachineError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Storage(error.to_string())
    }
}

impl From<std::io::Error> for MachineError {
    fn from(error: std::io::Error) -> Self {
        Self::Storage(error.to_string())
    }
}

/// A deterministic state machine: the same commands in the same order give the same state and the
/// same answers on every node. Time, random numbers and outcomes come in with the command.
///
/// All methods are called from one thread, never from the async runtime, and may block.
pub trait StateMachine: Send + 'static {
    /// How far the state machine has come, `None` when it is new.
    fn applied(&mut self) -> Result<Option<Applied>, MachineError>;

    /// Applies a batch in one transaction, together with `applied`, and returns one answer for each
    /// command. The batch may be empty (only `applied` moves). A command that cannot be understood
    /// or is refused must give an answer that says so, not an error.
    fn apply(&mut self, batch: &[Command], applied: &Applied) -> Result<Vec<Bytes>, MachineError>;

    /// Makes everything that was applied so far durable. Only then may the log be purged behind it.
    fn checkpoint(&mut self) -> Result<(), MachineError>;

    /// Writes a complete, consistent copy of the state into the empty folder `into`, durable when it
    /// returns.
    fn snapshot(&mut self, into: &Path) -> Result<(), MachineError>;

    /// Replaces the whole state by the copy in `from`. A crash in the middle leaves the old or the
    /// new state.
    fn install(&mut self, from: &Path) -> Result<(), MachineError>;
}
