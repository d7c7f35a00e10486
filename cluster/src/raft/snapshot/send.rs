//! Sending a copy to a member that is too far behind for the log.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use openraft::{
    errors::{NetworkError, StreamingError, Unreachable},
    raft::SnapshotResponse,
    vote::leader_id_adv::LeaderId,
};

use super::{
    Copies, FileInfo, Outgoing, PART, SLOTS, read_exactly,
    wire::{self, Begin, Begun, End, Ended, Part, Question},
};
use crate::{
    NodeId,
    env::{Disk, Open},
    network::{LinkError, Network, Service},
    raft::{Types, Vote},
};

/// How long a part may take.
const PART_PATIENCE: Duration = Duration::from_secs(10);
/// How long checking and installing may take at the other node.
const INSTALL_PATIENCE: Duration = Duration::from_secs(1800);

type Failed = StreamingError<Types>;

/// Asked again after a pause.
fn later(reason: impl ToString) -> Failed {
    StreamingError::Unreachable(Unreachable::from_string(reason))
}

fn no_answer(error: LinkError) -> Failed {
    match error {
        LinkError::Lost(..) => StreamingError::Network(NetworkError::from_string(error)),
        error => later(error),
    }
}

/// Where the copy goes.
struct Receiver<'a> {
    network: &'a dyn Network,
    to: NodeId,
}

impl Receiver<'_> {
    async fn ask(&self, question: Question, patience: Duration) -> Result<Bytes, Failed> {
        let bytes = question.encode().map_err(later)?;
        self.network.ask(self.to, Service::SNAPSHOT, bytes, patience).await.map_err(no_answer)
    }
}

/// Removes the progress when the sending ends, however it does.
struct Under<'a>(&'a Copies, NodeId);

impl Drop for Under<'_> {
    fn drop(&mut self) {
        self.0.end_progress(self.1, true);
    }
}

impl Copies {
    /// Sends a copy that the log here goes on from, and returns once it is installed there.
    pub(crate) async fn send(
        &self,
        network: &dyn Network,
        to: NodeId,
        vote: Vote,
    ) -> Result<SnapshotResponse<Types>, Failed> {
        let copy = self.outgoing().await.map_err(later)?;
        let (group, receiver) = (self.inner.group, Receiver { network, to });
        let term = vote.leader_id.term;
        let begin = Question::Begin(Begin {
            group,
            copy: copy.id,
            term,
            index: copy.applied.index,
            opaque: copy.applied.opaque.clone(),
            files: copy.files.clone(),
        });
        let begun = receiver.ask(begin, PART_PATIENCE).await?;
        let Begun::Have(have) = wire::from_bytes(&begun).map_err(later)? else {
            return Ok(SnapshotResponse::new(vote));
        };
        let _under = Under(self, to);
        self.send_files(&receiver, &copy, &have).await?;
        let end = Question::End(End { group, copy: copy.id, term });
        let ended = receiver.ask(end, INSTALL_PATIENCE).await?;
        let Ended { term, node, committed } = wire::from_bytes(&ended).map_err(later)?;
        let leader_id = LeaderId { term, node_id: node };
        tracing::info!(target: "operation", group = group.0, node = to.0, "a copy is installed");
        Ok(SnapshotResponse::new(Vote { leader_id, committed }))
    }

    async fn send_files(
        &self,
        receiver: &Receiver<'_>,
        copy: &Arc<Outgoing>,
        have: &[u64],
    ) -> Result<(), Failed> {
        let bulk = &self.inner.bulk;
        let total = copy.files.iter().map(|file| file.size).sum();
        let mut done: u64 =
            copy.files.iter().zip(have).map(|(file, have)| file.size.min(*have)).sum();
        for (number, file) in copy.files.iter().enumerate() {
            let path = copy.copy.folder.join(&file.name);
            let open = move |disk: &dyn Disk| disk.open(&path, Open::Read);
            let opened = bulk.run(open).await.map_err(later)?;
            let mut offset = have.get(number).copied().unwrap_or(0).min(file.size);
            while offset < file.size {
                self.set_progress(receiver.to, true, done, total);
                *copy.used.lock() = bulk.env.clock.monotonic();
                let len = (file.size - offset).min(PART as u64) as usize;
                let opened = opened.clone();
                let read = bulk.run(move |_| read_exactly(opened.as_ref(), offset, len)).await;
                let data = Bytes::from(read.map_err(later)?);
                bulk.pace(len).await;
                let (group, copy) = (self.inner.group, copy.id);
                let part = Part { group, copy, file: number as u32, offset, data };
                receiver.ask(Question::Part(part), PART_PATIENCE).await?;
                offset += len as u64;
                done += len as u64;
            }
        }
        Ok(())
    }

    /// The copy that is there if the log goes on from it, otherwise a new one.
    async fn outgoing(&self) -> io::Result<Arc<Outgoing>> {
        let inner = &self.inner;
        let mut slots = inner.outgoing.lock().await;
        let first = inner.engine.state(inner.group).first;
        if let Some(copy) = &slots.current
            && copy.applied.index + 1 >= first
        {
            return Ok(copy.clone());
        }
        slots.current = None;
        let free = (0..SLOTS)
            .find(|slot| slots.in_use.get(*slot).is_none_or(|used| used.strong_count() == 0));
        let slot = free.ok_or_else(|| io::Error::other("older copies are still being sent"))?;
        let copy = Arc::new(self.build(slot).await?);
        if let Some(used) = slots.in_use.get_mut(slot) {
            *used = Arc::downgrade(&copy);
        }
        slots.current = Some(copy.clone());
        Ok(copy)
    }

    async fn build(&self, slot: usize) -> io::Result<Outgoing> {
        let (inner, bulk) = (&self.inner, &self.inner.bulk);
        let (copy, applied) = inner.machine.copy(&format!("out-{slot}")).await?;
        let folder = copy.folder.clone();
        let list = move |disk: &dyn Disk| {
            let open = |path: PathBuf| {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let file = disk.open(&path, Open::Read)?;
                let size = file.len()?;
                io::Result::Ok((name, size, file))
            };
            disk.list(&folder)?.into_iter().map(open).collect::<io::Result<Vec<_>>>()
        };
        let mut files = Vec::new();
        for (name, size, file) in bulk.run(list).await? {
            files.push(FileInfo { name, size, hash: bulk.hash(file, size).await? });
        }
        let used = parking_lot::Mutex::new(bulk.env.clock.monotonic());
        let id = bulk.env.random.u128();
        Ok(Outgoing { id, applied, files, copy, used })
    }
}
