//! Receiving a copy, checking it, installing it.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use openraft::{async_runtime::WatchReceiver, storage::Snapshot, vote::leader_id_adv::LeaderId};

use super::{
    Copies, Copy, FileInfo, MAX_FILES, MIN_FREE,
    wire::{self, Begin, Begun, End, Ended, Part, Question},
};
use crate::{
    Applied, Group, NodeId,
    env::{BoxFuture, Disk, File, Open},
    network::Handler,
    node::WeakNode,
    raft::{SnapshotMeta, Vote, codec, machine::SnapshotData},
};

/// Below the group's folder for copies.
pub(super) const FOLDER: &str = "in";

/// The files of a copy, in its order.
type Opened = Vec<Arc<dyn File>>;

/// A copy of which not all is here yet.
pub(super) struct Incoming {
    id: u128,
    pub(super) from: NodeId,
    applied: Applied,
    files: Vec<FileInfo>,
    opened: Opened,
    have: Vec<u64>,
    pub(super) touched: Duration,
}

impl Incoming {
    fn done(&self) -> (u64, u64) {
        (self.have.iter().sum(), self.files.iter().map(|file| file.size).sum())
    }
}

/// Answers questions of leaders about copies.
pub(crate) struct SnapshotService(pub WeakNode);

impl Handler for SnapshotService {
    fn handle(&self, from: NodeId, question: Bytes) -> BoxFuture<Result<Bytes, String>> {
        let node = self.0.clone();
        Box::pin(async move {
            let question = Question::decode(question)?;
            let group = node.group(question.group())?;
            match question {
                Question::Begin(begin) => begun(&group, from, begin).await,
                Question::Part(part) => part_here(&group.inner.copies, from, part).await,
                Question::End(end) => ended(&group, from, end).await,
            }
        })
    }
}

fn failed(error: io::Error) -> String {
    format!("the copy cannot be kept here: {error}")
}

/// Name of a file until all is there: what an earlier process received is found again.
fn unfinished(id: u128, number: usize) -> String {
    format!("{id:032x}.{number}")
}

async fn begun(group: &Group, from: NodeId, begin: Begin) -> Result<Bytes, String> {
    let (copies, term) =
        (&group.inner.copies, group.inner.raft().metrics().borrow_watched().current_term);
    if begin.term < term {
        return Err(format!("term {} is over, it is {term}", begin.term));
    }
    if begin.files.len() > MAX_FILES || !begin.files.iter().all(FileInfo::is_sound) {
        return Err("the copy has impossible files".into());
    }
    let applied = Applied { index: begin.index, opaque: begin.opaque };
    codec::position(Some(&applied)).map_err(|error| error.to_string())?;
    if group.inner.applied.borrow().next > begin.index {
        return wire::to_bytes(&Begun::NotNeeded);
    }
    let mut slot = copies.inner.incoming.lock().await;
    if let Some(incoming) = slot.as_mut().filter(|incoming| incoming.id == begin.copy) {
        incoming.from = from;
        return wire::to_bytes(&Begun::Have(incoming.have.clone()));
    }
    if let Some(other) = slot.take() {
        copies.end_progress(other.from, false);
    }
    let (folder, id, files) = (copies.inner.folder.join(FOLDER), begin.copy, begin.files.clone());
    let prepared = copies.inner.bulk.run(move |disk| prepare(disk, folder, id, &files)).await;
    let (opened, have) = prepared.map_err(failed)?;
    let touched = group.inner.env.clock.monotonic();
    let (id, files) = (begin.copy, begin.files);
    let incoming = Incoming { id, from, applied, files, opened, have: have.clone(), touched };
    let (done, total) = incoming.done();
    copies.set_progress(from, false, done, total);
    *slot = Some(incoming);
    wire::to_bytes(&Begun::Have(have))
}

