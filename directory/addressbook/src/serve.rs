//! Sockets: moves bytes between clients and sessions, runs sign-ons and searches. Decides nothing but when to give up
//! on a silent peer.

mod connection;
mod stream;
mod task;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use posthouse_auth::{Authenticator, Gate, ServerTls};
use posthouse_directory::{Directory, key};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use connection::Connection;

/// How long connections may take to end when the service stops.
const STOP_PATIENCE: Duration = Duration::from_secs(5);
/// Pause after the system gave no connection, for want of file descriptors or the like.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How a listener begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// In the clear, with StartTLS (port 389).
    StartTls,
    /// TLS from the first byte (port 636).
    Tls,
}

/// How long peers may take. The defaults are for real life.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For the TLS handshake.
    pub handshake: Duration,
    /// For one message, from its first byte.
    pub message: Duration,
    /// From connecting to signing on.
    pub sign_on: Duration,
    /// For reading what was sent to them.
    pub write: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(15),
            message: Duration::from_secs(30),
            sign_on: Duration::from_secs(60),
            write: Duration::from_secs(60),
        }
    }
}

/// What the service works with; shared by its listeners.
pub struct Context {
    directory: Directory,
    authenticator: Authenticator,
    tls: ServerTls,
    gate: Gate,
    /// Searches that look at entries at the same time: each keeps a processor busy.
    searches: Arc<Semaphore>,
    patience: Patience,
}

impl Context {
    /// A service on this node. `gate` counts the connections of all listeners of the address book.
    pub fn new(
        directory: Directory,
        authenticator: Authenticator,
        tls: ServerTls,
        gate: Gate,
    ) -> Self {
        let processors = std::thread::available_parallelism().map_or(2, usize::from);
        let searches = Arc::new(Semaphore::new(processors * 2));
        let patience = Patience::default();
        Self { directory, authenticator, tls, gate, searches, patience }
    }

    /// The same with other times.
    pub fn with_patience(self, patience: Patience) -> Self {
        Self { patience, ..self }
    }
}

/// Serves connections of a listener until `stop`, then tells its clients and returns.
pub async fn serve(
    listener: TcpListener,
    mode: Mode,
    context: Arc<Context>,
    stop: CancellationToken,
) {
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((socket, peer)) => accept(socket, peer, mode, &context, &stop, &connections),
            Err(error) => {
                tracing::warn!(target: "warning", %error, "address book: no connection accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    connections.close();
    let _ = tokio::time::timeout(STOP_PATIENCE, connections.wait()).await;
}

fn accept(
    socket: TcpStream,
    peer: SocketAddr,
    mode: Mode,
    context: &Arc<Context>,
    stop: &CancellationToken,
    connections: &TaskTracker,
) {
    let total = context.directory.integer(key::SESSIONS_TOTAL);
    let per_address = context.directory.integer(key::SESSIONS_PER_ADDRESS);
    let pass = match context.gate.enter(peer.ip(), total, per_address) {
        Ok(pass) => pass,
        Err(refused) => {
            metrics::counter!("posthouse_ldap_refused_total").increment(1);
            tracing::warn!(target: "security", address = %peer.ip(), "address book: {refused}");
            return;
        }
    };
    metrics::counter!("posthouse_ldap_connections_total").increment(1);
    let context = context.clone();
    let stop = stop.child_token();
    connections.spawn(async move {
        let _pass = pass;
        let ended = Connection::new(context, peer, stop).run(socket, mode).await;
        tracing::debug!(target: "debug", address = %peer.ip(), "address book connection ended: {ended}");
    });
}
