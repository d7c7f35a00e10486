//! What a move reads, each on one state of the database.

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, params};

use super::{
    super::{deliveries, row},
    arriving, digest, open_departures,
};
use crate::{
    BodyHash, Export, Exported, FolderId, FolderState, MailboxId, MailboxState, MoveStep,
    MovedItem, Position, RequestId, Response,
    outcome::Stop,
    read,
    rows::{FolderRow, ItemRow, cached, signed, unsigned},
};

/// Remembered answers about one mailbox that go along, the newest ones: nobody asks again for what
/// lies so many changes back.
const ANSWERS: i64 = 1000;
/// Bytes of remembered answers in one portion.
const ANSWER_BYTES: usize = 4 << 20;

/// The answer to an [`Export`].
pub(crate) fn export(db: &Connection, what: Export) -> Result<Response, Stop> {
    let exported = match what {
        Export::Departures => Exported::Departures(open_departures(db)?),
        Export::Arrival { id } => Exported::Arrival(arriving::arrival(db, id)?),
        Export::Mailbox { mailbox } => whole(db, mailbox)?,
        Export::Items { mailbox, folder, after } => items(db, mailbox, folder, after)?,
        Export::Tombstones { mailbox, folder, after } => tombstones(db, mailbox, folder, after)?,
        Export::Unknown { bodies } => unknown(db, bodies)?,
        Export::Answers { mailbox, after } => answers(db, mailbox, after)?,
        Export::Deliveries { mailbox, after } => {
            Exported::Deliveries(deliveries::of_mailbox(db, mailbox, after, MoveStep::DELIVERIES)?)
        }
        Export::Digests { mailbox, folders } => return digest::digests(db, mailbox, &folders),
    };
    Ok(Response::Exported(exported))
}

pub(super) fn folder_state(row: FolderRow) -> FolderState {
    FolderState { folder: row.folder, horizon: row.horizon, tombstones: row.tombstones }
}

fn whole(db: &Connection, mailbox: MailboxId) -> Result<Exported, Stop> {
    let mailbox = read::mailbox(db, mailbox)?;
    let folders = FolderRow::all(db, &mailbox)?.into_iter().map(folder_state).collect();
    let state = MailboxState {
        quota: mailbox.quota,
        usage: mailbox.usage,
        modseq: mailbox.modseq,
        next_validity: mailbox.next_validity,
    };
    Ok(Exported::Mailbox { state, folders })
}

fn items(
    db: &Connection,
    mailbox: MailboxId,
    folder: FolderId,
    after: Position,
) -> Result<Exported, Stop> {
    let folder = read::folder(db, mailbox, folder)?;
    let columns: Vec<_> = ItemRow::COLUMNS.split(", ").map(|name| format!("i.{name}")).collect();
    let mut statement = cached(
        db,
        &format!(
            "SELECT {}, b.hash FROM items i JOIN bodies b ON b.id = i.body
             WHERE i.folder = ?1 AND (i.modseq, i.uid) > (?2, ?3)
             ORDER BY i.modseq, i.uid LIMIT ?4",
            columns.join(", ")
        ),
    )?;
    let limit = MoveStep::PORTION as i64;
    let found = statement.query_map(
        params![row(&folder), signed(after.modseq), after.uid, limit],
        |row| {
            let item = ItemRow::read(row)?;
            Ok(MovedItem {
                uid: item.uid,
                modseq: item.modseq,
                flags: item.flags(),
                received: item.received,
                sent: item.sent,
                size: item.size,
                body: BodyHash(row.get(8)?),
            })
        },
    )?;
    Ok(Exported::Items(found.collect::<Result<_, _>>()?))
}

fn tombstones(
    db: &Connection,
    mailbox: MailboxId,
    folder: FolderId,
    after: Position,
) -> Result<Exported, Stop> {
    let folder = read::folder(db, mailbox, folder)?;
    let mut statement = cached(
        db,
        "SELECT modseq, first, last FROM tombstones
         WHERE folder = ?1 AND (modseq, first) > (?2, ?3) ORDER BY modseq, first LIMIT ?4",
    )?;
    let limit = MoveStep::PORTION as i64;
    let found = statement
        .query_map(params![row(&folder), signed(after.modseq), after.uid, limit], |row| {
            Ok((unsigned(row.get(0)?), row.get(1)?, row.get(2)?))
        })?;
    let ranges = found.collect::<Result<_, _>>()?;
    Ok(Exported::Tombstones { ranges, horizon: folder.horizon })
}

fn unknown(db: &Connection, bodies: Vec<BodyHash>) -> Result<Exported, Stop> {
    let mut statement = cached(db, "SELECT 1 FROM bodies WHERE hash = ?")?;
    let mut unknown = Vec::new();
    for body in bodies {
        if !statement.exists([&body.0])? {
            unknown.push(body);
        }
    }
    Ok(Exported::Unknown(unknown))
}

fn answers(db: &Connection, mailbox: MailboxId, after: u64) -> Result<Exported, Stop> {
    read::mailbox(db, mailbox)?;
    let name = mailbox.0.as_bytes();
    let floor: Option<i64> = cached(
        db,
        "SELECT number FROM requests WHERE mailbox = ? ORDER BY number DESC LIMIT 1 OFFSET ?",
    )?
    .query_row(params![name, ANSWERS], |row| row.get(0))
    .optional()?;
    let after = signed(after).max(floor.unwrap_or(0));
    let mut statement = cached(
        db,
        "SELECT number, id, answer FROM requests WHERE mailbox = ? AND number > ?
         ORDER BY number LIMIT ?",
    )?;
    let mut rows = statement.query(params![name, after, MoveStep::PORTION as i64])?;
    let (mut answers, mut until, mut bytes, mut more) = (Vec::new(), unsigned(after), 0, false);
    while let Some(row) = rows.next()? {
        let answer: Vec<u8> = row.get(2)?;
        if bytes > 0 && bytes + answer.len() > ANSWER_BYTES {
            more = true;
            break;
        }
        bytes += answer.len();
        until = unsigned(row.get(0)?);
        answers.push((RequestId(u128::from_be_bytes(row.get(1)?)), Bytes::from(answer)));
    }
    more |= answers.len() >= MoveStep::PORTION;
    Ok(Exported::Answers { answers, until, more })
}
