//! What administrators do, over a real directory and a real store.

#![allow(clippy::unwrap_used)] // helpers of tests

mod support;

use axum::http::StatusCode;
use posthouse_directory::Rights;
use posthouse_store::{MailboxId, Request, Response};
use serde_json::{Value, json};
use support::{Answer, Client, TestNode};

async fn started() -> (TestNode, Client) {
    let node = TestNode::start().await;
    node.user("admin", Rights::Full, node.domain).await;
    let client = node.signed_on("admin").await;
    (node, client)
}

fn expect(answer: Answer, status: u16) -> Value {
    assert_eq!(answer.status.as_u16(), status, "{}", answer.text());
    if answer.body.is_empty() { Value::Null } else { answer.json() }
}

async fn mailbox(node: &TestNode, id: &Value) -> Response {
    let mailbox = MailboxId(id.as_str().unwrap().parse().unwrap());
    node.context.stores.request(Request::Quota { mailbox }).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_has_a_mailbox_a_sign_on_and_can_be_renamed() {
    let (node, mut admin) = started().await;
    let body = json!({
        "name": "Anna", "display_name": "Anna Adler", "addresses": ["anna.adler"],
        "person": {"phone": "+49 30 1234"}, "password": "a good password 1",
        "quota_bytes": 1000000
    });
    let anna = expect(admin.send("POST", "/api/v1/users", Some(body)).await, 201);
    assert_eq!(anna["name"], "anna");
    assert_eq!(anna["has_password"], true);
    assert!(matches!(mailbox(&node, &anna["id"]).await,
        Response::Quota { quota, .. } if quota.bytes == Some(1_000_000)));
    let form = json!({"name": "anna", "password": "a good password 1"});
    expect(node.client().send("POST", "/api/v1/session", Some(form)).await, 200);

    let found = expect(admin.get("/api/v1/users?search=1234").await, 200);
    assert_eq!(found["total"], 1, "found by telephone number");
    let path = format!("/api/v1/users/{}", anna["id"].as_str().unwrap());
    let mut change = anna.clone();
    change["name"] = json!("anna.berger");
    change["quota_bytes"] = json!(2000000);
    expect(admin.send("PUT", &path, Some(change.clone())).await, 200);
    let stale = expect(admin.send("PUT", &path, Some(change)).await, 409);
    assert_eq!(stale["code"], "changed_meanwhile");
    assert!(matches!(mailbox(&node, &anna["id"]).await,
        Response::Quota { quota, .. } if quota.bytes == Some(2_000_000)));
    for address in ["anna@example.test", "anna.berger@example.test", "anna.adler@example.test"] {
        let found = expect(admin.get(&format!("/api/v1/resolve?address={address}")).await, 200);
        assert_eq!(found["targets"][0]["user"], anna["id"], "{address}");
    }
    expect(admin.send("DELETE", &path, None).await, 204);
    assert!(matches!(mailbox(&node, &anna["id"]).await, Response::Quota { .. }), "it is kept");
    expect(admin.get(&path).await, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_named_with_the_field() {
    let (node, mut admin) = started().await;
    let long = "x".repeat(300);
    for (path, body, status, field) in [
        ("users", json!({"name": ""}), 422, "name"),
        ("users", json!({"name": "two words"}), 422, "name"),
        ("users", json!({"name": "a", "password": "short"}), 422, "password"),
        (
            "users",
            json!({"name": "a", "display_name": "A\r\nBcc: e@evil.example"}),
            422,
            "display_name",
        ),
        ("users", json!({"name": "a", "display_name": long}), 422, "display_name"),
        ("users", json!({"name": "a", "person": {"phone": "1\n2"}}), 422, "phone"),
        (
            "users",
            json!({"name": "a", "domain": "00000000-0000-7000-8000-000000000000"}),
            404,
            "domain",
        ),
        (
            "groups",
            json!({"name": "g", "members": ["00000000-0000-7000-8000-000000000000"]}),
            422,
            "members",
        ),
        ("aliases", json!({"name": "a", "targets": []}), 422, "targets"),
        ("sources", json!({"directory_domain": "", "bind_name": "x"}), 422, "directory_domain"),
        (
            "sources",
            json!({"directory_domain": "ad.example.test", "bind_name": "x"}),
            422,
            "bind_password",
        ),
    ] {
        let answer = admin.send("POST", &format!("/api/v1/{path}"), Some(body.clone())).await;
        let problem = expect(answer, status);
        assert_eq!(problem["field"], field, "{body}: {problem}");
    }
    let twice =
        expect(admin.send("POST", "/api/v1/users", Some(json!({"name": "admin"}))).await, 409);
    assert_eq!(twice["code"], "address_taken");
    assert_ne!(twice["remedy"], "");
    let bad = admin.send("POST", "/api/v1/users", Some(json!({"nome": "x"}))).await;
    assert_eq!(bad.header("content-type"), "application/problem+json");
    assert_eq!(expect(bad, 422)["code"], "bad_request");
    drop(node);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_full_administrator_stays_f8_1_6() {
    let (_node, mut admin) = started().await;
    let me = expect(admin.get("/api/v1/session").await, 200);
    let path = format!("/api/v1/users/{}", me["id"].as_str().unwrap());
    for (method, path, body) in [
        ("PUT", path.clone(), Some(json!({"name": "admin", "rights": "none"}))),
        ("PUT", format!("{path}/state"), Some(json!({"enabled": false}))),
        ("DELETE", path, None),
    ] {
        let problem = expect(admin.send(method, &path, body).await, 409);
        assert_eq!(problem["code"], "last_administrator");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_are_in_no_answer() {
    let (node, mut admin) = started().await;
    const CANARY: &str = "canary-7Qx-secret";
    let user = json!({"name": "anna", "password": CANARY});
    let user = expect(admin.send("POST", "/api/v1/users", Some(user)).await, 201);
    let source = json!({"directory_domain": "ad.example.test", "bind_name": "reader",
        "bind_password": CANARY, "controllers": ["dc1.ad.example.test"]});
    let source = expect(admin.send("POST", "/api/v1/sources", Some(source)).await, 201);
    assert_eq!(source["has_password"], true);
    let mut paths: Vec<String> = posthouse_http::OPERATIONS
        .iter()
        .filter(|one| one.method == "GET" && !one.path.contains('{'))
        .map(|one| format!("/api/v1{}", one.path))
        .collect();
    paths.push(format!("/api/v1/users/{}", user["id"].as_str().unwrap()));
    paths.push(format!("/api/v1/sources/{}", source["id"].as_str().unwrap()));
    for path in paths {
        let text = admin.get(&path).await.text();
        assert!(!text.contains(CANARY) && !text.contains("$argon2"), "{path}: {text}");
    }
    drop(node);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stored_password_goes_to_no_other_place() {
    let (node, mut admin) = started().await;
    let body = json!({"directory_domain": "ad.example.test", "bind_name": "reader",
        "bind_password": "first-secret", "controllers": ["dc1.ad.example.test"]});
    let source = expect(admin.send("POST", "/api/v1/sources", Some(body)).await, 201);
    let id = source["id"].clone();
    let path = format!("/api/v1/sources/{}", id.as_str().unwrap());
    let mut same = source.clone();
    same["id"] = id;
    let preview =
        expect(admin.send("POST", "/api/v1/sources/preview", Some(same.clone())).await, 200);
    assert_eq!(preview["users"], 2);
    assert_eq!(*node.sources.passwords.lock().unwrap(), ["first-secret"]);
    for (field, value) in [
        ("controllers", json!(["evil.example"])),
        ("directory_domain", json!("evil.example")),
        ("ca", json!("another authority")),
        ("bind_name", json!("somebody")),
    ] {
        let mut moved = same.clone();
        moved[field] = value;
        for (method, path) in [("POST", "/api/v1/sources/preview"), ("PUT", path.as_str())] {
            let problem = expect(admin.send(method, path, Some(moved.clone())).await, 422);
            assert_eq!(problem["field"], "bind_password", "{field}");
        }
    }
    assert_eq!(node.sources.passwords.lock().unwrap().len(), 1);
    same["name"] = json!("renamed");
    expect(admin.send("PUT", &path, Some(same)).await, 200);
    let report = expect(admin.send("POST", &format!("{path}/sync"), None).await, 200);
    assert_eq!(report["changed"], 3);
    assert_eq!(report["withheld"], 9);
    let report = expect(admin.send("POST", &format!("{path}/confirm"), None).await, 200);
    assert_eq!(report["disabled"], 9);
    let down = json!({"directory_domain": "down.test", "bind_name": "r", "bind_password": "x"});
    let problem = expect(admin.send("POST", "/api/v1/sources/preview", Some(down)).await, 502);
    assert_eq!(problem["message"], "no controller answered");
    expect(admin.send("DELETE", &path, None).await, 204);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_are_checked_stored_and_go_back_to_their_default() {
    let (node, mut admin) = started().await;
    let path = "/api/v1/settings/ldap.time_limit_seconds";
    expect(admin.send("PUT", path, Some(json!({"value": 44}))).await, 200);
    assert_eq!(node.context.directory.integer(posthouse_directory::key::LDAP_TIME_LIMIT), 44);
    for bad in [json!(0), json!(100000), json!("44"), json!(-1), json!(1.5), json!([])] {
        let problem = expect(admin.send("PUT", path, Some(json!({"value": bad}))).await, 422);
        assert_eq!(problem["field"], "value");
    }
    let back = expect(admin.send("PUT", path, Some(json!({"value": null}))).await, 200);
    assert_eq!(back["value"], back["default"]);
    let listed = expect(admin.get("/api/v1/settings").await, 200);
    assert_eq!(listed.as_array().unwrap().len(), posthouse_directory::SETTINGS.len());
    let audit = admin.get("/api/v1/audit").await.text();
    assert!(audit.contains("ldap.time_limit_seconds"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn domains_are_made_renamed_and_removed_when_empty() {
    let (_node, mut admin) = started().await;
    let branch = json!({"name": "Branch.test", "aliases": ["zweig.test"]});
    let branch = expect(admin.send("POST", "/api/v1/domains", Some(branch)).await, 201);
    let path = format!("/api/v1/domains/{}", branch["id"].as_str().unwrap());
    let user = json!({"name": "anna", "domain": branch["id"]});
    let user = expect(admin.send("POST", "/api/v1/users", Some(user)).await, 201);
    let renamed = json!({"name": "office.test", "aliases": ["zweig.test"]});
    let renamed = expect(admin.send("PUT", &path, Some(renamed)).await, 200);
    assert!(renamed["aliases"].to_string().contains("branch.test"), "{renamed}");
    let problem = expect(admin.send("DELETE", &path, None).await, 409);
    assert_eq!(problem["code"], "domain_in_use");
    let user = format!("/api/v1/users/{}", user["id"].as_str().unwrap());
    expect(admin.send("DELETE", &format!("{user}?remove_mailbox=true"), None).await, 204);
    expect(admin.send("DELETE", &path, None).await, 204);
    let domains = expect(admin.get("/api/v1/domains").await, 200);
    assert_eq!(domains.as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn demo_users_have_mail_and_can_sign_on() {
    let (node, mut admin) = started().await;
    let answer = admin.send("POST", "/api/v1/demo/users", Some(json!({"count": 120}))).await;
    assert_eq!(answer.status, StatusCode::OK);
    let text = answer.text();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        lines.iter().map(|line| line["done"].as_u64().unwrap()).collect::<Vec<_>>(),
        [100, 120, 120]
    );
    let last = lines.last().unwrap();
    assert_eq!(last["finished"], true);
    let users = expect(admin.get("/api/v1/users?limit=1000").await, 200);
    assert_eq!(users["total"], 121);
    let one =
        users["items"].as_array().unwrap().iter().find(|user| user["name"] != "admin").unwrap();
    let mailbox = MailboxId(one["id"].as_str().unwrap().parse().unwrap());
    let request = Request::Folder { mailbox, name: "INBOX".to_owned() };
    let Response::Folder(inbox) = node.context.stores.request(request).await.unwrap() else {
        panic!()
    };
    assert_eq!(inbox.exists, 5);
    let form = json!({"name": one["name"], "password": last["password"]});
    expect(node.client().send("POST", "/api/v1/session", Some(form)).await, 200);
    let again = admin.send("POST", "/api/v1/demo/users", Some(json!({"count": 3}))).await;
    assert!(again.text().contains("\"finished\":true"), "{}", again.text());
    expect(admin.send("POST", "/api/v1/demo/users", Some(json!({"count": 0}))).await, 422);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_queue_is_listed_retried_and_emptied() {
    use posthouse_store::{Envelope, Message, RelayRecipient};
    let (node, mut admin) = started().await;
    let request = Request::Deliver {
        envelope: Envelope {
            sender: "admin@example.test".to_owned(),
            envelope_id: None,
            return_full: false,
            eight_bit: false,
            utf8: false,
        },
        local: Vec::new(),
        relay: vec![RelayRecipient {
            address: "bob@elsewhere.test".to_owned(),
            original: None,
            notify: 6,
        }],
        message: Message("Subject: hello\r\n\r\nhello\r\n".into()),
    };
    node.context.stores.request(request).await.unwrap();
    let queue = expect(admin.get("/api/v1/queue").await, 200);
    assert_eq!(queue[0]["recipients"][0]["address"], "bob@elsewhere.test");
    let id = queue[0]["id"].as_u64().unwrap();
    expect(admin.send("POST", &format!("/api/v1/queue/{id}/retry"), None).await, 204);
    expect(admin.send("POST", "/api/v1/queue/retry", None).await, 204);
    assert_eq!(expect(admin.get("/api/v1/status").await, 200)["counts"]["queue"], 1);
    expect(admin.send("DELETE", &format!("/api/v1/queue/{id}"), None).await, 204);
    assert_eq!(expect(admin.get("/api/v1/queue").await, 200), json!([]));
    expect(admin.send("DELETE", &format!("/api/v1/queue/{id}"), None).await, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_of_this_machine_needs_no_session() {
    let (node, _) = started().await;
    let mut command_line = node.command_line();
    assert_eq!(expect(command_line.get("/api/v1/session").await, 200)["rights"], "full");
    let user = json!({"name": "anna"});
    expect(command_line.send_with("POST", "/api/v1/users", Some(user), &[]).await, 201);
    let audit = expect(command_line.get("/api/v1/audit?limit=1").await, 200);
    assert_eq!(audit[0]["who"], "command line");
    let keytab = command_line.send_with("PUT", "/api/v1/keytab", None, &[]).await;
    assert_eq!(expect(keytab, 422)["code"], "bad_keytab");
}
