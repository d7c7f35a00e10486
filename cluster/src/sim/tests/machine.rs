//! A state machine on the simulated disk with the promises of SQLite in WAL mode: a journal that is
//! not synced, and a checkpoint that is.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    Applied, Command, MachineError, StateMachine,
    env::{Disk, File, Open},
    sim::SimDisk,
};

/// What a checkpoint holds, and what the journal adds to.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Content {
    generation: u64,
    pub applied: Option<Applied>,
    pub entries: Vec<(u64, Vec<u8>)>,
}

#[derive(Serialize, Deserialize)]
struct Batch {
    applied: Applied,
    entries: Vec<(u64, Vec<u8>)>,
}

pub(super) struct Journal {
    disk: SimDisk,
    folder: PathBuf,
    pub content: Content,
    file: Arc<dyn File>,
    tail: u64,
}

fn seal<T: Serialize>(value: &T) -> Vec<u8> {
    let body = postcard::to_allocvec(value).unwrap();
    let mut bytes = (body.len() as u32).to_le_bytes().to_vec();
    bytes.extend(crc32fast::hash(&body).to_le_bytes());
    bytes.extend(body);
    bytes
}

fn unseal<T: for<'a> Deserialize<'a>>(bytes: &[u8]) -> Option<(T, usize)> {
    let len = u32::from_le_bytes(bytes.get(..4)?.try_into().ok()?) as usize;
    let crc = u32::from_le_bytes(bytes.get(4..8)?.try_into().ok()?);
    let body = bytes.get(8..8 + len)?;
    if len == 0 || crc32fast::hash(body) != crc {
        return None;
    }
    Some((postcard::from_bytes(body).ok()?, 8 + len))
}

fn read(file: &Arc<dyn File>) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; file.len()? as usize];
    file.read_at(&mut bytes, 0)?;
    Ok(bytes)
}

impl Journal {
    pub(super) fn open(disk: &SimDisk, folder: &Path) -> io::Result<Self> {
        disk.create_dir_all(folder)?;
        let mut content = match disk.open(&folder.join("state"), Open::Read) {
            Ok(file) => unseal(&read(&file)?).map(|(content, _)| content).unwrap_or_default(),
            Err(_) => Content::default(),
        };
        let file = disk.open(&journal(folder, content.generation), Open::Create)?;
        let bytes = read(&file)?;
        let mut tail = 0;
        while let Some((batch, size)) = unseal::<Batch>(&bytes[tail..]) {
            content.applied = Some(batch.applied);
            content.entries.extend(batch.entries);
            tail += size;
        }
        file.set_len(tail as u64)?;
        let (disk, folder) = (disk.clone(), folder.to_owned());
        Ok(Self { disk, folder, content, file, tail: tail as u64 })
    }
}

fn journal(folder: &Path, generation: u64) -> PathBuf {
    folder.join(format!("journal-{generation}"))
}

impl StateMachine for Journal {
    fn applied(&mut self) -> Result<Option<Applied>, MachineError> {
        Ok(self.content.applied.clone())
    }

    fn apply(&mut self, batch: &[Command], applied: &Applied) -> Result<Vec<Bytes>, MachineError> {
        let entries: Vec<_> = batch.iter().map(|c| (c.index, c.data.to_vec())).collect();
        let bytes = seal(&Batch { applied: applied.clone(), entries: entries.clone() });
        self.file.write_at(&bytes, self.tail)?;
        self.tail += bytes.len() as u64;
        self.content.applied = Some(applied.clone());
        self.content.entries.extend(entries);
        Ok(batch.iter().map(|command| command.data.clone()).collect())
    }

    fn checkpoint(&mut self) -> Result<(), MachineError> {
        self.replace()?;
        Ok(())
    }

    fn snapshot(&mut self, into: &Path) -> Result<(), MachineError> {
        let file = self.disk.open(&into.join("state"), Open::Create)?;
        file.set_len(0)?;
        file.write_at(&seal(&self.content), 0)?;
        file.sync_data()?;
        self.disk.sync_dir(into)?;
        Ok(())
    }

    fn install(&mut self, from: &Path) -> Result<(), MachineError> {
        let bytes = read(&self.disk.open(&from.join("state"), Open::Read)?)?;
        let Some((content, _)) = unseal::<Content>(&bytes) else {
            return Err(MachineError::Corrupt("the copy cannot be read".into()));
        };
        let generation = self.content.generation;
        self.content = Content { generation, ..content };
        self.replace()?;
        Ok(())
    }
}

impl Journal {
    /// Makes the content durable, in place of what was there.
    fn replace(&mut self) -> io::Result<()> {
        let old = journal(&self.folder, self.content.generation);
        self.content.generation += 1;
        let new = self.folder.join("state.new");
        let file = self.disk.open(&new, Open::Create)?;
        file.set_len(0)?;
        file.write_at(&seal(&self.content), 0)?;
        file.sync_data()?;
        let next = journal(&self.folder, self.content.generation);
        self.file = self.disk.open(&next, Open::Create)?;
        self.file.set_len(0)?;
        self.tail = 0;
        self.disk.rename(&new, &self.folder.join("state"))?;
        self.disk.sync_dir(&self.folder)?;
        self.disk.remove(&old)
    }
}
