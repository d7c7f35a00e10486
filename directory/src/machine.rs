//! The domain state machine: applies proposals to the database, then brings the index up to date.

mod accounts;
mod administrators;
mod check;
mod config;
mod domains;
mod ephemerals;
mod facts;
mod invites;
mod load;
mod mailboxes;
mod moves;
mod nodes;
mod rows;
mod schema;
mod step;
mod stores;
mod sync;
#[cfg(test)]
mod tests;

use std::{path::Path, sync::Arc};

use bytes::Bytes;
use posthouse_cluster::{Applied, Command, LEVEL, MachineError, StateMachine, sqlite::Database};
use rusqlite::{Connection, OptionalExtension, params};

pub(crate) use mailboxes::store_of;
pub(crate) use rows::own_rights;

use crate::{AuditEntry, Change, ChangeOutcome, ChangeRefusal, Proposal, live::Live};
use step::{Effect, Res, Step, Stop};

/// Answers that are kept to recognize repeated proposals.
const MAX_DONE: i64 = 65_536;
/// Lines of the audit log that are kept.
const MAX_AUDIT: i64 = 1_000_000;
/// How deep [`Change::All`] may nest.
pub(crate) const MAX_NESTING: usize = 4;
/// The database file within a snapshot folder.
const FILE: &str = "directory.sqlite";

/// What a proposal is answered with.
pub(crate) type Answer = Result<ChangeOutcome, ChangeRefusal>;

/// The state machine of the domain group.
pub(crate) struct DirectoryMachine {
    db: Database,
    live: Arc<Live>,
}

impl DirectoryMachine {
    /// Opens or creates the database in `folder` and fills the index.
    pub(crate) fn open(folder: &Path, live: Arc<Live>) -> Result<Self, MachineError> {
        std::fs::create_dir_all(folder)?;
        let mut db = Database::open(&folder.join(FILE), schema::MIGRATIONS)?;
        check_level(db.connection())?;
        mailboxes::fill(db.connection())?;
        *live.index.write() = load::index(db.connection())?;
        Ok(Self { db, live })
    }

    /// The database file, for readers.
    pub(crate) fn path(&self) -> &Path {
        self.db.path()
    }
}

impl StateMachine for DirectoryMachine {
    fn applied(&mut self) -> Result<Option<Applied>, MachineError> {
        self.db.applied()
    }

    fn apply(&mut self, batch: &[Command], applied: &Applied) -> Result<Vec<Bytes>, MachineError> {
        let mut answers = Vec::with_capacity(batch.len());
        let mut effect = Effect::default();
        let mut transaction = self.db.connection().transaction()?;
        for command in batch {
            let mut savepoint = transaction.savepoint()?;
            let mut own = Effect::default();
            match answer(&savepoint, command, &mut own) {
                Ok(bytes) => {
                    savepoint.commit()?;
                    effect.merge(own);
                    answers.push(bytes);
                }
                Err(Stop::Refused(refusal)) => {
                    savepoint.rollback()?;
                    answers.push(encode_answer(&Err(refusal))?);
                }
                Err(Stop::Broken(error)) => return Err(error),
            }
        }
        Database::set_applied(&transaction, applied)?;
        transaction.commit()?;
        load::follow(self.db.connection(), &self.live, &effect)?;
        Ok(answers)
    }

    fn checkpoint(&mut self) -> Result<(), MachineError> {
        self.db.checkpoint()
    }

    fn snapshot(&mut self, into: &Path) -> Result<(), MachineError> {
        self.db.snapshot(&into.join(FILE))
    }

    fn install(&mut self, from: &Path) -> Result<(), MachineError> {
        self.db.install(&from.join(FILE))?;
        check_level(self.db.connection())?;
        mailboxes::fill(self.db.connection())?;
        *self.live.index.write() = load::index(self.db.connection())?;
        self.live.tell(crate::Update::Configuration);
        self.live.tell(crate::Update::Moves);
        Ok(())
    }
}

/// An older program must not meet commands that it does not know.
fn check_level(db: &Connection) -> Result<(), MachineError> {
    match facts::level(db)? {
        agreed if agreed > LEVEL => Err(MachineError::Corrupt(format!(
            "the cluster has agreed on level {agreed}, this program knows level {LEVEL}: start a newer one"
        ))),
        _ => Ok(()),
    }
}

fn encode_answer(answer: &Answer) -> Result<Bytes, MachineError> {
    postcard::to_allocvec(answer)
        .map(Bytes::from)
        .map_err(|e| MachineError::Corrupt(format!("answer cannot be written: {e}")))
}

