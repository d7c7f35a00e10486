//! Opening the parts of a node on its data folder, once.

use std::{net::SocketAddr, sync::Arc};

use anyhow::{Context, Result};
use posthouse_auth::{AuthOptions, Authenticator};
use posthouse_cluster::{
    Environment, GroupId, Node, NodeId, NodeOptions,
    env::BoxFuture,
    link::{LinkOptions, Links, Timing},
    network::Network,
};
use posthouse_directory::{AccountId, Directory, DirectoryOptions, StoreId, StoreInfo};
use posthouse_provisioning::{Opener, Parts};
use posthouse_store::{Locate, MailboxId, Store, StoreOptions, Stores};
use tokio::{net::TcpListener, sync::Mutex};

use crate::{
    config::{self, Layout, NodeConfig, Port},
    identity::{self, Identity},
};

/// Threads that read a store's index.
const READERS: usize = 4;
/// The store that the first node of a cluster begins with.
const FIRST_STORE: StoreId = StoreId(1);

/// An open node: its parts and the consensus that they share.
#[derive(Clone)]
pub(crate) struct Open {
    /// Log and groups.
    pub(crate) node: Node,
    /// The way to other nodes.
    pub(crate) links: Links,
    /// What this node proves itself with.
    pub(crate) identity: Identity,
    /// What services use.
    pub(crate) parts: Parts,
}

/// Opens the node's parts as they are on disk; new ones as a cluster of one.
pub(crate) async fn open(layout: &Layout, config: &NodeConfig) -> Result<Open> {
    let env = Environment::real();
    let identity = Identity::open(&layout.links(), config.id, &config.host, &env)?;
    let links = link(&env, &identity, config).await?;
    let network: Arc<dyn Network> = Arc::new(links.clone());
    let options = NodeOptions {
        id: NodeId(config.id),
        log: layout.log(),
        network: network.clone(),
        level: config.level(),
    };
    let node = Node::open(env.clone(), options).await.context("the log cannot be opened")?;
    let bootstrap = !identity.trust.joined;
    let options = DirectoryOptions { folder: layout.domain(), bootstrap };
    let directory =
        Directory::open(&node, options).await.context("the directory cannot be opened")?;
    let stores = Stores::new(env.clone(), network, Arc::new(Places(directory.clone())));
    for info in stores_of(&directory, config.id, bootstrap) {
        stores.add(open_store(&node, layout, &info).await?);
    }
    let options = AuthOptions { folder: layout.auth(), host: config.host.clone() };
    let auth = Authenticator::open(directory.clone(), options)
        .await
        .map_err(|error| anyhow::anyhow!("sign-on cannot be opened: {error}"))?;
    let parts = Parts { directory, auth, stores, env, node: config.id };
    Ok(Open { node, links, identity, parts })
}

/// The stores of which node `me` has a replica; the first node's store is there before the directory is.
fn stores_of(directory: &Directory, me: u64, first: bool) -> Vec<StoreInfo> {
    if first && !directory.is_set_up() {
        let info =
            StoreInfo { id: FIRST_STORE, home: me, replicas: vec![me], ..StoreInfo::default() };
        return vec![info];
    }
    directory.stores().into_iter().filter(|store| store.replicas.contains(&me)).collect()
}

/// Opens this node's replica of a store. Its home begins it; everybody else waits to get it from the others.
pub(crate) async fn open_store(node: &Node, layout: &Layout, info: &StoreInfo) -> Result<Store> {
    let me = node.id().0;
    let folder = layout.store(info.id.0);
    let bootstrap = info.home == me && info.replicas == [me];
    let options = StoreOptions { group: GroupId(info.id.0), folder, bootstrap, readers: READERS };
    let opened = Store::open(node, options).await;
    opened.with_context(|| format!("store {} cannot be opened", info.id.0))
}

async fn link(env: &Environment, identity: &Identity, config: &NodeConfig) -> Result<Links> {
    let configured =
        config.addresses().into_iter().find(|(port, _)| *port == Port::Nodes).map(|(_, at)| at);
    // turned off: nobody can reach this node, but it can reach others
    let address = configured.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 0)));
    let listener = TcpListener::bind(address).await.with_context(|| {
        format!(
            "the port for other nodes cannot listen on {address}: stop what uses that port, or move `nodes` in {}",
            config::FILE
        )
    })?;
    let options = LinkOptions {
        id: NodeId(config.id),
        key: identity.key.clone(),
        certificate: identity.trust.certificate.clone(),
        authorities: identity.trust.authorities.clone(),
        listener,
        level: config.level(),
        timing: Timing::default(),
    };
    let links = Links::start(env.clone(), options)?;
    links.set_peers(identity.trust.peers.clone());
    Ok(links)
}

/// Where mailboxes and stores are, from the directory.
struct Places(Directory);

impl Locate for Places {
    fn store_of(&self, mailbox: MailboxId) -> GroupId {
        GroupId(self.0.store_of(AccountId(mailbox.0)).unwrap_or(FIRST_STORE).0)
    }

    fn replicas(&self, store: GroupId) -> Vec<NodeId> {
        let Some(info) = self.0.stores().into_iter().find(|info| info.id.0 == store.0) else {
            return Vec::new();
        };
        let others = info.replicas.iter().filter(|node| **node != info.home);
        let home = info.replicas.contains(&info.home).then_some(info.home);
        home.into_iter().chain(others.copied()).map(NodeId).collect()
    }

    fn stores(&self) -> Vec<GroupId> {
        let mut stores: Vec<_> =
            self.0.stores().into_iter().map(|info| GroupId(info.id.0)).collect();
        if stores.is_empty() {
            stores.push(GroupId(FIRST_STORE.0));
        }
        stores
    }

    fn level(&self) -> u32 {
        self.0.level()
    }
}

/// Opens a node during set-up, when its host name is known; the second call gets what the first opened.
pub(crate) struct LazyOpen {
    layout: Layout,
    config: NodeConfig,
    open: Mutex<Option<Open>>,
}

impl LazyOpen {
    pub(crate) fn new(layout: Layout, config: NodeConfig, open: Option<Open>) -> Arc<Self> {
        Arc::new(Self { layout, config, open: Mutex::new(open) })
    }

    /// What was opened, if anything was.
    pub(crate) async fn take(&self) -> Option<Open> {
        self.open.lock().await.take()
    }

    async fn get(&self, host: &str, site: &str) -> Result<Parts> {
        let mut slot = self.open.lock().await;
        // Written first: a node that is set up must know its name after a crash.
        let host = host.to_ascii_lowercase();
        let config = NodeConfig { host, site: site.to_owned(), ..self.config.clone() };
        if slot.is_none() {
            identity::forget_join(&self.layout.links())?;
        }
        config.save(&self.layout.data)?;
        match &*slot {
            Some(open) => Ok(open.parts.clone()),
            None => Ok(slot.insert(open(&self.layout, &config).await?).parts.clone()),
        }
    }
}

/// The opener for the set-up doors.
pub(crate) struct SetupOpener(pub(crate) Arc<LazyOpen>);

impl Opener for SetupOpener {
    fn open(&self, host: &str, site: &str) -> BoxFuture<Result<Parts, String>> {
        let (this, host, site) = (self.0.clone(), host.to_owned(), site.to_owned());
        Box::pin(async move { this.get(&host, &site).await.map_err(|error| format!("{error:#}")) })
    }
}
