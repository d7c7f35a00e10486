//! How a group gets from the members that it has to those that it should have.

use std::collections::BTreeSet;

use super::{GroupView, View, list};
use crate::NodeId;

/// What a group should come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// All members.
    pub members: BTreeSet<NodeId>,
    /// Those of them that vote.
    pub voters: BTreeSet<NodeId>,
    /// Who should lead; `None`: whoever does.
    pub home: Option<NodeId>,
}

/// One change of the members of a group, or of its leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberStep {
    /// Adds a member without a vote.
    AddLearner(NodeId),
    /// Makes exactly these the voters; who voted until now stays a learner.
    SetVoters(BTreeSet<NodeId>),
    /// Takes a member that does not vote out.
    Remove(NodeId),
    /// Gives the leadership to a voter.
    Transfer(NodeId),
}

impl std::fmt::Display for MemberStep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AddLearner(node) => write!(f, "{node} gets a replica"),
            Self::SetVoters(voters) => write!(f, "{} vote", list(voters)),
            Self::Remove(node) => write!(f, "{node} gives up its replica"),
            Self::Transfer(node) => write!(f, "{node} leads"),
        }
    }
}

/// The next change of a group towards its target and why, or `None` if there is nothing to do now. To be carried out by
/// the group's leader, which asks again when it is done.
pub fn next_step(view: &View, group: &GroupView, target: &Target) -> Option<(MemberStep, String)> {
    add(view, group, target)
        .or_else(|| change_voters(view, group, target))
        .or_else(|| remove(view, group, target))
        .or_else(|| transfer(view, group, target))
}

fn add(view: &View, group: &GroupView, target: &Target) -> Option<(MemberStep, String)> {
    let new = target.members.iter().find(|node| !group.has(**node) && view.answers(**node))?;
    Some((MemberStep::AddLearner(*new), format!("{new} should have a replica and has none")))
}

fn change_voters(view: &View, group: &GroupView, target: &Target) -> Option<(MemberStep, String)> {
    let voters = next_voters(view, group, target);
    if voters == group.voters || voters.is_empty() || !view.majority_answers(&voters) {
        return None;
    }
    let shrinks = group.voters.iter().any(|node| !voters.contains(node));
    if shrinks && !voters.iter().any(|node| is_complete(view, group, *node)) {
        return None;
    }
    let gone: Vec<String> = group
        .voters
        .difference(&voters)
        .map(|node| view.trouble(*node))
        .filter(|trouble| !trouble.is_empty())
        .collect();
    let why = match (gone.is_empty(), group.voters.len() < voters.len()) {
        (false, _) => gone.join(", "),
        (true, true) => "they have everything and can vote".to_owned(),
        (true, false) => "the votes are better spread so".to_owned(),
    };
    Some((MemberStep::SetVoters(voters), why))
}

/// The voters that come next. Who has no successor yet keeps the vote, those that answer first; and growth passes over
/// even numbers, which need one more answer without bearing one more loss.
fn next_voters(view: &View, group: &GroupView, target: &Target) -> BTreeSet<NodeId> {
    let mut voters: BTreeSet<NodeId> = group.voters.intersection(&target.voters).copied().collect();
    let mut new: Vec<NodeId> = target
        .voters
        .difference(&group.voters)
        .filter(|node| group.learners.contains(node) && is_complete(view, group, **node))
        .copied()
        .collect();
    let mut leaving: Vec<NodeId> = group.voters.difference(&target.voters).copied().collect();
    leaving.sort_by_key(|node| (view.node(*node).is_none(), !view.answers(*node), *node));
    let most = target.voters.len();
    let mut size = voters.len() + new.len();
    for node in leaving {
        if size >= most {
            break;
        }
        voters.insert(node);
        size += 1;
    }
    if size < most && size.is_multiple_of(2) && size > group.voters.len() {
        new.pop();
    }
    voters.extend(new);
    voters
}

/// It answers and has everything.
fn is_complete(view: &View, group: &GroupView, node: NodeId) -> bool {
    view.answers(node) && group.ready.contains(&node)
}

fn remove(view: &View, group: &GroupView, target: &Target) -> Option<(MemberStep, String)> {
    let complete = |node: &NodeId| is_complete(view, group, *node);
    if !target.members.iter().any(complete) {
        return None;
    }
    let all = target.members.iter().filter(|node| view.answers(**node)).all(complete);
    let useless = |node: &NodeId| view.node(*node).is_none() || !view.answers(*node);
    let surplus = group.learners.difference(&target.members).find(|node| all || useless(node))?;
    let trouble = view.trouble(*surplus);
    let why = match trouble.is_empty() {
        true => format!("{surplus} should have no replica any more"),
        false => trouble,
    };
    Some((MemberStep::Remove(*surplus), why))
}

fn transfer(view: &View, group: &GroupView, target: &Target) -> Option<(MemberStep, String)> {
    let leader = group.leader?;
    let fit = |node: NodeId| {
        group.voters.contains(&node)
            && is_complete(view, group, node)
            && view.node(node).is_some_and(|n| n.since >= view.rules.settle)
    };
    match target.home {
        Some(home) if home != leader && fit(home) => {
            Some((MemberStep::Transfer(home), format!("{home} is its home and is back")))
        }
        None if view.node(leader).is_none_or(|node| node.draining) => {
            let to = group.voters.iter().copied().find(|node| {
                *node != leader && fit(*node) && view.node(*node).is_some_and(|n| !n.draining)
            })?;
            Some((MemberStep::Transfer(to), view.trouble(leader)))
        }
        _ => None,
    }
}
