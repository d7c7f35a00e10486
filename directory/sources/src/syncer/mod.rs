//! Keeps mapped accounts current: when to read, what to remember between readings, and what to tell.

mod apply;
mod round;

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use posthouse_cluster::{NodeId, Timestamp};
use posthouse_directory::{Actor, Change, Directory, SourceId, SourceSpec, SyncBatch, key};
use tokio::{task::JoinHandle, time::Instant};

use crate::{SourceError, error::guarded, locate::Controller, plan::Withheld};

/// Decrypts [`SourceSpec::bind_secret`]: `auth`'s vault, which sits above this crate. `None` if it cannot.
pub type Unseal = Arc<dyn Fn(&SourceSpec) -> Option<String> + Send + Sync>;

/// Longest pause after failures.
const MAX_BACK_OFF: Duration = Duration::from_secs(300);
/// Longest reading.
const MAX_ROUND: Duration = Duration::from_secs(3_600);
/// How often it is looked whether something is due.
const TICK: Duration = Duration::from_secs(1);

/// What a [`Syncer`] needs to know.
#[derive(Clone)]
pub struct SyncerOptions {
    /// This node: sources are read only where it leads the domain group.
    pub node: NodeId,
    /// See there.
    pub unseal: Unseal,
}

/// How a source is doing, on the node that reads it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceStatus {
    /// Whether it is being read now.
    pub running: bool,
    /// Controller of the last reading, `host:port`.
    pub controller: String,
    /// End of the last reading that was complete.
    pub last_success: Option<Timestamp>,
    /// How long it took.
    pub took: Duration,
    /// Whether that reading was a full one.
    pub full: bool,
    /// Accounts that it made or changed.
    pub changed: usize,
    /// Accounts that it disabled because they are gone.
    pub disabled: usize,
    /// What is wrong, with the remedy; empty when all is well.
    pub problem: String,
    /// Removals that wait for [`Syncer::confirm_removals`].
    pub withheld: Option<Withheld>,
    /// Entries that were left out, and the like; the last reading's.
    pub warnings: Vec<String>,
}

/// What is remembered between the readings of one source. Losing it costs one listing of all keys.
#[derive(Default)]
struct Memory {
    controller: Option<Controller>,
    last_full: Option<Instant>,
    last_listing: Option<Instant>,
    listing_took: Duration,
    withheld: Option<Withheld>,
    removals_confirmed: bool,
    /// Of the last full reading.
    warnings: Vec<String>,
    failures: u32,
    due: Option<Instant>,
    /// The source as it was last read, without its progress.
    read: Option<SourceSpec>,
}

impl Memory {
    /// Whether it is time, or the source was changed: whoever corrects a password does not want to wait.
    fn is_due(&self, spec: &SourceSpec) -> bool {
        self.due.is_none_or(|due| due <= Instant::now())
            || self.read.as_ref() != Some(&without_progress(spec))
    }
}

fn without_progress(spec: &SourceSpec) -> SourceSpec {
    SourceSpec { watermark: None, problem: String::new(), ..spec.clone() }
}

#[derive(Default)]
struct Slot {
    memory: tokio::sync::Mutex<Memory>,
    status: Mutex<SourceStatus>,
}

struct Inner {
    directory: Directory,
    options: SyncerOptions,
    slots: Mutex<HashMap<SourceId, Arc<Slot>>>,
}

/// Reads all sources again and again, where this node leads. Ends when the last clone is dropped.
#[derive(Clone)]
pub struct Syncer {
    inner: Arc<Inner>,
    _task: Arc<Task>,
}

struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Syncer {
    /// Starts reading.
    pub fn start(directory: Directory, options: SyncerOptions) -> Self {
        let inner = Arc::new(Inner { directory, options, slots: Mutex::default() });
        let task = tokio::spawn(watch(Arc::downgrade(&inner)));
        Self { inner, _task: Arc::new(Task(task)) }
    }

    /// Reads a source now and waits for the end of it. The error is for the administrator and has the remedy.
    pub async fn sync_now(&self, source: SourceId) -> Result<SourceStatus, String> {
        let spec = self.spec(source)?;
        let slot = self.inner.slot(source);
        let mut memory = slot.memory.lock().await;
        self.inner.round(&spec, &slot, &mut memory).await.map_err(|e| e.explain())?;
        Ok(slot.status.lock().clone())
    }

    /// Agrees once that more accounts than the threshold have left, and reads the source.
    pub async fn confirm_removals(&self, source: SourceId) -> Result<SourceStatus, String> {
        let spec = self.spec(source)?;
        let slot = self.inner.slot(source);
        let mut memory = slot.memory.lock().await;
        memory.removals_confirmed = true;
        self.inner.round(&spec, &slot, &mut memory).await.map_err(|e| e.explain())?;
        Ok(slot.status.lock().clone())
    }

    /// How a source is doing.
    pub fn status(&self, source: SourceId) -> SourceStatus {
        let slot = self.inner.slots.lock().get(&source).cloned();
        slot.map(|slot| slot.status.lock().clone()).unwrap_or_default()
    }

    fn spec(&self, source: SourceId) -> Result<Arc<SourceSpec>, String> {
        if !self.inner.leads() {
            return Err("this node does not lead the domain; ask the one that does".into());
        }
        self.inner.spec(source).ok_or_else(|| "there is no such source".into())
    }
}

