//! Where things should be: who votes in the domain group, which nodes have replicas of which store, and the next
//! step of a group towards that. Pure functions over what the leader of the domain group sees: no clock, no network.
//!
//! [`plan`] says what should be (it is run by the leader of the domain group, and its orders are written into the
//! directory or carried out on the domain group). [`next_step`] says how a group gets there, one change of its
//! membership at a time (it is run by the leader of each store's group, and by [`plan`] for the domain group). Run again
//! and again, they come to rest; every order has its reason in words.
//!
//! Rules that hold at every step, whatever the view is:
//! - the last complete replica of a store is never given up,
//! - a change of voters leaves a majority of the new voters answering,
//! - what is silent is replaced by something, never by nothing.

mod loss;
mod members;
mod stores;
#[cfg(test)]
mod tests;
mod voters;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::{GroupId, NodeId};

pub use loss::{Loss, can_leave, can_remove, what_if_lost};
pub use members::{MemberStep, Target, next_step};

/// Most voters of a group.
pub const MAX_VOTERS: usize = 5;

/// A member of the cluster. Removed nodes are not listed: a member of a group that is not listed here is one that was
/// removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeView {
    /// Which.
    pub id: NodeId,
    /// Its site.
    pub site: String,
    /// Whether it is being emptied.
    pub draining: bool,
    /// Whether it answers.
    pub answers: bool,
    /// For how long it has answered, or not.
    pub since: Duration,
    /// Free bytes where its data is, if known.
    pub disk_free: Option<u64>,
}

/// The membership of a group as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupView {
    /// Who votes.
    pub voters: BTreeSet<NodeId>,
    /// Who has the log without a vote.
    pub learners: BTreeSet<NodeId>,
    /// Who leads.
    pub leader: Option<NodeId>,
    /// Members, the leader itself included, that have everything: the log but for a short tail and, of a store, all
    /// bodies.
    pub ready: BTreeSet<NodeId>,
}

impl GroupView {
    fn has(&self, node: NodeId) -> bool {
        self.voters.contains(&node) || self.learners.contains(&node)
    }
}

/// A store: as it should be, by the directory, and as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreView {
    /// Its group.
    pub id: GroupId,
    /// Who should lead it.
    pub home: NodeId,
    /// Who should have a replica.
    pub replicas: BTreeSet<NodeId>,
    /// How many replicas are wanted.
    pub wanted: u8,
    /// Goes away once it is empty.
    pub retired: bool,
    /// Mailboxes in it.
    pub mailboxes: u64,
    /// Messages that wait in its spool.
    pub spooled: u64,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its group; `None` while nobody leads it or its leader does not answer.
    pub group: Option<GroupView>,
}

/// What administrators decide. See the settings `cluster.*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// How long a node may be silent before its part is given to another.
    pub replace_after: Duration,
    /// How long a home must have answered before it gets its leadership back.
    pub settle: Duration,
}

impl Default for Rules {
    fn default() -> Self {
        Self { replace_after: Duration::from_secs(600), settle: Duration::from_secs(30) }
    }
}

/// What the leader of the domain group sees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// All members, draining ones too.
    pub nodes: Vec<NodeView>,
    /// The domain group.
    pub domain: GroupView,
    /// All stores.
    pub stores: Vec<StoreView>,
    /// The rules.
    pub rules: Rules,
}

impl View {
    fn node(&self, id: NodeId) -> Option<&NodeView> {
        self.nodes.iter().find(|node| node.id == id)
    }

    /// It is listed and answers.
    fn answers(&self, id: NodeId) -> bool {
        self.node(id).is_some_and(|node| node.answers)
    }

    fn site(&self, id: NodeId) -> Option<&str> {
        self.node(id).map(|node| node.site.as_str())
    }

    /// It may be counted on: it answers, or has been silent only for a while, and is not being emptied.
    fn is_usable(&self, id: NodeId) -> bool {
        self.node(id).is_some_and(|node| {
            !node.draining && (node.answers || node.since <= self.rules.replace_after)
        })
    }

