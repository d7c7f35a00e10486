//! Making, renaming and removing folders.

use rusqlite::params;

use super::{
    Outcome, Step, Stop,
    names::{self, INBOX},
    row,
};
use crate::{
    Event, FolderId, FolderUse, MailboxId, Refusal, Response, UidSet,
    rows::{FolderRow, MailboxRow, cached, purpose_number, signed},
};

/// Most folders of one mailbox.
const MAX_FOLDERS: i64 = 10_000;

impl Step<'_> {
    pub(super) fn create_folder(
        &mut self,
        mailbox: MailboxId,
        name: &str,
        purpose: FolderUse,
    ) -> Outcome {
        let mut mailbox = self.mailbox(mailbox)?;
        let name = names::normal(name).ok_or(Refusal::BadName)?;
        if FolderRow::by_name(self.db, &mailbox, &name)?.is_some() {
            return Err(Refusal::FolderExists.into());
        }
        self.check_room(&mailbox)?;
        mailbox.modseq += 1;
        self.add_parents(&mut mailbox, &name)?;
        // there is one INBOX
        let purpose = if purpose == FolderUse::Inbox { FolderUse::None } else { purpose };
        self.add_folder(&mut mailbox, &name, purpose, false)?;
        mailbox.save(self.db)?;
        self.events.push(Event::Folders { mailbox: mailbox.id });
        Ok(Response::Folder(self.folder_named(&mailbox, &name)?.folder))
    }

    fn check_room(&self, mailbox: &MailboxRow) -> Result<(), Stop> {
        let folders: i64 = cached(self.db, "SELECT count(*) FROM folders WHERE mailbox = ?")?
            .query_row([mailbox.row], |row| row.get(0))?;
        if folders >= MAX_FOLDERS {
            return Err(Refusal::Limit(format!("{MAX_FOLDERS} folders in a mailbox")).into());
        }
        Ok(())
    }

    fn add_parents(&self, mailbox: &mut MailboxRow, name: &str) -> Result<(), Stop> {
        for parent in names::parents(name) {
            if FolderRow::by_name(self.db, mailbox, parent)?.is_none() {
                self.add_folder(mailbox, parent, FolderUse::None, false)?;
            }
        }
        Ok(())
    }

    /// Adds a folder that is not there yet. The mailbox is saved by the caller.
    pub(super) fn add_folder(
        &self,
        mailbox: &mut MailboxRow,
        name: &str,
        purpose: FolderUse,
        subscribed: bool,
    ) -> Result<FolderId, Stop> {
        let id = self.next("folder")?;
        cached(
            self.db,
            "INSERT INTO folders (id, mailbox, name, purpose, subscribed, uid_validity, modseq)
             VALUES (?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            signed(id),
            mailbox.row,
            name,
            purpose_number(purpose),
            subscribed,
            mailbox.next_validity,
            signed(mailbox.modseq)
        ])?;
        mailbox.next_validity += 1;
        Ok(FolderId(id))
    }

    pub(super) fn rename_folder(&mut self, mailbox: MailboxId, from: &str, to: &str) -> Outcome {
        let mut mailbox = self.mailbox(mailbox)?;
        let source = self.folder_named(&mailbox, from)?;
        let to = names::normal(to).ok_or(Refusal::BadName)?;
        if FolderRow::by_name(self.db, &mailbox, &to)?.is_some() {
            return Err(Refusal::FolderExists.into());
        }
        self.check_room(&mailbox)?;
        if source.folder.name == INBOX {
            return self.rename_inbox(mailbox, source, &to);
        }
        let old = source.folder.name;
        if below(&to, &old).is_some() {
            return Err(Refusal::BadName.into());
        }
        let mut renamed = Vec::new();
        for folder in FolderRow::all(self.db, &mailbox)? {
            let name = &folder.folder.name;
            let rest = if *name == old { Some("") } else { below(name, &old) };
            if let Some(rest) = rest {
                let name = names::normal(&format!("{to}{rest}")).ok_or(Refusal::BadName)?;
                renamed.push((folder.folder.id, name));
            }
        }
        mailbox.modseq += 1;
        self.add_parents(&mut mailbox, &to)?;
        for (id, name) in renamed {
            cached(self.db, "UPDATE folders SET name = ? WHERE id = ?")?
                .execute(params![name, signed(id.0)])?;
        }
        mailbox.save(self.db)?;
        self.events.push(Event::Folders { mailbox: mailbox.id });
        Ok(Response::Done)
    }

    /// INBOX stays, its items go (RFC 9051 §6.3.6); they keep their uids, under a new UIDVALIDITY.
    fn rename_inbox(&mut self, mut mailbox: MailboxRow, inbox: FolderRow, to: &str) -> Outcome {
        if below(to, INBOX).is_some() && names::parents(to).any(|parent| parent != INBOX) {
            return Err(Refusal::BadName.into());
        }
        mailbox.modseq += 1;
        self.add_parents(&mut mailbox, to)?;
        let id = self.add_folder(&mut mailbox, to, FolderUse::None, false)?;
        let mut target = self.folder(&mailbox, id)?;
        let gone = self.uids(&inbox)?;
        cached(self.db, "UPDATE items SET folder = ?, modseq = ? WHERE folder = ?")?.execute([
            signed(id.0),
            signed(mailbox.modseq),
            row(&inbox),
        ])?;
        let mut emptied = inbox;
        let (from, into) = (&mut emptied.folder, &mut target.folder);
        into.uid_next = from.uid_next;
        std::mem::swap(&mut into.exists, &mut from.exists);
        std::mem::swap(&mut into.unseen, &mut from.unseen);
        std::mem::swap(&mut into.deleted, &mut from.deleted);
        std::mem::swap(&mut into.size, &mut from.size);
        if !gone.is_empty() {
            self.bury(&mailbox, &mut emptied, &gone)?;
        }
        target.save(self.db)?;
        emptied.save(self.db)?;
        mailbox.save(self.db)?;
        self.changed(&mailbox, &emptied);
        self.events.push(Event::Folders { mailbox: mailbox.id });
        Ok(Response::Done)
    }

    pub(super) fn remove_folder(&mut self, mailbox: MailboxId, name: &str) -> Outcome {
        let mut mailbox = self.mailbox(mailbox)?;
        let folder = self.folder_named(&mailbox, name)?;
        let name = &folder.folder.name;
        let has_children = || -> Result<bool, Stop> {
            let all = FolderRow::all(self.db, &mailbox)?;
            Ok(all.iter().any(|other| below(&other.folder.name, name).is_some()))
        };
        if name == INBOX || has_children()? {
            return Err(Refusal::FolderInUse.into());
        }
        let (bytes, items) = (folder.folder.size, u64::from(folder.folder.exists));
        mailbox.usage.bytes = mailbox.usage.bytes.saturating_sub(bytes);
        mailbox.usage.items = mailbox.usage.items.saturating_sub(items);
        mailbox.modseq += 1;
        self.erase_folder(&mailbox, &folder)?;
        mailbox.save(self.db)?;
        self.events.push(Event::Folders { mailbox: mailbox.id });
        Ok(Response::Done)
    }

    /// Takes a folder away with all that is in it. Usage is the caller's business.
    pub(super) fn erase_folder(
        &self,
        mailbox: &MailboxRow,
        folder: &FolderRow,
    ) -> Result<(), Stop> {
        let mut statement = self.db.prepare_cached("SELECT body FROM items WHERE folder = ?")?;
        let bodies: Vec<i64> =
            statement.query_map([row(folder)], |row| row.get(0))?.collect::<Result<_, _>>()?;
        for body in bodies {
            self.let_go(mailbox.row, body)?;
        }
        for sql in [
            "DELETE FROM items WHERE folder = ?",
            "DELETE FROM tombstones WHERE folder = ?",
            "DELETE FROM folders WHERE id = ?",
        ] {
            cached(self.db, sql)?.execute([row(folder)])?;
        }
        Ok(())
    }

    pub(super) fn subscribe(
        &mut self,
        mailbox: MailboxId,
        name: &str,
        subscribed: bool,
    ) -> Outcome {
        let mailbox = self.mailbox(mailbox)?;
        let folder = self.folder_named(&mailbox, name)?;
        cached(self.db, "UPDATE folders SET subscribed = ? WHERE id = ?")?
            .execute(params![subscribed, row(&folder)])?;
        self.events.push(Event::Folders { mailbox: mailbox.id });
        Ok(Response::Done)
    }

    fn uids(&self, folder: &FolderRow) -> Result<UidSet, Stop> {
        let mut uids = UidSet::default();
        let mut statement = cached(self.db, "SELECT uid FROM items WHERE folder = ? ORDER BY uid")?;
        let mut rows = statement.query([row(folder)])?;
        while let Some(row) = rows.next()? {
            uids.push(row.get(0)?);
        }
        Ok(uids)
    }
}

/// The rest of a name behind another one, `/` included, if it lies below it.
fn below<'a>(name: &'a str, above: &str) -> Option<&'a str> {
    name.strip_prefix(above).filter(|rest| rest.starts_with('/'))
}
