//! Accounts from sources: what cannot be had is left out and reported, account by account (F10.1.1-5).

use std::collections::BTreeMap;

use rusqlite::{OptionalExtension, params};

use super::{
    check,
    domains::qualified,
    rows,
    schema::{Row, decode, encode},
    step::{Res, Step},
};
use crate::{
    Account, AccountId, ChangeRefusal, Collision, Kind, Origin, SourceId, State, SyncBatch,
    claim::{Claim, Place, Space, claims, mail_key, place},
    name,
};

/// Most degraded accounts that are tried again after one command.
const MAX_MENDED: usize = 1_000;

impl Step<'_> {
    /// [`crate::Change::Sync`].
    pub(super) fn sync(&mut self, batch: SyncBatch) -> Res<()> {
        let Some(mut source) = rows::source(self.db, batch.source)? else {
            return Err(ChangeRefusal::NotFound("source".into()).into());
        };
        if batch.upserts.len() + batch.disables.len() > SyncBatch::MAX_ACCOUNTS {
            let text = format!("more than {} accounts in one batch", SyncBatch::MAX_ACCOUNTS);
            return Err(ChangeRefusal::Invalid(text).into());
        }
        let mut upserts = batch.upserts;
        self.settle_ids(batch.source, &mut upserts)?;
        for account in upserts {
            self.upsert(account)?;
        }
        for (id, cause) in batch.disables {
            self.disable_mapped(batch.source, id, cause)?;
        }
        let before = source.clone();
        source.watermark = batch.watermark.or(source.watermark);
        source.problem = batch.problem.unwrap_or(source.problem);
        if source != before {
            rows::put(self.db, "source", source.id.0.as_bytes(), &source)?;
            self.effect.configuration = true;
        }
        if source.problem != before.problem {
            self.say(match source.problem.is_empty() {
                true => format!("source {} works again", source.name),
                false => format!("source {}: {}", source.name, source.problem),
            });
        }
        Ok(())
    }

    /// Gives every upsert the id that its key is known by, and corrects the members of groups.
    fn settle_ids(&self, source: SourceId, upserts: &mut [Account]) -> Res<()> {
        let mut moved: BTreeMap<AccountId, AccountId> = BTreeMap::new();
        for account in &mut *upserts {
            let Origin::Mapped { source: of, key, .. } = &account.origin else {
                let text = "an account of a batch is not mapped";
                return Err(ChangeRefusal::Invalid(text.into()).into());
            };
            if *of != source {
                let text = "an account of a batch is mapped from another source";
                return Err(ChangeRefusal::Invalid(text.into()).into());
            }
            match rows::mapped(self.db, source, key)? {
                Some(known) if known != account.id => {
                    moved.insert(account.id, known);
                    account.id = known;
                }
                Some(_) => {}
                None if rows::account(self.db, account.id)?.is_some() => {
                    let text = "an account of a batch has the id of another account";
                    return Err(ChangeRefusal::Invalid(text.into()).into());
                }
                None => {}
            }
        }
        for account in upserts {
            if let Kind::Group(group) = &mut account.kind {
                for member in &mut group.members {
                    *member = *moved.get(member).unwrap_or(member);
                }
            }
        }
        Ok(())
    }

    /// Makes one mapped account or brings it up to date, degraded where it must be.
    fn upsert(&mut self, wanted: Account) -> Res<()> {
        if rows::domain(self.db, wanted.domain)?.is_none() {
            return Err(ChangeRefusal::NotFound("domain".into()).into());
        }
        let mut problems = Vec::new();
        let mut account = wanted.clone();
        check::soften(&mut account, self.db, &mut problems);
        let before = rows::account(self.db, account.id)?;
        if let Some(before) = &before
            && std::mem::discriminant(&before.kind) != std::mem::discriminant(&account.kind)
        {
            problems.push("it has become another kind of entry in the source".into());
            return self.report(&wanted, problems);
        }
        self.choose_name(&mut account, &mut problems)?;
        check::check_rest(&mut account, self.db)?;
        if let Some(before) = &before {
            self.merge(before, &mut account)?;
        } else {
            self.place(&mut account, None)?;
        }
        self.leave_out_taken(&mut account, &mut problems)?;
        self.write(before.as_ref(), account)?;
        self.report(&wanted, problems)
    }

    /// The name of the source, or a stand-in where it is not valid or belongs to another.
    fn choose_name(&self, account: &mut Account, problems: &mut Vec<String>) -> Res<()> {
        let problem = match check::account_name(account) {
            None => Some(format!("{:?} is not a valid name", account.name)),
            Some(normal) => {
                account.name = normal;
                self.name_owner(account)?
            }
        };
        let Some(problem) = problem else { return Ok(()) };
        account.name = stand_in(account);
        if account.state == State::Enabled {
            account.state = State::Disabled(problem.clone());
        }
        problems.push(problem);
        Ok(())
    }

    /// Who else has the account's name, in words.
    fn name_owner(&self, account: &Account) -> Res<Option<String>> {
        let space = match account.kind {
            Kind::User(_) => Space::Mail,
            Kind::Group(_) => Space::GroupName,
            Kind::Contact(_) | Kind::Alias(_) => return Ok(None),
        };
        let claim = Claim { space, key: mail_key(account.domain, &account.name) };
        match rows::claimant(self.db, &claim)? {
            Some(owner) if owner != account.id => {
                Ok(Some(self.taken(account, &claim, owner)?.to_string()))
            }
            _ => Ok(None),
        }
    }

    /// Takes over what the source does not know, and keeps old addresses working.
    fn merge(&self, before: &Account, account: &mut Account) -> Res<()> {
        let mut kept = rows::kept(self.db, account.id)?;
        if let Some(old) = renamed_from(before, account) {
            kept.push(qualified(self.db, &old)?);
        }
        let first = before.addresses.first();
        if matches!(account.kind, Kind::User(_))
            && first != account.addresses.first()
            && let Some(old) = first
            && !account.addresses.contains(old)
        {
            kept.push(old.clone());
        }
        kept.sort_unstable();
        kept.dedup();
        kept.truncate(check::MAX_ADDRESSES);
        rows::put_kept(self.db, account.id, &kept)?;
        for address in kept {
            if !account.addresses.contains(&address) {
                account.addresses.push(address);
            }
        }
        account.created = before.created;
        account.description.clone_from(&before.description);
        match (&before.kind, &mut account.kind) {
            (Kind::User(old), Kind::User(new)) => {
                new.rights = old.rights;
                new.quota_bytes = old.quota_bytes;
                new.quota_items = old.quota_items;
                new.store = old.store;
            }
            (Kind::Group(old), Kind::Group(new)) => new.rights = old.rights,
            _ => {}
        }
        Ok(())
    }

    /// Leaves out addresses and names that belong to others.
    fn leave_out_taken(&self, account: &mut Account, problems: &mut Vec<String>) -> Res<()> {
        for claim in claims(account, self.db) {
            let Some(owner) = rows::claimant(self.db, &claim)?.filter(|o| *o != account.id) else {
                continue;
            };
            problems.push(self.taken(account, &claim, owner)?.to_string());
            let domain = account.domain;
            match (&claim.space, &mut account.kind) {
                (Space::Login, Kind::User(user)) => user.login_names.retain(|n| *n != claim.key),
                (Space::Principal, Kind::User(user)) => user.principals.retain(|p| *p != claim.key),
                _ => account.addresses.retain(|a| match place(a, domain, self.db) {
                    Some(Place::Ours(domain, local)) => mail_key(domain, &local) != claim.key,
                    _ => true,
                }),
            }
        }
        Ok(())
    }

    /// Remembers or forgets that an account is degraded.
    fn report(&mut self, wanted: &Account, problems: Vec<String>) -> Res<()> {
        let id = wanted.id;
        let known = self.known_problems(id)?;
        if problems.is_empty() {
            if !known.is_empty() {
                let sql = "delete from degraded where account = ?";
                self.db.prepare_cached(sql)?.execute([id.0.as_bytes()])?;
                self.effect.configuration = true;
                self.say(format!(
                    "mapped account {} has all that its source says again",
                    wanted.name
                ));
            }
            return Ok(());
        }
        let collision = Collision { account: id, name: wanted.name.clone(), problems };
        if known != collision.problems {
            self.effect.configuration = true;
            self.say(format!("mapped account {}: {}", wanted.name, collision.problems.join("; ")));
        }
        self.effect.collisions.push(collision.clone());
        let mut wanted = wanted.clone();
        if let Some(person) = check::person_mut(&mut wanted) {
            person.photo = None;
        }
        let row = encode(&Degraded { collision, wanted })?;
        self.db
            .prepare_cached("insert or replace into degraded (account, data) values (?, ?)")?
            .execute(params![id.0.as_bytes(), row])?;
        Ok(())
    }

    fn known_problems(&self, id: AccountId) -> Res<Vec<String>> {
        let sql = "select data from degraded where account = ?";
        let row: Option<Vec<u8>> = self
            .db
            .prepare_cached(sql)?
            .query_row([id.0.as_bytes()], |row| row.get(0))
            .optional()?;
        let Some(row) = row else { return Ok(Vec::new()) };
        Ok(decode::<Degraded>("degraded", &row)?.collision.problems)
    }

    /// A source's account is gone there: it stays here, disabled.
    pub(super) fn disable_mapped(
        &mut self,
        source: SourceId,
        id: AccountId,
        cause: String,
    ) -> Res<()> {
        let Some(before) = rows::account(self.db, id)? else { return Ok(()) };
        if !matches!(before.origin, Origin::Mapped { source: of, .. } if of == source) {
            return Ok(());
        }
        self.db.execute("delete from degraded where account = ?", [id.0.as_bytes()])?;
        let mut account = before.clone();
        check::check_state(&State::Disabled(cause.clone()))?;
        account.state = State::Disabled(cause);
        self.write(Some(&before), account)
    }

    /// Names became free: degraded accounts may have them now.
    pub(super) fn mend(&mut self) -> Res<()> {
        for degraded in degraded(self.db)?.into_iter().take(MAX_MENDED) {
            self.upsert(degraded.wanted)?;
        }
        Ok(())
    }
}

