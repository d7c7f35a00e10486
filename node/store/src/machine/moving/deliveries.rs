//! Deliveries that took effect and must not do so again at the other store.

use posthouse_cluster::Timestamp;
use rusqlite::Connection;

use super::{
    super::{Step, Stop},
    arriving::ArrivalRow,
};
use crate::{Exported, MailboxId};

pub(super) fn deliveries(_: &Connection, _: MailboxId, _: u128) -> Result<Exported, Stop> {
    Ok(Exported::Deliveries(Vec::new()))
}

impl Step<'_> {
    pub(super) fn import_deliveries(
        &self,
        _: &ArrivalRow,
        _: &[(u128, Timestamp)],
    ) -> Result<(), Stop> {
        Ok(())
    }
}
