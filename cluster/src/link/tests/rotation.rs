//! The authority is replaced while everybody works (attack A40).

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use super::support::*;
use crate::{
    Environment, NodeId,
    authority::{Authority, VALIDITY},
    network::{Network, Service},
};

fn certify(authority: &Authority, node: &TestNode) -> Vec<u8> {
    let now = Environment::real().clock.now();
    authority.certify(node.key.public_key(), node.id, now, VALIDITY).unwrap()
}

fn trust(node: &TestNode, authorities: &[&Authority]) {
    let authorities = authorities.iter().map(|one| one.certificate_der().to_vec());
    node.links.set_authorities(authorities.collect()).unwrap();
}

/// Questions of all classes in all directions, none of which may fail.
struct Traffic {
    stop: Arc<AtomicBool>,
    tasks: Vec<(Arc<AtomicUsize>, tokio::task::JoinHandle<()>)>,
}

impl Traffic {
    fn start(nodes: &Arc<Vec<TestNode>>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut tasks = Vec::new();
        for from in 0..nodes.len() {
            for to in (0..nodes.len()).filter(|to| *to != from) {
                for service in [Service::RAFT, Service::STORE, Service::BODIES] {
                    let count = Arc::new(AtomicUsize::new(0));
                    let (nodes, stop, counted) =
                        (Arc::clone(nodes), Arc::clone(&stop), Arc::clone(&count));
                    let task = async move {
                        while !stop.load(Ordering::Relaxed) {
                            let size = if service == Service::BODIES { 300_000 } else { 40 };
                            let (node, question) = (&nodes[from], vec![3; size].into());
                            let answer = node.links.ask(nodes[to].id, service, question, PATIENCE);
                            answer.await.unwrap_or_else(|error| panic!("{from} to {to}: {error}"));
                            counted.fetch_add(1, Ordering::Relaxed);
                            tokio::time::sleep(Duration::from_millis(2)).await;
                        }
                    };
                    tasks.push((count, tokio::spawn(task)));
                }
            }
        }
        Self { stop, tasks }
    }

    /// Waits until everybody has been answered some more.
    async fn go_on(&self) {
        let count = |one: &Arc<AtomicUsize>| one.load(Ordering::Relaxed);
        let before: Vec<usize> = self.tasks.iter().map(|(one, _)| count(one)).collect();
        until("traffic to go on", || {
            self.tasks.iter().zip(&before).all(|((one, _), before)| count(one) > before + 2)
        })
        .await;
    }

    async fn finish(self) {
        self.go_on().await;
        self.stop.store(true, Ordering::Relaxed);
        for (_, task) in self.tasks {
            task.await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_authority_is_replaced_twice_under_traffic_without_a_failed_question() {
    let mut current = authority();
    let nodes = Arc::new(nodes(&current, 3).await);
    let traffic = Traffic::start(&nodes);
    traffic.go_on().await;
    for _ in 0..2 {
        let next = authority();
        for node in nodes.iter() {
            trust(node, &[&current, &next]);
        }
        for node in nodes.iter() {
            node.links.set_certificate(certify(&next, node)).unwrap();
            traffic.go_on().await;
        }
        let rest = |accepted| {
            let authorities = [next.certificate_der()];
            nodes.iter().all(|node| node.links.rests_on(&authorities, accepted))
        };
        until("all to show the new certificates", || rest(true)).await;
        for node in nodes.iter() {
            trust(node, &[&next]);
        }
        until("connections that rest on the new authority only", || rest(false)).await;
        traffic.go_on().await;
        current = next;
    }
    traffic.finish().await;
    // the old ones open nothing any more
    let late = Maker::new(&authority()).make(9).await;
    late.links.set_peers(vec![nodes[0].peer()]);
    assert!(late.ask(NodeId(1), b"x").await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_away_during_the_rotation_is_refused_until_it_has_a_new_certificate() {
    let old = authority();
    let nodes = nodes(&old, 2).await;
    let new = authority();
    let away = Maker::new(&old).make(3).await;
    away.links.set_peers(vec![nodes[0].peer()]);
    trust(&nodes[0], &[&new]);
    nodes[0].links.set_certificate(certify(&new, &nodes[0])).unwrap();
    nodes[0].links.set_peers(vec![away.peer()]);
    let problem = away.problem_of(NodeId(1)).await;
    assert!(problem.contains("authority"), "{problem}");
    trust(&away, &[&new]);
    away.links.set_certificate(certify(&new, &away)).unwrap();
    until("it to be back", || away.links.peers()[0].reachable).await;
    away.ask(NodeId(1), b"x").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_renewed_under_traffic_without_a_failed_question() {
    let authority = authority();
    let nodes = Arc::new(nodes(&authority, 2).await);
    let traffic = Traffic::start(&nodes);
    traffic.go_on().await;
    for _ in 0..5 {
        for node in nodes.iter() {
            node.links.set_certificate(certify(&authority, node)).unwrap();
            traffic.go_on().await;
        }
    }
    traffic.finish().await;
    // what was replaced is gone
    until("old connections to end", || nodes.iter().all(|node| node.links.connections() == 6))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_for_another_key_and_an_empty_list_of_authorities_are_not_taken() {
    let authority = authority();
    let nodes = nodes(&authority, 2).await;
    assert!(nodes[0].links.set_certificate(certify(&authority, &nodes[1])).is_err());
    assert!(nodes[0].links.set_certificate(b"nothing".to_vec()).is_err());
    assert!(nodes[0].links.set_authorities(vec![]).is_err());
    assert!(nodes[0].links.set_authorities(vec![b"nothing".to_vec()]).is_err());
    nodes[0].ask(NodeId(2), b"x").await.unwrap();
}
