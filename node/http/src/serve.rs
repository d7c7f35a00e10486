//! Connections: TLS, limits, and a clean stop.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, body::Body, extract::Request};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
    service::TowerToHyperService,
};
use posthouse_auth::{Gate, Pass, ServerTls};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;

use crate::{Peer, stall_limit::StallLimit};

/// Longest TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Longest time to send the head of a request, silence before it included.
const HEAD: Duration = Duration::from_secs(60);
/// Largest head of a request in bytes.
const MAX_HEAD: usize = 32 * 1024;
/// Most header fields of a request.
const MAX_FIELDS: usize = 100;
/// Most requests at a time on one HTTP/2 connection.
const MAX_STREAMS: u32 = 64;
/// How often a silent HTTP/2 connection is asked whether it is still there.
const PING: Duration = Duration::from_secs(30);
/// How long running requests may take after the stop.
const DRAIN: Duration = Duration::from_secs(5);
/// Pause after the system refused a new connection (out of descriptors).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How many connections are taken.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    /// In all.
    pub total: u64,
    /// From one address.
    pub per_address: u64,
}

/// How connections are taken.
#[derive(Clone)]
pub struct ServeOptions {
    /// Certificate; `None` for a listener that only redirects.
    pub tls: Option<ServerTls>,
    /// Counts connections; listeners of the same service share it.
    pub gate: Gate,
    /// Asked for every connection, so that changed settings take effect at once.
    pub limits: Arc<dyn Fn() -> ConnectionLimits + Send + Sync>,
}

/// Answers on `listener` until `stop`; then no new connection is taken and running requests get a few seconds to end.
pub async fn serve(
    listener: TcpListener,
    options: ServeOptions,
    router: Router,
    stop: CancellationToken,
) -> io::Result<()> {
    let local = listener.local_addr()?;
    let tls = options
        .tls
        .as_ref()
        .map(|tls| (TlsAcceptor::from(tls.config_with_alpn(&[b"h2", b"http/1.1"])), tls.clone()));
    let tasks = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, remote)) => {
                let Some(pass) = admit(&options, remote) else { continue };
                let local = stream.local_addr().unwrap_or(local);
                let connection = Connection {
                    remote,
                    local,
                    tls: tls.clone(),
                    router: router.clone(),
                    stop: stop.clone(),
                    _pass: pass,
                };
                tasks.spawn(connection.run(stream));
            }
            Err(error) => {
                tracing::warn!(target: "warning", %error, "no new web connection can be taken");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    tasks.close();
    let _ = timeout(DRAIN, tasks.wait()).await;
    Ok(())
}

fn admit(options: &ServeOptions, remote: SocketAddr) -> Option<Pass> {
    let limits = (options.limits)();
    match options.gate.enter(remote.ip(), limits.total, limits.per_address) {
        Ok(pass) => Some(pass),
        Err(refused) => {
            metrics::counter!("posthouse_http_refused_connections_total").increment(1);
            tracing::warn!(target: "security", %remote, %refused, "web connection refused");
            None
        }
    }
}

struct Connection {
    remote: SocketAddr,
    local: SocketAddr,
    tls: Option<(TlsAcceptor, ServerTls)>,
    router: Router,
    stop: CancellationToken,
    _pass: Pass,
}

impl Connection {
    async fn run(self, stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        let Some((acceptor, tls)) = &self.tls else {
            let peer = Peer::new(self.remote, self.local, false, None);
            return self.answer(stream, peer).await;
        };
        // Before the handshake: if the certificate is replaced in between, the binding fails and is not wrong.
        let binding = tls.end_point();
        match timeout(HANDSHAKE, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => {
                let peer = Peer::new(self.remote, self.local, true, Some(binding));
                self.answer(stream, peer).await;
            }
            Ok(Err(error)) => {
                tracing::debug!(target: "debug", remote = %self.remote, %error, "TLS handshake failed");
            }
            Err(_) => {
                tracing::debug!(target: "debug", remote = %self.remote, "TLS handshake took too long")
            }
        }
    }

    async fn answer<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
        &self,
        stream: S,
        peer: Peer,
    ) {
        let service = self.router.clone().map_request(move |request: Request<Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(peer.clone());
            request
        });
        let builder = builder();
        let connection = builder.serve_connection(
            TokioIo::new(StallLimit::new(stream)),
            TowerToHyperService::new(service),
        );
        tokio::pin!(connection);
        let result = tokio::select! {
            result = connection.as_mut() => result,
            () = self.stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                match timeout(DRAIN, connection).await { Ok(result) => result, Err(_) => return }
            }
        };
        if let Err(error) = result {
            tracing::debug!(target: "debug", remote = %self.remote, %error, "web connection ended");
        }
    }
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_FIELDS);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEAD as u32)
        .max_pending_accept_reset_streams(MAX_STREAMS as usize)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING);
    builder
}
