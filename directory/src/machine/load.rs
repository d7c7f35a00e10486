//! From the database into the index.

use posthouse_cluster::{MachineError, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};

use super::{facts, rows, step::Effect, step::Stop, sync};
use crate::{
    Account, Update,
    index::{Configuration, Index},
    live::Live,
};

type Result<T> = std::result::Result<T, MachineError>;

/// The whole index.
pub(super) fn index(db: &Connection) -> Result<Index> {
    let mut index = Index::default();
    index.set_domains(rows::all(db, "domain")?);
    let mut statement = db.prepare("select data from account order by id")?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        let data = row.get_ref(0)?.as_blob().unwrap_or_default();
        index.put_account(super::schema::decode::<Account>("account", data)?);
    }
    index.set_configuration(configuration(db)?);
    index.moves =
        rows::all::<crate::MailboxMove>(db, "move")?.into_iter().map(|m| (m.id, m)).collect();
    let mut statement = db.prepare("select space, key, value, expires from ephemeral")?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        let value: Vec<u8> = row.get(2)?;
        let expires: i64 = row.get(3)?;
        index.put_ephemeral(row.get(0)?, row.get(1)?, value, Timestamp(expires as u64));
    }
    Ok(index)
}

fn configuration(db: &Connection) -> Result<Configuration> {
    let texts = |sql: &str| -> Result<Vec<(String, String)>> {
        let mut statement = db.prepare(sql)?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    };
    let mut secrets = Vec::new();
    let mut statement = db.prepare("select name, ciphertext from secret")?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        secrets.push((row.get(0)?, row.get::<_, Vec<u8>>(1)?));
    }
    let degraded = sync::degraded(db).map_err(|stop| match stop {
        Stop::Broken(error) => error,
        Stop::Refused(refusal) => MachineError::Corrupt(refusal.to_string()),
    })?;
    Ok(Configuration {
        settings: texts("select name, value from setting")?.into_iter().collect(),
        secrets: secrets.into_iter().map(|(name, text)| (name, text.into())).collect(),
        sources: rows::all::<crate::SourceSpec>(db, "source")?
            .into_iter()
            .map(Into::into)
            .collect(),
        nodes: rows::all(db, "node")?,
        stores: rows::all(db, "store")?,
        invites: rows::all(db, "invite")?,
        level: facts::level(db)?,
        cluster: facts::get(db, facts::Fact::ClusterId)?,
        collisions: degraded.into_iter().map(|d| d.collision).collect(),
    })
}

/// Brings the index up to date with what commands changed, then tells those who wait.
pub(super) fn follow(db: &Connection, live: &Live, effect: &Effect) -> Result<()> {
    if effect.domains {
        // names of domains are part of everything: rare, so the simple way
        let fresh = index(db)?;
        *live.index.write() = fresh;
    } else {
        follow_parts(db, live, effect)?;
    }
    for id in &effect.accounts {
        live.tell(Update::Account(*id));
    }
    if effect.domains || effect.configuration {
        live.tell(Update::Configuration);
    }
    if !effect.moves.is_empty() {
        live.tell(Update::Moves);
    }
    let spaces: std::collections::BTreeSet<&String> =
        effect.ephemerals.iter().map(|(space, _)| space).collect();
    for space in spaces {
        live.tell(Update::Ephemeral(space.clone()));
    }
    Ok(())
}

fn follow_parts(db: &Connection, live: &Live, effect: &Effect) -> Result<()> {
    let mut accounts = Vec::with_capacity(effect.accounts.len());
    for id in &effect.accounts {
        accounts.push((*id, rows::account(db, *id)?));
    }
    let mut ephemerals = Vec::with_capacity(effect.ephemerals.len());
    for (space, key) in &effect.ephemerals {
        let sql = "select value, expires from ephemeral where space = ? and key = ?";
        let row: Option<(Vec<u8>, i64)> = db
            .prepare_cached(sql)?
            .query_row(params![space, key], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        ephemerals.push((space.clone(), key.clone(), row));
    }
    let configuration = effect.configuration.then(|| configuration(db)).transpose()?;
    let mut moves = Vec::with_capacity(effect.moves.len());
    for id in &effect.moves {
        moves.push((*id, rows::mailbox_move(db, *id)?));
    }
    let mut index = live.index.write();
    for (id, account) in accounts {
        match account {
            Some(account) => index.put_account(account),
            None => index.remove_account(id),
        }
    }
    for (space, key, row) in ephemerals {
        match row {
            Some((value, expires)) => {
                index.put_ephemeral(space, key, value, Timestamp(expires as u64));
            }
            None => index.remove_ephemeral(&space, &key),
        }
    }
    for (id, item) in moves {
        match item {
            Some(item) => drop(index.moves.insert(id, item)),
            None => drop(index.moves.remove(&id)),
        }
    }
    if let Some(configuration) = configuration {
        index.set_configuration(configuration);
    }
    Ok(())
}
