//! Copies of state machines on their way between nodes: in parts, with a hash of each file, throttled,
//! and resumed where the same copy is still there.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use ring::digest;

use super::{machine::Handle, storage::FileReader};
use crate::{
    Applied, Environment, GroupId, NodeId, OpenError, SnapshotProgress,
    env::{Disk, File},
    log::{LogEngine, LogError},
};

mod receive;
mod send;
mod wire;

pub(crate) use receive::SnapshotService;

/// Bytes of one part.
const PART: usize = if cfg!(test) { 64 << 10 } else { 2 << 20 };
/// Bytes per second that a node sends of all copies together, unless set otherwise.
const RATE: u64 = 64 << 20;
/// For how long a copy is kept that nobody asks for or sends on.
const KEEP: Duration = Duration::from_secs(600);
/// Files of one copy at most.
const MAX_FILES: usize = 256;
/// Free bytes that must be left on the disk besides an incoming copy.
const MIN_FREE: u64 = 256 << 20;

/// What all groups of a node share for their copies.
#[derive(Clone)]
pub(crate) struct Bulk {
    env: Environment,
    files: FileReader,
    rate: Arc<AtomicU64>,
    /// When the next part may go.
    next: Arc<Mutex<Duration>>,
}

impl Bulk {
    /// Starts the thread that reads and writes the files.
    pub(crate) fn start(env: &Environment) -> Result<Self, OpenError> {
        let files = FileReader::start(env, "copies")?;
        let rate = Arc::new(AtomicU64::new(RATE));
        Ok(Self { env: env.clone(), files, rate, next: Arc::default() })
    }

    /// Bytes per second from now on.
    pub(crate) fn set_rate(&self, rate: u64) {
        self.rate.store(rate.max(1), Ordering::Relaxed);
    }

    /// Waits until `bytes` more may be sent.
    async fn pace(&self, bytes: usize) {
        let clock = &self.env.clock;
        let now = clock.monotonic();
        let rate = self.rate.load(Ordering::Relaxed);
        let takes = Duration::from_nanos((bytes as u64).saturating_mul(1_000_000_000) / rate);
        let at = {
            let mut next = self.next.lock();
            let at = now.max(*next);
            *next = at + takes;
            at
        };
        if at > now {
            clock.sleep(at - now).await;
        }
    }

    /// Runs what may block.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Disk) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let disk = self.env.disk.clone();
        let work =
            move || work(disk.as_ref()).map_err(|error| LogError::Storage(error.to_string()));
        self.files.run(work).await.map_err(io::Error::other)
    }

    /// SHA-256 of the first `size` bytes of a file; other work goes on in between.
    async fn hash(&self, file: Arc<dyn File>, size: u64) -> io::Result<[u8; 32]> {
        let mut context = digest::Context::new(&digest::SHA256);
        let mut at = 0;
        while at < size {
            let (file, len) = (file.clone(), (size - at).min(PART as u64) as usize);
            let bytes = self.run(move |_| read_exactly(file.as_ref(), at, len)).await?;
            context.update(&bytes);
            at += len as u64;
        }
        let mut hash = [0; 32];
        hash.copy_from_slice(context.finish().as_ref());
        Ok(hash)
    }
}

fn read_exactly(file: &dyn File, at: u64, len: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    match file.read_at(&mut bytes, at)? == len {
        true => Ok(bytes),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// Removes all files in a folder.
pub(crate) fn empty(disk: &dyn Disk, folder: &Path) -> io::Result<()> {
    for file in disk.list(folder)? {
        disk.remove(&file)?;
    }
    Ok(())
}

/// A complete copy in a folder. Its files are removed when it is dropped.
pub(crate) struct Copy {
    pub folder: PathBuf,
    pub disk: Arc<dyn Disk>,
}

impl Drop for Copy {
    fn drop(&mut self) {
        let _ = empty(self.disk.as_ref(), &self.folder);
    }
}

/// A file of a copy.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct FileInfo {
    name: String,
    size: u64,
    hash: [u8; 32],
}

impl FileInfo {
    /// A name from another node must not lead out of the folder, nor hide.
    fn is_sound(&self) -> bool {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        !self.name.is_empty()
            && self.name.len() <= 100
            && !self.name.starts_with('.')
            && self.name.bytes().all(plain)
    }
}

/// A copy that is sent, kept so that a broken transfer goes on where it was.
struct Outgoing {
    id: u128,
    applied: Applied,
    files: Vec<FileInfo>,
    copy: Copy,
    used: Mutex<Duration>,
}

/// Folders for outgoing copies: one that is sent to slow peers must not keep a newer one from being
/// made.
const SLOTS: usize = 2;

#[derive(Default)]
struct Slots {
    current: Option<Arc<Outgoing>>,
    in_use: [Weak<Outgoing>; SLOTS],
}

/// The copies of one group that are under way. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Copies {
    inner: Arc<CopiesInner>,
}

struct CopiesInner {
    group: GroupId,
    folder: PathBuf,
    bulk: Bulk,
    machine: Handle,
    engine: Arc<dyn LogEngine>,
    outgoing: tokio::sync::Mutex<Slots>,
    incoming: tokio::sync::Mutex<Option<receive::Incoming>>,
    progress: Mutex<BTreeMap<(NodeId, bool), (u64, u64)>>,
}

impl Copies {
    pub(crate) fn new(
        group: GroupId,
        folder: PathBuf,
        bulk: Bulk,
        machine: Handle,
        engine: Arc<dyn LogEngine>,
    ) -> Self {
        let (outgoing, incoming) = (tokio::sync::Mutex::default(), tokio::sync::Mutex::default());
        let progress = Mutex::default();
        let inner =
            CopiesInner { group, folder, bulk, machine, engine, outgoing, incoming, progress };
        Self { inner: Arc::new(inner) }
    }

    /// How far they are.
    pub(crate) fn progress(&self) -> Vec<SnapshotProgress> {
        let progress = self.inner.progress.lock();
        let one = |(&(peer, sending), &(done, total)): (&(NodeId, bool), &(u64, u64))| {
            SnapshotProgress { peer, sending, done, total }
        };
        progress.iter().map(one).collect()
    }

    fn set_progress(&self, peer: NodeId, sending: bool, done: u64, total: u64) {
        self.inner.progress.lock().insert((peer, sending), (done, total));
    }

    fn end_progress(&self, peer: NodeId, sending: bool) {
        self.inner.progress.lock().remove(&(peer, sending));
    }

    /// Lets go of what nobody has used for a while.
    pub(crate) async fn expire(&self) {
        let inner = &self.inner;
        let now = inner.bulk.env.clock.monotonic();
        let old = |used: Duration| now.saturating_sub(used) > KEEP;
        let mut outgoing = inner.outgoing.lock().await;
        outgoing.current.take_if(|copy| Arc::strong_count(copy) == 1 && old(*copy.used.lock()));
        drop(outgoing);
        let mut incoming = inner.incoming.lock().await;
        if let Some(gone) = incoming.take_if(|incoming| old(incoming.touched)) {
            self.end_progress(gone.from, false);
            let folder = inner.folder.join(receive::FOLDER);
            let _ = inner.bulk.run(move |disk| empty(disk, &folder)).await;
        }
    }
}
