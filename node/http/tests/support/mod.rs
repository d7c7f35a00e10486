//! A node of temporary folders behind the router. Shared by the tests and by `examples/serve.rs`.
#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used)] // for tests only

pub mod cluster;
pub mod three_nodes;

use std::{
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::{Body, Bytes},
    http::{Request, Response, StatusCode, header},
};
use http_body_util::BodyExt;
use posthouse_auth::{AuthOptions, Authenticator};
use posthouse_cluster::{Environment, GroupId, Node, NodeId, NodeOptions, env::BoxFuture};
use posthouse_directory::{
    Account, AccountId, Actor, Change, Directory, DirectoryOptions, Domain, DomainId, Kind,
    NodeInfo, Origin, Rights, SourceId, SourceSpec, State, StoreId, StoreInfo, User, fresh_id,
};
use posthouse_http::{
    Context, LocalToken, Peer, SourceControl, SourcePreview, SourcePreviewEntry, SourceReport,
};
use posthouse_store::{MailboxId, Quota, Store, StoreOptions, Stores};
use serde_json::Value;
use tower::ServiceExt;

pub const PASSWORD: &str = "correct horse 7 battery";

/// A directory that answers without a network, and remembers what passwords it was given.
#[derive(Default)]
pub struct FakeSources {
    pub passwords: Mutex<Vec<String>>,
}

impl SourceControl for FakeSources {
    fn preview(
        &self,
        spec: SourceSpec,
        password: String,
    ) -> BoxFuture<Result<SourcePreview, String>> {
        self.passwords.lock().unwrap().push(password);
        Box::pin(async move {
            if spec.directory_domain.contains("down") {
                return Err("no controller answered".to_owned());
            }
            let entry = |kind: &str, name: &str, state: &str| SourcePreviewEntry {
                kind: kind.to_owned(),
                name: name.to_owned(),
                display_name: format!("{name} of the directory"),
                mail: format!("{name}@example.test"),
                state: state.to_owned(),
            };
            Ok(SourcePreview {
                controller: format!("dc1.{}", spec.directory_domain),
                users: 2,
                groups: 1,
                contacts: 0,
                sample: vec![
                    entry("user", "anna", ""),
                    entry("user", "berta", "disabled in the directory"),
                    entry("group", "sales", ""),
                ],
                warnings: vec!["berta has no mail address".to_owned()],
            })
        })
    }

    fn sync(&self, _: SourceId) -> BoxFuture<Result<SourceReport, String>> {
        Box::pin(async { Ok(SourceReport { changed: 3, withheld: 9, ..SourceReport::default() }) })
    }

    fn confirm_removals(&self, _: SourceId) -> BoxFuture<Result<SourceReport, String>> {
        Box::pin(async { Ok(SourceReport { disabled: 9, ..SourceReport::default() }) })
    }
}

pub struct TestNode {
    pub node: Node,
    pub context: Arc<Context>,
    pub sources: Arc<FakeSources>,
    pub cluster: Arc<cluster::FakeCluster>,
    pub domain: DomainId,
    pub token: String,
    pub router: Router,
    _folder: Option<tempfile::TempDir>,
}

