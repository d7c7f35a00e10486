//! Our state machines as openraft's: each on one thread of its own.

use std::{
    collections::BTreeSet,
    io,
    path::PathBuf,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use openraft::{
    EntryPayload, OptionalSend, RaftSnapshotBuilder,
    entry::RaftEntry,
    storage::{ApplyResponder, EntryResponder, RaftStateMachine, Snapshot},
};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use super::{
    Entry, LogId, Membership, SnapshotMeta, Types, codec,
    snapshot::{self, Copy},
};
use crate::{
    Applied, Command, Environment, MachineError, OpenError, StateMachine, env::Disk, failpoint,
    watch,
};

/// Entries that one transaction takes at most.
const BATCH_ENTRIES: usize = 1024;

type Job = Box<dyn FnOnce(&mut dyn StateMachine) + Send>;

/// What is counted of a group since its last checkpoint.
#[derive(Debug, Default)]
pub(crate) struct Load {
    pub entries: AtomicU64,
    pub bytes: AtomicU64,
}

/// A state machine on its thread. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Handle {
    jobs: mpsc::UnboundedSender<Job>,
    failure: Arc<OnceLock<String>>,
    pub load: Arc<Load>,
    scratch: Arc<Scratch>,
}

/// Where copies of the state machine are built.
struct Scratch {
    folder: PathBuf,
    disk: Arc<dyn Disk>,
}

impl Handle {
    /// Starts the thread. Copies are built in folders below `scratch`, which need not exist.
    pub(crate) fn start(
        env: &Environment,
        name: &str,
        mut machine: Box<dyn StateMachine>,
        scratch: PathBuf,
    ) -> Result<Self, OpenError> {
        let (jobs, mut queue) = mpsc::unbounded_channel::<Job>();
        let serve = async move {
            while let Some(job) = queue.recv().await {
                job(machine.as_mut());
            }
        };
        env.spawner
            .worker(&format!("apply-{name}"), Box::pin(serve))
            .map_err(|error| OpenError::Storage(error.to_string()))?;
        let scratch = Arc::new(Scratch { folder: scratch, disk: env.disk.clone() });
        Ok(Self { jobs, failure: Arc::default(), load: Arc::default(), scratch })
    }

    /// Runs `job` on the machine's thread. The first error is kept: after it nothing more is applied.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut dyn StateMachine) -> Result<T, MachineError> + Send + 'static,
    ) -> Result<T, MachineError> {
        let ended = || MachineError::Storage("the state machine's thread ended".into());
        let (answer, result) = oneshot::channel();
        let failure = self.failure.clone();
        let work: Job = Box::new(move |machine| {
            let outcome = match failure.get() {
                Some(reason) => Err(MachineError::Storage(reason.clone())),
                None => job(machine),
            };
            let _ = answer.send(outcome);
        });
        self.jobs.send(work).map_err(|_| ended())?;
        let outcome = result.await.unwrap_or_else(|_| Err(ended()));
        if let Err(error) = &outcome
            && self.failure.set(error.to_string()).is_ok()
        {
            tracing::error!(target: "error", %error, "a state machine failed and applies nothing more");
        }
        outcome
    }

    /// Lets nothing be applied any more.
    pub(crate) fn fail(&self, reason: &str) {
        let _ = self.failure.set(reason.to_owned());
    }

    /// Why nothing is applied any more.
    pub(crate) fn failure(&self) -> Option<String> {
        self.failure.get().cloned()
    }

    async fn checkpoint(&self) -> io::Result<Option<Applied>> {
        let load = self.load.clone();
        let done = self.run(move |machine| {
            load.entries.store(0, Ordering::Relaxed);
            load.bytes.store(0, Ordering::Relaxed);
            failpoint::hit(failpoint::CHECKPOINT_BEFORE);
            machine.checkpoint()?;
            failpoint::hit(failpoint::CHECKPOINT_AFTER);
            machine.applied()
        });
        done.await.map_err(io::Error::other)
    }

    /// Builds a complete copy in a folder of this name, in which nothing else may be, and says what is in
    /// it.
    pub(crate) async fn copy(&self, name: &str) -> io::Result<(Copy, Applied)> {
        let (folder, disk) = (self.scratch.folder.join(name), self.scratch.disk.clone());
        let copy = Copy { folder: folder.clone(), disk: disk.clone() };
        let build = move |machine: &mut dyn StateMachine| {
            disk.create_dir_all(&folder)?;
            snapshot::empty(disk.as_ref(), &folder)?;
            // what fails here is the copy, not the machine
            Ok(machine.snapshot(&folder).and_then(|()| machine.applied()))
        };
        match self.run(build).await.map_err(io::Error::other)? {
            Ok(Some(applied)) => Ok((copy, applied)),
            Ok(None) => Err(io::Error::other("there is nothing to copy")),
            Err(error) => Err(io::Error::other(error)),
        }
    }
}

