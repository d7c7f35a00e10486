//! Bodies that are missing or damaged here come from the other replicas: at once when somebody reads them,
//! in the background in any case.

use std::{
    pin::pin,
    sync::{Arc, Weak},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt, future::select, stream};
use posthouse_cluster::NodeId;
use serde::{Deserialize, Serialize};

use super::{Inner, Store, blocking, maintain::Pace, query::verified};
use crate::{BodyHash, StoreError, read};

/// Bodies that are fetched at a time in the background.
const AT_ONCE: usize = 4;
/// Bodies that are looked at in one round.
const ROUND: usize = 256;
/// Bytes per second that are fetched in the background.
const RATE: u64 = 64 << 20;
/// Pause after bodies could not be fetched, and between looks when nothing is known to be missing.
const PAUSE: Duration = Duration::from_secs(2);

/// How the replica of a store on a node is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaState {
    /// All bodies that its database names are on its disk: it may vote.
    pub complete: bool,
    /// Last log entry whose effect is in its database.
    pub applied: u64,
    /// Bodies that are missing.
    pub missing_bodies: u64,
    /// Their bytes.
    pub missing_bytes: u64,
    /// Bodies that were fetched from other replicas since the start.
    pub fetched_bodies: u64,
    /// Their bytes.
    pub fetched_bytes: u64,
}

impl Store {
    /// Whether all bodies that the database names are on this node's disk.
    pub fn is_complete(&self) -> bool {
        self.inner.absent.is_complete()
    }

    /// Number of bodies that are missing on this node's disk.
    pub fn missing_bodies(&self) -> u64 {
        self.inner.absent.progress().0.bodies
    }

    /// How this replica is doing.
    pub fn state(&self) -> ReplicaState {
        let (missing, fetched) = self.inner.absent.progress();
        ReplicaState {
            complete: self.is_complete(),
            applied: self.inner.group.status().applied,
            missing_bodies: missing.bodies,
            missing_bytes: missing.bytes,
            fetched_bodies: fetched.bodies,
            fetched_bytes: fetched.bytes,
        }
    }

    /// The other replicas, the leader first.
    fn others(&self) -> Vec<NodeId> {
        let members = self.inner.group.members();
        let leader = self.inner.group.leader();
        let mut others: Vec<_> = members.voters.union(&members.learners).copied().collect();
        others.retain(|node| *node != self.inner.node);
        others.sort_by_key(|node| (leader != Some(*node), *node));
        others
    }

    /// Gets a sound copy of a body that is missing or damaged here and puts it on disk.
    pub(super) async fn mend(&self, hash: BodyHash) -> Option<Bytes> {
        for node in self.others() {
            let fetched = match self.inner.peers.fetch(node, self.inner.id, hash).await {
                Ok(Some(body)) => body,
                Ok(None) => continue,
                Err(error) => {
                    tracing::debug!(target: "debug", %error, ?hash, "a body was not fetched");
                    continue;
                }
            };
            let checked = fetched.clone();
            if !blocking(move || verified(hash, &checked)).await.unwrap_or(false) {
                tracing::error!(target: "error", ?hash, %node, "another node sent a damaged body");
                continue;
            }
            let now = self.inner.env.clock.now();
            if let Err(error) = self.inner.bodies.put(hash, fetched.clone(), now).await {
                // it can be read all the same
                tracing::error!(target: "error", ?hash, %error, "a fetched body cannot be stored");
            } else {
                self.inner.absent.remove(&hash, true);
            }
            metrics::counter!("posthouse_store_fetched_bodies_total").increment(1);
            return Some(fetched);
        }
        None
    }

    /// The body in place of the one whose reading failed.
    pub(super) async fn mend_read(
        &self,
        hash: BodyHash,
        error: StoreError,
    ) -> Result<Bytes, StoreError> {
        let damaged = matches!(error, StoreError::Damaged(_));
        match self.mend(hash).await {
            Some(body) => {
                let (store, what) = (self.inner.id.0, if damaged { "damaged" } else { "missing" });
                tracing::error!(target: "error", store, ?hash, %error, "a {what} body was repaired from another replica");
                metrics::counter!("posthouse_store_repaired_bodies_total").increment(1);
                Ok(body)
            }
            None => Err(error),
        }
    }

