//! Verifying all bodies, and giving back the room of those that nothing names.

use std::{collections::HashSet, time::Duration};

use super::{BodyLog, BodyLogError, Location, writer::Job};
use crate::BodyHash;

/// Outcome of verifying all bodies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scrubbed {
    /// Bodies that are sound.
    pub sound: u64,
    /// Bodies that are not, with the reason.
    pub damaged: Vec<(BodyHash, String)>,
}

/// Outcome of a collection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Collected {
    /// Bodies that are gone.
    pub bodies: u64,
    /// Files that are gone.
    pub files: u64,
    /// Bytes that were given back.
    pub bytes: u64,
}

impl BodyLog {
    /// Verifies one body after the other; `pause` is called with the length of each and may sleep.
    /// Blocks.
    pub(crate) fn scrub(&self, mut pause: impl FnMut(u64)) -> Scrubbed {
        let mut result = Scrubbed::default();
        for hash in self.hashes() {
            match self.get(hash) {
                Ok(body) => {
                    result.sound += 1;
                    pause(body.len() as u64);
                }
                // collected meanwhile
                Err(BodyLogError::Missing(_)) => {}
                Err(error) => result.damaged.push((hash, error.to_string())),
            }
        }
        result
    }

    /// Forgets bodies that are not `named` and were not staged for `grace`, and removes files of
    /// which more than half is forgotten after copying the rest. Blocks.
    ///
    /// A body that is staged again meanwhile is safe: it is touched before it is looked for.
    pub(crate) fn collect(
        &self,
        named: &HashSet<BodyHash>,
        grace: Duration,
    ) -> Result<Collected, BodyLogError> {
        let mut result = Collected { bodies: self.forget(named, grace), ..Default::default() };
        for number in self.mostly_garbage() {
            let Some(bytes) = self.empty(number)? else { continue };
            result.files += 1;
            result.bytes += bytes;
        }
        Ok(result)
    }

    fn forget(&self, named: &HashSet<BodyHash>, grace: Duration) -> u64 {
        let now = self.shared.env.clock.monotonic();
        let mut index = self.shared.index.write();
        let index = &mut *index;
        // what was staged before this start counts from the start: its command may be in the log
        if now.saturating_sub(self.shared.opened) < grace {
            return 0;
        }
        index.touched.retain(|_, at| now.saturating_sub(*at) < grace);
        let before = index.bodies.len();
        index.bodies.retain(|hash, _| named.contains(hash) || index.touched.contains_key(hash));
        (before - index.bodies.len()) as u64
    }

    /// Files other than the last of which less than half is in the index.
    fn mostly_garbage(&self) -> Vec<u32> {
        let index = self.shared.index.read();
        let last = index.files.last_key_value().map(|(number, _)| *number);
        let mut used = std::collections::BTreeMap::<u32, u64>::new();
        for location in index.bodies.values() {
            *used.entry(location.file).or_default() += u64::from(location.length);
        }
        let is_garbage = |number: &u32, length: u64| {
            Some(*number) != last && used.get(number).copied().unwrap_or(0) < length / 2
        };
        index
            .files
            .iter()
            .filter(|(number, file)| is_garbage(number, file.length))
            .map(|(number, _)| *number)
            .collect()
    }

    /// Copies what a file still holds to the end of the log and removes the file. `None` if a body
    /// in it is damaged: then it stays for whoever can mend it.
    fn empty(&self, number: u32) -> Result<Option<u64>, BodyLogError> {
        for (hash, _) in self.bodies_of(number) {
            let body = match self.get(hash) {
                Ok(body) => body,
                Err(BodyLogError::Damaged(_)) => return Ok(None),
                Err(error) => return Err(error),
            };
            // marked as absent, the writer stores it anew at the end
            self.shared.relocate(hash, number);
            let staged = self.shared.env.clock.now();
            self.put_blocking(Job { hash, body, staged, done: None })?;
        }
        let Some(file) = self.shared.index.write().files.remove(&number) else { return Ok(None) };
        self.shared.env.disk.remove(&file.path)?;
        self.shared.env.disk.sync_dir(&self.shared.folder)?;
        Ok(Some(file.length))
    }

    fn bodies_of(&self, number: u32) -> Vec<(BodyHash, Location)> {
        let index = self.shared.index.read();
        let in_file = |location: &Location| location.file == number;
        index.bodies.iter().filter(|(_, at)| in_file(at)).map(|(h, at)| (*h, *at)).collect()
    }
}

impl super::Shared {
    /// Lets the next write of this body store it again.
    fn relocate(&self, hash: BodyHash, from: u32) {
        if let Some(location) = self.index.write().bodies.get_mut(&hash)
            && location.file == from
        {
            location.damaged = true;
        }
    }
}
