//! One hash for all that a folder is: equal on both sides, or the mailbox is not switched.

use rusqlite::Connection;

use super::{super::row, export::folder_state};
use crate::{
    Exported, FolderId, MailboxId, Response,
    outcome::Stop,
    read,
    rows::{FolderRow, cached},
};

/// Hashes of these folders; those that do not exist are left out.
pub(crate) fn digests(
    db: &Connection,
    mailbox: MailboxId,
    folders: &[FolderId],
) -> Result<Response, Stop> {
    let mailbox = read::mailbox(db, mailbox)?;
    let mut digests = Vec::with_capacity(folders.len());
    for id in folders {
        if let Some(folder) = FolderRow::by_id(db, &mailbox, *id)? {
            let hash = digest(db, &folder)?;
            digests.push((folder_state(folder), hash));
        }
    }
    Ok(Response::Exported(Exported::Digests(digests)))
}

fn digest(db: &Connection, folder: &FolderRow) -> Result<[u8; 32], Stop> {
    let mut hash = blake3::Hasher::new();
    hash.update(&postcard::to_stdvec(&folder_state(folder.clone()))?);
    let mut statement = cached(
        db,
        "SELECT i.uid, i.modseq, i.flags, i.size, i.received, coalesce(i.sent, 0), i.keywords, b.hash
         FROM items i JOIN bodies b ON b.id = i.body WHERE i.folder = ? ORDER BY i.uid",
    )?;
    let mut rows = statement.query([row(folder)])?;
    while let Some(row) = rows.next()? {
        for column in 0..6 {
            hash.update(&row.get::<_, i64>(column)?.to_le_bytes());
        }
        let keywords = row.get_ref(6)?.as_str_or_null().ok().flatten().unwrap_or_default();
        hash.update(&(keywords.len() as u64).to_le_bytes());
        hash.update(keywords.as_bytes());
        hash.update(row.get_ref(7)?.as_blob().unwrap_or_default());
    }
    let mut statement = cached(
        db,
        "SELECT modseq, first, last FROM tombstones WHERE folder = ? ORDER BY modseq, first",
    )?;
    let mut rows = statement.query([self::row(folder)])?;
    while let Some(row) = rows.next()? {
        for column in 0..3 {
            hash.update(&row.get::<_, i64>(column)?.to_le_bytes());
        }
    }
    Ok(*hash.finalize().as_bytes())
}
