//! A mailbox that leaves the store. What it does at the store that it goes to is in [`arriving`].
//!
//! A mailbox that has left lies under the hidden name of its move until it is erased, so that nothing
//! finds it by its own name.

mod arriving;
pub(crate) mod digest;
pub(crate) mod export;
pub(super) mod fuzz;
mod import;

use std::time::Duration;

use posthouse_cluster::{GroupId, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{Outcome, Step, Stop};
use crate::{
    Departure, DepartureState, Event, MailboxId, MoveId, MoveStep, Refusal, Response,
    command::NewBody,
    rows::{FolderRow, ItemRow, MailboxRow, cached, signed, unsigned},
};

/// Moves that are over are remembered for so long, so that a driver that comes late is refused.
const REMEMBERED: Duration = Duration::from_secs(30 * 24 * 3600);

/// States in the database, by their position.
const STATES: [DepartureState; 7] = [
    DepartureState::Leaving,
    DepartureState::Frozen,
    DepartureState::Abandoned,
    DepartureState::Parted,
    DepartureState::Gone,
    DepartureState::Closed,
    DepartureState::Returned,
];

const COLUMNS: &str = "id, mailbox, target, state";

impl Step<'_> {
    pub(super) fn move_step(&mut self, step: MoveStep, bodies: &[NewBody]) -> Outcome {
        match step {
            MoveStep::Leave { mailbox, id, to } => self.leave(mailbox, id, to),
            MoveStep::Freeze { id, since, items, bytes } => self.freeze(id, since, items, bytes),
            MoveStep::Abandon { id } => self.abandon(id),
            MoveStep::Close { id } => self.close(id),
            MoveStep::Part { id } => self.part(id),
            MoveStep::Erase { id } => self.erase(id),
            MoveStep::Arrive { mailbox, id, from } => self.arrive(mailbox, id, from),
            MoveStep::Import { id, step, parts } => self.import(id, step, parts, bodies),
            MoveStep::Drop { id } => self.drop_arrival(id),
            MoveStep::Activate { id } => self.activate(id),
        }
    }

    fn leave(&mut self, mailbox: MailboxId, id: MoveId, to: GroupId) -> Outcome {
        if let Some(known) = departure(self.db, id)? {
            return Ok(Response::Departure(known));
        }
        self.mailbox(mailbox)?;
        if open_departure(self.db, mailbox)?.is_some() {
            return Err(Refusal::Moving(mailbox).into());
        }
        self.forget_moves()?;
        self.put_departure(Departure { id, mailbox, to, state: DepartureState::Leaving })
    }

    fn freeze(&mut self, id: MoveId, since: u64, items: u64, bytes: u64) -> Outcome {
        let known = departure(self.db, id)?.ok_or(Refusal::MoveOver)?;
        match known.state {
            DepartureState::Leaving => {}
            DepartureState::Frozen => return Ok(Response::Departure(known)),
            _ => return Err(Refusal::MoveOver.into()),
        }
        let mailbox = self.mailbox(known.mailbox)?;
        let (changed, size) = changed_since(self.db, &mailbox, since)?;
        if changed > items || size > bytes {
            return Ok(Response::Departure(known));
        }
        self.set_frozen(known.mailbox, true)?;
        self.put_departure(Departure { state: DepartureState::Frozen, ..known })
    }

    fn abandon(&mut self, id: MoveId) -> Outcome {
        let Some(known) = departure(self.db, id)? else {
            // a driver that comes late must find that it is over
            let (mailbox, to) = (id.hidden(), GroupId(0));
            return self.put_departure(Departure {
                id,
                mailbox,
                to,
                state: DepartureState::Closed,
            });
        };
        match known.state {
            DepartureState::Leaving | DepartureState::Frozen => {
                self.set_frozen(known.mailbox, false)?;
                self.put_departure(Departure { state: DepartureState::Abandoned, ..known })
            }
            _ => Ok(Response::Departure(known)),
        }
    }

    fn close(&mut self, id: MoveId) -> Outcome {
        let known = departure(self.db, id)?.ok_or(Refusal::MoveOver)?;
        match known.state {
            DepartureState::Abandoned => {
                self.put_departure(Departure { state: DepartureState::Closed, ..known })
            }
            DepartureState::Closed => Ok(Response::Departure(known)),
            _ => Err(Refusal::MoveOver.into()),
        }
    }

    fn part(&mut self, id: MoveId) -> Outcome {
        let known = departure(self.db, id)?.ok_or(Refusal::MoveOver)?;
        match known.state {
            DepartureState::Frozen => {}
            DepartureState::Parted | DepartureState::Gone | DepartureState::Returned => {
                return Ok(Response::Departure(known));
            }
            _ => return Err(Refusal::MoveOver.into()),
        }
        self.rename_mailbox(known.mailbox, id.hidden())?;
        self.set_frozen(id.hidden(), false)?;
        self.events.push(Event::Folders { mailbox: known.mailbox });
        self.put_departure(Departure { state: DepartureState::Parted, ..known })
    }

    fn erase(&mut self, id: MoveId) -> Outcome {
        let known = departure(self.db, id)?.ok_or(Refusal::MoveOver)?;
        match known.state {
            DepartureState::Parted => {}
            DepartureState::Gone | DepartureState::Returned => return Ok(Response::More(false)),
            _ => return Err(Refusal::MoveOver.into()),
        }
        let more = self.erase_some(id.hidden())?;
        if !more {
            self.put_departure(Departure { state: DepartureState::Gone, ..known })?;
        }
        Ok(Response::More(more))
    }

    /// The owner removed the mailbox while it was on its way: what has arrived is to go as well.
    pub(super) fn abandon_removed(&mut self, mailbox: MailboxId) -> Result<(), Stop> {
        if let Some(open) = open_departure(self.db, mailbox)? {
            self.put_departure(Departure { state: DepartureState::Abandoned, ..open })?;
        }
        Ok(())
    }

    fn put_departure(&self, departure: Departure) -> Outcome {
        let state = STATES.iter().position(|known| *known == departure.state).unwrap_or(0);
        cached(
            self.db,
            "INSERT INTO departures (id, mailbox, target, state, changed) VALUES (?, ?, ?, ?, ?)
             ON CONFLICT (id) DO UPDATE SET state = excluded.state, changed = excluded.changed",
        )?
        .execute(params![
            departure.id.0.to_be_bytes(),
            departure.mailbox.0.as_bytes(),
            signed(departure.to.0),
            state as i64,
            signed(self.at.0)
        ])?;
        Ok(Response::Departure(departure))
    }

    fn set_frozen(&self, mailbox: MailboxId, frozen: bool) -> Result<(), Stop> {
        cached(self.db, "UPDATE mailboxes SET frozen = ? WHERE uuid = ?")?
            .execute(params![frozen, mailbox.0.as_bytes()])?;
        Ok(())
    }

    fn rename_mailbox(&self, from: MailboxId, to: MailboxId) -> Result<(), Stop> {
        cached(self.db, "UPDATE mailboxes SET uuid = ? WHERE uuid = ?")?
            .execute([to.0.as_bytes(), from.0.as_bytes()])?;
        Ok(())
    }

    /// Removes up to [`MoveStep::ERASED`] items of a hidden mailbox, and with the last one all the rest.
    fn erase_some(&self, hidden: MailboxId) -> Result<bool, Stop> {
        let Some(mut mailbox) = MailboxRow::load(self.db, hidden)? else { return Ok(false) };
        let mut room = MoveStep::ERASED;
        for mut folder in FolderRow::all(self.db, &mailbox)? {
            let items = self.first_items(&folder, room)?;
            for item in &items {
                self.remove_item(&mut mailbox, &mut folder, item)?;
            }
            room -= items.len();
            if room == 0 {
                folder.save(self.db)?;
                mailbox.save(self.db)?;
                return Ok(true);
            }
            self.erase_folder(&mailbox, &folder)?;
            self.forget_arriving(&folder)?;
        }
        cached(self.db, "DELETE FROM mailboxes WHERE id = ?")?.execute([mailbox.row])?;
        Ok(false)
    }

    fn first_items(&self, folder: &FolderRow, limit: usize) -> Result<Vec<ItemRow>, Stop> {
        let sql =
            format!("SELECT {} FROM items WHERE folder = ? ORDER BY uid LIMIT ?", ItemRow::COLUMNS);
        let mut statement = cached(self.db, &sql)?;
        let items = statement.query_map([super::row(folder), limit as i64], ItemRow::read)?;
        Ok(items.collect::<Result<_, _>>()?)
    }

    fn forget_moves(&self) -> Result<(), Stop> {
        let since = self.at.0.saturating_sub(REMEMBERED.as_millis() as u64);
        cached(self.db, "DELETE FROM departures WHERE state > 4 AND changed < ?")?
            .execute([signed(since)])?;
        cached(self.db, "DELETE FROM arrivals WHERE state > 1 AND changed < ?")?
            .execute([signed(since)])?;
        Ok(())
    }
}

