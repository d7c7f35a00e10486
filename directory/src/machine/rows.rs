//! Reading and writing objects as rows. No decisions here.

use posthouse_cluster::MachineError;
use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use super::schema::{Row, decode, encode};
use crate::{
    Account, AccountId, Domain, DomainId, Kind, Origin, Rights, SourceId,
    claim::{Claim, DomainNames},
};

type Result<T> = std::result::Result<T, MachineError>;

/// Number of a kind in the `kind` column.
fn kind_number(kind: &Kind) -> u8 {
    match kind {
        Kind::User(_) => 1,
        Kind::Contact(_) => 2,
        Kind::Group(_) => 3,
        Kind::Alias(_) => 4,
    }
}

/// Rights that an account itself has or gives.
pub(crate) fn own_rights(account: &Account) -> Rights {
    match &account.kind {
        Kind::User(user) => user.rights,
        Kind::Group(group) => group.rights,
        Kind::Contact(_) | Kind::Alias(_) => Rights::None,
    }
}

fn object<T: Row>(
    db: &Connection,
    table: &str,
    sql: &str,
    key: impl rusqlite::ToSql,
) -> Result<Option<T>> {
    let row: Option<Vec<u8>> =
        db.prepare_cached(sql)?.query_row([key], |row| row.get(0)).optional()?;
    row.map(|data| decode(table, &data)).transpose()
}

/// All objects of a table, in the order of their keys.
pub(crate) fn all<T: Row>(db: &Connection, table: &str) -> Result<Vec<T>> {
    let mut statement = db.prepare(&format!("select data from {table} order by id"))?;
    let mut rows = statement.query([])?;
    let mut objects = Vec::new();
    while let Some(row) = rows.next()? {
        objects.push(decode(table, row.get_ref(0)?.as_blob().unwrap_or_default())?);
    }
    Ok(objects)
}

/// Writes an object with a single key column `id`.
pub(crate) fn put<T: Row>(
    db: &Connection,
    table: &str,
    id: impl rusqlite::ToSql,
    value: &T,
) -> Result<()> {
    let sql = format!("insert or replace into {table} (id, data) values (?, ?)");
    db.prepare_cached(&sql)?.execute(params![id, encode(value)?])?;
    Ok(())
}

pub(crate) fn domain(db: &Connection, id: DomainId) -> Result<Option<Domain>> {
    object(db, "domain", "select data from domain where id = ?", id.0.as_bytes())
}

pub(crate) fn account(db: &Connection, id: AccountId) -> Result<Option<Account>> {
    object(db, "account", "select data from account where id = ?", id.0.as_bytes())
}

pub(crate) fn source(db: &Connection, id: SourceId) -> Result<Option<crate::SourceSpec>> {
    object(db, "source", "select data from source where id = ?", id.0.as_bytes())
}

pub(crate) fn node(db: &Connection, id: u64) -> Result<Option<crate::NodeInfo>> {
    let Ok(id) = i64::try_from(id) else { return Ok(None) };
    object(db, "node", "select data from node where id = ?", id)
}

pub(crate) fn store(db: &Connection, id: crate::StoreId) -> Result<Option<crate::StoreInfo>> {
    let Ok(id) = i64::try_from(id.0) else { return Ok(None) };
    object(db, "store", "select data from store where id = ?", id)
}

pub(crate) fn invite(db: &Connection, id: &crate::InviteId) -> Result<Option<crate::Invite>> {
    object(db, "invite", "select data from invite where id = ?", id.as_slice())
}

pub(crate) fn mailbox_move(db: &Connection, id: u128) -> Result<Option<crate::MailboxMove>> {
    object(db, "move", "select data from move where id = ?", id.to_be_bytes().as_slice())
}

/// Whether a table has any row.
pub(crate) fn any(db: &Connection, table: &str) -> Result<bool> {
    let sql = format!("select exists (select 1 from {table})");
    Ok(db.prepare_cached(&sql)?.query_row([], |row| row.get(0))?)
}

/// An id column.
fn id(data: &[u8]) -> Result<Uuid> {
    Uuid::from_slice(data).map_err(|e| MachineError::Corrupt(format!("id column: {e}")))
}

