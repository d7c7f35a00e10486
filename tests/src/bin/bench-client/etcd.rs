//! Writers of etcd: `etcdserverpb.KV/Put` by gRPC, that is HTTP/2 with a length before each message.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::{Request, client::conn::http2::SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{net::TcpStream, task::JoinSet};

/// Writers that share a connection.
const SHARE: usize = 32;
/// Keys that the writers write to in turn.
const KEYS: u64 = 10_000;
const VALUE: usize = 1024;

async fn connect(address: SocketAddr) -> Result<SendRequest<Full<Bytes>>> {
    ensure!(address.ip().is_loopback(), "benchmarks talk to loopback only");
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

/// A PutRequest (key = 1, value = 2) as a gRPC message.
fn put(key: u64) -> Bytes {
    let key = format!("key-{key:06}");
    let mut message = BytesMut::new();
    message.put_u8(0x0a);
    message.put_u8(key.len() as u8);
    message.put_slice(key.as_bytes());
    message.put_u8(0x12);
    // a length of two groups of seven bits
    message.put_u8((VALUE & 0x7f) as u8 | 0x80);
    message.put_u8((VALUE >> 7) as u8);
    message.put_bytes(0x5a, VALUE);
    let mut framed = BytesMut::new();
    framed.put_u8(0);
    framed.put_u32(message.len() as u32);
    framed.put_slice(&message);
    framed.freeze()
}

async fn put_once(
    sender: &mut SendRequest<Full<Bytes>>,
    address: SocketAddr,
    key: u64,
) -> Result<()> {
    sender.ready().await?;
    let request = Request::post(format!("http://{address}/etcdserverpb.KV/Put"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Full::new(put(key)))?;
    let answer = sender.send_request(request).await?;
    let whole = answer.into_body().collect().await?;
    let trailers = whole.trailers().context("no trailers")?;
    let status = trailers.get("grpc-status").context("no status")?;
    ensure!(status == "0", "etcd answered {status:?} {:?}", trailers.get("grpc-message"));
    Ok(())
}

/// Puts a second by so many writers, each with one at a time.
pub(crate) async fn puts(
    address: SocketAddr,
    writers: u64,
    seconds: u64,
) -> Result<serde_json::Value> {
    let mut senders = Vec::new();
    for _ in 0..(writers as usize).div_ceil(SHARE) {
        senders.push(connect(address).await?);
    }
    let begin = Instant::now();
    let end = begin + Duration::from_secs(seconds);
    let mut tasks = JoinSet::new();
    for writer in 0..writers {
        let mut sender = senders[writer as usize / SHARE].clone();
        tasks.spawn(async move {
            let mut done = 0_u64;
            while Instant::now() < end {
                put_once(&mut sender, address, (writer + done * writers) % KEYS).await?;
                done += 1;
            }
            anyhow::Ok(done)
        });
    }
    let mut done = 0;
    while let Some(ended) = tasks.join_next().await {
        done += ended??;
    }
    Ok(serde_json::json!({ "puts": done as f64 / begin.elapsed().as_secs_f64() }))
}
