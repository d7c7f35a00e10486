//! A made-up cluster of three nodes in two sites, for work on the pages.

use posthouse_http::{
    AuthorityView, ClusterLink, ClusterNode, ClusterNodeState, ClusterPlan, ClusterReplica,
    ClusterStatus, ClusterStore, DomainGroupView, NoCluster, PlannedAction,
};

fn node(id: u64, site: &str) -> ClusterNode {
    ClusterNode {
        id,
        host: format!("n{id}.example.test"),
        site: site.to_owned(),
        reachable: id != 3,
        addresses: vec![format!("10.1.0.{id}:4041")],
        version: "0.1.0".to_owned(),
        level: 2,
        certificate_days: Some(88),
        clock_difference_ms: Some(id as i64 * 3 - 4),
        disk_free: Some(id * (40 << 30)),
        disk_total: Some(200 << 30),
        uptime: Some(90_000),
        domain_lag: (id != 3).then_some(0),
        stores_led: if id == 3 { Vec::new() } else { vec![id] },
        stores_held: vec![1, 2, 3],
        what_if_lost: "Nothing is lost; its stores are led elsewhere within seconds.".to_owned(),
        problem: if id == 3 { "no answer for 12 s".to_owned() } else { String::new() },
        ..ClusterNode::default()
    }
}

fn replica(node: u64) -> ClusterReplica {
    let away = node == 3;
    ClusterReplica {
        node,
        voter: true,
        reachable: !away,
        lag: Some(if away { 1280 } else { 0 }),
        complete: !away,
        missing_bodies: Some(if away { 17 } else { 0 }),
        progress: away.then_some(62.5),
    }
}

fn store(id: u64) -> ClusterStore {
    ClusterStore {
        id,
        home: id,
        leader: Some(if id == 3 { 1 } else { id }),
        wanted: 3,
        replicas: (1..=3).map(replica).collect(),
        mailboxes: id * 120,
        bytes: id << 32,
        quorum: true,
    }
}

/// What the fake cluster answers.
pub fn answers() -> NoCluster {
    let link = |from: u64, to: u64| ClusterLink {
        from,
        to,
        reachable: from != 3 && to != 3,
        round_trip_us: Some(200 * from + 90_000 * u64::from(to == 3)),
        problem: String::new(),
    };
    let pairs = (1..=3).flat_map(|from| (1..=3).map(move |to| (from, to)));
    let mut gone = node(4, "hamburg");
    gone.state = ClusterNodeState::Removed;
    let status = ClusterStatus {
        name: "example.test".to_owned(),
        this_node: 1,
        domain_group: DomainGroupView {
            leader: Some(1),
            quorum: true,
            voters: vec![1, 2, 3],
            learners: Vec::new(),
            level: 2,
        },
        nodes: vec![node(1, "berlin"), node(2, "berlin"), node(3, "hamburg"), gone],
        matrix: pairs.filter(|(from, to)| from != to).map(|(from, to)| link(from, to)).collect(),
        stores: (1..=3).map(store).collect(),
        planned: vec![PlannedAction {
            action: "node 1 leads store 3 until node 3 is back".to_owned(),
            reason: "its home does not answer".to_owned(),
        }],
        authority: AuthorityView {
            fingerprint: "5e".repeat(32),
            days: Some(3_600),
            ..AuthorityView::default()
        },
        warnings: vec!["Node 3 (n3.example.test) does not answer.".to_owned()],
        ..ClusterStatus::default()
    };
    let plan = ClusterPlan {
        steps: vec!["First this is done.".to_owned(), "Then that.".to_owned()],
        warnings: vec!["It takes a while.".to_owned()],
        refuses: Vec::new(),
    };
    NoCluster { status, read_only: None, plan }
}
