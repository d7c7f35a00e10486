//! Programs of different versions on one data folder, and in one cluster.

use std::{path::Path, process::Command};

use anyhow::{Context, Result, ensure};
use posthouse_tests::{
    node::{NodeOptions, PASSWORD, TestNode},
    wire::Imap,
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
