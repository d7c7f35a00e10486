//! Clients that keep a ledger while nodes are being broken, and the judgement on it: the short version of `make faults`.
#![allow(clippy::unwrap_used)] // a test fails by panicking

use std::time::Duration;

use posthouse_tests::{
    checker::{Verdict, judge},
    cluster::{ClusterOptions, TestCluster},
    load::{Load, LoadOptions, last_views},
    nemesis::moved_clock,
};

/// Ends the clients and judges what they did and saw; nothing may be wrong.
fn judged(cluster: &TestCluster, load: Load, options: &LoadOptions) -> Verdict {
    let history = load.finish();
    cluster.wait_until_whole().unwrap();
    let (last, damaged) = last_views(cluster, 1, &options.mailboxes).unwrap();
    let verdict = judge(&history, &last, &damaged);
    assert!(verdict.violations.is_empty(), "{verdict:#?}");
    verdict
}

const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn one_node_that_is_killed_and_stopped_keeps_every_promise() {
    let mut cluster = TestCluster::with(ClusterOptions::nodes(1)).unwrap();
    let options = LoadOptions { rest: Duration::from_millis(3), ..LoadOptions::default() };
    let load = Load::start(&cluster, options.clone()).unwrap();
    for round in 0..4 {
        load.wait_for(60, Duration::from_secs(30)).unwrap();
        if round % 2 == 0 {
            cluster.kill(1).unwrap()
        } else {
            cluster.stop(1).unwrap()
        }
        cluster.restart(1).unwrap();
        load.refresh(&cluster);
    }
    load.wait_for(60, Duration::from_secs(30)).unwrap();
    let verdict = judged(&cluster, load, &options);
    assert!(verdict.acknowledged > 40 && verdict.registers.0 > 20, "{verdict:#?}");
}

#[test]
fn leaders_that_are_killed_under_load_cost_nothing_that_was_acknowledged() {
    let mut cluster = TestCluster::start(3).unwrap();
    let options = LoadOptions::default();
    let load = Load::start(&cluster, options.clone()).unwrap();
    for round in 0..2 {
        load.wait_for(100, PATIENCE).unwrap();
        let leader = cluster.wait_for_leader(1 + round % 3, 1, |_| true).unwrap();
        cluster.kill(leader).unwrap();
        load.refresh(&cluster);
        load.wait_for(60, PATIENCE).unwrap();
        cluster.restart(leader).unwrap();
        load.refresh(&cluster);
    }
    load.wait_for(100, PATIENCE).unwrap();
    let verdict = judged(&cluster, load, &options);
    assert!(verdict.acknowledged > 100 && verdict.registers.0 > 50, "{verdict:#?}");
}

#[test]
fn a_wall_clock_that_jumps_costs_nothing_that_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("clock");
    std::fs::write(&file, "+0").unwrap();
    let mut options = ClusterOptions::nodes(3);
    options.wrappers = vec![moved_clock(&file)];
    let cluster = TestCluster::with(options).unwrap();
    let options = LoadOptions::default();
    let load = Load::start(&cluster, options.clone()).unwrap();
    // the home of the mailboxes leads them, and its clock jumps
    for offset in ["+1h", "-1h", "+1y", "+0"] {
        load.wait_for(60, PATIENCE).unwrap();
        std::fs::write(&file, offset).unwrap();
    }
    load.wait_for(100, PATIENCE).unwrap();
    let verdict = judged(&cluster, load, &options);
    assert!(verdict.acknowledged > 60, "{verdict:#?}");
}
