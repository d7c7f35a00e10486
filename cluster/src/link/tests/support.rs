//! Nodes for tests: real links over loopback, and a relay that can do harm to what passes.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::{
    Environment, NodeId,
    authority::{Authority, NodeKey, VALIDITY},
    env::{BoxFuture, Clock, Timestamp},
    link::{LinkOptions, Links, Peer, Timing},
    network::{Handler, LinkError, Network, Service},
};

pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A wall clock that is wrong by some milliseconds.
struct WrongClock(Arc<dyn Clock>, i64);

impl Clock for WrongClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.now().0.saturating_add_signed(self.1))
    }

    fn monotonic(&self) -> Duration {
        self.0.monotonic()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<()> {
        self.0.sleep(duration)
    }
}

pub(crate) fn wrong_clock(by: i64) -> Environment {
    let mut env = Environment::real();
    env.clock = Arc::new(WrongClock(env.clock, by));
    env
}

pub(crate) fn authority() -> Authority {
    Authority::generate("Example", Environment::real().clock.now()).unwrap()
}

/// Answers with the question, and counts.
#[derive(Default)]
pub(crate) struct Echo {
    pub(crate) seen: AtomicUsize,
}

impl Handler for Echo {
    fn handle(&self, _: NodeId, question: Bytes) -> BoxFuture<Result<Bytes, String>> {
        self.seen.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            match &question[..] {
                b"refuse" => Err("no".into()),
                b"explain" => Err("ä".repeat(1 << 20)),
                b"never" => std::future::pending().await,
                _ => Ok(question),
            }
        })
    }
}

pub(crate) fn timing() -> Timing {
    Timing {
        ping: Duration::from_millis(20),
        silence: Duration::from_millis(300),
        handshake: Duration::from_secs(2),
        ..Timing::default()
    }
}

/// How to make a node.
pub(crate) struct Maker<'a> {
    pub(crate) authority: &'a Authority,
    pub(crate) env: Environment,
    pub(crate) validity: Duration,
    pub(crate) timing: Timing,
    pub(crate) key: NodeKey,
}

impl<'a> Maker<'a> {
    pub(crate) fn new(authority: &'a Authority) -> Self {
        let key = NodeKey::generate().unwrap();
        Self { authority, env: Environment::real(), validity: VALIDITY, timing: timing(), key }
    }

    pub(crate) async fn make(self, number: u64) -> TestNode {
        let id = NodeId(number);
        let now = Environment::real().clock.now();
        let certified = self.authority.certify(self.key.public_key(), id, now, self.validity);
        let options = LinkOptions {
            id,
            key: self.key.clone(),
            certificate: certified.unwrap(),
            authorities: vec![self.authority.certificate_der().to_vec()],
            listener: TcpListener::bind("127.0.0.1:0").await.unwrap(),
            level: 2,
            timing: self.timing,
        };
        let links = Links::start(self.env, options).unwrap();
        let echo = Arc::new(Echo::default());
        for service in [Service::RAFT, Service::STORE, Service::BODIES] {
            links.serve(service, Arc::clone(&echo) as _);
        }
        TestNode { id, key: self.key, links, echo }
    }
}

pub(crate) struct TestNode {
    pub(crate) id: NodeId,
    pub(crate) key: NodeKey,
    pub(crate) links: Links,
    pub(crate) echo: Arc<Echo>,
}

impl TestNode {
    pub(crate) fn address(&self) -> SocketAddr {
        self.links.local_addr()
    }

    pub(crate) fn peer(&self) -> Peer {
        self.peer_at(self.address())
    }

    pub(crate) fn peer_at(&self, address: SocketAddr) -> Peer {
        let addresses = vec![address.to_string()];
        Peer { node: self.id, addresses, key: self.key.public_key_hash(), removed: false }
    }

    pub(crate) async fn ask(&self, to: NodeId, question: &[u8]) -> Result<Bytes, LinkError> {
        let question = Bytes::copy_from_slice(question);
        self.links.ask(to, Service::STORE, question, PATIENCE).await
    }

