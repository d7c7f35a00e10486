use std::sync::Arc;

use axum::{
    body::{Body, to_bytes},
    http::{Request, Response, StatusCode, header},
};
use posthouse_auth::{AuthOptions, Authenticator};
use posthouse_cluster::{Environment, GroupId, Node, NodeId, NodeOptions};
use posthouse_directory::{Directory, DirectoryOptions};
use posthouse_store::{Store, StoreOptions, Stores};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;
use crate::{Checker, Parts};

const CODE: &str = "abcd-efgh-jkmn";
const PASSWORD: &str = "canary-Password-1";

struct World {
    _folder: tempfile::TempDir,
    parts: Parts,
    setup: Arc<WebSetup>,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let env = Environment::real();
        let options = NodeOptions::alone(NodeId(1), path("log"));
        let node = Node::open(env.clone(), options).await.unwrap();
        let options = DirectoryOptions { folder: path("domain"), bootstrap: true };
        let directory = Directory::open(&node, options).await.unwrap();
        let options =
            StoreOptions { group: GroupId(1), folder: path("store"), bootstrap: true, readers: 1 };
        let stores = Stores::single(Store::open(&node, options).await.unwrap());
        let options = AuthOptions { folder: path("auth"), host: "mail.example.test".into() };
        std::fs::create_dir_all(&options.folder).unwrap();
        let auth = Authenticator::open(directory.clone(), options).await.unwrap();
        let parts = Parts { directory, auth, stores, env, node: 1 };
        let checker = Checker { data: folder.path().to_owned(), listen: vec![] };
        let opener = Arc::new(parts.clone());
        let host = "mail.example.test".to_owned();
        let setup = WebSetup::new(CODE.into(), checker, opener, "test", host);
        Self { _folder: folder, parts, setup }
    }

    async fn send(&self, request: Request<Body>) -> Response<Body> {
        router(self.setup.clone()).oneshot(request).await.unwrap()
    }

    async fn post(&self, path: &str, cookie: &str, body: Value) -> Response<Body> {
        let request = Request::post(format!("/api/v1/setup{path}"))
            .header("x-posthouse-request", "1")
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::COOKIE, cookie)
            .body(Body::from(body.to_string()))
            .unwrap();
        self.send(request).await
    }

    async fn stage(&self, cookie: &str) -> Value {
        let request = Request::get("/api/v1/setup")
            .header(header::COOKIE, cookie)
            .body(Body::empty())
            .unwrap();
        json(self.send(request).await).await["stage"].clone()
    }

    /// Gives the code and returns the cookie.
    async fn enter(&self) -> String {
        let response = self.post("/code", "", json!({ "code": CODE })).await;
        assert_eq!(response.status(), StatusCode::NO_CONTENT);
        let cookie = response.headers()[header::SET_COOKIE].to_str().unwrap();
        for flag in ["Secure", "HttpOnly", "SameSite=Strict"] {
            assert!(cookie.contains(flag), "{cookie}");
        }
        cookie.split(';').next().unwrap().to_owned()
    }
}

