//! A server in this process on a real store, directory and sign-on, and a client that speaks lines.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)] // each test file uses its part

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use posthouse_auth::{AuthOptions, Authenticator, Gate, ServerTls};
use posthouse_cluster::{Environment, GroupId, Node, NodeId, NodeOptions, Timestamp};
use posthouse_directory::{
    Account, AccountId, Actor, Change, Directory, DirectoryOptions, Domain, DomainId, Kind, Origin,
    SettingChange, State, User, fresh_id,
};
use posthouse_imap::{Context, Mode, Services, codec::limits::Waits, serve};
use posthouse_store::{
    Envelope, Flags, LocalRecipient, MailboxId, Message, NewItem, Request, Response, Store,
    StoreOptions, Stores,
};
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

pub const HOST: &str = "mail.example.test";
pub const PASSWORD: &str = "correct horse";
/// Longer than anything takes here.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub struct Server {
    pub directory: Directory,
    pub stores: Stores,
    pub auth: Authenticator,
    pub ada: MailboxId,
    pub bob: MailboxId,
    pub clear: SocketAddr,
    pub tls: SocketAddr,
    pub stop: CancellationToken,
    pub gate: Gate,
    connector: TlsConnector,
    _node: Node,
    _folder: tempfile::TempDir,
}

fn actor() -> Actor {
    Actor::System("test".into())
}

impl Server {
    pub async fn start() -> Self {
        Self::with_waits(Waits::STANDARD).await
    }

    pub async fn with_waits(waits: Waits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let env = Environment::real();
        let options = NodeOptions::alone(NodeId(1), folder.path().join("log"));
        let node = Node::open(env.clone(), options).await.unwrap();
        let options = DirectoryOptions { folder: folder.path().join("domain"), bootstrap: true };
        let directory = Directory::open(&node, options).await.unwrap();
        let options = StoreOptions {
            group: GroupId(1),
            folder: folder.path().join("store"),
            bootstrap: true,
            readers: 2,
        };
        let stores = Stores::single(Store::open(&node, options).await.unwrap());
        let options = AuthOptions { folder: folder.path().join("auth"), host: HOST.into() };
        let auth = Authenticator::open(directory.clone(), options).await.unwrap();

        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec![HOST.to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let tls = ServerTls::new(certificate.pem().as_bytes(), key.serialize_pem().as_bytes());
        let mut roots = RootCertStore::empty();
        roots.add(certificate.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();

        let domain = DomainId(fresh_id());
        let change = Change::PutDomain(Domain {
            id: domain,
            name: "example.test".into(),
            aliases: vec![],
            primary: true,
            description: String::new(),
        });
        directory.change(actor(), change).await.unwrap();
        let verifier = auth.hash_password(PASSWORD).await;
        let mut ids = Vec::new();
        for name in ["ada", "bob"] {
            let account = Account {
                id: AccountId(fresh_id()),
                domain,
                name: name.into(),
                display_name: name.into(),
                addresses: vec![],
                origin: Origin::Local,
                state: State::Enabled,
                published: true,
                description: String::new(),
                kind: Kind::User(User { password: Some(verifier.clone()), ..User::default() }),
                created: Timestamp(0),
                changed: Timestamp(0),
            };
            ids.push(MailboxId(account.id.0));
            directory.change(actor(), Change::PutAccount(Box::new(account))).await.unwrap();
        }

        let gate = Gate::new();
        let services = Services {
            directory: directory.clone(),
            auth: auth.clone(),
            stores: stores.clone(),
            tls: tls.unwrap(),
            gate: gate.clone(),
            env,
            host: HOST.into(),
            source: "https://mail.example.test/source".into(),
        };
        let context = Context::with_waits(services, waits);
        let stop = CancellationToken::new();
        let mut addresses = Vec::new();
        for mode in [Mode::StartTls, Mode::Tls] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            addresses.push(listener.local_addr().unwrap());
            tokio::spawn(serve(listener, mode, context.clone(), stop.clone()));
        }
        Self {
            directory,
            stores,
            auth,
            ada: ids[0],
            bob: ids[1],
            clear: addresses[0],
            tls: addresses[1],
            stop,
            gate,
            connector: TlsConnector::from(Arc::new(config)),
            _node: node,
            _folder: folder,
        }
    }

    pub async fn set(&self, name: &str, value: &str) {
        let change = SettingChange { name: name.into(), value: Some(value.into()) };
        self.directory.change(actor(), Change::Set(change)).await.unwrap();
    }

    pub async fn disable(&self, mailbox: MailboxId) {
        let state = State::Disabled("left the company".into());
        let change = Change::SetState { account: AccountId(mailbox.0), state };
        self.directory.change(actor(), change).await.unwrap();
    }

    /// A message into the INBOX, as SMTP delivers it.
    pub async fn deliver(&self, mailbox: MailboxId, message: &[u8]) {
        let request = Request::Deliver {
            envelope: Envelope {
                sender: "x@example.org".into(),
                envelope_id: None,
                return_full: false,
                eight_bit: true,
                utf8: false,
            },
            local: vec![LocalRecipient { mailbox, address: "ada@example.test".into() }],
            relay: vec![],
            message: Message(Bytes::copy_from_slice(message)),
        };
        let response = self.stores.request(request).await.unwrap();
        assert!(matches!(response, Response::Accepted { .. }), "{response:?}");
    }

    /// Many messages at once into a folder.
    pub async fn fill(&self, mailbox: MailboxId, folder: &str, count: usize) {
        let message = Message(Bytes::from_static(b"Subject: x\r\n\r\nhello\r\n"));
        let item = NewItem { message, flags: Flags::default(), received: Timestamp(1_000_000) };
        let mut left = count;
        while left > 0 {
            let step = left.min(1_000);
            let messages = vec![item.clone(); step];
            let request = Request::Append { mailbox, folder: folder.into(), messages };
            let response = self.stores.request(request).await.unwrap();
            assert!(matches!(response, Response::Appended { .. }), "{response:?}");
            left -= step;
        }
    }

    pub async fn connect_clear(&self) -> Client {
        let stream = TcpStream::connect(self.clear).await.unwrap();
        Client::new(stream).await
    }

    pub async fn connect(&self) -> Client {
        let stream = TcpStream::connect(self.tls).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let name = ServerName::try_from(HOST).unwrap();
        Client::new(self.connector.connect(name, stream).await.unwrap()).await
    }

    pub async fn sign_on(&self, name: &str) -> Client {
        let mut client = self.connect().await;
        let answer = client.command(&format!("LOGIN {name} \"{PASSWORD}\"")).await;
        assert!(answer.ok(), "{answer}");
        client
    }

    /// Goes on under TLS after STARTTLS was answered.
    pub async fn upgrade(&self, client: Client) -> Client {
        let name = ServerName::try_from(HOST).unwrap();
        let stream = self.connector.connect(name, client.stream).await.unwrap();
        Client { stream: Box::new(stream), ..Client::empty() }
    }
}

pub trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

pub struct Client {
    pub stream: Box<dyn Io>,
    pub greeting: String,
    buffer: Vec<u8>,
    next: u32,
}

/// All that came up to the tagged line.
pub struct Answer(pub String);

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl Answer {
    pub fn last(&self) -> &str {
        self.0.trim_end().rsplit("\r\n").next().unwrap_or_default()
    }

    pub fn ok(&self) -> bool {
        self.last().split(' ').nth(1) == Some("OK")
    }

    pub fn has(&self, text: &str) -> bool {
        self.0.contains(text)
    }
}

impl Client {
    fn empty() -> Self {
        Self {
            stream: Box::new(tokio::io::empty()),
            greeting: String::new(),
            buffer: vec![],
            next: 0,
        }
    }

