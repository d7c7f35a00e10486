//! How far a move is, for people.

use std::time::Duration;

use super::MoveId;

/// What a move is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// Not begun, or waiting for a store that cannot be reached.
    #[default]
    Waiting,
    /// Copying everything.
    Copying,
    /// Carrying over what has changed since.
    CatchingUp,
    /// The mailbox is read-only; the last changes are carried over.
    Switching,
    /// In use in the new store; the old one is being cleared.
    Clearing,
    /// Given up; the target is being cleared.
    Undoing,
    /// Over.
    Over,
}

impl Phase {
    /// In one word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Copying => "copying",
            Self::CatchingUp => "catching-up",
            Self::Switching => "switching",
            Self::Clearing => "clearing",
            Self::Undoing => "undoing",
            Self::Over => "over",
        }
    }
}

/// How far a move is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Which; `None` before it began.
    pub id: Option<MoveId>,
    /// What it is doing.
    pub phase: Phase,
    /// Items in the new store.
    pub items: u64,
    /// Items in the mailbox when last looked at.
    pub items_total: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Bytes in the mailbox when last looked at.
    pub bytes_total: u64,
    /// How long the mailbox could not be changed, once that is known.
    pub frozen: Option<Duration>,
    /// Why it waits or went wrong, in words.
    pub problem: Option<String>,
}
