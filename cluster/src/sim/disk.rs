//! A disk in memory that knows what is synced.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha12Rng;

use crate::env::{Disk, File, Open};

/// What is written at once or not at all.
const SECTOR: usize = 512;

/// How a crash goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// The process ends; the kernel keeps what was written.
    Process,
    /// The power goes: of what was not synced, some sectors of some writes remain.
    Power,
}

/// What a disk claims and does not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// `sync_data` reports success and does nothing.
    Data,
    /// `sync_dir` reports success and does nothing.
    Folders,
}

/// Something that was done and is not synced.
#[derive(Clone)]
enum Change {
    Write(u64, Vec<u8>),
    Length(u64),
}

#[derive(Clone)]
enum Naming {
    Link(PathBuf, usize),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
}

#[derive(Clone, Default)]
struct Inode {
    live: Vec<u8>,
    synced: Vec<u8>,
    changes: Vec<Change>,
}

#[derive(Clone)]
struct State {
    random: ChaCha12Rng,
    inodes: Vec<Inode>,
    names: BTreeMap<PathBuf, usize>,
    synced_names: BTreeMap<PathBuf, usize>,
    namings: Vec<Naming>,
    folders: BTreeSet<PathBuf>,
    locked: BTreeSet<PathBuf>,
    operations: u64,
    syncs: u64,
    crash_at: Option<u64>,
    faults: BTreeMap<u64, ErrorKind>,
    off: bool,
    lie: Option<Lie>,
    capacity: u64,
}

/// A disk in memory. Cheap to clone; all clones are the same disk.
#[derive(Clone)]
pub struct SimDisk(Arc<Mutex<State>>);

struct SimFile {
    disk: SimDisk,
    inode: usize,
}

fn off() -> io::Error {
    io::Error::other("the simulated power is off")
}

impl SimDisk {
    /// An empty disk. The seed decides what a crash leaves.
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            random: ChaCha12Rng::seed_from_u64(seed),
            inodes: Vec::new(),
            names: BTreeMap::new(),
            synced_names: BTreeMap::new(),
            namings: Vec::new(),
            folders: BTreeSet::new(),
            locked: BTreeSet::new(),
            operations: 0,
            syncs: 0,
            crash_at: None,
            faults: BTreeMap::new(),
            off: false,
            lie: None,
            capacity: u64::MAX,
        })))
    }

    /// Changing operations so far (writes, lengths, syncs, creations, renames, removals).
    pub fn operations(&self) -> u64 {
        self.0.lock().operations
    }

    /// `sync_data` calls so far.
    pub fn syncs(&self) -> u64 {
        self.0.lock().syncs
    }

    /// The power goes at operation number `operation` (from 1), in the middle of it.
    pub fn crash_at(&self, operation: u64) {
        self.0.lock().crash_at = Some(operation);
    }

    /// Operation number `operation` (from 1) fails with `kind`, once.
    pub fn fail_at(&self, operation: u64, kind: ErrorKind) {
        self.0.lock().faults.insert(operation, kind);
    }

    /// Whether the power went.
    pub fn is_off(&self) -> bool {
        self.0.lock().off
    }

    /// From now on the disk lies: what tests must find out.
    pub fn lie(&self, about: Lie) {
        self.0.lock().lie = Some(about);
    }

    /// Bytes that all files together may have.
    pub fn set_capacity(&self, bytes: u64) {
        self.0.lock().capacity = bytes;
    }

    /// Changes a byte in place, synced: a bit that flipped on the platter.
    pub fn flip(&self, path: &Path, offset: u64, bits: u8) {
        let mut state = self.0.lock();
        let Some(&inode) = state.names.get(path) else { return };
        let Some(inode) = state.inodes.get_mut(inode) else { return };
        for content in [&mut inode.live, &mut inode.synced] {
            if let Some(byte) = content.get_mut(offset as usize) {
                *byte ^= bits;
            }
        }
    }

    /// The disk after a crash, with the power on again. The old one stays off.
    pub fn crash(&self, how: Crash) -> Self {
        let mut old = self.0.lock();
        old.off = true;
        let mut state = old.clone();
        // a later crash of the same disk is another one
        old.random = ChaCha12Rng::from_rng(&mut state.random);
        drop(old);
        if how == Crash::Power {
            state.lose();
        }
        for inode in &mut state.inodes {
            if how == Crash::Power {
                inode.live = inode.synced.clone();
                inode.changes.clear();
            }
        }
        state.locked.clear();
        state.faults.clear();
        (state.off, state.crash_at) = (false, None);
        Self(Arc::new(Mutex::new(state)))
    }
}

