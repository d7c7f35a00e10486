//! The state machine of a store: commands in, rows and answers out.

mod bodies;
mod deliveries;
mod folders;
pub(crate) mod fuzz;
mod items;
mod mailboxes;
mod moving;
pub(crate) mod names;
mod spool;

pub(crate) use moving::{absent, export::export};

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use posthouse_cluster::{
    Applied, Command as Entry, GroupId, MachineError, StateMachine, Timestamp, failpoint,
    sqlite::Database,
};
use rusqlite::{Connection, OptionalExtension, params};
use tokio::sync::broadcast;

use crate::{
    BodyHash, Event, FAIL_POINTS, FolderId, MailboxId, Refusal, Request, RequestId, Response,
    absent::Absent,
    bodylog::BodyLog,
    command::{Command, NewBody, encode_answer},
    outcome::{Outcome, Stop, settle},
    rows::{FolderRow, MailboxRow, cached, signed},
    schema::MIGRATIONS,
};

/// Answers that are remembered for requests that come again.
const REMEMBERED: i64 = 100_000;
/// Statements kept prepared.
const STATEMENTS: usize = 128;
/// Name of the database in the store's folder and in snapshots.
pub(crate) const DATABASE: &str = "store.db";

/// The state machine.
pub(crate) struct StoreMachine {
    database: Database,
    bodies: BodyLog,
    absent: Arc<Absent>,
    events: broadcast::Sender<Event>,
}

/// One command being applied. Every operation checks first and writes then, so that a refusal leaves
/// nothing behind.
pub(super) struct Step<'a> {
    db: &'a Connection,
    at: Timestamp,
    events: &'a mut Vec<Event>,
}

impl StoreMachine {
    /// Opens or creates the database in `folder`.
    pub(crate) fn open(
        folder: &Path,
        bodies: BodyLog,
        events: broadcast::Sender<Event>,
        store: GroupId,
    ) -> Result<Self, MachineError> {
        let mut database = Database::open(&folder.join(DATABASE), MIGRATIONS)?;
        moving::number_folders(database.connection(), store)?;
        spool::number(database.connection(), store)?;
        database.connection().set_prepared_statement_cache_capacity(STATEMENTS);
        Ok(Self { database, bodies, absent: Arc::default(), events })
    }

    /// Where it tells of bodies that are not on this disk.
    pub(crate) fn absent(&self) -> Arc<Absent> {
        self.absent.clone()
    }

    /// The database file.
    pub(crate) fn path(&self) -> PathBuf {
        self.database.path().to_owned()
    }
}

impl StateMachine for StoreMachine {
    fn applied(&mut self) -> Result<Option<Applied>, MachineError> {
        self.database.applied()
    }

    fn apply(&mut self, batch: &[Entry], applied: &Applied) -> Result<Vec<Bytes>, MachineError> {
        let (mut events, mut named) = (Vec::new(), Vec::new());
        let transaction = self.database.connection().transaction()?;
        let answers = batch
            .iter()
            .map(|entry| {
                answer(&transaction, &mut events, &mut named, &entry.data).map(Bytes::from)
            })
            .collect::<Result<Vec<_>, _>>()?;
        Database::set_applied(&transaction, applied)?;
        failpoint::hit(FAIL_POINTS[3]);
        transaction.commit()?;
        failpoint::hit(FAIL_POINTS[4]);
        for (hash, size) in named {
            if !self.bodies.has(&hash) {
                self.absent.add(hash, size);
            }
        }
        events.dedup();
        for event in events {
            // nobody listening is fine
            let _ = self.events.send(event);
        }
        Ok(answers)
    }

    fn checkpoint(&mut self) -> Result<(), MachineError> {
        self.database.checkpoint()
    }

    /// The database only: what it names follows from the other replicas (`crate::absent`).
    fn snapshot(&mut self, into: &Path) -> Result<(), MachineError> {
        self.database.snapshot(&into.join(DATABASE))
    }

    fn install(&mut self, from: &Path) -> Result<(), MachineError> {
        self.database.install(&from.join(DATABASE))?;
        self.absent.look_again();
        let _ = self.events.send(Event::Missed);
        Ok(())
    }
}

/// Applies one command and returns its encoded answer.
fn answer(
    db: &Connection,
    events: &mut Vec<Event>,
    named: &mut Vec<(BodyHash, u32)>,
    data: &[u8],
) -> Result<Vec<u8>, MachineError> {
    let encode = |response: &Response| {
        encode_answer(response).map_err(|error| MachineError::Corrupt(error.to_string()))
    };
    let command = match Command::decode(data) {
        Ok(command) => command,
        Err(error) => {
            tracing::error!(target: "error", %error, "a command in the log cannot be read");
            return encode(&Response::Refused(Refusal::Limit(error.to_string())));
        }
    };
    let id = command.call.id;
    if let Some(first) = remembered(db, id)? {
        return Ok(first);
    }
    let staged = command.bodies.iter().filter(|body| body.inline.is_none());
    named.extend(staged.map(|body| (body.hash, body.size)));
    let mut step = Step { db, at: command.call.at, events };
    let owner = owner(&command.call.request);
    let response = settle(step.run(command.call.request, command.bodies))?;
    let encoded = encode(&response)?;
    if !matches!(&response, Response::Refused(refusal) if refusal.is_passing()) {
        remember(db, id, owner, &encoded)?;
    }
    Ok(encoded)
}

fn remembered(db: &Connection, id: RequestId) -> rusqlite::Result<Option<Vec<u8>>> {
    cached(db, "SELECT answer FROM requests WHERE id = ?")?
        .query_row([id.0.to_be_bytes()], |row| row.get(0))
        .optional()
}

