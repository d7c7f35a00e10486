//! Search: first by what the index has, then, for those left undecided, by the message itself.

use rusqlite::{Connection, OptionalExtension, params};

use super::{
    StoredBody, stored,
    text::{MessageText, value_contains},
};
use crate::{
    Flags, MailEnvelope, ModSeq, Query, Refusal, Uid, UidSet, flags,
    outcome::Stop,
    rows::{FolderRow, ItemRow, cached, signed},
};

/// What the index says.
#[derive(Default)]
pub(crate) struct Candidates {
    /// These match.
    pub found: Vec<(Uid, ModSeq)>,
    /// These may, depending on the message.
    pub open: Vec<Uid>,
}

/// Goes over the items of a folder, reading only what the query leaves possible.
pub(crate) fn candidates(
    db: &Connection,
    folder: &FolderRow,
    query: &Query,
) -> Result<Candidates, Stop> {
    check(query)?;
    let mut result = Candidates::default();
    let mut add = |item: &ItemRow| match matches(query, item, &mut |_| None) {
        Some(true) => result.found.push((item.uid, item.modseq)),
        Some(false) => {}
        None => result.open.push(item.uid),
    };
    let all = UidSet(vec![(1, Uid::MAX)]);
    let plan = plan(query);
    let mut statement = cached(
        db,
        &format!(
            "SELECT {} FROM items {} WHERE folder = ?1 AND uid BETWEEN ?2 AND ?3 {} ORDER BY uid",
            ItemRow::COLUMNS,
            plan.index,
            plan.condition
        ),
    )?;
    for (first, last) in UidSet::from_ranges(plan.uids.unwrap_or(&all).0.iter().copied()).0 {
        let mut rows = statement.query(params![signed(folder.folder.id.0), first, last])?;
        while let Some(row) = rows.next()? {
            add(&ItemRow::read(row)?);
        }
    }
    if names_subject(query) {
        by_subject(db, folder, query, &mut result)?;
    }
    Ok(result)
}

fn is_subject(query: &Query) -> bool {
    matches!(query, Query::Header(name, _) if name.eq_ignore_ascii_case("subject"))
}

/// Recursion ends: the depth has been checked.
fn names_subject(query: &Query) -> bool {
    match query {
        Query::And(parts) | Query::Or(parts) => parts.iter().any(names_subject),
        Query::Not(inner) => names_subject(inner),
        other => is_subject(other),
    }
}

/// Decides what can be decided by the subject, which is at hand without the message. It is the envelope's that counts
/// (RFC 9051 §6.4.4).
fn by_subject(
    db: &Connection,
    folder: &FolderRow,
    query: &Query,
    result: &mut Candidates,
) -> Result<(), Stop> {
    let mut statement = cached(
        db,
        &format!(
            "SELECT {}, bytes FROM items JOIN structures USING (body) WHERE folder = ? AND uid = ?",
            ItemRow::COLUMNS
        ),
    )?;
    for uid in std::mem::take(&mut result.open) {
        let known = statement
            .query_row(params![signed(folder.folder.id.0), uid], |row| {
                Ok((ItemRow::read(row)?, subject(row.get_ref(8)?.as_blob()?)))
            })
            .optional()?;
        let Some((item, Some(subject))) = known else {
            result.open.push(uid);
            continue;
        };
        let mut ask = |leaf: &Query| match leaf {
            Query::Header(_, value) if is_subject(leaf) => {
                Some(value_contains(subject.as_bytes(), value))
            }
            _ => None,
        };
        match matches(query, &item, &mut ask) {
            Some(true) => result.found.push((uid, item.modseq)),
            Some(false) => {}
            None => result.open.push(uid),
        }
    }
    Ok(())
}

/// The subject in an encoded structure, which begins with the envelope. `None` too where it was too long to be kept.
fn subject(structure: &[u8]) -> Option<String> {
    postcard::take_from_bytes::<MailEnvelope>(structure).ok()?.0.subject
}

/// What narrows the scan: criteria that everything found must meet.
#[derive(Default)]
struct Plan<'a> {
    uids: Option<&'a UidSet>,
    /// A partial index, and its condition as it is declared.
    index: &'static str,
    condition: &'static str,
}

