//! One command on its way through the state machine.

use std::collections::BTreeSet;

use posthouse_cluster::{MachineError, Timestamp};
use rusqlite::Connection;

use crate::{AccountId, Actor, ChangeRefusal, Collision, Joined};

/// Why a handler ends early.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The command is refused; its effect is rolled back and the refusal is the answer.
    Refused(ChangeRefusal),
    /// The machine cannot go on.
    Broken(MachineError),
}

pub(crate) type Res<T> = Result<T, Stop>;

impl From<ChangeRefusal> for Stop {
    fn from(refusal: ChangeRefusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<MachineError> for Stop {
    fn from(error: MachineError) -> Self {
        Self::Broken(error)
    }
}

impl From<rusqlite::Error> for Stop {
    fn from(error: rusqlite::Error) -> Self {
        Self::Broken(error.into())
    }
}

/// What commands changed, so that the index can follow.
#[derive(Debug, Default)]
pub(crate) struct Effect {
    pub(crate) accounts: BTreeSet<AccountId>,
    pub(crate) domains: bool,
    pub(crate) configuration: bool,
    /// Moves of mailboxes that changed or were forgotten.
    pub(crate) moves: BTreeSet<u128>,
    /// What the node that joined became.
    pub(crate) joined: Option<Joined>,
    pub(crate) ephemerals: BTreeSet<(String, Vec<u8>)>,
    pub(crate) collisions: Vec<Collision>,
    /// A name or address became free: degraded accounts may have it now.
    pub(crate) freed: bool,
    /// Lines for the audit log.
    pub(crate) lines: Vec<String>,
}

impl Effect {
    /// Adds what a later command changed.
    pub(crate) fn merge(&mut self, other: Self) {
        self.accounts.extend(other.accounts);
        self.ephemerals.extend(other.ephemerals);
        self.domains |= other.domains;
        self.configuration |= other.configuration;
        self.moves.extend(other.moves);
    }
}

/// What a handler works with.
pub(crate) struct Step<'a> {
    pub(crate) db: &'a Connection,
    /// Number of the proposal: random.
    pub(crate) proposal: u128,
    pub(crate) at: Timestamp,
    pub(crate) actor: &'a Actor,
    pub(crate) effect: &'a mut Effect,
}

impl Step<'_> {
    /// Adds a line to the audit log.
    pub(crate) fn say(&mut self, text: impl Into<String>) {
        self.effect.lines.push(text.into());
    }
}
