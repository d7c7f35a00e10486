//! The one thread that appends.

use std::{
    collections::HashSet,
    io,
    sync::{Arc, atomic::Ordering},
};

use bytes::Bytes;
use posthouse_cluster::{Timestamp, env::Open, failpoint};
use tokio::sync::{mpsc, oneshot};

use super::{
    BodyLogError, Location, LogFile, Shared, path_of,
    record::{HEADER, Header, padding},
};
use crate::{BodyHash, FAIL_POINTS};

/// Most bytes that are written before a sync.
const BATCH_BYTES: usize = 64 << 20;
/// Most bodies that are written before a sync.
const BATCH: usize = 1024;

/// A body to be written.
pub(super) struct Job {
    pub hash: BodyHash,
    pub body: Bytes,
    pub staged: Timestamp,
    pub done: Option<oneshot::Sender<Result<(), BodyLogError>>>,
}

/// Way to the writer. It ends with the last clone.
pub(super) type Queue = mpsc::UnboundedSender<Job>;

pub(super) fn start(shared: Arc<Shared>) -> io::Result<Queue> {
    let (queue, jobs) = mpsc::unbounded_channel();
    let spawner = shared.env.spawner.clone();
    spawner.worker("body-log", Box::pin(run(shared, jobs)))?;
    Ok(queue)
}

async fn run(shared: Arc<Shared>, mut jobs: mpsc::UnboundedReceiver<Job>) {
    while let Some(first) = jobs.recv().await {
        let mut bytes = first.body.len();
        let mut batch = vec![first];
        while bytes < BATCH_BYTES && batch.len() < BATCH {
            let Ok(job) = jobs.try_recv() else { break };
            bytes += job.body.len();
            batch.push(job);
        }
        let result = write(&shared, &batch);
        for done in batch.into_iter().filter_map(|job| job.done) {
            // whoever waited may have given up
            let _ = done.send(result.clone());
        }
    }
}

/// Writes a batch and syncs it; all of it or nothing is in the index then.
fn write(shared: &Shared, batch: &[Job]) -> Result<(), BodyLogError> {
    if shared.failed.load(Ordering::SeqCst) {
        return Err(BodyLogError::Storage("a sync failed earlier; restart the node".into()));
    }
    let (number, file) = current(shared)?;
    let mut end = file.length;
    let mut seen = HashSet::new();
    let mut written = Vec::with_capacity(batch.len());
    for job in batch {
        if !seen.insert(job.hash) || is_there(shared, &job.hash) {
            continue;
        }
        let header = Header::of(&job.body, job.hash, job.staged, file.length);
        if let Err(error) = append(&file, end, &header, &job.body) {
            // full disk, most likely: leave the file as it was, so that the next one may succeed
            let cut = file.handle.set_len(file.length);
            cut.inspect_err(|error| shared.fail(error))?;
            return Err(error.into());
        }
        let length = header.length;
        written.push((job.hash, Location { file: number, offset: end, length, damaged: false }));
        end += header.record();
    }
    failpoint::hit(FAIL_POINTS[0]);
    if !written.is_empty() {
        file.handle.sync_data().inspect_err(|error| shared.fail(error))?;
    }
    failpoint::hit(FAIL_POINTS[1]);
    let mut index = shared.index.write();
    index.bodies.extend(written);
    if let Some(file) = index.files.get_mut(&number) {
        file.length = end;
    }
    Ok(())
}

fn is_there(shared: &Shared, hash: &BodyHash) -> bool {
    shared.index.read().bodies.get(hash).is_some_and(|location| !location.damaged)
}

fn append(file: &LogFile, at: u64, header: &Header, body: &[u8]) -> io::Result<()> {
    let mut record = Vec::with_capacity(header.record() as usize);
    record.extend_from_slice(&header.encode());
    record.extend_from_slice(body);
    record.resize(HEADER + body.len() + padding(body.len()), 0);
    file.handle.write_at(&record, at)
}

/// The file that is written to, a new one where the last is full.
fn current(shared: &Shared) -> Result<(u32, LogFile), BodyLogError> {
    let size = shared.file_size.load(Ordering::Relaxed);
    let last = shared.index.read().files.last_key_value().map(|(n, file)| (*n, file.clone()));
    let number = match last {
        Some((number, file)) if file.length < size => return Ok((number, file)),
        Some((number, _)) => number + 1,
        None => 1,
    };
    let path = path_of(&shared.folder, number);
    let handle = shared.env.disk.open(&path, Open::Create)?;
    handle.set_len(0)?;
    handle.sync_data().inspect_err(|error| shared.fail(error))?;
    shared.env.disk.sync_dir(&shared.folder).inspect_err(|error| shared.fail(error))?;
    let file = LogFile { handle, path, length: 0 };
    shared.index.write().files.insert(number, file.clone());
    Ok((number, file))
}
