//! SQLite as the home of a state machine: one writer connection for `apply`, a small fixed pool of
//! readers. WAL, `synchronous=NORMAL`; the log is the durability (DESIGN §5).

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, OptionalExtension, Transaction, backup::Backup};

use crate::{Applied, MachineError};

mod readers;

pub use readers::Readers;

/// One step of the schema. Steps run in order, each once, inside one transaction; the number of steps
/// that ran is kept in `PRAGMA user_version`. A database with more steps than known is refused.
pub type Migration = &'static str;

/// Prepared statements that each connection keeps.
const STATEMENT_CACHE: usize = 128;
/// How long a connection waits for a lock that another one holds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Pages after which SQLite itself moves the WAL into the database, should no checkpoint come. Keeps
/// the WAL below about 64 MiB.
const WAL_PAGES: u32 = 16_384;
/// Bytes of the database that are read through a memory map.
const MMAP_BYTES: u64 = 128 << 20;
/// The table that holds [`Applied`]. One row.
const APPLIED_TABLE: &str = "CREATE TABLE IF NOT EXISTS cluster_applied (
    one INTEGER PRIMARY KEY CHECK (one = 1), position INTEGER NOT NULL, opaque BLOB NOT NULL
) STRICT";

/// The database of one state machine, opened for writing.
pub struct Database {
    connection: Connection,
    path: PathBuf,
    migrations: Vec<Migration>,
}

impl Database {
    /// Opens or creates the database file at `path` and brings its schema up to date.
    pub fn open(path: &Path, migrations: &[Migration]) -> Result<Self, MachineError> {
        let mut connection = Connection::open(path)?;
        let mode: String = connection.query_row("PRAGMA journal_mode=WAL", [], |row| row.get(0))?;
        if mode != "wal" {
            return Err(MachineError::Storage(format!("journal mode is {mode}, not wal")));
        }
        prepare(&connection)?;
        connection.pragma_update(None, "wal_autocheckpoint", WAL_PAGES)?;
        migrate(&mut connection, migrations)?;
        Ok(Self { connection, path: path.to_owned(), migrations: migrations.to_vec() })
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
        let mut statement = self
            .connection
            .prepare_cached("SELECT position, opaque FROM cluster_applied WHERE one = 1")?;
        let row = statement.query_row([], |row| {
            Ok(Applied { index: row.get::<_, i64>(0)? as u64, opaque: row.get(1)? })
        });
        Ok(row.optional()?)
    }

    /// Writes `applied` inside the transaction that holds the effect.
    pub fn set_applied(
        transaction: &Transaction<'_>,
        applied: &Applied,
    ) -> Result<(), MachineError> {
        let mut statement = transaction.prepare_cached(
            "INSERT INTO cluster_applied (one, position, opaque) VALUES (1, ?1, ?2)
             ON CONFLICT (one) DO UPDATE SET position = excluded.position, opaque = excluded.opaque",
        )?;
        statement.execute(rusqlite::params![applied.index as i64, applied.opaque])?;
        Ok(())
    }

    /// Checkpoints the WAL and syncs the database file.
    pub fn checkpoint(&mut self) -> Result<(), MachineError> {
        // A reader with an old snapshot may keep the WAL from being emptied ("busy"). That is no
        // harm: what counts is that both files are on disk, the next checkpoint empties it.
        self.connection.busy_timeout(Duration::from_millis(50))?;
        let outcome = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        self.connection.busy_timeout(BUSY_TIMEOUT)?;
        match outcome {
            Err(error) if error.sqlite_error_code() != Some(rusqlite::ErrorCode::DatabaseBusy) => {
                return Err(error.into());
            }
            _ => {}
        }
        sync(&wal_of(&self.path))?;
        sync(&self.path)?;
        sync_parent(&self.path)
    }

    /// Writes a complete copy to the new file `to`, durable when it returns.
    pub fn snapshot(&mut self, to: &Path) -> Result<(), MachineError> {
        if to.exists() {
            return Err(MachineError::Storage(format!("{} exists already", file_name(to))));
        }
        let mut copy = Connection::open(to)?;
        Backup::new(&self.connection, &mut copy)?.step(-1)?;
        copy.close().map_err(|(_, error)| error)?;
        sync(to)?;
        sync_parent(to)
    }

    /// Replaces the whole content by that of the database file `from`, in one step. Readers that were
    /// opened before see the new content. A copy of an older program is brought up to date first, in its
    /// own file; one of a newer program is refused.
    pub fn install(&mut self, from: &Path) -> Result<(), MachineError> {
        let mut source = Connection::open_with_flags(from, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        let sound: String = source.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if sound != "ok" {
            return Err(MachineError::Corrupt(format!("copy {}: {sound}", file_name(from))));
        }
        migrate(&mut source, &self.migrations)?;
        self.connection.flush_prepared_statement_cache();
        // One step is one transaction: a crash leaves the old content or the new.
        Backup::new(&source, &mut self.connection)?.step(-1)?;
        self.checkpoint()
    }
}

/// Settings that every connection needs, writer and reader.
fn prepare(connection: &Connection) -> Result<(), MachineError> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENT_CACHE);
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.query_row(&format!("PRAGMA mmap_size={MMAP_BYTES}"), [], |_| Ok(())).optional()?;
    Ok(())
}

fn schema_version(connection: &Connection) -> Result<u32, MachineError> {
    Ok(connection.query_row("PRAGMA user_version", [], |row| row.get(0))?)
}

fn migrate(connection: &mut Connection, migrations: &[Migration]) -> Result<(), MachineError> {
    let done = schema_version(connection)? as usize;
    if done > migrations.len() {
        return Err(MachineError::Corrupt(format!(
            "database has {done} schema steps, this program knows {}: it was written by a newer one",
            migrations.len()
        )));
    }
    let transaction = connection.transaction()?;
    transaction.execute_batch(APPLIED_TABLE)?;
    for step in migrations.iter().skip(done) {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "user_version", migrations.len() as u32)?;
    transaction.commit()?;
    Ok(())
}

fn wal_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    PathBuf::from(name)
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Waits until the file is on disk; a file that does not exist needs nothing.
fn sync(path: &Path) -> Result<(), MachineError> {
    match fs::File::open(path) {
        Ok(file) => Ok(file.sync_all()?),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn sync_parent(path: &Path) -> Result<(), MachineError> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => Ok(fs::File::open(folder)?.sync_all()?),
        _ => Ok(fs::File::open(".")?.sync_all()?),
    }
}

#[cfg(test)]
mod tests;
