//! Bodies above [`crate::Store::INLINE_BODY`] bytes, in append-only files beside the log (DESIGN §5).
//!
//! One writer thread appends and syncs once for all that wait. A body is found by its hash through an
//! index in memory, which is built from the headers when the log is opened. What the state machine
//! does never depends on this log: a body that is missing here is missing on this node only.

mod collect;
pub(crate) mod fuzz;
mod record;
mod scan;
#[cfg(test)]
mod tests;
mod writer;

use std::{
    collections::{BTreeMap, HashMap},
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use parking_lot::RwLock;
use posthouse_cluster::{
    Environment, MachineError, Timestamp,
    env::{File, Open},
};
use tokio::sync::oneshot;

use crate::BodyHash;
use record::{HEADER, Header};
use writer::{Job, Queue};

/// Bytes of a file.
const FILE_SIZE: u64 = 256 << 20;
/// Folder of the log within the store's folder.
const FOLDER: &str = "bodies";

/// Why the body log cannot do something.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum BodyLogError {
    /// A file is not what was written. The text says where.
    #[error("body log: {0}")]
    Damaged(String),
    /// Reading or writing failed.
    #[error("body log: {0}")]
    Storage(String),
    /// There is no such body.
    #[error("body log: no body {0:?}")]
    Missing(BodyHash),
}

impl From<io::Error> for BodyLogError {
    fn from(error: io::Error) -> Self {
        Self::Storage(error.to_string())
    }
}

impl From<BodyLogError> for MachineError {
    fn from(error: BodyLogError) -> Self {
        match error {
            BodyLogError::Damaged(text) => Self::Corrupt(text),
            other => Self::Storage(other.to_string()),
        }
    }
}

/// Where a body lies.
#[derive(Clone, Copy, Debug)]
struct Location {
    file: u32,
    offset: u64,
    length: u32,
    /// It was found damaged: the next one to store it writes it anew.
    damaged: bool,
}

/// A file of the log.
#[derive(Clone)]
struct LogFile {
    handle: Arc<dyn File>,
    path: PathBuf,
    length: u64,
}

#[derive(Default)]
struct Index {
    bodies: HashMap<BodyHash, Location>,
    files: BTreeMap<u32, LogFile>,
    /// When a body was last staged, by the monotonic clock: the grace before it may be collected.
    touched: HashMap<BodyHash, Duration>,
}

struct Shared {
    env: Environment,
    folder: PathBuf,
    index: RwLock<Index>,
    /// A sync failed: nothing that is written from then on can be trusted to be there.
    failed: AtomicBool,
    opened: Duration,
    /// A new file is begun when the present one has this many bytes.
    file_size: AtomicU64,
}

/// The body log. Cheap to clone.
#[derive(Clone)]
pub(crate) struct BodyLog {
    shared: Arc<Shared>,
    queue: Queue,
}

impl BodyLog {
    /// Opens the log in the store's `folder`: cuts a torn tail, refuses damage before it.
    pub(crate) fn open(env: Environment, folder: &Path) -> Result<Self, BodyLogError> {
        let folder = folder.join(FOLDER);
        env.disk.create_dir_all(&folder)?;
        let index = load(&env, &folder)?;
        let opened = env.clock.monotonic();
        let shared = Arc::new(Shared {
            env,
            folder,
            index: RwLock::new(index),
            failed: AtomicBool::new(false),
            opened,
            file_size: AtomicU64::new(FILE_SIZE),
        });
        let queue = writer::start(shared.clone())?;
        Ok(Self { shared, queue })
    }

    /// Returns when the body is on disk.
    pub(crate) async fn put(
        &self,
        hash: BodyHash,
        body: Bytes,
        staged: Timestamp,
    ) -> Result<(), BodyLogError> {
        if self.shared.touch(&hash) {
            return Ok(());
        }
        let (done, result) = oneshot::channel();
        let job = Job { hash, body, staged, done: Some(done) };
        self.queue.send(job).map_err(|_| stopped())?;
        result.await.map_err(|_| stopped())?
    }

    /// The body, verified by its hash. Blocks.
    pub(crate) fn get(&self, hash: BodyHash) -> Result<Bytes, BodyLogError> {
        self.shared.get(hash)
    }

    /// Hashes of all bodies.
    pub(crate) fn hashes(&self) -> Vec<BodyHash> {
        self.shared.index.read().bodies.keys().copied().collect()
    }

    /// Whether a sound body is there, as far as is known.
    pub(crate) fn has(&self, hash: &BodyHash) -> bool {
        self.shared.index.read().bodies.get(hash).is_some_and(|location| !location.damaged)
    }

