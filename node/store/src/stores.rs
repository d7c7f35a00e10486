//! All stores of the cluster as one: what protocols use instead of a [`Store`].

mod feed;
mod locate;
mod route;
mod serve;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use parking_lot::{Mutex, RwLock};
use posthouse_cluster::{
    Environment, GroupId, NodeId,
    network::{Alone, LinkError, Network},
};
use tokio::sync::broadcast;

use crate::{
    Call, Event, MailboxId, Refusal, ReplicaState, Request, RequestId, Response, Store, StoreError,
    peer::{Parcels, Peers, StoreAnswer},
    store::EVENTS,
};
use feed::Journal;
pub use locate::Locate;

/// How long a call waits for a store that does not answer: longer than it takes to elect a leader.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pause before a mailbox that is being moved is looked for again.
const MOVING: Duration = Duration::from_millis(50);
/// How long another node may take to say how its replica is doing.
const STATE_PATIENCE: Duration = Duration::from_secs(3);

/// The stores of the cluster. Cheap to clone.
#[derive(Clone)]
pub struct Stores {
    inner: Arc<Inner>,
    patience: Duration,
}

struct Inner {
    env: Environment,
    peers: Peers,
    locate: Arc<dyn Locate>,
    local: RwLock<BTreeMap<GroupId, Local>>,
    events: broadcast::Sender<Event>,
    parcels: Parcels,
    /// Who answered last.
    leaders: Mutex<BTreeMap<GroupId, NodeId>>,
    /// Stores that could not be reached the last time.
    down: RwLock<BTreeSet<GroupId>>,
}

/// A replica on this node.
struct Local {
    store: Store,
    journal: Arc<Journal>,
}

impl Stores {
    /// No store is local yet: see [`Stores::add`]. Answers other nodes over `network` from now on. Within
    /// the runtime.
    pub fn new(env: Environment, network: Arc<dyn Network>, locate: Arc<dyn Locate>) -> Self {
        let (events, _) = broadcast::channel(EVENTS);
        let inner = Arc::new(Inner {
            peers: Peers::new(network.clone(), env.clone()),
            env,
            locate,
            local: RwLock::default(),
            events,
            parcels: Parcels::default(),
            leaders: Mutex::default(),
            down: RwLock::default(),
        });
        serve::start(&inner, &*network);
        feed::start(&inner);
        Self { inner, patience: PATIENCE }
    }

    /// This store alone, for tests and for a cluster of one.
    pub fn single(store: Store) -> Self {
        let locate = Arc::new(locate::Only(store.id()));
        let stores = Self::new(store.environment().clone(), Arc::new(Alone), locate);
        stores.add(store);
        stores
    }

    /// The same stores for somebody who waits no longer than this for one that does not answer.
    pub fn patient(&self, patience: Duration) -> Self {
        Self { inner: self.inner.clone(), patience }
    }

    /// From now on this node has a replica of the store.
    pub fn add(&self, store: Store) {
        let journal = Arc::new(Journal::new(self.inner.env.random.u64()));
        let local = Local { store: store.clone(), journal: journal.clone() };
        self.inner.local.write().insert(store.id(), local);
        feed::follow(&self.inner, &store, journal);
        // events may have been missed until now
        let _ = self.inner.events.send(Event::Missed);
    }

    /// This node has no replica of the store any more.
    pub fn remove(&self, store: GroupId) -> Option<Store> {
        self.inner.local.write().remove(&store).map(|local| local.store)
    }

    /// Replicas on this node, ascending.
    pub fn local(&self) -> Vec<Store> {
        self.inner.local.read().values().map(|local| local.store.clone()).collect()
    }

    /// The replica of a store on this node.
    pub fn store(&self, store: GroupId) -> Option<Store> {
        self.inner.local.read().get(&store).map(|local| local.store.clone())
    }

    /// Stores that this node leads, ascending.
    pub fn led_here(&self) -> Vec<GroupId> {
        self.local().iter().filter(|store| store.leads()).map(Store::id).collect()
    }