impl State {
    /// Counts a changing operation; an error if it does not happen.
    fn begin(&mut self) -> io::Result<()> {
        if self.off {
            return Err(off());
        }
        self.operations += 1;
        if self.crash_at.is_some_and(|at| self.operations >= at) {
            self.off = true;
        }
        match self.faults.remove(&self.operations) {
            Some(kind) => Err(kind.into()),
            None => Ok(()),
        }
    }

    /// Whether the operation that just happened can be answered.
    fn end(&self) -> io::Result<()> {
        if self.off { Err(off()) } else { Ok(()) }
    }

    fn used(&self) -> u64 {
        self.names.values().filter_map(|inode| self.inodes.get(*inode)).map(Inode::len).sum()
    }

    fn grow(&self, by: u64) -> io::Result<()> {
        if by > self.capacity.saturating_sub(self.used()) {
            return Err(ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    fn naming(&mut self, naming: Naming) {
        apply_naming(&mut self.names, &naming);
        self.namings.push(naming);
    }

    /// Keeps a random part of what is not synced.
    fn lose(&mut self) {
        let kept = self.random.random_range(0..=self.namings.len());
        for naming in self.namings.iter().take(kept) {
            apply_naming(&mut self.synced_names, naming);
        }
        self.namings.clear();
        self.names = self.synced_names.clone();
        for inode in &mut self.inodes {
            for change in std::mem::take(&mut inode.changes) {
                match change {
                    Change::Length(len) if self.random.random_bool(0.5) => {
                        inode.synced.resize(len as usize, 0);
                    }
                    Change::Length(_) => {}
                    Change::Write(offset, data) => {
                        keep_some(&mut inode.synced, offset as usize, &data, &mut self.random)
                    }
                }
            }
        }
    }
}

fn apply_naming(names: &mut BTreeMap<PathBuf, usize>, naming: &Naming) {
    match naming {
        Naming::Link(path, inode) => drop(names.insert(path.clone(), *inode)),
        Naming::Remove(path) => drop(names.remove(path)),
        Naming::Rename(from, to) => {
            if let Some(inode) = names.remove(from) {
                names.insert(to.clone(), inode);
            }
        }
    }
}

/// Writes all, nothing, or some sectors of `data`.
fn keep_some(content: &mut Vec<u8>, offset: usize, data: &[u8], random: &mut ChaCha12Rng) {
    let style = random.random_range(0..4);
    let cut = random.random_range(0..=data.len());
    let mut at = 0;
    while at < data.len() {
        let end = (at + SECTOR - (offset + at) % SECTOR).min(data.len());
        let keep = match style {
            0 => false,
            1 => true,
            2 => at < cut,
            _ => random.random_bool(0.5),
        };
        // a prefix may end inside a sector: some devices tear there
        let end_kept = if style == 2 { end.min(cut) } else { end };
        if keep && let Some(part) = data.get(at..end_kept) {
            put(content, offset + at, part);
        }
        at = end;
    }
}

fn put(content: &mut Vec<u8>, offset: usize, data: &[u8]) {
    let end = offset + data.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    if let Some(place) = content.get_mut(offset..end) {
        place.copy_from_slice(data);
    }
}

impl Inode {
    fn len(&self) -> u64 {
        self.live.len() as u64
    }
}

impl SimFile {
    fn change<T>(&self, change: impl FnOnce(&mut State, usize) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.disk.0.lock();
        state.begin()?;
        let done = change(&mut state, self.inode)?;
        state.end()?;
        Ok(done)
    }
}

fn missing() -> io::Error {
    ErrorKind::NotFound.into()
}

impl File for SimFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.disk.0.lock();
        state.end()?;
        let inode = state.inodes.get(self.inode).ok_or_else(missing)?;
        let content = inode.live.get(offset as usize..).unwrap_or_default();
        let len = content.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..len), content.get(..len)) {
            to.copy_from_slice(from);
        }
        Ok(len)
    }

    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.change(|state, inode| {
            let len = state.inodes.get(inode).ok_or_else(missing)?.len();
            state.grow((offset + data.len() as u64).saturating_sub(len))?;
            let inode = state.inodes.get_mut(inode).ok_or_else(missing)?;
            put(&mut inode.live, offset as usize, data);
            inode.changes.push(Change::Write(offset, data.to_vec()));
            Ok(())
        })
    }

    fn len(&self) -> io::Result<u64> {
        let state = self.disk.0.lock();
        state.end()?;
        state.inodes.get(self.inode).map(Inode::len).ok_or_else(missing)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(|state, inode| {
            let now = state.inodes.get(inode).ok_or_else(missing)?.len();
            state.grow(len.saturating_sub(now))?;
            let inode = state.inodes.get_mut(inode).ok_or_else(missing)?;
            inode.live.resize(len as usize, 0);
            inode.changes.push(Change::Length(len));
            Ok(())
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.disk.0.lock();
        let state = &mut *state;
        state.syncs += 1;
        let begun = state.begin();
        let Some(inode) = state.inodes.get_mut(self.inode) else { return Err(missing()) };
        if let Err(error) = begun {
            if !state.off {
                // as Linux does: the pages count as clean, a second sync reports success
                inode.changes.clear();
            }
            return Err(error);
        }
        if state.lie != Some(Lie::Data) && !(state.off && state.random.random_bool(0.5)) {
            inode.synced.clone_from(&inode.live);
            inode.changes.clear();
        }
        state.end()
    }
}

impl Disk for SimDisk {
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn File>> {
        let mut state = self.0.lock();
        let inode = match (state.names.get(path).copied(), how) {
            (Some(_), Open::New) => return Err(ErrorKind::AlreadyExists.into()),
            (None, Open::Read | Open::Write) => return Err(missing()),
            (Some(inode), _) => inode,
            (None, Open::Create | Open::New) => {
                state.begin()?;
                let inode = state.inodes.len();
                state.inodes.push(Inode::default());
                state.naming(Naming::Link(path.to_owned(), inode));
                inode
            }
        };
        state.end()?;
        Ok(Arc::new(SimFile { disk: self.clone(), inode }))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.end()?;
        state.folders.extend(path.ancestors().map(Path::to_owned));
        Ok(())
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        let state = self.0.lock();
        state.end()?;
        if !state.folders.contains(folder) {
            return Err(missing());
        }
        Ok(state.names.keys().filter(|path| path.parent() == Some(folder)).cloned().collect())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.begin()?;
        if !state.names.contains_key(from) {
            return Err(missing());
        }
        state.naming(Naming::Rename(from.to_owned(), to.to_owned()));
        state.end()
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.begin()?;
        if !state.names.contains_key(path) {
            return Err(missing());
        }
        state.naming(Naming::Remove(path.to_owned()));
        state.end()
    }

    fn sync_dir(&self, folder: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.begin()?;
        let lost = state.lie == Some(Lie::Folders) || (state.off && state.random.random_bool(0.5));
        if !lost {
            let (mut kept, mut names) = (Vec::new(), state.synced_names.clone());
            for naming in std::mem::take(&mut state.namings) {
                let path = match &naming {
                    Naming::Link(path, _) | Naming::Remove(path) | Naming::Rename(_, path) => path,
                };
                match path.parent() == Some(folder) {
                    true => apply_naming(&mut names, &naming),
                    false => kept.push(naming),
                }
            }
            (state.namings, state.synced_names) = (kept, names);
        }
        state.end()
    }

    fn free_space(&self, _path: &Path) -> io::Result<u64> {
        let state = self.0.lock();
        state.end()?;
        Ok(state.capacity.saturating_sub(state.used()))
    }

    fn lock(&self, folder: &Path) -> io::Result<Box<dyn Send + Sync>> {
        let mut state = self.0.lock();
        state.end()?;
        if !state.locked.insert(folder.to_owned()) {
            return Err(ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(Lock { disk: self.clone(), folder: folder.to_owned() }))
    }
}

struct Lock {
    disk: SimDisk,
    folder: PathBuf,
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.disk.0.lock().locked.remove(&self.folder);
    }
}
