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

use std::{collections::HashSet, sync::Arc, time::Duration};

use parking_lot::Mutex;
use posthouse_cluster::Environment;
use posthouse_directory::Directory;
use posthouse_store::{Event, Request, Response, SpoolEntry, SpoolId, Stores};
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
    in_flight: Mutex<HashSet<SpoolId>>,
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
        start_due(&context, &tasks).await;
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
            Ok(Event::Spool) | Err(RecvError::Lagged(_)) => return,
            Ok(_) => {}
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

/// Starts a task for each due entry that has none, up to [`MAX_ENTRIES`].
async fn start_due(context: &Arc<SenderContext>, tasks: &TaskTracker) {
    let mut after = SpoolId(0);
    loop {
        if context.in_flight.lock().len() >= MAX_ENTRIES {
            return;
        }
        let due = Some(context.env.clock.now());
        let entries = match context.stores.request(Request::Spool { after, limit: PAGE, due }).await
        {
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
            start(context, tasks, entry);
        }
    }
}

fn start(context: &Arc<SenderContext>, tasks: &TaskTracker, entry: SpoolEntry) {
    let id = entry.id;
    let mut in_flight = context.in_flight.lock();
    if in_flight.len() >= MAX_ENTRIES || !in_flight.insert(id) {
        return;
    }
    drop(in_flight);
    let context = context.clone();
    tasks.spawn(async move {
        let claim = Claim { context: &context, id };
        entry::process(&context, entry).await;
        drop(claim);
    });
}

/// An entry that is worked on; given back even if the work panics.
struct Claim<'a> {
    context: &'a SenderContext,
    id: SpoolId,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.context.in_flight.lock().remove(&self.id);
        self.context.finished.notify_one();
    }
}
