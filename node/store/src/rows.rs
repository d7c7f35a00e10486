//! Rows of the database as values, shared by the state machine and the readers.

use posthouse_cluster::{MachineError, Timestamp};
use rusqlite::{CachedStatement, Connection, OptionalExtension, Row, params};

use crate::{BodyHash, Flags, Folder, FolderId, FolderUse, Item, MailboxId, Quota, Usage};

/// A mailbox.
#[derive(Clone, Debug)]
pub(crate) struct MailboxRow {
    pub row: i64,
    pub id: MailboxId,
    pub quota: Quota,
    pub usage: Usage,
    pub modseq: u64,
    pub next_validity: u32,
    /// It is about to be in another store: no changes.
    pub frozen: bool,
}

impl MailboxRow {
    const COLUMNS: &str = "id, uuid, quota_bytes, quota_items, used_bytes, used_items, modseq, \
                           next_validity, frozen";

    pub(crate) fn load(db: &Connection, id: MailboxId) -> rusqlite::Result<Option<Self>> {
        cached(db, &format!("SELECT {} FROM mailboxes WHERE uuid = ?", Self::COLUMNS))?
            .query_row([id.0.as_bytes()], Self::read)
            .optional()
    }

    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            row: row.get(0)?,
            id: MailboxId(uuid::Uuid::from_bytes(row.get(1)?)),
            quota: Quota {
                bytes: row.get::<_, Option<i64>>(2)?.map(unsigned),
                items: row.get::<_, Option<i64>>(3)?.map(unsigned),
            },
            usage: Usage { bytes: unsigned(row.get(4)?), items: unsigned(row.get(5)?) },
            modseq: unsigned(row.get(6)?),
            next_validity: row.get(7)?,
            frozen: row.get(8)?,
        })
    }

    /// Writes everything back but the quota.
    pub(crate) fn save(&self, db: &Connection) -> rusqlite::Result<()> {
        cached(
            db,
            "UPDATE mailboxes SET used_bytes = ?2, used_items = ?3, modseq = ?4, next_validity = ?5
             WHERE id = ?1",
        )?
        .execute(params![
            self.row,
            signed(self.usage.bytes),
            signed(self.usage.items),
            signed(self.modseq),
            self.next_validity
        ])?;
        Ok(())
    }

    /// Whether so much more would be too much.
    pub(crate) fn is_full(&self, bytes: u64, items: u64) -> bool {
        let above = |limit: Option<u64>, sum: u64| limit.is_some_and(|limit| sum > limit);
        above(self.quota.bytes, self.usage.bytes.saturating_add(bytes))
            || above(self.quota.items, self.usage.items.saturating_add(items))
    }
}

/// A folder with what only the store needs to know of it.
#[derive(Clone, Debug)]
pub(crate) struct FolderRow {
    pub folder: Folder,
    pub horizon: u64,
    pub tombstones: u64,
}

impl FolderRow {
    const COLUMNS: &str = "id, name, purpose, subscribed, uid_validity, uid_next, modseq, items, \
                           unseen, deleted, size, horizon, tombstones";

    pub(crate) fn by_id(
        db: &Connection,
        mailbox: &MailboxRow,
        id: FolderId,
    ) -> rusqlite::Result<Option<Self>> {
        let sql = format!("SELECT {} FROM folders WHERE id = ? AND mailbox = ?", Self::COLUMNS);
        cached(db, &sql)?.query_row([signed(id.0), mailbox.row], Self::read).optional()
    }

    pub(crate) fn by_name(
        db: &Connection,
        mailbox: &MailboxRow,
        name: &str,
    ) -> rusqlite::Result<Option<Self>> {
        let sql = format!("SELECT {} FROM folders WHERE mailbox = ? AND name = ?", Self::COLUMNS);
        cached(db, &sql)?.query_row(params![mailbox.row, name], Self::read).optional()
    }

