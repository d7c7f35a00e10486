//! Connections to one peer in one class: one is kept, renewed and made again when it breaks.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use rustls::{
    AlertDescription,
    pki_types::{CertificateDer, ServerName},
};
use tokio::{
    net::TcpStream,
    sync::{Notify, oneshot, watch},
};
use tokio_rustls::{TlsConnector, TlsStream};

use super::{
    Inner,
    channel::Channel,
    connection::{Connection, Control, End, Pace},
    frame::{Hello, Kind, VERSION},
    hello::{self, HelloError},
    peer::PeerLinks,
    registry::Live,
    roles::Asker,
    tls::{self, Judge},
};
use crate::network::{Class, Hint};

/// Pause before the second attempt to connect; doubled up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(25);
/// Before the next address is tried beside those that have not answered yet.
const STAGGER: Duration = Duration::from_millis(250);
/// How long a connection that was replaced may wait for its last answers.
const DRAIN: Duration = Duration::from_secs(60);
/// Pause after being told that this node was removed.
const REMOVED_PAUSE: Duration = Duration::from_secs(30);
/// Connections that only carry large or rare things are measured less often.
const SLOWER: u32 = 5;

/// A connection that can be used.
struct Made {
    stream: TlsStream<TcpStream>,
    certificate: CertificateDer<'static>,
}

/// Why there is none.
#[derive(Debug)]
struct Failed {
    text: String,
    /// Nothing listens there: its host is up and its process is not.
    refused: bool,
    /// It says that this node was removed.
    removed: bool,
}

impl Failed {
    fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), refused: false, removed: false }
    }

    fn io(error: &io::Error) -> Self {
        Self {
            text: tls::explain(error),
            refused: error.kind() == io::ErrorKind::ConnectionRefused,
            removed: tls::alert(error) == Some(AlertDescription::CertificateRevoked),
        }
    }
}

/// See the module.
pub(super) struct Dialer {
    pub(super) inner: Arc<Inner>,
    pub(super) peer: Arc<PeerLinks>,
    pub(super) class: Class,
    /// Becomes true when the peer is no longer one.
    pub(super) end: watch::Receiver<bool>,
}

impl Dialer {
    fn channel(&self) -> &Arc<Channel> {
        self.peer.channel(self.class)
    }

    /// Runs until the peer is no longer one.
    pub(super) async fn run(self) {
        let mut end = self.end.clone();
        tokio::select! {
            biased;
            _ = end.wait_for(|end| *end) => {}
            () = self.keep() => {}
        }
        self.channel().down("it is not a node of the cluster any more, or this node stops");
    }

    async fn keep(&self) {
        let mut pause = FIRST_PAUSE;
        let mut was_up = false;
        loop {
            match self.dial().await {
                Ok(made) => {
                    (pause, was_up) = (FIRST_PAUSE, true);
                    let end = self.keep_one(made).await;
                    self.ended(&end);
                }
                Err(failed) => {
                    self.failed(&failed, std::mem::take(&mut was_up));
                    let wait = if failed.removed { REMOVED_PAUSE } else { self.jittered(pause) };
                    pause = (pause * 2).min(self.inner.timing.longest_pause);
                    tokio::select! {
                        () = self.inner.env.clock.sleep(wait) => {}
                        () = self.peer.redial[self.class as usize].notified() => {
                            pause = FIRST_PAUSE;
                        }
                    }
                }
            }
        }
    }

    /// Between half of and the whole pause.
    fn jittered(&self, pause: Duration) -> Duration {
        let part = self.inner.env.random.u64() % 512;
        pause.mul_f64(0.5 + part as f64 / 1024.0)
    }

    fn ended(&self, end: &End) {
        tracing::debug!(target: "debug", peer = %self.peer.node, class = ?self.class, why = %end, "link ended");
        if matches!(end, End::Silent(_)) {
            let text = end.to_string();
            self.channel().down(&text);
            if self.class == Class::Request {
                self.down(&text, Some(Hint::Silent));
                self.inner.registry.cut(self.peer.node, Some(self.class), &text);
            }
        }
    }

    fn failed(&self, failed: &Failed, was_up: bool) {
        self.channel().down(&failed.text);
        if failed.removed {
            self.inner.note_removed(self.peer.node);
        }
        let died = failed.refused && was_up;
        if self.class == Class::Request {
            self.down(&failed.text, died.then_some(Hint::Died));
        } else if died {
            self.inner.hint(self.peer.node, Hint::Died);
        }
    }

    fn down(&self, why: &str, hint: Option<Hint>) {
        let new = self.peer.measure.lock().down(self.inner.env.clock.monotonic(), why);
        if new {
            tracing::warn!(target: "operation", peer = %self.peer.node, ?why, "node cannot be reached");
        }
        if let Some(hint) = hint.filter(|hint| new || *hint == Hint::Died) {
            self.inner.hint(self.peer.node, hint);
        }
    }

    fn up(&self) {
        if self.class == Class::Request
            && self.peer.measure.lock().up(self.inner.env.clock.monotonic())
        {
            tracing::info!(target: "operation", peer = %self.peer.node, "node can be reached");
            self.inner.hint(self.peer.node, Hint::Up);
        }
    }

    /// Uses a connection, and those that replace it, until one breaks.
    async fn keep_one(&self, mut made: Made) -> End {
        let mut old: Option<Arc<Control>> = None;
        loop {
            let renew = Arc::new(Notify::new());
            let (control, mut done) = self.begin(made, &renew);
            self.up();
            if let Some(old) = old.replace(control) {
                self.drain(old);
            }
            made = loop {
                tokio::select! {
                    biased;
                    end = &mut done => return end.unwrap_or(End::Drained),
                    () = renew.notified() => {}
                }
                match self.dial().await {
                    Ok(new) => break new,
                    Err(failed) => {
                        tracing::warn!(target: "operation", peer = %self.peer.node, why = ?failed.text, "connection cannot be renewed");
                        self.inner.env.clock.sleep(self.inner.timing.longest_pause).await;
                        renew.notify_one();
                    }
                }
            };
        }
    }