/// Number and size of the items of a mailbox that changed after a modseq.
fn changed_since(db: &Connection, mailbox: &MailboxRow, since: u64) -> Result<(u64, u64), Stop> {
    let mut sum = (0, 0);
    let mut statement = cached(
        db,
        "SELECT count(*), coalesce(sum(size), 0) FROM items WHERE folder = ? AND modseq > ?",
    )?;
    for folder in FolderRow::all(db, mailbox)? {
        if folder.folder.highest_modseq > since {
            let found = statement.query_row([super::row(&folder), signed(since)], |row| {
                Ok((unsigned(row.get(0)?), unsigned(row.get(1)?)))
            })?;
            sum = (sum.0 + found.0, sum.1 + found.1);
        }
    }
    Ok(sum)
}

/// A move out of this store.
pub(crate) fn departure(db: &Connection, id: MoveId) -> rusqlite::Result<Option<Departure>> {
    cached(db, &format!("SELECT {COLUMNS} FROM departures WHERE id = ?"))?
        .query_row([id.0.to_be_bytes()], read)
        .optional()
}

fn open_departure(db: &Connection, mailbox: MailboxId) -> rusqlite::Result<Option<Departure>> {
    let sql = format!("SELECT {COLUMNS} FROM departures WHERE mailbox = ? AND state < 4");
    cached(db, &sql)?.query_row([mailbox.0.as_bytes()], read).optional()
}

