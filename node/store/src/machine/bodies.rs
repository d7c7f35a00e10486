//! Bodies and who holds them.

use rusqlite::{OptionalExtension, params};

use super::{Step, Stop};
use crate::{command::NewBody, rows::cached};

impl Step<'_> {
    /// The row of a body that came with a command, with so many more references.
    pub(super) fn take_body(&self, body: &NewBody, references: usize) -> Result<i64, Stop> {
        let known: Option<i64> = cached(self.db, "SELECT id FROM bodies WHERE hash = ?")?
            .query_row([&body.hash.0], |row| row.get(0))
            .optional()?;
        if let Some(row) = known {
            self.add_references(row, references)?;
            return Ok(row);
        }
        cached(self.db, "INSERT INTO bodies (hash, size, refs, inline) VALUES (?, ?, ?, ?)")?
            .execute(params![&body.hash.0, body.size, references as i64, body.inline.is_some()])?;
        let row = self.db.last_insert_rowid();
        cached(self.db, "INSERT INTO structures (body, bytes) VALUES (?, ?)")?
            .execute(params![row, &body.structure[..]])?;
        if let Some(bytes) = &body.inline {
            cached(self.db, "INSERT INTO small_bodies (body, bytes) VALUES (?, ?)")?
                .execute(params![row, &bytes[..]])?;
        }
        Ok(row)
    }

    pub(super) fn add_references(&self, body: i64, references: usize) -> Result<(), Stop> {
        cached(self.db, "UPDATE bodies SET refs = refs + ? WHERE id = ?")?
            .execute([references as i64, body])?;
        Ok(())
    }

    /// An item of the mailbox now refers to the body.
    pub(super) fn hold(&self, mailbox: i64, body: i64) -> Result<(), Stop> {
        cached(
            self.db,
            "INSERT INTO mailbox_bodies (body, mailbox, refs) VALUES (?, ?, 1)
             ON CONFLICT (body, mailbox) DO UPDATE SET refs = refs + 1",
        )?
        .execute([body, mailbox])?;
        Ok(())
    }

    /// An item of the mailbox refers to the body no longer.
    pub(super) fn let_go(&self, mailbox: i64, body: i64) -> Result<(), Stop> {
        let left: Option<i64> = cached(
            self.db,
            "UPDATE mailbox_bodies SET refs = refs - 1 WHERE body = ? AND mailbox = ?
             RETURNING refs",
        )?
        .query_row([body, mailbox], |row| row.get(0))
        .optional()?;
        if left.is_some_and(|left| left <= 0) {
            cached(self.db, "DELETE FROM mailbox_bodies WHERE body = ? AND mailbox = ?")?
                .execute([body, mailbox])?;
        }
        self.drop_reference(body)
    }

    /// One reference less; with the last one the body goes.
    pub(super) fn drop_reference(&self, body: i64) -> Result<(), Stop> {
        let left: Option<i64> =
            cached(self.db, "UPDATE bodies SET refs = refs - 1 WHERE id = ? RETURNING refs")?
                .query_row([body], |row| row.get(0))
                .optional()?;
        if left.is_some_and(|left| left <= 0) {
            for sql in [
                "DELETE FROM bodies WHERE id = ?",
                "DELETE FROM structures WHERE body = ?",
                "DELETE FROM small_bodies WHERE body = ?",
            ] {
                cached(self.db, sql)?.execute([body])?;
            }
        }
        Ok(())
    }
}
