//! What is on the line, and what harm on the line does (attack A41).

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Waker,
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, TlsStream};

use super::support::*;
use crate::{
    Environment, NodeId,
    link::{
        assembly::{Assembly, Message},
        channel::most_open,
        connection::{Connection, End, Pace, Role},
        frame::{FrameError, HEADER, Header, Hello, Kind, MAX_PART, VERSION},
        hello,
        output::{Outgoing, Output, SLICES},
        tls::{self, Judge},
    },
    network::{Class, MAX_MESSAGE, Network},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sniffed_bytes_contain_neither_payload_nor_names() {
    let (nodes, relay) = with_relay().await;
    let canary = b"a canary that nobody may see";
    for _ in 0..20 {
        nodes[0].ask(NodeId(2), canary).await.unwrap();
    }
    let seen = relay.seen.lock().clone();
    assert!(seen.len() > 2000);
    let hidden: [&[u8]; 4] = [canary, b"urn:posthouse:node", b"Example", nodes[0].key.public_key()];
    for hidden in hidden {
        assert!(!seen.windows(hidden.len()).any(|window| window == hidden));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flipped_bits_and_repeated_records_break_the_connection_and_nothing_else() {
    let (nodes, relay) = with_relay().await;
    for harm in [FLIP, TWICE] {
        let question = Bytes::from_static(b"do it once");
        let before = nodes[1].echo.seen.load(Ordering::SeqCst);
        relay.set(harm);
        let patience = Duration::from_secs(2);
        let service = crate::network::Service::STORE;
        let asked = nodes[0].links.ask(NodeId(2), service, question, patience).await;
        assert!(asked.is_err(), "{harm}: {asked:?}");
        let seen = nodes[1].echo.seen.load(Ordering::SeqCst) - before;
        assert!(seen <= 1, "{harm}: done {seen} times");
        relay.set(PASS);
        answers_again(&nodes[0], NodeId(2)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recording_said_again_is_not_understood() {
    let (nodes, relay) = with_relay().await;
    let seen = relay.seen.lock().clone();
    let before = nodes[1].echo.seen.load(Ordering::SeqCst);
    let mut again = TcpStream::connect(nodes[1].address()).await.unwrap();
    let _ = again.write_all(&seen).await;
    let _ = again.shutdown().await;
    let _ = again.read_to_end(&mut Vec::new()).await;
    assert_eq!(nodes[1].echo.seen.load(Ordering::SeqCst), before);
    nodes[0].ask(NodeId(2), b"x").await.unwrap();
}

/// A connection of node 1 to node 2 whose frames the test writes itself.
async fn by_hand(nodes: &[TestNode], greeting: &Hello) -> TlsStream<TcpStream> {
    let trust = nodes[0].links.trust();
    let judge = Judge::new(&trust, Some(NodeId(2)));
    let config = tls::to_node(&trust, judge).unwrap();
    let tcp = TcpStream::connect(nodes[1].address()).await.unwrap();
    let connector = TlsConnector::from(std::sync::Arc::new(config));
    let stream = connector.connect("node.invalid".try_into().unwrap(), tcp).await.unwrap();
    let mut stream = TlsStream::from(stream);
    hello::send(&mut stream, Kind::Hello, &greeting.encode()).await.unwrap();
    stream
}

fn greeting() -> Hello {
    Hello { version: VERSION, level: 2, from: 1, to: 2, class: 1 }
}

/// The next message that is not about being alive.
async fn next(stream: &mut TlsStream<TcpStream>) -> Option<(Kind, u64)> {
    loop {
        let mut header = [0; HEADER];
        stream.read_exact(&mut header).await.ok()?;
        let header = Header::decode(&header).unwrap();
        stream.read_exact(&mut vec![0; header.part as usize]).await.ok()?;
        if header.kind != Kind::Alive {
            return Some((header.kind, header.id));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_kind_of_frame_is_answered_and_the_connection_goes_on() {
    let nodes = nodes(&authority(), 2).await;
    let mut stream = by_hand(&nodes, &greeting()).await;
    assert_eq!(hello::receive(&mut stream).await.unwrap(), Hello { from: 2, to: 1, ..greeting() });
    let newer = Header { part: 3, total: 3, id: 5, kind: Kind::Other(200), service: 0 };
    stream.write_all(&[&newer.encode()[..], b"abc"].concat()).await.unwrap();
    assert_eq!(next(&mut stream).await, Some((Kind::Unknown, 5)));
    let question = Header { part: 1, total: 1, id: 6, kind: Kind::Question, service: 16 };
    stream.write_all(&[&question.encode()[..], b"x"].concat()).await.unwrap();
    assert_eq!(next(&mut stream).await, Some((Kind::Answer, 6)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hello_of_another_version_or_for_another_node_is_refused_with_the_reason() {
    let nodes = nodes(&authority(), 2).await;
    let cases = [
        (Hello { version: 9, ..greeting() }, "version 9"),
        (Hello { to: 7, ..greeting() }, "this is node 2"),
        (Hello { from: 7, ..greeting() }, "you are node 1"),
        (Hello { class: 77, ..greeting() }, "class 77"),
    ];
    for (greeting, why) in cases {
        let mut stream = by_hand(&nodes, &greeting).await;
        let refused = hello::receive(&mut stream).await.unwrap_err().to_string();
        assert!(refused.contains(why), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oversize_frames_and_garbage_inside_tls_end_the_connection_only() {
    let nodes = nodes(&authority(), 2).await;
    let raw = |part: u32, total: u32, kind: u8| {
        let mut bytes = [0; HEADER];
        bytes[..4].copy_from_slice(&part.to_be_bytes());
        bytes[4..8].copy_from_slice(&total.to_be_bytes());
        bytes[16] = kind;
        bytes.to_vec()
    };
    let bad = [
        raw(u32::MAX, u32::MAX, 1),
        raw(MAX_PART as u32 + 1, MAX_PART as u32 + 1, 1),
        raw(10, MAX_MESSAGE as u32 + 1, 1),
        raw(0, 10, 1),
        raw(11, 10, 1),
        raw(2000, 2000, 6),
        vec![0xff; 4096],
    ];
    for bytes in bad {
        let mut stream = by_hand(&nodes, &greeting()).await;
        hello::receive(&mut stream).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
        assert_eq!(next(&mut stream).await, None, "{bytes:?}");
    }
    assert_eq!(nodes[1].echo.seen.load(Ordering::SeqCst), 0);
    nodes[0].ask(NodeId(2), b"x").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_half_open_connection_is_given_up() {
    let nodes = nodes(&authority(), 2).await;
    nodes[0].ask(NodeId(2), b"x").await.unwrap();
    until("all links", || nodes[1].links.connections() == 6).await;
    let mut stream = by_hand(&nodes, &greeting()).await;
    hello::receive(&mut stream).await.unwrap();
    until("one more", || nodes[1].links.connections() == 7).await;
    // it never says another word, and never closes
    until("it to be given up", || nodes[1].links.connections() == 6).await;
    assert_eq!(next(&mut stream).await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_questions_than_allowed_are_answered_busy_and_not_handed_over() {
    let nodes = nodes(&authority(), 2).await;
    let bulk = Hello { class: hello::number_of(Class::Bulk), ..greeting() };
    let mut stream = by_hand(&nodes, &bulk).await;
    hello::receive(&mut stream).await.unwrap();
    let most = most_open(Class::Bulk);
    for id in 0..=most as u64 {
        let header = Header { part: 5, total: 5, id, kind: Kind::Question, service: 18 };
        stream.write_all(&[&header.encode()[..], b"never"].concat()).await.unwrap();
    }
    assert_eq!(next(&mut stream).await, Some((Kind::Busy, most as u64)));
    assert_eq!(nodes[1].echo.seen.load(Ordering::SeqCst), most);
}

/// Answers every message at once.
struct Parrot(Arc<AtomicUsize>);

impl Role for Parrot {
    fn next(&mut self, _: &Waker) -> Option<Outgoing> {
        None
    }

    fn received(&mut self, message: Message) -> Result<Option<Message>, End> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(Some(message))
    }

    fn tick(&mut self, _: bool) -> Option<Message> {
        None
    }

    fn is_done(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn a_peer_that_asks_and_never_reads_is_not_read_from_either() {
    let (mut near, far) = tokio::io::duplex(4096);
    let seen = Arc::new(AtomicUsize::new(0));
    let pace = Pace { tick: Duration::from_millis(20), silent: 5 };
    let role = Parrot(Arc::clone(&seen));
    let connection = Connection::new(&Environment::real(), far, role, Arc::default(), pace);
    let connection = tokio::spawn(connection);
    let pings = 100_000;
    let bytes: Vec<u8> = (0..pings)
        .flat_map(|id| Header { part: 0, total: 0, id, kind: Kind::Ping, service: 0 }.encode())
        .collect();
    let all = tokio::time::timeout(Duration::from_secs(1), near.write_all(&bytes)).await;
    let read = seen.load(Ordering::SeqCst);
    assert!(all.is_err() && read > 0 && read < pings as usize / 2, "{read}");
    // it is not silent, it is not heard; when it reads, everything goes on
    assert!(!connection.is_finished());
    let mut answers = vec![0; 1 << 20];
    while near.read(&mut answers).await.unwrap() > 0 && seen.load(Ordering::SeqCst) == read {}
    assert!(seen.load(Ordering::SeqCst) > read);
    drop(near);
    assert!(matches!(connection.await.unwrap(), End::Closed(_) | End::Protocol(_)));
}

/// All messages of `bytes`, fed in pieces of `piece`.
fn messages(bytes: &[u8], piece: usize) -> Result<Vec<Message>, FrameError> {
    let mut assembly = Assembly::new(16);
    let mut messages = Vec::new();
    for mut data in bytes.chunks(piece) {
        while !data.is_empty() {
            messages.extend(assembly.feed(&mut data)?);
        }
    }
    assert!(assembly.is_idle());
    Ok(messages)
}

#[test]
fn messages_come_out_as_they_went_in_and_small_ones_do_not_wait_for_large_ones() {
    let message = |id: u64, size: usize| Message {
        kind: Kind::Question,
        service: 16,
        id,
        payload: vec![id as u8; size].into(),
    };
    let sent = [message(1, 300_000), message(2, 100_000), message(3, 10), message(4, 0)];
    let mut output = Output::default();
    for message in &sent {
        output.push(message.clone());
    }
    let mut bytes = Vec::new();
    while !output.is_empty() {
        output.fill();
        let mut slices = [std::io::IoSlice::new(&[]); SLICES];
        let count = output.slices(&mut slices);
        // as a socket that takes little at a time
        let taken: Vec<u8> = slices[..count].iter().flat_map(|s| s.to_vec()).take(50_001).collect();
        output.written(taken.len());
        bytes.extend(taken);
    }
    for piece in [1, 20, 4096, bytes.len()] {
        let received = messages(&bytes, piece).unwrap();
        let order: Vec<u64> = received.iter().map(|message| message.id).collect();
        assert_eq!(order, [3, 4, 2, 1], "{piece}");
        for message in &sent {
            assert!(received.contains(message));
        }
    }
}

#[test]
fn parts_that_do_not_fit_together_and_too_many_at_a_time_are_refused() {
    let part = |id: u64, part: u32, total: u32, service: u8| {
        let header = Header { part, total, id, kind: Kind::Question, service };
        [&header.encode()[..], &vec![0; part as usize]].concat()
    };
    let cases = [
        [part(1, 5, 10, 1), part(1, 6, 10, 1)].concat(),
        [part(1, 5, 10, 1), part(1, 5, 11, 1)].concat(),
        [part(1, 5, 10, 1), part(1, 5, 10, 2)].concat(),
        [part(1, 5, 10, 1), part(1, 10, 10, 1)].concat(),
    ];
    for bytes in cases {
        assert_eq!(messages(&bytes, 64), Err(FrameError::Parts));
    }
    let many: Vec<u8> = (0..17).flat_map(|id| part(id, 1, 2, 1)).collect();
    assert_eq!(messages(&many, 64), Err(FrameError::Open));
}
