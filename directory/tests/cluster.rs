//! The directory on three nodes of this process, with lines that can be cut.
#![allow(clippy::unwrap_used)]

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use parking_lot::Mutex;
use posthouse_cluster::{
    Environment, LEVEL, Node, NodeId, NodeOptions,
    env::BoxFuture,
    network::{Handler, LinkError, Network, PeerState, Service},
};
use posthouse_directory::{
    Actor, Change, ChangeError, ChangeRefusal, Directory, DirectoryOptions, Domain, DomainId,
    NodeInfo, fresh_id,
};
use tempfile::TempDir;

type Handlers = BTreeMap<(NodeId, Service), Arc<dyn Handler>>;

/// All lines, and who is cut off.
#[derive(Clone, Default)]
struct Lines {
    handlers: Arc<Mutex<Handlers>>,
    off: Arc<Mutex<BTreeSet<NodeId>>>,
}

struct End {
    me: NodeId,
    lines: Lines,
}

impl Network for End {
    fn ask(
        &self,
        to: NodeId,
        service: Service,
        question: Bytes,
        patience: Duration,
    ) -> BoxFuture<Result<Bytes, LinkError>> {
        let (me, lines) = (self.me, self.lines.clone());
        Box::pin(async move {
            let is_cut = || {
                let off = lines.off.lock();
                off.contains(&me) || off.contains(&to)
            };
            let handler = lines.handlers.lock().get(&(to, service)).cloned();
            let (false, Some(handler)) = (is_cut(), handler) else {
                return Err(LinkError::Unreachable(to, "cut".into()));
            };
            let answer = tokio::time::timeout(patience, handler.handle(me, question)).await;
            match (answer, is_cut()) {
                (Ok(answer), false) => answer.map_err(|why| LinkError::Refused(to, why)),
                _ => Err(LinkError::Lost(to, "cut".into())),
            }
        })
    }

    fn serve(&self, service: Service, handler: Arc<dyn Handler>) {
        self.lines.handlers.lock().insert((self.me, service), handler);
    }

    fn peers(&self) -> Vec<PeerState> {
        let off = self.lines.off.lock();
        let state = |id: u64| PeerState {
            node: NodeId(id),
            reachable: !off.contains(&NodeId(id)) && !off.contains(&self.me),
            round_trip: None,
            since: Duration::ZERO,
            clock_difference: None,
            problem: None,
        };
        (1..=3).filter(|id| *id != self.me.0).map(state).collect()
    }
}

struct Cluster {
    lines: Lines,
    nodes: Vec<(Node, Directory, TempDir)>,
}

impl Cluster {
    async fn of_three() -> Self {
        let lines = Lines::default();
        let mut nodes = Vec::new();
        for id in (1..=3).map(NodeId) {
            let folder = tempfile::tempdir().unwrap();
            let network = Arc::new(End { me: id, lines: lines.clone() });
            let log = folder.path().join("log");
            let options = NodeOptions { network, ..NodeOptions::alone(id, log) };
            let node = Node::open(Environment::real(), options).await.unwrap();
            let options = DirectoryOptions {
                folder: folder.path().join("directory"),
                bootstrap: id == NodeId(1),
            };
            let directory = Directory::open(&node, options).await.unwrap();
            nodes.push((node, directory, folder));
        }
        let cluster = Self { lines, nodes };
        cluster
            .directory(1)
            .change(actor(), Change::PutDomain(domain("example.test")))
            .await
            .unwrap();
        let group = cluster.directory(1).group();
        for id in [2, 3] {
            group.add_learner(NodeId(id)).await.unwrap();
        }
        group.set_voters((1..=3).map(NodeId).collect()).await.unwrap();
        cluster
    }

    fn directory(&self, node: usize) -> &Directory {
        &self.nodes[node - 1].1
    }
}

fn actor() -> Actor {
    Actor::System("test".into())
}

fn domain(name: &str) -> Domain {
    Domain {
        id: DomainId(fresh_id()),
        name: name.into(),
        aliases: Vec::new(),
        primary: name == "example.test",
        description: String::new(),
    }
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_node_changes_and_without_a_majority_a_node_only_reads_and_says_so() {
    let cluster = Cluster::of_three().await;
    for (node, name) in [(1, "one.test"), (2, "two.test"), (3, "three.test")] {
        let directory = cluster.directory(node);
        directory.change(actor(), Change::PutDomain(domain(name))).await.unwrap();
        assert!(directory.domain_named(name).is_some(), "node {node} reads what it wrote");
        assert_eq!(directory.read_only_reason(), None);
    }

    cluster.lines.off.lock().insert(NodeId(3));
    until("node 3 notices", || !cluster.directory(3).has_quorum()).await;
    let alone = cluster.directory(3);
    let began = Instant::now();
    let refused = alone.change(actor(), Change::PutDomain(domain("lost.test"))).await;
    let text = match refused {
        Err(error @ ChangeError::NoMajority(_)) => error.to_string(),
        other => panic!("{other:?}"),
    };
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert!(text.contains("read-only") && text.contains("nodes 1, 2 do not answer"), "{text}");
    let reason = alone.read_only_reason().unwrap();
    assert!(text.contains(&reason) && reason.starts_with("this node"), "{reason}");
    assert!(alone.domain_named("two.test").is_some(), "reading goes on");

    // the others go on, and the one that was cut off catches up by itself
    until("a leader", || cluster.directory(2).has_quorum()).await;
    cluster.directory(2).change(actor(), Change::PutDomain(domain("four.test"))).await.unwrap();
    cluster.lines.off.lock().clear();
    until("node 3 is back", || alone.domain_named("four.test").is_some()).await;
    alone.change(actor(), Change::PutDomain(domain("five.test"))).await.unwrap();
    assert!(alone.domain_named("lost.test").is_none(), "what was refused was not done");
    for (node, ..) in &cluster.nodes {
        node.shutdown().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_on_its_own_raises_the_level_and_several_agree_on_it() {
    let cluster = Cluster::of_three().await;
    let directory = cluster.directory(1);
    assert_eq!((directory.level(), directory.cluster_id()), (1, None));
    let node = |id: u64, level| {
        let host = format!("n{id}.example.test");
        Change::PutNode(NodeInfo { id, host, site: "a".into(), level, ..NodeInfo::default() })
    };
    directory.change(actor(), node(1, LEVEL)).await.unwrap();
    assert_eq!((directory.level(), directory.level_to_agree_on()), (LEVEL, None));
    assert!(directory.cluster_id().is_some());
    assert_eq!(directory.cluster_name(), "example.test");
    let newer = LEVEL + 1;
    directory.change(actor(), node(2, newer)).await.unwrap();
    let refused = directory.change(actor(), Change::SetLevel(newer)).await;
    assert!(
        matches!(&refused, Err(ChangeError::Refused(ChangeRefusal::BadLevel { level, .. })) if *level == newer),
        "{refused:?}"
    );
    for (node, ..) in &cluster.nodes {
        node.shutdown().await.unwrap();
    }
}
