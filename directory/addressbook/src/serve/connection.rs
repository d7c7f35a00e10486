//! One connection from accept to close.

use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use bytes::BytesMut;
use ldap3_proto::proto::{LdapMsg, LdapResultCode as Code, OID_WHOAMI};
use posthouse_auth::{Exchange, Identity, Origin, Reason, Service, Step};
use posthouse_directory::key;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    Context, Mode, Patience,
    stream::Stream,
    task::{self, Output},
};
use crate::{
    codec::{self, CodecError, MAX_MESSAGE, MAX_MESSAGE_UNBOUND, Operation, encode},
    dn::Dn,
    session::{Action, Answer, BindStep, Bound, CONTROLS, Job, START_TLS, Session, notice},
    tree::{Fixed, Node, SCHEMA_DN, Tree},
};

/// All operational attributes by `+` (RFC 3673), absolute true and false filters (RFC 4526).
const FEATURES: &[&str] = &["1.3.6.1.4.1.4203.1.5.1", "1.3.6.1.4.1.4203.1.5.3"];
/// How long a sign-on may take here, directory servers included.
const BIND: Duration = Duration::from_secs(60);
/// Pieces of search results that wait to be sent.
const WAITING: usize = 8;

/// Why a connection ended; for the debug log.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ended {
    #[error("the client left")]
    Left,
    #[error("unbind or too many failures")]
    Closed,
    #[error("the client was silent for too long")]
    Silent,
    #[error("the client does not read")]
    Stuck,
    #[error("the node stops")]
    Stopping,
    #[error("plain text after StartTLS")]
    Injection,
    #[error(transparent)]
    Codec(#[from] CodecError),
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

/// What follows when talking is over.
enum Next {
    StartTls,
    End(Ended),
}

impl From<Ended> for Next {
    fn from(ended: Ended) -> Self {
        Self::End(ended)
    }
}

pub(super) struct Connection {
    context: Arc<Context>,
    peer: SocketAddr,
    stop: CancellationToken,
    session: Session,
    exchange: Option<Exchange>,
    searches: HashMap<i32, CancellationToken>,
    output: mpsc::Sender<Output>,
    results: mpsc::Receiver<Output>,
    /// Entries that go out in front of the next message.
    unsent: BytesMut,
}

impl Connection {
    pub(super) fn new(context: Arc<Context>, peer: SocketAddr, stop: CancellationToken) -> Self {
        let (output, results) = mpsc::channel(WAITING);
        Self {
            context,
            peer,
            stop,
            session: Session::new(false),
            exchange: None,
            searches: HashMap::new(),
            output,
            results,
            unsent: BytesMut::new(),
        }
    }

    pub(super) async fn run(mut self, socket: TcpStream, mode: Mode) -> Ended {
        let _ = socket.set_nodelay(true);
        let mut stream = Stream::Plain(socket);
        if mode == Mode::Tls {
            stream = match self.handshake(stream).await {
                Ok(stream) => stream,
                Err(ended) => return ended,
            };
        }
        let mut buffer = BytesMut::with_capacity(4_096);
        loop {
            match self.talk(&mut stream, &mut buffer).await {
                // what came with the request before TLS is not from whom TLS proves
                Next::StartTls if !buffer.is_empty() => {
                    tracing::warn!(
                        target: "security", address = %self.peer.ip(),
                        "address book: plain text after StartTLS, connection closed"
                    );
                    return Ended::Injection;
                }
                Next::StartTls => match self.handshake(stream).await {
                    Ok(tls) => stream = tls,
                    Err(ended) => return ended,
                },
                Next::End(ended) => {
                    self.farewell(&mut stream, &ended).await;
                    return ended;
                }
            }
        }
    }

    async fn handshake(&mut self, stream: Stream) -> Result<Stream, Ended> {
        let handshake = stream.start_tls(self.context.tls.config());
        let stream = tokio::select! {
            () = self.stop.cancelled() => return Err(Ended::Stopping),
            done = timeout(self.context.patience.handshake, handshake) => done.map_err(|_| Ended::Silent)??,
        };
        self.session.on_tls();
        Ok(stream)
    }

    /// Tells the client why the connection ends, if it still listens.
    async fn farewell(&mut self, stream: &mut Stream, ended: &Ended) {
        let notice = match ended {
            Ended::Codec(error) => notice(Code::ProtocolError, &error.to_string()),
            Ended::Stopping => notice(Code::Unavailable, "the service stops"),
            Ended::Silent => notice(Code::Busy, "silent for too long"),
            Ended::Left | Ended::Stuck | Ended::Io(_) | Ended::Injection => return,
            Ended::Closed => {
                let _ = timeout(Duration::from_secs(1), stream.shutdown()).await;
                return;
            }
        };
        if let Ended::Codec(error) = ended {
            metrics::counter!("posthouse_ldap_malformed_total").increment(1);
            tracing::warn!(target: "security", address = %self.peer.ip(), "address book: {error}");
        }
        let mut bytes = BytesMut::new();
        encode(notice, &mut bytes);
        let _ = timeout(Duration::from_secs(1), async {
            stream.write_all(&bytes).await?;
            stream.shutdown().await
        })
        .await;
    }

    /// Until when the client must have said something.
    fn deadline(&self, since: Instant, partial: bool, opened: Instant) -> Instant {
        let idle = Duration::from_secs(self.context.directory.integer(key::SESSION_IDLE));
        let Patience { message, sign_on, .. } = self.context.patience;
        match (self.session.bound(), partial) {
            (None, true) => (opened + sign_on).min(since + message),
            (None, false) => opened + sign_on,
            (Some(_), true) => since + message,
            (Some(_), false) if self.session.is_busy() => since + Duration::from_secs(86_400),
            (Some(_), false) => since + idle,
        }
    }

    /// Talks until TLS is to begin or the connection ends.
    async fn talk(&mut self, stream: &mut Stream, buffer: &mut BytesMut) -> Next {
        let opened = Instant::now();
        let mut since = opened;
        loop {
            let deadline = self.deadline(since, !buffer.is_empty(), opened);
            let was_empty = buffer.is_empty();
            tokio::select! {
                () = self.stop.cancelled() => return Ended::Stopping.into(),
                Some(output) = self.results.recv() => {
                    since = Instant::now();
                    if let Err(next) = self.on_output(stream, output).await {
                        return next;
                    }
                }
                read = stream.read_buf(buffer) => match read {
                    Ok(0) => return Ended::Left.into(),
                    Ok(_) => {
                        match self.on_bytes(stream, buffer).await {
                            Ok(0) => {}
                            Ok(_) => since = Instant::now(),
                            Err(next) => return next,
                        }
                        // time runs from the first byte of a message: one byte now and then does not help
                        if was_empty {
                            since = Instant::now();
                        }
                    }
                    Err(error) => return Ended::from(error).into(),
                },
                () = tokio::time::sleep_until(deadline) => return Ended::Silent.into(),
            }
        }
    }

    /// Handles what is complete in the buffer; how many requests that were.
    async fn on_bytes(
        &mut self,
        stream: &mut Stream,
        buffer: &mut BytesMut,
    ) -> Result<usize, Next> {
        let mut handled = 0;
        loop {
            let bound = self.session.bound();
            let limit = if bound.is_some() { MAX_MESSAGE } else { MAX_MESSAGE_UNBOUND };
            let Some(request) = codec::decode(buffer, limit).map_err(Ended::from)? else {
                return Ok(handled);
            };
            handled += 1;
            let valid = bound.is_none_or(|b| self.context.authenticator.still_valid(b.account));
            let actions = self.session.on_request(request, valid);
            self.perform(stream, actions).await?;
        }
    }

    async fn on_output(&mut self, stream: &mut Stream, output: Output) -> Result<(), Next> {
        match output {
            Output::Bytes(bytes) => self.write(stream, &bytes).await,
            Output::End(bytes, ended) => {
                self.searches.remove(&ended.id);
                let nonce = self.context.directory.environment().random.u128();
                let actions = self.session.on_search(ended, nonce);
                // one write for the last entries and the end
                self.unsent = bytes;
                self.perform(stream, actions).await?;
                self.unsent.clear();
                Ok(())
            }
        }
    }

    async fn write(&mut self, stream: &mut Stream, bytes: &[u8]) -> Result<(), Next> {
        let write = async {
            stream.write_all(bytes).await?;
            stream.flush().await
        };
        match timeout(self.context.patience.write, write).await {
            Ok(written) => Ok(written.map_err(Ended::from)?),
            Err(_) => Err(Ended::Stuck.into()),
        }
    }

    /// Does what the session says, and what comes of that.
    async fn perform(&mut self, stream: &mut Stream, actions: Vec<Action>) -> Result<(), Next> {
        let mut open = VecDeque::from(actions);
        while let Some(action) = open.pop_front() {
            match action {
                Action::Send(message) => self.send(stream, *message).await?,
                Action::StartTls => return Err(Next::StartTls),
                Action::Close => return Err(Ended::Closed.into()),
                Action::Password { id, name, password } => {
                    let step = self.password(&name, &password).await;
                    open.extend(self.session.on_bind(id, step));
                }
                Action::Sasl { id, mechanism, token } => {
                    let step = self.sasl(mechanism, &token).await;
                    open.extend(self.session.on_bind(id, step));
                }
                Action::Search(job) => self.start(*job),
                Action::Compare { id, request } => {
                    let tree = Tree::new(&self.context.directory);
                    let (code, text) = task::compare(&tree, &request);
                    open.extend(Answer::to(id, Operation::Compare).refuse(code, text));
                }
                Action::Stop(id) => {
                    if let Some(cancel) = self.searches.remove(&id) {
                        cancel.cancel();
                    }
                }
            }
        }
        Ok(())
    }

    async fn send(&mut self, stream: &mut Stream, message: LdapMsg) -> Result<(), Next> {
        let mut bytes = std::mem::take(&mut self.unsent);
        encode(message, &mut bytes);
        self.write(stream, &bytes).await
    }

    fn origin(&self) -> Origin {
        let tls = self.session.is_tls();
        Origin {
            service: Service::Ldap,
            address: self.peer.ip(),
            tls,
            channel_binding: tls.then(|| self.context.tls.end_point()),
        }
    }

    async fn password(&mut self, name: &str, password: &str) -> BindStep {
        self.exchange = None;
        let name = login_name(name, &Tree::new(&self.context.directory));
        let origin = self.origin();
        let verified = self.context.authenticator.password(&name, password, &origin);
        match timeout(BIND, verified).await {
            Ok(Ok(identity)) => self.signed_on(identity, None),
            Ok(Err(reason)) => BindStep::Failed(reason),
            Err(_) => BindStep::Failed(Reason::DirectoryDown("no answer in time".into())),
        }
    }

    async fn sasl(&mut self, mechanism: Option<String>, token: &[u8]) -> BindStep {
        if let Some(mechanism) = mechanism {
            match self.context.authenticator.start(&mechanism, self.origin()) {
                Ok(mut exchange) if token.is_empty() => {
                    let first = exchange.first_challenge();
                    self.exchange = Some(exchange);
                    return BindStep::Challenge(first);
                }
                Ok(exchange) => self.exchange = Some(exchange),
                Err(reason) => return BindStep::Failed(reason),
            }
        }
        let Some(mut exchange) = self.exchange.take() else {
            return BindStep::Failed(Reason::Malformed("no exchange is under way".into()));
        };
        match timeout(BIND, exchange.step(token)).await {
            Ok(Step::Challenge(data)) => {
                self.exchange = Some(exchange);
                BindStep::Challenge(data)
            }
            Ok(Step::Done { identity, last }) => self.signed_on(identity, last),
            Ok(Step::Failed(reason)) => BindStep::Failed(reason),
            Err(_) => BindStep::Failed(Reason::DirectoryDown("no answer in time".into())),
        }
    }

    fn signed_on(&self, identity: Identity, last: Option<Vec<u8>>) -> BindStep {
        let address = self.context.directory.address_of(&identity.account);
        let identity_text =
            format!("u:{}", address.unwrap_or_else(|| identity.account.name.clone()));
        BindStep::Done(Bound { account: identity.account.id, identity: identity_text }, last)
    }

    fn start(&mut self, job: Job) {
        let cancel = self.stop.child_token();
        self.searches.insert(job.id, cancel.clone());
        let root = self.root();
        tokio::spawn(task::run(job, root, self.context.clone(), cancel, self.output.clone()));
    }

    /// The root of the tree (RFC 4512 §5.1), as it is for this connection.
    fn root(&self) -> Fixed {
        let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let tls = self.session.is_tls();
        let extensions: &[&str] = if tls { &[OID_WHOAMI] } else { &[START_TLS, OID_WHOAMI] };
        let base = Tree::new(&self.context.directory).base;
        Fixed {
            dn: String::new(),
            attributes: vec![
                ("objectClass", texts(&["top"])),
                ("namingContexts", vec![base]),
                ("subschemaSubentry", texts(&[SCHEMA_DN])),
                ("supportedLDAPVersion", texts(&["3"])),
                ("supportedControl", texts(CONTROLS)),
                ("supportedExtension", texts(extensions)),
                ("supportedFeatures", texts(FEATURES)),
                (
                    "supportedSASLMechanisms",
                    texts(&self.context.authenticator.offered(&self.origin())),
                ),
            ],
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // searches that nobody waits for any more
        self.stop.cancel();
    }
}

/// The name to sign on with: of a name in the tree, its `uid`; any other text as it is.
fn login_name(name: &str, tree: &Tree) -> String {
    match Dn::parse(name) {
        Some(dn) if name.contains('=') => match tree.node(&dn) {
            Some(Node::Leaf(entry)) => tree.sign_on_name(&entry),
            // no such entry: refused by whoever verifies, in the same time as any unknown name
            _ => name.to_owned(),
        },
        _ => name.to_owned(),
    }
}
