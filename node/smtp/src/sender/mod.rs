//! Sending: empties the spool of a store to next hops and reports what became of each recipient.
//!
//! Every outcome is recorded in the store by one [`posthouse_store::Request::SpoolUpdate`] together with the report that it causes.
//! A recipient gets a message twice only if this program dies between the next hop's 250 and the update.

mod attempt;
mod client;
mod describe;
mod destinations;
mod entry;
mod local;
mod outcome;
mod report;
mod resolver;
mod tls;

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use posthouse_cluster::{Environment, GroupId};
use posthouse_directory::Directory;
use posthouse_store::{Event, Request, Response, SpoolEntry, SpoolId, Store, Stores};
use tokio::sync::{
    Notify,
    broadcast::{Receiver, error::RecvError},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use describe::{RecipientDescription, SpoolDescription, describe};
pub use resolver::Resolver;

pub(crate) use attempt::{MAX_ADDRESSES, MAX_RECIPIENTS};
use destinations::Destinations;
pub(crate) use destinations::{MAX_PER_DOMAIN, MAX_TOTAL};
#[cfg(test)]
pub(crate) use outcome::SCHEDULE;

/// Most entries that are worked on at a time.
const MAX_ENTRIES: usize = 500;
/// Entries read from the spool at once.
const PAGE: u32 = 200;
/// How often the spool is looked at when no event says so: entries become due by time alone.
const POLL: Duration = Duration::from_secs(2);
/// A node that begins to lead a spool sends nothing to other servers before this.
const TAKE_OVER: Duration = Duration::from_secs(3);
/// How long running deliveries are waited for at a stop.
const STOP_GRACE: Duration = Duration::from_secs(10);

/// What sending needs.
pub struct SenderContext {
    stores: Stores,
    directory: Directory,
    resolver: Resolver,
    host: String,
    env: Environment,
    tls: Arc<rustls::ClientConfig>,
    destinations: Destinations,
    in_flight: Mutex<HashSet<(GroupId, SpoolId)>>,
    /// Since when this node leads a spool, by the monotonic clock.
    led_since: Mutex<BTreeMap<GroupId, Duration>>,
    finished: Notify,
    stop: CancellationToken,
}

impl SenderContext {
    /// `host` is what this node calls itself; mail is never sent to a next hop of that name.
    pub fn new(
        stores: Stores,
        directory: Directory,
        resolver: Resolver,
        host: String,
        env: Environment,
    ) -> Result<Self, rustls::Error> {
        Ok(Self {
            stores,
            directory,
            resolver,
            host,
            env,
            tls: tls::opportunistic()?,
            destinations: Destinations::default(),
            in_flight: Mutex::default(),
            led_since: Mutex::default(),
            finished: Notify::new(),
            stop: CancellationToken::new(),
        })
    }
}

/// Sends what is due until `stop`. Deliveries that are running then are given some seconds; what is not recorded by
/// then is tried again after the next start.
pub async fn run_sender(context: Arc<SenderContext>, stop: CancellationToken) {
    let mut events = context.stores.events();
    let tasks = TaskTracker::new();
    loop {
        for store in led(&context) {
            start_due(&context, &store, &tasks).await;
        }
        tokio::select! {
            () = stop.cancelled() => break,
            () = spool_event(&mut events) => {}
            () = context.finished.notified() => {}
            () = tokio::time::sleep(POLL) => {}
        }
    }
    context.stop.cancel();
    tasks.close();
    let _ = tokio::time::timeout(STOP_GRACE, tasks.wait()).await;
}

/// Waits until the spool has something new.
async fn spool_event(events: &mut Receiver<Event>) {
    loop {
        match events.recv().await {
            Ok(Event::Spool | Event::Missed) | Err(RecvError::Lagged(_)) => return,
            Ok(_) => {}
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

/// Stores whose spools this node looks after: those that it leads.
fn led(context: &SenderContext) -> Vec<Store> {
    let now = context.env.clock.monotonic();
    let led: Vec<_> = context.stores.local().into_iter().filter(Store::leads).collect();
    let mut since = context.led_since.lock();
    since.retain(|id, _| led.iter().any(|store| store.id() == *id));
    for store in &led {
        since.entry(store.id()).or_insert(now);
    }
    led
}

impl SenderContext {
    /// Whether this node leads the spool for certain: who does not any more sends nothing.
    async fn may_send(&self, store: GroupId) -> bool {
        let Some(local) = self.stores.store(store) else { return false };
        if !local.leads() {
            return false;
        }
        if local.group().members().voters.len() > 1 {
            // who led before may be in the middle of sending
            let since = self.led_since.lock().get(&store).copied();
            let Some(since) = since else { return false };
            let now = self.env.clock.monotonic();
            let rest = TAKE_OVER.saturating_sub(now.saturating_sub(since));
            if !rest.is_zero() {
                self.env.clock.sleep(rest).await;
            }
        }
        self.leads(store)
    }

    fn leads(&self, store: GroupId) -> bool {
        self.stores.store(store).is_some_and(|local| local.leads())
    }
}

/// Starts a task for each due entry that has none, up to [`MAX_ENTRIES`].
async fn start_due(context: &Arc<SenderContext>, store: &Store, tasks: &TaskTracker) {
    let mut after = SpoolId(0);
    loop {
        if context.in_flight.lock().len() >= MAX_ENTRIES {
            return;
        }
        let due = Some(context.env.clock.now());
        let entries = match store.request(Request::Spool { after, limit: PAGE, due }).await {
            Ok(Response::Spool(entries)) => entries,
            Ok(other) => {
                tracing::error!(target: "error", ?other, "the spool cannot be listed");
                return;
            }
            Err(error) => {
                tracing::warn!(target: "warning", %error, "the spool cannot be listed");
                return;
            }
        };
        let Some(last) = entries.last().map(|entry| entry.id) else { return };
        after = last;
        for entry in entries {
            start(context, store.id(), tasks, entry);
        }
    }
}

fn start(context: &Arc<SenderContext>, store: GroupId, tasks: &TaskTracker, entry: SpoolEntry) {
    let id = (store, entry.id);
    let mut in_flight = context.in_flight.lock();
    if in_flight.len() >= MAX_ENTRIES || !in_flight.insert(id) {
        return;
    }
    drop(in_flight);
    let context = context.clone();
    tasks.spawn(async move {
        let claim = Claim { context: &context, id };
        entry::process(&context, store, entry).await;
        drop(claim);
    });
}

/// An entry that is worked on; given back even if the work panics.
struct Claim<'a> {
    context: &'a SenderContext,
    id: (GroupId, SpoolId),
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.context.in_flight.lock().remove(&self.id);
        self.context.finished.notify_one();
    }
}
