//! Changes of settings, sources and secrets.

use rusqlite::params;

use super::{
    rows,
    step::{Res, Step},
};
use crate::{AccountId, ChangeRefusal, SettingChange, SourceId, SourceSpec, name, settings};

/// Largest secret in bytes.
const MAX_SECRET: usize = 1 << 20;
/// Largest source description in bytes, its certificates included.
const MAX_SOURCE: usize = 1 << 20;

fn invalid(text: impl Into<String>) -> ChangeRefusal {
    ChangeRefusal::Invalid(text.into())
}

impl Step<'_> {
    /// [`crate::Change::Set`].
    pub(super) fn set(&mut self, change: SettingChange) -> Res<()> {
        let Some(spec) = settings::spec(&change.name) else {
            return Err(ChangeRefusal::NotFound(format!("setting {}", change.name)).into());
        };
        self.effect.configuration = true;
        match change.value {
            None => {
                self.db.execute("delete from setting where name = ?", [&change.name])?;
                self.say(format!("set {} back to its default {}", change.name, spec.default));
            }
            Some(value) => {
                let value = spec.check(&value).map_err(ChangeRefusal::Invalid)?;
                let sql = "insert or replace into setting (name, value) values (?, ?)";
                self.db.execute(sql, params![change.name, value])?;
                self.say(format!("set {} to {value}", change.name));
            }
        }
        Ok(())
    }

    /// [`crate::Change::PutSource`].
    pub(super) fn put_source(&mut self, mut source: SourceSpec) -> Res<()> {
        if rows::domain(self.db, source.domain)?.is_none() {
            return Err(ChangeRefusal::NotFound("domain".into()).into());
        }
        source.name = source.name.trim().to_owned();
        let printable = !source.name.chars().any(char::is_control);
        if source.name.is_empty() || source.name.len() > 200 || !printable {
            return Err(ChangeRefusal::BadName(source.name).into());
        }
        source.directory_domain = name::domain(&source.directory_domain)
            .ok_or_else(|| ChangeRefusal::BadName(source.directory_domain.clone()))?;
        if source.removal_threshold_percent > 100 {
            return Err(invalid("the removal threshold is more than 100 percent").into());
        }
        if super::schema::encode(&source)?.len() > MAX_SOURCE {
            return Err(invalid(format!("the source is larger than {MAX_SOURCE} bytes")).into());
        }
        let before = rows::source(self.db, source.id)?;
        let verb = if before.is_some() { "changed" } else { "made" };
        self.say(format!("{verb} source {}", source.name));
        self.effect.configuration = true;
        Ok(rows::put(self.db, "source", source.id.0.as_bytes(), &source)?)
    }

    /// [`crate::Change::RemoveSource`].
    pub(super) fn remove_source(&mut self, id: SourceId) -> Res<()> {
        let Some(source) = rows::source(self.db, id)? else {
            return Err(ChangeRefusal::NotFound("source".into()).into());
        };
        let sql = "select id from account where source = ? order by id";
        for account in rows::ids(self.db, sql, [id.0.as_bytes()])? {
            self.disable_mapped(id, account, "the source was removed".into())?;
        }
        self.db.execute("delete from source where id = ?", [id.0.as_bytes()])?;
        self.effect.configuration = true;
        self.say(format!("removed source {}", source.name));
        Ok(())
    }

    /// [`crate::Change::SourceProgress`].
    pub(super) fn source_progress(
        &mut self,
        id: SourceId,
        watermark: Option<Vec<u8>>,
        problem: String,
    ) -> Res<()> {
        self.sync(crate::SyncBatch {
            source: id,
            upserts: Vec::new(),
            disables: Vec::<(AccountId, String)>::new(),
            watermark,
            problem: Some(problem),
        })
    }

    /// [`crate::Change::PutSecret`].
    pub(super) fn put_secret(&mut self, name: String, ciphertext: &[u8]) -> Res<()> {
        if name.is_empty() || name.len() > 200 || ciphertext.len() > MAX_SECRET {
            return Err(invalid("a secret has a name of 1 to 200 bytes and at most 1 MiB").into());
        }
        let sql = "insert or replace into secret (name, ciphertext) values (?, ?)";
        self.db.execute(sql, params![name, ciphertext])?;
        self.effect.configuration = true;
        self.say(format!("replaced the secret {name}"));
        Ok(())
    }
}
