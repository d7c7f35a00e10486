//! Who may do what: a matrix over all operations, made from the table.

#![allow(clippy::unwrap_used)] // helpers of tests

mod support;

use axum::http::StatusCode;
use posthouse_directory::Rights;
use posthouse_http::{API_PREFIX, Need, OPERATIONS, Operation};
use serde_json::Value;
use support::{Client, PASSWORD, TestNode};

const NOBODY: &str = "00000000-0000-7000-8000-000000000000";

fn path(operation: &Operation) -> String {
    let path = operation.path.replace("/queue/{id}", "/queue/77");
    format!("{API_PREFIX}{}", path.replace("{id}", NOBODY).replace("{name}", "no.such.setting"))
}

/// A browser with a session of its own, without the cost of another password check.
async fn session(node: &TestNode, name: &str) -> Client {
    let origin = posthouse_auth::Origin {
        service: posthouse_auth::Service::Http,
        address: "192.0.2.7".parse().unwrap(),
        tls: true,
        channel_binding: None,
    };
    let identity = node.context.auth.password(name, PASSWORD, &origin).await.unwrap();
    let token = node.context.auth.create_session(&identity).await.unwrap();
    Client { cookie: Some(format!("__Host-posthouse={token}")), ..node.client() }
}

#[test]
fn the_openapi_document_describes_the_table_and_nothing_else() {
    let document: Value = serde_json::from_str(&posthouse_http::openapi()).unwrap();
    let mut described: Vec<String> = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            assert!(operation["operationId"].is_string(), "{method} {path} is not documented");
            described.push(format!("{} {path}", method.to_uppercase()));
        }
    }
    let mut table: Vec<String> =
        OPERATIONS.iter().map(|one| format!("{} {}", one.method, one.path)).collect();
    described.sort();
    table.sort();
    assert_eq!(described, table);
}

#[test]
fn the_document_that_the_pages_are_typed_by_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../web/openapi.json");
    let stored = std::fs::read_to_string(path).unwrap();
    assert!(
        stored == posthouse_http::openapi(),
        "write it anew: cargo run -p posthouse-http --example openapi > node/web/openapi.json"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_are_refused_every_operation_but_signing_on() {
    let node = TestNode::start().await;
    node.user("admin", Rights::Full, node.domain).await;
    for operation in OPERATIONS {
        let wrong_cookie =
            Client { cookie: Some("__Host-posthouse=guessed".to_owned()), ..node.client() };
        let wrong_token = Client { bearer: Some("guessed".to_owned()), ..node.command_line() };
        let token_from_elsewhere = Client { bearer: Some(node.token.clone()), ..node.client() };
        for mut client in [node.client(), wrong_cookie, wrong_token.clone(), token_from_elsewhere] {
            let with_token = client.bearer.is_some();
            let answer = client.send(operation.method, &path(operation), None).await;
            let refused = answer.status == StatusCode::UNAUTHORIZED;
            if operation.need != Need::Nobody || with_token {
                assert!(refused, "{operation:?}: {}", answer.status);
                assert!(!answer.text().contains(NOBODY), "{operation:?} repeats what was asked");
            }
        }
    }
    let strangers: Vec<&str> =
        OPERATIONS.iter().filter(|one| one.need == Need::Nobody).map(|one| one.path).collect();
    assert_eq!(strangers, ["/setup", "/session", "/session/negotiate"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_operation_asks_for_the_right_that_the_table_names() {
    let node = TestNode::start().await;
    for (name, rights) in [
        ("nobody", Rights::None),
        ("clerk", Rights::OwnDomain),
        ("reader", Rights::ReadOnly),
        ("admin", Rights::Full),
    ] {
        node.user(name, rights, node.domain).await;
        for operation in OPERATIONS {
            let mut client = session(&node, name).await;
            let answer = client.send(operation.method, &path(operation), None).await;
            let refused = answer.status == StatusCode::FORBIDDEN;
            assert_eq!(
                !refused,
                operation.need.is_met_by(rights),
                "{name} {operation:?}: {} {}",
                answer.status,
                answer.text()
            );
            assert_ne!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{operation:?} has no route");
            assert!(answer.status.as_u16() != 500, "{operation:?}: {}", answer.text());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_that_another_origin_asks_for_are_refused() {
    let node = TestNode::start().await;
    node.user("admin", Rights::Full, node.domain).await;
    for operation in OPERATIONS.iter().filter(|one| one.method != "GET") {
        for headers in [
            &[][..],
            &[("origin", "https://mail.example.test")],
            &[("x-posthouse-request", "1"), ("origin", "https://evil.example")],
            &[("x-posthouse-request", "1"), ("sec-fetch-site", "cross-site")],
        ] {
            let mut client = session(&node, "admin").await;
            let answer = client.send_with(operation.method, &path(operation), None, headers).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{operation:?} {headers:?}");
        }
    }
    let mut command_line = node.command_line();
    let answer = command_line.send_with("POST", "/api/v1/queue/retry", None, &[]).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT, "the token proves enough");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_operations_and_strange_paths_reach_nothing() {
    let node = TestNode::start().await;
    node.user("admin", Rights::Full, node.domain).await;
    let mut client = node.signed_on("admin").await;
    for (method, path, status) in [
        ("GET", "/api/v1/no-such-thing", 404),
        ("GET", "/api/v2/users", 200), // a page, not the API
        ("PATCH", "/api/v1/users", 405),
        ("TRACE", "/api/v1/users", 405),
        ("GET", "/api/v1/users/not-an-id", 400),
        ("GET", "/api/v1/users/..%2fgroups", 400),
        ("GET", "/api/v1/users/%00", 400),
        ("GET", "/api/v1/%2e%2e/%2e%2e/etc/passwd", 404),
        ("GET", "/assets/../../Cargo.toml", 404),
        ("GET", "/assets/%2e%2e/index.html", 404),
        ("POST", "/index.html", 405),
    ] {
        let answer = client.send(method, path, None).await;
        assert_eq!(answer.status.as_u16(), status, "{method} {path}: {}", answer.text());
        assert!(!answer.text().contains("[package]"));
    }
}
