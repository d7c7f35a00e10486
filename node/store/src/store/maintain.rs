//! What a store does for itself in the background: verify bodies, collect garbage, watch the disk.

use std::{
    collections::HashSet,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use posthouse_cluster::env::Clock;

use super::{Inner, Store, blocking, query::load};
use crate::{BodyHash, StoreError, read};

/// Between two looks at the disk.
const WATCH: Duration = Duration::from_secs(5);
/// Between two collections.
const COLLECT: Duration = Duration::from_secs(3600);
/// Between two scrubs.
const SCRUB: Duration = Duration::from_secs(24 * 3600);
/// A body that nothing names is kept for so long: its command may be under way.
const GRACE: Duration = Duration::from_secs(3600);
/// Entries of the log that may not be applied yet when bodies are collected: they came within the grace.
const MAX_LAG: u64 = 10_000;
/// Bytes per second that a scrub reads.
const SCRUB_RATE: u64 = 8 << 20;
/// Inline bodies that a scrub reads at once.
const SCRUB_CHUNK: i64 = 256;

/// Outcome of [`Store::scrub`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scrub {
    /// Bodies that are there and match their hash.
    pub sound: u64,
    /// Bodies that do not, with the reason.
    pub damaged: Vec<(BodyHash, String)>,
    /// Bodies that are named and not there.
    pub missing: Vec<BodyHash>,
    /// Bodies that were damaged or missing and came from another replica: they are sound now.
    pub repaired: Vec<BodyHash>,
}

/// Outcome of [`Store::collect`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collection {
    /// Bodies that are gone.
    pub bodies: u64,
    /// Files that are gone.
    pub files: u64,
    /// Bytes that were given back to the disk.
    pub bytes: u64,
}

impl Store {
    /// Verifies all bodies. At most `rate` bytes per second, `None` as fast as it goes.
    pub async fn scrub(&self, rate: Option<u64>) -> Result<Scrub, StoreError> {
        let (bodies, clock) = (self.inner.bodies.clone(), self.inner.env.clock.clone());
        let logged = blocking(move || bodies.scrub(throttle(clock, rate)));
        let logged = logged.await.map_err(StoreError::Unavailable)?;
        let mut scrub =
            Scrub { sound: logged.sound, damaged: logged.damaged, ..Default::default() };
        let there: HashSet<_> = self.inner.bodies.hashes().into_iter().collect();
        let named = self.inner.readers.read(read::logged_bodies).await?;
        scrub.missing = named.into_iter().filter(|hash| !there.contains(hash)).collect();
        self.scrub_inline(&mut scrub).await?;
        self.repair(&mut scrub).await;
        for (hash, reason) in &scrub.damaged {
            tracing::error!(target: "error", ?hash, reason, "damaged body");
        }
        for hash in &scrub.missing {
            tracing::error!(target: "error", ?hash, "missing body");
        }
        Ok(scrub)
    }

    /// Gets from other replicas what is damaged or missing.
    async fn repair(&self, scrub: &mut Scrub) {
        let mut damaged = Vec::new();
        for (hash, reason) in std::mem::take(&mut scrub.damaged) {
            let error = StoreError::Damaged(reason.clone());
            match self.mend_read(hash, error).await {
                Ok(_) => scrub.repaired.push(hash),
                Err(_) => damaged.push((hash, reason)),
            }
        }
        let mut missing = Vec::new();
        for hash in std::mem::take(&mut scrub.missing) {
            match self.mend(hash).await {
                Some(_) => scrub.repaired.push(hash),
                None => missing.push(hash),
            }
        }
        (scrub.damaged, scrub.missing) = (damaged, missing);
    }

    async fn scrub_inline(&self, scrub: &mut Scrub) -> Result<(), StoreError> {
        let mut after = 0;
        loop {
            let chunk = self
                .inner
                .readers
                .read(move |db| read::inline_bodies(db, after, SCRUB_CHUNK))
                .await?;
            let Some((last, _)) = chunk.last() else { return Ok(()) };
            after = *last;
            for (_, stored) in chunk {
                let hash = stored.hash();
                match load(&self.inner.bodies, stored) {
                    Ok(_) => scrub.sound += 1,
                    Err(error) => scrub.damaged.push((hash, error.to_string())),
                }
            }
        }
    }