fn plan(query: &Query) -> Plan<'_> {
    let mut plan = Plan::default();
    let parts = match query {
        Query::And(parts) => parts.as_slice(),
        single => std::slice::from_ref(single),
    };
    for part in parts {
        match part {
            Query::Uids(uids) if plan.uids.is_none() => plan.uids = Some(uids),
            Query::Not(inner) if **inner == Query::System(Flags::SEEN) => {
                plan.index = "INDEXED BY items_unseen";
                plan.condition = "AND flags & 1 = 0";
            }
            Query::System(flags) if flags & Flags::DELETED != 0 && plan.condition.is_empty() => {
                plan.index = "INDEXED BY items_deleted";
                plan.condition = "AND flags & 8 <> 0";
            }
            _ => {}
        }
    }
    plan
}

/// Item and body of an undecided uid, for [`examine`].
pub(crate) fn open_item(
    db: &Connection,
    folder: &FolderRow,
    uid: Uid,
) -> Result<Option<(ItemRow, StoredBody)>, Stop> {
    let sql = format!("SELECT {} FROM items WHERE folder = ? AND uid = ?", ItemRow::COLUMNS);
    let item = cached(db, &sql)?
        .query_row(params![signed(folder.folder.id.0), uid], ItemRow::read)
        .optional()?;
    item.map(|item| stored(db, item.body).map(|body| (item, body))).transpose()
}

/// Whether an item with this message matches.
pub(crate) fn examine(query: &Query, item: &ItemRow, message: &[u8]) -> bool {
    let mut text = MessageText::new(message);
    let mut ask = |leaf: &Query| match leaf {
        Query::Header(name, value) => Some(text.header_contains(name, value)),
        Query::Body(words) => Some(text.body_contains(words)),
        Query::Text(words) => Some(text.contains(words)),
        _ => None,
    };
    matches(query, item, &mut ask).unwrap_or(false)
}

/// Answers what depends on the message; `None` if it cannot.
type Ask<'a> = dyn FnMut(&Query) -> Option<bool> + 'a;

/// `None`: that depends on what `ask` does not know.
fn matches(query: &Query, item: &ItemRow, ask: &mut Ask<'_>) -> Option<bool> {
    let seconds = |at: posthouse_cluster::Timestamp| at.seconds() as i64;
    let sent = || item.sent.unwrap_or_else(|| seconds(item.received));
    Some(match query {
        Query::All => true,
        Query::And(parts) => return every(parts, item, ask, true),
        Query::Or(parts) => return every(parts, item, ask, false),
        Query::Not(inner) => !matches(inner, item, ask)?,
        Query::Uids(uids) => uids.contains(item.uid),
        Query::System(flags) => item.flags & flags == *flags,
        Query::Keyword(keyword) => {
            let keywords = item.keywords.as_deref().unwrap_or_default();
            keywords.split(' ').any(|word| flags::same(word, keyword))
        }
        Query::Larger(size) => item.size > *size,
        Query::Smaller(size) => item.size < *size,
        Query::ReceivedSince(at) => item.received >= *at,
        Query::ReceivedBefore(at) => item.received < *at,
        Query::SentSince(at) => sent() >= seconds(*at),
        Query::SentBefore(at) => sent() < seconds(*at),
        Query::ModSeq(modseq) => item.modseq >= *modseq,
        Query::Header(..) | Query::Body(_) | Query::Text(_) => return ask(query),
    })
}

/// All of them (`unit` true) or any (false); one that decides needs no other.
fn every(parts: &[Query], item: &ItemRow, ask: &mut Ask<'_>, unit: bool) -> Option<bool> {
    let mut open = false;
    for part in parts {
        match matches(part, item, ask) {
            Some(value) if value != unit => return Some(value),
            Some(_) => {}
            None => open = true,
        }
    }
    (!open).then_some(unit)
}

/// Whether the query keeps within its bounds. Every criterion that lists others counts as one too.
fn check(query: &Query) -> Result<(), Refusal> {
    let mut nodes = 0;
    let mut pending = vec![(query, 1)];
    while let Some((query, depth)) = pending.pop() {
        nodes += 1;
        if depth > Query::MAX_DEPTH || nodes > Query::MAX_NODES {
            return Err(Refusal::Limit("search criteria".into()));
        }
        match query {
            Query::And(parts) | Query::Or(parts) => {
                pending.extend(parts.iter().map(|part| (part, depth + 1)));
            }
            Query::Not(inner) => pending.push((inner, depth + 1)),
            _ => {}
        }
    }
    Ok(())
}
