//! Opening the parts of a node on its data folder, once.

use std::sync::Arc;

use anyhow::{Context, Result};
use posthouse_auth::{AuthOptions, Authenticator};
use posthouse_cluster::{Environment, GroupId, Node, NodeId, NodeOptions, env::BoxFuture};
use posthouse_directory::{Directory, DirectoryOptions};
use posthouse_provisioning::{Opener, Parts};
use posthouse_store::{Store, StoreOptions, Stores};
use tokio::sync::Mutex;

use crate::config::{Layout, NodeConfig};

/// Threads that read a store's index.
const READERS: usize = 4;

/// An open node: its parts and the consensus that they share.
#[derive(Clone)]
pub(crate) struct Open {
    /// Log and groups.
    pub(crate) node: Node,
    /// What services use.
    pub(crate) parts: Parts,
}

/// Opens the node's parts as they are on disk; new ones as a cluster of one.
pub(crate) async fn open(layout: &Layout, config: &NodeConfig) -> Result<Open> {
    let env = Environment::real();
    let options = NodeOptions { id: NodeId(config.id), log: layout.log() };
    let node = Node::open(env.clone(), options).await.context("the log cannot be opened")?;
    let options = DirectoryOptions { folder: layout.domain(), bootstrap: true };
    let directory =
        Directory::open(&node, options).await.context("the directory cannot be opened")?;
    let options = StoreOptions {
        group: GroupId(1),
        folder: layout.store(),
        bootstrap: true,
        readers: READERS,
    };
    let store = Store::open(&node, options).await.context("the store cannot be opened")?;
    let options = AuthOptions { folder: layout.auth(), host: config.host.clone() };
    let auth = Authenticator::open(directory.clone(), options)
        .await
        .map_err(|error| anyhow::anyhow!("sign-on cannot be opened: {error}"))?;
    let stores = Stores::single(store);
    let parts = Parts { directory, auth, stores, env, node: config.id };
    Ok(Open { node, parts })
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
