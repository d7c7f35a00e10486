//! Measures the links over loopback: round trip of small questions, questions per second with many at a time, and
//! bytes per second of large ones. `cargo run --release --example link_rate`
#![allow(clippy::unwrap_used, reason = "a measurement that cannot begin should say so and end")]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use posthouse_cluster::{
    Environment, NodeId,
    authority::{Authority, NodeKey, VALIDITY},
    env::BoxFuture,
    link::{LinkOptions, Links, Peer, Timing},
    network::{Handler, Network, Service},
};

const PATIENCE: Duration = Duration::from_secs(10);

/// Answers with the first bytes of the question.
struct Short;

impl Handler for Short {
    fn handle(&self, _: NodeId, question: Bytes) -> BoxFuture<Result<Bytes, String>> {
        Box::pin(async move { Ok(question.slice(..question.len().min(64))) })
    }
}

async fn node(authority: &Authority, number: u64) -> (Links, Peer) {
    let env = Environment::real();
    let (id, key) = (NodeId(number), NodeKey::generate().unwrap());
    let certificate = authority.certify(key.public_key(), id, env.clock.now(), VALIDITY).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hash = key.public_key_hash();
    let options = LinkOptions {
        id,
        key,
        certificate,
        authorities: vec![authority.certificate_der().to_vec()],
        listener,
        level: 1,
        timing: Timing::default(),
    };
    let links = Links::start(env, options).unwrap();
    for service in [Service::RAFT, Service::STORE, Service::BODIES] {
        links.serve(service, Arc::new(Short));
    }
    let addresses = vec![links.local_addr().to_string()];
    (links, Peer { node: id, addresses, key: hash, removed: false })
}

async fn ask(links: &Links, service: Service, question: &Bytes) {
    links.ask(NodeId(2), service, question.clone(), PATIENCE).await.unwrap();
}

async fn round_trips(links: &Links, size: usize, count: usize) {
    let question = Bytes::from(vec![1; size]);
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let since = Instant::now();
        ask(links, Service::RAFT, &question).await;
        times.push(since.elapsed());
    }
    times.sort_unstable();
    let at = |part: f64| times[((count - 1) as f64 * part) as usize];
    println!("round trip {size:>6} B: p50 {:?}, p90 {:?}, p99 {:?}", at(0.5), at(0.9), at(0.99));
}

async fn many(links: &Links, at_a_time: usize, count: usize) {
    let question = Bytes::from(vec![1; 100]);
    let since = Instant::now();
    let askers = (0..at_a_time).map(|_| async {
        for _ in 0..count / at_a_time {
            ask(links, Service::STORE, &question).await;
        }
    });
    futures_util::future::join_all(askers).await;
    let rate = count as f64 / since.elapsed().as_secs_f64();
    println!("{at_a_time:>4} at a time, 100 B: {rate:.0} questions/s");
}

async fn bulk(links: &Links, size: usize, total: usize) {
    let question = Bytes::from(vec![1; size]);
    let since = Instant::now();
    for _ in 0..total / size / 4 {
        let four = (0..4).map(|_| ask(links, Service::BODIES, &question));
        futures_util::future::join_all(four).await;
    }
    let rate = total as f64 / since.elapsed().as_secs_f64() / 1e6;
    println!("bodies of {} KiB: {rate:.0} MB/s", size >> 10);
}

#[tokio::main]
async fn main() {
    let authority = Authority::generate("rate", Environment::real().clock.now()).unwrap();
    let (first, one) = node(&authority, 1).await;
    let (second, two) = node(&authority, 2).await;
    first.set_peers(vec![two]);
    second.set_peers(vec![one]);
    while !first.peers().iter().all(|peer| peer.reachable) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    // on a task of the runtime, as the program's questions are
    let task = tokio::spawn(async move {
        round_trips(&first, 64, 2_000).await;
        for size in [64, 1024, 16 << 10] {
            round_trips(&first, size, 10_000).await;
        }
        for at_a_time in [16, 256] {
            many(&first, at_a_time, 100_000).await;
        }
        bulk(&first, 256 << 10, 1 << 30).await;
        bulk(&first, 4 << 20, 1 << 30).await;
    });
    task.await.unwrap();
}
