//! All stores of the cluster as one: what protocols use instead of a [`Store`].

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::RwLock;
use posthouse_cluster::{
    Environment, GroupId, NodeId,
    network::{Alone, Network},
};
use tokio::sync::broadcast;

use crate::{
    Call, Event, MailboxId, Refusal, Request, RequestId, Response, Store, StoreError,
    store::EVENTS,
};

/// Where mailboxes and stores are: the directory's answers, from memory. Must not block.
pub trait Locate: Send + Sync + 'static {
    /// The store of a mailbox; of one that nobody knows, the store in which it would be made.
    fn store_of(&self, mailbox: MailboxId) -> GroupId;
    /// Nodes that have a replica of the store, its home first.
    fn replicas(&self, store: GroupId) -> Vec<NodeId>;
    /// All stores, ascending.
    fn stores(&self) -> Vec<GroupId>;
    /// The agreed level of the cluster: what is newer is not proposed.
    fn level(&self) -> u32;
}

/// The stores of the cluster. Cheap to clone.
#[derive(Clone)]
pub struct Stores {
    inner: Arc<Inner>,
}

struct Inner {
    env: Environment,
    #[expect(dead_code, reason = "other nodes are asked over it")]
    network: Arc<dyn Network>,
    locate: Arc<dyn Locate>,
    local: RwLock<BTreeMap<GroupId, Store>>,
    events: broadcast::Sender<Event>,
}

/// One store that has everything.
struct Only(GroupId);

impl Locate for Only {
    fn store_of(&self, _: MailboxId) -> GroupId {
        self.0
    }

    fn replicas(&self, _: GroupId) -> Vec<NodeId> {
        Vec::new()
    }

    fn stores(&self) -> Vec<GroupId> {
        vec![self.0]
    }

    fn level(&self) -> u32 {
        u32::MAX
    }
}

impl Stores {
    /// No store is local yet: see [`Stores::add`]. Within a tokio runtime.
    pub fn new(env: Environment, network: Arc<dyn Network>, locate: Arc<dyn Locate>) -> Self {
        let (events, _) = broadcast::channel(EVENTS);
        let inner = Inner { env, network, locate, local: RwLock::default(), events };
        Self { inner: Arc::new(inner) }
    }

    /// This store alone, for tests and for a cluster of one.
    pub fn single(store: Store) -> Self {
        let locate = Arc::new(Only(store.id()));
        let stores = Self::new(store.environment().clone(), Arc::new(Alone), locate);
        stores.add(store);
        stores
    }

    /// From now on this node has a replica of the store.
    pub fn add(&self, store: Store) {
        let weak = Arc::downgrade(&self.inner);
        let mut changes = store.events();
        let id = store.id();
        self.inner.local.write().insert(id, store);
        tokio::spawn(async move {
            loop {
                let event = match changes.recv().await {
                    Ok(event) => event,
                    Err(broadcast::error::RecvError::Lagged(_)) => continue,
                    Err(broadcast::error::RecvError::Closed) => return,
                };
                let Some(inner) = weak.upgrade() else { return };
                // nobody listening is fine
                let _ = inner.events.send(event);
            }
        });
    }

    /// This node has no replica of the store any more.
    pub fn remove(&self, store: GroupId) -> Option<Store> {
        self.inner.local.write().remove(&store)
    }

    /// Replicas on this node, ascending.
    pub fn local(&self) -> Vec<Store> {
        self.inner.local.read().values().cloned().collect()
    }

    /// The replica of a store on this node.
    pub fn store(&self, store: GroupId) -> Option<Store> {
        self.inner.local.read().get(&store).cloned()
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

    /// Does what is asked, in the store of the mailbox that the request is about. Waits for a new leader
    /// as long as it takes to elect one.
    ///
    /// Spool requests name no mailbox: they are for [`Stores::call_in`], unless there is one store only.
    pub async fn call(&self, call: Call) -> Result<Response, StoreError> {
        match self.route(&call.request) {
            Ok(store) => self.call_in(store, call).await,
            Err(refusal) => Ok(Response::Refused(refusal)),
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

    /// [`Stores::call`] in a named store.
    pub async fn call_in(&self, store: GroupId, call: Call) -> Result<Response, StoreError> {
        match self.store(store) {
            Some(store) => store.call(call).await,
            None => Err(StoreError::Unavailable(format!("store {} is out of reach", store.0))),
        }
    }

    /// Change events of all stores, from now on. A receiver that lags sees `RecvError::Lagged` and must
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
        stores.dedup();
        match stores.as_slice() {
            [only] => Ok(*only),
            _ => Err(Refusal::Limit("one store in a request".into())),
        }
    }
}
