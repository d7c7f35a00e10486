//! Three nodes as one domain: they join by code, any of them serves any user, one dies, lines are cut, mailboxes move.
#![allow(clippy::unwrap_used)] // a test fails by panicking

use std::{
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use posthouse_tests::{
    checker::{Verdict, judge},
    cluster::{ClusterOptions, TestCluster, wait},
    load::{Endpoint, Load, LoadOptions, SETTING, last_views, message},
    node::{PASSWORD, TestNode},
    wire::{Imap, Smtp},
};

const PATIENCE: Duration = Duration::from_secs(60);

/// A setting that the clients of the load do not change.
const OTHER: &str = "ldap.time_limit_seconds";

fn imap(cluster: &TestCluster, node: usize, user: &str) -> Imap {
    Endpoint::of(cluster, node).unwrap().imap(user, PATIENCE).unwrap()
}

fn deliver(cluster: &TestCluster, node: usize, user: &str, id: &str) -> String {
    let mut smtp = Endpoint::of(cluster, node).unwrap().smtp(PATIENCE).unwrap();
    smtp.deliver(&format!("{user}@example.test"), &message(id)).unwrap()
}

/// Waits until a user has these messages and no others, as a node shows them.
fn has(cluster: &TestCluster, node: usize, user: &str, ids: &[&str]) {
    wait(PATIENCE, || {
        let mut imap = Endpoint::of(cluster, node)?.imap(user, PATIENCE)?;
        let mut found = imap.message_ids("INBOX")?;
        found.sort();
        ensure!(found == ids, "node {node} shows {user} {found:?}");
        Ok(())
    })
    .unwrap_or_else(|error| {
        panic!("{error:#}\n{:#}\n{}", cluster.status(node).unwrap_or_default(), cluster.logs())
    });
}

/// What the program says when it is told something that it refuses.
fn refused(node: &TestNode, words: &[&str]) -> String {
    let output = node.command(words).unwrap();
    assert!(!output.status.success(), "{words:?}: {output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What node 1 says about a node.
fn state(cluster: &TestCluster, number: u64) -> anyhow::Result<serde_json::Value> {
    let status = cluster.status(1)?;
    let nodes = status["nodes"].as_array().context("no nodes")?;
    nodes.iter().find(|node| node["id"] == number).cloned().context("not listed")
}

fn judged(cluster: &TestCluster, load: Load, options: &LoadOptions) -> Verdict {
    let history = load.finish();
    cluster.wait_until_whole().unwrap();
    let (last, damaged) = last_views(cluster, 1, &options.mailboxes).unwrap();
    let verdict = judge(&history, &last, &damaged);
    assert!(verdict.violations.is_empty(), "{verdict:#?}");
    verdict
}

/// Milliseconds from the delivery on one node until IDLE on another one tells of it.
fn wakes(idle: &mut Imap, smtp: &mut Smtp, id: &str) -> Duration {
    idle.0.send(b"t IDLE\r\n").unwrap();
    while !idle.0.line().unwrap().starts_with('+') {}
    let begin = Instant::now();
    let reply = smtp.deliver("anna@example.test", &message(id)).unwrap();
    assert!(reply.starts_with("250"), "{reply}");
    while !idle.0.line().unwrap().contains("EXISTS") {}
    let took = begin.elapsed();
    idle.0.send(b"DONE\r\n").unwrap();
    while !idle.0.line().unwrap().starts_with("t OK") {}
    took
}

#[test]
fn any_node_serves_any_user() {
    let cluster = TestCluster::start(3).unwrap();
    for (from, to) in [(1, 3), (2, 1), (3, 2)] {
        let id = format!("from-{from}");
        assert!(deliver(&cluster, from, "bob", &id).starts_with("250"));
        let ids = imap(&cluster, to, "bob").message_ids("INBOX").unwrap();
        assert!(ids.contains(&id), "node {to} shows {ids:?}");
    }

    let mut idle = imap(&cluster, 3, "anna");
    idle.ok("SELECT INBOX").unwrap();
    let mut smtp = Endpoint::of(&cluster, 1).unwrap().smtp(PATIENCE).unwrap();
    let mut times: Vec<_> =
        (0..9).map(|number| wakes(&mut idle, &mut smtp, &format!("idle-{number}"))).collect();
    times.sort();
    // the machine may be busy with other tests
    assert!(times[2] < Duration::from_millis(200), "{times:?}");

    // what is set on one node holds on all of them, and everybody can sign on to the address book
    let web = Endpoint::of(&cluster, 2).unwrap().web(PATIENCE).unwrap();
    wait(PATIENCE, || {
        let (status, text) = web.set(SETTING, 777)?;
        ensure!(status == 200, "{status} {text}");
        Ok(())
    })
    .unwrap();
    for number in 1..=3 {
        let node = cluster.node(number);
        wait(PATIENCE, || {
            let shown = Endpoint::of(&cluster, number)?.web(PATIENCE)?.setting(SETTING)?;
            ensure!(shown == 777, "node {number} shows {shown}");
            Ok(())
        })
        .unwrap();
        let output = Command::new("ldapsearch")
            .env("LDAPTLS_CACERT", node.ca())
            .args(["-LLL", "-x", "-b", "", "-D", "anna@example.test", "-w", PASSWORD, "-H"])
            .arg(format!("ldaps://127.0.0.1:{}", node.port("ldaps").port()))
            .args(["(mail=chen@example.test)", "mail"])
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.contains("mail: chen@example.test"), "node {number}: {text} {output:?}");
    }
}

#[test]
fn a_code_works_once_and_unchanged_and_a_removed_node_is_refused_for_good() {
    let mut cluster = TestCluster::start(1).unwrap();
    let code = cluster.invite(1).unwrap();
    let join = |cluster: &mut TestCluster, code: String| {
        format!("{:#}", cluster.add_with("main", Some(code)).unwrap_err()).to_lowercase()
    };
    let mut altered = code.clone().into_bytes();
    let middle = altered.len() / 2;
    altered[middle] = if altered[middle] == b'A' { b'B' } else { b'A' };
    let altered = String::from_utf8(altered).unwrap();
    cluster.stop(1).unwrap();
    let error = join(&mut cluster, altered);
    cluster.restart(1).unwrap();
    // before anything is sent: the node that invites does not run
    assert!(error.contains("altered"), "{error}");

    let revoked = cluster.node(1).json(["cluster", "invite"]).unwrap();
    cluster.node(1).json(["cluster", "revoke", revoked["id"].as_str().unwrap()]).unwrap();
    let error = join(&mut cluster, revoked["code"].as_str().unwrap().to_owned());
    assert!(error.contains("revoked"), "{error}");

    assert_eq!(cluster.add_with("main", Some(code.clone())).unwrap(), 2);
    let error = join(&mut cluster, code);
    assert!(error.contains("used"), "{error}");
    assert_eq!(cluster.add("main").unwrap(), 3);
    cluster.wait_until_whole().unwrap();

    assert!(deliver(&cluster, 3, "anna", "before").starts_with("250"));
    let said = refused(cluster.node(1), &["cluster", "remove", "99", "--yes"]);
    assert!(said.contains("99"), "{said}");
    wait(PATIENCE, || cluster.node(1).json(["store", "drain", "3", "--yes"])).unwrap();
    wait(PATIENCE, || {
        let plan = cluster.node(1).command(["cluster", "remove", "3", "--dry-run"])?;
        ensure!(plan.status.success(), "{plan:?}");
        Ok(())
    })
    .unwrap();
    wait(PATIENCE, || cluster.node(1).json(["cluster", "remove", "3", "--yes"])).unwrap();
    wait(PATIENCE, || {
        let three = state(&cluster, 3)?;
        ensure!(three["state"] == "removed", "{three}");
        Ok(())
    })
    .unwrap();
    has(&cluster, 1, "anna", &["before"]);
    assert!(deliver(&cluster, 1, "anna", "later").starts_with("250"));
    // It comes back with its certificate and its log, and is not let in.
    if cluster.node(3).is_running() {
        let _ = cluster.kill(3);
    }
    let _ = cluster.restart(3);
    std::thread::sleep(Duration::from_secs(1));
    let three = state(&cluster, 3).unwrap();
    assert_eq!((&three["state"], &three["reachable"]), (&"removed".into(), &false.into()));
    has(&cluster, 1, "anna", &["before", "later"]);
}

#[test]
fn the_death_of_a_leader_and_a_cut_off_node_cost_nothing_that_was_acknowledged() {
    let mut cluster = TestCluster::start(3).unwrap();
    let options = LoadOptions::default();
    let load = Load::start(&cluster, options.clone()).unwrap();
    load.wait_for(100, PATIENCE).unwrap();
    let leader = cluster.wait_for_leader(1, 1, |_| true).unwrap();
    cluster.kill(leader).unwrap();
    load.refresh(&cluster);
    load.wait_for(100, PATIENCE).unwrap();
    cluster.restart(leader).unwrap();
    load.refresh(&cluster);
    load.wait_for(100, PATIENCE).unwrap();

    // Cut off: the majority goes on, the minority says plainly that it cannot change settings.
    let domain = cluster.wait_for_leader(1, 0, |_| true).unwrap();
    cluster.cut(&[domain]);
    let web = Endpoint::of(&cluster, domain).unwrap().web(PATIENCE).unwrap();
    wait(PATIENCE, || {
        let (status, text) = web.set(OTHER, 43)?;
        ensure!(status == 503 && text.contains("read_only"), "{status} {text}");
        ensure!(text.contains("settings are read-only"), "{text}");
        Ok(())
    })
    .unwrap();
    assert!(refused(cluster.node(domain), &["setting", "set", OTHER, "43"]).contains("read-only"));
    load.wait_for(100, PATIENCE).unwrap();
    cluster.heal().unwrap();
    load.wait_for(100, PATIENCE).unwrap();
    let verdict = judged(&cluster, load, &options);
    assert!(verdict.acknowledged > 100 && verdict.registers.0 > 50, "{verdict:#?}");
}

#[test]
fn a_mailbox_moves_while_it_is_used() {
    let cluster = TestCluster::start(3).unwrap();
    let options = LoadOptions::default();
    let load = Load::start(&cluster, options.clone()).unwrap();
    load.wait_for(150, PATIENCE).unwrap();
    for store in [2, 3] {
        let to = store.to_string();
        wait(PATIENCE, || cluster.node(1).json(["store", "move", "anna", to.as_str(), "--yes"]))
            .unwrap();
        // a leader that loses its lease for a moment, on a busy machine, lets a move wait
        wait(PATIENCE * 3, || {
            let moves = cluster.node(2).json(["store", "moves"])?;
            let moves = moves.as_array().context("no list")?;
            let done = |one: &&serde_json::Value| one["to"] == store;
            let one = moves.iter().rev().find(done).context("no such move")?;
            ensure!(one["state"] == "done", "{one}");
            Ok(())
        })
        .unwrap();
        load.wait_for(100, PATIENCE).unwrap();
    }
    judged(&cluster, load, &options);
}

#[test]
fn with_the_line_between_sites_cut_each_side_works_and_mail_for_the_other_waits_and_comes_once() {
    let mut options = ClusterOptions::nodes(3);
    options.sites = ["berlin", "berlin", "hamburg"].map(str::to_owned).to_vec();
    let cluster = TestCluster::with(options).unwrap();
    // chen works in Hamburg
    for order in [["set-replicas", "3", "1"], ["move", "chen", "3"]] {
        let words = [&["store"][..], &order, &["--yes"]].concat();
        wait(PATIENCE, || cluster.node(1).json(&words)).unwrap();
    }
    wait(PATIENCE, || {
        let status = cluster.status(3)?;
        let stores = status["stores"].as_array().context("no stores")?;
        let three = stores.iter().find(|store| store["id"] == 3).context("no store 3")?;
        ensure!(three["mailboxes"] == 1, "{three}");
        ensure!(three["replicas"].as_array().is_some_and(|all| all.len() == 1), "{three}");
        Ok(())
    })
    .unwrap();
    assert!(deliver(&cluster, 1, "chen", "a-before").starts_with("250"));
    has(&cluster, 3, "chen", &["a-before"]);

    cluster.cut(&[3]);
    // in Hamburg: sign-on, own mail, address book
    let sent = wait(PATIENCE, || {
        let mut smtp = Endpoint::of(&cluster, 3)?.smtp(PATIENCE)?;
        let reply = smtp.deliver("chen@example.test", &message("b-hamburg"))?;
        ensure!(reply.starts_with("250"), "{reply}");
        Ok(())
    });
    sent.unwrap();
    has(&cluster, 3, "chen", &["a-before", "b-hamburg"]);
    // in Berlin, and from one to the other
    for (node, user, id) in
        [(1, "anna", "c-berlin"), (2, "chen", "d-to-hamburg"), (3, "anna", "e-to-berlin")]
    {
        wait(PATIENCE, || {
            let reply = deliver(&cluster, node, user, id);
            ensure!(reply.starts_with("250"), "{id}: {reply}");
            Ok(())
        })
        .unwrap();
    }
    has(&cluster, 2, "anna", &["c-berlin"]);
    has(&cluster, 3, "chen", &["a-before", "b-hamburg"]);
    cluster.heal().unwrap();
    has(&cluster, 1, "chen", &["a-before", "b-hamburg", "d-to-hamburg"]);
    has(&cluster, 3, "anna", &["c-berlin", "e-to-berlin"]);
    // and not once more
    std::thread::sleep(Duration::from_secs(1));
    has(&cluster, 3, "chen", &["a-before", "b-hamburg", "d-to-hamburg"]);
    has(&cluster, 1, "anna", &["c-berlin", "e-to-berlin"]);
}
