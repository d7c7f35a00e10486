//! What would be lost without a node, for administrators.

use std::collections::BTreeSet;

use super::{GroupView, StoreView, View, list};
use crate::{GroupId, NodeId};

/// What would be, if a node died at this moment and never came back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loss {
    /// Stores of which it has the only complete replica.
    pub lost: Vec<GroupId>,
    /// Stores that would stand still until an administrator promotes the other replica, which is complete as far as known.
    pub promotion: Vec<GroupId>,
    /// Stores that would stand still until other nodes come back.
    pub still: Vec<GroupId>,
    /// Nobody could change settings any more.
    pub read_only: bool,
}

impl Loss {
    /// Whether everything would go on.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

impl std::fmt::Display for Loss {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.is_nothing() {
            return f.write_str("everything would go on");
        }
        let stores = |stores: &[GroupId]| {
            let numbers: Vec<String> = stores.iter().map(|store| store.0.to_string()).collect();
            match numbers.as_slice() {
                [one] => format!("store {one}"),
                many => format!("stores {}", many.join(", ")),
            }
        };
        let mut parts = Vec::new();
        if !self.lost.is_empty() {
            parts.push(format!("{} would be lost", stores(&self.lost)));
        }
        if !self.promotion.is_empty() {
            parts.push(format!(
                "{} would stand still until the other replica is promoted",
                stores(&self.promotion)
            ));
        }
        if !self.still.is_empty() {
            parts.push(format!("{} would stand still", stores(&self.still)));
        }
        if self.read_only {
            parts.push("settings could not be changed".into());
        }
        f.write_str(&parts.join("; "))
    }
}

/// Whether most voters of a group would still answer without `node`.
fn goes_on(view: &View, group: &GroupView, node: NodeId) -> bool {
    let rest = group.voters.iter().filter(|voter| **voter != node && view.answers(**voter));
    rest.count() > group.voters.len() / 2
}

/// Other members that have everything.
fn others(view: &View, group: &GroupView, node: NodeId) -> BTreeSet<NodeId> {
    let is_other = |id: &NodeId| *id != node && view.node(*id).is_some() && group.has(*id);
    group.ready.iter().copied().filter(is_other).collect()
}

/// What would be lost or stand still if `node` died now.
pub fn what_if_lost(view: &View, node: NodeId) -> Loss {
    let mut loss = Loss::default();
    if view.domain.voters.contains(&node) && !goes_on(view, &view.domain, node) {
        loss.read_only = true;
    }
    for store in &view.stores {
        let Some(group) = &store.group else { continue };
        if !group.has(node) {
            continue;
        }
        let others = others(view, group, node);
        if others.is_empty() {
            loss.lost.push(store.id);
        } else if group.voters.contains(&node) && !goes_on(view, group, node) {
            let promotable =
                group.voters.len() == 1 && others.iter().any(|other| view.answers(*other));
            match promotable {
                true => loss.promotion.push(store.id),
                false => loss.still.push(store.id),
            }
        }
    }
    loss
}

/// Whether `node` can be removed for ever without losing anything; otherwise what speaks against it, one sentence each.
pub fn can_remove(view: &View, node: NodeId) -> Result<(), Vec<String>> {
    let mut against = Vec::new();
    if view.nodes.iter().all(|other| other.id == node || other.draining) {
        against.push(format!("{node} is the last node of the cluster that is not being emptied."));
    }
    if !view.majority_answers(&view.domain.voters) {
        against.push("The directory has no majority at the moment.".into());
    } else if !survives(view, &view.domain, node) {
        against.push("No other node has a complete directory yet.".into());
    } else if !decides(view, &view.domain, node) {
        against.push(format!(
            "The directory needs the vote of {node}; empty the node first, so that others vote."
        ));
    }
    against.extend(view.stores.iter().filter_map(|store| against_removal(view, store, node)));
    if against.is_empty() { Ok(()) } else { Err(against) }
}

/// Somebody else who answers has everything.
fn survives(view: &View, group: &GroupView, node: NodeId) -> bool {
    !group.has(node) || others(view, group, node).iter().any(|other| view.answers(*other))
}

/// The other voters could go on without asking it.
fn decides(view: &View, group: &GroupView, node: NodeId) -> bool {
    !group.voters.contains(&node) || goes_on(view, group, node)
}

fn against_removal(view: &View, store: &StoreView, node: NodeId) -> Option<String> {
    let (id, mailboxes) = (store.id.0, store.mailboxes);
    let sole = store.replicas.iter().all(|replica| *replica == node);
    if mailboxes == 0 && store.spooled == 0 && sole {
        return None;
    }
    let Some(group) = &store.group else {
        let concerns = store.replicas.contains(&node) || store.home == node;
        return concerns.then(|| {
            format!("Nobody leads store {id} with {mailboxes} mailboxes: what it has is not known.")
        });
    };
    let rest: BTreeSet<NodeId> =
        group.voters.union(&group.learners).copied().filter(|other| *other != node).collect();
    if !survives(view, group, node) {
        return Some(match rest.is_empty() {
            true => format!(
                "{node} has the only replica of store {id} with {mailboxes} mailboxes: they would be lost."
            ),
            false => format!(
                "{node} has the only complete replica of store {id} with {mailboxes} mailboxes; {} is not complete \
                 or does not answer.",
                list(&rest)
            ),
        });
    }
    (!decides(view, group, node)).then(|| {
        format!("Store {id} needs the vote of {node}; empty the node first, so that others vote.")
    })
}

/// Whether `node` can leave: it has been emptied, and nothing is lost with it. Otherwise what it waits for.
pub fn can_leave(view: &View, node: NodeId) -> Result<(), Vec<String>> {
    let mut against = can_remove(view, node).err().unwrap_or_default();
    for store in &view.stores {
        let member = store.group.as_ref().is_some_and(|group| group.has(node));
        if member || store.replicas.contains(&node) {
            against.push(format!("{node} still has a replica of store {}.", store.id.0));
        }
    }
    if against.is_empty() { Ok(()) } else { Err(against) }
}
