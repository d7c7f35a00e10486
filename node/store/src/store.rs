//! The handle that protocols use.

mod fetch;
mod maintain;
pub(crate) mod query;
mod replicate;
mod totals;

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use posthouse_cluster::{
    Environment, Group, GroupId, GroupSpec, MachineError, Node, NodeId, OpenError, ProposeError,
    failpoint, sqlite::Readers,
};
use tokio::sync::broadcast;

use crate::{
    Call, Event, MoveStep, Refusal, Request, RequestId, Response, StoreError,
    absent::Absent,
    bodylog::{BodyLog, BodyLogError},
    command::decode_answer,
    machine::StoreMachine,
    peer::Peers,
    prepare::{PrepareError, Prepared, prepare},
    read::UidCache,
};
pub use fetch::ReplicaState;
pub use maintain::{Collection, Scrub};
pub use totals::Totals;

/// Change events that a receiver may lag behind.
pub(crate) const EVENTS: usize = 4096;

/// Named points at which tests end the process; in the order in which a delivery passes them.
pub const FAIL_POINTS: &[&str] = &[
    "store-body-written",
    "store-body-synced",
    "store-body-staged",
    "store-applying",
    "store-applied",
    "store-answered",
];

/// How to open a store.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Its group.
    pub group: GroupId,
    /// Its folder: database and body log.
    pub folder: PathBuf,
    /// If new: this node is its only member.
    pub bootstrap: bool,
    /// Threads that read the index.
    pub readers: usize,
}

/// A store on this node. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

/// Why an attempt at this node has no answer.
pub(crate) enum Miss {
    /// Certainly not done here; who leads, where known.
    NotLeader(Option<NodeId>),
    /// See there.
    Failed(StoreError),
}

impl From<ProposeError> for Miss {
    fn from(error: ProposeError) -> Self {
        match error {
            ProposeError::NotLeader { leader } => Self::NotLeader(leader),
            other => Self::Failed(other.into()),
        }
    }
}

impl From<StoreError> for Miss {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

struct Inner {
    id: GroupId,
    node: NodeId,
    group: Group,
    readers: Readers,
    bodies: BodyLog,
    absent: Arc<Absent>,
    peers: Peers,
    cache: UidCache,
    env: Environment,
    events: broadcast::Sender<Event>,
    folder: PathBuf,
    /// Free bytes on the disk when last looked at.
    free: AtomicU64,
}

impl Store {
    /// Bodies up to this size in bytes travel inside the command.
    pub const INLINE_BODY: usize = 16 * 1024;
    /// Largest message in bytes that a store takes; settings may lower it per protocol.
    pub const MAX_MESSAGE: usize = 256 << 20;
    /// With less than this many bytes free on the disk nothing is changed any more
    /// ([`StoreError::Storage`]), so that what was accepted can still be kept in order.
    pub const RESERVE: u64 = 16 << 20;

    /// Opens the store and starts its group.
    pub async fn open(node: &Node, options: StoreOptions) -> Result<Self, OpenError> {
        let env = node.environment().clone();
        let (events, _) = broadcast::channel(EVENTS);
        let opening = (env.clone(), options.folder.clone(), events.clone(), options.group);
        let (machine, bodies) = blocking(move || {
            let (env, folder, events, group) = opening;
            env.disk.create_dir_all(&folder)?;
            let bodies = BodyLog::open(env, &folder)?;
            let machine = StoreMachine::open(&folder, bodies.clone(), events, group)?;
            Ok::<_, MachineError>((machine, bodies))
        })
        .await
        .map_err(OpenError::Storage)??;
        let (database, absent) = (machine.path(), machine.absent());
        let peers = Peers::new(node.network().clone(), env.clone());
        let spec = GroupSpec {
            id: options.group,
            name: format!("store-{}", options.group.0),
            bootstrap: options.bootstrap,
        };
        let group = node.start_group(spec, Box::new(machine)).await?;
        let readers = Readers::open(&database, options.readers)?;
        let cache = UidCache::default();
        let free = AtomicU64::new(u64::MAX);
        let folder = options.folder;
        let (id, node) = (options.group, node.id());
        let inner = Inner {
            id,
            node,
            group,
            readers,
            bodies,
            absent,
            peers,
            cache,
            env,
            events,
            folder,
            free,
        };
        let store = Self { inner: Arc::new(inner) };
        fetch::start(&store);
        maintain::start(&store);
        Ok(store)
    }

    /// Does what is asked. A changing request is answered after a majority has it on disk.
    ///
    /// Only where this node leads; [`crate::Stores`] finds the leader.
    pub async fn call(&self, call: Call) -> Result<Response, StoreError> {
        self.attempt(call).await.map_err(|miss| match miss {
            Miss::NotLeader(_) => {
                StoreError::OutOfReach(format!("this node does not lead store {}", self.inner.id.0))
            }
            Miss::Failed(error) => error,
        })
    }

    /// [`Store::call`] that says who leads.
    pub(crate) async fn attempt(&self, call: Call) -> Result<Response, Miss> {
        if call.request.is_change() {
            return self.change(call).await;
        }
        if !self.inner.group.leads() {
            self.lead_or_miss().await?;
        }
        self.read(call.request).await.map_err(Miss::Failed)
    }

