//! Reading requests, each on one state of the database.

mod cache;
mod search;
mod text;

use bytes::Bytes;
use posthouse_cluster::{MachineError, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::{
    BodyHash, DeliveryId, FolderId, Item, MailboxId, ModSeq, Parts, Refusal, Request, Response,
    SpoolEntry, SpoolId, UidSet,
    machine::{absent, names},
    outcome::Stop,
    rows::{FolderRow, ItemRow, MailboxRow, cached, signed, unsigned},
};
pub(crate) use cache::UidCache;
pub(crate) use search::{Candidates, candidates, examine, open_item};

/// Structures of one answer together, beyond which it says that there is more.
const MAX_STRUCTURES: usize = 8 << 20;
/// Most spool entries in one answer.
const MAX_SPOOL: u32 = 1000;

/// A body as the database knows it.
#[derive(Clone)]
pub(crate) enum StoredBody {
    /// Here it is, not yet verified.
    Inline(BodyHash, Bytes),
    /// In the body log.
    Logged(BodyHash),
}

pub(crate) fn mailbox(db: &Connection, id: MailboxId) -> Result<MailboxRow, Stop> {
    match MailboxRow::load(db, id)? {
        Some(mailbox) => Ok(mailbox),
        None => Err(absent(db, id)?.into()),
    }
}

/// A folder by id, if it is in this mailbox.
pub(crate) fn folder(
    db: &Connection,
    mailbox_id: MailboxId,
    id: FolderId,
) -> Result<FolderRow, Stop> {
    let mailbox = mailbox(db, mailbox_id)?;
    Ok(FolderRow::by_id(db, &mailbox, id)?.ok_or(Refusal::NoSuchFolder)?)
}

pub(crate) fn folders(db: &Connection, id: MailboxId) -> Result<Response, Stop> {
    let rows = FolderRow::all(db, &mailbox(db, id)?)?;
    Ok(Response::Folders(rows.into_iter().map(|row| row.folder).collect()))
}

pub(crate) fn folder_named(db: &Connection, id: MailboxId, name: &str) -> Result<Response, Stop> {
    let mailbox = mailbox(db, id)?;
    let name = names::normal(name).ok_or(Refusal::NoSuchFolder)?;
    let row = FolderRow::by_name(db, &mailbox, &name)?.ok_or(Refusal::NoSuchFolder)?;
    Ok(Response::Folder(row.folder))
}

pub(crate) fn quota(db: &Connection, id: MailboxId) -> Result<Response, Stop> {
    let mailbox = mailbox(db, id)?;
    Ok(Response::Quota { usage: mailbox.usage, quota: mailbox.quota })
}

/// Items of a set, with the body's hash and, where asked for, the structure.
pub(crate) fn items(
    db: &Connection,
    folder: &FolderRow,
    uids: &UidSet,
    parts: Parts,
    changed_since: ModSeq,
) -> Result<Response, Stop> {
    let uids = UidSet::from_ranges(uids.0.iter().copied());
    let uids =
        if changed_since > 0 { changed_among(db, folder, &uids, changed_since)? } else { uids };
    let mut page = Page::default();
    let mut statement =
        cached(db, &select_items("i.folder = ?1 AND i.uid BETWEEN ?2 AND ?3", parts))?;
    'all: for (first, last) in uids.0 {
        let mut rows = statement.query(params![signed(folder.folder.id.0), first, last])?;
        while let Some(row) = rows.next()? {
            if page.is_full() {
                page.more = true;
                break 'all;
            }
            page.add(read_item(row)?);
        }
    }
    Ok(Response::Items { items: page.items, more: page.more })
}

#[derive(Default)]
struct Page {
    items: Vec<Item>,
    structures: usize,
    more: bool,
}

impl Page {
    fn is_full(&self) -> bool {
        self.items.len() >= Request::MAX_ITEMS || self.structures > MAX_STRUCTURES
    }

    fn add(&mut self, item: Item) {
        self.structures += item.structure.as_ref().map_or(0, Bytes::len);
        self.items.push(item);
    }
}

fn select_items(condition: &str, parts: Parts) -> String {
    let (column, join) = match parts.structure {
        true => (", s.bytes", "LEFT JOIN structures s ON s.body = i.body"),
        false => (", NULL", ""),
    };
    format!(
        "SELECT i.uid, i.modseq, i.flags, i.size, i.received, i.sent, i.body, i.keywords, b.hash
         {column} FROM items i JOIN bodies b ON b.id = i.body {join}
         WHERE {condition} ORDER BY i.folder, i.uid"
    )
}

fn read_item(row: &Row<'_>) -> rusqlite::Result<Item> {
    let mut item = ItemRow::read(row)?.into_item(BodyHash(row.get(8)?));
    item.structure = row.get::<_, Option<Vec<u8>>>(9)?.map(Bytes::from);
    Ok(item)
}

