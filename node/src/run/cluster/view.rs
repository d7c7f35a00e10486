//! The cluster as the API shows it: what the directory says, with what the nodes said of themselves.

use std::collections::BTreeMap;

use posthouse_cluster::{GroupId, GroupStatus, NodeId, network::Network};
use posthouse_directory::{NodeInfo, NodeState, StoreInfo};
use posthouse_http::{
    AuthorityView, ClusterLink, ClusterNode, ClusterNodeState, ClusterReplica, ClusterStatus,
    ClusterStore, DomainGroupView, PlannedAction,
};

use super::{
    Cluster,
    status::{NodeStatus, ReplicaStatus},
};

/// Clock differences that deserve a warning, in milliseconds.
const CLOCK_WARNING: i64 = 2_000;
/// Days before its end at which a node's certificate deserves a warning.
const CERTIFICATE_WARNING: i64 = 5;
/// Free part of a disk, in percent, below which there is a warning.
const DISK_WARNING: u64 = 10;

/// What the nodes said, by number, this one included.
type Said = BTreeMap<u64, NodeStatus>;

impl Cluster {
    pub(super) async fn view(&self) -> ClusterStatus {
        let nodes = self.parts.directory.nodes();
        let mut said: Said =
            nodes.iter().filter_map(|node| Some((node.id, self.heard(node.id)?))).collect();
        said.insert(self.parts.node, self.own_status().await);
        let writable = self.writable();
        let mut status = ClusterStatus {
            name: self.parts.directory.cluster_name(),
            this_node: self.parts.node,
            settings_writable: writable.is_ok(),
            read_only_reason: writable.err().unwrap_or_default(),
            domain_group: self.domain_group(&said),
            nodes: nodes.iter().map(|node| self.node_view(node, &said)).collect(),
            matrix: matrix(&said),
            stores: self.parts.directory.stores().iter().map(|s| store_view(s, &said)).collect(),
            moves: self.open_moves(&said),
            planned: self.planned(&said),
            authority: self.authority_view(&nodes, &said),
            warnings: Vec::new(),
        };
        status.warnings = warnings(&status);
        status
    }

    fn domain_group(&self, said: &Said) -> DomainGroupView {
        let own = self.parts.directory.status();
        let led = leader_of(GroupId::DOMAIN, said);
        let best = led.unwrap_or(&own);
        let numbers = |voter: bool| {
            let members = best.members.iter().filter(|member| member.voter == voter);
            members.map(|member| member.node.0).collect()
        };
        DomainGroupView {
            leader: own.leader.map(|node| node.0),
            quorum: own.quorum,
            voters: numbers(true),
            learners: numbers(false),
            level: self.parts.directory.level(),
        }
    }

    fn node_view(&self, node: &NodeInfo, said: &Said) -> ClusterNode {
        let me = node.id == self.parts.node;
        let status = said.get(&node.id);
        let peer = self.links.peers().into_iter().find(|peer| peer.node.0 == node.id);
        let reachable = me || peer.as_ref().is_some_and(|peer| peer.reachable);
        let now = self.parts.env.clock.now();
        let monotonic = self.parts.env.clock.monotonic();
        let since = peer.as_ref().map(|peer| {
            now.0.saturating_sub(monotonic.saturating_sub(peer.since).as_millis() as u64)
        });
        let groups = |led: bool| {
            let groups = status.into_iter().flat_map(|status| &status.groups);
            let groups = groups.filter(|group| group.id != GroupId::DOMAIN);
            let groups = groups.filter(|group| !led || group.leader == Some(NodeId(node.id)));
            groups.map(|group| group.id.0).collect::<Vec<_>>()
        };
        let failed = status.into_iter().flat_map(|status| &status.groups);
        let failed = failed.filter_map(|group| {
            Some(format!("{} acknowledges nothing: {}", group.name, group.failed.as_ref()?))
        });
        let mut problems: Vec<String> = failed.collect();
        if !reachable && node.is_member() {
            let why = peer.as_ref().and_then(|peer| peer.problem.clone());
            problems.push(why.unwrap_or_else(|| "it does not answer".into()));
        }
        ClusterNode {
            id: node.id,
            host: node.host.clone(),
            site: node.site.clone(),
            state: match node.state {
                NodeState::Active => ClusterNodeState::Active,
                NodeState::Draining => ClusterNodeState::Draining,
                NodeState::Removed => ClusterNodeState::Removed,
            },
            reachable,
            since: if me { Some(self.started.0) } else { since },
            addresses: node.links.clone(),
            version: status.map_or_else(|| node.version.clone(), |status| status.version.clone()),
            level: node.level,
            certificate_days: status.map(|status| status.certificate_days),
            clock_difference_ms: if me { Some(0) } else { peer.and_then(|p| p.clock_difference) },
            disk_free: status.map(|status| status.disk_free),
            disk_total: status.map(|status| status.disk_total),
            uptime: status.map(|status| status.now.since(status.started).as_secs()),
            domain_lag: lag_of(GroupId::DOMAIN, node.id, said),
            stores_led: groups(true),
            stores_held: groups(false),
            what_if_lost: if node.is_member() {
                self.what_if_lost(node.id, said)
            } else {
                String::new()
            },
            problem: problems.join("; "),
        }
    }

    fn planned(&self, said: &Said) -> Vec<PlannedAction> {
        // they are the leader's: others compute the same from what they know
        let _ = said;
        let planned = self.planned.lock();
        let action = |(action, reason): &(String, String)| PlannedAction {
            action: action.clone(),
            reason: reason.clone(),
        };
        planned.iter().map(action).collect()
    }

