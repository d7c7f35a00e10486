//! Moves of mailboxes between stores.

use rusqlite::{OptionalExtension, params};

use super::{
    domains::qualified,
    mailboxes, rows,
    schema::encode,
    step::{Res, Step},
};
use crate::{ChangeRefusal, Kind, MailboxMove, MoveState};

/// Finished moves that are kept for display.
const MAX_FINISHED: i64 = 1_000;
/// Moves that wait or run at most.
const MAX_OPEN: i64 = 100_000;
/// Longest reason of a failure in bytes.
const MAX_REASON: usize = 1_024;

/// Whether a move may go from one state to another.
fn may_follow(from: &MoveState, to: &MoveState) -> bool {
    use MoveState::{Cancelled, Cancelling, Done, Failed, Queued, Running, Switching};
    match from {
        Queued => matches!(to, Running | Cancelling | Cancelled | Failed(_)),
        // back to the queue: the store changed its leader and the move begins again there
        Running => matches!(to, Queued | Switching | Cancelling | Cancelled | Failed(_)),
        Switching => matches!(to, Queued | Running | Done | Cancelling | Cancelled | Failed(_)),
        Cancelling => matches!(to, Cancelled | Failed(_)),
        Done | Cancelled | Failed(_) => false,
    }
}

impl Step<'_> {
    /// [`crate::Change::PutMove`].
    pub(super) fn put_move(&mut self, mut wish: MailboxMove) -> Res<()> {
        if rows::mailbox_move(self.db, wish.id)?.is_some() {
            return Err(ChangeRefusal::Exists.into());
        }
        let account = self.existing(wish.account)?;
        let whom = qualified(self.db, &account)?;
        let Kind::User(user) = &account.kind else {
            return Err(ChangeRefusal::Invalid("only users have a mailbox".into()).into());
        };
        wish.from = mailboxes::store_of(user);
        self.usable_store(wish.to)?;
        if wish.from == wish.to {
            let text = format!("the mailbox of {whom} is in store {} already", wish.to.0);
            return Err(ChangeRefusal::Invalid(text).into());
        }
        let sql = "select 1 from move where account = ? and open = 1";
        let open = self.db.prepare_cached(sql)?;
        if exists(open, wish.account.0.as_bytes().as_slice())? {
            return Err(ChangeRefusal::MoveOpen(whom).into());
        }
        let sql = "select count(*) from move where open = 1";
        let number: i64 = self.db.query_row(sql, [], |row| row.get(0))?;
        if number >= MAX_OPEN {
            let text = format!("{MAX_OPEN} moves are waiting already");
            return Err(ChangeRefusal::Invalid(text).into());
        }
        (wish.state, wish.created, wish.changed) = (MoveState::Queued, self.at, self.at);
        wish.by = self.actor.clone();
        let (from, to) = (wish.from.0, wish.to.0);
        self.say(format!("the mailbox of {whom} is to move from store {from} to store {to}"));
        self.write_move(&wish)
    }

    fn write_move(&mut self, item: &MailboxMove) -> Res<()> {
        let changed = i64::try_from(item.changed.0).unwrap_or(i64::MAX);
        let sql = "insert or replace into move (id, account, open, changed, data)
                   values (?, ?, ?, ?, ?)";
        self.db.prepare_cached(sql)?.execute(params![
            item.id.to_be_bytes().as_slice(),
            item.account.0.as_bytes(),
            !item.state.is_final(),
            changed,
            encode(item)?
        ])?;
        self.effect.moves.insert(item.id);
        Ok(())
    }

    /// [`crate::Change::MoveState`].
    pub(super) fn move_state(&mut self, id: u128, mut state: MoveState) -> Res<()> {
        let Some(mut item) = rows::mailbox_move(self.db, id)? else {
            return Err(ChangeRefusal::NotFound("move".into()).into());
        };
        if let MoveState::Failed(reason) = &mut state {
            let end =
                (0..=MAX_REASON.min(reason.len())).rev().find(|i| reason.is_char_boundary(*i));
            reason.truncate(end.unwrap_or(0));
        }
        if item.state == state {
            return Ok(());
        }
        if !may_follow(&item.state, &state) {
            let (from, to) = (item.state.word().to_owned(), state.word().to_owned());
            return Err(ChangeRefusal::MoveStep { from, to }.into());
        }
        if state == MoveState::Done {
            self.set_store(item.account, item.to)?;
        }
        if state.is_final() {
            let whom = match rows::account(self.db, item.account)? {
                Some(account) => qualified(self.db, &account)?,
                None => "a removed account".into(),
            };
            let reason = match &state {
                MoveState::Failed(reason) => format!(": {reason}"),
                _ => String::new(),
            };
            self.say(format!(
                "the move of the mailbox of {whom} to store {} is {}{reason}",
                item.to.0,
                state.word()
            ));
        }
        (item.state, item.changed) = (state, self.at);
        self.write_move(&item)?;
        self.forget_old_moves()
    }

    fn forget_old_moves(&mut self) -> Res<()> {
        let sql = "delete from move where id in (
                       select id from move where open = 0
                       order by changed desc, id desc limit -1 offset ?) returning id";
        let mut statement = self.db.prepare_cached(sql)?;
        let mut forgotten = statement.query([MAX_FINISHED])?;
        while let Some(row) = forgotten.next()? {
            let id = row.get_ref(0)?.as_blob().unwrap_or_default();
            self.effect.moves.extend(id.try_into().ok().map(u128::from_be_bytes));
        }
        Ok(())
    }

    /// An account is removed: there is nothing left to move.
    pub(super) fn end_moves_of(&mut self, account: crate::AccountId) -> Res<()> {
        let sql = "select id from move where account = ? and open = 1";
        let id: Option<Vec<u8>> = self
            .db
            .prepare_cached(sql)?
            .query_row([account.0.as_bytes()], |row| row.get(0))
            .optional()?;
        let id = id.and_then(|id| <[u8; 16]>::try_from(id).ok());
        let Some(mut item) = (match id {
            Some(id) => rows::mailbox_move(self.db, u128::from_be_bytes(id))?,
            None => None,
        }) else {
            return Ok(());
        };
        item.state = MoveState::Failed("the account was removed".into());
        item.changed = self.at;
        self.write_move(&item)
    }
}

fn exists(mut statement: rusqlite::CachedStatement<'_>, key: &[u8]) -> Res<bool> {
    Ok(statement.query_row([key], |_| Ok(())).optional()?.is_some())
}
