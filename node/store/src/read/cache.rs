//! The uids of folders that were asked for lately, brought up to date by what changed since.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use rusqlite::{Connection, params};

use super::buried;
use crate::{
    FolderId, ModSeq, Uid, UidSet,
    outcome::Stop,
    rows::{FolderRow, cached, signed},
};

/// Folders that are remembered.
const MAX_FOLDERS: usize = 4096;
/// Ranges of a folder above which it is not remembered.
const MAX_RANGES: usize = 1 << 20;

/// Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct UidCache(Arc<Mutex<HashMap<FolderId, Known>>>);

#[derive(Clone)]
struct Known {
    uids: Arc<UidSet>,
    modseq: ModSeq,
    uid_next: Uid,
}

impl UidCache {
    /// The uids of a folder and the modseq at which these are all.
    pub(crate) fn uids(
        &self,
        db: &Connection,
        folder: &FolderRow,
    ) -> Result<(UidSet, ModSeq), Stop> {
        let id = folder.folder.id;
        let known = self.0.lock().get(&id).cloned();
        let usable = known.filter(|known| known.modseq >= folder.horizon);
        let known = match usable {
            // somebody with a newer view was faster: as good
            Some(known) if known.modseq >= folder.folder.highest_modseq => known,
            Some(known) => self.keep(id, catch_up(db, folder, &known)?),
            None => self.keep(id, from(db, folder, UidSet::default(), 1)?),
        };
        Ok((UidSet::clone(&known.uids), known.modseq))
    }

    fn keep(&self, id: FolderId, known: Known) -> Known {
        let mut folders = self.0.lock();
        if folders.len() >= MAX_FOLDERS {
            folders.clear();
        }
        let newer = folders.get(&id).is_none_or(|there| there.modseq < known.modseq);
        if newer && known.uids.0.len() <= MAX_RANGES {
            folders.insert(id, known.clone());
        }
        known
    }
}

fn catch_up(db: &Connection, folder: &FolderRow, known: &Known) -> Result<Known, Stop> {
    let gone = buried(db, folder, known.modseq, folder.folder.highest_modseq)?;
    let left = if gone.is_empty() { UidSet::clone(&known.uids) } else { known.uids.minus(&gone) };
    from(db, folder, left, known.uid_next)
}

/// Adds the uids from `first` on.
fn from(db: &Connection, folder: &FolderRow, mut uids: UidSet, first: Uid) -> Result<Known, Stop> {
    let mut statement =
        cached(db, "SELECT uid FROM items WHERE folder = ? AND uid >= ? ORDER BY uid")?;
    let mut rows = statement.query(params![signed(folder.folder.id.0), first])?;
    while let Some(row) = rows.next()? {
        uids.push(row.get(0)?);
    }
    Ok(Known {
        uids: Arc::new(uids),
        modseq: folder.folder.highest_modseq,
        uid_next: folder.folder.uid_next,
    })
}
