//! What the leader of the domain group does: it decides what should be, writes that into the directory, and
//! keeps the domain group itself in order.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use posthouse_cluster::{
    Group, GroupId, GroupStatus, NodeId,
    network::Network,
    placement::{self, Action, GroupView, MemberStep, NodeView, Order, Rules, StoreView, View},
};
use posthouse_directory::{Actor, Change, NodeInfo, NodeState, StoreId, key};

use super::{Cluster, status::NodeStatus, view::leader_of};

/// How often it looks.
const INTERVAL: Duration = Duration::from_secs(1);
/// A member that has all but so many entries has everything: the rest is on its way.
const READY_LAG: u64 = 1_000;
/// A member that the leader has not heard for so long is not ready.
const READY_HEARD: Duration = Duration::from_secs(3);

/// Runs until it is dropped.
pub(super) async fn run(cluster: Arc<Cluster>) {
    let clock = cluster.parts.env.clock.clone();
    loop {
        clock.sleep(INTERVAL).await;
        if cluster.is_out() {
            cluster.stop.cancel();
            return;
        }
        cluster.try_to_leave().await;
        if let Err(error) = cluster.publish_authority().await {
            tracing::debug!(target: "debug", "the authority is not in the directory yet: {error:#}");
        }
        if cluster.governs() {
            cluster.govern().await;
        } else {
            cluster.planned.lock().clear();
        }
    }
}

impl Cluster {
    async fn govern(&self) {
        let directory = &self.parts.directory;
        if let Some(level) = directory.level_to_agree_on() {
            self.decide("all members know it", Change::SetLevel(level)).await;
        }
        self.end_rotation().await;
        let view = self.world().await;
        let plan = placement::plan(&view);
        let shown = |action: &Action| (action.to_string(), action.why.clone());
        *self.planned.lock() = plan.iter().map(shown).collect();
        for action in plan {
            self.act(action).await;
        }
    }

    async fn act(&self, action: Action) {
        match action.order {
            Order::Domain(step) => {
                let group = self.node.group(GroupId::DOMAIN);
                if let Some(group) = group {
                    take(&group, step, &action.why).await;
                }
            }
            Order::Store { store, home, replicas } => {
                let stores = self.parts.directory.stores();
                let Some(mut info) = stores.into_iter().find(|info| info.id.0 == store.0) else {
                    return;
                };
                info.home = home.0;
                info.replicas = replicas.iter().map(|node| node.0).collect();
                self.decide(&action.why, Change::PutStore(info)).await;
            }
            Order::RemoveStore(store) => {
                self.decide(&action.why, Change::RemoveStore(StoreId(store.0))).await;
            }
        }
    }

    async fn decide(&self, why: &str, change: Change) {
        let actor = Actor::System(format!("cluster: {why}"));
        if let Err(error) = self.parts.directory.change(actor, change).await {
            tracing::warn!(target: "warning", %error, why, "the cluster cannot be kept in order");
        }
    }

    /// The older authority goes when no member needs it any more.
    async fn end_rotation(&self) {
        let Ok(authorities) = self.authorities() else { return };
        if !authorities.is_rotating() || !self.late_nodes(&authorities).is_empty() {
            return;
        }
        let actor = Actor::System("all members have new certificates".into());
        if let Err(error) = self.finish_rotation(actor).await {
            tracing::warn!(target: "warning", "the old authority is still trusted: {error:#}");
        }
    }

    /// What this node sees of the cluster.
    pub(super) async fn world(&self) -> View {
        let mut said: std::collections::BTreeMap<u64, NodeStatus> = Default::default();
        let nodes: Vec<NodeInfo> =
            self.parts.directory.nodes().into_iter().filter(NodeInfo::is_member).collect();
        for node in &nodes {
            if let Some(status) = self.heard(node.id) {
                said.insert(node.id, status);
            }
        }
        said.insert(self.parts.node, self.own_status().await);
        self.world_of(&nodes, &said)
    }