    /// Lets a connection go once its answers are there. Its replacement must take the questions already.
    fn drain(&self, control: Arc<Control>) {
        control.drain();
        let env = self.inner.env.clone();
        let late = async move {
            env.clock.sleep(DRAIN).await;
            control.cut("replaced, and its last answers did not come");
        };
        self.inner.env.spawner.spawn("drain", Box::pin(late));
    }

    fn begin(&self, made: Made, renew: &Arc<Notify>) -> (Arc<Control>, oneshot::Receiver<End>) {
        let inner = &self.inner;
        let number = inner.registry.number();
        let control = Arc::new(Control::default());
        let live = Live {
            node: self.peer.node,
            class: self.class,
            certificate: made.certificate,
            control: Arc::clone(&control),
            renew: Some(Arc::clone(renew)),
            doubted: None,
        };
        inner.registry.add(number, live);
        let request = self.class == Class::Request;
        let tick = inner.timing.ping * if request { 1 } else { SLOWER };
        let silent = inner.timing.silence.as_nanos().div_ceil(tick.as_nanos().max(1)).max(1) as u32;
        let role = Asker {
            env: inner.env.clone(),
            number,
            channel: Arc::clone(self.channel()),
            measure: request.then(|| Arc::clone(&self.peer.measure)),
            pings: VecDeque::new(),
            next_ping: 0,
        };
        let pace = Pace { tick, silent };
        let connection = Connection::new(&inner.env, made.stream, role, Arc::clone(&control), pace);
        self.channel().up(number);
        let (sender, done) = oneshot::channel();
        let (channel, inner, mut end) =
            (Arc::clone(self.channel()), Arc::clone(inner), self.end.clone());
        let task = async move {
            let why = tokio::select! {
                biased;
                _ = end.wait_for(|end| *end) => End::Cut("this link was ended".into()),
                why = connection => why,
            };
            inner.registry.remove(number);
            channel.broken(number, &why.to_string());
            let _ = sender.send(why);
        };
        self.inner.env.spawner.spawn("link", Box::pin(task));
        (control, done)
    }

    /// Tries all addresses, each a little later than the one before.
    async fn dial(&self) -> Result<Made, Failed> {
        let addresses = self.peer.addresses();
        let mut attempts: FuturesUnordered<_> = addresses
            .iter()
            .enumerate()
            .map(|(at, address)| async move {
                self.inner.env.clock.sleep(STAGGER * at as u32).await;
                (address, self.attempt(address).await)
            })
            .collect();
        let mut failures = Vec::new();
        while let Some((address, result)) = attempts.next().await {
            match result {
                Ok(made) => return Ok(made),
                Err(failed) => failures.push((address, failed)),
            }
        }
        let text = failures.iter().map(|(address, failed)| format!("{address}: {}", failed.text));
        let text = text.collect::<Vec<_>>().join("; ");
        Err(Failed {
            text: if text.is_empty() { "it has no address".into() } else { text },
            refused: !failures.is_empty() && failures.iter().all(|(_, failed)| failed.refused),
            removed: failures.iter().any(|(_, failed)| failed.removed),
        })
    }

    async fn attempt(&self, address: &str) -> Result<Made, Failed> {
        let limit = self.inner.timing.handshake;
        tokio::select! {
            made = self.connect(address) => made,
            () = self.inner.env.clock.sleep(limit) => {
                Err(Failed::new(format!("no answer within {limit:?}")))
            }
        }
    }

    async fn connect(&self, address: &str) -> Result<Made, Failed> {
        let inner = &self.inner;
        let tcp = TcpStream::connect(address).await.map_err(|error| Failed::io(&error))?;
        super::socket::prepare(&tcp, &inner.timing);
        let judge = Judge::new(&inner.trust, Some(self.peer.node));
        let config = tls::to_node(&inner.trust, Arc::clone(&judge))
            .map_err(|error| Failed::new(error.to_string()))?;
        // not sent; nodes are known by number and key
        let name = ServerName::try_from("node.invalid").map_err(|e| Failed::new(e.to_string()))?;
        let stream = TlsConnector::from(Arc::new(config)).connect(name, tcp).await;
        let stream = stream.map_err(|error| match judge.outcome() {
            Some(Err(verdict)) => Failed::new(verdict.to_string()),
            _ => Failed::io(&error),
        })?;
        let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let certificate = shown.ok_or_else(|| Failed::new("it showed no certificate"))?;
        let certificate = certificate.clone().into_owned();
        let mut stream = TlsStream::from(stream);
        let theirs = self.greet(&mut stream).await.map_err(|error| match error {
            HelloError::Io(error) => Failed::io(&error),
            other => Failed::new(other.to_string()),
        })?;
        self.peer.level.store(theirs.level, Ordering::Relaxed);
        Ok(Made { stream, certificate })
    }

    async fn greet(&self, stream: &mut TlsStream<TcpStream>) -> Result<Hello, HelloError> {
        let ours = Hello {
            version: VERSION,
            level: self.inner.level,
            from: self.inner.trust.id.0,
            to: self.peer.node.0,
            class: hello::number_of(self.class),
        };
        // when it does not want us, the reason is there to read, whatever became of our bytes
        let sent = hello::send(stream, Kind::Hello, &ours.encode()).await;
        let received = hello::receive(stream).await;
        received.or_else(|error| sent.map_err(HelloError::from).and(Err(error)))
    }
}
