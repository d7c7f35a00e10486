//! Numbers of the whole cluster: its id, the agreed level, counters.

use posthouse_cluster::MachineError;
use rusqlite::{Connection, OptionalExtension, params};

/// A number by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fact {
    /// Random number of the cluster.
    ClusterId,
    /// Agreed level.
    Level,
    /// Highest number of a node ever given.
    LastNode,
    /// Highest number of a store ever given.
    LastStore,
    /// The table of mailboxes is filled.
    Mailboxes,
}

impl Fact {
    fn name(self) -> &'static str {
        match self {
            Self::ClusterId => "cluster.id",
            Self::Level => "cluster.level",
            Self::LastNode => "node.last",
            Self::LastStore => "store.last",
            Self::Mailboxes => "mailbox.filled",
        }
    }
}

/// The number, if it was ever set.
pub(crate) fn get(db: &Connection, fact: Fact) -> Result<Option<u128>, MachineError> {
    let sql = "select value from fact where name = ?";
    let row: Option<Vec<u8>> =
        db.prepare_cached(sql)?.query_row([fact.name()], |row| row.get(0)).optional()?;
    let Some(row) = row else { return Ok(None) };
    let bytes: [u8; 16] = row
        .try_into()
        .map_err(|_| MachineError::Corrupt(format!("fact {} is not a number", fact.name())))?;
    Ok(Some(u128::from_be_bytes(bytes)))
}

/// Sets the number.
pub(crate) fn put(db: &Connection, fact: Fact, value: u128) -> Result<(), MachineError> {
    let sql = "insert or replace into fact (name, value) values (?, ?)";
    db.prepare_cached(sql)?.execute(params![fact.name(), value.to_be_bytes().as_slice()])?;
    Ok(())
}

/// The agreed level; 1 before anything was agreed.
pub(crate) fn level(db: &Connection) -> Result<u32, MachineError> {
    Ok(get(db, Fact::Level)?.map_or(1, |level| u32::try_from(level).unwrap_or(u32::MAX)))
}

/// Remembers that a number of a node or store was given.
pub(crate) fn given(db: &Connection, fact: Fact, number: u64) -> Result<(), MachineError> {
    let number = u128::from(number);
    match get(db, fact)? {
        Some(known) if known >= number => Ok(()),
        _ => put(db, fact, number),
    }
}

/// A number that was never given. `table` has those that were given before they were counted.
pub(crate) fn next(db: &Connection, fact: Fact, table: &str) -> Result<u64, MachineError> {
    let sql = format!("select coalesce(max(id), 0) from {table}");
    let highest: i64 = db.query_row(&sql, [], |row| row.get(0))?;
    let last = get(db, fact)?.map_or(0, |last| u64::try_from(last).unwrap_or(u64::MAX));
    let next = last.max(highest.unsigned_abs()).saturating_add(1);
    put(db, fact, u128::from(next))?;
    Ok(next)
}