    fn authority_view(&self, nodes: &[NodeInfo], said: &Said) -> AuthorityView {
        let Ok(authorities) = self.authorities() else { return AuthorityView::default() };
        let (fingerprint, next) = authorities.fingerprints();
        let newest = next.clone().unwrap_or_else(|| fingerprint.clone());
        let behind = |node: &&NodeInfo| {
            node.is_member() && said.get(&node.id).is_none_or(|status| status.authority != newest)
        };
        let waiting_for = match authorities.is_rotating() {
            true => nodes.iter().filter(behind).map(|node| node.id).collect(),
            false => Vec::new(),
        };
        AuthorityView {
            fingerprint,
            days: Some(authorities.days_left(self.parts.env.clock.now())),
            next_fingerprint: next.unwrap_or_default(),
            waiting_for,
        }
    }
}

/// The status of a group as its leader sees it.
pub(super) fn leader_of(group: GroupId, said: &Said) -> Option<&GroupStatus> {
    let all = said.values().flat_map(|status| &status.groups);
    let led = all.filter(|status| status.id == group && !status.members.is_empty());
    led.max_by_key(|status| (status.quorum, status.term))
}

fn lag_of(group: GroupId, node: u64, said: &Said) -> Option<u64> {
    let leader = leader_of(group, said)?;
    leader.members.iter().find(|member| member.node.0 == node).map(|member| member.lag_entries)
}

fn replica_of(store: u64, node: u64, said: &Said) -> Option<&ReplicaStatus> {
    said.get(&node)?.replicas.iter().find(|replica| replica.store.0 == store)
}

fn matrix(said: &Said) -> Vec<ClusterLink> {
    let links = said.iter().flat_map(|(from, status)| {
        status.peers.iter().map(|peer| ClusterLink {
            from: *from,
            to: peer.node.0,
            reachable: peer.reachable,
            round_trip_us: peer.round_trip.map(|time| time.as_micros() as u64),
            problem: peer.problem.clone().unwrap_or_default(),
        })
    });
    links.collect()
}

fn store_view(info: &StoreInfo, said: &Said) -> ClusterStore {
    let group = GroupId(info.id.0);
    let leader = leader_of(group, said);
    let mut nodes = info.replicas.clone();
    let members = leader.into_iter().flat_map(|status| &status.members);
    nodes.extend(members.map(|member| member.node.0).filter(|node| !info.replicas.contains(node)));
    let leading = leader.filter(|status| status.quorum).and_then(|status| status.leader);
    let main = leading.and_then(|node| replica_of(info.id.0, node.0, said));
    let main = main.or_else(|| nodes.iter().find_map(|node| replica_of(info.id.0, *node, said)));
    ClusterStore {
        id: info.id.0,
        home: info.home,
        leader: leading.map(|node| node.0),
        wanted: u32::from(info.wanted),
        replicas: nodes.iter().map(|node| replica_view(info.id.0, *node, leader, said)).collect(),
        mailboxes: main.map_or(0, |replica| replica.mailboxes),
        bytes: main.map_or(0, |replica| replica.bytes),
        quorum: leader.is_some_and(|status| status.quorum),
    }
}

fn replica_view(
    store: u64,
    node: u64,
    leader: Option<&GroupStatus>,
    said: &Said,
) -> ClusterReplica {
    let member = leader.and_then(|status| status.members.iter().find(|m| m.node.0 == node));
    let replica = replica_of(store, node, said);
    let copies = leader.into_iter().flat_map(|status| &status.snapshots);
    let copy = copies.filter(|copy| copy.sending).find(|copy| copy.peer.0 == node);
    let lag = member.map(|member| member.lag_entries);
    ClusterReplica {
        node,
        voter: member.is_some_and(|member| member.voter),
        reachable: said.contains_key(&node),
        lag,
        complete: replica.is_some_and(|replica| replica.complete)
            && lag.is_none_or(|lag| lag < 1000),
        missing_bodies: replica.map(|replica| replica.missing_bodies),
        progress: copy.map(|copy| 100.0 * copy.done as f64 / copy.total.max(1) as f64),
    }
}

/// What needs attention, the gravest first.
fn warnings(status: &ClusterStatus) -> Vec<String> {
    let mut all = Vec::new();
    if !status.settings_writable {
        all.push(status.read_only_reason.clone());
    }
    for store in status.stores.iter().filter(|store| !store.quorum) {
        all.push(format!(
            "store {} has no majority: its mailboxes cannot be used; mail for them waits",
            store.id
        ));
    }
    for node in status.nodes.iter().filter(|node| node.state != ClusterNodeState::Removed) {
        let name = format!("node {} ({})", node.id, node.host);
        if !node.problem.is_empty() {
            all.push(format!("{name}: {}", node.problem));
        }
        if node.clock_difference_ms.is_some_and(|ms| ms.abs() > CLOCK_WARNING) {
            let seconds = node.clock_difference_ms.unwrap_or(0) as f64 / 1000.0;
            all.push(format!("{name}: its clock differs by {seconds:.1} s from this node's"));
        }
        if node.certificate_days.is_some_and(|days| days <= CERTIFICATE_WARNING) {
            let days = node.certificate_days.unwrap_or(0);
            all.push(format!("{name}: its certificate for other nodes ends in {days} days"));
        }
        if let (Some(free), Some(total)) = (node.disk_free, node.disk_total)
            && free.saturating_mul(100) < total.saturating_mul(DISK_WARNING)
        {
            all.push(format!("{name}: its disk is nearly full ({} MiB left)", free >> 20));
        }
    }
    for store in &status.stores {
        let whole = store.replicas.iter().filter(|replica| replica.complete).count();
        if store.quorum && whole < 2 && status.nodes.len() > 1 {
            all.push(format!("store {} has only one complete replica", store.id));
        }
    }
    all
}
