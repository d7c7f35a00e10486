//! Serves the pages and the API of a node of temporary folders at a port of this machine, for work on the pages and
//! for the browser tests, with a made-up cluster of three nodes: `cargo run -p posthouse-http --example serve -- 4040`. Administrator `admin`, password as printed.

#![allow(clippy::unwrap_used)] // a tool for developers

#[path = "../tests/support/mod.rs"]
mod support;

use std::{net::Ipv4Addr, sync::Arc};

use posthouse_auth::{Gate, ServerTls};
use posthouse_directory::Rights;
use posthouse_http::{ConnectionLimits, ServeOptions, serve};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() {
    let port = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(4040);
    let node = support::TestNode::start().await;
    node.user("admin", Rights::Full, node.domain).await;
    *node.cluster.answers.lock().unwrap() = support::three_nodes::answers();
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["localhost".to_owned()])
        .and_then(|params| params.self_signed(&key))
        .unwrap();
    let tls = ServerTls::new(certificate.pem().as_bytes(), key.serialize_pem().as_bytes()).unwrap();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.unwrap();
    println!(
        "https://localhost:{}/ admin {}",
        listener.local_addr().unwrap().port(),
        support::PASSWORD
    );
    let options = ServeOptions {
        tls: Some(tls),
        gate: Gate::new(),
        limits: Arc::new(|| ConnectionLimits { total: 1000, per_address: 1000 }),
    };
    let stop = CancellationToken::new();
    let signal = stop.clone();
    tokio::spawn(async move {
        let _ = tokio::signal::ctrl_c().await;
        signal.cancel();
    });
    serve(listener, options, node.router.clone(), stop).await.unwrap();
    node.node.shutdown().await.unwrap();
}