/// A snapshot as openraft carries it. A checkpoint of our own state is one already: the folder with
/// the copy is only built when somebody needs it.
pub(crate) enum SnapshotData {
    /// The state of a machine in this process.
    Live(Handle),
    /// A copy that came from elsewhere.
    Copy(Copy),
}

/// How far a state machine has come, for those who wait for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Position {
    /// Index of the entry that will be applied next.
    pub next: u64,
    /// Term of the last applied entry.
    pub term: u64,
    /// Who led when it was proposed: two nodes may lead one after the other in the same term.
    pub leader: u64,
}

impl Position {
    fn behind(applied: Option<&LogId>) -> Self {
        applied.map_or_else(Self::default, |log_id| Self {
            next: log_id.index + 1,
            leader: log_id.leader_id.node_id,
            term: log_id.leader_id.term,
        })
    }
}

#[derive(Default)]
struct State {
    applied: Option<LogId>,
    membership: Membership,
    checkpoint: Option<SnapshotMeta>,
}

/// One group's state machine for openraft.
#[derive(Clone)]
pub(crate) struct RaftMachine {
    handle: Handle,
    position: Arc<Mutex<State>>,
    reached: Arc<watch::Sender<Position>>,
    /// Held while something changes; `true` once another consensus layer uses the machine.
    replaced: Arc<tokio::sync::Mutex<bool>>,
}

impl RaftMachine {
    /// Asks the machine how far it is.
    pub(crate) async fn open(handle: Handle) -> Result<Self, OpenError> {
        let found = handle.run(|machine| {
            // whoever is far behind may be told at once that there is a copy up to here
            let applied = machine.applied()?;
            if applied.is_some() {
                machine.checkpoint()?;
            }
            Ok(applied)
        });
        let (applied, membership) = codec::position(found.await?.as_ref())
            .map_err(|error| MachineError::Corrupt(error.to_string()))?;
        let checkpoint = applied.map(|last| SnapshotMeta {
            last_log_id: Some(last),
            last_membership: membership.clone(),
        });
        let reached = Arc::new(watch::Sender::new(Position::behind(applied.as_ref())));
        let position = State { applied, membership, checkpoint };
        let position = Arc::new(Mutex::new(position));
        Ok(Self { handle, position, reached, replaced: Arc::default() })
    }

    /// The same machine for another consensus layer. What the one before had begun is done when this
    /// returns, and it can do nothing more.
    pub(crate) async fn renewed(&self) -> Result<Self, OpenError> {
        *self.replaced.lock().await = true;
        // it may have gone away while something was under way: the machine itself knows
        let applied = self.handle.run(|machine| machine.applied()).await?;
        let (applied, membership) = codec::position(applied.as_ref())
            .map_err(|error| MachineError::Corrupt(error.to_string()))?;
        {
            let mut position = self.position.lock();
            (position.applied, position.membership) = (applied, membership);
        }
        self.reached.send_replace(Position::behind(applied.as_ref()));
        Ok(Self { replaced: Arc::default(), ..self.clone() })
    }

