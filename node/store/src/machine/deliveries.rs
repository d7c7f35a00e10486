//! Deliveries that took effect: one that comes again, by whatever way, does not.

use rusqlite::{Connection, OptionalExtension, params};

use super::{Step, Stop};
use crate::{
    DeliveryId, MailboxId,
    rows::{cached, signed, unsigned},
};

/// Deliveries are remembered for so many days on which there were any.
const DAYS: u64 = 30;
const DAY: u64 = 24 * 3600 * 1000;
/// One delivery in so many removes old ones, by its id.
const EVERY: u128 = 16;
/// Old deliveries that one command removes at most.
const REMOVED: i64 = 1024;

/// To whom a message was delivered.
#[derive(Clone, Copy)]
pub(super) enum Whom {
    Mailbox(MailboxId),
    /// All recipients outside the store together: they went into the spool.
    Spool,
}

impl Whom {
    fn key(&self) -> &[u8] {
        match self {
            Self::Mailbox(mailbox) => mailbox.0.as_bytes(),
            Self::Spool => &[],
        }
    }
}

impl Step<'_> {
    /// Whether this delivery took effect before.
    pub(super) fn is_delivered(&self, whom: Whom, delivery: DeliveryId) -> Result<bool, Stop> {
        let mut known =
            cached(self.db, "SELECT 1 FROM deliveries WHERE mailbox = ? AND delivery = ?")?;
        Ok(known.exists(params![whom.key(), delivery.0.to_be_bytes()])?)
    }

    /// It takes effect now.
    pub(super) fn note_delivery(&self, whom: Whom, delivery: DeliveryId) -> Result<(), Stop> {
        let day = self.day()?;
        cached(
            self.db,
            "INSERT OR IGNORE INTO deliveries (mailbox, delivery, day) VALUES (?, ?, ?)",
        )?
        .execute(params![whom.key(), delivery.0.to_be_bytes(), signed(day)])?;
        Ok(())
    }

    /// Forgets some of what is too old, now and then.
    pub(super) fn forget_deliveries(&self, now: DeliveryId) -> Result<(), Stop> {
        if !now.0.is_multiple_of(EVERY) {
            return Ok(());
        }
        let Some(limit) = self.day()?.checked_sub(DAYS) else { return Ok(()) };
        cached(
            self.db,
            "DELETE FROM deliveries WHERE (mailbox, delivery) IN
             (SELECT mailbox, delivery FROM deliveries WHERE day < ? LIMIT ?)",
        )?
        .execute([signed(limit), REMOVED])?;
        Ok(())
    }

    /// Number of the present day, counted in days that commands have brought. A clock that jumps
    /// ahead makes it one day later, one that jumps back none.
    fn day(&self) -> Result<u64, Stop> {
        let date = self.at.0 / DAY;
        let last = cached(self.db, "SELECT day, date FROM days ORDER BY day DESC LIMIT 1")?
            .query_row([], |row| Ok((unsigned(row.get(0)?), unsigned(row.get(1)?))))
            .optional()?;
        match last {
            Some((day, last)) if date <= last => Ok(day),
            last => {
                let day = last.map_or(0, |(day, _)| day + 1);
                cached(self.db, "INSERT INTO days (day, date) VALUES (?, ?)")?
                    .execute([signed(day), signed(date)])?;
                Ok(day)
            }
        }
    }
}

/// Deliveries to a mailbox above `after`, ascending, for its move to another store.
pub(super) fn of_mailbox(
    db: &Connection,
    mailbox: MailboxId,
    after: DeliveryId,
    limit: usize,
) -> Result<Vec<DeliveryId>, Stop> {
    let mut statement = cached(
        db,
        "SELECT delivery FROM deliveries WHERE mailbox = ? AND delivery > ? ORDER BY delivery LIMIT ?",
    )?;
    let key = params![mailbox.0.as_bytes(), after.0.to_be_bytes(), limit as i64];
    let rows = statement.query_map(key, |row| row.get(0))?;
    Ok(rows.map(|id| id.map(|id| DeliveryId(u128::from_be_bytes(id)))).collect::<Result<_, _>>()?)
}
