//! Connections: limits, and a clean stop. In clear, as the listener that redirects uses it.

#![allow(clippy::unwrap_used)] // helpers of tests

mod support;

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use axum::{Router, body::Bytes, routing::post};
use posthouse_auth::Gate;
use posthouse_http::{ConnectionLimits, MAX_BODY, ServeOptions, pages, redirect_to_https, serve};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

const SOON: Duration = Duration::from_secs(10);

struct Server {
    port: u16,
    stop: CancellationToken,
    task: JoinHandle<std::io::Result<()>>,
}

async fn start(router: Router, per_address: u64) -> Server {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let stop = CancellationToken::new();
    let options = ServeOptions {
        tls: None,
        gate: Gate::new(),
        limits: Arc::new(move || ConnectionLimits { total: 100, per_address }),
    };
    let task = tokio::spawn(serve(listener, options, router, stop.clone()));
    Server { port, stop, task }
}

impl Server {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await.unwrap()
    }

    async fn ask(&self, request: &[u8]) -> String {
        let mut stream = self.connect().await;
        let _ = stream.write_all(request).await;
        let mut answer = Vec::new();
        let _ = timeout(SOON, stream.read_to_end(&mut answer)).await.unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }
}

fn echo() -> Router {
    pages(Router::new().route("/echo", post(|body: Bytes| async move { body.len().to_string() })))
}

#[tokio::test]
async fn the_redirect_never_goes_to_the_host_that_the_request_names() {
    let server = start(redirect_to_https("mail.example.test", 443), 10).await;
    let answer = server
        .ask(b"GET /users?x=1 HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n")
        .await;
    assert!(answer.starts_with("HTTP/1.1 308"), "{answer}");
    assert!(answer.contains("location: https://mail.example.test/users?x=1\r\n"), "{answer}");
}

#[tokio::test]
async fn heads_and_bodies_are_bounded() {
    let server = start(echo(), 10).await;
    let head = format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "a".repeat(64 * 1024));
    let answer = server.ask(head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    let fields = "X: y\r\n".repeat(200);
    let answer = server.ask(format!("GET / HTTP/1.1\r\nHost: x\r\n{fields}\r\n").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    let mut request = format!(
        "POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        MAX_BODY + 1
    )
    .into_bytes();
    request.resize(request.len() + MAX_BODY + 1, b'a');
    let answer = server.ask(&request).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    let request =
        b"POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 4\r\n\r\nabcd";
    assert!(server.ask(request).await.ends_with("4"));
}

#[tokio::test]
async fn one_address_gets_only_so_many_connections() {
    let server = start(echo(), 2).await;
    let _held = [server.connect().await, server.connect().await];
    // Connections are taken in order, so the third is refused once the two before are counted.
    let answer = server.ask(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(answer, "");
}

#[tokio::test]
async fn a_stop_closes_idle_connections_and_ends() {
    let server = start(echo(), 10).await;
    let mut idle = server.connect().await;
    idle.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut some = [0; 64];
    assert!(idle.read(&mut some).await.unwrap() > 0);
    server.stop.cancel();
    timeout(SOON, server.task).await.unwrap().unwrap().unwrap();
    let mut rest = Vec::new();
    timeout(SOON, idle.read_to_end(&mut rest)).await.unwrap().unwrap();
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, server.port)).await.is_err());
}
