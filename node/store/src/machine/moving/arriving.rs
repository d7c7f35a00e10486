//! A mailbox that comes from another store.

use posthouse_cluster::GroupId;
use rusqlite::{Connection, OptionalExtension, params};

use super::super::{Outcome, Step, Stop, row};
use crate::{
    Arrival, ArrivalState, Event, FolderId, MailboxId, MoveId, Position, Refusal, Response,
    rows::{FolderRow, MailboxRow, cached, signed, unsigned},
};

/// States in the database, by their position.
const STATES: [ArrivalState; 4] =
    [ArrivalState::Arriving, ArrivalState::Dropping, ArrivalState::Dropped, ArrivalState::Active];

/// What is known of a move into this store.
pub(super) struct ArrivalRow {
    pub id: MoveId,
    pub mailbox: MailboxId,
    pub state: ArrivalState,
    pub step: u64,
    pub answers: u64,
}

impl ArrivalRow {
    pub(super) fn load(db: &Connection, id: MoveId) -> rusqlite::Result<Option<Self>> {
        cached(db, "SELECT mailbox, state, step, answers FROM arrivals WHERE id = ?")?
            .query_row([id.0.to_be_bytes()], |row| {
                let state: i64 = row.get(1)?;
                Ok(Self {
                    id,
                    mailbox: MailboxId(uuid::Uuid::from_bytes(row.get(0)?)),
                    state: usize::try_from(state)
                        .ok()
                        .and_then(|at| STATES.get(at))
                        .copied()
                        .unwrap_or(ArrivalState::Dropped),
                    step: unsigned(row.get(2)?),
                    answers: unsigned(row.get(3)?),
                })
            })
            .optional()
    }
}

impl Step<'_> {
    pub(super) fn arrive(&mut self, mailbox: MailboxId, id: MoveId, from: GroupId) -> Outcome {
        match ArrivalRow::load(self.db, id)?.map(|known| known.state) {
            Some(ArrivalState::Arriving) => return Ok(Response::Done),
            Some(_) => return Err(Refusal::MoveOver.into()),
            None => {}
        }
        if MailboxRow::load(self.db, mailbox)?.is_some() {
            return Err(Refusal::Limit("the mailbox is in this store already".into()).into());
        }
        // what is left of an earlier stay has to go first: folders keep their ids
        if is_coming(self.db, mailbox)? || super::open_departure(self.db, mailbox)?.is_some() {
            return Err(Refusal::Moving(mailbox).into());
        }
        self.forget_moves()?;
        cached(self.db, "INSERT INTO mailboxes (uuid, next_validity) VALUES (?, 1)")?
            .execute([id.hidden().0.as_bytes()])?;
        self.put_arrival(id, mailbox, from, ArrivalState::Arriving)?;
        Ok(Response::Done)
    }

    pub(super) fn drop_arrival(&mut self, id: MoveId) -> Outcome {
        match ArrivalRow::load(self.db, id)?.map(|known| known.state) {
            // a driver that comes late must find that it is over
            None => self.put_arrival(id, id.hidden(), GroupId(0), ArrivalState::Dropped)?,
            Some(ArrivalState::Active) => return Err(Refusal::MoveOver.into()),
            Some(ArrivalState::Dropped) => {}
            Some(ArrivalState::Arriving | ArrivalState::Dropping) => {
                let more = self.erase_some(id.hidden())?;
                let state = if more { ArrivalState::Dropping } else { ArrivalState::Dropped };
                self.set_arrival(id, state)?;
                return Ok(Response::More(more));
            }
        }
        Ok(Response::More(false))
    }

    pub(super) fn activate(&mut self, id: MoveId) -> Outcome {
        let known = ArrivalRow::load(self.db, id)?.ok_or(Refusal::MoveOver)?;
        match known.state {
            ArrivalState::Arriving => {}
            ArrivalState::Active => return Ok(Response::Done),
            _ => return Err(Refusal::MoveOver.into()),
        }
        let mailbox = known.mailbox;
        if MailboxRow::load(self.db, mailbox)?.is_some() {
            return Err(Refusal::Limit("the mailbox is in this store already".into()).into());
        }
        let mut hidden = self.mailbox(id.hidden())?;
        if let Some((validity, modseq)) = self.left_behind(mailbox)? {
            hidden.next_validity = hidden.next_validity.max(validity);
            hidden.modseq = hidden.modseq.max(modseq);
            hidden.save(self.db)?;
        }
        self.rename_mailbox(id.hidden(), mailbox)?;
        cached(
            self.db,
            "UPDATE departures SET state = 6, changed = ?2 WHERE mailbox = ?1 AND state = 4",
        )?
        .execute(params![mailbox.0.as_bytes(), super::stamp(self.at)])?;
        self.set_arrival(id, ArrivalState::Active)?;
        self.events.push(Event::Folders { mailbox });
        for folder in FolderRow::all(self.db, &hidden)? {
            self.forget_arriving(&folder)?;
            self.events.push(Event::Folder {
                mailbox,
                folder: folder.folder.id,
                modseq: folder.folder.highest_modseq,
            });
        }
        Ok(Response::Done)
    }

    fn put_arrival(
        &self,
        id: MoveId,
        mailbox: MailboxId,
        from: GroupId,
        state: ArrivalState,
    ) -> Result<(), Stop> {
        cached(
            self.db,
            "INSERT INTO arrivals (id, mailbox, source, state, changed) VALUES (?, ?, ?, ?, ?)",
        )?
        .execute(params![
            id.0.to_be_bytes(),
            mailbox.0.as_bytes(),
            signed(from.0),
            number(state),
            super::stamp(self.at)
        ])?;
        Ok(())
    }

    fn set_arrival(&self, id: MoveId, state: ArrivalState) -> Result<(), Stop> {
        cached(self.db, "UPDATE arrivals SET state = ?2, changed = ?3 WHERE id = ?1")?
            .execute(params![id.0.to_be_bytes(), number(state), super::stamp(self.at)])?;
        Ok(())
    }

    /// Places up to which the items and tombstones of a folder have arrived are needed no more.
    pub(super) fn forget_arriving(&self, folder: &FolderRow) -> Result<(), Stop> {
        cached(self.db, "DELETE FROM arriving_folders WHERE folder = ?")?.execute([row(folder)])?;
        Ok(())
    }
}