    fn world_of(
        &self,
        nodes: &[NodeInfo],
        said: &std::collections::BTreeMap<u64, NodeStatus>,
    ) -> View {
        let group = |id: GroupId| leader_of(id, said).map(|status| group_view(status, said));
        let stores = self.parts.directory.stores().into_iter().map(|info| {
            let id = GroupId(info.id.0);
            let replicas = said.values().flat_map(|status| &status.replicas);
            let known = replicas.filter(|replica| replica.store == id);
            let known = known.max_by_key(|replica| replica.mailboxes);
            StoreView {
                id,
                home: NodeId(info.home),
                replicas: info.replicas.into_iter().map(NodeId).collect(),
                wanted: info.wanted,
                retired: info.retired,
                mailboxes: known.map_or(0, |replica| replica.mailboxes),
                spooled: known.map_or(0, |replica| replica.spooled),
                bytes: known.map_or(0, |replica| replica.bytes),
                group: group(id).filter(|group| group.leader.is_some()),
            }
        });
        View {
            nodes: nodes.iter().map(|node| self.node_of(node, said)).collect(),
            domain: group(GroupId::DOMAIN).unwrap_or_default(),
            stores: stores.collect(),
            rules: self.rules(),
        }
    }

    fn rules(&self) -> Rules {
        let seconds = self.parts.directory.integer(key::CLUSTER_REPLACE_AFTER);
        Rules { replace_after: Duration::from_secs(seconds), ..Rules::default() }
    }

    fn node_of(
        &self,
        node: &NodeInfo,
        said: &std::collections::BTreeMap<u64, NodeStatus>,
    ) -> NodeView {
        let now = self.parts.env.clock.monotonic();
        let peer = self.links.peers().into_iter().find(|peer| peer.node.0 == node.id);
        let me = node.id == self.parts.node;
        NodeView {
            id: NodeId(node.id),
            site: node.site.clone(),
            draining: node.state == NodeState::Draining,
            answers: me || peer.as_ref().is_some_and(|peer| peer.reachable),
            since: peer.map_or(now, |peer| now.saturating_sub(peer.since)),
            disk_free: said.get(&node.id).map(|status| status.disk_free),
        }
    }

    /// What would be if a node died now, in words.
    pub(super) fn what_if_lost(
        &self,
        node: u64,
        said: &std::collections::BTreeMap<u64, NodeStatus>,
    ) -> String {
        let nodes: Vec<NodeInfo> =
            self.parts.directory.nodes().into_iter().filter(NodeInfo::is_member).collect();
        placement::what_if_lost(&self.world_of(&nodes, said), NodeId(node)).to_string()
    }
}

/// The membership of a group as its leader sees it.
pub(super) fn group_view(
    status: &GroupStatus,
    said: &std::collections::BTreeMap<u64, NodeStatus>,
) -> GroupView {
    let members = |voter: bool| {
        let all = status.members.iter().filter(|member| member.voter == voter);
        all.map(|member| member.node).collect::<BTreeSet<_>>()
    };
    let ready = status.members.iter().filter(|member| {
        let current = member.lag_entries <= READY_LAG
            && member.heard_ago.is_some_and(|ago| ago <= READY_HEARD);
        current && (status.id == GroupId::DOMAIN || is_complete(status.id, member.node, said))
    });
    GroupView {
        voters: members(true),
        learners: members(false),
        leader: status.leader.filter(|_| status.quorum),
        ready: ready.map(|member| member.node).collect(),
    }
}

fn is_complete(
    store: GroupId,
    node: NodeId,
    said: &std::collections::BTreeMap<u64, NodeStatus>,
) -> bool {
    let replicas = said.get(&node.0).into_iter().flat_map(|status| &status.replicas);
    replicas.filter(|replica| replica.store == store).any(|replica| replica.complete)
}

/// One change of a group's members.
pub(super) async fn take(group: &Group, step: MemberStep, why: &str) {
    let text = step.to_string();
    let done = match step {
        MemberStep::AddLearner(node) => group.add_learner(node).await,
        MemberStep::SetVoters(voters) => group.set_voters(voters).await,
        MemberStep::Remove(node) => group.remove_member(node).await,
        MemberStep::Transfer(node) => group.transfer(node).await,
    };
    let name = group.status().name;
    match done {
        Ok(()) => tracing::info!(target: "operation", group = name, why, "{text}"),
        Err(error) => {
            tracing::warn!(target: "warning", group = name, why, %error, "not done yet: {text}");
        }
    }
}