/// Ids from the first column of a query.
pub(crate) fn ids(
    db: &Connection,
    sql: &str,
    params: impl rusqlite::Params,
) -> Result<Vec<AccountId>> {
    let mut statement = db.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(AccountId(id(row.get_ref(0)?.as_blob().unwrap_or_default())?));
    }
    Ok(found)
}

/// The account of a source by its key there.
pub(crate) fn mapped(db: &Connection, source: SourceId, key: &[u8]) -> Result<Option<AccountId>> {
    let sql = "select id from account where source = ? and source_key = ?";
    Ok(ids(db, sql, params![source.0.as_bytes(), key])?.into_iter().next())
}

/// Who holds a claim.
pub(crate) fn claimant(db: &Connection, claim: &Claim) -> Result<Option<AccountId>> {
    let sql = "select account from claim where space = ? and key = ?";
    Ok(ids(db, sql, params![claim.space as u8, claim.key])?.into_iter().next())
}

/// Writes the account's row and those of its members. Claims are the caller's.
pub(crate) fn put_account(db: &Connection, account: &Account) -> Result<()> {
    let (source, key) = match &account.origin {
        Origin::Local => (None, None),
        Origin::Mapped { source, key, .. } => (Some(*source.0.as_bytes()), Some(key.as_slice())),
    };
    db.prepare_cached(
        "insert or replace into account (id, domain, kind, rights, source, source_key, data)
         values (?, ?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        account.id.0.as_bytes(),
        account.domain.0.as_bytes(),
        kind_number(&account.kind),
        own_rights(account) as u8,
        source,
        key,
        encode(account)?
    ])?;
    if let Kind::Group(group) = &account.kind {
        put_members(db, account.id, &group.members)?;
    }
    super::mailboxes::note(db, account)
}

fn put_members(db: &Connection, group: AccountId, members: &[AccountId]) -> Result<()> {
    let present = ids(db, "select member from member where grp = ?", [group.0.as_bytes()])?;
    let present: std::collections::BTreeSet<_> = present.into_iter().collect();
    let wanted: std::collections::BTreeSet<_> = members.iter().copied().collect();
    for gone in present.difference(&wanted) {
        db.prepare_cached("delete from member where member = ? and grp = ?")?
            .execute(params![gone.0.as_bytes(), group.0.as_bytes()])?;
    }
    for new in wanted.difference(&present) {
        db.prepare_cached("insert into member (member, grp) values (?, ?)")?
            .execute(params![new.0.as_bytes(), group.0.as_bytes()])?;
    }
    Ok(())
}

/// Removes everything that is kept of an account, its claims and memberships included.
pub(crate) fn remove_account(db: &Connection, account: AccountId) -> Result<()> {
    super::mailboxes::forget(db, account)?;
    for sql in [
        "delete from account where id = ?",
        "delete from claim where account = ?",
        "delete from member where grp = ?",
        "delete from member where member = ?",
        "delete from photo where account = ?",
        "delete from kept where account = ?",
        "delete from degraded where account = ?",
    ] {
        db.prepare_cached(sql)?.execute([account.0.as_bytes()])?;
    }
    Ok(())
}

/// Addresses of a mapped account that do not come from its source.
pub(crate) fn kept(db: &Connection, account: AccountId) -> Result<Vec<String>> {
    let mut statement =
        db.prepare_cached("select address from kept where account = ? order by address")?;
    let rows = statement.query_map([account.0.as_bytes()], |row| row.get(0))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Replaces [`kept`].
pub(crate) fn put_kept(db: &Connection, account: AccountId, addresses: &[String]) -> Result<()> {
    db.prepare_cached("delete from kept where account = ?")?.execute([account.0.as_bytes()])?;
    for address in addresses {
        db.prepare_cached("insert or ignore into kept (account, address) values (?, ?)")?
            .execute(params![account.0.as_bytes(), address])?;
    }
    Ok(())
}

impl DomainNames for Connection {
    fn domain_named(&self, name: &str) -> Option<DomainId> {
        // an error shows again, and is reported, with the next statement of the same command
        let sql = "select domain from domain_name where name = ?";
        let data: Vec<u8> =
            self.prepare_cached(sql).ok()?.query_row([name], |row| row.get(0)).ok()?;
        Uuid::from_slice(&data).ok().map(DomainId)
    }
}
