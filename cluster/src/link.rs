//! The real [`Network`]: TLS 1.3 between nodes, both sides with certificates of the cluster's authority.
//!
//! A node asks over connections that it made itself, one a class and peer, and answers over those that the peer made.
//! A peer is believed for a certificate of an authority of the cluster that names its number, and a public key
//! that is pinned for that number. [`frame`] has the bytes, [`connection`] moves them, [`channel`] knows
//! which questions were handed over, [`dial`] and [`accept`] make connections.

mod accept;
mod assembly;
mod channel;
mod connection;
mod dial;
mod frame;
pub(crate) mod fuzz;
mod gate;
mod hello;
mod measure;
mod output;
mod peer;
mod registry;
mod roles;
mod socket;
pub(crate) mod tls;
mod trust;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use tokio::{
    net::TcpListener,
    sync::{Notify, oneshot, watch},
};

use self::{gate::Gate, peer::PeerLinks, registry::Registry, roles::Handlers, trust::Trust};
use crate::{
    Environment, NodeId,
    authority::NodeKey,
    env::BoxFuture,
    join::Door,
    network::{Handler, Hint, LinkError, Network, PeerState, Service, Watcher},
};

/// Another node, as the directory has it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Peer {
    /// Its number.
    pub node: NodeId,
    /// Where it listens (`host:port`), in the order in which they are tried.
    pub addresses: Vec<String>,
    /// SHA-256 of its public key.
    pub key: [u8; 32],
    /// Whether it was removed from the cluster: it is refused, for good.
    pub removed: bool,
}

/// What links need.
#[derive(Debug)]
pub struct LinkOptions {
    /// This node's number.
    pub id: NodeId,
    /// Its private key.
    pub key: NodeKey,
    /// Its certificate (DER).
    pub certificate: Vec<u8>,
    /// Certificates (DER) of the authorities that count.
    pub authorities: Vec<Vec<u8>>,
    /// Where it listens.
    pub listener: TcpListener,
    /// Highest level that this program knows.
    pub level: u32,
    /// Waits.
    pub timing: Timing,
}

/// Waits of links.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// How often each connection is measured.
    pub ping: Duration,
    /// After how long without a byte from it a peer counts as gone.
    pub silence: Duration,
    /// For a connection, from the first packet to the end of the handshake.
    pub handshake: Duration,
    /// Longest pause between two attempts to connect.
    pub longest_pause: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            ping: Duration::from_millis(200),
            silence: Duration::from_millis(1500),
            handshake: Duration::from_secs(5),
            longest_pause: Duration::from_secs(1),
        }
    }
}

/// Why links do not start, or do not take what they are given.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A certificate or key is unusable; the text says which.
    #[error("{0}")]
    Certificate(String),
    /// The socket.
    #[error("the port for other nodes cannot be used: {0}")]
    Io(#[from] std::io::Error),
}

/// How often all connections are judged again, for certificates that expire.
const CHECK: Duration = Duration::from_secs(30);
/// Refusals that are logged in a minute; the rest is only counted.
const LOGGED: u64 = 30;

/// The links of this node. Cheap to clone; they end with [`Self::stop`].
#[derive(Clone)]
pub struct Links {
    inner: Arc<Inner>,
}

struct Inner {
    env: Environment,
    timing: Timing,
    level: u32,
    address: SocketAddr,
    trust: Arc<Trust>,
    handlers: Arc<Handlers>,
    door: RwLock<Option<Arc<dyn Door>>>,
    peers: RwLock<BTreeMap<NodeId, Arc<PeerLinks>>>,
    registry: Registry,
    gate: Arc<Gate>,
    check: Notify,
    stop: watch::Sender<bool>,
    /// Completes when the port is free.
    listening: Mutex<Option<oneshot::Receiver<()>>>,
    watchers: RwLock<Vec<Watcher>>,
    removed: AtomicBool,
    /// The minute of the last logged refusal, and how many were logged in it.
    logged: Mutex<(u64, u64)>,
}

