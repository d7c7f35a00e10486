//! Which store each mailbox is in, and how many each has.

use posthouse_cluster::MachineError;
use rusqlite::{Connection, OptionalExtension, params};

use super::{
    facts::{self, Fact},
    rows,
    step::{Res, Step},
};
use crate::{
    Account, AccountId, ChangeRefusal, Kind, NodeInfo, NodeState, StoreId, StoreInfo, User,
};

type Result<T> = std::result::Result<T, MachineError>;

/// Store of users that name none: that of the first node.
pub(crate) const FIRST: StoreId = StoreId(1);

/// The number of a store in a column.
pub(crate) fn column(store: StoreId) -> Result<i64> {
    i64::try_from(store.0).map_err(|_| MachineError::Corrupt(format!("store {}", store.0)))
}

/// Store of a user's mailbox.
pub(crate) fn store_of(user: &User) -> StoreId {
    user.store.unwrap_or(FIRST)
}

/// Brings the tables up to date with an account that is written.
pub(crate) fn note(db: &Connection, account: &Account) -> Result<()> {
    let Kind::User(user) = &account.kind else { return Ok(()) };
    let store = column(store_of(user))?;
    match recorded(db, account.id)? {
        Some(known) if known == store => return Ok(()),
        Some(known) => count(db, known, -1)?,
        None => {}
    }
    count(db, store, 1)?;
    db.prepare_cached("insert or replace into mailbox (account, store) values (?, ?)")?
        .execute(params![account.id.0.as_bytes(), store])?;
    Ok(())
}

/// Forgets a removed account.
pub(crate) fn forget(db: &Connection, account: AccountId) -> Result<()> {
    if let Some(store) = recorded(db, account)? {
        count(db, store, -1)?;
        db.prepare_cached("delete from mailbox where account = ?")?
            .execute([account.0.as_bytes()])?;
    }
    Ok(())
}

fn recorded(db: &Connection, account: AccountId) -> Result<Option<i64>> {
    let sql = "select store from mailbox where account = ?";
    Ok(db.prepare_cached(sql)?.query_row([account.0.as_bytes()], |row| row.get(0)).optional()?)
}

fn count(db: &Connection, store: i64, by: i64) -> Result<()> {
    let sql = "insert into mailbox_count (store, number) values (?, ?)
               on conflict (store) do update set number = number + excluded.number";
    db.prepare_cached(sql)?.execute(params![store, by])?;
    Ok(())
}

/// How many mailboxes a store has.
pub(crate) fn number(db: &Connection, store: StoreId) -> Result<u64> {
    let sql = "select number from mailbox_count where store = ?";
    let row: Option<i64> =
        db.prepare_cached(sql)?.query_row([column(store)?], |row| row.get(0)).optional()?;
    Ok(row.unwrap_or(0).max(0).unsigned_abs())
}

/// Fills the tables of a database that was made before there were any. Once.
pub(crate) fn fill(db: &mut Connection) -> Result<()> {
    if facts::get(db, Fact::Mailboxes)?.is_some() {
        return Ok(());
    }
    let transaction = db.transaction()?;
    let users = rows::ids(&transaction, "select id from account where kind = 1 order by id", [])?;
    for id in users {
        if let Some(account) = rows::account(&transaction, id)? {
            note(&transaction, &account)?;
        }
    }
    facts::put(&transaction, Fact::Mailboxes, 1)?;
    Ok(transaction.commit()?)
}

impl Step<'_> {
    /// Gives a new user a store, if it names none or one that is out of use: the least loaded one that takes new
    /// mailboxes, in `site` if that has one.
    pub(super) fn place(&self, account: &mut Account, site: Option<&str>) -> Res<()> {
        let Kind::User(user) = &mut account.kind else { return Ok(()) };
        if facts::level(self.db)? < 2 {
            return Ok(());
        }
        let is_out_of_use = match user.store {
            Some(store) => rows::store(self.db, store)?.is_some_and(|store| !store.takes()),
            None => true,
        };
        if is_out_of_use {
            user.store = self.least_loaded(site)?;
        }
        Ok(())
    }

    /// The store with the fewest mailboxes of those that take new ones; of equal ones the first.
    pub(super) fn least_loaded(&self, site: Option<&str>) -> Res<Option<StoreId>> {
        let nodes: Vec<NodeInfo> = rows::all(self.db, "node")?;
        let home = |store: &StoreInfo| nodes.iter().find(|node| node.id == store.home);
        let mut best: Option<((bool, bool, u64), StoreId)> = None;
        for store in rows::all::<StoreInfo>(self.db, "store")? {
            let is_there = home(&store).is_none_or(|node| node.is_member());
            if !store.takes() || !is_there {
                continue;
            }
            let draining = home(&store).is_some_and(|node| node.state == NodeState::Draining);
            let elsewhere =
                site.is_some_and(|site| home(&store).is_none_or(|node| node.site != site));
            let key = (draining, elsewhere, number(self.db, store.id)?);
            if best.as_ref().is_none_or(|(known, _)| key < *known) {
                best = Some((key, store.id));
            }
        }
        Ok(best.map(|(_, store)| store))
    }

    /// [`crate::Change::SetStore`].
    pub(super) fn set_store(&mut self, id: AccountId, store: StoreId) -> Res<()> {
        let target = self.usable_store(store)?;
        let before = self.existing(id)?;
        let mut account = before.clone();
        let Kind::User(user) = &mut account.kind else {
            let text = "only users have a mailbox";
            return Err(ChangeRefusal::Invalid(text.into()).into());
        };
        if store_of(user) == store {
            return Ok(());
        }
        user.store = Some(target.id);
        self.write(Some(&before), account)
    }
}