/// Uids of a set that changed after a modseq: by the index of modseqs alone.
fn changed_among(
    db: &Connection,
    folder: &FolderRow,
    uids: &UidSet,
    since: ModSeq,
) -> Result<UidSet, Stop> {
    let mut statement = cached(db, "SELECT uid FROM items WHERE folder = ? AND modseq > ?")?;
    let changed = statement
        .query_map([signed(folder.folder.id.0), signed(since)], |row| row.get(0))?
        .filter(|uid| !matches!(uid, Ok(uid) if !uids.contains(*uid)))
        .collect::<Result<Vec<u32>, _>>()?;
    Ok(UidSet::from_uids(changed))
}

/// What changed in a folder after a modseq.
pub(crate) fn changes(
    db: &Connection,
    folder: &FolderRow,
    since: ModSeq,
    present: impl FnOnce() -> Result<UidSet, Stop>,
) -> Result<Response, Stop> {
    let (modseq, uids) = changed_page(db, folder, since)?;
    let mut changed = Vec::new();
    let by_uid = select_items("i.folder = ?1 AND i.uid = ?2", Parts::default());
    let mut statement = cached(db, &by_uid)?;
    for uid in uids.iter() {
        changed.extend(
            statement.query_row(params![signed(folder.folder.id.0), uid], read_item).optional()?,
        );
    }
    let vanished = match since < folder.horizon {
        true => UidSet::from_ranges(
            folder.folder.uid_next.checked_sub(1).filter(|last| *last > 0).map(|last| (1, last)),
        )
        .minus(&present()?),
        false => buried(db, folder, since, modseq)?,
    };
    Ok(Response::Changes { changed, vanished, modseq })
}

/// Uids that changed after `since`, and the modseq up to which these are all.
fn changed_page(
    db: &Connection,
    folder: &FolderRow,
    since: ModSeq,
) -> Result<(ModSeq, UidSet), Stop> {
    let mut uids = Vec::new();
    let mut last = since;
    let mut statement = cached(
        db,
        "SELECT modseq, uid FROM items WHERE folder = ? AND modseq > ? ORDER BY modseq",
    )?;
    let mut rows = statement.query([signed(folder.folder.id.0), signed(since)])?;
    while let Some(row) = rows.next()? {
        let modseq = unsigned(row.get(0)?);
        if modseq > last && uids.len() >= Request::MAX_CHANGES {
            return Ok((last, UidSet::from_uids(uids)));
        }
        last = modseq;
        uids.push(row.get(1)?);
    }
    Ok((folder.folder.highest_modseq, UidSet::from_uids(uids)))
}

/// Uids that went after `since` and up to `until`.
pub(crate) fn buried(
    db: &Connection,
    folder: &FolderRow,
    since: ModSeq,
    until: ModSeq,
) -> Result<UidSet, Stop> {
    let mut statement = cached(
        db,
        "SELECT first, last FROM tombstones WHERE folder = ? AND modseq > ? AND modseq <= ?",
    )?;
    let ranges = statement
        .query_map([signed(folder.folder.id.0), signed(since), signed(until)], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?
        .collect::<Result<Vec<_>, _>>()?;
    Ok(UidSet::from_ranges(ranges))
}

/// A body, if an item of the mailbox refers to it.
pub(crate) fn body(db: &Connection, id: MailboxId, hash: BodyHash) -> Result<StoredBody, Stop> {
    let mailbox = mailbox(db, id)?;
    let row: i64 = cached(
        db,
        "SELECT b.id FROM bodies b JOIN mailbox_bodies m ON m.body = b.id AND m.mailbox = ?2
         WHERE b.hash = ?1",
    )?
    .query_row(params![&hash.0, mailbox.row], |row| row.get(0))
    .optional()?
    .ok_or(Refusal::NotFound)?;
    stored(db, row)
}

/// The body of a spool entry.
pub(crate) fn spool_body(db: &Connection, id: SpoolId) -> Result<StoredBody, Stop> {
    let row: i64 = cached(db, "SELECT body FROM spool WHERE id = ?")?
        .query_row([signed(id.0)], |row| row.get(0))
        .optional()?
        .ok_or(Refusal::NotFound)?;
    stored(db, row)
}

/// A body by its row.
pub(crate) fn stored(db: &Connection, body: i64) -> Result<StoredBody, Stop> {
    let (hash, bytes): (_, Option<Vec<u8>>) = cached(
        db,
        "SELECT b.hash, s.bytes FROM bodies b LEFT JOIN small_bodies s ON s.body = b.id
         WHERE b.id = ?",
    )?
    .query_row([body], |row| Ok((BodyHash(row.get(0)?), row.get(1)?)))
    .optional()?
    .ok_or_else(|| MachineError::Corrupt(format!("bodies: no row {body}")))?;
    Ok(match bytes {
        Some(bytes) => StoredBody::Inline(hash, bytes.into()),
        None => StoredBody::Logged(hash),
    })
}

/// Spool entries.
pub(crate) fn spool(
    db: &Connection,
    after: SpoolId,
    limit: u32,
    due: Option<Timestamp>,
) -> Result<Response, Stop> {
    let due = due.map_or(i64::MAX, |due| signed(due.0));
    let mut statement = cached(
        db,
        "SELECT s.id, s.accepted, s.due, s.envelope, s.recipients, b.hash, b.size,
                s.delivery
         FROM spool s JOIN bodies b ON b.id = s.body
         WHERE s.id > ? AND s.due <= ? ORDER BY s.id LIMIT ?",
    )?;
    let mut rows = statement.query(params![signed(after.0), due, limit.min(MAX_SPOOL)])?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        let delivery: Option<[u8; 16]> = row.get(7)?;
        entries.push(SpoolEntry {
            id: SpoolId(unsigned(row.get(0)?)),
            accepted: Timestamp(unsigned(row.get(1)?)),
            due: Timestamp(unsigned(row.get(2)?)),
            envelope: postcard::from_bytes(row.get_ref(3)?.as_blob().unwrap_or_default())?,
            recipients: postcard::from_bytes(row.get_ref(4)?.as_blob().unwrap_or_default())?,
            body: BodyHash(row.get(5)?),
            size: row.get(6)?,
            delivery: delivery.map(|id| DeliveryId(u128::from_be_bytes(id))),
        });
    }
    Ok(Response::Spool(entries))
}