impl std::fmt::Debug for Links {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Links of {} at {}", self.inner.trust.id, self.inner.address)
    }
}

impl Links {
    /// Starts to listen. Other nodes are known after [`Self::set_peers`]. Must be called on a tokio runtime.
    pub fn start(env: Environment, options: LinkOptions) -> Result<Self, StartError> {
        let LinkOptions { id, key, certificate, authorities, listener, level, timing } = options;
        let inner = Arc::new(Inner {
            trust: Arc::new(Trust::new(&env, id, key, certificate, authorities)?),
            address: listener.local_addr()?,
            env,
            timing,
            level,
            handlers: Arc::default(),
            door: RwLock::default(),
            peers: RwLock::default(),
            registry: Registry::default(),
            gate: Arc::default(),
            check: Notify::new(),
            stop: watch::Sender::new(false),
            listening: Mutex::default(),
            watchers: RwLock::default(),
            removed: AtomicBool::new(false),
            logged: Mutex::default(),
        });
        let (ended, listening) = oneshot::channel();
        *inner.listening.lock() = Some(listening);
        let accept = accept::listen(Arc::clone(&inner), ended, listener, inner.stop.subscribe());
        inner.env.spawner.spawn("accept", Box::pin(accept));
        let checks = Arc::clone(&inner).keep_checking(inner.stop.subscribe());
        inner.env.spawner.spawn("check", Box::pin(checks));
        Ok(Self { inner })
    }

    /// The nodes of the cluster, removed ones too; this node itself is left out. Connections of a node that
    /// was removed, is not listed, or whose key is another one now, are cut at once. Cheap when nothing changed.
    pub fn set_peers(&self, peers: Vec<Peer>) {
        let inner = &self.inner;
        let own = inner.trust.id;
        let peers: BTreeMap<NodeId, Peer> = peers
            .into_iter()
            .filter(|peer| peer.node != own)
            .map(|peer| (peer.node, peer))
            .collect();
        if !inner.trust.set_peers(&peers) {
            return;
        }
        let mut links = inner.peers.write();
        if *inner.stop.borrow() {
            return;
        }
        links.retain(|node, links| {
            let stays = peers.get(node).is_some_and(|peer| !peer.removed);
            if !stays {
                links.stop();
            }
            stays
        });
        for peer in peers.values().filter(|peer| !peer.removed) {
            match links.get(&peer.node) {
                Some(links) => links.set_addresses(&peer.addresses),
                None => {
                    links.insert(peer.node, PeerLinks::start(inner, peer));
                }
            }
        }
        drop(links);
        inner.registry.check(&inner.trust, inner.env.clock.monotonic());
    }

    /// A renewed certificate (DER) for the same key. Connections are renewed one by one, without a gap.
    pub fn set_certificate(&self, certificate: Vec<u8>) -> Result<(), StartError> {
        self.inner.trust.set_certificate(certificate)?;
        self.inner.registry.renew();
        Ok(())
    }

    /// The authorities (DER) that count from now on; several while one replaces another. Connections that rest
    /// on none of them are renewed without a gap where that is possible, and cut after some seconds otherwise.
    pub fn set_authorities(&self, authorities: Vec<Vec<u8>>) -> Result<(), StartError> {
        self.inner.trust.set_authorities(authorities)?;
        self.inner.check.notify_one();
        Ok(())
    }

    /// Lets new nodes knock.
    pub fn serve_join(&self, door: Arc<dyn Door>) {
        *self.inner.door.write() = Some(door);
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.inner.address
    }

    /// The highest level that a peer says it knows; nothing until it was connected.
    pub fn level(&self, node: NodeId) -> Option<u32> {
        self.inner.peers.read().get(&node)?.level()
    }

