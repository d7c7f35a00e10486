//! Signing on and off over HTTP, and the headers of every answer.

#![allow(clippy::unwrap_used)] // helpers of tests

mod support;

use axum::http::StatusCode;
use posthouse_directory::Rights;
use serde_json::json;
use support::{PASSWORD, TestNode};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_user_and_wrong_password_get_the_same_answer() {
    let node = TestNode::start().await;
    node.user("admin", Rights::Full, node.domain).await;
    let mut answers = Vec::new();
    for (name, password) in [("admin", "wrong"), ("nobody", "wrong"), ("admin", "x")] {
        let mut client = node.client();
        let body = json!({"name": name, "password": password});
        let answer = client.send("POST", "/api/v1/session", Some(body)).await;
        assert!(client.cookie.is_none());
        answers.push((answer.status, answer.text()));
    }
    assert_eq!(answers[0].0, StatusCode::UNAUTHORIZED);
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_sign_on_makes_a_new_session_and_ends_the_one_before() {
    let node = TestNode::start().await;
    node.user("admin", Rights::Full, node.domain).await;
    let mut client = node.client();
    client.cookie = Some("__Host-posthouse=chosen-by-somebody-else".to_owned());
    let body = json!({"name": "admin", "password": PASSWORD});
    let answer = client.send("POST", "/api/v1/session", Some(body.clone())).await;
    let cookie = answer.header("set-cookie").to_owned();
    for part in ["__Host-posthouse=", "; Path=/", "; Secure", "; HttpOnly", "; SameSite=Strict"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.contains("chosen-by-somebody-else"));
    let mut first = client.clone();
    client.send("POST", "/api/v1/session", Some(body)).await;
    assert_eq!(first.get("/api/v1/session").await.status, StatusCode::UNAUTHORIZED);
    let mut copy = client.clone();
    assert_eq!(client.send("DELETE", "/api/v1/session", None).await.status, StatusCode::NO_CONTENT);
    assert_eq!(copy.get("/api/v1/session").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn negotiate_is_not_offered_without_a_keytab() {
    let node = TestNode::start().await;
    let mut client = node.client();
    let answer = client.get("/api/v1/session/negotiate").await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert_eq!(answer.json()["code"], "not_available");
    assert_eq!(answer.header("www-authenticate"), "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn administrators_signing_on_are_in_the_audit_log_and_others_are_not() {
    let node = TestNode::start().await;
    node.user("admin", Rights::Full, node.domain).await;
    node.user("anna", Rights::None, node.domain).await;
    node.signed_on("anna").await;
    let mut admin = node.signed_on("admin").await;
    let audit = admin.get("/api/v1/audit?limit=100").await.json();
    assert_eq!(audit[0]["text"], "signed on as administrator from 192.0.2.7");
    assert_eq!(audit[0]["who"], "admin@example.test");
    assert_eq!(audit.to_string().matches("signed on").count(), 1, "{audit}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_carries_the_security_headers() {
    let node = TestNode::start().await;
    for (path, kept) in [
        ("/", "no-store"),
        ("/users", "no-store"),
        ("/api/v1/session", "no-store"),
        ("/api/v1/nothing", "no-store"),
        ("/healthz", "no-store"),
        ("/assets/nothing.js", "no-store"),
    ] {
        let answer = node.client().get(path).await;
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("x-frame-options", "DENY"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cache-control", kept),
        ] {
            assert_eq!(answer.header(name), value, "{path} {name}");
        }
        assert!(answer.header("strict-transport-security").starts_with("max-age="), "{path}");
        let policy = answer.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'"), "{path}: {policy}");
        assert!(policy.contains("frame-ancestors 'none'"), "{path}: {policy}");
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_nonce_of_a_page_is_its_own() {
    let node = TestNode::start().await;
    let mut nonces = Vec::new();
    for _ in 0..2 {
        let answer = node.client().get("/").await;
        assert!(answer.header("content-type").starts_with("text/html"));
        let policy = answer.header("content-security-policy").to_owned();
        let nonce = policy.split("'nonce-").nth(1).unwrap().split('\'').next().unwrap().to_owned();
        assert!(nonce.len() >= 22);
        assert!(!answer.text().contains("posthouse-nonce"));
        nonces.push(nonce);
    }
    assert_ne!(nonces[0], nonces[1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_are_for_this_machine_and_for_administrators() {
    let node = TestNode::start().await;
    node.user("reader", Rights::ReadOnly, node.domain).await;
    node.user("anna", Rights::None, node.domain).await;
    assert_eq!(node.client().get("/metrics").await.status, StatusCode::UNAUTHORIZED);
    let mut anna = node.signed_on("anna").await;
    assert_eq!(anna.get("/metrics").await.status, StatusCode::FORBIDDEN);
    let mut reader = node.signed_on("reader").await;
    assert!(reader.get("/metrics").await.text().contains("# TYPE"));
    let mut local = node.client();
    local.address = "127.0.0.1:9".parse().unwrap();
    assert_eq!(local.get("/metrics").await.status, StatusCode::OK);
    assert_eq!(node.client().get("/healthz").await.text(), "ok\n");
    assert_eq!(node.client().get("/readyz").await.text(), "ready\n");
}