/// Looks every second what is due.
async fn watch(inner: std::sync::Weak<Inner>) {
    loop {
        let Some(inner) = inner.upgrade() else { return };
        if inner.leads() {
            for spec in inner.directory.sources() {
                if spec.enabled {
                    start_if_due(&inner, spec);
                }
            }
        }
        drop(inner);
        tokio::time::sleep(TICK).await;
    }
}

fn start_if_due(inner: &Arc<Inner>, spec: Arc<SourceSpec>) {
    let slot = inner.slot(spec.id);
    // One that is being read is not due.
    let due = slot.memory.try_lock().is_ok_and(|memory| memory.is_due(&spec));
    if !due {
        return;
    }
    let inner = inner.clone();
    tokio::spawn(async move {
        let mut memory = slot.memory.lock().await;
        if memory.is_due(&spec) {
            // The outcome is in the status, in the directory and in the log.
            let _ = inner.round(&spec, &slot, &mut memory).await;
        }
    });
}

impl Inner {
    fn leads(&self) -> bool {
        self.directory.status().leader == Some(self.options.node)
    }

    fn spec(&self, source: SourceId) -> Option<Arc<SourceSpec>> {
        self.directory.sources().into_iter().find(|spec| spec.id == source)
    }

    fn slot(&self, source: SourceId) -> Arc<Slot> {
        self.slots.lock().entry(source).or_default().clone()
    }

    /// One reading with everything around it.
    async fn round(
        self: &Arc<Self>,
        spec: &SourceSpec,
        slot: &Slot,
        memory: &mut Memory,
    ) -> Result<(), SourceError> {
        let started = Instant::now();
        slot.status.lock().running = true;
        let outcome = match (self.options.unseal)(spec) {
            None => Err(SourceError::NoPassword),
            Some(password) => {
                let reading = guarded(&spec.directory_domain, self.read(spec, &password, memory));
                tokio::time::timeout(MAX_ROUND, reading)
                    .await
                    .unwrap_or_else(|_| Err(too_slow(spec)))
            }
        };
        let interval = Duration::from_secs(self.directory.integer(key::SOURCE_INTERVAL));
        memory.failures = if outcome.is_ok() { 0 } else { memory.failures.saturating_add(1) };
        let factor = 1 << memory.failures.min(10);
        let pause = if memory.failures == 0 {
            interval
        } else {
            (interval * factor).min(MAX_BACK_OFF).max(interval)
        };
        memory.due = Some(Instant::now() + pause);
        memory.read = Some(without_progress(spec));
        let took = started.elapsed();
        let name = match &outcome {
            Ok(_) => "complete",
            Err(_) => "failed",
        };
        metrics::counter!("posthouse_source_readings_total", "outcome" => name).increment(1);
        metrics::histogram!("posthouse_source_reading_seconds").record(took.as_secs_f64());
        let mut status = slot.status.lock().clone();
        status.running = false;
        let result = match outcome {
            Ok(report) => {
                status = SourceStatus {
                    took,
                    last_success: Some(self.directory.environment().clock.now()),
                    ..report
                };
                Ok(())
            }
            Err(error) => {
                status.problem = error.explain();
                tracing::warn!(target: "warning", source = spec.name, %error, "source not read");
                Err(error)
            }
        };
        let problem = status.problem.clone();
        *slot.status.lock() = status;
        self.tell(spec, problem).await;
        result
    }

    /// Writes down what is wrong, if that is news.
    async fn tell(&self, spec: &SourceSpec, problem: String) {
        if self.spec(spec.id).is_none_or(|present| present.problem == problem) {
            return;
        }
        let batch = SyncBatch {
            source: spec.id,
            upserts: Vec::new(),
            disables: Vec::new(),
            watermark: None,
            problem: Some(problem),
        };
        let change = Change::Sync(Box::new(batch));
        if let Err(error) = self.directory.change(actor(spec), change).await {
            tracing::warn!(target: "warning", source = spec.name, %error, "state of the source not written");
        }
    }
}

fn actor(spec: &SourceSpec) -> Actor {
    Actor::System(format!("sync of source {}", spec.name))
}

fn too_slow(spec: &SourceSpec) -> SourceError {
    SourceError::Interrupted { host: spec.directory_domain.clone(), cause: "it is too slow".into() }
}