/// Whether the mailbox is being copied here and not in use yet.
pub(super) fn is_arriving(db: &Connection, mailbox: MailboxId) -> rusqlite::Result<bool> {
    cached(db, "SELECT 1 FROM arrivals WHERE mailbox = ? AND state = 0")?
        .exists([mailbox.0.as_bytes()])
}

fn is_coming(db: &Connection, mailbox: MailboxId) -> rusqlite::Result<bool> {
    cached(db, "SELECT 1 FROM arrivals WHERE mailbox = ? AND state < 2")?
        .exists([mailbox.0.as_bytes()])
}

fn number(state: ArrivalState) -> i64 {
    STATES.iter().position(|known| *known == state).unwrap_or(0) as i64
}

/// How far a mailbox has arrived.
pub(crate) fn arrival(db: &Connection, id: MoveId) -> Result<Arrival, Stop> {
    let known = ArrivalRow::load(db, id)?.ok_or(Refusal::MoveOver)?;
    let mut folders = Vec::new();
    if let Some(mailbox) = MailboxRow::load(db, id.hidden())? {
        let mut statement = cached(
            db,
            "SELECT f.id, a.modseq, a.uid, a.buried_modseq, a.buried_uid
             FROM folders f LEFT JOIN arriving_folders a ON a.folder = f.id
             WHERE f.mailbox = ? ORDER BY f.id",
        )?;
        let mut rows = statement.query([mailbox.row])?;
        while let Some(row) = rows.next()? {
            let place = |modseq: usize| -> rusqlite::Result<Position> {
                Ok(Position {
                    modseq: unsigned(row.get::<_, Option<i64>>(modseq)?.unwrap_or(0)),
                    uid: row.get::<_, Option<u32>>(modseq + 1)?.unwrap_or(0),
                })
            };
            folders.push((FolderId(unsigned(row.get(0)?)), place(1)?, place(3)?));
        }
    }
    Ok(Arrival { state: known.state, step: known.step, answers: known.answers, folders })
}