/// Opens the files; what is there of the same copy stays.
fn prepare(
    disk: &dyn Disk,
    folder: PathBuf,
    id: u128,
    files: &[FileInfo],
) -> io::Result<(Opened, Vec<u64>)> {
    disk.create_dir_all(&folder)?;
    let ours: Vec<_> = (0..files.len()).map(|n| folder.join(unfinished(id, n))).collect();
    for path in disk.list(&folder)? {
        if !ours.contains(&path) {
            disk.remove(&path)?;
        }
    }
    let (mut opened, mut have, mut missing) = (Vec::new(), Vec::new(), 0);
    for (path, info) in ours.iter().zip(files) {
        let file = disk.open(path, Open::Create)?;
        let len = file.len()?.min(info.size);
        missing += info.size - len;
        have.push(len);
        opened.push(file);
    }
    let free = disk.free_space(&folder)?;
    if free < missing.saturating_add(MIN_FREE) {
        let text =
            format!("{missing} more bytes of a copy do not fit on the disk: {free} are free");
        return Err(io::Error::new(io::ErrorKind::StorageFull, text));
    }
    Ok((opened, have))
}

async fn part_here(copies: &Copies, from: NodeId, part: Part) -> Result<Bytes, String> {
    let mut slot = copies.inner.incoming.lock().await;
    let Some(incoming) = slot.as_mut().filter(|incoming| incoming.id == part.copy) else {
        return Err("the copy is not expected here".into());
    };
    let number = part.file as usize;
    let (Some(info), Some(file), Some(have)) = (
        incoming.files.get(number),
        incoming.opened.get(number).cloned(),
        incoming.have.get_mut(number),
    ) else {
        return Err("the copy has no such file".into());
    };
    let end = part.offset.saturating_add(part.data.len() as u64);
    if part.offset > *have || end > info.size {
        return Err(format!("the part does not follow on the {have} bytes that are here"));
    }
    let write = move |_: &dyn Disk| file.write_at(&part.data, part.offset);
    copies.inner.bulk.run(write).await.map_err(failed)?;
    *have = end.max(*have);
    incoming.touched = copies.inner.bulk.env.clock.monotonic();
    let (done, total) = incoming.done();
    copies.set_progress(from, false, done, total);
    Ok(Bytes::new())
}

async fn ended(group: &Group, from: NodeId, end: End) -> Result<Bytes, String> {
    let copies = &group.inner.copies;
    let mut slot = copies.inner.incoming.lock().await;
    let Some(incoming) = slot.take_if(|incoming| incoming.id == end.copy) else {
        return Err("the copy is not expected here".into());
    };
    // the lock is held: another copy must not use the folder before this one is installed
    copies.end_progress(incoming.from, false);
    let checked = check(copies, &incoming).await;
    let folder = copies.inner.folder.join(FOLDER);
    let copy = Copy { folder, disk: copies.inner.bulk.env.disk.clone() };
    checked?;
    let meta = codec::position(Some(&incoming.applied)).map_err(|error| error.to_string())?;
    let meta = SnapshotMeta { last_log_id: meta.0, last_membership: meta.1 };
    let snapshot = Snapshot { meta, snapshot: SnapshotData::Copy(copy) };
    let vote = Vote { leader_id: LeaderId { term: end.term, node_id: from.0 }, committed: true };
    let installed = group.inner.raft().install_full_snapshot(vote, snapshot).await;
    let answer = installed.map_err(|fatal| format!("the copy cannot be installed: {fatal}"))?;
    let Vote { leader_id, committed } = answer.vote;
    wire::to_bytes(&Ended { term: leader_id.term, node: leader_id.node_id, committed })
}

/// All is there, on disk, and as it was sent; then the files get their names.
async fn check(copies: &Copies, incoming: &Incoming) -> Result<(), String> {
    let bulk = &copies.inner.bulk;
    for ((info, file), have) in incoming.files.iter().zip(&incoming.opened).zip(&incoming.have) {
        if *have != info.size {
            return Err(format!("{have} bytes of {} are here, not {}", info.name, info.size));
        }
        let synced = file.clone();
        bulk.run(move |_| synced.sync_data()).await.map_err(failed)?;
        if bulk.hash(file.clone(), info.size).await.map_err(failed)? != info.hash {
            return Err(format!("{} is not what was sent", info.name));
        }
    }
    let (folder, id) = (copies.inner.folder.join(FOLDER), incoming.id);
    let names: Vec<_> = incoming.files.iter().map(|file| file.name.clone()).collect();
    let rename = move |disk: &dyn Disk| {
        for (number, name) in names.iter().enumerate() {
            disk.rename(&folder.join(unfinished(id, number)), &folder.join(name))?;
        }
        disk.sync_dir(&folder)
    };
    bulk.run(rename).await.map_err(failed)
}
