//! Changes of domains.

use rusqlite::{Connection, params};

use super::{
    rows,
    step::{Res, Step},
};
use crate::{Account, ChangeRefusal, Domain, DomainId, claim::DomainNames, name};

/// Most other names of one domain.
const MAX_ALIASES: usize = 100;

/// Name of an account with its domain.
pub(crate) fn qualified(db: &Connection, account: &Account) -> Res<String> {
    let host = rows::domain(db, account.domain)?.map(|d| d.name).unwrap_or_default();
    Ok(format!("{}@{host}", account.name))
}

fn normal(text: &str) -> Result<String, ChangeRefusal> {
    name::domain(text).ok_or_else(|| ChangeRefusal::BadName(text.to_owned()))
}

impl Step<'_> {
    /// [`crate::Change::PutDomain`].
    pub(super) fn put_domain(&mut self, mut domain: Domain) -> Res<()> {
        domain.name = normal(&domain.name)?;
        let mut aliases = Vec::new();
        let before = rows::domain(self.db, domain.id)?;
        if let Some(before) = &before
            && before.name != domain.name
        {
            aliases.push(before.name.clone());
        }
        for alias in &domain.aliases {
            aliases.push(normal(alias)?);
        }
        aliases.sort_unstable();
        aliases.dedup();
        aliases.retain(|a| *a != domain.name);
        if aliases.len() > MAX_ALIASES {
            let text = format!("a domain has at most {MAX_ALIASES} other names");
            return Err(ChangeRefusal::Invalid(text).into());
        }
        domain.aliases = aliases;
        self.choose_primary(before.as_ref(), &mut domain)?;
        self.put_domain_names(&domain)?;
        rows::put(self.db, "domain", domain.id.0.as_bytes(), &domain)?;
        self.effect.domains = true;
        self.effect.freed = true;
        self.say(match &before {
            None => format!("made domain {}", domain.name),
            Some(old) if old.name != domain.name => {
                format!("renamed domain {} to {}", old.name, domain.name)
            }
            Some(_) => format!("changed domain {}", domain.name),
        });
        Ok(())
    }

    /// Exactly one domain is primary; the first one is (F7.2.1-1, F7.2.1-2).
    fn choose_primary(&mut self, before: Option<&Domain>, domain: &mut Domain) -> Res<()> {
        let others: Vec<Domain> = rows::all::<Domain>(self.db, "domain")?;
        let former = others.into_iter().find(|d| d.primary && d.id != domain.id);
        match former {
            Some(mut former) if domain.primary => {
                former.primary = false;
                rows::put(self.db, "domain", former.id.0.as_bytes(), &former)?;
                self.say(format!("domain {} is no longer primary", former.name));
            }
            Some(_) => {}
            None if domain.primary || before.is_none() => domain.primary = true,
            None => return Err(ChangeRefusal::PrimaryDomain.into()),
        }
        Ok(())
    }

    fn put_domain_names(&mut self, domain: &Domain) -> Res<()> {
        let id = domain.id.0;
        self.db.execute("delete from domain_name where domain = ?", [id.as_bytes()])?;
        for name in std::iter::once(&domain.name).chain(&domain.aliases) {
            if self.db.domain_named(name).is_some() {
                return Err(ChangeRefusal::DomainTaken(name.clone()).into());
            }
            let sql = "insert into domain_name (name, domain) values (?, ?)";
            self.db.execute(sql, params![name, id.as_bytes()])?;
        }
        Ok(())
    }

    /// [`crate::Change::RemoveDomain`] (F7.9-1).
    pub(super) fn remove_domain(&mut self, id: DomainId) -> Res<()> {
        let Some(domain) = rows::domain(self.db, id)? else {
            return Err(ChangeRefusal::NotFound("domain".into()).into());
        };
        if domain.primary {
            return Err(ChangeRefusal::PrimaryDomain.into());
        }
        let count = |sql: &str, key: &dyn rusqlite::ToSql| -> Res<i64> {
            Ok(self.db.query_row(sql, [key], |row| row.get(0))?)
        };
        let accounts = count("select count(*) from account where domain = ?", id.0.as_bytes())?;
        if accounts > 0 {
            return Err(ChangeRefusal::DomainInUse(accounts.unsigned_abs()).into());
        }
        let prefix = crate::claim::mail_key(id, "%");
        if count("select count(*) from claim where space in (1, 2) and key like ?", &prefix)? > 0 {
            let text = "accounts of other domains have addresses in this domain";
            return Err(ChangeRefusal::Invalid(text.into()).into());
        }
        let sources: Vec<crate::SourceSpec> = rows::all(self.db, "source")?;
        if let Some(source) = sources.iter().find(|s| s.domain == id) {
            let text = format!("the source {} is mapped into this domain", source.name);
            return Err(ChangeRefusal::Invalid(text).into());
        }
        self.db.execute("delete from domain_name where domain = ?", [id.0.as_bytes()])?;
        self.db.execute("delete from domain where id = ?", [id.0.as_bytes()])?;
        self.effect.domains = true;
        self.say(format!("removed domain {}", domain.name));
        Ok(())
    }
}