    /// A leader whose lease has run out, or that was just elected, may read after a majority has said
    /// that it still leads.
    async fn lead_or_miss(&self) -> Result<(), Miss> {
        let leader = self.inner.group.leader();
        if leader != Some(self.inner.node) {
            return Err(Miss::NotLeader(leader));
        }
        self.inner.group.read_barrier().await.map_err(Miss::from)
    }

    /// [`Store::call`] with a fresh request id and the present time.
    pub async fn request(&self, request: Request) -> Result<Response, StoreError> {
        let id = RequestId(self.inner.env.random.u128());
        let at = self.inner.env.clock.now();
        self.call(Call { id, at, request }).await
    }

    /// Change events of all mailboxes of this store, from now on. A receiver that lags sees
    /// `RecvError::Lagged` and must ask for changes of everything it watches.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.inner.events.subscribe()
    }

    /// The group that replicates this store.
    pub fn group(&self) -> &Group {
        &self.inner.group
    }

    /// Its number.
    pub fn id(&self) -> GroupId {
        self.inner.id
    }

    /// Whether this node leads it and may read without asking others.
    pub fn leads(&self) -> bool {
        self.inner.group.leads()
    }

    /// This node's number.
    pub(crate) fn node(&self) -> NodeId {
        self.inner.node
    }

    pub(crate) fn environment(&self) -> &Environment {
        &self.inner.env
    }

    async fn change(&self, call: Call) -> Result<Response, Miss> {
        let leader = self.inner.group.leader();
        if leader != Some(self.inner.node) {
            return Err(Miss::NotLeader(leader));
        }
        let at = call.at;
        let prepared = match self.prepare(call).await? {
            Ok(prepared) => prepared,
            Err(refusal) => return Ok(Response::Refused(refusal)),
        };
        self.stage(prepared.staged, at).await?;
        failpoint::hit(FAIL_POINTS[2]);
        let answer = match self.inner.group.propose(prepared.command).await {
            Ok(answer) => answer,
            Err(ProposeError::TooLarge(size)) => {
                return Ok(Response::Refused(Refusal::Limit(format!("request of {size} bytes"))));
            }
            Err(error) => return Err(error.into()),
        };
        failpoint::hit(FAIL_POINTS[5]);
        decode_answer(&answer)
            .map_err(|error| Miss::Failed(StoreError::Damaged(format!("answer: {error}"))))
    }

    async fn prepare(&self, call: Call) -> Result<Result<Prepared, Refusal>, StoreError> {
        let with_messages = matches!(
            call.request,
            Request::Append { .. }
                | Request::Deliver { .. }
                | Request::DeliverOnce { .. }
                | Request::SpoolUpdate { .. }
                | Request::Moving(MoveStep::Import { .. })
        );
        let prepared = if with_messages {
            let inner = self.inner.clone();
            let work = move || {
                inner.look_at_disk();
                prepare(call)
            };
            blocking(work).await.map_err(StoreError::Unavailable)?
        } else {
            prepare(call)
        };
        self.inner.check_room()?;
        match prepared {
            Ok(prepared) => Ok(Ok(prepared)),
            Err(PrepareError::Refused(refusal)) => Ok(Err(refusal)),
            Err(PrepareError::Encoding(text)) => Err(StoreError::Storage(text)),
        }
    }
}

impl Inner {
    fn check_room(&self) -> Result<(), StoreError> {
        let free = self.free.load(Ordering::Relaxed);
        if free < Store::RESERVE {
            return Err(StoreError::Storage(format!("the disk is full: {free} bytes left")));
        }
        Ok(())
    }

    fn look_at_disk(&self) {
        // not knowing is no reason to refuse
        let free = self.env.disk.free_space(&self.folder).unwrap_or(u64::MAX);
        self.free.store(free, Ordering::Relaxed);
        metrics::gauge!("posthouse_store_disk_free_bytes").set(free as f64);
    }
}

impl Request {
    /// Whether it changes something and so goes through the log.
    pub fn is_change(&self) -> bool {
        !matches!(
            self,
            Self::Folders { .. }
                | Self::Folder { .. }
                | Self::Uids { .. }
                | Self::Items { .. }
                | Self::Changes { .. }
                | Self::Body { .. }
                | Self::Search { .. }
                | Self::Quota { .. }
                | Self::Spool { .. }
                | Self::SpoolBody { .. }
                | Self::Export(_)
        )
    }
}

impl From<ProposeError> for StoreError {
    fn from(error: ProposeError) -> Self {
        match error {
            ProposeError::Storage(text) => Self::Storage(text),
            other => Self::Unavailable(other.to_string()),
        }
    }
}

impl From<MachineError> for StoreError {
    fn from(error: MachineError) -> Self {
        match error {
            MachineError::Storage(text) => Self::Storage(text),
            MachineError::Corrupt(text) => Self::Damaged(text),
        }
    }
}

impl From<BodyLogError> for StoreError {
    fn from(error: BodyLogError) -> Self {
        match error {
            BodyLogError::Storage(text) => Self::Storage(text),
            other => Self::Damaged(other.to_string()),
        }
    }
}

/// Runs what may take long on a thread for that; the error says that it did not come to its end.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.map_err(|error| error.to_string())
}
