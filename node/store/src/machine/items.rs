//! Adding, flagging, copying, moving and removing items.

use rusqlite::params;

use super::{Outcome, Step, Stop, row};
use crate::{
    FlagChange, Flags, FolderId, MailboxId, ModSeq, NewItem, Refusal, Request, Response, Uid,
    UidSet,
    command::NewBody,
    flags,
    rows::{FolderRow, ItemRow, MailboxRow, body_hash, cached, signed},
};

/// Tombstones of a folder that are remembered; beyond, the older half is forgotten.
const MAX_TOMBSTONES: u64 = 20_000;

impl Step<'_> {
    pub(super) fn append(
        &mut self,
        mailbox: MailboxId,
        folder: &str,
        messages: Vec<NewItem>,
        bodies: &[NewBody],
    ) -> Outcome {
        let mut mailbox = self.mailbox(mailbox)?;
        let mut folder = self.folder_named(&mailbox, folder)?;
        if messages.len() != bodies.len() || messages.is_empty() {
            return Err(Refusal::Limit("a message is missing".into()).into());
        }
        let size = bodies.iter().map(|body| u64::from(body.size)).sum();
        self.check_quota(&mailbox, size, bodies.len() as u64)?;
        check_uids(&folder, bodies.len())?;
        let flags =
            messages.iter().map(|new| flags::check(&new.flags)).collect::<Result<Vec<_>, _>>()?;
        mailbox.modseq += 1;
        let mut uids = Vec::with_capacity(bodies.len());
        for ((message, body), (system, keywords)) in messages.iter().zip(bodies).zip(flags) {
            let item = ItemRow {
                uid: 0,
                modseq: 0,
                flags: system,
                size: body.size,
                received: message.received,
                sent: body.sent,
                body: self.take_body(body, 1)?,
                keywords,
            };
            uids.push(self.add_item(&mut mailbox, &mut folder, item)?);
        }
        folder.save(self.db)?;
        mailbox.save(self.db)?;
        self.changed(&mailbox, &folder);
        Ok(Response::Appended {
            folder: folder.folder.id,
            uid_validity: folder.folder.uid_validity,
            uids,
        })
    }

    pub(super) fn check_quota(
        &self,
        mailbox: &MailboxRow,
        bytes: u64,
        items: u64,
    ) -> Result<(), Stop> {
        if mailbox.is_full(bytes, items) {
            return Err(Refusal::OverQuota(vec![mailbox.id]).into());
        }
        Ok(())
    }

    /// Adds an item with the next uid and the mailbox's present modseq; its body is referenced
    /// already. Folder and mailbox are saved by the caller.
    pub(super) fn add_item(
        &self,
        mailbox: &mut MailboxRow,
        folder: &mut FolderRow,
        mut item: ItemRow,
    ) -> Result<Uid, Stop> {
        item.uid = folder.folder.uid_next;
        item.modseq = mailbox.modseq;
        item.insert(self.db, folder.folder.id)?;
        self.hold(mailbox.row, item.body)?;
        folder.folder.uid_next += 1;
        folder.folder.highest_modseq = mailbox.modseq;
        folder.count(&item);
        mailbox.usage.items += 1;
        mailbox.usage.bytes += u64::from(item.size);
        Ok(item.uid)
    }

    pub(super) fn set_flags(
        &mut self,
        mailbox: MailboxId,
        folder: FolderId,
        uids: &UidSet,
        change: FlagChange,
        flags: &Flags,
        unchanged_since: Option<ModSeq>,
    ) -> Outcome {
        let mut mailbox = self.mailbox(mailbox)?;
        let mut folder = self.folder(&mailbox, folder)?;
        flags::check(flags)?;
        let mut conflicting = UidSet::default();
        let mut updates = Vec::new();
        for item in self.select(&folder, uids)? {
            if unchanged_since.is_some_and(|since| item.modseq > since) {
                conflicting.push(item.uid);
                continue;
            }
            let before = item.flags();
            let (system, keywords) = flags::check(&flags::change(&before, change, flags))?;
            if system != item.flags || keywords != item.keywords {
                updates.push((item, system, keywords));
            }
        }
        if updates.is_empty() {
            return Ok(Response::Flagged { changed: Vec::new(), conflicting });
        }
        mailbox.modseq += 1;
        let mut changed = Vec::with_capacity(updates.len());
        for (mut item, system, keywords) in updates {
            folder.discount(&item);
            item.modseq = mailbox.modseq;
            (item.flags, item.keywords) = (system, keywords);
            folder.count(&item);
            cached(
                self.db,
                "UPDATE items SET modseq = ?3, flags = ?4, keywords = ?5
                 WHERE folder = ?1 AND uid = ?2",
            )?
            .execute(params![
                row(&folder),
                item.uid,
                signed(item.modseq),
                item.flags,
                item.keywords
            ])?;
            let hash = body_hash(self.db, item.body)?;
            changed.push(item.into_item(hash));
        }
        folder.folder.highest_modseq = mailbox.modseq;
        folder.save(self.db)?;
        mailbox.save(self.db)?;
        self.changed(&mailbox, &folder);
        Ok(Response::Flagged { changed, conflicting })
    }

    pub(super) fn copy(
        &mut self,
        mailbox: MailboxId,
        folder: FolderId,
        uids: &UidSet,
        to: &str,
    ) -> Outcome {
        let mut mailbox = self.mailbox(mailbox)?;
        let source = self.folder(&mailbox, folder)?;
        let mut target = self.folder_named(&mailbox, to)?;
        let items = self.select(&source, uids)?;
        let size = items.iter().map(|item| u64::from(item.size)).sum();
        self.check_quota(&mailbox, size, items.len() as u64)?;
        check_uids(&target, items.len())?;
        let mut copied = Vec::with_capacity(items.len());
        if !items.is_empty() {
            mailbox.modseq += 1;
            for item in items {
                self.add_references(item.body, 1)?;
                let from = item.uid;
                copied.push((from, self.add_item(&mut mailbox, &mut target, item)?));
            }
            target.save(self.db)?;
            mailbox.save(self.db)?;
            self.changed(&mailbox, &target);
        }
        Ok(Response::Copied { uid_validity: target.folder.uid_validity, uids: copied })
    }

    pub(super) fn move_items(
        &mut self,
        mailbox: MailboxId,
        folder: FolderId,
        uids: &UidSet,
        to: &str,
    ) -> Outcome {
        let mut mailbox = self.mailbox(mailbox)?;
        let mut source = self.folder(&mailbox, folder)?;
        let target = self.folder_named(&mailbox, to)?;
        let items = self.select(&source, uids)?;
        check_uids(&target, items.len())?;
        let uid_validity = target.folder.uid_validity;
        let mut moved = Vec::with_capacity(items.len());
        if items.is_empty() {
            return Ok(Response::Copied { uid_validity, uids: moved });
        }
        mailbox.modseq += 1;
        for item in &items {
            // the reference goes along; add_item takes a second one
            self.add_references(item.body, 1)?;
            self.remove_item(&mut mailbox, &mut source, item)?;
        }
        let gone = UidSet::from_uids(items.iter().map(|item| item.uid));
        self.bury(&mailbox, &mut source, &gone)?;
        source.save(self.db)?;
        // read again: it may be the same folder
        let mut target = self.folder(&mailbox, target.folder.id)?;
        for item in items {
            let from = item.uid;
            moved.push((from, self.add_item(&mut mailbox, &mut target, item)?));
        }
        target.save(self.db)?;
        mailbox.save(self.db)?;
        self.changed(&mailbox, &source);
        self.changed(&mailbox, &target);
        Ok(Response::Copied { uid_validity, uids: moved })
    }

    pub(super) fn expunge(
        &mut self,
        mailbox: MailboxId,
        folder: FolderId,
        uids: Option<&UidSet>,
    ) -> Outcome {
        let mut mailbox = self.mailbox(mailbox)?;
        let mut folder = self.folder(&mailbox, folder)?;
        let items = self.select_deleted(&folder, uids)?;
        if items.is_empty() {
            let modseq = folder.folder.highest_modseq;
            return Ok(Response::Expunged { uids: UidSet::default(), modseq });
        }
        mailbox.modseq += 1;
        for item in &items {
            self.remove_item(&mut mailbox, &mut folder, item)?;
        }
        let gone = UidSet::from_uids(items.iter().map(|item| item.uid));
        self.bury(&mailbox, &mut folder, &gone)?;
        folder.save(self.db)?;
        mailbox.save(self.db)?;
        self.changed(&mailbox, &folder);
        Ok(Response::Expunged { uids: gone, modseq: mailbox.modseq })
    }

    /// Removes an item and its reference. Folder and mailbox are saved by the caller.
    pub(super) fn remove_item(
        &self,
        mailbox: &mut MailboxRow,
        folder: &mut FolderRow,
        item: &ItemRow,
    ) -> Result<(), Stop> {
        cached(self.db, "DELETE FROM items WHERE folder = ? AND uid = ?")?
            .execute(params![row(folder), item.uid])?;
        self.let_go(mailbox.row, item.body)?;
        folder.discount(item);
        mailbox.usage.items = mailbox.usage.items.saturating_sub(1);
        mailbox.usage.bytes = mailbox.usage.bytes.saturating_sub(u64::from(item.size));
        Ok(())
    }

    /// Remembers uids that are gone as of the mailbox's present modseq. The folder is saved by the
    /// caller.
    pub(super) fn bury(
        &self,
        mailbox: &MailboxRow,
        folder: &mut FolderRow,
        gone: &UidSet,
    ) -> Result<(), Stop> {
        let modseq = mailbox.modseq;
        folder.folder.highest_modseq = modseq;
        for (first, last) in &gone.0 {
            cached(
                self.db,
                "INSERT INTO tombstones (folder, modseq, first, last) VALUES (?, ?, ?, ?)",
            )?
            .execute(params![row(folder), signed(modseq), first, last])?;
        }
        folder.tombstones += gone.0.len() as u64;
        if folder.tombstones > MAX_TOMBSTONES {
            self.forget_tombstones(folder)?;
        }
        Ok(())
    }

    fn forget_tombstones(&self, folder: &mut FolderRow) -> Result<(), Stop> {
        let horizon: i64 = cached(
            self.db,
            "SELECT modseq FROM tombstones WHERE folder = ? ORDER BY modseq, first LIMIT 1 OFFSET ?",
        )?
        .query_row([row(folder), signed(folder.tombstones / 2)], |row| row.get(0))?;
        let forgotten = cached(self.db, "DELETE FROM tombstones WHERE folder = ? AND modseq <= ?")?
            .execute([row(folder), horizon])?;
        folder.tombstones = folder.tombstones.saturating_sub(forgotten as u64);
        folder.horizon = crate::rows::unsigned(horizon);
        Ok(())
    }

    /// The items of a set that exist, ascending.
    fn select(&self, folder: &FolderRow, uids: &UidSet) -> Result<Vec<ItemRow>, Stop> {
        let sql = format!(
            "SELECT {} FROM items WHERE folder = ?1 AND uid BETWEEN ?2 AND ?3 ORDER BY uid",
            ItemRow::COLUMNS
        );
        self.collect(folder, uids, &sql)
    }

    /// Those of them that have \Deleted.
    fn select_deleted(
        &self,
        folder: &FolderRow,
        uids: Option<&UidSet>,
    ) -> Result<Vec<ItemRow>, Stop> {
        let sql = format!(
            "SELECT {} FROM items INDEXED BY items_deleted
             WHERE folder = ?1 AND uid BETWEEN ?2 AND ?3 AND flags & 8 <> 0 ORDER BY uid",
            ItemRow::COLUMNS
        );
        let all = UidSet(vec![(1, Uid::MAX)]);
        self.collect(folder, uids.unwrap_or(&all), &sql)
    }

    fn collect(&self, folder: &FolderRow, uids: &UidSet, sql: &str) -> Result<Vec<ItemRow>, Stop> {
        let mut found = Vec::new();
        let mut statement = cached(self.db, sql)?;
        for (first, last) in UidSet::from_ranges(uids.0.iter().copied()).0 {
            let mut rows = statement.query(params![row(folder), first, last])?;
            while let Some(row) = rows.next()? {
                if found.len() == Request::MAX_CHANGED {
                    let limit = Request::MAX_CHANGED;
                    return Err(Refusal::Limit(format!("{limit} items in one change")).into());
                }
                found.push(ItemRow::read(row)?);
            }
        }
        Ok(found)
    }
}

/// Whether the folder has so many uids left.
pub(super) fn check_uids(folder: &FolderRow, items: usize) -> Result<(), Stop> {
    if u64::from(folder.folder.uid_next) + items as u64 >= u64::from(Uid::MAX) {
        return Err(Refusal::Limit("uids of the folder".into()).into());
    }
    Ok(())
}