/// The mailbox that an answer goes along with when it moves.
fn owner(request: &Request) -> Option<MailboxId> {
    match request.mailboxes().as_slice() {
        [only] => Some(*only),
        _ => None,
    }
}

fn remember(
    db: &Connection,
    id: RequestId,
    owner: Option<MailboxId>,
    answer: &[u8],
) -> rusqlite::Result<()> {
    cached(db, "INSERT INTO requests (id, mailbox, answer) VALUES (?, ?, ?)")?.execute(params![
        id.0.to_be_bytes(),
        owner.map(|owner| owner.0.into_bytes()),
        answer
    ])?;
    forget_requests(db)
}

/// An answer that another store gave; known ones stay.
fn remember_arrived(
    db: &Connection,
    id: RequestId,
    owner: MailboxId,
    answer: &[u8],
) -> rusqlite::Result<()> {
    let new = cached(db, "INSERT OR IGNORE INTO requests (id, mailbox, answer) VALUES (?, ?, ?)")?
        .execute(params![id.0.to_be_bytes(), owner.0.as_bytes(), answer])?;
    if new > 0 {
        forget_requests(db)?;
    }
    Ok(())
}

/// Right after a request was remembered.
fn forget_requests(db: &Connection) -> rusqlite::Result<()> {
    let newest = db.last_insert_rowid();
    cached(db, "DELETE FROM requests WHERE number <= ?")?.execute([newest - REMEMBERED])?;
    Ok(())
}

impl Step<'_> {
    fn run(&mut self, request: Request, bodies: Vec<NewBody>) -> Outcome {
        use Request::*;
        match request {
            CreateMailbox { mailbox, quota } => self.create_mailbox(mailbox, quota),
            RemoveMailbox { mailbox } => self.remove_mailbox(mailbox),
            CreateFolder { mailbox, name, purpose } => self.create_folder(mailbox, &name, purpose),
            RenameFolder { mailbox, from, to } => self.rename_folder(mailbox, &from, &to),
            RemoveFolder { mailbox, name } => self.remove_folder(mailbox, &name),
            Subscribe { mailbox, name, subscribed } => self.subscribe(mailbox, &name, subscribed),
            Append { mailbox, folder, messages } => {
                self.append(mailbox, &folder, messages, &bodies)
            }
            SetFlags { mailbox, folder, uids, change, flags, unchanged_since } => {
                self.set_flags(mailbox, folder, &uids, change, &flags, unchanged_since)
            }
            Copy { mailbox, folder, uids, to } => self.copy(mailbox, folder, &uids, &to),
            Move { mailbox, folder, uids, to } => self.move_items(mailbox, folder, &uids, &to),
            Expunge { mailbox, folder, uids } => self.expunge(mailbox, folder, uids.as_ref()),
            Deliver { envelope, local, relay, message: _ } => {
                self.deliver(None, envelope, &local, relay, &bodies)
            }
            DeliverOnce { delivery, envelope, local, relay, message: _ } => {
                self.deliver(Some(delivery), envelope, &local, relay, &bodies)
            }
            SpoolUpdate { id, outcomes, due, report } => {
                self.spool_update(id, outcomes, due, report.map(|report| *report), &bodies)
            }
            SpoolRetry { id } => self.spool_retry(id),
            SpoolRemove { id } => self.spool_remove(id),
            Moving(step) => self.move_step(step, &bodies),
            Folders { .. }
            | Folder { .. }
            | Uids { .. }
            | Items { .. }
            | Changes { .. }
            | Body { .. }
            | Search { .. }
            | Request::Quota { .. }
            | Spool { .. }
            | SpoolBody { .. }
            | Request::Export(_) => {
                Err(Refusal::Limit("a reading request in the log".into()).into())
            }
        }
    }

    /// A mailbox that may be changed.
    fn mailbox(&self, id: MailboxId) -> Result<MailboxRow, Stop> {
        match MailboxRow::load(self.db, id)? {
            Some(mailbox) if mailbox.frozen => Err(Refusal::Moving(id).into()),
            Some(mailbox) => Ok(mailbox),
            None => Err(moving::absent(self.db, id)?.into()),
        }
    }

    fn folder(&self, mailbox: &MailboxRow, id: FolderId) -> Result<FolderRow, Stop> {
        Ok(FolderRow::by_id(self.db, mailbox, id)?.ok_or(Refusal::NoSuchFolder)?)
    }

    fn folder_named(&self, mailbox: &MailboxRow, name: &str) -> Result<FolderRow, Stop> {
        let name = names::normal(name).ok_or(Refusal::NoSuchFolder)?;
        Ok(FolderRow::by_name(self.db, mailbox, &name)?.ok_or(Refusal::NoSuchFolder)?)
    }

    fn changed(&mut self, mailbox: &MailboxRow, folder: &FolderRow) {
        self.events.push(Event::Folder {
            mailbox: mailbox.id,
            folder: folder.folder.id,
            modseq: folder.folder.highest_modseq,
        });
    }

    /// The next number of a counter that never goes back.
    fn next(&self, counter: &str) -> Result<u64, Stop> {
        let value: i64 = cached(
            self.db,
            "INSERT INTO counters (name, value) VALUES (?, 1)
             ON CONFLICT (name) DO UPDATE SET value = value + 1 RETURNING value",
        )?
        .query_row([counter], |row| row.get(0))?;
        Ok(crate::rows::unsigned(value))
    }
}

/// The one message of a command that has one.
fn only(bodies: &[NewBody]) -> Result<&NewBody, Stop> {
    bodies.first().ok_or_else(|| Refusal::Limit("a message is missing".into()).into())
}

/// Row number for SQL.
fn row(folder: &FolderRow) -> i64 {
    signed(folder.folder.id.0)
}
