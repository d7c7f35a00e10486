//! Clock, disk, randomness and task spawning, handed in so that a cluster can be simulated.

use std::{
    fmt,
    future::Future,
    io,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

/// A boxed future.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send + 'static>>;

/// Milliseconds since the Unix epoch, UTC.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// Whole seconds since the Unix epoch.
    pub fn seconds(self) -> u64 {
        self.0 / 1000
    }

    /// This instant moved by `by` to the future.
    pub fn after(self, by: Duration) -> Self {
        Self(self.0.saturating_add(by.as_millis() as u64))
    }

    /// How long ago `earlier` was, zero if it lies in the future.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// Wall clock, monotonic clock and timers.
pub trait Clock: Send + Sync + 'static {
    /// Wall clock. May jump.
    fn now(&self) -> Timestamp;
    /// Monotonic clock since an arbitrary start.
    fn monotonic(&self) -> Duration;
    /// Completes after `duration`.
    fn sleep(&self, duration: Duration) -> BoxFuture<()>;
}

/// Source of randomness; cryptographically strong in the real environment.
pub trait Random: Send + Sync + 'static {
    /// Fills `bytes`.
    fn fill(&self, bytes: &mut [u8]);

    /// A random number.
    fn u64(&self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// A random 128-bit number, for ids.
    fn u128(&self) -> u128 {
        let mut bytes = [0; 16];
        self.fill(&mut bytes);
        u128::from_le_bytes(bytes)
    }
}

/// A file of a [`Disk`].
#[expect(clippy::len_without_is_empty, reason = "a length in bytes that takes a system call")]
pub trait File: Send + Sync {
    /// Reads up to `buffer.len()` bytes at `offset`; fewer only at the end of the file.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all of `data` at `offset`.
    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()>;
    /// Length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Cuts or extends (with zeros) to `len` bytes. Space for the extension is reserved where the
    /// file system can do that, so that a full disk shows here and not at a later write.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Returns when all data written before is on disk. An error is final for this file.
    fn sync_data(&self) -> io::Result<()>;
}

/// How to open a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    /// It must exist; only read.
    Read,
    /// It must exist; read and write.
    Write,
    /// Created if missing; read and write.
    Create,
    /// It must not exist yet; read and write.
    New,
}

/// Files by path.
pub trait Disk: Send + Sync + 'static {
    /// Opens a file.
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn File>>;
    /// Creates a folder and its parents.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;
    /// Names of the files in a folder, sorted.
    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>>;
    /// Renames a file, replacing the target.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Returns when creations, renames and removals in `folder` are on disk.
    fn sync_dir(&self, folder: &Path) -> io::Result<()>;
    /// Free bytes on the file system that holds `path`.
    fn free_space(&self, path: &Path) -> io::Result<u64>;
    /// Takes the folder for this process until the guard is dropped; `WouldBlock` when another one
    /// has it.
    fn lock(&self, folder: &Path) -> io::Result<Box<dyn Send + Sync>>;
}

/// Starts tasks and threads.
pub trait Spawner: Send + Sync + 'static {
    /// Runs a future to its end on the runtime.
    fn spawn(&self, name: &'static str, task: BoxFuture<()>);
    /// Runs a function that may block on a thread of its own.
    fn thread(&self, name: &str, body: Box<dyn FnOnce() + Send>) -> io::Result<()>;

    /// Runs a future that may block (files, a database) to its end: on a thread of its own, or, in a
    /// simulation, as one task among others. It must not use timers or sockets of the runtime.
    fn worker(&self, name: &str, task: BoxFuture<()>) -> io::Result<()> {
        self.thread(name, Box::new(move || block_on::block_on(task)))
    }
}

/// Everything that comes from outside the program. Cheap to clone.
#[derive(Clone)]
pub struct Environment {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Files.
    pub disk: Arc<dyn Disk>,
    /// Randomness.
    pub random: Arc<dyn Random>,
    /// Tasks and threads.
    pub spawner: Arc<dyn Spawner>,
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Environment")
    }
}

mod block_on;
mod real;

impl Environment {
    /// The machine that the program runs on. Tasks run on the tokio runtime.
    pub fn real() -> Self {
        real::environment()
    }
}
