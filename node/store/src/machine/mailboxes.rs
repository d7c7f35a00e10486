//! Making and removing mailboxes.

use rusqlite::{OptionalExtension, params};

use super::{Outcome, Step, Stop, moving::absent, names::INBOX};
use crate::{
    Event, FolderUse, MailboxId, Quota, Refusal, Response,
    rows::{FolderRow, MailboxRow, cached, signed, unsigned},
};

/// Folders that every mailbox begins with.
const STANDARD: [(&str, FolderUse); 6] = [
    (INBOX, FolderUse::Inbox),
    ("Drafts", FolderUse::Drafts),
    ("Sent", FolderUse::Sent),
    ("Trash", FolderUse::Trash),
    ("Junk", FolderUse::Junk),
    ("Archive", FolderUse::Archive),
];

impl Step<'_> {
    pub(super) fn create_mailbox(&mut self, id: MailboxId, quota: Quota) -> Outcome {
        let (bytes, items) = (quota.bytes.map(signed), quota.items.map(signed));
        if let Some(mailbox) = MailboxRow::load(self.db, id)? {
            if mailbox.frozen {
                return Err(Refusal::Moving(id).into());
            }
            cached(self.db, "UPDATE mailboxes SET quota_bytes = ?, quota_items = ? WHERE id = ?")?
                .execute(params![bytes, items, mailbox.row])?;
            return Ok(Response::Done);
        }
        match absent(self.db, id)? {
            Refusal::NoSuchMailbox(_) => {}
            elsewhere => return Err(elsewhere.into()),
        }
        let (next_validity, modseq) = self.left_behind(id)?.unwrap_or((1, 0));
        cached(
            self.db,
            "INSERT INTO mailboxes (uuid, quota_bytes, quota_items, modseq, next_validity)
             VALUES (?, ?, ?, ?, ?)",
        )?
        .execute(params![id.0.as_bytes(), bytes, items, signed(modseq), next_validity])?;
        let mut mailbox = MailboxRow {
            row: self.db.last_insert_rowid(),
            id,
            quota,
            usage: Default::default(),
            modseq: modseq + 1,
            next_validity,
            frozen: false,
        };
        for (name, purpose) in STANDARD {
            self.add_folder(&mut mailbox, name, purpose, true)?;
        }
        mailbox.save(self.db)?;
        self.events.push(Event::Folders { mailbox: id });
        Ok(Response::Done)
    }

    /// Where a mailbox of this id left off, if there was one: a UIDVALIDITY is never used twice.
    pub(super) fn left_behind(&self, id: MailboxId) -> Result<Option<(u32, u64)>, Stop> {
        Ok(cached(
            self.db,
            "DELETE FROM removed_mailboxes WHERE uuid = ? RETURNING next_validity, modseq",
        )?
        .query_row([id.0.as_bytes()], |row| Ok((row.get(0)?, unsigned(row.get(1)?))))
        .optional()?)
    }

    pub(super) fn remove_mailbox(&mut self, id: MailboxId) -> Outcome {
        let mailbox = self.mailbox(id)?;
        for folder in FolderRow::all(self.db, &mailbox)? {
            self.erase_folder(&mailbox, &folder)?;
        }
        self.abandon_removed(id)?;
        cached(self.db, "DELETE FROM mailboxes WHERE id = ?")?.execute([mailbox.row])?;
        cached(
            self.db,
            "INSERT INTO removed_mailboxes (uuid, next_validity, modseq) VALUES (?, ?, ?)",
        )?
        .execute(params![
            id.0.as_bytes(),
            mailbox.next_validity,
            signed(mailbox.modseq)
        ])?;
        self.events.push(Event::Folders { mailbox: id });
        Ok(Response::Done)
    }
}