/// Hashes of all bodies that are in the body log and named.
pub(crate) fn logged_bodies(db: &Connection) -> Result<Vec<BodyHash>, MachineError> {
    let mut statement = db.prepare("SELECT hash FROM bodies WHERE inline = 0")?;
    let hashes = statement.query_map([], |row| row.get(0).map(BodyHash))?;
    Ok(hashes.collect::<Result<_, _>>()?)
}

/// Bodies in the body log, with their sizes.
pub(crate) fn logged_bodies_with_size(
    db: &Connection,
) -> Result<Vec<(BodyHash, u32)>, MachineError> {
    let mut statement = db.prepare("SELECT hash, size FROM bodies WHERE inline = 0")?;
    let rows = statement.query_map([], |row| Ok((BodyHash(row.get(0)?), row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Whether anything names this body of the body log.
pub(crate) fn names_body(db: &Connection, hash: BodyHash) -> Result<bool, MachineError> {
    let mut statement = cached(db, "SELECT 1 FROM bodies WHERE hash = ?")?;
    Ok(statement.exists([&hash.0])?)
}

/// A body in the database, not yet verified.
pub(crate) fn inline_body(db: &Connection, hash: BodyHash) -> Result<Option<Bytes>, MachineError> {
    let sql = "SELECT s.bytes FROM small_bodies s JOIN bodies b ON b.id = s.body WHERE b.hash = ?";
    let bytes: Option<Vec<u8>> =
        cached(db, sql)?.query_row([&hash.0], |row| row.get(0)).optional()?;
    Ok(bytes.map(Bytes::from))
}

impl StoredBody {
    pub(crate) fn hash(&self) -> BodyHash {
        match self {
            Self::Inline(hash, _) | Self::Logged(hash) => *hash,
        }
    }
}

/// Bodies in the database by ascending row, for the scrub.
pub(crate) fn inline_bodies(
    db: &Connection,
    after: i64,
    limit: i64,
) -> Result<Vec<(i64, StoredBody)>, MachineError> {
    let mut statement = db.prepare_cached(
        "SELECT b.id, b.hash, s.bytes FROM small_bodies s JOIN bodies b ON b.id = s.body
         WHERE s.body > ? ORDER BY s.body LIMIT ?",
    )?;
    let bodies = statement.query_map([after, limit], |row| {
        let bytes: Vec<u8> = row.get(2)?;
        Ok((row.get(0)?, StoredBody::Inline(BodyHash(row.get(1)?), bytes.into())))
    })?;
    Ok(bodies.collect::<Result<_, _>>()?)
}

/// What the whole store holds.
pub(crate) fn totals(db: &Connection) -> Result<crate::Totals, MachineError> {
    let mut totals = crate::Totals::default();
    let sql = "SELECT count(*), coalesce(sum(used_bytes), 0) FROM mailboxes";
    (totals.mailboxes, totals.bytes) =
        cached(db, sql)?.query_row([], |row| Ok((unsigned(row.get(0)?), unsigned(row.get(1)?))))?;
    totals.spooled =
        cached(db, "SELECT count(*) FROM spool")?.query_row([], |row| Ok(unsigned(row.get(0)?)))?;
    Ok(totals)
}