    /// Stores a body from a test without a runtime.
    #[cfg(test)]
    pub(crate) fn stage(&self, hash: BodyHash, body: Bytes) -> Result<(), BodyLogError> {
        self.shared.touch(&hash);
        self.put_blocking(Job { hash, body, staged: Timestamp(1), done: None })
    }

    /// Every body that is stored from now on begins a file.
    #[cfg(test)]
    fn begin_file(&self) {
        self.shared.file_size.store(0, Ordering::Relaxed);
    }

    /// [`BodyLog::put`] for a thread that may block.
    fn put_blocking(&self, mut job: Job) -> Result<(), BodyLogError> {
        let (done, result) = oneshot::channel();
        job.done = Some(done);
        self.queue.send(job).map_err(|_| stopped())?;
        result.blocking_recv().map_err(|_| stopped())?
    }
}

impl Shared {
    /// Whether a sound body of this hash is there; it will not be collected for a while.
    fn touch(&self, hash: &BodyHash) -> bool {
        let mut index = self.index.write();
        let there = index.bodies.get(hash).is_some_and(|location| !location.damaged);
        index.touched.insert(*hash, self.env.clock.monotonic());
        there
    }

    fn get(&self, hash: BodyHash) -> Result<Bytes, BodyLogError> {
        let (file, location) = {
            let index = self.index.read();
            let location = index.bodies.get(&hash).copied().ok_or(BodyLogError::Missing(hash))?;
            let file = index.files.get(&location.file).cloned();
            (file.ok_or(BodyLogError::Missing(hash))?, location)
        };
        let result = read_from(&file, hash, location);
        if matches!(result, Err(BodyLogError::Damaged(_))) {
            self.mark_damaged(hash, location);
        }
        result
    }

    fn mark_damaged(&self, hash: BodyHash, found: Location) {
        tracing::error!(target: "error", ?hash, file = found.file, offset = found.offset,
            "a stored body is damaged");
        metrics::counter!("posthouse_store_damaged_bodies_total").increment(1);
        if let Some(location) = self.index.write().bodies.get_mut(&hash)
            && (location.file, location.offset) == (found.file, found.offset)
        {
            location.damaged = true;
        }
    }

    fn fail(&self, error: &io::Error) {
        tracing::error!(target: "error", %error, "the body log cannot be synced and takes no more");
        self.failed.store(true, Ordering::SeqCst);
    }
}

fn stopped() -> BodyLogError {
    BodyLogError::Storage("the writer has stopped".into())
}

/// Name of a file by its number.
fn path_of(folder: &Path, number: u32) -> PathBuf {
    folder.join(format!("{number:08}.bodies"))
}

fn number_of(path: &Path) -> Option<u32> {
    path.file_name()?.to_str()?.strip_suffix(".bodies")?.parse().ok()
}

/// Reads the headers of all files.
fn load(env: &Environment, folder: &Path) -> Result<Index, BodyLogError> {
    let mut index = Index::default();
    let mut numbers: Vec<u32> =
        env.disk.list(folder)?.iter().filter_map(|path| number_of(path)).collect();
    numbers.sort_unstable();
    for (position, number) in numbers.iter().copied().enumerate() {
        let path = path_of(folder, number);
        let handle = env.disk.open(&path, Open::Write)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let scan = scan::scan(&*handle, &name, position + 1 == numbers.len())?;
        if scan.end < handle.len()? {
            tracing::warn!(target: "warning", file = %name, at = scan.end,
                "torn tail of the body log cut");
            handle.set_len(scan.end)?;
            handle.sync_data()?;
        }
        for (offset, header) in scan.records {
            let Header { hash, length, .. } = header;
            index.bodies.insert(hash, Location { file: number, offset, length, damaged: false });
        }
        index.files.insert(number, LogFile { handle, path, length: scan.end });
    }
    Ok(index)
}

fn read_from(file: &LogFile, hash: BodyHash, location: Location) -> Result<Bytes, BodyLogError> {
    let mut body = vec![0; location.length as usize];
    let read = file.handle.read_at(&mut body, location.offset + HEADER as u64)?;
    if read < body.len() || blake3::hash(&body).as_bytes() != &hash.0 {
        let name = file.path.file_name().unwrap_or_default().to_string_lossy();
        return Err(BodyLogError::Damaged(format!(
            "body {hash:?} in {name} at {} does not match its hash",
            location.offset
        )));
    }
    Ok(body.into())
}
