//! What the API makes of the cluster that the node hands in.

#![allow(clippy::unwrap_used)] // helpers of tests

mod support;

use posthouse_directory::Rights;
use posthouse_http::{ClusterOrder, ClusterPlan};
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

async fn order(client: &mut Client, order: Value, dry_run: bool) -> Answer {
    let body = json!({"order": order, "dry_run": dry_run});
    client.send("POST", "/api/v1/cluster/orders", Some(body)).await
}

async fn audit(client: &mut Client) -> String {
    expect(client.get("/api/v1/audit").await, 200).to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_shows_the_plan_and_changes_nothing() {
    let (node, mut admin) = started().await;
    let steps = vec!["Node 3 is emptied.".to_owned(), "Node 3 is removed for good.".to_owned()];
    node.cluster.plan(ClusterPlan { steps, ..ClusterPlan::default() });
    let remove = json!({"kind": "remove", "node": 3});
    let shown = expect(order(&mut admin, remove.clone(), true).await, 200);
    assert_eq!(shown["steps"][1], "Node 3 is removed for good.");
    assert_eq!(shown["done"], false);
    assert!(node.cluster.orders.lock().unwrap().is_empty());
    assert!(!audit(&mut admin).await.contains("remove node 3"));

    let done = expect(order(&mut admin, remove, false).await, 200);
    assert_eq!(done["done"], true);
    let asked = node.cluster.orders.lock().unwrap().clone();
    assert_eq!(asked, [ClusterOrder::Remove { node: 3, force: false }]);
    assert!(audit(&mut admin).await.contains("asks to remove node 3"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_would_lose_data_is_refused_with_the_reason() {
    let (node, mut admin) = started().await;
    let refuses = vec!["Store 2 has no other complete replica.".to_owned()];
    node.cluster.plan(ClusterPlan { refuses, ..ClusterPlan::default() });
    let remove = json!({"kind": "remove", "node": 2});
    let shown = expect(order(&mut admin, remove.clone(), true).await, 200);
    assert_eq!(shown["refuses"][0], "Store 2 has no other complete replica.");
    let problem = expect(order(&mut admin, remove, false).await, 409);
    assert_eq!(problem["code"], "refused");
    assert_eq!(problem["message"], "Store 2 has no other complete replica.");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_with_wrong_or_missing_parts_are_refused() {
    let (node, mut admin) = started().await;
    let nobody = "00000000-0000-7000-8000-000000000000";
    for (body, status) in [
        (json!({"kind": "explode"}), 422),
        (json!({"kind": "remove"}), 422),
        (json!({"kind": "remove", "node": 2, "frce": true}), 422),
        (json!({"kind": "remove", "node": -2}), 422),
        (json!({"kind": "set_site", "node": 2, "site": " "}), 422),
        (json!({"kind": "set_site", "node": 2, "site": "a\nb"}), 422),
        (json!({"kind": "move_mailbox", "account": nobody, "store": 1}), 404),
    ] {
        let answer = order(&mut admin, body.clone(), false).await;
        assert_eq!(answer.status.as_u16(), status, "{body}: {}", answer.text());
    }
    assert!(node.cluster.orders.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_audit_log_names_whose_mailbox_is_moved() {
    let (node, mut admin) = started().await;
    let anna = node.user("anna", Rights::None, node.domain).await;
    let body = json!({"kind": "move_mailbox", "account": anna.0, "store": 2});
    expect(order(&mut admin, body, false).await, 200);
    assert!(audit(&mut admin).await.contains("asks to move the mailbox of anna to store 2"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invite_is_bounded_and_its_code_is_nowhere_else() {
    let (_node, mut admin) = started().await;
    let path = "/api/v1/cluster/invites";
    for (body, status) in [
        (json!({}), 201),
        (json!({"host": "N2.Example.Test", "minutes": 30}), 201),
        (json!({"minutes": 0}), 422),
        (json!({"minutes": 7 * 24 * 60 + 1}), 422),
        (json!({"host": "a\r\nb"}), 422),
        (json!({"days": 3}), 422),
    ] {
        let answer = admin.send("POST", path, Some(body.clone())).await;
        assert_eq!(answer.status.as_u16(), status, "{body}: {}", answer.text());
    }
    let log = audit(&mut admin).await;
    assert!(log.contains("for n2.example.test"), "{log}");
    assert!(!log.contains("TEST"), "the code is in the audit log: {log}");
    let unknown = format!("{path}/00000000-0000-7000-8000-000000000000");
    expect(admin.send("DELETE", &unknown, None).await, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_the_minority_settings_are_read_only_and_every_answer_says_so() {
    let (node, mut admin) = started().await;
    let anna = node.user("anna", Rights::None, node.domain).await.0;
    let mut user = node.signed_on("anna").await;
    let reason = "this node reaches no majority of the cluster (node 2 cannot be reached)";
    let message = format!("settings are read-only at the moment: {reason}");
    node.cluster.read_only(Some(reason));
    for (method, path, body) in [
        ("POST", "/api/v1/users".to_owned(), json!({"name": "berta"})),
        ("PUT", format!("/api/v1/users/{anna}"), json!({"name": "anna"})),
        ("DELETE", format!("/api/v1/users/{anna}"), json!({})),
        ("PUT", "/api/v1/settings/no.such".to_owned(), json!({"value": 1})),
        ("POST", "/api/v1/cluster/invites".to_owned(), json!({})),
        ("POST", "/api/v1/aliases".to_owned(), json!({"name": "a", "targets": ["anna"]})),
    ] {
        let problem = expect(admin.send(method, &path, Some(body)).await, 503);
        assert_eq!(problem["code"], "read_only", "{method} {path}");
        assert_eq!(problem["message"], message, "{method} {path}");
        assert!(problem["remedy"].as_str().unwrap().starts_with("Nothing was changed."));
    }
    let body = json!({"old": support::PASSWORD, "new": "another good password"});
    expect(user.send("PUT", "/api/v1/session/password", Some(body)).await, 503);

    let banner = expect(user.get("/api/v1/cluster/writable").await, 200);
    assert_eq!(banner, json!({"settings_writable": false, "reason": reason}));
    expect(admin.get("/api/v1/users").await, 200);
    expect(admin.send("POST", "/api/v1/queue/retry", Some(json!({}))).await, 204);
    let promote = json!({"kind": "promote", "store": 1, "node": 1});
    expect(order(&mut admin, promote, false).await, 200);

    node.cluster.read_only(None);
    let body = json!({"name": "berta", "password": "a good password 2"});
    expect(admin.send("POST", "/api/v1/users", Some(body)).await, 201);
}
