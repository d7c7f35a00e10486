//! Where the replicas of a store should be.

use std::collections::BTreeSet;

use super::{Action, GroupView, Load, Order, StoreView, View, list};
use crate::NodeId;

/// Replicas that one node fills at the same time.
const MAX_FILLING: usize = 2;

/// What should change about a store now: one thing at a time.
pub(super) fn plan(view: &View, store: &StoreView, load: &mut Load) -> Option<Action> {
    let remove =
        |why: &str| Some(Action { order: Order::RemoveStore(store.id), why: why.to_owned() });
    if store.retired && store.mailboxes == 0 && store.replicas.is_empty() {
        return remove("its last replica is gone, and no mailbox is in it");
    }
    let group = store.group.as_ref()?;
    if store.retired && store.mailboxes == 0 && store.spooled == 0 {
        return remove("it is out of use and empty");
    }
    let desk = Desk { view, store, group };
    let (home, replicas, why) =
        desk.other_home(load).or_else(|| desk.add(load)).or_else(|| desk.drop(load))?;
    for new in replicas.difference(&store.replicas) {
        *load.replicas.entry(*new).or_default() += 1;
        *load.filling.entry(*new).or_default() += 1;
    }
    if home != store.home {
        *load.homes.entry(home).or_default() += 1;
    }
    Some(Action { order: Order::Store { store: store.id, home, replicas }, why })
}

/// New home, new replicas, reason.
type Wish = (NodeId, BTreeSet<NodeId>, String);

struct Desk<'a> {
    view: &'a View,
    store: &'a StoreView,
    group: &'a GroupView,
}

impl Desk<'_> {
    fn is_complete(&self, node: NodeId) -> bool {
        self.view.answers(node) && self.group.ready.contains(&node)
    }

    /// Replicas that may be counted on.
    fn good(&self) -> impl Iterator<Item = NodeId> {
        self.store.replicas.iter().copied().filter(|node| self.view.is_usable(*node))
    }

    /// Those of them that are there and complete.
    fn complete(&self) -> usize {
        self.good().filter(|node| self.is_complete(*node)).count()
    }

    /// Replicas that there should be: as many as wanted, or as there are nodes. Silent nodes count: they may come back,
    /// and fewer voters would be no help.
    fn want(&self) -> usize {
        let nodes = self.view.nodes.iter().filter(|node| !node.draining).count();
        usize::from(self.store.wanted).clamp(1, nodes.max(1))
    }

    /// No replica is being filled.
    fn is_settled(&self) -> bool {
        let view = self.view;
        self.store.replicas.iter().all(|node| !view.answers(*node) || self.is_complete(*node))
    }

    fn is_here(&self, node: NodeId) -> bool {
        self.view.site(node) == self.view.site(self.store.home)
    }

    /// The home goes on to another replica when its node is emptied or was removed, or was silent for so long that its
    /// replica has been replaced.
    fn other_home(&self, load: &Load) -> Option<Wish> {
        let (view, store) = (self.view, self.store);
        let has_replica = store.replicas.contains(&store.home);
        if has_replica && view.is_usable(store.home) {
            return None;
        }
        let emptied = view.node(store.home).is_none_or(|node| node.draining);
        if !emptied && has_replica && self.good().count() < self.want() {
            return None;
        }
        let home = self
            .good()
            .filter(|node| self.is_complete(*node))
            .min_by_key(|node| (!self.is_here(*node), Load::of_node(&load.homes, *node), *node))?;
        let mut replicas = store.replicas.clone();
        replicas.retain(|node| view.node(*node).is_some());
        Some((home, replicas, view.trouble(store.home)))
    }

    /// One more replica: too few are left, or the others are in the wrong site.
    fn add(&self, load: &Load) -> Option<Wish> {
        let (view, store) = (self.view, self.store);
        if !self.is_settled() {
            return None;
        }
        let good: BTreeSet<NodeId> = self.good().collect();
        let few = good.len() < self.want();
        let abroad = good.len() == self.want()
            && self.view.is_usable(store.home)
            && good.iter().any(|node| !self.is_here(*node));
        if !few && !abroad {
            return None;
        }
        let room = store.bytes.saturating_add(store.bytes / 4);
        let new = view
            .nodes
            .iter()
            .filter(|node| node.answers && !node.draining && !store.replicas.contains(&node.id))
            .filter(|node| few || self.is_here(node.id))
            .filter(|node| node.disk_free.is_none_or(|free| free >= room))
            .filter(|node| Load::of_node(&load.filling, node.id) < MAX_FILLING)
            .min_by_key(|node| {
                let replicas = Load::of_node(&load.replicas, node.id);
                (!self.is_here(node.id), replicas, std::cmp::Reverse(node.disk_free), node.id)
            })?;
        let bad: Vec<String> = store
            .replicas
            .iter()
            .filter(|node| !good.contains(node))
            .map(|node| view.trouble(*node))
            .collect();
        let why = match (few, bad.is_empty()) {
            (true, true) => format!("{} replicas are wanted", store.wanted),
            (true, false) => bad.join(", "),
            (false, _) => format!("{} is in the site of its home", new.id),
        };
        let mut replicas = store.replicas.clone();
        replicas.insert(new.id);
        Some((store.home, replicas, why))
    }

    /// One replica fewer, once there are enough complete ones without it.
    fn drop(&self, load: &Load) -> Option<Wish> {
        let (view, store) = (self.view, self.store);
        if !self.is_settled() || self.complete() < self.want() {
            return None;
        }
        let surplus = self.good().count() > self.want();
        let victim = store
            .replicas
            .iter()
            .copied()
            .filter(|node| *node != store.home)
            .filter(|node| !view.is_usable(*node) || (surplus && self.may_go(*node)))
            .max_by_key(|node| {
                let replicas = Load::of_node(&load.replicas, *node);
                let gone = view.node(*node).is_none();
                (
                    gone,
                    !view.is_usable(*node),
                    !view.answers(*node),
                    !self.is_here(*node),
                    replicas,
                    *node,
                )
            })?;
        let mut replicas = store.replicas.clone();
        replicas.remove(&victim);
        let why = match view.trouble(victim) {
            trouble if trouble.is_empty() => format!("{} are enough", list(&replicas)),
            trouble => trouble,
        };
        Some((store.home, replicas, why))
    }

    /// Enough complete replicas remain without it.
    fn may_go(&self, node: NodeId) -> bool {
        self.complete() - usize::from(self.is_complete(node)) >= self.want()
    }
}
