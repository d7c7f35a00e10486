//! This node as one of a cluster: the real parts follow what the directory says, the leader of the domain
//! group says what it should be, and administrators see and steer it.

mod authority;
mod control;
mod door;
mod follow;
mod govern;
mod leave;
mod moves;
mod orders;
mod reconcile;
mod report;
mod sources;
mod status;
mod view;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use posthouse_cluster::{
    Node, NodeId, Timestamp,
    link::{Links, Peer},
    network::{Network, Service},
};
use posthouse_directory::NodeInfo;
use posthouse_http::SourceControl;
use posthouse_provisioning::Parts;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{
    config::{Layout, NodeConfig},
    identity::Identity,
    start::Open,
};
pub(super) use sources::ClusterSources;
use status::NodeStatus;

/// What a peer said of itself last.
#[derive(Clone, Debug)]
struct Heard {
    /// When, by the monotonic clock.
    at: Duration,
    /// What.
    status: NodeStatus,
}

/// This node's part in the cluster.
pub(super) struct Cluster {
    node: Node,
    links: Links,
    parts: Parts,
    layout: Layout,
    config: NodeConfig,
    identity: Mutex<Identity>,
    started: Timestamp,
    /// Other nodes' last answers.
    heard: Mutex<BTreeMap<u64, Heard>>,
    /// What the leader of the domain group is about to do, with the reason.
    planned: Mutex<Vec<(String, String)>>,
    /// Ends the program.
    stop: CancellationToken,
    moving: moves::Moving,
    /// This node's readers of external directories.
    sources: Arc<dyn SourceControl>,
}

impl Cluster {
    pub(super) fn new(
        open: &Open,
        layout: &Layout,
        config: &NodeConfig,
        sources: Arc<dyn SourceControl>,
        stop: CancellationToken,
    ) -> Arc<Self> {
        let this = Self {
            node: open.node.clone(),
            links: open.links.clone(),
            parts: open.parts.clone(),
            layout: layout.clone(),
            config: config.clone(),
            identity: Mutex::new(open.identity.clone()),
            started: open.parts.env.clock.now(),
            heard: Mutex::default(),
            planned: Mutex::default(),
            stop,
            moving: moves::Moving::default(),
            sources,
        };
        Arc::new(this)
    }

    /// Starts everything; ends with `stop`.
    pub(super) fn start(
        self: &Arc<Self>,
        tasks: &mut JoinSet<super::services::Ended>,
        stop: &CancellationToken,
    ) {
        self.links.serve_join(Arc::new(door::NodeDoor(self.clone())));
        self.links.serve(Service::NODE, Arc::new(status::Answerer(Arc::downgrade(self))));
        let mut spawn =
            |name: &'static str, task: std::pin::Pin<Box<dyn Future<Output = ()> + Send>>| {
                let stop = stop.clone();
                tasks.spawn(async move {
                    tokio::select! { () = stop.cancelled() => {}, () = task => {} }
                    (name, Ok(()))
                });
            };
        spawn("cluster-follow", Box::pin(follow::run(self.clone())));
        spawn("cluster-report", Box::pin(report::run(self.clone())));
        spawn("cluster-status", Box::pin(status::run(self.clone())));
        spawn("cluster-govern", Box::pin(govern::run(self.clone())));
        spawn("cluster-reconcile", Box::pin(reconcile::run(self.clone())));
        spawn("cluster-moves", Box::pin(moves::run(self.clone())));
    }

    /// This node's line in the directory.
    fn own_info(&self) -> Option<NodeInfo> {
        self.parts.directory.nodes().into_iter().find(|node| node.id == self.parts.node)
    }

    /// All other nodes of the directory with a key, removed ones too.
    fn known_peers(&self) -> Vec<Peer> {
        let nodes = self.parts.directory.nodes().into_iter();
        nodes.filter(|node| node.id != self.parts.node).filter_map(|node| peer(&node)).collect()
    }

    /// This node, as others should know it.
    fn own_peer(&self) -> Option<Peer> {
        let key = self.identity.lock().key.public_key_hash();
        let addresses = crate::join::advertised(&self.config, Some(self.links.local_addr()));
        Some(Peer { node: NodeId(self.parts.node), addresses, key, removed: false })
    }

    /// Tells the links who there is, and keeps it for the next start.
    fn meet(&self) {
        let peers = self.known_peers();
        if peers.is_empty() {
            return;
        }
        let mut identity = self.identity.lock();
        if identity.trust.peers != peers {
            identity.trust.peers = peers.clone();
            if let Err(error) = identity.trust.save(&self.layout.links()) {
                tracing::warn!(target: "warning", "the other nodes' addresses are not kept: {error:#}");
            }
        }
        self.links.set_peers(peers);
    }

    /// Whether this node leads the domain group.
    fn governs(&self) -> bool {
        self.parts.directory.leader() == Some(NodeId(self.parts.node))
            && self.parts.directory.has_quorum()
    }
}

fn peer(node: &NodeInfo) -> Option<Peer> {
    let key = node.key.as_slice().try_into().ok()?;
    let removed = !node.is_member();
    Some(Peer { node: NodeId(node.id), addresses: node.links.clone(), key, removed })
}
