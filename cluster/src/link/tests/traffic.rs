//! Questions and answers.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::support::*;
use crate::{
    NodeId,
    link::{Timing, channel::most_open, frame::MAX_REASON},
    network::{Class, Hint, LinkError, MAX_MESSAGE, Network, Service},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn questions_of_all_sizes_are_answered_and_refusals_carry_their_text() {
    let nodes = nodes(&authority(), 2).await;
    for size in [0, 1, 100, 4 << 10, 5000, 64 << 10, (64 << 10) + 1, 1 << 20, MAX_MESSAGE] {
        let question = vec![size as u8; size];
        assert_eq!(nodes[0].ask(NodeId(2), &question).await.unwrap(), question, "{size}");
    }
    let refused = nodes[0].ask(NodeId(2), b"refuse").await;
    assert_eq!(refused, Err(LinkError::Refused(NodeId(2), "no".into())));
    let explained = nodes[0].ask(NodeId(2), b"explain").await;
    assert_eq!(explained, Err(LinkError::Refused(NodeId(2), "ä".repeat(MAX_REASON / 2))));
    let too_large = nodes[0].ask(NodeId(2), &vec![0; MAX_MESSAGE + 1]).await;
    assert!(matches!(too_large, Err(LinkError::Refused(..))), "{too_large:?}");
    let nowhere = nodes[0].links.ask(NodeId(2), Service(99), Bytes::new(), PATIENCE).await;
    assert!(matches!(nowhere, Err(LinkError::Refused(_, text)) if text.contains("service 99")));
    let unknown = nodes[0].ask(NodeId(9), b"x").await;
    assert!(matches!(unknown, Err(LinkError::Unreachable(..))), "{unknown:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_questions_at_a_time_wait_for_each_other_and_all_get_their_own_answers() {
    let nodes = nodes(&authority(), 2).await;
    let asked = (0..5000u32).map(|n| {
        let node = &nodes[0];
        async move { node.ask(NodeId(2), &n.to_be_bytes()).await.unwrap() == n.to_be_bytes()[..] }
    });
    let answers = futures_util::future::join_all(asked).await;
    assert!(answers.iter().all(|right| *right));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn questions_beyond_the_bound_are_certainly_not_handed_over() {
    let nodes = nodes(&authority(), 2).await;
    let bound = most_open(Class::Bulk);
    let ask = |patience| nodes[0].links.ask(NodeId(2), Service::BODIES, "never".into(), patience);
    let open: Vec<_> = (0..bound).map(|_| tokio::spawn(ask(PATIENCE))).collect();
    until("all to be handed over", || nodes[1].echo.seen.load(Ordering::SeqCst) == bound).await;
    let surplus = ask(Duration::from_millis(50)).await;
    assert!(matches!(surplus, Err(LinkError::Unreachable(..))), "{surplus:?}");
    assert_eq!(nodes[1].echo.seen.load(Ordering::SeqCst), bound);
    // other classes do not notice
    assert!(nodes[0].ask(NodeId(2), b"x").await.is_ok());
    open.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_does_not_come_in_time_is_lost_not_unreachable() {
    let nodes = nodes(&authority(), 2).await;
    let patience = Duration::from_millis(100);
    nodes[0].ask(NodeId(2), b"x").await.unwrap();
    let late = nodes[0].links.ask(NodeId(2), Service::STORE, "never".into(), patience).await;
    assert!(matches!(late, Err(LinkError::Lost(..))), "{late:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_stops_loses_open_questions_and_later_ones_were_not_handed_over() {
    let nodes = nodes(&authority(), 2).await;
    let hints = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let noted = Arc::clone(&hints);
    nodes[0].links.watch(Arc::new(move |node, hint| noted.lock().push((node, hint))));
    nodes[0].ask(NodeId(2), b"x").await.unwrap();
    until("the peer", || nodes[0].links.peers()[0].reachable).await;
    let open = nodes[0].links.ask(NodeId(2), Service::STORE, "never".into(), PATIENCE);
    let open = tokio::spawn(open);
    until("the question", || nodes[1].echo.seen.load(Ordering::SeqCst) == 2).await;
    let stopped = Instant::now();
    nodes[1].links.stop().await;
    let port = std::net::TcpListener::bind(nodes[1].address());
    assert!(port.is_ok(), "{port:?}");
    drop(port);
    assert!(matches!(open.await.unwrap(), Err(LinkError::Lost(..))));
    until("the hint", || hints.lock().contains(&(NodeId(2), Hint::Died))).await;
    assert!(stopped.elapsed() < Duration::from_secs(1), "{:?}", stopped.elapsed());
    let later = nodes[0].ask(NodeId(2), b"x").await;
    assert!(matches!(later, Err(LinkError::Unreachable(..))), "{later:?}");
    until("the state to show it", || !nodes[0].links.peers()[0].reachable).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_black_hole_is_noticed_in_the_settled_time_and_healed_by_itself() {
    let (nodes, relay) = with_relay().await;
    eventually("an answer", || nodes[0].links.peers()[0].round_trip).await;
    relay.set(HOLE);
    let since = Instant::now();
    let lost = nodes[0].ask(NodeId(2), b"x").await;
    assert!(matches!(lost, Err(LinkError::Lost(..) | LinkError::Unreachable(..))), "{lost:?}");
    let noticed = since.elapsed();
    assert!(
        noticed > Duration::from_millis(100) && noticed < Duration::from_secs(2),
        "{noticed:?}"
    );
    until("the state to show it", || !nodes[0].links.peers()[0].reachable).await;
    relay.set(PASS);
    answers_again(&nodes[0], NodeId(2)).await;
    until("the link to count as healed", || nodes[0].links.peers()[0].reachable).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn round_trip_clock_and_level_of_a_peer_are_measured() {
    let authority = authority();
    let hour = 3_600_000;
    let first = Maker::new(&authority).make(1).await;
    let second = Maker { env: wrong_clock(hour), ..Maker::new(&authority) }.make(2).await;
    let nodes = [first, second];
    introduce(&nodes);
    let state = eventually("a measurement", || {
        nodes[0].links.peers().into_iter().find(|state| state.round_trip.is_some())
    })
    .await;
    assert!(state.reachable && state.problem.is_none(), "{state:?}");
    let difference = state.clock_difference.unwrap();
    assert!((difference - hour).abs() < 2000, "{difference}");
    assert!(state.round_trip.unwrap() < Duration::from_secs(1));
    assert_eq!(nodes[0].links.level(NodeId(2)), Some(2));
    assert_eq!(nodes[0].links.level(NodeId(3)), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_bodies_do_not_delay_small_questions() {
    let nodes = Arc::new(nodes(&authority(), 2).await);
    let there = Arc::clone(&nodes);
    let bodies = tokio::spawn(async move {
        loop {
            let body = Bytes::from(vec![7; MAX_MESSAGE]);
            there[0].links.ask(NodeId(2), Service::BODIES, body, PATIENCE).await.unwrap();
        }
    });
    until("a body", || nodes[1].echo.seen.load(Ordering::SeqCst) > 0).await;
    let mut worst = Duration::ZERO;
    for service in [Service::RAFT, Service::STORE].into_iter().cycle().take(60) {
        let since = Instant::now();
        nodes[0].links.ask(NodeId(2), service, "x".into(), PATIENCE).await.unwrap();
        worst = worst.max(since.elapsed());
    }
    assert!(!bodies.is_finished());
    bodies.abort();
    // far less than a body takes; with room for a machine that does other things too
    assert!(worst < Duration::from_millis(500), "{worst:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_questions_of_the_same_class_do_not_delay_small_ones() {
    let nodes = Arc::new(nodes(&authority(), 2).await);
    let large: Vec<_> = (0..4)
        .map(|_| {
            let body = Bytes::from(vec![7; MAX_MESSAGE]);
            tokio::spawn(nodes[0].links.ask(NodeId(2), Service::STORE, body, PATIENCE))
        })
        .collect();
    until("no small one before", || nodes[0].links.peers()[0].reachable).await;
    nodes[0].ask(NodeId(2), b"x").await.unwrap();
    let unfinished = large.iter().filter(|asked| !asked.is_finished()).count();
    assert!(unfinished > 0, "the small one came last");
    for asked in large {
        assert_eq!(asked.await.unwrap().unwrap().len(), MAX_MESSAGE);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_address_that_answers_is_used_even_when_the_first_one_is_dead() {
    let authority = authority();
    let nodes = nodes(&authority, 2).await;
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut peer = nodes[1].peer();
    // one that never answers, one that refuses, one that is no address
    let refusing = "127.0.0.1:1".to_owned();
    let others = [dead.local_addr().unwrap().to_string(), refusing, "nowhere".to_owned()];
    peer.addresses.splice(0..0, others);
    let third = Maker { timing: Timing::default(), ..Maker::new(&authority) }.make(3).await;
    third.links.set_peers(vec![peer]);
    nodes[1].links.set_peers(vec![third.peer()]);
    until("the peer", || third.links.peers()[0].reachable).await;
    assert!(third.ask(NodeId(2), b"x").await.is_ok());
}
