//! A simulated environment, for tests: clocks that move when told, randomness from a seed, a disk
//! in memory that forgets what was not synced, and workers that are tasks of one runtime.
//!
//! [`environment`] is for one node: run it on a current-thread runtime. [`World`] is for many, with a
//! network between them that breaks as told. One seed gives one history, as far as the code under
//! test takes everything from its [`Environment`] and [`Network`](crate::network::Network).
//! [`history`] judges what clients saw.

use std::{
    collections::BTreeMap,
    io,
    ops::Range,
    sync::Arc,
    task::{Poll, Waker},
    time::Duration,
};

use parking_lot::Mutex;
use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha12Rng;

use crate::{
    Environment, Timestamp,
    env::{BoxFuture, Clock, Random, Spawner},
};

mod disk;
pub mod history;
#[cfg(any(test, feature = "simulation"))]
mod host;
#[cfg(any(test, feature = "simulation"))]
mod net;
pub mod plant;
#[cfg(test)]
mod tests;
#[cfg(any(test, feature = "simulation"))]
mod world;

pub use disk::{Crash, Lie, SimDisk};
#[cfg(any(test, feature = "simulation"))]
pub use net::{Exchange, Link, SimNetwork, Wires};
#[cfg(any(test, feature = "simulation"))]
pub use world::{Boot, Sequence, World};

#[cfg(all(feature = "simulation", not(debug_assertions)))]
compile_error!("simulation, with its planted faults, is for tests and not for releases");

/// When simulated time begins: 2026-01-01, UTC.
const START: u64 = 1_767_225_600_000;

/// Environment variable that names the one seed to run, to see a failure again.
pub const SEED: &str = "POSTHOUSE_SIM_SEED";
/// Environment variable that says how many seeds to run instead of the usual number.
pub const ROUNDS: &str = "POSTHOUSE_SIM_ROUNDS";
/// Environment variable that says for how many minutes new seeds are run.
pub const MINUTES: &str = "POSTHOUSE_SIM_MINUTES";

/// The seeds that a test runs: `usual` many, or what [`SEED`] or [`ROUNDS`] says.
pub fn seeds(usual: u64) -> Range<u64> {
    let number = |name| std::env::var(name).ok().and_then(|value| value.parse().ok());
    match number(SEED) {
        Some(seed) => seed..seed + 1,
        None => 0..number(ROUNDS).unwrap_or(usual),
    }
}

/// An environment with this disk and clock, and randomness from `seed`.
pub fn environment(seed: u64, disk: &SimDisk, clock: &SimClock) -> Environment {
    Environment {
        clock: Arc::new(clock.clone()),
        disk: Arc::new(disk.clone()),
        random: Arc::new(SimRandom::new(seed)),
        spawner: Arc::new(SimSpawner),
    }
}

#[derive(Default)]
struct Time {
    now: Duration,
    jumped: i64,
    sleepers: BTreeMap<(Duration, u64), Option<Waker>>,
    next: u64,
}

/// A clock that stands still until [`SimClock::advance`]. Cheap to clone.
#[derive(Clone, Default)]
pub struct SimClock(Arc<Mutex<Time>>);

impl SimClock {
    /// Lets time pass; wakes who slept until then.
    pub fn advance(&self, by: Duration) {
        let mut time = self.0.lock();
        time.now += by;
        let later = (time.now, u64::MAX);
        let rest = time.sleepers.split_off(&later);
        let due = std::mem::replace(&mut time.sleepers, rest);
        drop(time);
        due.into_values().flatten().for_each(Waker::wake);
    }

    /// Moves the wall clock, and only it.
    pub fn jump(&self, milliseconds: i64) {
        self.0.lock().jumped += milliseconds;
    }
}

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        let time = self.0.lock();
        let now = START + time.now.as_millis() as u64;
        Timestamp(now.saturating_add_signed(time.jumped))
    }

    fn monotonic(&self) -> Duration {
        self.0.lock().now
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<()> {
        let clock = self.0.clone();
        let key = {
            let mut time = clock.lock();
            time.next += 1;
            let key = (time.now + duration, time.next);
            time.sleepers.insert(key, None);
            key
        };
        let guard = Sleeper { clock, key };
        Box::pin(std::future::poll_fn(move |context| {
            match guard.clock.lock().sleepers.get_mut(&guard.key) {
                None => Poll::Ready(()),
                Some(waker) => {
                    *waker = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        }))
    }
}

struct Sleeper {
    clock: Arc<Mutex<Time>>,
    key: (Duration, u64),
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        self.clock.lock().sleepers.remove(&self.key);
    }
}

/// Randomness from a seed.
pub struct SimRandom(Mutex<ChaCha12Rng>);

impl SimRandom {
    /// The sequence of `seed`.
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(ChaCha12Rng::seed_from_u64(seed)))
    }
}

impl Random for SimRandom {
    fn fill(&self, bytes: &mut [u8]) {
        self.0.lock().fill_bytes(bytes);
    }
}

/// A real thread: whoever uses it leaves the simulation.
fn real_thread(name: &str, body: Box<dyn FnOnce() + Send>) -> io::Result<()> {
    std::thread::Builder::new().name(name.to_owned()).spawn(body).map(drop)
}

/// Runs everything as tasks of the current runtime, workers too.
pub struct SimSpawner;

impl Spawner for SimSpawner {
    fn spawn(&self, _name: &'static str, task: BoxFuture<()>) {
        tokio::spawn(task);
    }

    fn thread(&self, name: &str, body: Box<dyn FnOnce() + Send>) -> io::Result<()> {
        real_thread(name, body)
    }

    fn worker(&self, _name: &str, task: BoxFuture<()>) -> io::Result<()> {
        tokio::spawn(task);
        Ok(())
    }
}
