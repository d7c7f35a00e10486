//! The state machine of the simulated cluster: registers, each write with an id.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use bytes::Bytes;
use parking_lot::Mutex;

use super::checks::Checks;
use crate::{
    Applied, Command, MachineError, NodeId, StateMachine,
    sim::{
        SimDisk,
        plant::{self, Plant},
        tests::machine::Journal,
    },
};

/// A write: the id is the value too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Write {
    pub key: u8,
    pub id: u64,
}

impl Write {
    /// With some bytes behind it, so that the log has several segments.
    pub(super) fn encode(self) -> Bytes {
        let mut bytes = vec![self.key];
        bytes.extend(self.id.to_le_bytes());
        bytes.resize(9 + (self.id as usize * 37) % 200, self.key);
        bytes.into()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (key, rest) = bytes.split_first()?;
        Some(Self { key: *key, id: u64::from_le_bytes(*rest.first_chunk()?) })
    }
}

/// What a replica shows.
#[derive(Clone, Debug, Default)]
pub(super) struct View {
    pub values: BTreeMap<u8, u64>,
    /// Ids in the order in which they took effect.
    pub effects: Vec<u64>,
    seen: BTreeSet<u64>,
    pub applied: u64,
}

impl View {
    fn apply(&mut self, bytes: &[u8]) {
        let Some(write) = Write::decode(bytes) else { return };
        if self.seen.insert(write.id) || plant::is(Plant::NoRequestCheck) {
            self.values.insert(write.key, write.id);
            self.effects.push(write.id);
        }
    }
}

/// Registers on a [`Journal`].
pub(super) struct Registers {
    journal: Journal,
    node: NodeId,
    view: Arc<Mutex<View>>,
    checks: Checks,
}

impl Registers {
    pub(super) fn open(
        disk: &SimDisk,
        node: NodeId,
        folder: &Path,
        checks: &Checks,
    ) -> std::io::Result<(Self, Arc<Mutex<View>>)> {
        let journal = Journal::open(disk, folder)?;
        let view = Arc::new(Mutex::new(View::default()));
        let machine = Self { journal, node, view: view.clone(), checks: checks.clone() };
        machine.rebuild();
        Ok((machine, view))
    }

    /// Computes the view from the journal.
    fn rebuild(&self) {
        let mut view = View::default();
        for (index, bytes) in &self.journal.content.entries {
            self.checks.applied(self.node, *index, bytes);
            view.apply(bytes);
        }
        view.applied = self.journal.content.applied.as_ref().map_or(0, |applied| applied.index);
        self.checks.effects(self.node, view.applied, &view.effects);
        *self.view.lock() = view;
    }
}

impl StateMachine for Registers {
    fn applied(&mut self) -> Result<Option<Applied>, MachineError> {
        self.journal.applied()
    }

    fn apply(&mut self, batch: &[Command], applied: &Applied) -> Result<Vec<Bytes>, MachineError> {
        let answers = self.journal.apply(batch, applied)?;
        let mut view = self.view.lock();
        for command in batch {
            self.checks.applied(self.node, command.index, &command.data);
            view.apply(&command.data);
        }
        view.applied = applied.index;
        self.checks.effects(self.node, view.applied, &view.effects);
        Ok(answers)
    }

    fn checkpoint(&mut self) -> Result<(), MachineError> {
        self.journal.checkpoint()
    }

    fn snapshot(&mut self, into: &Path) -> Result<(), MachineError> {
        self.journal.snapshot(into)
    }

    fn install(&mut self, from: &Path) -> Result<(), MachineError> {
        self.journal.install(from)?;
        self.checks.installed(self.node);
        self.rebuild();
        Ok(())
    }
}