/// Reads the answer of a proposal, in the present shape or in that of level 1.
pub(crate) fn decode_answer(bytes: &[u8]) -> Result<Answer, postcard::Error> {
    postcard::from_bytes(bytes).or_else(|error| {
        let old: Result<Vec<crate::Collision>, ChangeRefusal> =
            postcard::from_bytes(bytes).map_err(|_| error)?;
        Ok(old.map(|collisions| ChangeOutcome { collisions, joined: None }))
    })
}

/// Carries out one command, or finds the answer that it had the first time. A refusal is not remembered: it changed
/// nothing, and repeating it may find another state.
fn answer(db: &Connection, command: &Command, effect: &mut Effect) -> Res<Bytes> {
    let Ok(proposal) = postcard::from_bytes::<Proposal>(&command.data) else {
        let text = "the command cannot be read; it comes from another version";
        return Err(ChangeRefusal::Invalid(text.into()).into());
    };
    let id = proposal.id.to_be_bytes();
    let sql = "select answer from done where id = ?";
    let known: Option<Vec<u8>> =
        db.prepare_cached(sql)?.query_row([id.as_slice()], |row| row.get(0)).optional()?;
    if let Some(known) = known {
        return Ok(known.into());
    }
    let (actor, at) = (&proposal.actor, proposal.at);
    let mut step = Step { db, proposal: proposal.id, at, actor, effect };
    step.carry_out(proposal.change)?;
    let collisions = std::mem::take(&mut step.effect.collisions);
    let joined = step.effect.joined.take();
    let bytes = encode_answer(&Ok(ChangeOutcome { collisions, joined }))?;
    let sql = "insert into done (id, answer) values (?, ?)";
    db.prepare_cached(sql)?.execute(params![id.as_slice(), bytes.as_ref()])?;
    db.prepare_cached("delete from done where sequence <= ?")?
        .execute([db.last_insert_rowid() - MAX_DONE])?;
    Ok(bytes)
}

impl Step<'_> {
    /// One proposal from check to audit line.
    fn carry_out(&mut self, change: Change) -> Res<()> {
        let weighty = concerns_administrators(&change);
        let by_source = matches!(change, Change::Sync(_));
        let had = weighty && administrators::any(self.db)?;
        self.change(change, 0)?;
        if self.effect.freed {
            // what comes of others is in the log and the list, not in this answer
            let own = std::mem::take(&mut self.effect.collisions);
            self.mend()?;
            self.effect.collisions = own;
        }
        if had && !administrators::any(self.db)? {
            if !by_source {
                return Err(ChangeRefusal::LastAdministrator.into());
            }
            self.say("no full administrator is left who may sign on");
        }
        self.write_audit()
    }

    fn change(&mut self, change: Change, depth: usize) -> Res<()> {
        match change {
            Change::All(_) if depth >= MAX_NESTING => {
                Err(ChangeRefusal::Invalid("changes are nested too deeply".into()).into())
            }
            Change::All(changes) => changes.into_iter().try_for_each(|c| self.change(c, depth + 1)),
            Change::PutDomain(domain) => self.put_domain(domain),
            Change::RemoveDomain(id) => self.remove_domain(id),
            Change::PutAccount(account) => self.put_account(*account, None),
            Change::PutAccountIn { account, site } => self.put_account(*account, Some(&site)),
            Change::RemoveAccount(id) => self.remove_account(id),
            Change::SetPassword { account, verifier } => self.set_password(account, verifier),
            Change::SetState { account, state } => self.set_state(account, state),
            Change::SetRights { account, rights } => self.set_rights(account, rights),
            Change::Set(setting) => self.set(setting),
            Change::PutSource(source) => self.put_source(*source),
            Change::RemoveSource(id) => self.remove_source(id),
            Change::Sync(batch) => self.sync(*batch),
            Change::SourceProgress { source, watermark, problem } => {
                self.source_progress(source, watermark, problem)
            }
            Change::PutNodeV1(node) => self.put_node_v1(node),
            Change::PutStoreV1(store) => self.put_store(store.into()),
            Change::PutSecret { name, ciphertext } => self.put_secret(name, &ciphertext),
            Change::PutEphemeral { space, key, value, expires, only_new } => {
                self.put_ephemeral(space, key, value, expires.0, only_new)
            }
            Change::Audit(text) => {
                self.say(text);
                Ok(())
            }
            other => self.change_cluster(other),
        }
    }

    /// Nodes, stores and moves.
    fn change_cluster(&mut self, change: Change) -> Res<()> {
        match change {
            Change::PutNode(node) => self.put_node(node),
            Change::PutStore(store) => self.put_store(store),
            Change::PutInvite(invite) => self.put_invite(invite),
            Change::RevokeInvite(id) => self.revoke_invite(&id),
            Change::Join(join) => self.join(*join),
            Change::NodeReport { id, links, key, version, level } => {
                self.node_report(id, links, key, version, level)
            }
            Change::SetSite { node, site } => self.set_site(node, &site),
            Change::SetNodeState { node, state } => self.set_node_state(node, state),
            Change::RemoveNode { id, force } => self.remove_node(id, force),
            Change::SetLevel(level) => self.set_level(level),
            Change::SetStore { account, store } => self.set_store(account, store),
            Change::RetireStore(id) => self.retire_store(id),
            Change::RemoveStore(id) => self.remove_store(id),
            Change::PutMove(wish) => self.put_move(wish),
            Change::MoveState { id, state } => self.move_state(id, state),
            _ => Err(ChangeRefusal::Invalid("the change is not known".into()).into()),
        }
    }

    fn write_audit(&mut self) -> Res<()> {
        for text in std::mem::take(&mut self.effect.lines) {
            let text: String = text.chars().flat_map(escaped).take(2_000).collect();
            tracing::info!(target: "config", actor = ?self.actor, "{text}");
            let entry = AuditEntry { sequence: 0, at: self.at, actor: self.actor.clone(), text };
            self.db
                .prepare_cached("insert into audit (data) values (?)")?
                .execute([schema::encode(&entry)?])?;
            self.db
                .prepare_cached("delete from audit where sequence <= ?")?
                .execute([self.db.last_insert_rowid() - MAX_AUDIT])?;
        }
        Ok(())
    }
}

