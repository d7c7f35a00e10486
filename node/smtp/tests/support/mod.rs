//! A node's SMTP in this process: store, directory and sign-on over a real log in a folder of its own, with a DNS server
//! and next hops of the test's own on loopback addresses.
#![allow(dead_code, unused_imports, unreachable_pub, clippy::unwrap_used)]

pub mod client;
pub mod dns;
pub mod next_hop;

use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use posthouse_auth::{AuthOptions, Authenticator, ServerTls};
use posthouse_cluster::{
    Environment, GroupId, Node, NodeId, NodeOptions, Timestamp,
    env::{BoxFuture, Clock},
    network::{Alone, Network},
};
use posthouse_directory::{
    Account, AccountId, Actor, AliasInfo, Change, Directory, DirectoryOptions, Domain, DomainId,
    GroupInfo, Kind, Origin, Rights, SettingChange, State, User, fresh_id, key,
};
use posthouse_smtp::{
    Context, Resolver, SenderContext, Timeouts, run_sender, serve, session::Mode,
};
use posthouse_store::{
    Locate, MailboxId, Parts, Quota, Request, Response, SpoolEntry, SpoolId, Store, StoreOptions,
    Stores, UidSet,
};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

pub use client::Client;
pub use dns::Dns;
pub use next_hop::{NextHop, Script};

/// Longest wait for anything.
pub const PATIENCE: Duration = Duration::from_secs(20);
pub const PASSWORD: &str = "correct horse battery";
pub const HOST: &str = "mail.example.test";

/// The real clock, moved ahead by the test.
struct ShiftedClock {
    real: Arc<dyn Clock>,
    ahead: Arc<AtomicU64>,
}

impl Clock for ShiftedClock {
    fn now(&self) -> Timestamp {
        self.real.now().after(Duration::from_millis(self.ahead.load(Ordering::SeqCst)))
    }

    fn monotonic(&self) -> Duration {
        self.real.monotonic() + Duration::from_millis(self.ahead.load(Ordering::SeqCst))
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<()> {
        self.real.sleep(duration)
    }
}

/// What is there while the node runs.
struct Running {
    node: Node,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

/// A node.
pub struct Site {
    folder: tempfile::TempDir,
    pub ahead: Arc<AtomicU64>,
    pub dns: Dns,
    pub remote_port: u16,
    pub stores: Stores,
    pub directory: Directory,
    pub transfer: SocketAddr,
    pub submission: SocketAddr,
    pub submissions: SocketAddr,
    running: Option<Running>,
    first: bool,
    timeouts: Timeouts,
    way: Way,
}

/// How the node reaches others, and where mailboxes are if not all here.
#[derive(Clone)]
pub struct Way {
    pub network: Arc<dyn Network>,
    pub locate: Option<Arc<dyn Locate>>,
}

impl Site {
    /// With users anna, ben, eve (disabled), full (no room), group team (anna, ben, full), aliases `info*` → anna, `out` →
    /// friend@partner.test, `ping` ⇄ `pong`.
    pub async fn new() -> Self {
        Self::with_timeouts(Timeouts::default()).await
    }

    pub async fn with_timeouts(timeouts: Timeouts) -> Self {
        let way = Way { network: Arc::new(Alone), locate: None };
        Self::with_way(timeouts, way).await
    }

    pub async fn with_way(timeouts: Timeouts, way: Way) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ahead = Arc::new(AtomicU64::new(0));
        let dns = Dns::start().await;
        let remote_port = next_hop::free_port().await;
        let (stores, directory, auth, running) = open(folder.path(), ahead.clone(), &way).await;
        populate(&directory, &auth, remote_port).await;
        let none: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let mut site = Self {
            folder,
            ahead,
            dns,
            remote_port,
            stores,
            directory,
            transfer: none,
            submission: none,
            submissions: none,
            running: Some(running),
            first: true,
            timeouts,
            way,
        };
        site.serve(auth).await;
        site
    }

