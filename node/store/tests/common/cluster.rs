//! Several nodes in this process, with links that can be cut.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use parking_lot::Mutex;
use posthouse_cluster::{Environment, GroupId, Node, NodeId, NodeOptions};
use posthouse_store::{
    DeliveryId, Envelope, LocalRecipient, Locate, MailboxId, Message, Quota, RelayRecipient,
    Request, Response, Store, StoreOptions, Stores,
};
use tempfile::TempDir;

use super::wires::Wires;

/// Where everything is, the same for all nodes.
#[derive(Default)]
pub(crate) struct Places {
    pub(crate) stores: Mutex<BTreeMap<GroupId, Vec<NodeId>>>,
    pub(crate) mailboxes: Mutex<BTreeMap<MailboxId, GroupId>>,
}

impl Locate for Places {
    fn store_of(&self, mailbox: MailboxId) -> GroupId {
        self.mailboxes.lock().get(&mailbox).copied().unwrap_or(GroupId(1))
    }

    fn replicas(&self, store: GroupId) -> Vec<NodeId> {
        self.stores.lock().get(&store).cloned().unwrap_or_default()
    }

    fn stores(&self) -> Vec<GroupId> {
        self.stores.lock().keys().copied().collect()
    }

    fn level(&self) -> u32 {
        2
    }
}

pub(crate) struct Machine {
    pub(crate) folder: TempDir,
    pub(crate) node: Node,
    pub(crate) stores: Stores,
}

pub(crate) struct Cluster {
    pub(crate) wires: Wires,
    pub(crate) places: Arc<Places>,
    pub(crate) machines: BTreeMap<NodeId, Machine>,
}

/// Polls until it is so.
pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(tokio::time::Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

impl Cluster {
    /// So many nodes without stores.
    pub(crate) async fn new(nodes: u64) -> Self {
        let (wires, places) = (Wires::default(), Arc::new(Places::default()));
        let mut cluster = Self { wires, places, machines: BTreeMap::new() };
        for id in (1..=nodes).map(NodeId) {
            let folder = tempfile::tempdir().unwrap();
            let network = cluster.wires.end(id);
            let log = folder.path().join("log");
            let options = NodeOptions { network: network.clone(), ..NodeOptions::alone(id, log) };
            let env = Environment::real();
            let node = Node::open(env.clone(), options).await.unwrap();
            let stores = Stores::new(env, network, cluster.places.clone());
            cluster.machines.insert(id, Machine { folder, node, stores });
        }
        cluster
    }

    /// Three nodes with one store on all, led by the first.
    pub(crate) async fn of_three() -> Self {
        let mut cluster = Self::new(3).await;
        cluster.add_store(GroupId(1), &[1, 2, 3]).await;
        cluster
    }

    pub(crate) fn machine(&self, node: u64) -> &Machine {
        self.machines.get(&NodeId(node)).unwrap()
    }

    pub(crate) fn stores(&self, node: u64) -> &Stores {
        &self.machine(node).stores
    }

    pub(crate) fn store(&self, node: u64, store: u64) -> Store {
        self.stores(node).store(GroupId(store)).unwrap()
    }

    /// Opens the replica of a store on a node.
    pub(crate) async fn open(&self, store: GroupId, node: u64, bootstrap: bool) -> Store {
        let machine = self.machine(node);
        let folder = machine.folder.path().join(format!("store-{}", store.0));
        let options = StoreOptions { group: store, folder, bootstrap, readers: 2 };
        let opened = Store::open(&machine.node, options).await.unwrap();
        machine.stores.add(opened.clone());
        opened
    }

    /// A store whose voters are all `nodes`; the first leads.
    pub(crate) async fn add_store(&mut self, store: GroupId, nodes: &[u64]) {
        let ids: Vec<_> = nodes.iter().copied().map(NodeId).collect();
        self.places.stores.lock().insert(store, ids.clone());
        let mut first = None;
        for node in nodes {
            let opened = self.open(store, *node, first.is_none()).await;
            first.get_or_insert(opened);
        }
        let group = first.unwrap().group().clone();
        for node in ids.iter().skip(1) {
            group.add_learner(*node).await.unwrap();
        }
        // whom the group lists may be a moment behind what it agreed on
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while let Err(error) = group.set_voters(ids.iter().copied().collect()).await {
            assert!(std::time::Instant::now() < deadline, "{error}");
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }

    /// A mailbox in a store.
    pub(crate) async fn mailbox(&self, mailbox: MailboxId, store: u64) {
        self.places.mailboxes.lock().insert(mailbox, GroupId(store));
        let request = Request::CreateMailbox { mailbox, quota: Quota::default() };
        let (_, first) = self.machines.first_key_value().unwrap();
        assert_eq!(first.stores.request(request).await.unwrap(), Response::Done);
    }

    /// Which of these nodes leads a store, as soon as one does.
    pub(crate) async fn leader(&self, store: u64, among: &[u64]) -> u64 {
        let leads = |node: &&u64| self.store(**node, store).leads();
        until("a leader", || among.iter().any(|node| leads(&node))).await;
        *among.iter().find(leads).unwrap()
    }
}

pub(crate) fn envelope() -> Envelope {
    Envelope {
        sender: "from@example.test".into(),
        envelope_id: None,
        return_full: false,
        eight_bit: false,
        utf8: false,
    }
}

pub(crate) fn deliver(delivery: u128, to: &[MailboxId], text: &[u8]) -> Request {
    Request::DeliverOnce {
        delivery: DeliveryId(delivery),
        envelope: envelope(),
        local: to
            .iter()
            .map(|mailbox| LocalRecipient { mailbox: *mailbox, address: "to@example.test".into() })
            .collect(),
        relay: Vec::<RelayRecipient>::new(),
        message: Message(Bytes::copy_from_slice(text)),
    }
}

/// A message of about so many bytes.
pub(crate) fn text(number: u64, size: usize) -> Vec<u8> {
    let mut text = format!("Subject: number {number}\r\n\r\n").into_bytes();
    let line = format!("{number} is the number of this message, so that none is like another\r\n");
    while text.len() < size {
        text.extend_from_slice(line.as_bytes());
    }
    text
}