    /// Whether a node of the cluster told that this one was removed from it.
    pub fn removed(&self) -> bool {
        self.inner.removed.load(Ordering::Relaxed)
    }

    /// Closes the port and all connections. Questions that wait are lost.
    pub async fn stop(&self) {
        self.inner.stop.send_replace(true);
        let peers = std::mem::take(&mut *self.inner.peers.write());
        for peer in peers.values() {
            peer.stop();
        }
        self.inner.registry.cut_all("this node stops");
        let listening = self.inner.listening.lock().take();
        if let Some(listening) = listening {
            let _ = listening.await;
        }
        // the tasks see it at their next turn
        while !self.inner.registry.is_empty() {
            self.inner.env.clock.sleep(Duration::from_millis(1)).await;
        }
    }
}

#[cfg(test)]
impl Links {
    /// Whether all peers are connected in all classes.
    fn all_up(&self) -> bool {
        self.inner.peers.read().values().all(|peer| peer.is_up())
    }

    /// Live connections in both directions.
    fn connections(&self) -> usize {
        self.inner.registry.len()
    }

    /// Connections whose other side is not known yet.
    fn strangers(&self) -> usize {
        self.inner.gate.len()
    }

    fn trust(&self) -> Arc<Trust> {
        Arc::clone(&self.inner.trust)
    }

    /// Whether all connections, or those that others made, would stay if only these authorities counted.
    fn rests_on(&self, authorities: &[&[u8]], accepted: bool) -> bool {
        self.inner.registry.rests_on(authorities, accepted, self.inner.env.clock.now())
    }
}

impl Inner {
    async fn keep_checking(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        loop {
            self.registry.check(&self.trust, self.env.clock.monotonic());
            let wait = if self.registry.has_doubts() { registry::GRACE } else { CHECK };
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return,
                () = self.check.notified() => {}
                () = self.env.clock.sleep(wait) => {}
            }
        }
    }

    /// A peer has connected to this node: it is there, so this node need not wait to connect to it.
    fn heard_from(&self, node: NodeId, level: u32) {
        if let Some(peer) = self.peers.read().get(&node) {
            peer.level.store(level, Ordering::Relaxed);
            peer.try_now();
        }
    }

    fn note_removed(&self, by: NodeId) {
        if !self.removed.swap(true, Ordering::Relaxed) {
            tracing::error!(target: "security", %by, "this node was removed from the cluster");
        }
    }

    fn hint(&self, node: NodeId, hint: Hint) {
        let watchers = self.watchers.read().clone();
        for watcher in watchers {
            watcher(node, hint);
        }
    }

    /// Whether another refusal may be logged: strangers must not fill the log.
    fn may_log(&self) -> bool {
        let minute = self.env.clock.monotonic().as_secs() / 60;
        let mut logged = self.logged.lock();
        if logged.0 != minute {
            *logged = (minute, 0);
        }
        logged.1 += 1;
        logged.1 <= LOGGED
    }
}

impl Network for Links {
    fn ask(
        &self,
        to: NodeId,
        service: Service,
        question: Bytes,
        patience: Duration,
    ) -> BoxFuture<Result<Bytes, LinkError>> {
        let peer = self.inner.peers.read().get(&to).cloned();
        let env = self.inner.env.clone();
        Box::pin(async move {
            match peer {
                Some(peer) => {
                    peer.channel(service.class()).ask(&env, service, question, patience).await
                }
                None => Err(LinkError::Unreachable(to, "it is not a node of the cluster".into())),
            }
        })
    }

    fn serve(&self, service: Service, handler: Arc<dyn Handler>) {
        self.inner.handlers.write().insert(service, handler);
    }

    fn peers(&self) -> Vec<PeerState> {
        self.inner.peers.read().values().map(|peer| peer.measure.lock().state()).collect()
    }

    fn watch(&self, watcher: Watcher) {
        self.inner.watchers.write().push(watcher);
    }
}

#[cfg(test)]
pub(crate) mod tests;
