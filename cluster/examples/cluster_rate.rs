//! Commits per second and their latency in a group of several nodes in this process, with a SQLite
//! state machine on each: 1, 16 and 256 proposers of 1 KiB on the leader. Then the gaps in which nothing
//! is acknowledged: the leadership handed over, and the leader lost.
//!
//! `cluster_rate [links|calls] [NODES] [SECONDS] [ROUNDS] [FOLDER]`: over mutual TLS on loopback, or by
//! function calls. Losing the leader is measured by calls only.
#![allow(clippy::unwrap_used, reason = "a measurement that cannot begin should say so and end")]

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use posthouse_cluster::{
    Applied, Command, Environment, Group, GroupId, GroupSpec, MachineError, Node, NodeId,
    NodeOptions, StateMachine,
    authority::{Authority, NodeKey, VALIDITY},
    link::{LinkOptions, Links, Peer, Timing},
    network::Network,
    sqlite::{Database, Migration},
};

mod local;

use local::{Failure, Switch};

const PAYLOAD: usize = 1024;
const STEPS: &[Migration] =
    &["CREATE TABLE entry (key INTEGER PRIMARY KEY, data BLOB NOT NULL) STRICT"];
/// Keys that the commands write to in turn.
const KEYS: u64 = 10_000;

/// Writes the command into a row, as etcd into a key.
struct Rows(Database);

impl StateMachine for Rows {
    fn applied(&mut self) -> Result<Option<Applied>, MachineError> {
        self.0.applied()
    }

    fn apply(&mut self, batch: &[Command], applied: &Applied) -> Result<Vec<Bytes>, MachineError> {
        let transaction = self.0.connection().transaction()?;
        for command in batch {
            let sql = "INSERT INTO entry (key, data) VALUES (?1, ?2)
                       ON CONFLICT (key) DO UPDATE SET data = excluded.data";
            let key = (command.index % KEYS) as i64;
            transaction.prepare_cached(sql)?.execute((key, &command.data[..]))?;
        }
        Database::set_applied(&transaction, applied)?;
        transaction.commit()?;
        Ok(vec![Bytes::new(); batch.len()])
    }

    fn checkpoint(&mut self) -> Result<(), MachineError> {
        self.0.checkpoint()
    }

    fn snapshot(&mut self, into: &Path) -> Result<(), MachineError> {
        self.0.snapshot(&into.join("rows"))
    }

    fn install(&mut self, from: &Path) -> Result<(), MachineError> {
        self.0.install(&from.join("rows"))
    }
}

