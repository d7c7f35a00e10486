//! Portions of a mailbox that arrives.

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;
use rusqlite::{OptionalExtension, params};

use super::{
    super::{Outcome, Step, Stop, deliveries::Whom, names, remember_arrived, row},
    arriving::ArrivalRow,
};
use crate::{
    ArrivalState, BodyHash, FolderId, FolderState, MailboxState, ModSeq, MoveId, MovedItem,
    Portion, Position, Refusal, RequestId, Response, Uid, UidSet,
    command::NewBody,
    flags,
    rows::{FolderRow, ItemRow, MailboxRow, body_hash, cached, purpose_number, signed},
};

/// Items that are removed at once.
const REMOVED: i64 = 1000;

/// Where the body of an arriving item is.
enum Source<'a> {
    /// The item is here already.
    Item(ItemRow),
    /// Another item or the spool has it.
    Row(i64),
    /// It came along.
    New(&'a NewBody),
}

/// An arriving item that has been checked.
struct Checked<'a> {
    item: MovedItem,
    system: u8,
    keywords: Option<String>,
    source: Source<'a>,
}

impl Step<'_> {
    pub(super) fn import(
        &mut self,
        id: MoveId,
        step: u64,
        parts: Vec<Portion>,
        bodies: &[NewBody],
    ) -> Outcome {
        let known = ArrivalRow::load(self.db, id)?.ok_or(Refusal::MoveOver)?;
        if known.state != ArrivalState::Arriving {
            return Err(Refusal::MoveOver.into());
        }
        if step != known.step + 1 {
            return Err(Refusal::OutOfStep(known.step).into());
        }
        // each portion is checked before it is written, but the last one may be refused
        self.db.execute_batch("SAVEPOINT import")?;
        let imported = parts.into_iter().try_for_each(|part| {
            let mut mailbox = self.mailbox(id.hidden())?;
            self.import_part(&known, &mut mailbox, part, bodies)
        });
        if let Err(stop) = imported {
            self.db.execute_batch("ROLLBACK TO import; RELEASE import")?;
            return Err(stop);
        }
        self.db.execute_batch("RELEASE import")?;
        cached(self.db, "UPDATE arrivals SET step = ?2 WHERE id = ?1")?
            .execute(params![id.0.to_be_bytes(), signed(step)])?;
        Ok(Response::Done)
    }

    fn import_part(
        &mut self,
        arrival: &ArrivalRow,
        mailbox: &mut MailboxRow,
        part: Portion,
        bodies: &[NewBody],
    ) -> Result<(), Stop> {
        match part {
            Portion::Mailbox(state) => self.import_mailbox(mailbox, &state),
            Portion::Folders(folders) => self.import_folders(mailbox, &folders),
            Portion::FoldersGone(folders) => self.import_gone(mailbox, &folders),
            Portion::Items { folder, items, until, messages: _ } => {
                let mut folder = self.folder(mailbox, folder)?;
                self.import_items(mailbox, &mut folder, items, bodies)?;
                self.arrived(&folder, until)
            }
            Portion::Tombstones { folder, ranges, until } => {
                let mut folder = self.folder(mailbox, folder)?;
                self.import_tombstones(mailbox, &mut folder, &ranges)?;
                self.arrived_tombstones(&folder, until)
            }
            Portion::Retain { folder, uids, horizon } => {
                let mut folder = self.folder(mailbox, folder)?;
                self.retain(mailbox, &mut folder, &uids)?;
                self.arrived_tombstones(&folder, Position { modseq: horizon, uid: Uid::MAX })
            }
            Portion::Answers { answers, until } => self.import_answers(arrival, answers, until),
            Portion::Deliveries { deliveries } => {
                for delivery in deliveries {
                    self.note_delivery(Whom::Mailbox(arrival.mailbox), delivery)?;
                }
                Ok(())
            }
        }
    }

    fn import_mailbox(&self, mailbox: &mut MailboxRow, state: &MailboxState) -> Result<(), Stop> {
        cached(self.db, "UPDATE mailboxes SET quota_bytes = ?, quota_items = ? WHERE id = ?")?
            .execute(params![
                state.quota.bytes.map(signed),
                state.quota.items.map(signed),
                mailbox.row
            ])?;
        mailbox.modseq = state.modseq;
        mailbox.next_validity = state.next_validity;
        Ok(mailbox.save(self.db)?)
    }

    fn import_folders(&self, mailbox: &MailboxRow, folders: &[FolderState]) -> Result<(), Stop> {
        let (mut ids, mut taken) = (BTreeSet::new(), BTreeSet::new());
        for FolderState { folder, .. } in folders {
            if names::normal(&folder.name).as_ref() != Some(&folder.name) {
                return Err(Refusal::BadName.into());
            }
            let owner: Option<i64> = cached(self.db, "SELECT mailbox FROM folders WHERE id = ?")?
                .query_row([signed(folder.id.0)], |row| row.get(0))
                .optional()?;
            let foreign = owner.is_some_and(|owner| owner != mailbox.row);
            if foreign || !ids.insert(folder.id) || !taken.insert(&folder.name) {
                return Err(Refusal::FolderExists.into());
            }
        }
        for state in folders {
            self.make_way(mailbox, state)?;
            self.put_folder(mailbox, state)?;
        }
        Ok(())
    }

    /// Another folder of this name has been renamed or removed at the source, and that arrives too.
    fn make_way(&self, mailbox: &MailboxRow, state: &FolderState) -> Result<(), Stop> {
        cached(
            self.db,
            "UPDATE folders SET name = char(1) || id WHERE mailbox = ? AND name = ? AND id <> ?",
        )?
        .execute(params![mailbox.row, state.folder.name, signed(state.folder.id.0)])?;
        Ok(())
    }

    fn put_folder(&self, mailbox: &MailboxRow, state: &FolderState) -> Result<(), Stop> {
        let folder = &state.folder;
        cached(
            self.db,
            "INSERT INTO folders
                 (id, mailbox, name, purpose, subscribed, uid_validity, uid_next, modseq, horizon)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
             ON CONFLICT (id) DO UPDATE SET name = ?3, purpose = ?4, subscribed = ?5,
                 uid_validity = ?6, uid_next = max(uid_next, ?7), modseq = max(modseq, ?8),
                 horizon = max(horizon, ?9)",
        )?
        .execute(params![
            signed(folder.id.0),
            mailbox.row,
            folder.name,
            purpose_number(folder.purpose),
            folder.subscribed,
            folder.uid_validity,
            folder.uid_next.max(1),
            signed(folder.highest_modseq),
            signed(state.horizon)
        ])?;
        let forgotten = cached(self.db, "DELETE FROM tombstones WHERE folder = ? AND modseq <= ?")?
            .execute([signed(folder.id.0), signed(state.horizon)])?;
        if forgotten > 0 {
            cached(self.db, "UPDATE folders SET tombstones = max(tombstones - ?, 0) WHERE id = ?")?
                .execute([forgotten as i64, signed(folder.id.0)])?;
        }
        Ok(())
    }

    fn import_gone(&self, mailbox: &mut MailboxRow, folders: &[FolderId]) -> Result<(), Stop> {
        for id in folders {
            let Some(folder) = FolderRow::by_id(self.db, mailbox, *id)? else { continue };
            let (bytes, items) = (folder.folder.size, u64::from(folder.folder.exists));
            mailbox.usage.bytes = mailbox.usage.bytes.saturating_sub(bytes);
            mailbox.usage.items = mailbox.usage.items.saturating_sub(items);
            self.erase_folder(mailbox, &folder)?;
            self.forget_arriving(&folder)?;
        }
        Ok(mailbox.save(self.db)?)
    }

    fn import_items(
        &self,
        mailbox: &mut MailboxRow,
        folder: &mut FolderRow,
        items: Vec<MovedItem>,
        bodies: &[NewBody],
    ) -> Result<(), Stop> {
        for checked in self.check_items(folder, items, bodies)? {
            self.put_item(mailbox, folder, checked)?;
        }
        folder.save(self.db)?;
        Ok(mailbox.save(self.db)?)
    }

    fn check_items<'a>(
        &self,
        folder: &FolderRow,
        items: Vec<MovedItem>,
        bodies: &'a [NewBody],
    ) -> Result<Vec<Checked<'a>>, Stop> {
        let brought: HashMap<BodyHash, &NewBody> =
            bodies.iter().map(|body| (body.hash, body)).collect();
        let mut uids = BTreeSet::new();
        let mut checked = Vec::with_capacity(items.len());
        for item in items {
            if item.uid == 0 || item.uid == Uid::MAX || !uids.insert(item.uid) {
                return Err(Refusal::Limit("uids of a portion".into()).into());
            }
            let (system, keywords) = flags::check(&item.flags)?;
            let source = match self.item(folder, item.uid)? {
                Some(there) if body_hash(self.db, there.body)? == item.body => Source::Item(there),
                Some(_) => return Err(Refusal::Limit("one body of an item".into()).into()),
                None => self.find_body(&item, &brought)?,
            };
            checked.push(Checked { item, system, keywords, source });
        }
        Ok(checked)
    }

    fn find_body<'a>(
        &self,
        item: &MovedItem,
        brought: &HashMap<BodyHash, &'a NewBody>,
    ) -> Result<Source<'a>, Stop> {
        if let Some(body) = brought.get(&item.body) {
            return Ok(Source::New(body));
        }
        let row: Option<i64> = cached(self.db, "SELECT id FROM bodies WHERE hash = ?")?
            .query_row([&item.body.0], |row| row.get(0))
            .optional()?;
        Ok(Source::Row(row.ok_or(Refusal::NotFound)?))
    }

    fn item(&self, folder: &FolderRow, uid: Uid) -> Result<Option<ItemRow>, Stop> {
        let sql = format!("SELECT {} FROM items WHERE folder = ? AND uid = ?", ItemRow::COLUMNS);
        Ok(cached(self.db, &sql)?.query_row(params![row(folder), uid], ItemRow::read).optional()?)
    }

    fn put_item(
        &self,
        mailbox: &mut MailboxRow,
        folder: &mut FolderRow,
        checked: Checked<'_>,
    ) -> Result<(), Stop> {
        let Checked { item, system, keywords, source } = checked;
        let body = match &source {
            Source::Item(there) => there.body,
            Source::Row(body) => {
                self.add_references(*body, 1)?;
                *body
            }
            Source::New(new) => self.take_body(new, 1)?,
        };
        let arrived = ItemRow {
            uid: item.uid,
            modseq: item.modseq,
            flags: system,
            size: item.size,
            received: item.received,
            sent: item.sent,
            body,
            keywords,
        };
        if let Source::Item(there) = source {
            folder.discount(&there);
            mailbox.usage.bytes = mailbox.usage.bytes.saturating_sub(u64::from(there.size));
            cached(self.db, "DELETE FROM items WHERE folder = ? AND uid = ?")?
                .execute(params![row(folder), item.uid])?;
        } else {
            self.hold(mailbox.row, body)?;
            mailbox.usage.items += 1;
        }
        arrived.insert(self.db, folder.folder.id)?;
        folder.count(&arrived);
        mailbox.usage.bytes += u64::from(arrived.size);
        folder.folder.uid_next = folder.folder.uid_next.max(item.uid + 1);
        folder.folder.highest_modseq = folder.folder.highest_modseq.max(item.modseq);
        Ok(())
    }

    fn import_tombstones(
        &self,
        mailbox: &mut MailboxRow,
        folder: &mut FolderRow,
        ranges: &[(ModSeq, Uid, Uid)],
    ) -> Result<(), Stop> {
        for (modseq, first, last) in ranges {
            let new = cached(
                self.db,
                "INSERT OR IGNORE INTO tombstones (folder, modseq, first, last)
                 VALUES (?, ?, ?, ?)",
            )?
            .execute(params![row(folder), signed(*modseq), first, last])?;
            folder.tombstones += new as u64;
            self.remove_range(mailbox, folder, *first, *last)?;
        }
        folder.save(self.db)?;
        Ok(mailbox.save(self.db)?)
    }

    fn remove_range(
        &self,
        mailbox: &mut MailboxRow,
        folder: &mut FolderRow,
        first: Uid,
        last: Uid,
    ) -> Result<(), Stop> {
        let sql = format!(
            "SELECT {} FROM items WHERE folder = ? AND uid BETWEEN ? AND ? ORDER BY uid LIMIT ?",
            ItemRow::COLUMNS
        );
        loop {
            let items = cached(self.db, &sql)?
                .query_map(params![row(folder), first, last, REMOVED], ItemRow::read)?
                .collect::<Result<Vec<_>, _>>()?;
            for item in &items {
                self.remove_item(mailbox, folder, item)?;
            }
            if items.is_empty() {
                return Ok(());
            }
        }
    }

    fn retain(
        &self,
        mailbox: &mut MailboxRow,
        folder: &mut FolderRow,
        uids: &UidSet,
    ) -> Result<(), Stop> {
        let kept = UidSet::from_ranges(uids.0.iter().copied());
        let all = UidSet(vec![(1, Uid::MAX)]);
        for (first, last) in all.minus(&kept).0 {
            self.remove_range(mailbox, folder, first, last)?;
        }
        folder.save(self.db)?;
        Ok(mailbox.save(self.db)?)
    }

    fn import_answers(
        &self,
        arrival: &ArrivalRow,
        answers: Vec<(RequestId, Bytes)>,
        until: u64,
    ) -> Result<(), Stop> {
        for (id, answer) in answers {
            remember_arrived(self.db, id, arrival.mailbox, &answer)?;
        }
        cached(self.db, "UPDATE arrivals SET answers = max(answers, ?2) WHERE id = ?1")?
            .execute(params![arrival.id.0.to_be_bytes(), signed(until)])?;
        Ok(())
    }

    fn arrived(&self, folder: &FolderRow, until: Position) -> Result<(), Stop> {
        cached(
            self.db,
            "INSERT INTO arriving_folders (folder, modseq, uid) VALUES (?1, ?2, ?3)
             ON CONFLICT (folder) DO UPDATE SET modseq = ?2, uid = ?3",
        )?
        .execute(params![row(folder), signed(until.modseq), until.uid])?;
        Ok(())
    }

    fn arrived_tombstones(&self, folder: &FolderRow, until: Position) -> Result<(), Stop> {
        cached(
            self.db,
            "INSERT INTO arriving_folders (folder, buried_modseq, buried_uid) VALUES (?1, ?2, ?3)
             ON CONFLICT (folder) DO UPDATE SET buried_modseq = ?2, buried_uid = ?3",
        )?
        .execute(params![row(folder), signed(until.modseq), until.uid])?;
        Ok(())
    }
}
