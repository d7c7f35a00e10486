//! Who should vote.

use std::collections::{BTreeMap, BTreeSet};

use super::{GroupView, MAX_VOTERS, StoreView, View};
use crate::NodeId;

/// The largest odd number of voters that `nodes` nodes allow.
fn odd(nodes: usize) -> usize {
    match nodes.min(MAX_VOTERS) {
        0 => 0,
        n if n.is_multiple_of(2) => n - 1,
        n => n,
    }
}

/// How willingly a node is taken; smaller is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// It votes, and nothing speaks against it.
    Votes,
    /// It could vote at once.
    Ready,
    /// It votes, but is being emptied or has been silent for long.
    Replaceable,
    /// It will be able to vote.
    Coming,
}

fn rank(view: &View, id: NodeId) -> Option<Rank> {
    let group = &view.domain;
    let node = view.node(id)?;
    match (group.voters.contains(&id), view.is_usable(id)) {
        (true, true) => Some(Rank::Votes),
        (true, false) => Some(Rank::Replaceable),
        (false, true) if node.answers && group.ready.contains(&id) => Some(Rank::Ready),
        (false, true) if node.answers => Some(Rank::Coming),
        (false, _) => None,
    }
}

/// The voters of the domain group: an odd number, spread over the sites so that with three sites or more none has a
/// majority; with two, the one that has it keeps it. Who votes stays unless it should be replaced and can be.
pub(super) fn of_domain(view: &View) -> BTreeSet<NodeId> {
    let mut candidates: Vec<(Rank, NodeId)> =
        view.nodes.iter().filter_map(|node| Some((rank(view, node.id)?, node.id))).collect();
    candidates.sort_unstable();
    let mut number = odd(candidates.len());
    while number > 1 {
        let chosen = choose(view, &candidates, number);
        if chosen.len() == number {
            return chosen;
        }
        number -= 2;
    }
    choose(view, &candidates, number)
}

/// Chooses up to `number`; fewer where the sites do not allow as many.
fn choose(view: &View, candidates: &[(Rank, NodeId)], number: usize) -> BTreeSet<NodeId> {
    let quotas = quotas(view, candidates, number);
    let mut taken: BTreeMap<&str, usize> = BTreeMap::new();
    let mut chosen = BTreeSet::new();
    while chosen.len() < number {
        let best = candidates
            .iter()
            .filter(|(_, id)| !chosen.contains(id))
            .filter_map(|(rank, id)| {
                let site = view.site(*id)?;
                let taken = taken.get(site).copied().unwrap_or(0);
                let quota = quotas.get(site).copied().unwrap_or(0);
                (taken < quota).then_some((*rank, !view.answers(*id), taken, *id, site))
            })
            .min();
        let Some((_, _, _, id, site)) = best else { break };
        chosen.insert(id);
        *taken.entry(site).or_default() += 1;
    }
    chosen
}

/// How many voters each site may have.
fn quotas<'a>(
    view: &'a View,
    candidates: &[(Rank, NodeId)],
    number: usize,
) -> BTreeMap<&'a str, usize> {
    // voters and nodes of each site
    let mut sites: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for (_, id) in candidates {
        let Some(site) = view.site(*id) else { continue };
        let entry = sites.entry(site).or_default();
        entry.0 += usize::from(view.domain.voters.contains(id));
        entry.1 += 1;
    }
    let half = number / 2;
    match sites.len() {
        // one voter is spread over nothing, and may have to leave a site of its own
        _ if number == 1 => sites.into_keys().map(|site| (site, 1)).collect(),
        1 => sites.into_keys().map(|site| (site, number)).collect(),
        2 => {
            let mut order: Vec<_> = sites.into_iter().collect();
            order.sort_by_key(|(site, (voters, nodes))| {
                let can = *nodes >= number - half;
                (std::cmp::Reverse((can, *voters, *nodes)), *site)
            });
            let small = order.get(1).map_or(0, |(_, (_, nodes))| half.min(*nodes));
            order.into_iter().map(|(site, _)| site).zip([number - small, small]).collect()
        }
        _ => sites.into_keys().map(|site| (site, half.max(1))).collect(),
    }
}

/// The voters of a store's group: all replicas if they are odd in number, one fewer if not. Of two replicas only one votes:
/// the other one takes over when an administrator says so, who then knows what may be missing.
pub(super) fn of_store(view: &View, store: &StoreView, group: &GroupView) -> BTreeSet<NodeId> {
    let mut order: Vec<(u8, bool, NodeId)> = store
        .replicas
        .iter()
        .map(|id| {
            let answers = view.answers(*id);
            let complete = answers && group.ready.contains(id);
            let home = *id == store.home;
            let class = match group.voters.contains(id) {
                // not even if it is behind for a moment
                true if answers => 0,
                false if complete && home => 0,
                false if complete => 1,
                true => 2,
                false => 3,
            };
            (class, !home, *id)
        })
        .collect();
    order.sort_unstable();
    order.into_iter().take(odd(store.replicas.len())).map(|(_, _, id)| id).collect()
}