async fn json(response: Response<Body>) -> Value {
    let bytes = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

fn answers() -> Value {
    json!({
        "choice": "new_domain", "mail_domain": "Example.test", "host": "mail.example.test",
        "administrator": { "name": "admin", "display_name": "Boss", "password": PASSWORD },
        "directory": null,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_but_the_stage_is_told_before_the_code() {
    let world = World::new().await;
    assert_eq!(world.stage("").await, "code");
    for path in ["/checks", "/directory-test", "/apply"] {
        let body = if path == "/apply" { answers() } else { directory() };
        let response = world.post(path, "", body).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{path}");
    }
    assert!(!world.parts.directory.is_set_up());
}

fn directory() -> Value {
    json!({
        "directory_domain": "ad.example.test", "controllers": ["127.0.0.1:1"], "tls": "ldaps", "bind_name": "reader",
        "bind_password": PASSWORD,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_from_another_site_is_refused_even_with_the_cookie() {
    let world = World::new().await;
    let cookie = world.enter().await;
    let request = Request::post("/api/v1/setup/apply")
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::COOKIE, cookie)
        .body(Body::from(answers().to_string()))
        .unwrap();
    assert_eq!(world.send(request).await.status(), StatusCode::FORBIDDEN);
    assert!(!world.parts.directory.is_set_up());
}

#[tokio::test(flavor = "multi_thread")]
async fn set_up_makes_the_administrator_and_closes_the_door_for_good() {
    let world = World::new().await;
    let cookie = world.enter().await;
    assert_eq!(world.stage(&cookie).await, "form");
    let done = json(world.post("/apply", &cookie, answers()).await).await;
    assert_eq!(done["address"], "https://mail.example.test/");
    assert_eq!(world.setup.finished().await, "mail.example.test");
    let admin = world.parts.directory.login("admin").unwrap();
    assert_eq!(world.parts.directory.rights(admin.id), posthouse_directory::Rights::Full);
    assert_eq!(world.stage("").await, "done");
    for (path, body) in [("/code", json!({ "code": CODE })), ("/apply", answers())] {
        assert_eq!(world.post(path, &cookie, body).await.status(), StatusCode::GONE, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_answer_is_named_and_leaves_nothing_half_made() {
    let world = World::new().await;
    let cookie = world.enter().await;
    let mut wrong = answers();
    wrong["administrator"]["password"] = json!("short");
    let response = world.post("/apply", &cookie, wrong).await;
    assert_eq!(response.status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(json(response).await["field"], "administrator.password");
    assert!(!world.parts.directory.is_set_up());
    assert!(world.parts.directory.domains().is_empty());
    assert_eq!(world.post("/apply", &cookie, answers()).await.status(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_browsers_cannot_both_set_the_node_up() {
    let world = World::new().await;
    let _first = world.enter().await;
    let second = world.post("/code", "", json!({ "code": CODE })).await;
    assert_eq!(second.status(), StatusCode::CONFLICT);
}

#[tokio::test(flavor = "multi_thread")]
async fn applying_to_a_node_that_is_set_up_is_refused() {
    let world = World::new().await;
    let text = format!(
        "host='mail.example.test'\ndomain='example.test'\n[administrator]\nname='admin'\npassword='{PASSWORD}'"
    );
    let answers = crate::Answers::from_toml(&text).unwrap();
    crate::apply(&answers, &world.parts).await.unwrap();
    let again = crate::apply(&answers, &world.parts).await;
    assert!(matches!(again, Err(crate::ApplyError::AlreadySetUp)), "{again:?}");
    assert_eq!(world.parts.directory.domains().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_password_is_in_no_file_of_the_node() {
    let world = World::new().await;
    let cookie = world.enter().await;
    assert_eq!(world.post("/apply", &cookie, answers()).await.status(), StatusCode::OK);
    let mut files = 0;
    let mut folders = vec![world._folder.path().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let content = std::fs::read(&path).unwrap();
            let found = content.windows(PASSWORD.len()).any(|window| window == PASSWORD.as_bytes());
            assert!(!found, "{}", path.display());
            files += 1;
        }
    }
    assert!(files > 3);
}

/// A cluster that takes one node, or says why not.
#[derive(Default)]
struct FakeCluster {
    refuses: Option<&'static str>,
    asked: parking_lot::Mutex<Vec<(String, String, Vec<String>)>>,
}

impl crate::Joiner for FakeCluster {
    fn join(
        &self,
        _: String,
        host: String,
        site: String,
        links: Vec<String>,
    ) -> posthouse_cluster::env::BoxFuture<Result<crate::JoinOutcome, String>> {
        self.asked.lock().push((host, site, links));
        let outcome = match self.refuses {
            Some(reason) => Err(reason.to_owned()),
            None => Ok(crate::JoinOutcome { cluster: "example.test".to_owned(), node: 2 }),
        };
        Box::pin(std::future::ready(outcome))
    }
}

fn joining() -> Value {
    json!({
        "code": crate::answers::example_code(), "host": "N2.example.test ", "site": " hamburg",
        "links": ["10.1.0.2:4041"],
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn joining_is_behind_the_code_of_the_console_too() {
    let world = World::new().await;
    let cluster = Arc::new(FakeCluster::default());
    world.setup.join_by(cluster.clone());
    for (path, body) in [("/join-code", json!({ "code": "x" })), ("/join", joining())] {
        let response = world.post(path, "", body).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{path}");
    }
    assert!(cluster.asked.lock().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_altered_code_is_noticed_before_anything_is_sent() {
    let world = World::new().await;
    let cluster = Arc::new(FakeCluster::default());
    world.setup.join_by(cluster.clone());
    let cookie = world.enter().await;
    let good = json!({ "code": crate::answers::example_code() });
    let seen = json(world.post("/join-code", &cookie, good).await).await;
    assert_eq!(seen, json!({ "addresses": ["192.0.2.1:4041"] }));
    let altered = crate::answers::example_code().replacen('0', "1", 1);
    let mut wrong = joining();
    wrong["code"] = json!(altered);
    for (path, body) in [("/join-code", json!({ "code": altered })), ("/join", wrong)] {
        let response = world.post(path, &cookie, body).await;
        assert_eq!(response.status(), StatusCode::UNPROCESSABLE_ENTITY, "{path}");
        let problem = json(response).await;
        assert_eq!(problem["field"], "join", "{path}");
        assert!(problem["message"].as_str().unwrap().contains("group 1"), "{problem}");
    }
    assert!(cluster.asked.lock().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_joined_closes_the_door_and_one_that_was_refused_may_try_again() {
    let world = World::new().await;
    let cookie = world.enter().await;
    let closed = world.post("/join", &cookie, joining()).await;
    assert_eq!(closed.status(), StatusCode::NOT_IMPLEMENTED, "nobody opened the door");

    let reason = "the invite was used already: make a new one";
    world.setup.join_by(Arc::new(FakeCluster { refuses: Some(reason), ..FakeCluster::default() }));
    let problem = world.post("/join", &cookie, joining()).await;
    assert_eq!(problem.status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(json(problem).await["message"], reason);
    assert_eq!(world.stage(&cookie).await, "form");

    let world = World::new().await;
    let cookie = world.enter().await;
    let cluster = Arc::new(FakeCluster::default());
    world.setup.join_by(cluster.clone());
    let done = json(world.post("/join", &cookie, joining()).await).await;
    assert_eq!(done["address"], "https://n2.example.test/");
    assert!(done["next"][0].as_str().unwrap().starts_with("This is node 2 of example.test."));
    let links = vec!["10.1.0.2:4041".to_owned()];
    let asked = ("n2.example.test".to_owned(), "hamburg".to_owned(), links);
    assert_eq!(*cluster.asked.lock(), [asked]);
    assert_eq!(world.setup.finished().await, "n2.example.test");
    for path in ["/join", "/join-code"] {
        let response = world.post(path, &cookie, joining()).await;
        assert_eq!(response.status(), StatusCode::GONE, "{path}");
    }
}
