//! What a store holds in all, for those who decide where replicas and mailboxes go.

use super::Store;
use crate::{StoreError, read};

/// What a store holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Mailboxes.
    pub mailboxes: u64,
    /// Sum of the sizes of all items, in bytes.
    pub bytes: u64,
    /// Messages that wait in the spool.
    pub spooled: u64,
}

impl Store {
    /// What this replica holds, as far as it has come.
    pub async fn totals(&self) -> Result<Totals, StoreError> {
        Ok(self.inner.readers.read(read::totals).await?)
    }
}
