//! The pages in headless Chromium, against real nodes: `tests/browser` holds the scenarios.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use posthouse_tests::{
    cluster::TestCluster,
    node::{NodeOptions, PASSWORD, TestNode},
};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("browser")
}

/// Installs what the scenarios need, once: tests run in processes of their own.
fn install() -> Result<()> {
    let folder = folder();
    let lock = fs::File::open(folder.join("package.json"))?;
    lock.lock()?;
    if folder.join("node_modules/playwright-core").exists() {
        return Ok(());
    }
    let mut npm = Command::new("npm");
    run(npm.args(["ci", "--no-audit", "--no-fund"]).current_dir(&folder), "npm ci")
}

fn run(command: &mut Command, what: &str) -> Result<()> {
    let output = command.output().with_context(|| format!("{what} cannot be started"))?;
    let printed = String::from_utf8_lossy(&output.stdout);
    let complaints = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{what}:\n{printed}\n{complaints}");
    ensure!(!printed.contains("# SKIP"), "{what} left something out:\n{printed}");
    Ok(())
}

fn scenarios(file: &str) -> Command {
    let mut command = Command::new("node");
    command
        .args(["--test", "--test-concurrency=1", "--test-timeout=180000", file])
        .current_dir(folder());
    command
}

fn address(node: &TestNode) -> Result<String> {
    let address = node.ports.get("admin").context("the node has no admin port")?;
    Ok(format!("https://{address}"))
}

#[test]
fn a_domain_is_administered_in_the_browser() -> Result<()> {
    install()?;
    let node = TestNode::start()?;
    let mut command = scenarios("admin.test.js");
    command.env("POSTHOUSE_URL", address(&node)?).env("POSTHOUSE_PASSWORD", PASSWORD);
    run(&mut command, "the administration")
}

#[test]
fn the_cluster_of_one_node_is_shown_in_the_browser() -> Result<()> {
    install()?;
    let node = TestNode::start()?;
    let mut command = scenarios("cluster.test.js");
    command.env("POSTHOUSE_URL", address(&node)?).env("POSTHOUSE_PASSWORD", PASSWORD);
    run(&mut command, "the cluster of one")
}

/// One scene of `cluster-nodes.test.js` at the nodes that run.
fn scene(cluster: &TestCluster, name: &str, more: &[(&str, String)]) -> Result<()> {
    let running = cluster.running();
    let urls: Result<Vec<_>> = running.into_iter().map(|one| address(cluster.node(one))).collect();
    let mut command = scenarios("cluster-nodes.test.js");
    command
        .env("POSTHOUSE_SCENE", name)
        .env("POSTHOUSE_NODE_URLS", urls?.join(","))
        .env("POSTHOUSE_NODES", cluster.count().to_string())
        .env("POSTHOUSE_PASSWORD", PASSWORD)
        .envs(more.iter().map(|(key, value)| (key, value)));
    run(&mut command, name)
}

#[test]
fn three_nodes_are_shown_whole_with_one_dead_and_with_one_cut_off() -> Result<()> {
    install()?;
    let mut cluster = TestCluster::start(3)?;
    scene(&cluster, "whole", &[])?;
    cluster.cut(&[2]);
    scene(&cluster, "cut", &[("POSTHOUSE_CUT_URL", address(cluster.node(2))?)])?;
    cluster.heal()?;
    cluster.wait_until_whole()?;
    cluster.kill(3)?;
    scene(&cluster, "dead", &[("POSTHOUSE_AWAY", "3".to_owned())])
}

#[test]
fn a_fresh_node_is_set_up_in_the_browser() -> Result<()> {
    install()?;
    let node = TestNode::with(NodeOptions { no_answers: true, ..NodeOptions::default() })?;
    let log = node.log();
    let code = log
        .split_once("give this code:")
        .and_then(|(_, rest)| rest.split_whitespace().next())
        .with_context(|| format!("the node shows no code: {log}"))?;
    let mut command = scenarios("setup.test.js");
    command
        .env("POSTHOUSE_SETUP_URL", address(&node)?)
        .env("POSTHOUSE_SETUP_CODE", code)
        .env("POSTHOUSE_SETUP_ADDRESSES", node.data().join("addresses.json"))
        .env("POSTHOUSE_SETUP_FOLDER", node.scratch());
    run(&mut command, "the set-up")
}