    /// All stores of the cluster, ascending.
    pub fn all(&self) -> Vec<GroupId> {
        self.inner.locate.stores()
    }

    /// The store of a mailbox.
    pub fn store_of(&self, mailbox: MailboxId) -> GroupId {
        self.inner.locate.store_of(mailbox)
    }

    /// Whether the store answered the last time, as far as anybody on this node has asked.
    pub fn answers(&self, store: GroupId) -> bool {
        !self.inner.down.read().contains(&store)
    }

    /// How the replica of a store on a node is doing: what its leader wants to know before it lets it vote.
    pub async fn replica(&self, node: NodeId, store: GroupId) -> Result<ReplicaState, LinkError> {
        if let Some(local) = self.store(store).filter(|local| local.node() == node) {
            return Ok(local.state());
        }
        match self.inner.peers.state(node, store, STATE_PATIENCE).await? {
            StoreAnswer::State(state) => Ok(state),
            _ => Err(LinkError::Refused(node, "a wrong answer".into())),
        }
    }

    /// Does what is asked, in the store of the mailbox that the request is about, wherever that is. Waits
    /// for a new leader as long as it takes to elect one, with one request id, so that a change takes effect
    /// once.
    ///
    /// Spool requests name no mailbox: they are for [`Stores::call_in`], unless there is one store only.
    pub async fn call(&self, call: Call) -> Result<Response, StoreError> {
        let mut store = match self.route(&call.request) {
            Ok(store) => store,
            Err(refusal) => return Ok(Response::Refused(refusal)),
        };
        let clock = &self.inner.env.clock;
        let started = clock.monotonic();
        let alone = call.request.mailboxes().len() == 1;
        loop {
            let answer = self.call_in(store, call.clone()).await?;
            let next = match &answer {
                Response::Refused(Refusal::Moving(_)) => None,
                // the directory here may not know it yet
                Response::Refused(Refusal::Moved { to, .. }) if alone && *to != store => Some(*to),
                Response::Refused(Refusal::Moved { .. }) => None,
                _ => return Ok(answer),
            };
            if clock.monotonic().saturating_sub(started) >= self.patience {
                return Ok(answer);
            }
            match next {
                Some(next) => store = next,
                None => {
                    clock.sleep(MOVING).await;
                    store = self.route(&call.request).unwrap_or(store);
                }
            }
        }
    }

    /// [`Stores::call`] with a fresh request id and the present time.
    pub async fn request(&self, request: Request) -> Result<Response, StoreError> {
        self.call(self.fresh(request)).await
    }

    /// [`Stores::request`] in a named store.
    pub async fn request_in(
        &self,
        store: GroupId,
        request: Request,
    ) -> Result<Response, StoreError> {
        self.call_in(store, self.fresh(request)).await
    }

    /// Change events of all stores, from now on. After [`Event::Missed`], and when a receiver lags, it must
    /// ask for changes of everything it watches.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.inner.events.subscribe()
    }

    fn fresh(&self, request: Request) -> Call {
        let id = RequestId(self.inner.env.random.u128());
        Call { id, at: self.inner.env.clock.now(), request }
    }

    /// The one store that a request is for.
    fn route(&self, request: &Request) -> Result<GroupId, Refusal> {
        let mut stores: Vec<_> =
            request.mailboxes().into_iter().map(|mailbox| self.store_of(mailbox)).collect();
        if stores.is_empty() {
            stores = self.all();
        }
        stores.sort_unstable();
        stores.dedup();
        match stores.as_slice() {
            [only] => Ok(*only),
            _ => Err(Refusal::Limit("one store in a request".into())),
        }
    }

    /// The form of a call that all nodes know.
    fn at_level(&self, call: Call) -> Call {
        if self.inner.locate.level() >= Request::DELIVERIES_LEVEL {
            return call;
        }
        let request = match call.request {
            Request::DeliverOnce { envelope, local, relay, message, .. } => {
                Request::Deliver { envelope, local, relay, message }
            }
            request => request,
        };
        Call { request, ..call }
    }
}