/// A row of the table of degraded accounts.
#[derive(serde::Serialize, serde::Deserialize)]
pub(crate) struct Degraded {
    pub(crate) collision: Collision,
    /// The account as the source has it.
    wanted: Account,
}

impl Row for Degraded {}

/// All degraded accounts.
pub(crate) fn degraded(db: &rusqlite::Connection) -> Res<Vec<Degraded>> {
    let mut statement = db.prepare_cached("select data from degraded order by account")?;
    let mut found = statement.query([])?;
    let mut all = Vec::new();
    while let Some(row) = found.next()? {
        all.push(decode("degraded", row.get_ref(0)?.as_blob().unwrap_or_default())?);
    }
    Ok(all)
}

/// A name that nobody can ask for: `~` is not allowed in names.
fn stand_in(account: &Account) -> String {
    let tail = account.id.0.simple().to_string().split_off(24);
    let mut name: String = name::fold(&account.name)
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') { c } else { '_' })
        .collect();
    name.truncate(48);
    format!("{name}~{tail}")
}

/// The user's account as it was, if it had another real name or domain.
fn renamed_from(before: &Account, account: &Account) -> Option<Account> {
    let differs = before.name != account.name || before.domain != account.domain;
    let real = name::local(&before.name).is_some();
    (differs && real && matches!(account.kind, Kind::User(_))).then(|| before.clone())
}
