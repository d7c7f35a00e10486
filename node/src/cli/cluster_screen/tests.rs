use posthouse_http::{ClusterLink, DomainGroupView, PlannedAction};

use super::*;

fn two_nodes() -> ClusterStatus {
    let node = |id: u64, host: &str| ClusterNode {
        id,
        host: host.to_owned(),
        site: "berlin".to_owned(),
        reachable: true,
        version: "0.1.0".to_owned(),
        level: 2,
        certificate_days: Some(89),
        clock_difference_ms: Some(-3),
        disk_free: Some(5 << 30),
        uptime: Some(7_300),
        domain_lag: Some(0),
        stores_led: vec![id],
        stores_held: vec![1, 2],
        what_if_lost: "nothing is lost".to_owned(),
        ..Default::default()
    };
    let link = |from, to, reachable, round_trip_us| ClusterLink {
        from,
        to,
        reachable,
        round_trip_us,
        problem: String::new(),
    };
    ClusterStatus {
        name: "example.test".to_owned(),
        this_node: 1,
        settings_writable: true,
        domain_group: DomainGroupView {
            leader: Some(1),
            quorum: true,
            voters: vec![1],
            learners: vec![2],
            level: 2,
        },
        nodes: vec![node(1, "n1.example.test"), node(2, "n2.example.test")],
        matrix: vec![link(1, 2, true, Some(420)), link(2, 1, false, None)],
        stores: vec![ClusterStore {
            id: 1,
            home: 1,
            leader: Some(1),
            wanted: 2,
            replicas: vec![
                ClusterReplica { node: 1, voter: true, complete: true, ..Default::default() },
                ClusterReplica {
                    node: 2,
                    reachable: true,
                    lag: Some(12),
                    progress: Some(40.2),
                    missing_bodies: Some(3),
                    ..Default::default()
                },
            ],
            mailboxes: 7,
            bytes: 1536,
            quorum: true,
        }],
        planned: vec![PlannedAction {
            action: "store 2 gets a replica".into(),
            reason: "one is missing".into(),
        }],
        ..Default::default()
    }
}

#[test]
fn the_screen_says_who_leads_who_lags_and_who_does_not_reach_whom() {
    let text = lines(&two_nodes()).join("\n");
    for wanted in [
        "Cluster example.test, seen from node 1 (n1.example.test)",
        "Directory: led by node 1, voters 1, without vote 2, a majority answers, level 2",
        "Settings: can be changed",
        "89 days",
        "-3 ms",
        "5.0 GiB",
        "2 h",
        "1, 2 [no vote, 40 %, 12 behind, 3 bodies missing] (2 wanted)",
        "1.5 KiB",
        "0.4 ms",
        "CUT",
        "1 (n1.example.test): nothing is lost",
        "store 2 gets a replica (one is missing)",
    ] {
        assert!(text.contains(wanted), "{wanted} is missing in:\n{text}");
    }
}

#[test]
fn a_cut_off_node_and_a_removed_one_stand_out() {
    let mut status = two_nodes();
    status.settings_writable = false;
    status.read_only_reason = "this node reaches no majority".to_owned();
    status.domain_group.quorum = false;
    status.domain_group.leader = None;
    status.nodes[0].reachable = false;
    status.nodes[1].state = ClusterNodeState::Removed;
    status.warnings = vec!["evil \u{1b}[2J".to_owned()];
    let text = lines(&status).join("\n");
    for wanted in [
        "without a leader",
        "NO MAJORITY ANSWERS",
        "Settings: READ-ONLY: this node reaches no majority",
        "NOT REACHED",
        "removed",
        "! evil \u{fffd}[2J",
    ] {
        assert!(text.contains(wanted), "{wanted} is missing in:\n{text}");
    }
    assert!(!text.contains("Round trips"), "one node has nobody to reach");
}

#[test]
fn sizes_are_readable() {
    for (bytes, text) in [
        (0, "0 B"),
        (1023, "1023 B"),
        (1536, "1.5 KiB"),
        (5 << 30, "5.0 GiB"),
        (u64::MAX, "16777216.0 TiB"),
    ] {
        assert_eq!(size(bytes), text);
    }
}
