//! All moves of the stores that this node leads, a few at a time.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use posthouse_cluster::{Environment, GroupId};

use super::{
    Driver, Export, Exported, Ledger, MoveError, MoveId, Pace, Places, Progress, Standing, Wish,
    drive::Next,
};
use crate::{Call, Request, RequestId, Response};

/// Between two looks for moves.
const LOOK: Duration = Duration::from_secs(1);
/// A driver goes on for so long after its store was not led here any more.
const LEASE_LOST: Duration = Duration::from_secs(3);
/// After a driver stopped early, it waits so long at first and twice as long each further time,
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// up to this.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// How moves are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunnerOptions {
    /// Mailboxes that are copied at the same time by this node, at least 1.
    pub at_once: usize,
    /// How fast all of them together are copied.
    pub pace: Pace,
}

impl Default for RunnerOptions {
    fn default() -> Self {
        Self { at_once: 2, pace: Pace { bytes_per_second: Some(32 << 20) } }
    }
}

/// Which stores this node leads at the moment. Must not block.
pub type Led = Arc<dyn Fn() -> Vec<GroupId> + Send + Sync>;

/// Runs the moves of the stores that this node leads. Cheap to clone.
#[derive(Clone)]
pub struct MoveRunner {
    inner: Arc<Inner>,
}

struct Inner {
    env: Environment,
    places: Arc<dyn Places>,
    ledger: Arc<dyn Ledger>,
    led: Led,
    options: Mutex<RunnerOptions>,
    running: Mutex<BTreeMap<MoveId, Arc<Mutex<Progress>>>>,
    waiting: Mutex<HashMap<MoveId, Wait>>,
    stopped: AtomicBool,
    next: Next,
}

/// A move that cannot go on at the moment.
struct Wait {
    until: Duration,
    last: Duration,
    progress: Progress,
}

impl MoveRunner {
    /// Begins to look for moves; ends with [`MoveRunner::stop`].
    pub fn start(
        env: Environment,
        places: Arc<dyn Places>,
        ledger: Arc<dyn Ledger>,
        led: Led,
        options: RunnerOptions,
    ) -> Self {
        let inner = Inner {
            env: env.clone(),
            places,
            ledger,
            led,
            options: Mutex::new(options),
            running: Mutex::default(),
            waiting: Mutex::default(),
            stopped: AtomicBool::new(false),
            next: Next::default(),
        };
        let runner = Self { inner: Arc::new(inner) };
        let task = runner.clone();
        env.spawner.spawn("moves", Box::pin(async move { task.run().await }));
        runner
    }

    /// Other options from now on; moves that run keep theirs.
    pub fn set_options(&self, options: RunnerOptions) {
        *self.inner.options.lock() = options;
    }

    /// No move goes on from here; another node may take over.
    pub fn stop(&self) {
        self.inner.stopped.store(true, Ordering::SeqCst);
    }

    /// Moves that run or wait on this node, by id.
    pub fn progress(&self) -> Vec<Progress> {
        let mut all: BTreeMap<MoveId, Progress> = BTreeMap::new();
        for (id, wait) in self.inner.waiting.lock().iter() {
            all.insert(*id, wait.progress.clone());
        }
        for (id, progress) in self.inner.running.lock().iter() {
            all.insert(*id, progress.lock().clone());
        }
        all.into_values().collect()
    }

    async fn run(&self) {
        while !self.is_stopped() {
            let due = self.due().await;
            for (wish, begun) in due {
                self.begin(wish, begun);
            }
            self.inner.env.clock.sleep(LOOK).await;
        }
    }

    fn is_stopped(&self) -> bool {
        self.inner.stopped.load(Ordering::SeqCst)
    }

    /// Moves of the stores that are led here: first those that have begun, which a store itself
    /// knows of, whatever the directory says; then those that are asked for. With whether it only has to be tidied up.
    async fn due(&self) -> Vec<(Wish, bool)> {
        let led = (self.inner.led)();
        let mut seen = HashSet::new();
        let mut due = Vec::new();
        for store in &led {
            for wish in self.departures(*store).await {
                if seen.insert(wish.id) {
                    let over = !matches!(
                        self.inner.ledger.standing(wish.id),
                        Standing::Wanted | Standing::Unknown
                    );
                    due.push((wish, over));
                }
            }
        }
        for wish in self.inner.ledger.wishes() {
            if led.contains(&wish.from) && seen.insert(wish.id) {
                due.push((wish, self.inner.ledger.standing(wish.id) == Standing::Ending));
            }
        }
        due
    }

    async fn departures(&self, store: GroupId) -> Vec<Wish> {
        let call = Call {
            id: RequestId(self.inner.env.random.u128()),
            at: self.inner.env.clock.now(),
            request: Request::Export(Export::Departures),
        };
        match self.inner.places.call(store, call).await {
            Ok(Response::Exported(Exported::Departures(departures))) => departures
                .into_iter()
                .map(|one| Wish { id: one.id, mailbox: one.mailbox, from: store, to: one.to })
                .collect(),
            // asked again in a moment
            _ => Vec::new(),
        }
    }

    fn begin(&self, wish: Wish, over: bool) {
        let inner = &self.inner;
        let now = inner.env.clock.monotonic();
        let options = *inner.options.lock();
        let mut running = inner.running.lock();
        let waits = inner.waiting.lock().get(&wish.id).is_some_and(|wait| wait.until > now);
        let full = running.len() >= options.at_once.max(1) && !over;
        if waits || full || running.contains_key(&wish.id) {
            return;
        }
        let (led, runner) = (inner.led.clone(), self.clone());
        // a busy leader loses its lease for a moment now and then; who leads is asked by each step anyway
        let (clock, last) = (inner.env.clock.clone(), Mutex::new(now));
        let mine = Arc::new(move || {
            let (now, mut last) = (clock.monotonic(), last.lock());
            if led().contains(&wish.from) {
                *last = now;
            }
            !runner.is_stopped() && now.saturating_sub(*last) <= LEASE_LOST
        });
        let driver = Driver::new(
            inner.env.clone(),
            inner.places.clone(),
            inner.ledger.clone(),
            wish,
            options.pace,
            mine,
        )
        .sharing(inner.next.clone());
        running.insert(wish.id, driver.progress());
        drop(running);
        let runner = self.clone();
        let task = async move {
            let outcome = driver.drive().await;
            runner.ended(wish, outcome.err(), driver.progress().lock().clone());
        };
        inner.env.spawner.spawn("move", Box::pin(task));
    }

    fn ended(&self, wish: Wish, error: Option<MoveError>, progress: Progress) {
        let now = self.inner.env.clock.monotonic();
        let mut waiting = self.inner.waiting.lock();
        match error {
            None => drop(waiting.remove(&wish.id)),
            Some(MoveError::Later(why)) => {
                // one that got further begins anew with short waits: a busy leader loses its lease now and then
                let before =
                    waiting.get(&wish.id).filter(|wait| wait.progress.items >= progress.items);
                let last = before.map(|wait| wait.last * 2);
                let last = last.unwrap_or(FIRST_WAIT).min(LONGEST_WAIT);
                tracing::warn!(target: "warning", mailbox = ?wish.mailbox, from = wish.from.0,
                    to = wish.to.0, reason = ?why, "the move of a mailbox waits");
                waiting.insert(wish.id, Wait { until: now + last, last, progress });
            }
        }
        drop(waiting);
        self.inner.running.lock().remove(&wish.id);
    }
}