    /// Why `node` cannot be reached, once it is tried.
    pub(crate) async fn problem_of(&self, node: NodeId) -> String {
        eventually("a problem", || {
            let state = self.links.peers().into_iter().find(|state| state.node == node)?;
            state.problem.filter(|problem| !state.reachable && problem != "not connected yet")
        })
        .await
    }
}

/// Nodes that know each other.
pub(crate) async fn nodes(authority: &Authority, count: u64) -> Vec<TestNode> {
    let mut nodes = Vec::new();
    for number in 1..=count {
        nodes.push(Maker::new(authority).make(number).await);
    }
    introduce(&nodes);
    until("all links", || nodes.iter().all(|node| node.links.all_up())).await;
    nodes
}

pub(crate) fn introduce(nodes: &[TestNode]) {
    for node in nodes {
        node.links.set_peers(nodes.iter().map(TestNode::peer).collect());
    }
}

/// Waits until `look` finds something.
pub(crate) async fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    for _ in 0..2000 {
        if let Some(found) = look() {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("waited in vain for {what}");
}

pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    eventually(what, || holds().then_some(())).await;
}

/// What a relay does to what passes.
pub(crate) const PASS: u8 = 0;
/// Takes everything and passes on nothing.
pub(crate) const HOLE: u8 = 1;
/// Flips a bit in each piece.
pub(crate) const FLIP: u8 = 2;
/// Sends each piece twice.
pub(crate) const TWICE: u8 = 3;

/// Stands between a node and another one.
pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    pub(crate) harm: Arc<AtomicU8>,
    pub(crate) seen: Arc<Mutex<Vec<u8>>>,
}

impl Relay {
    pub(crate) async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (harm, seen) = (Arc::new(AtomicU8::new(PASS)), Arc::new(Mutex::new(Vec::new())));
        let (harm_there, seen_there) = (Arc::clone(&harm), Arc::clone(&seen));
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let Ok(far) = TcpStream::connect(target).await else { continue };
                let (near_read, near_write) = near.into_split();
                let (far_read, far_write) = far.into_split();
                for (read, write) in [(near_read, far_write), (far_read, near_write)] {
                    let (harm, seen) = (Arc::clone(&harm_there), Arc::clone(&seen_there));
                    tokio::spawn(pass(read, write, harm, seen));
                }
            }
        });
        Self { address, harm, seen }
    }

    pub(crate) fn set(&self, harm: u8) {
        self.harm.store(harm, Ordering::SeqCst);
    }
}

/// Two nodes; the first reaches the second by way of the relay only.
pub(crate) async fn with_relay() -> (Vec<TestNode>, Relay) {
    let authority = authority();
    let first = Maker::new(&authority).make(1).await;
    let second = Maker::new(&authority).make(2).await;
    let relay = Relay::to(second.address()).await;
    first.links.set_peers(vec![second.peer_at(relay.address)]);
    second.links.set_peers(vec![first.peer()]);
    first.ask(NodeId(2), b"x").await.unwrap();
    (vec![first, second], relay)
}

/// Waits until questions are answered again.
pub(crate) async fn answers_again(node: &TestNode, to: NodeId) {
    for _ in 0..2000 {
        if node.ask(to, b"again").await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{to} does not answer again");
}

async fn pass(
    mut read: tokio::net::tcp::OwnedReadHalf,
    mut write: tokio::net::tcp::OwnedWriteHalf,
    harm: Arc<AtomicU8>,
    seen: Arc<Mutex<Vec<u8>>>,
) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(n @ 1..) = read.read(&mut buffer).await {
        let piece = &mut buffer[..n];
        seen.lock().extend_from_slice(piece);
        let times = match harm.load(Ordering::SeqCst) {
            HOLE => 0,
            TWICE => 2,
            FLIP => {
                piece[n / 2] ^= 0x10;
                1
            }
            _ => 1,
        };
        for _ in 0..times {
            if write.write_all(piece).await.is_err() {
                return;
            }
        }
    }
}
