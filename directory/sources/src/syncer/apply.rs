//! Proposes what a reading brought, in batches.

use std::collections::{HashMap, HashSet};

use posthouse_directory::{
    Account, AccountId, Change, Directory, Kind, Origin, SourceSpec, SyncBatch,
};

use super::actor;
use crate::{SourceError, reader::Reader};

/// Bytes of one batch, roughly.
const BATCH_BYTES: usize = 1 << 20;
/// Accounts of one batch; well below [`SyncBatch::MAX_ACCOUNTS`], so that other changes come in between.
const BATCH_ACCOUNTS: usize = 500;

pub(super) struct Proposer<'a> {
    directory: &'a Directory,
    spec: &'a SourceSpec,
    upserts: Vec<Account>,
    disables: Vec<(AccountId, String)>,
    bytes: usize,
}

impl<'a> Proposer<'a> {
    pub(super) fn new(directory: &'a Directory, spec: &'a SourceSpec) -> Self {
        Self { directory, spec, upserts: Vec::new(), disables: Vec::new(), bytes: 0 }
    }

    pub(super) async fn upsert(&mut self, account: Account) -> Result<(), SourceError> {
        self.bytes += size_of(&account);
        self.upserts.push(account);
        self.flush_if_full().await
    }

    pub(super) async fn disable(
        &mut self,
        id: AccountId,
        cause: String,
    ) -> Result<(), SourceError> {
        self.disables.push((id, cause));
        self.flush_if_full().await
    }

    async fn flush_if_full(&mut self) -> Result<(), SourceError> {
        if self.bytes >= BATCH_BYTES || self.upserts.len() + self.disables.len() >= BATCH_ACCOUNTS {
            self.flush().await?;
        }
        Ok(())
    }

    pub(super) async fn flush(&mut self) -> Result<(), SourceError> {
        if self.upserts.is_empty() && self.disables.is_empty() {
            return Ok(());
        }
        self.send(None, None).await
    }

    /// The last batch: only now is the reading done.
    pub(super) async fn finish(
        mut self,
        watermark: Option<Vec<u8>>,
        problem: String,
    ) -> Result<(), SourceError> {
        let news = watermark.is_some() && watermark != self.spec.watermark;
        if news || problem != self.spec.problem || !self.upserts.is_empty() {
            self.send(watermark, Some(problem)).await?;
        }
        Ok(())
    }

    async fn send(
        &mut self,
        watermark: Option<Vec<u8>>,
        problem: Option<String>,
    ) -> Result<(), SourceError> {
        let batch = SyncBatch {
            source: self.spec.id,
            upserts: std::mem::take(&mut self.upserts),
            disables: std::mem::take(&mut self.disables),
            watermark,
            problem,
        };
        self.bytes = 0;
        let change = Change::Sync(Box::new(batch));
        self.directory
            .change(actor(self.spec), change)
            .await
            .map_err(|e| SourceError::NotWritten(e.to_string()))
    }

    /// Brings photos up to date: those that differ, and those that are gone.
    pub(super) async fn photos(
        &mut self,
        reader: &mut Reader,
        since: Option<u64>,
        wanted: &[Account],
    ) -> Result<(), SourceError> {
        let by_key: HashMap<&[u8], &Account> = wanted
            .iter()
            .filter_map(|account| match &account.origin {
                Origin::Mapped { key, .. } => Some((key.as_slice(), account)),
                Origin::Local => None,
            })
            .collect();
        if by_key.is_empty() {
            return Ok(());
        }
        let mut have: HashSet<Vec<u8>> = HashSet::new();
        let mut cookie = Vec::new();
        loop {
            let (page, next) = reader.photos(since, cookie).await?;
            for (key, photo) in page {
                if let Some(account) = by_key.get(key.as_slice())
                    && self.photo_of(account).await?.as_ref() != Some(&photo)
                {
                    self.upsert(with_photo(account, photo)).await?;
                }
                have.insert(key);
            }
            cookie = next;
            if cookie.is_empty() {
                break;
            }
        }
        for (key, account) in by_key {
            if !have.contains(key) && self.photo_of(account).await?.is_some() {
                self.upsert(with_photo(account, Vec::new())).await?;
            }
        }
        Ok(())
    }

    async fn photo_of(&self, account: &Account) -> Result<Option<Vec<u8>>, SourceError> {
        if matches!(account.kind, Kind::Group(_)) {
            return Ok(None);
        }
        let photo = self.directory.photo(account.id).await;
        photo.map_err(|e| SourceError::NotWritten(e.to_string()))
    }
}

/// An empty photo removes the present one.
fn with_photo(account: &Account, photo: Vec<u8>) -> Account {
    let mut account = account.clone();
    match &mut account.kind {
        Kind::User(user) => user.person.photo = Some(photo),
        Kind::Contact(person) => person.photo = Some(photo),
        Kind::Group(_) | Kind::Alias(_) => {}
    }
    account
}

/// Roughly the bytes of an account in the log.
fn size_of(account: &Account) -> usize {
    let (members, photo) = match &account.kind {
        Kind::Group(group) => (group.members.len(), None),
        Kind::User(user) => (0, user.person.photo.as_ref()),
        Kind::Contact(person) => (0, person.photo.as_ref()),
        Kind::Alias(_) => (0, None),
    };
    1_024 + members * 17 + photo.map_or(0, Vec::len)
}
