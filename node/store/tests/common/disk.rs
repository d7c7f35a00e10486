//! The real disk, with syncs taken out on purpose.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use posthouse_cluster::{
    Environment,
    env::{Disk, File, Open},
};

/// Environment variable: files with this text in their path are never synced.
pub(crate) const NO_SYNC: &str = "POSTHOUSE_TEST_NO_SYNC";

/// The machine; there is always room on its disk, and syncs are left out as the variable says.
pub(crate) fn environment() -> Environment {
    let mut env = Environment::real();
    let unsynced = std::env::var(NO_SYNC).ok();
    env.disk = Arc::new(Leaky { inner: env.disk, unsynced, free: Arc::new(u64::MAX.into()) });
    env
}

/// The machine with a disk that says that so many bytes are free.
pub(crate) fn with_free_space(free: Arc<AtomicU64>) -> Environment {
    let mut env = Environment::real();
    env.disk = Arc::new(Leaky { inner: env.disk, unsynced: None, free });
    env
}

struct Leaky {
    inner: Arc<dyn Disk>,
    unsynced: Option<String>,
    free: Arc<AtomicU64>,
}

struct Unsynced(Arc<dyn File>);

impl Disk for Leaky {
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn File>> {
        let file = self.inner.open(path, how)?;
        let leaks =
            self.unsynced.as_ref().is_some_and(|text| path.to_string_lossy().contains(text));
        Ok(if leaks { Arc::new(Unsynced(file)) } else { file })
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.inner.create_dir_all(path)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        self.inner.list(folder)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.inner.remove(path)
    }

    fn sync_dir(&self, folder: &Path) -> io::Result<()> {
        self.inner.sync_dir(folder)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        self.inner.lock(path)
    }

    fn free_space(&self, _path: &Path) -> io::Result<u64> {
        Ok(self.free.load(Ordering::SeqCst))
    }
}

impl File for Unsynced {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buffer, offset)
    }

    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_at(data, offset)
    }

    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }
}