    async fn serve(&mut self, auth: Authenticator) {
        let env = environment(self.ahead.clone());
        let context = Context::new(
            self.stores.clone(),
            self.directory.clone(),
            auth,
            tls(),
            HOST.into(),
            env.clone(),
        )
        .with_timeouts(self.timeouts);
        let context = Arc::new(context);
        let running = self.running.as_mut().unwrap();
        for (mode, address) in [
            (Mode::Transfer, &mut self.transfer),
            (Mode::Submission, &mut self.submission),
            (Mode::SubmissionTls, &mut self.submissions),
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            *address = listener.local_addr().unwrap();
            let task = tokio::spawn(serve(listener, mode, context.clone(), running.stop.clone()));
            running.tasks.push(task);
        }
        let resolver = Resolver::at(self.dns.address).unwrap();
        let (stores, directory) = (self.stores.clone(), self.directory.clone());
        let sender = SenderContext::new(stores, directory, resolver, HOST.into(), env).unwrap();
        running.tasks.push(tokio::spawn(run_sender(Arc::new(sender), running.stop.clone())));
    }

    /// Stops everything and starts again on the same folder.
    pub async fn restart(&mut self) {
        self.stop().await;
        let (stores, directory, auth, running) =
            open(self.folder.path(), self.ahead.clone(), &self.way).await;
        (self.stores, self.directory, self.running) = (stores, directory, Some(running));
        self.serve(auth).await;
    }

    pub async fn stop(&mut self) {
        let running = self.running.take().unwrap();
        running.stop.cancel();
        for task in running.tasks {
            task.await.unwrap();
        }
        running.node.shutdown().await.unwrap();
    }

    /// Moves the clock of the node ahead.
    pub fn pass(&self, time: Duration) {
        self.ahead.fetch_add(time.as_millis() as u64, Ordering::SeqCst);
    }

    pub fn mailbox(&self, name: &str) -> MailboxId {
        MailboxId(self.directory.login(name).unwrap().id.0)
    }

    /// Messages in the INBOX of `name`, oldest first.
    pub async fn inbox(&self, name: &str) -> Vec<String> {
        let mailbox = self.mailbox(name);
        let request = Request::Folder { mailbox, name: "INBOX".into() };
        let Ok(Response::Folder(folder)) = self.stores.request(request).await else {
            return Vec::new();
        };
        let (uids, folder) = (UidSet(vec![(1, u32::MAX)]), folder.id);
        let request =
            Request::Items { mailbox, folder, uids, parts: Parts::default(), changed_since: 0 };
        let Ok(Response::Items { items, .. }) = self.stores.request(request).await else {
            panic!()
        };
        let mut messages = Vec::new();
        for item in items {
            let request = Request::Body { mailbox, body: item.body };
            let Ok(Response::Body(body)) = self.stores.request(request).await else { panic!() };
            messages.push(String::from_utf8_lossy(&body).into_owned());
        }
        messages
    }