    /// Gives back the room of bodies that no item, spool entry or recent call names.
    pub async fn collect(&self) -> Result<Collection, StoreError> {
        self.collect_after(GRACE).await
    }

    /// Whether this replica has applied almost all of the log and is in touch with the others.
    fn is_current(&self) -> bool {
        let status = self.inner.group.status();
        status.quorum && status.last_log.saturating_sub(status.applied) <= MAX_LAG
    }

    pub(crate) async fn collect_after(&self, grace: Duration) -> Result<Collection, StoreError> {
        if !self.is_current() {
            // the log may name what the database does not yet
            return Ok(Collection::default());
        }
        let named = self.inner.readers.read(read::logged_bodies).await?;
        let bodies = self.inner.bodies.clone();
        let work = move || bodies.collect(&named.into_iter().collect(), grace);
        let collected = blocking(work).await.map_err(StoreError::Unavailable)??;
        Ok(Collection { bodies: collected.bodies, files: collected.files, bytes: collected.bytes })
    }
}

/// Keeps to so many bytes per second.
pub(super) struct Pace {
    clock: Arc<dyn Clock>,
    rate: u64,
    started: Duration,
    spent: AtomicU64,
}

impl Pace {
    pub(super) fn new(clock: Arc<dyn Clock>, rate: u64) -> Self {
        let started = clock.monotonic();
        Self { clock, rate, started, spent: AtomicU64::new(0) }
    }

    /// Returns when so many bytes more are in order.
    pub(super) async fn spend(&self, bytes: u64) {
        let before = self.spent.fetch_add(bytes, Ordering::Relaxed);
        let due = Duration::from_secs_f64(before as f64 / self.rate as f64);
        let pause = due.saturating_sub(self.clock.monotonic().saturating_sub(self.started));
        if !pause.is_zero() {
            self.clock.sleep(pause).await;
        }
    }
}

/// Sleeps so long that no more than `rate` bytes go by per second.
fn throttle(clock: Arc<dyn Clock>, rate: Option<u64>) -> impl FnMut(u64) {
    let started = clock.monotonic();
    let mut sum = 0_u64;
    move |bytes| {
        sum += bytes;
        let Some(rate) = rate.filter(|rate| *rate > 0) else { return };
        let due = Duration::from_secs_f64(sum as f64 / rate as f64);
        std::thread::sleep(due.saturating_sub(clock.monotonic().saturating_sub(started)));
    }
}

/// Starts the background task; it ends with the last handle of the store.
pub(super) fn start(store: &Store) {
    let weak = Arc::downgrade(&store.inner);
    store.inner.env.spawner.spawn("store-maintenance", Box::pin(run(weak)));
}

async fn run(store: Weak<Inner>) {
    let mut since_collect = Duration::ZERO;
    let mut since_scrub = Duration::ZERO;
    loop {
        let Some(inner) = store.upgrade() else { return };
        let clock = inner.env.clock.clone();
        drop(inner);
        clock.sleep(WATCH).await;
        since_collect += WATCH;
        since_scrub += WATCH;
        let Some(inner) = store.upgrade() else { return };
        let store = Store { inner: inner.clone() };
        // a failed look leaves the last one standing
        let _ = blocking(move || inner.look_at_disk()).await;
        if since_collect >= COLLECT {
            since_collect = Duration::ZERO;
            report("collection", store.collect().await.map(drop));
        }
        if since_scrub >= SCRUB {
            since_scrub = Duration::ZERO;
            report("scrub", store.scrub(Some(SCRUB_RATE)).await.map(drop));
        }
    }
}

fn report(what: &str, outcome: Result<(), StoreError>) {
    if let Err(error) = outcome {
        tracing::warn!(target: "warning", what, %error, "maintenance of the store failed");
    }
}
