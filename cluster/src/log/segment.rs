//! The files of a log: segments in use, spare ones, and how one becomes the other.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::RwLock;

use crate::{
    Environment, OpenError,
    env::{Disk, File, Open},
};

/// Open segments by number, for readers.
pub(super) type Files = Arc<RwLock<BTreeMap<u64, Arc<dyn File>>>>;

/// Spare files that are kept; more are removed.
const SPARES: usize = 2;
/// A fresh segment is filled with zeros this far ahead of its tail, so that a sync does not wait for
/// the file system's own records each time.
const ZERO_AHEAD: u64 = 1 << 20;
/// What part of a segment the one is that a full disk has to do with.
const SMALL: u64 = 16;

/// The segment that is written to.
pub(super) struct Current {
    pub number: u64,
    pub file: Arc<dyn File>,
    pub size: u64,
    pub tail: u64,
    /// Bytes before this were written before, in this use of the file or an earlier one.
    pub filled: u64,
}

/// All files of the log's folder.
pub(super) struct Segments {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    size: u64,
    min_free: u64,
    pub files: Files,
    spares: Vec<PathBuf>,
    spare_names: u64,
}

/// How names of segments end. The number is the version of the format.
const SEGMENT: &str = ".v1.segment";
const ANY_SEGMENT: &str = ".segment";
const SPARE: &str = ".spare";

/// Name of segment `number`.
pub(super) fn segment_name(number: u64) -> String {
    format!("{number:016x}{SEGMENT}")
}

fn storage(error: io::Error) -> OpenError {
    OpenError::Storage(error.to_string())
}

fn parse(path: &Path, suffix: &str) -> Option<u64> {
    let name = path.file_name()?.to_str()?;
    u64::from_str_radix(name.strip_suffix(suffix)?, 16).ok()
}

impl Segments {
    /// Finds the files in `folder`. Returns the numbers of the segments, ascending.
    pub(super) fn open(
        env: &Environment,
        folder: &Path,
        size: u64,
        min_free: u64,
    ) -> Result<(Self, Vec<u64>), OpenError> {
        let disk = env.disk.clone();
        let (mut numbers, mut found) = (Vec::new(), Vec::new());
        for path in disk.list(folder).map_err(storage)? {
            if let Some(number) = parse(&path, SEGMENT) {
                numbers.push(number);
            } else if let Some(number) = parse(&path, SPARE) {
                found.push((number, path));
            } else if path.to_str().is_some_and(|path| path.ends_with(ANY_SEGMENT)) {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                let what = format!("{name} was written by another version of this program");
                return Err(OpenError::Damaged(what));
            }
        }
        numbers.sort_unstable();
        let spare_names = found.iter().map(|(number, _)| number + 1).max().unwrap_or(0);
        let mut segments = Self {
            disk,
            folder: folder.to_owned(),
            size,
            min_free,
            files: Files::default(),
            spares: Vec::new(),
            spare_names,
        };
        for (_, path) in found {
            segments.keep_or_remove(path).map_err(storage)?;
        }
        Ok((segments, numbers))
    }

    fn keep_or_remove(&mut self, spare: PathBuf) -> io::Result<()> {
        let whole = self.disk.open(&spare, Open::Read)?.len()? == self.size;
        if whole && self.spares.len() < SPARES {
            self.spares.push(spare);
            return Ok(());
        }
        self.disk.remove(&spare)
    }

    pub(super) fn path(&self, number: u64) -> PathBuf {
        self.folder.join(segment_name(number))
    }

    pub(super) fn open_segment(&self, number: u64) -> io::Result<Arc<dyn File>> {
        let file = self.disk.open(&self.path(number), Open::Write)?;
        self.files.write().insert(number, file.clone());
        Ok(file)
    }

    /// Whether a spare is at hand and the file system has room; makes both so if it can.
    pub(super) fn make_room(&mut self) -> io::Result<bool> {
        if self.disk.free_space(&self.folder)? < self.min_free {
            return Ok(false);
        }
        if !self.spares.is_empty() {
            return Ok(true);
        }
        match self.make_spare(self.size) {
            Ok(()) => Ok(true),
            Err(error) if is_no_space(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn spare_path(&mut self) -> PathBuf {
        self.spare_names += 1;
        self.folder.join(format!("{:016x}{SPARE}", self.spare_names - 1))
    }

    fn make_spare(&mut self, size: u64) -> io::Result<()> {
        let path = self.spare_path();
        let made = self.disk.open(&path, Open::New).and_then(|file| file.set_len(size));
        if let Err(error) = made {
            let _ = self.disk.remove(&path);
            return Err(error);
        }
        self.spares.push(path);
        Ok(())
    }

    /// As [`Self::start`], with a small segment if there is no space for a whole one: a node whose
    /// disk is full must come up to serve what it has. It takes votes, and no proposals.
    pub(super) fn start_first(&mut self, number: u64) -> io::Result<Current> {
        match self.start(number) {
            Err(error) if is_no_space(&error) => {
                self.make_spare(self.size / SMALL)?;
                self.start(number)
            }
            started => started,
        }
    }

    /// Turns a spare into segment `number`. Its name is on disk when this returns; what it holds is
    /// old and carries other numbers.
    pub(super) fn start(&mut self, number: u64) -> io::Result<Current> {
        if self.spares.is_empty() {
            self.make_spare(self.size)?;
        }
        let Some(spare) = self.spares.last() else { return Err(io::ErrorKind::NotFound.into()) };
        self.disk.rename(spare, &self.path(number))?;
        self.spares.pop();
        self.disk.sync_dir(&self.folder)?;
        let file = self.open_segment(number)?;
        let mut first = [0; super::record::HEADER];
        file.read_at(&mut first, 0)?;
        let size = file.len()?;
        let filled = if first.iter().all(|byte| *byte == 0) { 0 } else { size };
        Ok(Current { number, file, size, tail: 0, filled })
    }

    /// Takes the segments before `keep` out of use. Only once nothing of them is needed, on disk.
    pub(super) fn release_before(&mut self, keep: u64) -> io::Result<()> {
        loop {
            let oldest = self.files.read().first_key_value().map(|(n, f)| (*n, f.clone()));
            let Some((number, file)) = oldest.filter(|(number, _)| *number < keep) else {
                return Ok(());
            };
            self.files.write().remove(&number);
            let path = self.path(number);
            if self.spares.len() < SPARES && file.len()? == self.size {
                let spare = self.spare_path();
                self.disk.rename(&path, &spare)?;
                self.spares.push(spare);
            } else {
                self.disk.remove(&path)?;
            }
            // one by one and in order: a crash must not leave a hole between segments
            self.disk.sync_dir(&self.folder)?;
        }
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }
}

impl Current {
    /// Zeros to write behind `data` so that the segment stays filled ahead of its tail.
    pub(super) fn zeros_after(&self, data: u64) -> u64 {
        let end = self.tail + data;
        if end <= self.filled {
            return 0;
        }
        let step = ZERO_AHEAD.min(self.size / 8).max(1);
        (end + step).min(self.size).saturating_sub(end)
    }

    /// Whether `bytes` and the record that ends a segment fit.
    pub(super) fn fits(&self, bytes: usize) -> bool {
        self.tail + (bytes + super::record::HEADER) as u64 <= self.size
    }
}

/// Whether the error says that the disk is full.
pub(super) fn is_no_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