/// Moves out of this store that are not finished.
pub(crate) fn open_departures(db: &Connection) -> rusqlite::Result<Vec<Departure>> {
    let sql = format!("SELECT {COLUMNS} FROM departures WHERE state < 4 ORDER BY id");
    cached(db, &sql)?.query_map([], read)?.collect()
}

/// Why there is no mailbox of this name: it never was here, it is elsewhere, or it is about to come.
pub(crate) fn absent(db: &Connection, mailbox: MailboxId) -> Result<Refusal, Stop> {
    if arriving::is_arriving(db, mailbox)? {
        return Ok(Refusal::Moving(mailbox));
    }
    let to: Option<i64> =
        cached(db, "SELECT target FROM departures WHERE mailbox = ? AND state IN (3, 4)")?
            .query_row([mailbox.0.as_bytes()], |row| row.get(0))
            .optional()?;
    Ok(match to {
        Some(to) => Refusal::Moved { mailbox, to: GroupId(unsigned(to)) },
        None => Refusal::NoSuchMailbox(mailbox),
    })
}

fn read(row: &Row<'_>) -> rusqlite::Result<Departure> {
    let state: i64 = row.get(3)?;
    Ok(Departure {
        id: MoveId(u128::from_be_bytes(row.get(0)?)),
        mailbox: MailboxId(uuid::Uuid::from_bytes(row.get(1)?)),
        to: GroupId(unsigned(row.get(2)?)),
        state: usize::try_from(state)
            .ok()
            .and_then(|at| STATES.get(at))
            .copied()
            .unwrap_or(DepartureState::Closed),
    })
}

/// When a move is remembered from.
fn stamp(at: Timestamp) -> i64 {
    signed(at.0)
}

/// Stores number their folders from different beginnings, so that a folder keeps its id for ever,
/// wherever its mailbox goes: who has a folder open need not notice.
pub(super) fn number_folders(db: &Connection, store: GroupId) -> rusqlite::Result<()> {
    let begin = store.0.saturating_sub(1) << 32;
    if begin > 0 {
        db.execute(
            "INSERT OR IGNORE INTO counters (name, value) VALUES ('folder', ?)",
            [signed(begin)],
        )?;
    }
    Ok(())
}