    /// For as long as something changes.
    async fn changing(&self) -> io::Result<tokio::sync::MutexGuard<'_, bool>> {
        let replaced = self.replaced.lock().await;
        match *replaced {
            true => Err(io::Error::other("the state machine has moved on to another instance")),
            false => Ok(replaced),
        }
    }

    /// Who votes as far as the machine knows.
    pub(crate) fn voters(&self) -> BTreeSet<u64> {
        self.position.lock().membership.voter_ids().collect()
    }

    /// How far the machine is, from now on.
    pub(crate) fn reached(&self) -> watch::Receiver<Position> {
        self.reached.subscribe()
    }

    /// Index of the last entry whose effect is there.
    pub(crate) fn applied_index(&self) -> Option<u64> {
        self.position.lock().applied.map(|log_id| log_id.index)
    }

    async fn apply_batch(
        &self,
        batch: Vec<(Entry, Option<ApplyResponder<Types>>)>,
    ) -> io::Result<()> {
        let _changing = self.changing().await?;
        let (mut commands, mut responders) = (Vec::new(), Vec::new());
        let (mut last, mut membership) = (None, self.position.lock().membership.clone());
        let mut bytes = 0;
        for (entry, responder) in batch {
            let log_id = entry.log_id();
            last = Some(log_id);
            let command = match entry.payload {
                EntryPayload::Blank => None,
                EntryPayload::Normal(proposal) => Some(proposal.0),
                EntryPayload::Membership(new) => {
                    membership = Membership::new(last, new);
                    None
                }
            };
            responders.push((command.is_some(), responder));
            bytes += command.as_ref().map_or(0, Bytes::len) as u64;
            commands.extend(command.map(|data| Command { index: log_id.index, data }));
        }
        let Some(log_id) = last else { return Ok(()) };
        self.handle.load.entries.fetch_add(responders.len() as u64, Ordering::Relaxed);
        self.handle.load.bytes.fetch_add(bytes, Ordering::Relaxed);
        let applied = codec::applied(&log_id, &membership)?;
        let answers = self
            .handle
            .run(move |machine| {
                failpoint::hit(failpoint::BEFORE_APPLY);
                let answers = machine.apply(&commands, &applied)?;
                failpoint::hit(failpoint::AFTER_APPLY);
                match answers.len() == commands.len() {
                    true => Ok(answers),
                    false => Err(MachineError::Corrupt("answers and commands differ".into())),
                }
            })
            .await
            .map_err(io::Error::other)?;
        {
            let mut position = self.position.lock();
            position.applied = last;
            position.membership = membership;
        }
        self.reached.send_replace(Position::behind(last.as_ref()));
        let mut answers = answers.into_iter();
        for (command, responder) in responders {
            let answer = if command { answers.next() } else { None };
            if let Some(responder) = responder {
                responder.send(answer.unwrap_or_default());
            }
        }
        Ok(())
    }
}

impl RaftStateMachine<Types> for RaftMachine {
    type SnapshotData = SnapshotData;
    type SnapshotBuilder = Self;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, Membership)> {
        let position = self.position.lock();
        Ok((position.applied, position.membership.clone()))
    }

    async fn apply<S>(&mut self, entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<Types>>> + Unpin + OptionalSend,
    {
        let mut chunks = entries.ready_chunks(BATCH_ENTRIES);
        while let Some(chunk) = chunks.next().await {
            let batch = chunk.into_iter().collect::<io::Result<Vec<_>>>()?;
            self.apply_batch(batch).await?;
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        self.clone()
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: SnapshotData,
    ) -> io::Result<()> {
        let copy = match snapshot {
            SnapshotData::Live(handle) => handle.copy("own").await?.0,
            SnapshotData::Copy(copy) => copy,
        };
        let _changing = self.changing().await?;
        let folder = copy.folder.clone();
        let applied = self
            .handle
            .run(move |machine| {
                machine.install(&folder)?;
                machine.checkpoint()?;
                machine.applied()
            })
            .await
            .map_err(io::Error::other)?;
        let (applied, membership) = codec::position(applied.as_ref())?;
        if applied != meta.last_log_id {
            let what = "the installed copy is not the one that was announced";
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        let checkpoint = Some(meta.clone());
        self.reached.send_replace(Position::behind(applied.as_ref()));
        *self.position.lock() = State { applied, membership, checkpoint };
        Ok(())
    }

    async fn get_current_snapshot(
        &mut self,
    ) -> io::Result<Option<openraft::alias::SnapshotOf<Types, SnapshotData>>> {
        let meta = self.position.lock().checkpoint.clone();
        Ok(meta.map(|meta| Snapshot { meta, snapshot: SnapshotData::Live(self.handle.clone()) }))
    }
}

impl RaftSnapshotBuilder<Types> for RaftMachine {
    type SnapshotData = SnapshotData;

    async fn build_snapshot(
        &mut self,
    ) -> io::Result<openraft::alias::SnapshotOf<Types, SnapshotData>> {
        let _changing = self.changing().await?;
        let applied = self.handle.checkpoint().await?;
        let (last_log_id, last_membership) = codec::position(applied.as_ref())?;
        let meta = SnapshotMeta { last_log_id, last_membership };
        self.position.lock().checkpoint = Some(meta.clone());
        Ok(Snapshot { meta, snapshot: SnapshotData::Live(self.handle.clone()) })
    }
}
