//! A state machine over SQLite that counts, shared by the tests of this crate.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use bytes::Bytes;
use posthouse_cluster::{
    Applied, Command, Environment, Group, GroupId, GroupSpec, MachineError, Node, NodeId,
    NodeOptions, StateMachine,
    sqlite::{Database, Migration},
};

const STEPS: &[Migration] =
    &["CREATE TABLE entry (position INTEGER PRIMARY KEY, data BLOB NOT NULL) STRICT"];

/// A command at which the state machine fails, as at a broken disk.
pub const POISON: &[u8] = b"poison";

/// Keeps every command; the answer is how many there are.
pub struct Ledger(Database);

impl Ledger {
    pub fn open(path: &Path) -> Self {
        Self(Database::open(path, STEPS).unwrap())
    }
}

impl StateMachine for Ledger {
    fn applied(&mut self) -> Result<Option<Applied>, MachineError> {
        self.0.applied()
    }

    fn apply(&mut self, batch: &[Command], applied: &Applied) -> Result<Vec<Bytes>, MachineError> {
        let transaction = self.0.connection().transaction()?;
        let mut answers = Vec::new();
        for command in batch {
            if command.data == POISON {
                return Err(MachineError::Storage("it met the poison".into()));
            }
            transaction
                .prepare_cached("INSERT INTO entry (position, data) VALUES (?1, ?2)")?
                .execute((command.index as i64, &command.data[..]))?;
            let count: i64 = transaction
                .prepare_cached("SELECT count(*) FROM entry")?
                .query_row([], |row| row.get(0))?;
            answers.push(Bytes::copy_from_slice(&count.to_le_bytes()));
        }
        Database::set_applied(&transaction, applied)?;
        transaction.commit()?;
        Ok(answers)
    }

    fn checkpoint(&mut self) -> Result<(), MachineError> {
        self.0.checkpoint()
    }

    fn snapshot(&mut self, into: &Path) -> Result<(), MachineError> {
        self.0.snapshot(&into.join("ledger"))
    }

    fn install(&mut self, from: &Path) -> Result<(), MachineError> {
        self.0.install(&from.join("ledger"))
    }
}

/// What the ledger at `path` holds.
pub fn content(path: &Path) -> Vec<Vec<u8>> {
    let mut database = Database::open(path, STEPS).unwrap();
    let mut statement =
        database.connection().prepare("SELECT data FROM entry ORDER BY position").unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

pub fn options(folder: &Path) -> NodeOptions {
    NodeOptions::alone(NodeId(1), folder.join("log"))
}

pub async fn open(folder: &Path) -> Node {
    Node::open(Environment::real(), options(folder)).await.unwrap()
}

pub fn ledger_path(folder: &Path, id: u64) -> PathBuf {
    folder.join(format!("ledger-{id}"))
}

pub async fn start(node: &Node, folder: &Path, id: u64) -> Group {
    let spec = GroupSpec { id: GroupId(id), name: format!("group-{id}"), bootstrap: true };
    node.start_group(spec, Box::new(Ledger::open(&ledger_path(folder, id)))).await.unwrap()
}
