//! Connections from others: peers that ask, nodes that want to join, and strangers.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use rustls::{pki_types::CertificateDer, server::Acceptor};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{oneshot, watch},
};
use tokio_rustls::{LazyConfigAcceptor, StartHandshake, TlsStream};

use super::{
    Inner,
    connection::{Connection, Control, Pace},
    frame::{Hello, Kind, VERSION},
    gate::Pass,
    hello,
    registry::Live,
    roles::Answerer,
    tls::{self, Judge},
};
use crate::{NodeId, join::serve, network::Class};

/// Pause after an error of the listening socket.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long, and for how many bytes, a refused connection stays open so that its alert arrives.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 64 << 10;
/// A peer that is not heard for this many times the silence is gone.
const PATIENCE: u32 = 6;

/// A peer's connection, ready for its questions.
struct Accepted {
    node: NodeId,
    class: Class,
    certificate: CertificateDer<'static>,
    stream: TlsStream<TcpStream>,
}

/// Listens until `stop`; the port is free before `_listening` is dropped.
pub(super) async fn listen(
    inner: Arc<Inner>,
    _listening: oneshot::Sender<()>,
    listener: TcpListener,
    mut stop: watch::Receiver<bool>,
) {
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((tcp, from)) => {
                let pass = inner.gate.enter(from.ip());
                let task = greet(Arc::clone(&inner), tcp, from, pass, stop.clone());
                inner.env.spawner.spawn("greet", Box::pin(task));
            }
            Err(error) => {
                tracing::warn!(target: "operation", %error, "a connection cannot be accepted");
                inner.env.clock.sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// From the first byte until the other side is known; then its connection runs.
async fn greet(
    inner: Arc<Inner>,
    tcp: TcpStream,
    from: SocketAddr,
    mut pass: Pass,
    mut stop: watch::Receiver<bool>,
) {
    super::socket::prepare(&tcp, &inner.timing);
    let known = tokio::select! {
        biased;
        _ = stop.wait_for(|stop| *stop) => None,
        known = handshake(&inner, tcp, from) => known,
        _ = &mut pass.pushed_out => None,
        () = inner.env.clock.sleep(inner.timing.handshake) => None,
    };
    drop(pass);
    match known {
        Some(Known::Peer(accepted)) => run(inner, accepted, stop).await,
        Some(Known::Joiner(knocked)) => knocked.admit(&inner.env).await,
        None => metrics::counter!("posthouse_links_refused_total").increment(1),
    }
}

enum Known {
    Peer(Accepted),
    Joiner(serve::Knocked),
}

async fn handshake(inner: &Arc<Inner>, tcp: TcpStream, from: SocketAddr) -> Option<Known> {
    let acceptor = LazyConfigAcceptor::new(Acceptor::default(), tcp);
    let start = match acceptor.await {
        Ok(start) => start,
        Err(error) => {
            tracing::debug!(target: "debug", %from, %error, "no TLS on the port for nodes");
            return None;
        }
    };
    let joins = start.client_hello().alpn().is_some_and(|mut all| all.any(|one| one == tls::JOIN));
    let door = inner.door.read().clone();
    match door.filter(|_| joins) {
        Some(door) => {
            let config = tls::from_joiner(&inner.trust).ok()?;
            let stream = start.into_stream(Arc::new(config)).await.ok()?;
            serve::hear(stream, door, from).await.map(Known::Joiner)
        }
        None => peer(inner, start, from).await.map(Known::Peer),
    }
}

async fn peer(
    inner: &Arc<Inner>,
    start: StartHandshake<TcpStream>,
    from: SocketAddr,
) -> Option<Accepted> {
    let judge = Judge::new(&inner.trust, None);
    let config = tls::from_node(&inner.trust, Arc::clone(&judge)).ok()?;
    let stream = match start.into_stream(Arc::new(config)).into_fallible().await {
        Ok(stream) => stream,
        Err((error, tcp)) => {
            refused(inner, from, &judge, &error);
            linger(inner, tcp).await;
            return None;
        }
    };
    let Some(Ok(node)) = judge.outcome() else { return None };
    let connection = stream.get_ref().1;
    if connection.alpn_protocol() != Some(tls::NODE) {
        return None;
    }
    let certificate = connection.peer_certificates()?.first()?.clone().into_owned();
    let mut stream = TlsStream::from(stream);
    let theirs = hello::receive(&mut stream).await.ok()?;
    match hello::judge(&theirs, node.0, inner.trust.id.0) {
        Ok(class) => {
            let (level, id) = (inner.level, inner.trust.id.0);
            let ours = Hello { version: VERSION, level, from: id, to: node.0, class: theirs.class };
            hello::send(&mut stream, Kind::Hello, &ours.encode()).await.ok()?;
            inner.heard_from(node, theirs.level);
            Some(Accepted { node, class, certificate, stream })
        }
        Err(why) => {
            tracing::warn!(target: "operation", %node, ?why, "a node's connection was refused");
            let _ = hello::send(&mut stream, Kind::Close, why.as_bytes()).await;
            let _ = stream.shutdown().await;
            None
        }
    }
}

fn refused(inner: &Inner, from: SocketAddr, judge: &Judge, error: &io::Error) {
    match judge.outcome() {
        Some(Err(verdict)) if inner.may_log() => {
            tracing::warn!(target: "security", %from, why = %verdict, "refused on the port for nodes");
        }
        _ => tracing::debug!(target: "debug", %from, %error, "refused on the port for nodes"),
    }
}

/// Bytes that nobody reads would turn the end of the connection into a reset, and the alert could be lost.
async fn linger(inner: &Inner, mut tcp: TcpStream) {
    let drained = async {
        tcp.shutdown().await?;
        let mut buffer = [0; 4096];
        let mut left = LINGER_BYTES;
        while left > 0 {
            match tcp.read(&mut buffer).await? {
                0 => break,
                n => left = left.saturating_sub(n),
            }
        }
        io::Result::Ok(())
    };
    tokio::select! {
        _ = drained => {}
        () = inner.env.clock.sleep(LINGER) => {}
    }
}

async fn run(inner: Arc<Inner>, accepted: Accepted, mut stop: watch::Receiver<bool>) {
    let Accepted { node, class, certificate, stream } = accepted;
    let number = inner.registry.number();
    let control = Arc::new(Control::default());
    let shown = certificate.clone();
    let live = Live {
        node,
        class,
        certificate,
        control: Arc::clone(&control),
        renew: None,
        doubted: None,
    };
    inner.registry.add(number, live);
    // what changed while the handshake went on
    if let Err(verdict) = inner.trust.judge(&shown) {
        control.cut(&verdict.to_string());
    }
    let role = Answerer {
        env: inner.env.clone(),
        from: node,
        class,
        handlers: Arc::clone(&inner.handlers),
        answers: Arc::default(),
        ponged: false,
    };
    let pace = Pace { tick: inner.timing.silence / 3, silent: 3 * PATIENCE };
    let connection = Connection::new(&inner.env, stream, role, control, pace);
    let end = tokio::select! {
        biased;
        _ = stop.wait_for(|stop| *stop) => None,
        end = connection => Some(end),
    };
    inner.registry.remove(number);
    if let Some(end) = end {
        tracing::debug!(target: "debug", %node, ?class, why = %end, "connection of a node ended");
    }
}