    /// A body for another replica.
    pub(crate) async fn body_for_peer(&self, hash: BodyHash) -> Option<Bytes> {
        let bodies = self.inner.bodies.clone();
        match blocking(move || bodies.get(hash)).await {
            Ok(Ok(body)) => return Some(body),
            Ok(Err(crate::bodylog::BodyLogError::Damaged(_))) => {
                self.inner.absent.add(hash, 0);
            }
            _ => {}
        }
        let inline = self.inner.readers.read(move |db| read::inline_body(db, hash)).await;
        inline.ok().flatten().filter(|body| verified(hash, body))
    }

    /// Puts a body on disk that the leader sent.
    pub(crate) async fn take_body(
        &self,
        hash: BodyHash,
        body: Bytes,
        at: posthouse_cluster::Timestamp,
    ) -> Result<(), StoreError> {
        let checked = body.clone();
        if !blocking(move || verified(hash, &checked)).await.unwrap_or(false) {
            return Err(StoreError::Damaged("the body does not match its hash".into()));
        }
        self.inner.check_room()?;
        self.inner.bodies.put(hash, body, at).await?;
        self.inner.absent.remove(&hash, true);
        Ok(())
    }

    pub(crate) fn has_body(&self, hash: &BodyHash) -> bool {
        self.inner.bodies.has(hash)
    }

    /// Compares the database with the disk.
    async fn look_for_absent(&self) -> Result<(), StoreError> {
        let named = self.inner.readers.read(read::logged_bodies_with_size).await?;
        for (hash, size) in named {
            if !self.inner.bodies.has(&hash) {
                self.inner.absent.add(hash, size);
            }
        }
        Ok(())
    }

    /// Fetches one missing body; whether it is missing no longer.
    async fn fetch_absent(&self, hash: BodyHash) -> bool {
        if self.inner.bodies.has(&hash) {
            self.inner.absent.remove(&hash, false);
            return true;
        }
        let named = self.inner.readers.read(move |db| read::names_body(db, hash)).await;
        if matches!(named, Ok(false)) {
            self.inner.absent.remove(&hash, false);
            return true;
        }
        self.mend(hash).await.is_some()
    }
}

/// Starts the task that fetches what is missing; it ends with the last handle of the store.
pub(super) fn start(store: &Store) {
    let weak = Arc::downgrade(&store.inner);
    store.inner.env.spawner.spawn("store-bodies", Box::pin(run(weak)));
}

async fn run(weak: Weak<Inner>) {
    loop {
        let Some(inner) = weak.upgrade() else { return };
        let store = Store { inner };
        let done = round(&store).await;
        let (absent, clock) = (store.inner.absent.clone(), store.inner.env.clock.clone());
        let more = store.missing_bodies() > 0;
        drop(store);
        if done && more {
            continue;
        }
        let nap = clock.sleep(PAUSE);
        if done {
            select(pin!(absent.changed()), nap).await;
        } else {
            nap.await;
        }
    }
}

/// Fetches some of what is missing; false if something could not be had.
async fn round(store: &Store) -> bool {
    let absent = &store.inner.absent;
    if absent.begin_look() {
        if let Err(error) = store.look_for_absent().await {
            tracing::warn!(target: "warning", %error, "bodies cannot be looked for");
            absent.look_again();
            return false;
        }
        absent.end_look();
    }
    let some = absent.some(ROUND);
    if some.is_empty() {
        return true;
    }
    let pace = Pace::new(store.inner.env.clock.clone(), RATE);
    let fetched = stream::iter(some)
        .map(|(hash, size)| {
            let pace = &pace;
            async move {
                pace.spend(u64::from(size)).await;
                store.fetch_absent(hash).await
            }
        })
        .buffer_unordered(AT_ONCE)
        .fold((0_u64, 0_u64), |(there, gone), got| async move {
            if got { (there + 1, gone) } else { (there, gone + 1) }
        })
        .await;
    let (there, gone) = fetched;
    if gone > 0 && !store.others().is_empty() {
        tracing::warn!(target: "warning", store = store.inner.id.0, fetched = there, missing = gone,
            "bodies are missing here and cannot be fetched from other replicas now");
    }
    gone == 0
}
