//! Changes of accounts.

use posthouse_cluster::MachineError;
use rusqlite::params;

use super::{
    check,
    domains::qualified,
    rows,
    step::{Res, Step, Stop},
};
use crate::{
    Account, AccountId, ChangeRefusal, Kind, Origin, PasswordVerifier, Rights, State, audit,
    claim::{Claim, Space, claims, is_mapped, mail_places},
};

fn not_found() -> ChangeRefusal {
    ChangeRefusal::NotFound("account".into())
}

impl Step<'_> {
    /// The account, or a refusal.
    pub(super) fn existing(&self, id: AccountId) -> Res<Account> {
        rows::account(self.db, id)?.ok_or_else(|| not_found().into())
    }

    /// [`crate::Change::PutAccount`].
    pub(super) fn put_account(&mut self, mut account: Account, site: Option<&str>) -> Res<()> {
        if rows::domain(self.db, account.domain)?.is_none() {
            return Err(ChangeRefusal::NotFound("domain".into()).into());
        }
        check::check(&mut account, self.db)?;
        let before = rows::account(self.db, account.id)?;
        self.check_origin(&account)?;
        if let Some(before) = &before {
            self.carry_over(before, &mut account)?;
            if is_mapped(&account) {
                self.note_kept(before, &account)?;
            }
        } else {
            self.place(&mut account, site)?;
        }
        self.write(before.as_ref(), account)
    }

    /// A key of a source belongs to one account.
    fn check_origin(&self, account: &Account) -> Res<()> {
        let Origin::Mapped { source, key, .. } = &account.origin else { return Ok(()) };
        match rows::mapped(self.db, *source, key)? {
            Some(other) if other != account.id => {
                let text = "another account is mapped from this entry of the source already";
                Err(ChangeRefusal::Invalid(text.into()).into())
            }
            _ => Ok(()),
        }
    }

    /// What a changed account takes over from its former self: password, time of creation and, for a renamed user,
    /// the old address.
    pub(super) fn carry_over(&self, before: &Account, account: &mut Account) -> Res<()> {
        if std::mem::discriminant(&before.kind) != std::mem::discriminant(&account.kind) {
            let text = "what an account is (user, group, contact, alias) cannot be changed";
            return Err(ChangeRefusal::Invalid(text.into()).into());
        }
        account.created = before.created;
        let moved = before.domain != account.domain;
        if let (Kind::User(old), Kind::User(new)) = (&before.kind, &mut account.kind) {
            if new.password.is_none() && account.origin == Origin::Local {
                new.password.clone_from(&old.password);
            }
            // where a mailbox is, is changed by a move and by nothing else
            new.store = old.store;
            if (moved || before.name != account.name) && crate::name::local(&before.name).is_some()
            {
                self.keep_old_address(before, account)?;
            }
        }
        Ok(())
    }

    /// A renamed user is shown by the new name and still gets mail by the old one (F7.8-2 for users).
    fn keep_old_address(&self, before: &Account, account: &mut Account) -> Res<()> {
        let old = match before.domain == account.domain {
            true => before.name.clone(),
            false => qualified(self.db, before)?,
        };
        if account.addresses.first().is_none_or(|first| *first == old) {
            account.addresses.insert(0, account.name.clone());
        }
        if !account.addresses.contains(&old) {
            account.addresses.push(old);
        }
        let mut seen = std::collections::BTreeSet::new();
        account.addresses.retain(|a| seen.insert(a.clone()));
        Ok(())
    }

    /// Remembers which addresses of a mapped account an administrator added, so that the next sync leaves them.
    fn note_kept(&self, before: &Account, account: &Account) -> Res<()> {
        let kept = rows::kept(self.db, account.id)?;
        let stays = |a: &&String| kept.contains(a) || !before.addresses.contains(a);
        let kept: Vec<String> = account.addresses.iter().filter(stays).cloned().collect();
        Ok(rows::put_kept(self.db, account.id, &kept)?)
    }

    /// Writes an account in normal form, with its claims and its audit line. Refuses what belongs to another.
    pub(super) fn write(&mut self, before: Option<&Account>, mut account: Account) -> Res<()> {
        self.claim(&account)?;
        self.put_photo(&mut account)?;
        if let Some(before) = before {
            account.changed = before.changed;
            if *before == account {
                return Ok(());
            }
        } else {
            account.created = self.at;
        }
        account.changed = self.at;
        rows::put_account(self.db, &account)?;
        let whom = format!("{} {}", audit::kind(&account), qualified(self.db, &account)?);
        match before {
            None => self.say(format!("made {whom}")),
            Some(before) => {
                self.say(format!("changed {whom}: {}", audit::differences(before, &account)))
            }
        }
        self.effect.accounts.insert(account.id);
        Ok(())
    }

    fn put_photo(&mut self, account: &mut Account) -> Res<()> {
        let id = account.id.0;
        let Some(person) = check::person_mut(account) else { return Ok(()) };
        match person.photo.take() {
            None => {}
            Some(jpeg) if jpeg.is_empty() => {
                let sql = "delete from photo where account = ?";
                self.db.prepare_cached(sql)?.execute([id.as_bytes()])?;
            }
            Some(jpeg) => {
                let sql = "insert into photo (account, jpeg) values (?, ?) on conflict (account)
                           do update set jpeg = excluded.jpeg where jpeg <> excluded.jpeg";
                self.db.prepare_cached(sql)?.execute(params![id.as_bytes(), jpeg])?;
            }
        }
        Ok(())
    }

    /// Replaces the account's claims by those that it has now.
    fn claim(&mut self, account: &Account) -> Res<()> {
        let wanted = claims(account, self.db);
        let present = claims_of(self, account.id)?;
        for gone in present.difference(&wanted) {
            let sql = "delete from claim where space = ? and key = ?";
            self.db.prepare_cached(sql)?.execute(params![gone.space as u8, gone.key])?;
            self.effect.freed = true;
        }
        for new in wanted.difference(&present) {
            if let Some(owner) = rows::claimant(self.db, new)? {
                return Err(self.taken(account, new, owner)?.into());
            }
            let sql = "insert into claim (space, key, account) values (?, ?, ?)";
            self.db.prepare_cached(sql)?.execute(params![
                new.space as u8,
                new.key,
                account.id.0.as_bytes()
            ])?;
        }
        Ok(())
    }

    /// The refusal for a claim that belongs to `owner`.
    pub(super) fn taken(
        &self,
        account: &Account,
        claim: &Claim,
        owner: AccountId,
    ) -> Res<ChangeRefusal> {
        let owner = match rows::account(self.db, owner)? {
            Some(owner) => qualified(self.db, &owner)?,
            None => "another account".into(),
        };
        Ok(ChangeRefusal::AddressTaken { address: self.claim_in_words(account, claim)?, owner })
    }

    /// How people write what is claimed.
    fn claim_in_words(&self, account: &Account, claim: &Claim) -> Res<String> {
        match claim.space {
            Space::Login | Space::Principal => return Ok(claim.key.clone()),
            Space::GroupName => return Ok(account.name.clone()),
            Space::Mail | Space::GroupMail => {}
        }
        for (domain, local) in mail_places(account, self.db) {
            if crate::claim::mail_key(domain, &local) == claim.key {
                let host = rows::domain(self.db, domain)?.map(|d| d.name).unwrap_or_default();
                return Ok(format!("{local}@{host}"));
            }
        }
        Ok(account.name.clone())
    }

    /// [`crate::Change::RemoveAccount`].
    pub(super) fn remove_account(&mut self, id: AccountId) -> Res<()> {
        let account = self.existing(id)?;
        let whom = format!("{} {}", audit::kind(&account), qualified(self.db, &account)?);
        let sql = "select grp from member where member = ?";
        for group in rows::ids(self.db, sql, [id.0.as_bytes()])? {
            self.drop_member(group, id)?;
        }
        self.end_moves_of(id)?;
        rows::remove_account(self.db, id)?;
        self.effect.accounts.insert(id);
        self.effect.freed = true;
        self.say(format!("removed {whom}"));
        Ok(())
    }

    fn drop_member(&mut self, group: AccountId, member: AccountId) -> Res<()> {
        let Some(mut account) = rows::account(self.db, group)? else { return Ok(()) };
        if let Kind::Group(group) = &mut account.kind {
            group.members.retain(|m| *m != member);
        }
        rows::put_account(self.db, &account)?;
        self.effect.accounts.insert(group);
        Ok(())
    }

    /// [`crate::Change::SetPassword`].
    pub(super) fn set_password(&mut self, id: AccountId, verifier: PasswordVerifier) -> Res<()> {
        let mut account = self.existing(id)?;
        let local = account.origin == Origin::Local;
        match &mut account.kind {
            Kind::User(user) if local => user.password = Some(verifier),
            _ => {
                let text = "only local users have a password here";
                return Err(ChangeRefusal::Invalid(text.into()).into());
            }
        }
        account.changed = self.at;
        rows::put_account(self.db, &account)?;
        self.effect.accounts.insert(id);
        let whom = qualified(self.db, &account)?;
        self.say(format!("set the password of user {whom}"));
        Ok(())
    }

    /// [`crate::Change::SetState`].
    pub(super) fn set_state(&mut self, id: AccountId, state: State) -> Res<()> {
        check::check_state(&state)?;
        let before = self.existing(id)?;
        let mut account = before.clone();
        account.state = state;
        self.write(Some(&before), account)
    }

    /// [`crate::Change::SetRights`].
    pub(super) fn set_rights(&mut self, id: AccountId, rights: Rights) -> Res<()> {
        let before = self.existing(id)?;
        let mut account = before.clone();
        match &mut account.kind {
            Kind::User(user) => user.rights = rights,
            Kind::Group(group) => group.rights = rights,
            Kind::Contact(_) | Kind::Alias(_) => {
                let text = "only users and groups have rights";
                return Err(ChangeRefusal::Invalid(text.into()).into());
            }
        }
        self.write(Some(&before), account)
    }
}

/// Claims that an account holds now.
fn claims_of(step: &Step<'_>, id: AccountId) -> Res<std::collections::BTreeSet<Claim>> {
    let sql = "select space, key from claim where account = ?";
    let mut statement = step.db.prepare_cached(sql)?;
    let mut found = statement.query([id.0.as_bytes()])?;
    let mut claims = std::collections::BTreeSet::new();
    while let Some(row) = found.next()? {
        let number: u8 = row.get(0)?;
        let space = match number {
            1 => Space::Mail,
            2 => Space::GroupMail,
            3 => Space::GroupName,
            4 => Space::Login,
            5 => Space::Principal,
            _ => return Err(Stop::Broken(MachineError::Corrupt(format!("claim space {number}")))),
        };
        claims.insert(Claim { space, key: row.get(1)? });
    }
    Ok(claims)
}