impl TestNode {
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut node = Self::start_in(folder.path()).await;
        node._folder = Some(folder);
        node
    }

    pub async fn start_in(folder: &Path) -> Self {
        let env = Environment::real();
        let options = NodeOptions::alone(NodeId(1), folder.join("log"));
        let node = Node::open(env.clone(), options).await.unwrap();
        let options = DirectoryOptions { folder: folder.join("directory"), bootstrap: true };
        let directory = Directory::open(&node, options).await.unwrap();
        let domain = DomainId(fresh_id());
        set_up(&directory, domain).await;
        let options =
            AuthOptions { folder: folder.join("auth"), host: "mail.example.test".to_owned() };
        std::fs::create_dir_all(&options.folder).unwrap();
        let auth = Authenticator::open(directory.clone(), options).await.unwrap();
        let store = Store::open(
            &node,
            StoreOptions {
                group: GroupId(1),
                folder: folder.join("store"),
                bootstrap: true,
                readers: 1,
            },
        )
        .await
        .unwrap();
        let sources = Arc::new(FakeSources::default());
        let cluster = Arc::new(cluster::FakeCluster::default());
        let token = LocalToken::create(folder).unwrap();
        let groups = directory.clone();
        let context = Arc::new(Context {
            directory,
            auth,
            stores: Stores::single(store),
            started: env.clock.now(),
            env,
            host: "mail.example.test".to_owned(),
            version: "0.0.0-test".to_owned(),
            data_folder: folder.to_owned(),
            token,
            sources: sources.clone(),
            cluster: cluster.clone(),
            groups: Arc::new(move || vec![groups.status()]),
            metrics: Arc::new(|| "# TYPE test counter\ntest 1\n".to_owned()),
            ready: Arc::new(|| Ok(())),
        });
        let token = LocalToken::read(folder).unwrap();
        let router = posthouse_http::router(context.clone());
        Self { node, context, sources, cluster, domain, token, router, _folder: None }
    }

    /// Makes a user with a password and these rights, in the first domain or another.
    pub async fn user(&self, name: &str, rights: Rights, domain: DomainId) -> AccountId {
        let id = AccountId(fresh_id());
        let verifier = self.context.auth.hash_password(PASSWORD).await;
        let now = self.context.env.clock.now();
        let account = Account {
            id,
            domain,
            name: name.to_owned(),
            display_name: format!("{name} Example"),
            addresses: Vec::new(),
            origin: Origin::Local,
            state: State::Enabled,
            published: true,
            description: String::new(),
            kind: Kind::User(User {
                password: Some(verifier),
                rights,
                store: Some(StoreId(1)),
                ..User::default()
            }),
            created: now,
            changed: now,
        };
        let request = posthouse_store::Request::CreateMailbox {
            mailbox: MailboxId(id.0),
            quota: Quota::default(),
        };
        self.context.stores.request(request).await.unwrap();
        self.change(Change::PutAccount(Box::new(account))).await;
        id
    }

    pub async fn domain(&self, name: &str) -> DomainId {
        let id = DomainId(fresh_id());
        let domain = Domain {
            id,
            name: name.to_owned(),
            aliases: Vec::new(),
            primary: false,
            description: String::new(),
        };
        self.change(Change::PutDomain(domain)).await;
        id
    }

    pub async fn change(&self, change: Change) {
        self.context.directory.change(Actor::System("test".to_owned()), change).await.unwrap();
    }

    pub fn client(&self) -> Client {
        Client {
            router: self.router.clone(),
            cookie: None,
            bearer: None,
            address: "192.0.2.7:5000".parse().unwrap(),
        }
    }

    /// A browser in which `name` is signed on.
    pub async fn signed_on(&self, name: &str) -> Client {
        let mut client = self.client();
        let body = serde_json::json!({"name": name, "password": PASSWORD});
        let answer = client.send("POST", "/api/v1/session", Some(body)).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        client
    }

    /// The command line of this machine.
    pub fn command_line(&self) -> Client {
        Client {
            bearer: Some(self.token.clone()),
            address: "127.0.0.1:5000".parse().unwrap(),
            ..self.client()
        }
    }
}

async fn set_up(directory: &Directory, domain: DomainId) {
    let changes = vec![
        Change::PutDomain(Domain {
            id: domain,
            name: "example.test".to_owned(),
            aliases: Vec::new(),
            primary: true,
            description: String::new(),
        }),
        Change::PutNode(NodeInfo {
            id: 1,
            host: "mail.example.test".to_owned(),
            site: "main".to_owned(),
            ..NodeInfo::default()
        }),
        Change::PutStore(StoreInfo {
            id: StoreId(1),
            home: 1,
            replicas: vec![1],
            ..StoreInfo::default()
        }),
    ];
    directory.change(Actor::System("set-up".to_owned()), Change::All(changes)).await.unwrap();
}

#[derive(Clone)]
pub struct Client {
    pub router: Router,
    pub cookie: Option<String>,
    pub bearer: Option<String>,
    pub address: SocketAddr,
}

#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: header::HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl Client {
    pub async fn send(&mut self, method: &str, path: &str, body: Option<Value>) -> Answer {
        self.send_with(method, path, body, &[("x-posthouse-request", "1")]).await
    }

    pub async fn send_with(
        &mut self,
        method: &str,
        path: &str,
        body: Option<Value>,
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        request = request.header("host", "mail.example.test");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(cookie) = &self.cookie {
            request = request.header("cookie", cookie);
        }
        if let Some(token) = &self.bearer {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let body = match body {
            Some(json) => {
                request = request.header("content-type", "application/json");
                Body::from(json.to_string())
            }
            None => Body::empty(),
        };
        let mut request = request.body(body).unwrap();
        let here = "192.0.2.1:443".parse().unwrap();
        request.extensions_mut().insert(Peer::new(self.address, here, true, None));
        let response = self.router.clone().oneshot(request).await.unwrap();
        let answer = read(response).await;
        for cookie in answer.headers.get_all("set-cookie") {
            let pair = cookie.to_str().unwrap().split(';').next().unwrap().to_owned();
            self.cookie = Some(pair).filter(|pair| !pair.ends_with('='));
        }
        answer
    }

    pub async fn get(&mut self, path: &str) -> Answer {
        self.send("GET", path, None).await
    }
}

async fn read(response: Response<Body>) -> Answer {
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer { status: parts.status, headers: parts.headers, body }
}
