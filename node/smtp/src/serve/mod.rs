//! The thin shell: sockets, timers and questions to directory, sign-on and store. Decides nothing about SMTP.

mod accept;
mod budget;
mod connection;
mod harvest;
mod recipient;
mod sign_on;
pub(crate) mod stream;

use std::{sync::Arc, time::Duration};

use posthouse_auth::{Authenticator, Gate, Pass, Refused, ServerTls};
use posthouse_cluster::Environment;
use posthouse_directory::{Directory, key};
use posthouse_store::Stores;
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub(crate) use recipient::{create_mailboxes, is_local, parse_remote};

use crate::{codec::Reply, session::Mode};
pub(crate) use accept::MAX_TARGETS;
use budget::Budget;
pub(crate) use budget::MAX_HELD;
use harvest::Harvest;
pub(crate) use harvest::MAX_UNKNOWN;

/// How long a client is waited for (RFC 5321 §4.5.3.2).
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// A whole command line; bytes that trickle in do not extend it.
    pub command: Duration,
    /// Silence within message data.
    pub data_idle: Duration,
    /// A whole message.
    pub data_total: Duration,
    /// Silence after a bare CR or LF in message data: the client may take it for the end.
    pub broken_data: Duration,
    /// TLS handshake.
    pub handshake: Duration,
    /// Until the client takes an answer.
    pub write: Duration,
}

impl Timeouts {
    /// What the RFC asks for, or less where that only helps idlers.
    pub const DEFAULT: Self = Self {
        command: Duration::from_secs(300),
        data_idle: Duration::from_secs(180),
        data_total: Duration::from_secs(1800),
        broken_data: Duration::from_secs(10),
        handshake: Duration::from_secs(30),
        write: Duration::from_secs(60),
    };
}

impl Default for Timeouts {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What the listeners of this node share.
pub struct Context {
    pub(crate) stores: Stores,
    pub(crate) directory: Directory,
    auth: Authenticator,
    tls: ServerTls,
    host: String,
    env: Environment,
    timeouts: Timeouts,
    harvest: Harvest,
    budget: Arc<Budget>,
}

impl Context {
    /// `host` is this node's name in greetings and trace fields.
    pub fn new(
        stores: Stores,
        directory: Directory,
        auth: Authenticator,
        tls: ServerTls,
        host: String,
        env: Environment,
    ) -> Self {
        let (timeouts, harvest) = (Timeouts::default(), Harvest::default());
        let budget = Arc::new(Budget::default());
        Self { stores, directory, auth, tls, host, env, timeouts, harvest, budget }
    }

    /// With other timeouts.
    pub fn with_timeouts(self, timeouts: Timeouts) -> Self {
        Self { timeouts, ..self }
    }
}

/// How long the end of a running message is waited for when the service stops.
const STOP_GRACE: Duration = Duration::from_secs(10);
/// Pause after `accept` failed, for instance because file descriptors ran out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves connections until `stop`; returns when the last one has ended.
pub async fn serve(
    listener: TcpListener,
    mode: Mode,
    context: Arc<Context>,
    stop: CancellationToken,
) {
    let gate = Gate::new();
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(target: "warning", ?error, ?mode, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let address = peer.ip().to_canonical();
        let limit = |name| context.directory.integer(name);
        let (total, each) = (limit(key::SESSIONS_TOTAL), limit(key::SESSIONS_PER_ADDRESS));
        match gate.enter(address, total, each) {
            Ok(pass) => {
                let (context, stop) = (context.clone(), stop.clone());
                connections.spawn(run(stream, mode, context, stop, pass));
            }
            Err(refused) => {
                connections.spawn(turn_away(stream, mode, refused));
            }
        }
    }
    connections.close();
    if tokio::time::timeout(STOP_GRACE, connections.wait()).await.is_err() {
        tracing::warn!(target: "warning", ?mode, "connections were cut off at the stop");
    }
}

async fn run(
    stream: TcpStream,
    mode: Mode,
    context: Arc<Context>,
    stop: CancellationToken,
    pass: Pass,
) {
    metrics::counter!("posthouse_smtp_connections_total").increment(1);
    connection::run(stream, mode, context, stop).await;
    drop(pass);
}

/// Says why, where that can be said in clear, and closes. Bounded by the socket's own buffer: nothing is waited for.
async fn turn_away(mut stream: TcpStream, mode: Mode, refused: Refused) {
    metrics::counter!("posthouse_smtp_refused_connections_total").increment(1);
    tracing::debug!(target: "security", %refused, "connection refused");
    if mode != Mode::SubmissionTls {
        let mut line = Vec::new();
        Reply::TooManyConnections.write(&mut line);
        let _ = tokio::time::timeout(ACCEPT_PAUSE, stream.write_all(&line)).await;
    }
}
