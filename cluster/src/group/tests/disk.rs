//! The leader's disk fails.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use super::*;
use crate::env::{Disk, File, Open};

/// The real disk, until it is broken: then nothing can be synced.
struct Fragile {
    disk: Arc<dyn Disk>,
    broken: Arc<AtomicBool>,
}

struct FragileFile {
    file: Arc<dyn File>,
    broken: Arc<AtomicBool>,
}

impl File for FragileFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }

    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_at(data, offset)
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        match self.broken.load(Ordering::SeqCst) {
            true => Err(io::Error::other("the disk is broken")),
            false => self.file.sync_data(),
        }
    }
}

impl Disk for Fragile {
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn File>> {
        let file = self.disk.open(path, how)?;
        Ok(Arc::new(FragileFile { file, broken: self.broken.clone() }))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.disk.create_dir_all(path)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        self.disk.list(folder)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn sync_dir(&self, folder: &Path) -> io::Result<()> {
        self.disk.sync_dir(folder)
    }

    fn free_space(&self, path: &Path) -> io::Result<u64> {
        self.disk.free_space(path)
    }

    fn lock(&self, folder: &Path) -> io::Result<Box<dyn Send + Sync>> {
        self.disk.lock(folder)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_whose_disk_fails_gives_up_and_says_so() {
    let (switch, folder) = (Switch::default(), tempfile::tempdir().unwrap());
    let broken = Arc::new(AtomicBool::new(false));
    let mut env = Environment::real();
    env.disk = Arc::new(Fragile { disk: env.disk, broken: broken.clone() });
    let (path, network) = (folder.path().join("log"), switch.port(1));
    let options = NodeOptions { id: NodeId(1), log: path, network, level: crate::LEVEL };
    let node = Node::open(env, options).await.unwrap();
    let group = start_group(&node, folder.path(), true).await;
    let others = [Member::start(&switch, 2).await, Member::start(&switch, 3).await];
    for id in [2, 3] {
        group.add_learner(NodeId(id)).await.unwrap();
    }
    group.set_voters([1, 2, 3].map(NodeId).into()).await.unwrap();
    others[0].group.submit(word("one")).await.unwrap();
    broken.store(true, Ordering::SeqCst);
    let start = Instant::now();
    // it may be accepted by a majority without it; it is never acknowledged by the one that failed
    let _ = group.propose(word("two")).await;
    assert!(!group.leads());
    others[0].group.submit(word("three")).await.unwrap();
    println!("another leads {:?} after the failure", start.elapsed());
    assert!(
        group.status().failed.is_some_and(|why| why.contains("broken")),
        "{:?}",
        group.status()
    );
    assert!(!group.status().quorum);
    let refused = group.propose(word("four")).await;
    assert!(matches!(refused, Err(ProposeError::Storage(_))), "{refused:?}");
}