    /// Whether most of `voters` answer.
    fn majority_answers(&self, voters: &BTreeSet<NodeId>) -> bool {
        voters.iter().filter(|node| self.answers(**node)).count() > voters.len() / 2
    }

    /// What is wrong with a node, in words; empty if nothing is.
    fn trouble(&self, id: NodeId) -> String {
        match self.node(id) {
            None => format!("{id} was removed"),
            Some(node) if node.draining => format!("{id} is being emptied"),
            Some(node) if !node.answers => {
                format!("{id} has not answered for {} s", node.since.as_secs())
            }
            Some(_) => String::new(),
        }
    }
}

/// Something to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// A change of the domain group's members.
    Domain(MemberStep),
    /// Home and replicas that a store should have from now on: to be written into the directory.
    Store {
        /// Which.
        store: GroupId,
        /// Who should lead it.
        home: NodeId,
        /// Who should have a replica, the home included.
        replicas: BTreeSet<NodeId>,
    },
    /// An empty, retired store to be forgotten: to be written into the directory.
    RemoveStore(GroupId),
}

/// Something to be done, and why. The reason is a phrase such as `node 3 has not answered for 700 s`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// What.
    pub order: Order,
    /// Why.
    pub why: String,
}

impl std::fmt::Display for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.order {
            Order::Domain(step) => write!(f, "directory: {step}")?,
            Order::Store { store, home, replicas } => {
                write!(f, "store {}: replicas on {}, home on {home}", store.0, list(replicas))?;
            }
            Order::RemoveStore(store) => write!(f, "store {}: forgotten", store.0)?,
        }
        write!(f, " ({})", self.why)
    }
}

/// Numbers of nodes in words.
pub(crate) fn list(nodes: &BTreeSet<NodeId>) -> String {
    let numbers: Vec<String> = nodes.iter().map(|node| node.0.to_string()).collect();
    match numbers.as_slice() {
        [] => "no node".into(),
        [one] => format!("node {one}"),
        many => format!("nodes {}", many.join(", ")),
    }
}

/// What should be done now, in this order. Empty when all is as it should be, or nothing more can be done for the moment.
pub fn plan(view: &View) -> Vec<Action> {
    let mut actions = Vec::new();
    if let Some((step, why)) = next_step(view, &view.domain, &domain_target(view)) {
        actions.push(Action { order: Order::Domain(step), why });
    }
    let mut load = Load::of(view);
    for store in &view.stores {
        if let Some(action) = stores::plan(view, store, &mut load) {
            actions.push(action);
        }
    }
    actions
}

/// Members and voters that the domain group should have: everybody, and the chosen few.
pub fn domain_target(view: &View) -> Target {
    Target {
        members: view.nodes.iter().map(|node| node.id).collect(),
        voters: voters::of_domain(view),
        home: None,
    }
}

/// Members and voters that a store's group should have.
pub fn store_target(view: &View, store: &StoreView) -> Target {
    let empty = GroupView::default();
    let group = store.group.as_ref().unwrap_or(&empty);
    Target {
        members: store.replicas.clone(),
        voters: voters::of_store(view, store, group),
        home: Some(store.home),
    }
}

/// What nodes have to carry, kept up to date while a plan is made.
#[derive(Debug, Default)]
struct Load {
    replicas: BTreeMap<NodeId, usize>,
    homes: BTreeMap<NodeId, usize>,
    /// Replicas that are being filled.
    filling: BTreeMap<NodeId, usize>,
}

impl Load {
    fn of(view: &View) -> Self {
        let mut load = Self::default();
        for store in &view.stores {
            *load.homes.entry(store.home).or_default() += 1;
            for replica in &store.replicas {
                *load.replicas.entry(*replica).or_default() += 1;
                let ready = store.group.as_ref().is_none_or(|group| group.ready.contains(replica));
                if !ready {
                    *load.filling.entry(*replica).or_default() += 1;
                }
            }
        }
        load
    }

    fn of_node(map: &BTreeMap<NodeId, usize>, node: NodeId) -> usize {
        map.get(&node).copied().unwrap_or(0)
    }
}
