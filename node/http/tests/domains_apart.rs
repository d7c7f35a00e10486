//! Administrators of one domain neither see nor touch what is not theirs (F4.2-3, F4.2-4, A30).

#![allow(clippy::unwrap_used)] // helpers of tests

mod support;

use axum::http::StatusCode;
use posthouse_directory::{Change, Rights};
use serde_json::{Value, json};
use support::{Answer, Client, PASSWORD, TestNode};

const KINDS: [(&str, &str); 4] = [
    ("users", r#"{"name":"x"}"#),
    ("groups", r#"{"name":"x"}"#),
    ("aliases", r#"{"name":"x","targets":["admin"]}"#),
    ("contacts", r#"{"name":"x"}"#),
];

async fn create(client: &mut Client, kind: &str, body: Value) -> Answer {
    client.send("POST", &format!("/api/v1/{kind}"), Some(body)).await
}

async fn id(client: &mut Client, kind: &str, body: Value) -> String {
    let answer = create(client, kind, body).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
    answer.json()["id"].as_str().unwrap().to_owned()
}

async fn node() -> (TestNode, Client, Client) {
    let node = TestNode::start().await;
    let branch = node.domain("branch.test").await;
    node.user("admin", Rights::Full, node.domain).await;
    node.user("clerk", Rights::OwnDomain, branch).await;
    let full = node.signed_on("admin").await;
    let clerk = node.signed_on("clerk@branch.test").await;
    (node, full, clerk)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accounts_of_other_domains_do_not_exist_for_them() {
    let (node, mut full, mut clerk) = node().await;
    for (kind, body) in KINDS {
        let mut body: Value = serde_json::from_str(body).unwrap();
        body["name"] = json!(format!("foreign-{kind}"));
        let foreign = id(&mut full, kind, body.clone()).await;
        let list = clerk.get(&format!("/api/v1/{kind}?limit=1000")).await;
        assert!(!list.text().contains("foreign"), "{kind}: {}", list.text());
        let narrowed = format!("/api/v1/{kind}?domain={}", node.domain.0);
        assert_eq!(clerk.get(&narrowed).await.json()["total"], 0, "{kind}");
        let here = format!("/api/v1/{kind}/{foreign}");
        for (method, path, body) in [
            ("GET", here.clone(), None),
            ("PUT", here.clone(), Some(body.clone())),
            ("DELETE", here.clone(), None),
            ("PUT", format!("{here}/password"), Some(json!({"password": "a password 123"}))),
            ("PUT", format!("{here}/state"), Some(json!({"enabled": false}))),
            ("POST", format!("{here}/unlock"), None),
        ] {
            let answer = clerk.send(method, &path, body).await;
            assert_eq!(answer.status, StatusCode::NOT_FOUND, "{method} {path}: {}", answer.text());
        }
        body["domain"] = json!(node.domain.0);
        body["name"] = json!("smuggled");
        let answer = create(&mut clerk, kind, body).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{kind}: {}", answer.text());
        assert_eq!(full.get(&here).await.status, StatusCode::OK, "{kind} is untouched");
    }
    assert_eq!(clerk.get("/api/v1/domains").await.json().as_array().unwrap().len(), 1);
    let foreign = format!("/api/v1/domains/{}", node.domain.0);
    assert_eq!(clerk.get(&foreign).await.status, StatusCode::NOT_FOUND);
    let foreign = clerk.get("/api/v1/resolve?address=admin@example.test").await;
    assert_eq!(foreign.status, StatusCode::FORBIDDEN);
    let own = clerk.get("/api/v1/resolve?address=clerk@branch.test").await;
    assert_eq!(own.json()["accepted"], true);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn their_own_domain_is_theirs() {
    let (_node, _full, mut clerk) = node().await;
    for (kind, body) in KINDS {
        let mut body: Value = serde_json::from_str(body).unwrap();
        body["name"] = json!(format!("own-{kind}"));
        if kind == "aliases" {
            body["targets"] = json!(["clerk"]);
        }
        let own = id(&mut clerk, kind, body.clone()).await;
        let path = format!("/api/v1/{kind}/{own}");
        body["description"] = json!("changed");
        let answer = clerk.send("PUT", &path, Some(body)).await;
        assert_eq!(answer.status, StatusCode::OK, "{kind}: {}", answer.text());
        let answer = clerk.send("DELETE", &path, None).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT, "{kind}: {}", answer.text());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn they_cannot_rise_above_themselves() {
    let (node, mut full, mut clerk) = node().await;
    let branch = clerk.get("/api/v1/session").await.json()["domain"].clone();
    let me = clerk.get("/api/v1/session").await.json()["id"].as_str().unwrap().to_owned();
    let boss = id(
        &mut full,
        "users",
        json!({"name": "boss", "domain": branch, "rights": "full", "password": PASSWORD}),
    )
    .await;
    let inner = id(&mut clerk, "groups", json!({"name": "inner", "members": [me]})).await;
    let outer = json!({"name": "outer", "members": [inner], "rights": "full"});

    // Before the outer group gives rights, the inner one is an ordinary group of the own domain.
    let path = format!("/api/v1/groups/{inner}");
    let answer = clerk.send("PUT", &path, Some(json!({"name": "inner", "members": []}))).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    id(&mut full, "groups", outer).await;

    let boss = format!("/api/v1/users/{boss}");
    let mine = format!("/api/v1/users/{me}");
    for (what, method, path, body) in [
        ("own rights", "PUT", mine, Some(json!({"name": "clerk", "rights": "full"}))),
        (
            "a new administrator",
            "POST",
            "/api/v1/users".into(),
            Some(json!({"name": "e", "rights": "full"})),
        ),
        (
            "a new reader",
            "POST",
            "/api/v1/users".into(),
            Some(json!({"name": "e", "rights": "read_only"})),
        ),
        (
            "a new strong group",
            "POST",
            "/api/v1/groups".into(),
            Some(json!({"name": "e", "members": [me], "rights": "full"})),
        ),
        ("membership by nesting", "PUT", path, Some(json!({"name": "inner", "members": [me]}))),
        (
            "the boss' password",
            "PUT",
            format!("{boss}/password"),
            Some(json!({"password": "a password 123"})),
        ),
        ("the boss' state", "PUT", format!("{boss}/state"), Some(json!({"enabled": false}))),
        ("the boss himself", "DELETE", boss.clone(), None),
    ] {
        let answer = clerk.send(method, &path, body).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{what}: {}", answer.text());
    }
    let foreign_address = json!({"name": "e", "addresses": ["admin2@example.test"]});
    let answer = create(&mut clerk, "users", foreign_address).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", answer.text());
    assert_eq!(clerk.get("/api/v1/session").await.json()["rights"], "own_domain");
    drop(node);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_rights_only_what_is_ones_own_is_seen() {
    let node = TestNode::start().await;
    node.user("anna", Rights::None, node.domain).await;
    node.user("berta", Rights::None, node.domain).await;
    let mut stranger = node.client();
    for name in ["anna", "anna@example.test", "berta"] {
        let body = json!({"name": name, "password": "wrong"});
        let answer = stranger.send("POST", "/api/v1/session", Some(body)).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    }
    let mut anna = node.signed_on("anna").await;
    assert_eq!(anna.get("/api/v1/session").await.json()["mail"], "anna@example.test");
    let failures = anna.get("/api/v1/session/failures").await;
    assert_eq!(failures.json().as_array().unwrap().len(), 2, "{}", failures.text());
    assert!(!failures.text().contains("berta"));

    let body = json!({"old": "wrong", "new": "another pass 99"});
    let answer = anna.send("PUT", "/api/v1/session/password", Some(body)).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    let mut other_browser = node.signed_on("anna").await;
    assert_eq!(other_browser.get("/api/v1/session").await.status, StatusCode::OK);
    let body = json!({"old": PASSWORD, "new": "another pass 99"});
    let answer = anna.send("PUT", "/api/v1/session/password", Some(body)).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT, "{}", answer.text());
    assert_eq!(anna.get("/api/v1/session").await.status, StatusCode::OK, "this browser goes on");
    let other = other_browser.get("/api/v1/session").await;
    assert_eq!(other.status, StatusCode::UNAUTHORIZED, "whoever else knew the password is out");
    let body = json!({"name": "anna", "password": "another pass 99"});
    let answer = node.client().send("POST", "/api/v1/session", Some(body)).await;
    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disabled_administrator_is_out_at_once() {
    let (node, mut full, mut clerk) = node().await;
    let me = clerk.get("/api/v1/session").await.json()["id"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/users/{me}/state");
    let answer = full.send("PUT", &path, Some(json!({"enabled": false}))).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert_eq!(clerk.get("/api/v1/users").await.status, StatusCode::UNAUTHORIZED);
    node.change(Change::Audit("still works".to_owned())).await;
}