    /// All folders of a mailbox, sorted by name.
    pub(crate) fn all(db: &Connection, mailbox: &MailboxRow) -> rusqlite::Result<Vec<Self>> {
        let sql = format!("SELECT {} FROM folders WHERE mailbox = ? ORDER BY name", Self::COLUMNS);
        cached(db, &sql)?.query_map([mailbox.row], Self::read)?.collect()
    }

    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            folder: Folder {
                id: FolderId(unsigned(row.get(0)?)),
                name: row.get(1)?,
                purpose: purpose_from(row.get(2)?),
                subscribed: row.get(3)?,
                uid_validity: row.get(4)?,
                uid_next: row.get(5)?,
                highest_modseq: unsigned(row.get(6)?),
                exists: row.get(7)?,
                unseen: row.get(8)?,
                deleted: row.get(9)?,
                size: unsigned(row.get(10)?),
            },
            horizon: unsigned(row.get(11)?),
            tombstones: unsigned(row.get(12)?),
        })
    }

    /// Writes the counters back; name, purpose and subscription are changed where they are changed.
    pub(crate) fn save(&self, db: &Connection) -> rusqlite::Result<()> {
        let folder = &self.folder;
        cached(
            db,
            "UPDATE folders SET uid_next = ?2, modseq = ?3, items = ?4, unseen = ?5, deleted = ?6,
             size = ?7, horizon = ?8, tombstones = ?9 WHERE id = ?1",
        )?
        .execute(params![
            signed(folder.id.0),
            folder.uid_next,
            signed(folder.highest_modseq),
            folder.exists,
            folder.unseen,
            folder.deleted,
            signed(folder.size),
            signed(self.horizon),
            signed(self.tombstones)
        ])?;
        Ok(())
    }

    /// Counts an item in.
    pub(crate) fn count(&mut self, item: &ItemRow) {
        let folder = &mut self.folder;
        folder.exists += 1;
        folder.unseen += u32::from(!item.has(Flags::SEEN));
        folder.deleted += u32::from(item.has(Flags::DELETED));
        folder.size += u64::from(item.size);
    }

    /// Counts an item out.
    pub(crate) fn discount(&mut self, item: &ItemRow) {
        let folder = &mut self.folder;
        folder.exists = folder.exists.saturating_sub(1);
        folder.unseen = folder.unseen.saturating_sub(u32::from(!item.has(Flags::SEEN)));
        folder.deleted = folder.deleted.saturating_sub(u32::from(item.has(Flags::DELETED)));
        folder.size = folder.size.saturating_sub(u64::from(item.size));
    }
}

/// An item.
#[derive(Clone, Debug)]
pub(crate) struct ItemRow {
    pub uid: u32,
    pub modseq: u64,
    pub flags: u8,
    pub size: u32,
    pub received: Timestamp,
    pub sent: Option<i64>,
    pub body: i64,
    /// Joined by spaces, which a keyword cannot contain.
    pub keywords: Option<String>,
}

impl ItemRow {
    pub(crate) const COLUMNS: &str = "uid, modseq, flags, size, received, sent, body, keywords";

    pub(crate) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            uid: row.get(0)?,
            modseq: unsigned(row.get(1)?),
            flags: row.get(2)?,
            size: row.get(3)?,
            received: Timestamp(unsigned(row.get(4)?)),
            sent: row.get(5)?,
            body: row.get(6)?,
            keywords: row.get(7)?,
        })
    }

    pub(crate) fn insert(&self, db: &Connection, folder: FolderId) -> rusqlite::Result<()> {
        cached(
            db,
            "INSERT INTO items (folder, uid, modseq, flags, size, received, sent, body, keywords)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute(params![
            signed(folder.0),
            self.uid,
            signed(self.modseq),
            self.flags,
            self.size,
            signed(self.received.0),
            self.sent,
            self.body,
            self.keywords
        ])?;
        Ok(())
    }

    pub(crate) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    pub(crate) fn flags(&self) -> Flags {
        let keywords = self.keywords.as_deref().unwrap_or_default();
        Flags {
            system: self.flags,
            keywords: keywords.split(' ').filter(|word| !word.is_empty()).map(Into::into).collect(),
        }
    }

    /// What others get to see.
    pub(crate) fn into_item(self, body: BodyHash) -> Item {
        Item {
            uid: self.uid,
            modseq: self.modseq,
            flags: self.flags(),
            received: self.received,
            size: self.size,
            body,
            structure: None,
        }
    }
}

/// The hash of a body by its row.
pub(crate) fn body_hash(db: &Connection, body: i64) -> Result<BodyHash, MachineError> {
    cached(db, "SELECT hash FROM bodies WHERE id = ?")?
        .query_row([body], |row| row.get(0).map(BodyHash))
        .optional()?
        .ok_or_else(|| MachineError::Corrupt(format!("bodies: no row {body}")))
}

/// A statement that is prepared once.
pub(crate) fn cached<'a>(db: &'a Connection, sql: &str) -> rusqlite::Result<CachedStatement<'a>> {
    db.prepare_cached(sql)
}

/// SQLite's integers are signed; ours never reach the upper half.
pub(crate) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The other way.
pub(crate) fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

const PURPOSES: [FolderUse; 7] = [
    FolderUse::None,
    FolderUse::Inbox,
    FolderUse::Drafts,
    FolderUse::Sent,
    FolderUse::Trash,
    FolderUse::Junk,
    FolderUse::Archive,
];

/// Number of a purpose in the database.
pub(crate) fn purpose_number(purpose: FolderUse) -> u8 {
    PURPOSES.iter().position(|known| *known == purpose).unwrap_or(0) as u8
}

fn purpose_from(number: u8) -> FolderUse {
    PURPOSES.get(usize::from(number)).copied().unwrap_or_default()
}
