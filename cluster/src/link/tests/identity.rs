//! Who is believed (attack A39).

use std::{sync::atomic::Ordering, time::Duration};

use super::support::*;
use crate::{
    NodeId,
    authority::{NodeKey, VALIDITY},
    link::Peer,
    network::{LinkError, Network},
};

const DAY: i64 = 24 * 3_600_000;

fn removed(peer: Peer) -> Peer {
    Peer { removed: true, ..peer }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_node_is_cut_off_at_once_told_why_and_refused_for_good() {
    let nodes = nodes(&authority(), 3).await;
    nodes[2].ask(NodeId(1), b"x").await.unwrap();
    nodes[0].ask(NodeId(3), b"x").await.unwrap();
    let open =
        nodes[2].links.ask(NodeId(1), crate::network::Service::STORE, "never".into(), PATIENCE);
    let open = tokio::spawn(open);
    until("the question", || nodes[0].echo.seen.load(Ordering::SeqCst) == 2).await;
    let rest = || vec![nodes[0].peer(), nodes[1].peer(), removed(nodes[2].peer())];
    nodes[0].links.set_peers(rest());
    nodes[1].links.set_peers(rest());
    let lost = open.await.unwrap();
    assert!(matches!(lost, Err(LinkError::Lost(..))), "{lost:?}");
    until("the removed node to know", || nodes[2].links.removed()).await;
    let seen = nodes[0].echo.seen.load(Ordering::SeqCst);
    let refused = nodes[2].ask(NodeId(1), b"x").await;
    let told = matches!(&refused, Err(LinkError::Unreachable(_, why)) if why.contains("removed from the cluster"));
    assert!(told, "{refused:?}");
    assert!(nodes[2].problem_of(NodeId(2)).await.contains("removed from the cluster"));
    assert_eq!(nodes[0].echo.seen.load(Ordering::SeqCst), seen);
    // the others neither list it nor ask it, and go on
    assert!(nodes[0].links.peers().iter().all(|state| state.node != NodeId(3)));
    assert!(matches!(nodes[0].ask(NodeId(3), b"x").await, Err(LinkError::Unreachable(..))));
    assert!(!nodes[0].links.removed());
    nodes[0].ask(NodeId(2), b"x").await.unwrap();
}

/// How somebody pretends to be node 2 at node 1, and what they are told.
async fn pretend(how: &str, make: impl AsyncFnOnce(&Pretender<'_>) -> TestNode, told: &str) {
    let authority = authority();
    let nodes = nodes(&authority, 2).await;
    nodes[0].ask(NodeId(2), b"x").await.unwrap();
    let pretender = make(&Pretender { authority: &authority, real: &nodes[1] }).await;
    pretender.links.set_peers(vec![nodes[0].peer()]);
    let problem = pretender.problem_of(NodeId(1)).await;
    assert!(problem.contains(told), "{how}: {problem}");
    assert!(pretender.ask(NodeId(1), b"x").await.is_err(), "{how}");
    assert_eq!(nodes[0].echo.seen.load(Ordering::SeqCst), 0, "{how}");
    // asked at its address it is not taken for node 2 either
    nodes[0].links.set_peers(vec![]);
    nodes[0].links.set_peers(vec![nodes[1].peer_at(pretender.address())]);
    let asked = nodes[0].ask(NodeId(2), b"a secret").await;
    assert!(matches!(asked, Err(LinkError::Unreachable(..))), "{how}: {asked:?}");
    assert_eq!(pretender.echo.seen.load(Ordering::SeqCst), 0, "{how}");
}

struct Pretender<'a> {
    authority: &'a crate::authority::Authority,
    real: &'a TestNode,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_somebody_made_with_the_right_number_is_refused() {
    let own_authority = async |_: &Pretender<'_>| {
        let own = authority();
        let node = Maker::new(&own).make(2).await;
        // it would even believe the cluster
        node
    };
    // it notices itself that the other side is of another cluster
    pretend("own authority", own_authority, "not of an authority").await;
    let believes = async |scene: &Pretender<'_>| {
        let own = authority();
        let node = Maker::new(&own).make(2).await;
        let both = [&own, scene.authority].map(|one| one.certificate_der().to_vec());
        node.links.set_authorities(both.to_vec()).unwrap();
        node
    };
    pretend("own authority, believes both", believes, "does not know the authority").await;
    let own_authority_real_key = async |scene: &Pretender<'_>| {
        let own = authority();
        let node = Maker { key: scene.real.key.clone(), ..Maker::new(&own) }.make(2).await;
        let both = [&own, scene.authority].map(|one| one.certificate_der().to_vec());
        node.links.set_authorities(both.to_vec()).unwrap();
        node
    };
    pretend("stolen key, own authority", own_authority_real_key, "does not know the authority")
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_of_the_authority_for_another_key_is_refused() {
    let other_key = async |scene: &Pretender<'_>| Maker::new(scene.authority).make(2).await;
    pretend("another key", other_key, "does not know this node's number or key").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_the_directory_does_not_list_is_refused_until_it_does() {
    let authority = authority();
    let nodes = nodes(&authority, 1).await;
    let new = Maker::new(&authority).make(9).await;
    new.links.set_peers(vec![nodes[0].peer()]);
    let problem = new.problem_of(NodeId(1)).await;
    assert!(problem.contains("may be older"), "{problem}");
    nodes[0].links.set_peers(vec![new.peer()]);
    until("the new node to be let in", || new.links.peers()[0].reachable).await;
    new.ask(NodeId(1), b"x").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_node_at_the_address_of_a_node_is_not_taken_for_it() {
    let nodes = nodes(&authority(), 3).await;
    nodes[0].links.set_peers(vec![]);
    let confused = Peer { addresses: nodes[2].peer().addresses, ..nodes[1].peer() };
    nodes[0].links.set_peers(vec![confused]);
    let problem = nodes[0].problem_of(NodeId(2)).await;
    assert!(problem.contains("not known here") || problem.contains("it is node 3"), "{problem}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_connections_are_cut_when_the_pinned_key_changes() {
    let nodes = nodes(&authority(), 2).await;
    nodes[1].ask(NodeId(1), b"x").await.unwrap();
    until("the peer", || nodes[1].links.peers()[0].reachable).await;
    let other = NodeKey::generate().unwrap().public_key_hash();
    nodes[0].links.set_peers(vec![Peer { key: other, ..nodes[1].peer() }]);
    let problem = nodes[1].problem_of(NodeId(1)).await;
    assert!(problem.contains("number or key"), "{problem}");
    let problem = nodes[0].problem_of(NodeId(2)).await;
    assert!(problem.contains("its key is not the one"), "{problem}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn expired_certificates_and_wrong_clocks_are_refused_with_a_word_about_the_clock() {
    let authority = authority();
    let cases = [("its certificate", 60 * DAY), ("its clock is behind", -60 * DAY)];
    for (what, by) in cases {
        let right = Maker::new(&authority).make(1).await;
        let wrong = Maker { env: wrong_clock(by), ..Maker::new(&authority) }.make(2).await;
        let nodes = [right, wrong];
        introduce(&nodes);
        let problem = nodes[1].problem_of(NodeId(1)).await;
        assert!(problem.contains("clock"), "{what}: {problem}");
        assert!(problem.contains("expired") || problem.contains("becomes valid"), "{problem}");
    }
    // expired for everybody, itself too
    let past = Duration::ZERO;
    let expired = Maker { validity: past, ..Maker::new(&authority) }.make(2).await;
    let good = Maker { validity: VALIDITY, ..Maker::new(&authority) }.make(1).await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let nodes = [good, expired];
    introduce(&nodes);
    let problem = nodes[0].problem_of(NodeId(2)).await;
    assert!(problem.contains("expired"), "{problem}");
    let problem = nodes[1].problem_of(NodeId(1)).await;
    assert!(problem.contains("must be renewed"), "{problem}");
    assert_eq!(nodes[0].echo.seen.load(Ordering::SeqCst), 0);
}