async fn links(count: u64) -> Vec<Arc<dyn Network>> {
    let env = Environment::real();
    let authority = Authority::generate("rate", env.clock.now()).unwrap();
    let (mut all, mut peers) = (Vec::new(), Vec::new());
    for number in 1..=count {
        let (id, key) = (NodeId(number), NodeKey::generate().unwrap());
        let now = env.clock.now();
        let certificate = authority.certify(key.public_key(), id, now, VALIDITY).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let hash = key.public_key_hash();
        let options = LinkOptions {
            id,
            key,
            certificate,
            authorities: vec![authority.certificate_der().to_vec()],
            listener,
            level: posthouse_cluster::LEVEL,
            timing: Timing::default(),
        };
        let links = Links::start(env.clone(), options).unwrap();
        let addresses = vec![links.local_addr().to_string()];
        peers.push(Peer { node: id, addresses, key: hash, removed: false });
        all.push(links);
    }
    for (number, links) in (1..).zip(&all) {
        links.set_peers(peers.iter().filter(|peer| peer.node.0 != number).cloned().collect());
    }
    for links in &all {
        while !links.peers().iter().all(|peer| peer.reachable) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    all.into_iter().map(|links| Arc::new(links) as Arc<dyn Network>).collect()
}

async fn start(networks: &[Arc<dyn Network>], folder: &Path) -> Vec<(Node, Group)> {
    let mut members = Vec::new();
    for (id, network) in (1..).zip(networks) {
        let folder = folder.join(id.to_string());
        fs::create_dir_all(&folder).unwrap();
        let (log, network) = (folder.join("log"), network.clone());
        let options = NodeOptions { id: NodeId(id), log, network, level: posthouse_cluster::LEVEL };
        let node = Node::open(Environment::real(), options).await.unwrap();
        let spec = GroupSpec { id: GroupId(1), name: "rate".into(), bootstrap: id == 1 };
        let machine = Rows(Database::open(&folder.join("rows"), STEPS).unwrap());
        let group = node.start_group(spec, Box::new(machine)).await.unwrap();
        members.push((node, group));
    }
    let leader = &members[0].1;
    for id in 2..=members.len() as u64 {
        leader.add_learner(NodeId(id)).await.unwrap();
    }
    leader.set_voters((1..=members.len() as u64).map(NodeId).collect()).await.unwrap();
    members
}

async fn commits(group: &Group, proposers: usize, time: Duration) {
    let start = Instant::now();
    let tasks: Vec<_> = (0..proposers)
        .map(|_| {
            let (group, command) = (group.clone(), Bytes::from(vec![7; PAYLOAD]));
            tokio::spawn(async move {
                let mut waits = Vec::new();
                while start.elapsed() < time {
                    let asked = Instant::now();
                    group.propose(command.clone()).await.unwrap();
                    waits.push(asked.elapsed());
                }
                waits
            })
        })
        .collect();
    let mut waits = Vec::new();
    for task in tasks {
        waits.extend(task.await.unwrap());
    }
    let rate = waits.len() as f64 / start.elapsed().as_secs_f64();
    println!("proposers {proposers:>3}: {rate:>8.0} commits/s, {}", spread(waits));
}

fn spread(mut waits: Vec<Duration>) -> String {
    waits.sort_unstable();
    let at = |part: usize| {
        waits.get(waits.len().saturating_sub(1) * part / 100).copied().unwrap_or_default()
    };
    format!("p50 {:.1?}, p99 {:.1?}, max {:.1?}", at(50), at(99), at(100))
}

async fn leader(members: &[(Node, Group)]) -> usize {
    loop {
        if let Some(number) = members.iter().position(|(_, group)| group.leads()) {
            return number;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The longest time between two acknowledgements at a node that does not lead, around `event`.
async fn gap(group: &Group, event: impl Future<Output = ()>) -> Duration {
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let writer = group.clone();
    let writes = tokio::spawn(async move {
        let (mut last, mut longest) = (Instant::now(), Duration::ZERO);
        let mut after = None;
        loop {
            writer.submit(Bytes::from_static(b"x")).await.unwrap();
            longest = longest.max(last.elapsed());
            last = Instant::now();
            if after.is_none()
                && !matches!(
                    stopped.try_recv(),
                    Err(tokio::sync::oneshot::error::TryRecvError::Empty)
                )
            {
                after = Some(Instant::now());
            }
            // what was on its way at the event counts, too
            if after.is_some_and(|after: Instant| after.elapsed() > Duration::from_millis(300)) {
                return longest;
            }
        }
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    event.await;
    drop(stop);
    writes.await.unwrap()
}

async fn gaps(members: &[(Node, Group)], switch: Option<&Switch>, rounds: usize) {
    let mut waits = Vec::new();
    for _ in 0..rounds {
        let (from, count) = (leader(members).await, members.len());
        let (to, writer) = ((from + 1) % count, (from + count - 1) % count);
        let hand_over = async { members[from].1.transfer(NodeId(to as u64 + 1)).await.unwrap() };
        waits.push(gap(&members[writer].1, hand_over).await);
    }
    println!("handed over, {rounds} rounds: longest gap {}", spread(waits));
    let Some(switch) = switch else { return };
    for failure in [Failure::Refuses, Failure::Silent] {
        let mut waits = Vec::new();
        for _ in 0..rounds {
            let from = leader(members).await;
            let writer = (from + 1) % members.len();
            let lost = async { switch.fail(from as u64 + 1, Some(failure)) };
            waits.push(gap(&members[writer].1, lost).await);
            switch.fail(from as u64 + 1, None);
            while members[from].1.read_barrier().await.is_err() {}
        }
        println!("leader lost, {failure:?}, {rounds} rounds: longest gap {}", spread(waits));
    }
}

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let by_links = arguments.next().is_some_and(|how| how == "links");
    let mut number = |otherwise| arguments.next().and_then(|n| n.parse().ok()).unwrap_or(otherwise);
    let (nodes, seconds, rounds) = (number(3), number(3), number(20));
    let folder = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = folder.join("posthouse-cluster-rate");
    let _ = fs::remove_dir_all(&folder);
    let switch = Switch::default();
    let networks = match by_links {
        true => links(nodes).await,
        false => (1..=nodes).map(|id| switch.port(id)).collect(),
    };
    let members = start(&networks, &folder).await;
    for proposers in [1, 16, 256] {
        commits(&members[leader(&members).await].1, proposers, Duration::from_secs(seconds)).await;
    }
    if nodes > 2 {
        gaps(&members, (!by_links).then_some(&switch), rounds as usize).await;
    }
    for (node, _) in &members {
        node.shutdown().await.unwrap();
    }
    let _ = fs::remove_dir_all(&folder);
}