/// Keeps what came from outside from forging lines.
fn escaped(c: char) -> impl Iterator<Item = char> {
    let plain = (!c.is_control()).then_some(c);
    plain.into_iter().chain(c.is_control().then(|| c.escape_default()).into_iter().flatten())
}

/// Whether a change can take the rights of the last administrator.
fn concerns_administrators(change: &Change) -> bool {
    match change {
        Change::All(changes) => changes.iter().any(concerns_administrators),
        Change::PutAccount(_)
        | Change::PutAccountIn { .. }
        | Change::RemoveAccount(_)
        | Change::SetState { .. }
        | Change::SetRights { .. }
        | Change::RemoveSource(_)
        | Change::Sync(_) => true,
        Change::PutDomain(_)
        | Change::RemoveDomain(_)
        | Change::SetPassword { .. }
        | Change::Set(_)
        | Change::PutSource(_)
        | Change::SourceProgress { .. }
        | Change::PutNodeV1(_)
        | Change::PutStoreV1(_)
        | Change::PutSecret { .. }
        | Change::PutEphemeral { .. }
        | Change::Audit(_)
        | Change::PutNode(_)
        | Change::PutStore(_)
        | Change::PutInvite(_)
        | Change::RevokeInvite(_)
        | Change::Join(_)
        | Change::NodeReport { .. }
        | Change::SetSite { .. }
        | Change::SetNodeState { .. }
        | Change::RemoveNode { .. }
        | Change::SetLevel(_)
        | Change::SetStore { .. }
        | Change::RetireStore(_)
        | Change::RemoveStore(_)
        | Change::PutMove(_)
        | Change::MoveState { .. } => false,
    }
}

/// Reads lines of the audit log, newest first.
pub(crate) fn read_audit(
    db: &Connection,
    before: Option<u64>,
    limit: usize,
) -> Result<Vec<AuditEntry>, MachineError> {
    let before = before.and_then(|b| i64::try_from(b).ok()).unwrap_or(i64::MAX);
    let sql = "select sequence, data from audit where sequence < ? order by sequence desc limit ?";
    let mut statement = db.prepare_cached(sql)?;
    let mut found = statement.query(params![before, limit as i64])?;
    let mut lines = Vec::new();
    while let Some(row) = found.next()? {
        let data = row.get_ref(1)?.as_blob().unwrap_or_default();
        let mut entry: AuditEntry = schema::decode("audit", data)?;
        entry.sequence = row.get::<_, i64>(0)?.unsigned_abs();
        lines.push(entry);
    }
    Ok(lines)
}

/// Reads the photo of an account.
pub(crate) fn read_photo(
    db: &Connection,
    account: crate::AccountId,
) -> Result<Option<Vec<u8>>, MachineError> {
    let sql = "select jpeg from photo where account = ?";
    let row = db.prepare_cached(sql)?.query_row([account.0.as_bytes()], |row| row.get(0));
    Ok(row.optional()?)
}