    /// Waits until the INBOX of `name` has so many messages.
    pub async fn wait_for_inbox(&self, name: &str, count: usize) -> Vec<String> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let messages = self.inbox(name).await;
            if messages.len() >= count {
                return messages;
            }
            let spool = self.spool().await;
            assert!(
                tokio::time::Instant::now() < deadline,
                "{name} has {messages:?}, spool {spool:?}"
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub async fn spool(&self) -> Vec<SpoolEntry> {
        let request = Request::Spool { after: SpoolId(0), limit: 1000, due: None };
        let here = GroupId(1);
        let Ok(Response::Spool(entries)) = self.stores.request_in(here, request).await else {
            panic!()
        };
        entries
    }

    /// Waits until the spool is as wanted.
    pub async fn wait_for_spool(&self, wanted: impl Fn(&[SpoolEntry]) -> bool) -> Vec<SpoolEntry> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let entries = self.spool().await;
            if wanted(&entries) {
                return entries;
            }
            assert!(tokio::time::Instant::now() < deadline, "{entries:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub async fn set(&self, name: &str, value: &str) {
        set(&self.directory, name, value).await;
    }

    pub async fn transfer(&self) -> Client {
        Client::connect(self.transfer).await
    }

    /// A client that has signed on as `name` on the TLS port.
    pub async fn signed_on(&self, name: &str) -> Client {
        let mut client = Client::connect_tls(self.submissions).await;
        client.expect(&format!("EHLO {name}.test"), 250).await;
        client.sign_on(name, PASSWORD).await;
        client
    }
}

fn environment(ahead: Arc<AtomicU64>) -> Environment {
    let real = Environment::real();
    Environment { clock: Arc::new(ShiftedClock { real: real.clock.clone(), ahead }), ..real }
}

async fn open(
    folder: &Path,
    ahead: Arc<AtomicU64>,
    way: &Way,
) -> (Stores, Directory, Authenticator, Running) {
    let options = NodeOptions::alone(NodeId(1), folder.join("log"));
    let options = NodeOptions { network: way.network.clone(), ..options };
    let node = Node::open(environment(ahead), options).await.unwrap();
    let options = DirectoryOptions { folder: folder.join("domain"), bootstrap: true };
    let directory = Directory::open(&node, options).await.unwrap();
    let options = StoreOptions {
        group: GroupId(1),
        folder: folder.join("store"),
        bootstrap: true,
        readers: 2,
    };
    let store = Store::open(&node, options).await.unwrap();
    let stores = match &way.locate {
        None => Stores::single(store),
        Some(locate) => {
            let env = node.environment().clone();
            let stores = Stores::new(env, way.network.clone(), locate.clone());
            stores.add(store);
            stores
        }
    };
    let options = AuthOptions { folder: folder.join("auth"), host: HOST.into() };
    let auth = Authenticator::open(directory.clone(), options).await.unwrap();
    let running = Running { node, stop: CancellationToken::new(), tasks: Vec::new() };
    (stores, directory, auth, running)
}

async fn populate(directory: &Directory, auth: &Authenticator, remote_port: u16) {
    let actor = || Actor::System("test".into());
    let domain = DomainId(fresh_id());
    let change = Change::PutDomain(Domain {
        id: domain,
        name: "example.test".into(),
        aliases: vec!["example.org".into(), "xn--bcher-kva.test".into()],
        primary: true,
        description: String::new(),
    });
    directory.change(actor(), change).await.unwrap();
    let verifier = auth.hash_password(PASSWORD).await;
    let account = |name: &str, kind: Kind| Account {
        id: AccountId(fresh_id()),
        domain,
        name: name.into(),
        display_name: name.into(),
        addresses: Vec::new(),
        origin: Origin::Local,
        state: State::Enabled,
        published: true,
        description: String::new(),
        kind,
        created: Timestamp(0),
        changed: Timestamp(0),
    };
    let mut members = Vec::new();
    for name in ["anna", "ben", "eve", "full"] {
        let rights = if name == "anna" { Rights::Full } else { Rights::None };
        let password = Some(verifier.clone());
        let user = User {
            password,
            rights,
            quota_bytes: (name == "full").then_some(10),
            ..User::default()
        };
        let mut account = account(name, Kind::User(user));
        if name == "eve" {
            account.state = State::Disabled("test".into());
        } else {
            members.push(account.id);
        }
        directory.change(actor(), Change::PutAccount(Box::new(account))).await.unwrap();
    }
    let mut team = account("team", Kind::Group(GroupInfo { members, rights: Rights::None }));
    team.addresses = vec!["team".into()];
    directory.change(actor(), Change::PutAccount(Box::new(team))).await.unwrap();
    for (name, target) in
        [("info*", "anna"), ("out", "friend@partner.test"), ("ping", "pong"), ("pong", "ping")]
    {
        let alias = account(name, Kind::Alias(AliasInfo { targets: vec![target.into()] }));
        directory.change(actor(), Change::PutAccount(Box::new(alias))).await.unwrap();
    }
    set(directory, key::SMTP_REMOTE_PORT, &remote_port.to_string()).await;
}

async fn set(directory: &Directory, name: &str, value: &str) {
    let change = SettingChange { name: name.into(), value: Some(value.into()) };
    directory.change(Actor::System("test".into()), Change::Set(change)).await.unwrap();
}

fn tls() -> ServerTls {
    let made = rcgen::generate_simple_self_signed(vec![HOST.into()]).unwrap();
    ServerTls::new(made.cert.pem().as_bytes(), made.signing_key.serialize_pem().as_bytes()).unwrap()
}

/// No limits.
pub const UNLIMITED: Quota = Quota { bytes: None, items: None };
