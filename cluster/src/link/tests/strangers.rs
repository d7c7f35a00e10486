//! Whoever reaches the port and is no node.

use std::{net::IpAddr, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::support::*;
use crate::{
    NodeId,
    link::{
        Timing,
        gate::{Gate, MAX_OF_ADDRESS, MAX_UNKNOWN},
    },
    network::Network,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_strangers_do_not_keep_a_peer_out() {
    let authority = authority();
    let first = Maker { timing: Timing::default(), ..Maker::new(&authority) }.make(1).await;
    let address = first.address();
    let flood = (0..200).map(|n: usize| async move {
        let mut tcp = TcpStream::connect(address).await.unwrap();
        // nothing, the beginning of a TLS record, or garbage
        let bytes = [&b""[..], b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/1.0\r\n\r\n"][n % 3];
        let _ = tcp.write_all(bytes).await;
        tcp
    });
    let strangers = futures_util::future::join_all(flood).await;
    let second = Maker::new(&authority).make(2).await;
    let nodes = [first, second];
    introduce(&nodes);
    nodes[1].ask(NodeId(1), b"x").await.unwrap();
    nodes[0].ask(NodeId(2), b"x").await.unwrap();
    drop(strangers);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_who_say_nothing_drip_bytes_or_send_garbage_are_gone_in_time() {
    let authority = authority();
    let timing = Timing { handshake: Duration::from_millis(300), ..timing() };
    let node = Maker { timing, ..Maker::new(&authority) }.make(1).await;
    let mut pieces: Vec<Vec<u8>> = vec![vec![], vec![22, 3, 1], b"GET / HTTP/1.0\r\n\r\n".to_vec()];
    pieces.push([&[22, 3, 1, 0x40, 0][..], &[1; 20_000]].concat());
    pieces.push(vec![0xff; 300_000]);
    for piece in pieces {
        let mut tcp = TcpStream::connect(node.address()).await.unwrap();
        let _ = tcp.write_all(&piece).await;
        let closed = async { while matches!(tcp.read(&mut [0; 64]).await, Ok(1..)) {} };
        tokio::time::timeout(Duration::from_secs(3), closed).await.unwrap();
    }
    until("the gate to be empty", || node.links.strangers() == 0).await;
}

#[test]
fn a_full_gate_lets_the_oldest_go_first_of_the_address_that_has_the_most() {
    let gate = Arc::new(Gate::default());
    let address = |n: u32| IpAddr::from([10, (n >> 16) as u8, (n >> 8) as u8, n as u8]);
    let mut peer = gate.enter(address(1));
    let mut flood: Vec<_> = (0..1000).map(|_| gate.enter(address(2))).collect();
    assert_eq!(gate.len(), MAX_OF_ADDRESS + 1);
    assert!(
        peer.pushed_out
            .try_recv()
            .is_err_and(|e| e == tokio::sync::oneshot::error::TryRecvError::Empty)
    );
    flood.extend((0..1000).map(|n| gate.enter(address(100 + n))));
    assert_eq!(gate.len(), MAX_UNKNOWN);
    // one network of IPv6 counts as one address
    let v6: Vec<_> = (0..1000u128)
        .map(|n| gate.enter(IpAddr::from((0x20010db8 << 96 | n).to_be_bytes())))
        .collect();
    assert_eq!(gate.len(), MAX_UNKNOWN);
    drop((peer, flood, v6));
    assert_eq!(gate.len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_without_a_certificate_is_refused_and_learns_no_name() {
    use tokio_rustls::rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
    let authority = authority();
    let node = Maker::new(&authority).make(1).await;
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate_der().to_vec().into()).unwrap();
    let provider = Arc::new(crate::link::tls::provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![crate::link::tls::NODE.to_vec()];
    let tcp = TcpStream::connect(node.address()).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, tcp).await;
    // its name is in no certificate, so the client gives up; otherwise the node does
    assert!(stream.is_err());
    assert!(node.links.peers().is_empty());
}
