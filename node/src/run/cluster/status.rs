//! What a node tells others of itself, and asking all of them again and again.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::join_all;
use posthouse_cluster::{
    GroupId, GroupStatus, NodeId, Timestamp,
    env::BoxFuture,
    network::{Handler, LinkError, Network, PeerState, Service},
};
use posthouse_directory::SourceId;
use posthouse_store::Store;
use serde::{Deserialize, Serialize};

use super::{Cluster, Heard, moves::Progress};

/// How often all others are asked.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long an answer is waited for.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);
/// After which an answer is too old to be believed.
pub(super) const FRESH: Duration = Duration::from_secs(5);

/// A question to another node.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Question {
    /// How are you?
    Status,
    /// Hand the leadership of a group to a node.
    Transfer {
        /// Which group.
        group: GroupId,
        /// To whom.
        to: NodeId,
    },
    /// Read a source now.
    ReadSource {
        /// Which.
        id: SourceId,
        /// Agree that more accounts than the threshold have left.
        confirm: bool,
    },
    /// Make the learner on this node the only voter of a store.
    Promote {
        /// Which.
        group: GroupId,
    },
}

/// The answer of a node about itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct NodeStatus {
    /// Version of its program.
    pub(super) version: String,
    /// Highest level that it knows.
    pub(super) level: u32,
    /// When it started.
    pub(super) started: Timestamp,
    /// Its clock.
    pub(super) now: Timestamp,
    /// Days until its certificate ends.
    pub(super) certificate_days: i64,
    /// Fingerprint of the authority that its certificate rests on.
    pub(super) authority: String,
    /// Fingerprints of the authorities that it trusts.
    pub(super) trusts: Vec<String>,
    /// Free bytes where its data is.
    pub(super) disk_free: u64,
    /// Size of that disk.
    pub(super) disk_total: u64,
    /// Its groups.
    pub(super) groups: Vec<GroupStatus>,
    /// Its replicas.
    pub(super) replicas: Vec<ReplicaStatus>,
    /// How it reaches others.
    pub(super) peers: Vec<PeerState>,
    /// Moves that it drives.
    pub(super) moves: Vec<Progress>,
}

/// A replica of a store on a node.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct ReplicaStatus {
    /// Which store.
    pub(super) store: GroupId,
    /// Whether it has all bodies.
    pub(super) complete: bool,
    /// Bodies that it has still to get.
    pub(super) missing_bodies: u64,
    /// Mailboxes in it.
    pub(super) mailboxes: u64,
    /// Bytes of items in it.
    pub(super) bytes: u64,
    /// Messages that wait in its spool.
    pub(super) spooled: u64,
}

impl ReplicaStatus {
    async fn of(store: &Store) -> Self {
        let totals = store.totals().await.unwrap_or_default();
        Self {
            store: store.id(),
            complete: store.is_complete(),
            missing_bodies: store.missing_bodies(),
            mailboxes: totals.mailboxes,
            bytes: totals.bytes,
            spooled: totals.spooled,
        }
    }
}

impl Cluster {
    /// This node's own status.
    pub(super) async fn own_status(&self) -> NodeStatus {
        let now = self.parts.env.clock.now();
        let (certificate_days, authority) = self.certificate_state(now);
        let local = self.parts.stores.local();
        let mut groups = vec![self.parts.directory.status()];
        groups.extend(local.iter().map(|store| store.group().status()));
        let (disk_free, disk_total) = self.disk();
        NodeStatus {
            version: super::super::VERSION.to_owned(),
            level: self.config.level(),
            started: self.started,
            now,
            certificate_days,
            authority,
            trusts: self.trusted(),
            disk_free,
            disk_total,
            groups,
            replicas: join_all(local.iter().map(ReplicaStatus::of)).await,
            peers: self.links.peers(),
            moves: self.moving.progress(),
        }
    }

    fn disk(&self) -> (u64, u64) {
        match nix::sys::statvfs::statvfs(&self.layout.data) {
            Ok(disk) => {
                let unit = disk.fragment_size();
                (disk.blocks_available() * unit, disk.blocks() * unit)
            }
            Err(_) => (0, 0),
        }
    }

    /// What a node said of itself, if it did lately.
    pub(super) fn heard(&self, node: u64) -> Option<NodeStatus> {
        let now = self.parts.env.clock.monotonic();
        let heard = self.heard.lock();
        let heard = heard.get(&node)?;
        (now.saturating_sub(heard.at) < FRESH).then(|| heard.status.clone())
    }

    /// Asks another node.
    pub(super) async fn ask(&self, node: u64, question: &Question) -> Result<Bytes, LinkError> {
        self.ask_within(node, question, PATIENCE).await
    }

    /// Asks another node and waits so long for the answer.
    pub(super) async fn ask_within(
        &self,
        node: u64,
        question: &Question,
        patience: Duration,
    ) -> Result<Bytes, LinkError> {
        let to = NodeId(node);
        let bytes = serde_json::to_vec(question)
            .map_err(|error| LinkError::Unreachable(to, error.to_string()))?;
        self.links.ask(to, Service::NODE, bytes.into(), patience).await
    }

    async fn ask_status(&self, node: u64) {
        let answer = self.ask(node, &Question::Status).await;
        let status = answer.ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let at = self.parts.env.clock.monotonic();
        if let Some(status) = status {
            self.heard.lock().insert(node, Heard { at, status });
        }
    }

    /// Asks all members now.
    pub(super) async fn ask_all(&self) {
        let others = self.parts.directory.nodes().into_iter();
        let others = others.filter(|node| node.is_member() && node.id != self.parts.node);
        join_all(others.map(|node| self.ask_status(node.id))).await;
    }
}

/// Asks all others, again and again.
pub(super) async fn run(cluster: Arc<Cluster>) {
    loop {
        cluster.ask_all().await;
        let members: Vec<u64> = cluster
            .parts
            .directory
            .nodes()
            .into_iter()
            .filter(|node| node.is_member())
            .map(|node| node.id)
            .collect();
        cluster.heard.lock().retain(|node, _| members.contains(node));
        cluster.parts.env.clock.sleep(INTERVAL).await;
    }
}

/// Answers the questions of other nodes.
pub(super) struct Answerer(pub(super) Weak<Cluster>);

impl Handler for Answerer {
    fn handle(&self, from: NodeId, question: Bytes) -> BoxFuture<Result<Bytes, String>> {
        let cluster = self.0.upgrade();
        Box::pin(async move {
            let cluster = cluster.ok_or("the node is stopping")?;
            let question = serde_json::from_slice(&question)
                .map_err(|_| "this program does not know the question".to_owned())?;
            match question {
                Question::Status => serde_json::to_vec(&cluster.own_status().await)
                    .map(Bytes::from)
                    .map_err(|error| error.to_string()),
                Question::Transfer { group, to } => {
                    let found = cluster.node.group(group).ok_or("no such group here")?;
                    tracing::info!(target: "operation", %from, group = group.0, %to, "leadership is handed over");
                    found.transfer(to).await.map(|()| Bytes::new()).map_err(|e| e.to_string())
                }
                Question::ReadSource { id, confirm } => {
                    cluster.read_source(id, confirm).await.map(Bytes::from)
                }
                Question::Promote { group } => {
                    let text = cluster.promote_here(group).await?;
                    Ok(Bytes::from(text))
                }
            }
        })
    }
}