    async fn new(stream: impl Io + 'static) -> Self {
        let mut client = Self { stream: Box::new(stream), ..Self::empty() };
        client.greeting = client.line().await.unwrap_or_default();
        client
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// The next line without CRLF; `None` at the end of the connection.
    pub async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(at) = self.buffer.windows(2).position(|pair| pair == b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..at + 2).collect();
                return Some(String::from_utf8_lossy(&line[..at]).into_owned());
            }
            let mut chunk = vec![0; 64 * 1024];
            let read = timeout(PATIENCE, self.stream.read(&mut chunk)).await;
            match read.expect("the server says nothing") {
                Ok(count) if count > 0 => self.buffer.extend_from_slice(&chunk[..count]),
                _ => return None,
            }
        }
    }

    /// Sends a command and reads its whole answer.
    pub async fn command(&mut self, command: &str) -> Answer {
        self.next += 1;
        let tag = format!("t{}", self.next);
        self.send(format!("{tag} {command}\r\n").as_bytes()).await;
        self.answer(&tag).await
    }

    pub async fn answer(&mut self, tag: &str) -> Answer {
        let (mut all, start) = (String::new(), format!("{tag} "));
        while let Some(line) = self.line().await {
            let last = line.starts_with(&start);
            all.push_str(&line);
            all.push_str("\r\n");
            if last {
                break;
            }
        }
        Answer(all)
    }

    pub async fn append(&mut self, folder: &str, message: &[u8]) -> Answer {
        self.next += 1;
        let tag = format!("t{}", self.next);
        self.send(format!("{tag} APPEND {folder} {{{}+}}\r\n", message.len()).as_bytes()).await;
        self.send(message).await;
        self.send(b"\r\n").await;
        self.answer(&tag).await
    }

    /// Reads to the end of the connection.
    pub async fn end(&mut self) -> String {
        let mut all = String::new();
        while let Some(line) = self.line().await {
            all.push_str(&line);
            all.push('\n');
        }
        all
    }
}
