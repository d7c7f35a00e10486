//! One simulated machine: a disk, clocks of its own, and a process that can be killed.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use parking_lot::Mutex;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha12Rng;
use tokio::{runtime::Runtime, time::Sleep};

use super::{START, SimDisk, SimRandom, real_thread};
use crate::{
    Environment, Timestamp,
    env::{BoxFuture, Clock, Spawner},
    raft::runtime::exchange_random,
};

/// What the process and the machine around it share.
#[derive(Default)]
struct Shared {
    /// Milliseconds of the machine's own monotonic clock.
    monotonic: AtomicU64,
    /// Milliseconds that the wall clock is ahead of the monotonic one, [`START`] aside.
    ahead: AtomicI64,
    /// Longest time in milliseconds that a worker waits for its disk.
    slow: AtomicU64,
}

struct HostClock(Arc<Shared>);

impl Clock for HostClock {
    fn now(&self) -> Timestamp {
        let time = START + self.0.monotonic.load(Ordering::Relaxed);
        Timestamp(time.saturating_add_signed(self.0.ahead.load(Ordering::Relaxed)))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.0.monotonic.load(Ordering::Relaxed))
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<()> {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// Runs everything as tasks of the host's runtime; workers as slowly as their disk.
struct HostSpawner {
    shared: Arc<Shared>,
    random: Arc<Mutex<ChaCha12Rng>>,
}

impl Spawner for HostSpawner {
    fn spawn(&self, _name: &'static str, task: BoxFuture<()>) {
        tokio::spawn(task);
    }

    fn thread(&self, name: &str, body: Box<dyn FnOnce() + Send>) -> io::Result<()> {
        real_thread(name, body)
    }

    fn worker(&self, _name: &str, task: BoxFuture<()>) -> io::Result<()> {
        let (shared, random) = (self.shared.clone(), self.random.clone());
        tokio::spawn(Worker { task, nap: None, shared, random });
        Ok(())
    }
}

/// A worker that waits before each piece of work when its disk is slow: what it does then happens at
/// once and late, which is all that others can see of a slow disk.
struct Worker {
    task: BoxFuture<()>,
    nap: Option<Pin<Box<Sleep>>>,
    shared: Arc<Shared>,
    random: Arc<Mutex<ChaCha12Rng>>,
}

impl Future for Worker {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let slow = self.shared.slow.load(Ordering::Relaxed);
        if slow > 0 && self.nap.is_none() {
            let wait = Duration::from_millis(self.random.lock().random_range(0..=slow));
            self.nap = Some(Box::pin(tokio::time::sleep(wait)));
        }
        if let Some(nap) = &mut self.nap {
            ready!(nap.as_mut().poll(context));
            self.nap = None;
        }
        self.task.as_mut().poll(context)
    }
}

/// A machine. Its process is everything that runs on [`Host::runtime`].
pub(super) struct Host {
    pub disk: SimDisk,
    pub runtime: Option<Runtime>,
    pub stopped: bool,
    /// Milliseconds of its own time that pass in one of the world's.
    pub rate: f64,
    /// Own time that has passed and was not lived, in milliseconds.
    owed: f64,
    shared: Arc<Shared>,
    random: ChaCha12Rng,
    consensus: Option<ChaCha12Rng>,
}

impl Host {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = ChaCha12Rng::seed_from_u64(seed);
        let consensus = Some(ChaCha12Rng::seed_from_u64(random.random()));
        Self {
            disk: SimDisk::new(random.random()),
            runtime: None,
            stopped: false,
            rate: 1.0,
            owed: 0.0,
            shared: Arc::default(),
            random,
            consensus,
        }
    }

    /// Starts an empty process.
    pub(super) fn boot(&mut self) -> io::Result<Environment> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()?;
        (self.runtime, self.stopped, self.owed) = (Some(runtime), false, 0.0);
        let random = Arc::new(Mutex::new(ChaCha12Rng::seed_from_u64(self.random.random())));
        Ok(Environment {
            clock: Arc::new(HostClock(self.shared.clone())),
            disk: Arc::new(self.disk.clone()),
            random: Arc::new(SimRandom::new(self.random.random())),
            spawner: Arc::new(HostSpawner { shared: self.shared.clone(), random }),
        })
    }

    /// Lets one millisecond of the world pass, and the process do what it can meanwhile.
    pub(super) fn step(&mut self) {
        self.owed += self.rate;
        if self.stopped && self.runtime.is_some() {
            return;
        }
        let whole = self.owed.floor();
        self.owed -= whole;
        let passed = Duration::from_millis(whole as u64);
        if let Some(runtime) = &self.runtime {
            exchange_random(&mut self.consensus);
            runtime.block_on(live(passed));
            exchange_random(&mut self.consensus);
        }
        self.shared.monotonic.fetch_add(whole as u64, Ordering::Relaxed);
    }

    /// Ends the process. What it had in memory is gone.
    pub(super) fn end(&mut self) {
        exchange_random(&mut self.consensus);
        drop(self.runtime.take());
        exchange_random(&mut self.consensus);
    }

    pub(super) fn jump(&self, milliseconds: i64) {
        self.shared.ahead.fetch_add(milliseconds, Ordering::Relaxed);
    }

    pub(super) fn slow(&self, longest: Duration) {
        self.shared.slow.store(longest.as_millis() as u64, Ordering::Relaxed);
    }
}

/// Longest time that passes as ever: after a longer one the process was stopped, and finds all timers
/// due at once.
const BREATH: Duration = Duration::from_millis(20);

async fn live(passed: Duration) {
    if passed > BREATH {
        tokio::time::advance(passed).await;
    } else if !passed.is_zero() {
        return tokio::time::sleep(passed).await;
    }
    // whatever can run without time
    for _ in 0..ROUNDS {
        tokio::task::yield_now().await;
    }
}

/// Turns of the runtime that a process gets when no time passes.
const ROUNDS: usize = 100;
