//! Programs of different versions on one data folder, and in one cluster.

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use posthouse_tests::{
    cluster::{ClusterOptions, TestCluster},
    node::{NodeOptions, PASSWORD, TestNode},
    wire::{Imap, Smtp},
};

/// The data folder of a node of level 1 (the last program before clusters) that was killed while it ran: anna has 20
/// messages in INBOX, five of them seen, and one in Work; some of it only in the log.
const LEVEL_1: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/level-1-node.tar.gz");

fn unpack(into: &Path) -> Result<()> {
    let status = Command::new("tar").arg("-xzf").arg(LEVEL_1).arg("-C").arg(into).status()?;
    ensure!(status.success(), "{LEVEL_1} cannot be unpacked");
    Ok(())
}

fn old_node(data: &Path) -> Result<TestNode> {
    TestNode::with(NodeOptions { data: Some(data.to_owned()), ..NodeOptions::default() })
}

fn check_mail(node: &TestNode) -> Result<()> {
    let mut imap = Imap::sign_on(node.port("imaps"), &node.ca(), "anna", PASSWORD)?;
    let status = imap.ok("STATUS INBOX (MESSAGES UIDNEXT UIDVALIDITY UNSEEN)")?.join("\n");
    for part in ["MESSAGES 20", "UIDNEXT 21", "UIDVALIDITY 1", "UNSEEN 15"] {
        ensure!(status.contains(part), "{part} is missing in {status}");
    }
    let status = imap.ok("STATUS Work (MESSAGES)")?.join("\n");
    ensure!(status.contains("MESSAGES 1"), "{status}");
    Ok(())
}

#[test]
fn a_node_from_before_clusters_keeps_its_mail_and_becomes_a_cluster() -> Result<()> {
    let folder = tempfile::tempdir()?;
    unpack(folder.path())?;
    let mut node = old_node(folder.path())?;
    check_mail(&node)?;
    let limit = node.json(["setting", "list"])?.to_string();
    ensure!(limit.contains("77"), "a setting of the old program is gone: {limit}");
    let invite = node.json(["cluster", "invite"])?;
    let code = invite["code"].as_str().context("no code")?.to_owned();
    let joined = TestNode::with(NodeOptions {
        host: Some("mail2.example.test".into()),
        join: Some(code),
        ..NodeOptions::default()
    })?;
    check_mail(&joined)?;
    drop(joined);
    node.stop()?;
    Ok(())
}

#[test]
fn an_older_program_does_not_touch_what_a_newer_one_wrote() -> Result<()> {
    let mut node = TestNode::start()?;
    node.stop()?;
    let format = node.data().join("format.json");
    let text = std::fs::read_to_string(&format)?;
    std::fs::write(&format, r#"{"format":99,"program":"9.9.9"}"#)?;
    let error = node.spawn().err().context("the node started")?.to_string();
    ensure!(error.contains("newer program (9.9.9, format 99)"), "{error}");
    std::fs::write(&format, text)?;
    node.spawn()
}

/// Makes nodes act as the program before moves of mailboxes did.
const PREVIOUS: &str = "max_level = 2\n";

fn level(cluster: &TestCluster) -> Result<u64> {
    let status = cluster.node(1).json(["cluster", "status"])?;
    status["domain_group"]["level"].as_u64().context("no level")
}

/// Stops a node and starts it with the new program, or the previous one.
fn change_program(cluster: &mut TestCluster, number: usize, previous: bool) -> Result<()> {
    cluster.stop(number)?;
    let path = cluster.node(number).data().join("node.toml");
    let text = fs::read_to_string(&path)?.replace(PREVIOUS, "");
    fs::write(&path, if previous { format!("{PREVIOUS}{text}") } else { text })?;
    cluster.restart(number)
}

fn deliver_and_read(cluster: &TestCluster, into: usize, from: usize, id: &str) -> Result<()> {
    let mut smtp = Smtp::connect(cluster.node(into).port("smtp"))?;
    let message = format!("Message-ID: <{id}>\r\nSubject: levels\r\n\r\nbody");
    let reply = smtp.deliver("anna@example.test", &message)?;
    ensure!(reply.starts_with("250"), "{reply}");
    let node = cluster.node(from);
    let mut imap = Imap::sign_on(node.port("imaps"), &node.ca(), "anna", PASSWORD)?;
    let there = imap.message_ids("INBOX")?;
    let times = there.iter().filter(|found| *found == id).count();
    ensure!(times == 1, "{id} is there {times} times");
    Ok(())
}

fn move_anna(cluster: &TestCluster) -> Result<std::result::Result<(), String>> {
    let output = cluster.node(1).command(["store", "move", "anna", "2", "--yes"])?;
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok(if output.status.success() { Ok(()) } else { Err(errors) })
}

#[test]
fn a_rolling_update_raises_the_level_when_the_last_node_has_it() -> Result<()> {
    let options = ClusterOptions { more_node_toml: PREVIOUS.into(), ..ClusterOptions::nodes(3) };
    let mut cluster = TestCluster::with(options)?;
    ensure!(level(&cluster)? == 2, "nodes of the previous program agreed on more than they know");
    deliver_and_read(&cluster, 1, 3, "old@x")?;
    for number in [3, 2] {
        change_program(&mut cluster, number, false)?;
        cluster.wait_until_whole()?;
        deliver_and_read(&cluster, number, 1, &format!("mixed{number}@x"))?;
        ensure!(level(&cluster)? == 2, "the level rose before node 1 knew it");
        let refused = move_anna(&cluster)?
            .err()
            .context("a command was proposed that node 1 does not know")?;
        ensure!(refused.contains("level"), "{refused}");
    }
    change_program(&mut cluster, 1, false)?;
    cluster.wait_until_whole()?;
    let deadline = Instant::now() + Duration::from_secs(20);
    while level(&cluster)? < 3 {
        ensure!(Instant::now() < deadline, "the level does not rise");
        std::thread::sleep(Duration::from_millis(100));
    }
    move_anna(&cluster)?.map_err(anyhow::Error::msg)?;
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let moves = cluster.node(2).json(["store", "moves"])?;
        if moves.to_string().contains("\"done\"") {
            break;
        }
        ensure!(Instant::now() < deadline, "the move does not end: {moves}");
        std::thread::sleep(Duration::from_millis(100));
    }
    deliver_and_read(&cluster, 1, 2, "new@x")?;
    let late =
        change_program(&mut cluster, 3, true).err().context("the previous program started")?;
    ensure!(format!("{late:#}").contains("level 3"), "{late:#}");
    Ok(())
}
