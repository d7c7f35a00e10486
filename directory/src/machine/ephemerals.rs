//! Sign-on state that expires. Bounded in size, number and time, whatever is put.

use rusqlite::{OptionalExtension, params};

use super::step::{Res, Step};
use crate::ChangeRefusal;

/// Most pieces of one space. When it is full, the one that expires first gives way.
pub(crate) const MAX_PER_SPACE: i64 = 200_000;
/// Most spaces.
const MAX_SPACES: i64 = 64;
/// Longest name of a space in bytes.
const MAX_SPACE: usize = 64;
/// Longest key in bytes.
const MAX_KEY: usize = 512;
/// Largest value in bytes.
const MAX_VALUE: usize = 64 * 1024;
/// Most expired ones that are forgotten with one command.
const MAX_FORGOTTEN: usize = 256;

impl Step<'_> {
    /// [`crate::Change::PutEphemeral`].
    pub(super) fn put_ephemeral(
        &mut self,
        space: String,
        key: Vec<u8>,
        value: Option<Vec<u8>>,
        expires: u64,
        only_new: bool,
    ) -> Res<()> {
        self.forget_expired()?;
        let size = value.as_ref().map_or(0, Vec::len);
        if space.is_empty() || space.len() > MAX_SPACE || key.len() > MAX_KEY || size > MAX_VALUE {
            return Err(ChangeRefusal::Invalid("the ephemeral is too large".into()).into());
        }
        let present = self.is_present(&space, &key)?;
        if present && only_new {
            return Err(ChangeRefusal::Exists.into());
        }
        if present {
            self.forget(&space, &key)?;
        }
        let Some(value) = value else { return Ok(()) };
        self.make_room(&space)?;
        let expires = i64::try_from(expires).unwrap_or(i64::MAX);
        self.db
            .prepare_cached(
                "insert into ephemeral (space, key, value, expires) values (?, ?, ?, ?)",
            )?
            .execute(params![space, key, value, expires])?;
        self.db
            .prepare_cached(
                "insert into ephemeral_count (space, number) values (?, 1)
                 on conflict (space) do update set number = number + 1",
            )?
            .execute([&space])?;
        self.effect.ephemerals.insert((space, key));
        Ok(())
    }

    fn is_present(&self, space: &str, key: &[u8]) -> Res<bool> {
        let sql = "select 1 from ephemeral where space = ? and key = ?";
        let found =
            self.db.prepare_cached(sql)?.query_row(params![space, key], |_| Ok(())).optional();
        Ok(found?.is_some())
    }

    fn forget(&mut self, space: &str, key: &[u8]) -> Res<()> {
        let sql = "delete from ephemeral where space = ? and key = ?";
        let gone = self.db.prepare_cached(sql)?.execute(params![space, key])?;
        self.db
            .prepare_cached("update ephemeral_count set number = number - ? where space = ?")?
            .execute(params![gone as i64, space])?;
        self.effect.ephemerals.insert((space.to_owned(), key.to_vec()));
        Ok(())
    }

    /// Forgets what has expired by the time of the command.
    fn forget_expired(&mut self) -> Res<()> {
        let now = i64::try_from(self.at.0).unwrap_or(i64::MAX);
        let sql = "select space, key from ephemeral where expires <= ?
                   order by expires, space, key limit ?";
        let expired: Vec<(String, Vec<u8>)> = {
            let mut statement = self.db.prepare_cached(sql)?;
            let rows = statement.query_map(params![now, MAX_FORGOTTEN as i64], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?;
            rows.collect::<rusqlite::Result<_>>()?
        };
        for (space, key) in expired {
            self.forget(&space, &key)?;
        }
        Ok(())
    }

    fn make_room(&mut self, space: &str) -> Res<()> {
        let sql = "select number from ephemeral_count where space = ?";
        let number: Option<i64> =
            self.db.prepare_cached(sql)?.query_row([space], |row| row.get(0)).optional()?;
        if number.is_none() {
            let sql = "select count(*) from ephemeral_count";
            let spaces: i64 = self.db.query_row(sql, [], |row| row.get(0))?;
            if spaces >= MAX_SPACES {
                return Err(ChangeRefusal::Invalid("too many spaces".into()).into());
            }
        }
        if number.unwrap_or(0) < MAX_PER_SPACE {
            return Ok(());
        }
        let sql = "select key from ephemeral where space = ? order by expires, key limit 1";
        let first: Vec<u8> = self.db.query_row(sql, [space], |row| row.get(0))?;
        self.forget(space, &first)
    }
}
