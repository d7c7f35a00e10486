//! The IO shell: sockets, TLS, compression, timeouts. It does what the session decides.

mod connection;
mod hub;
mod idle;
mod port;
mod sign_on;
mod transport;

use std::{sync::Arc, time::Duration};

use posthouse_auth::{Authenticator, Gate, Refused, ServerTls};
use posthouse_cluster::Environment;
use posthouse_directory::{Directory, key};
use posthouse_store::Stores;
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::codec::limits;
use connection::Connection;
use hub::Hub;

/// Whether TLS comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Port 143: in clear until STARTTLS.
    StartTls,
    /// Port 993: TLS from the first byte (RFC 8314).
    Tls,
}

/// What the service stands on.
pub struct Services {
    /// Accounts and settings.
    pub directory: Directory,
    /// Sign-on.
    pub auth: Authenticator,
    /// Mailboxes.
    pub stores: Stores,
    /// Certificate.
    pub tls: ServerTls,
    /// Counts connections.
    pub gate: Gate,
    /// Clock and randomness.
    pub env: Environment,
    /// This node's host name, for the greeting.
    pub host: String,
    /// Where the source code of this server can be had, for ID (AGPL-3.0 §13).
    pub source: String,
}

/// What all connections share.
pub struct Context {
    pub(crate) services: Services,
    pub(crate) hub: Arc<Hub>,
    pub(crate) memory: Arc<Semaphore>,
    pub(crate) waits: limits::Waits,
}

/// Memory for large messages is counted in units of so many bytes.
pub(crate) const MEMORY_UNIT: usize = 1024;

/// How long connections may take to say good bye when the node stops.
const GOOD_BYE: Duration = Duration::from_secs(5);

impl Context {
    /// Starts watching the store and the directory for all sessions. Within a tokio runtime.
    pub fn new(services: Services) -> Arc<Self> {
        Self::with_waits(services, limits::Waits::STANDARD)
    }

    /// [`Context::new`] with other patience.
    pub fn with_waits(services: Services, waits: limits::Waits) -> Arc<Self> {
        let hub = Hub::start(services.stores.events(), services.directory.updates());
        let memory = Arc::new(Semaphore::new(limits::APPEND_MEMORY / MEMORY_UNIT));
        Arc::new(Self { services, hub, memory, waits })
    }
}

/// Serves connections until `stop`, then tells every client and waits a little for them.
pub async fn serve(
    listener: TcpListener,
    mode: Mode,
    context: Arc<Context>,
    stop: CancellationToken,
) {
    let tasks = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                tasks.spawn(connection(stream, mode, context.clone(), stop.clone()));
            }
            Err(error) => {
                // such as no file handles left: some may come back
                tracing::warn!(target: "warning", %error, "IMAP connection not accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    tasks.close();
    let _ = tokio::time::timeout(GOOD_BYE, tasks.wait()).await;
}

async fn connection(
    mut stream: TcpStream,
    mode: Mode,
    context: Arc<Context>,
    stop: CancellationToken,
) {
    let Ok(peer) = stream.peer_addr() else { return };
    let directory = &context.services.directory;
    let total = directory.integer(key::SESSIONS_TOTAL);
    let per_address = directory.integer(key::SESSIONS_PER_ADDRESS);
    let _pass = match context.services.gate.enter(peer.ip(), total, per_address) {
        Ok(pass) => pass,
        Err(refused) => {
            metrics::counter!("posthouse_imap_refused_total").increment(1);
            tracing::warn!(target: "security", address = %peer.ip(), %refused, "IMAP connection refused");
            if mode == Mode::StartTls {
                let _ = refuse(&mut stream, refused).await;
            }
            return;
        }
    };
    metrics::counter!("posthouse_imap_connections_total").increment(1);
    // answers are small and waited for
    let _ = stream.set_nodelay(true);
    if let Some(mut connection) = Connection::open(stream, peer.ip(), mode, context.clone()).await {
        let _ = connection.run(&stop).await;
        connection.close().await;
    }
}

async fn refuse(stream: &mut TcpStream, refused: Refused) -> std::io::Result<()> {
    let line = format!("* BYE [UNAVAILABLE] {refused}\r\n");
    let wait = Duration::from_secs(1);
    match tokio::time::timeout(wait, stream.write_all(line.as_bytes())).await {
        Ok(written) => written,
        Err(_) => Ok(()),
    }
}
