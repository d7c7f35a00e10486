//! Somebody must remain who can administer (F8.1-6).

use std::collections::BTreeSet;

use rusqlite::Connection;

use super::{rows, step::Res};
use crate::{AccountId, Kind, Rights, State};

/// Whether there is an enabled user with full rights, own or by groups.
pub(crate) fn any(db: &Connection) -> Res<bool> {
    const { assert!(Rights::Full as u8 == 3, "the index account_rights holds this number") };
    let sql = "select id from account where rights = 3 order by kind, id";
    let mut open = rows::ids(db, sql, [])?;
    open.reverse();
    let mut seen: BTreeSet<AccountId> = BTreeSet::new();
    while let Some(id) = open.pop() {
        if !seen.insert(id) {
            continue;
        }
        let Some(account) = rows::account(db, id)? else { continue };
        match account.kind {
            Kind::User(_) if account.state == State::Enabled => return Ok(true),
            Kind::Group(group) if account.state == State::Enabled => {
                open.extend(group.members);
            }
            Kind::User(_) | Kind::Group(_) | Kind::Contact(_) | Kind::Alias(_) => {}
        }
    }
    Ok(false)
}
