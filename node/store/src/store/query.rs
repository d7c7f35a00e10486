//! Answers to reading requests.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use rusqlite::Connection;

use super::{Store, blocking};
use crate::{
    BodyHash, FolderId, MailboxId, ModSeq, Query, Refusal, Request, Response, StoreError, Uid,
    UidSet,
    bodylog::BodyLog,
    machine::export,
    outcome::Stop,
    read::{self, StoredBody},
    rows::ItemRow,
};

/// Messages that a search reads at once.
const SEARCH_CHUNK: usize = 32;
/// How long one search may take.
const SEARCH_TIME: Duration = Duration::from_secs(20);

/// The answer, or a refusal that takes its place.
type Answered<T> = Result<Result<T, Refusal>, StoreError>;

impl Store {
    pub(super) async fn read(&self, request: Request) -> Result<Response, StoreError> {
        let answered = match request {
            Request::Body { mailbox, body } => {
                self.body(move |db| read::body(db, mailbox, body)).await?
            }
            Request::SpoolBody { id } => self.body(move |db| read::spool_body(db, id)).await?,
            Request::Search { mailbox, folder, query } => {
                self.search(mailbox, folder, query).await?
            }
            indexed => {
                let cache = self.inner.cache.clone();
                self.query(move |db| from_index(db, &cache, indexed)).await?
            }
        };
        Ok(answered.unwrap_or_else(Response::Refused))
    }

    pub(super) async fn query<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, Stop> + Send + 'static,
    ) -> Answered<T> {
        let found = self.inner.readers.read(move |db| match query(db) {
            Ok(value) => Ok(Ok(value)),
            Err(Stop::Refused(refusal)) => Ok(Err(refusal)),
            Err(Stop::Failed(error)) => Err(error),
        });
        Ok(found.await?)
    }

    async fn body(
        &self,
        find: impl FnOnce(&Connection) -> Result<StoredBody, Stop> + Send + 'static,
    ) -> Answered<Response> {
        let stored = match self.query(find).await? {
            Ok(stored) => stored,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let (hash, bodies) = (stored.hash(), self.inner.bodies.clone());
        let loaded =
            blocking(move || load(&bodies, stored)).await.map_err(StoreError::Unavailable)?;
        let bytes = match loaded {
            Ok(bytes) => bytes,
            Err(error) => self.mend_read(hash, error).await?,
        };
        Ok(Ok(Response::Body(bytes)))
    }

    async fn search(
        &self,
        mailbox: MailboxId,
        folder: FolderId,
        query: Query,
    ) -> Answered<Response> {
        let started = self.inner.env.clock.monotonic();
        let wanted = query.clone();
        let candidates = self
            .query(move |db| {
                let folder = read::folder(db, mailbox, folder)?;
                read::candidates(db, &folder, &wanted)
            })
            .await?;
        let read::Candidates { mut found, open } = match candidates {
            Ok(candidates) => candidates,
            Err(refusal) => return Ok(Err(refusal)),
        };
        for chunk in open.chunks(SEARCH_CHUNK) {
            if self.inner.env.clock.monotonic().saturating_sub(started) > SEARCH_TIME {
                return Ok(Err(Refusal::Limit("time of a search".into())));
            }
            match self.search_chunk(mailbox, folder, &query, chunk.to_vec()).await? {
                Ok(more) => found.extend(more),
                Err(refusal) => return Ok(Err(refusal)),
            }
        }
        let modseq = found.iter().map(|(_, modseq)| *modseq).max().unwrap_or(0);
        let uids = UidSet::from_uids(found.into_iter().map(|(uid, _)| uid));
        Ok(Ok(Response::Found { uids, modseq }))
    }

    /// Which of these match by their message.
    async fn search_chunk(
        &self,
        mailbox: MailboxId,
        folder: FolderId,
        query: &Query,
        uids: Vec<Uid>,
    ) -> Answered<Vec<(Uid, ModSeq)>> {
        let items = self
            .query(move |db| {
                let folder = read::folder(db, mailbox, folder)?;
                let items = uids.into_iter().map(|uid| read::open_item(db, &folder, uid));
                items.filter_map(Result::transpose).collect::<Result<Vec<_>, _>>()
            })
            .await?;
        let items = match items {
            Ok(items) => items,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let items = Arc::new(items);
        loop {
            let (bodies, query, items) = (self.inner.bodies.clone(), query.clone(), items.clone());
            let work = move || examine(&bodies, &query, &items);
            match blocking(work).await.map_err(StoreError::Unavailable)? {
                Ok(found) => return Ok(Ok(found)),
                // each body is repaired for good, or the search ends here
                Err((hash, error)) => drop(self.mend_read(hash, error).await?),
            }
        }
    }
}

/// Which messages match. Blocks. The error names the body that cannot be read.
fn examine(
    bodies: &BodyLog,
    query: &Query,
    items: &[(ItemRow, StoredBody)],
) -> Result<Vec<(Uid, ModSeq)>, (BodyHash, StoreError)> {
    let mut found = Vec::new();
    for (item, stored) in items {
        let message = load(bodies, stored.clone()).map_err(|error| (stored.hash(), error))?;
        if read::examine(query, item, &message) {
            found.push((item.uid, item.modseq));
        }
    }
    Ok(found)
}

pub(crate) fn from_index(
    db: &Connection,
    cache: &read::UidCache,
    request: Request,
) -> Result<Response, Stop> {
    match request {
        Request::Folders { mailbox } => read::folders(db, mailbox),
        Request::Folder { mailbox, name } => read::folder_named(db, mailbox, &name),
        Request::Uids { mailbox, folder } => {
            let folder = read::folder(db, mailbox, folder)?;
            let (uids, modseq) = cache.uids(db, &folder)?;
            Ok(Response::Uids { uids, modseq })
        }
        Request::Items { mailbox, folder, uids, parts, changed_since } => {
            let folder = read::folder(db, mailbox, folder)?;
            read::items(db, &folder, &uids, parts, changed_since)
        }
        Request::Changes { mailbox, folder, since } => {
            let folder = read::folder(db, mailbox, folder)?;
            read::changes(db, &folder, since, || cache.uids(db, &folder).map(|(uids, _)| uids))
        }
        Request::Quota { mailbox } => read::quota(db, mailbox),
        Request::Spool { after, limit, due } => read::spool(db, after, limit, due),
        Request::Export(what) => export(db, what),
        _ => Err(Refusal::Limit("not a reading request".into()).into()),
    }
}

/// The bytes of a body, verified by its hash. Blocks.
pub(crate) fn load(bodies: &BodyLog, stored: StoredBody) -> Result<Bytes, StoreError> {
    match stored {
        StoredBody::Logged(hash) => Ok(bodies.get(hash)?),
        StoredBody::Inline(hash, bytes) => match verified(hash, &bytes) {
            true => Ok(bytes),
            // a copy from another replica, where the one in the database was damaged before
            false => bodies
                .get(hash)
                .map_err(|_| StoreError::Damaged(format!("body {hash:?} does not match its hash"))),
        },
    }
}

pub(super) fn verified(hash: BodyHash, bytes: &[u8]) -> bool {
    blake3::hash(bytes).as_bytes() == &hash.0
}
