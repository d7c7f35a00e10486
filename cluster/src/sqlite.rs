//! SQLite as the home of a state machine: one writer connection for `apply`, a small fixed pool of
//! readers. WAL, `synchronous=NORMAL`; the log is the durability (DESIGN §5).

use std::path::{Path, PathBuf};

use rusqlite::{Connection, Transaction};

use crate::{Applied, MachineError};

/// One step of the schema. Steps run in order, each once, inside one transaction; the number of steps
/// that ran is kept in `PRAGMA user_version`. A database with more steps than known is refused.
pub type Migration = &'static str;

/// The database of one state machine, opened for writing.
pub struct Database {
    connection: Connection,
    path: PathBuf,
}

impl Database {
    /// Opens or creates the database file at `path` and brings its schema up to date.
    pub fn open(path: &Path, migrations: &[Migration]) -> Result<Self, MachineError> {
        let _ = (path, migrations);
        unimplemented!()
    }

    /// The writer connection.
    pub fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// The database file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How far the state machine has come.
    pub fn applied(&self) -> Result<Option<Applied>, MachineError> {
        unimplemented!()
    }

    /// Writes `applied` inside the transaction that holds the effect.
    pub fn set_applied(
        transaction: &Transaction<'_>,
        applied: &Applied,
    ) -> Result<(), MachineError> {
        let _ = (transaction, applied);
        unimplemented!()
    }

    /// Checkpoints the WAL and syncs the database file.
    pub fn checkpoint(&mut self) -> Result<(), MachineError> {
        unimplemented!()
    }

    /// Writes a complete copy to the new file `to`, durable when it returns.
    pub fn snapshot(&mut self, to: &Path) -> Result<(), MachineError> {
        let _ = to;
        unimplemented!()
    }

    /// Replaces the whole content by that of the database file `from`, in one step. Readers that were
    /// opened before see the new content.
    pub fn install(&mut self, from: &Path) -> Result<(), MachineError> {
        let _ = from;
        unimplemented!()
    }
}

/// A fixed pool of read-only connections to one database. Cheap to clone.
#[derive(Clone)]
pub struct Readers {}

impl Readers {
    /// Opens `count` read-only connections, each on a thread of its own.
    pub fn open(path: &Path, count: usize) -> Result<Self, MachineError> {
        let _ = (path, count);
        unimplemented!()
    }

    /// Runs `query` on a free connection inside one read transaction, so that it sees one state.
    pub async fn read<T, F>(&self, query: F) -> Result<T, MachineError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, MachineError> + Send + 'static,
    {
        let _ = query;
        unimplemented!()
    }
}
