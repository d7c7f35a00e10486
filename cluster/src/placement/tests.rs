//! Tables: one situation, what is done about it.

mod random;

use std::{collections::BTreeSet, time::Duration};

use super::*;

fn set(nodes: &[u64]) -> BTreeSet<NodeId> {
    nodes.iter().map(|node| NodeId(*node)).collect()
}

/// Nodes written as `1a 2a 3b!`: number, site, `!` long silent, `?` silent for a moment, `-` draining.
fn nodes(text: &str) -> Vec<NodeView> {
    let node = |word: &str| {
        let digits: String = word.chars().take_while(char::is_ascii_digit).collect();
        let rest = &word[digits.len()..];
        let site: String = rest.chars().take_while(char::is_ascii_alphabetic).collect();
        let long = Duration::from_secs(10_000);
        NodeView {
            id: NodeId(digits.parse().unwrap()),
            site,
            draining: rest.contains('-'),
            answers: !rest.contains(['!', '?']),
            since: if rest.contains('?') { Duration::from_secs(5) } else { long },
            disk_free: None,
        }
    };
    text.split_whitespace().map(node).collect()
}

/// A group with a leader; all that answer have everything, but for `behind`.
fn group(nodes: &[NodeView], voters: &[u64], learners: &[u64], behind: &[u64]) -> GroupView {
    let answering: BTreeSet<NodeId> = nodes.iter().filter(|n| n.answers).map(|n| n.id).collect();
    let members: BTreeSet<NodeId> = &set(voters) | &set(learners);
    GroupView {
        voters: set(voters),
        learners: set(learners),
        leader: set(voters).intersection(&answering).next().copied(),
        ready: &(&members & &answering) - &set(behind),
    }
}

fn domain(text: &str, voters: &[u64]) -> View {
    let nodes = nodes(text);
    let learners: Vec<u64> =
        nodes.iter().map(|n| n.id.0).filter(|id| !voters.contains(id)).collect();
    let domain = group(&nodes, voters, &learners, &[]);
    View { nodes, domain, ..View::default() }
}

#[test]
fn the_domain_group_has_an_odd_number_of_voters_spread_over_the_sites() {
    for (text, present, wanted) in [
        ("1a", &[1][..], &[1][..]),
        ("1a 2a", &[1], &[1]),
        ("1a 2a 3a", &[1], &[1, 2, 3]),
        ("1a 2a 3a 4a", &[1, 2, 3], &[1, 2, 3]),
        ("1a 2a 3a 4a 5a", &[1, 2, 3], &[1, 2, 3, 4, 5]),
        ("1a 2a 3a 4a 5a 6a 7a", &[1, 2, 3, 4, 5], &[1, 2, 3, 4, 5]),
        // two sites: the larger one has the majority, and keeps it when the other one grows
        ("1a 2a 3b", &[1], &[1, 2, 3]),
        ("1a 2a 3a 4b 5b 6b", &[1, 2, 3, 4, 5], &[1, 2, 3, 4, 5]),
        ("1a 2a 3a 4b 5b 6b 7b", &[1, 2, 3, 4, 5], &[1, 2, 3, 4, 5]),
        ("1a 2b", &[1], &[1]),
        // the only voter is being emptied: the other one takes its place, in whatever site
        ("1a 2a-", &[2], &[1]),
        ("1a 2b-", &[2], &[1]),
        // three sites: none has a majority
        ("1a 2a 3b 4c", &[1, 2, 3], &[1, 3, 4]),
        ("1a 2a 3a 4b 5b 6c", &[1, 2, 3], &[1, 2, 4, 5, 6]),
        ("1a 2a 3a 4a 5a 6b 7c", &[1, 2, 3], &[1, 6, 7]),
        // a voter that is silent for a moment stays; for long, it goes if there is another
        ("1a 2a 3a? 4a", &[1, 2, 3], &[1, 2, 3]),
        ("1a 2a 3a! 4a", &[1, 2, 3], &[1, 2, 4]),
        ("1a 2a 3a!", &[1, 2, 3], &[1, 2, 3]),
        ("1a 2a 3a! 4a!", &[1, 2, 3], &[1, 2, 3]),
        ("1a 2a 3a- 4a", &[1, 2, 3], &[1, 2, 4]),
        ("1a 2a 3a-", &[1, 2, 3], &[1, 2, 3]),
        // a removed one goes in any case
        ("1a 2a", &[1, 2, 3], &[1]),
        ("1a 2a 4a", &[1, 2, 3], &[1, 2, 4]),
    ] {
        let view = domain(text, present);
        assert_eq!(domain_target(&view).voters, set(wanted), "{text} with {present:?}");
    }
}

#[test]
fn a_group_changes_one_thing_at_a_time_and_keeps_its_majority() {
    use MemberStep::{AddLearner, Remove, SetVoters, Transfer};
    struct Case {
        nodes: &'static str,
        voters: &'static [u64],
        learners: &'static [u64],
        behind: &'static [u64],
        members: &'static [u64],
        target: &'static [u64],
        home: Option<u64>,
        step: Option<MemberStep>,
    }
    let case = |nodes, voters, learners, behind, members, target, home, step| Case {
        nodes,
        voters,
        learners,
        behind,
        members,
        target,
        home,
        step,
    };
    let three = &[1, 2, 3][..];
    let cases = [
        case("1a 2a 3a", &[1], &[], &[], three, three, None, Some(AddLearner(NodeId(2)))),
        case("1a 2a! 3a", &[1], &[], &[], three, three, None, Some(AddLearner(NodeId(3)))),
        // growth passes over two voters
        case("1a 2a 3a", &[1], &[2, 3], &[3], three, three, None, None),
        case("1a 2a 3a", &[1], &[2, 3], &[], three, three, None, Some(SetVoters(set(three)))),
        // a successor first, then the vote
        case("1a 2a 3a! 4a", three, &[4], &[4], &[1, 2, 4], &[1, 2, 4], None, None),
        case(
            "1a 2a 3a! 4a",
            three,
            &[4],
            &[],
            &[1, 2, 4],
            &[1, 2, 4],
            None,
            Some(SetVoters(set(&[1, 2, 4]))),
        ),
        case(
            "1a 2a 3a! 4a",
            &[1, 2, 4],
            &[3],
            &[],
            &[1, 2, 4],
            &[1, 2, 4],
            None,
            Some(Remove(NodeId(3))),
        ),
        // two of three silent: nobody can change anything, and nothing is tried
        case("1a 2a! 3a!", three, &[], &[], three, three, None, None),
        case("1a 2a! 3a", &[1], &[2, 3], &[], three, three, None, None),
        // the removed one goes, and two replicas have one voter
        case("1a 2a", three, &[], &[], &[1, 2], &[1], None, Some(SetVoters(set(&[1])))),
        case("1a 2a", &[1], &[2, 3], &[], &[1, 2], &[1], None, Some(Remove(NodeId(3)))),
        // not while the one that would be left is incomplete
        case("1a 2a", &[1, 2], &[], &[2], &[2], &[2], None, None),
        case("1a 2a", &[2], &[1], &[2], &[2], &[2], None, None),
        // of those without a successor the silent one goes first
        case(
            "1a 2a! 3a 4a 5a",
            three,
            &[4, 5],
            &[5],
            &[1, 4, 5],
            &[1, 4, 5],
            None,
            Some(SetVoters(set(&[1, 3, 4]))),
        ),
        // nor voters of whom most are silent, nor away with the one that is complete
        case("1a 2a? 3a? 4a 5a", &[1, 2, 3, 4, 5], &[], &[], three, three, None, None),
        case("1a 2a! 4a", &[1], &[2, 4], &[], &[2], &[2], None, None),
        // home again
        case("1a 2a 3a", three, &[], &[], three, three, Some(2), Some(Transfer(NodeId(2)))),
        case("1a 2a 3a", three, &[], &[2], three, three, Some(2), None),
        case("1a 2a! 3a", three, &[], &[], three, three, Some(2), None),
        case("1a 2a 3a", three, &[], &[], three, three, Some(1), None),
        case("1a- 2a 3a", three, &[], &[], three, three, None, Some(Transfer(NodeId(2)))),
    ];
    for (number, case) in cases.into_iter().enumerate() {
        let nodes = nodes(case.nodes);
        let group = group(&nodes, case.voters, case.learners, case.behind);
        let view = View { nodes, ..View::default() };
        let target = Target {
            members: set(case.members),
            voters: set(case.target),
            home: case.home.map(NodeId),
        };
        let step = next_step(&view, &group, &target);
        assert_eq!(
            step.as_ref().map(|(step, _)| step),
            case.step.as_ref(),
            "case {number}: {step:?}"
        );
        assert!(step.is_none_or(|(_, why)| !why.is_empty()), "case {number}");
    }
}

#[test]
fn a_home_that_has_just_come_back_does_not_lead_at_once() {
    let mut view = domain("1a 2a 3a", &[1, 2, 3]);
    view.nodes[1].since = Duration::from_secs(3);
    let target =
        Target { members: set(&[1, 2, 3]), voters: set(&[1, 2, 3]), home: Some(NodeId(2)) };
    assert_eq!(next_step(&view, &view.domain, &target), None);
    view.nodes[1].since = view.rules.settle;
    assert!(next_step(&view, &view.domain, &target).is_some());
}

/// A store whose replicas are all in its group.
fn store(nodes: &[NodeView], home: u64, replicas: &[u64], wanted: u8, behind: &[u64]) -> StoreView {
    StoreView {
        id: GroupId(1),
        home: NodeId(home),
        replicas: set(replicas),
        wanted,
        retired: false,
        mailboxes: 10,
        spooled: 0,
        bytes: 1_000,
        group: Some(group(nodes, replicas, &[], behind)),
    }
}

#[test]
fn replicas_are_as_many_as_wanted_in_the_site_of_the_home_where_that_can_be() {
    // nodes, home, replicas, wanted, behind, then home and replicas that should be
    let unchanged = None;
    for (text, home, replicas, wanted, behind, result) in [
        ("1a 2a 3a", 1, &[1][..], 3, &[][..], Some((1, &[1, 2][..]))),
        ("1a 2a 3a", 1, &[1, 2], 3, &[], Some((1, &[1, 2, 3]))),
        ("1a 2a 3a", 1, &[1, 2], 3, &[2], unchanged), // one at a time
        ("1a 2a 3a", 1, &[1, 2, 3], 3, &[], unchanged),
        ("1a 2a", 1, &[1, 2], 3, &[], unchanged),
        ("1a 2b 3a", 1, &[1], 3, &[], Some((1, &[1, 3]))),
        ("1a 2b 3b", 1, &[1], 2, &[], Some((1, &[1, 2]))),
        // a node of the site came: the replica abroad moves
        ("1a 2b 3a", 1, &[1, 2], 2, &[], Some((1, &[1, 2, 3]))),
        ("1a 2b 3a", 1, &[1, 2, 3], 2, &[3], unchanged),
        ("1a 2b 3a", 1, &[1, 2, 3], 2, &[], Some((1, &[1, 3]))),
        // silent: for a moment nothing, for long a successor, without one nothing
        ("1a 2a 3a? 4a", 1, &[1, 2, 3], 3, &[], unchanged),
        ("1a 2a 3a! 4a", 1, &[1, 2, 3], 3, &[], Some((1, &[1, 2, 3, 4]))),
        ("1a 2a 3a! 4a", 1, &[1, 2, 3, 4], 3, &[4], unchanged),
        ("1a 2a 3a! 4a", 1, &[1, 2, 3, 4], 3, &[], Some((1, &[1, 2, 4]))),
        ("1a 2a 3a!", 1, &[1, 2, 3], 3, &[], unchanged),
        ("1a! 2a 3a", 1, &[1, 2, 3], 3, &[], unchanged),
        ("1a! 2a 3a 4a", 1, &[1, 2, 3], 3, &[], Some((1, &[1, 2, 3, 4]))),
        ("1a! 2a 3a 4a", 1, &[1, 2, 3, 4], 3, &[], Some((2, &[1, 2, 3, 4]))),
        // emptied
        ("1a- 2a 3a 4a", 1, &[1, 2, 3], 3, &[], Some((2, &[1, 2, 3]))),
        ("1a- 2a 3a 4a", 2, &[1, 2, 3], 3, &[], Some((2, &[1, 2, 3, 4]))),
        ("1a- 2a", 1, &[1, 2], 3, &[2], unchanged),
        ("1a- 2a", 2, &[1, 2], 3, &[], Some((2, &[2]))),
        // removed
        ("2a 3a", 1, &[1, 2, 3], 3, &[], Some((2, &[2, 3]))),
        // fewer wanted
        ("1a 2a 3a", 1, &[1, 2, 3], 1, &[], Some((1, &[1, 2]))),
    ] {
        let nodes = nodes(text);
        let mut item = store(&nodes, home, replicas, wanted, behind);
        if let Some(group) = &mut item.group {
            // what is not listed any more has died
            group.ready.retain(|id| nodes.iter().any(|node| node.id == *id));
        }
        let domain = group(&nodes, &[2], &[], &[]);
        let view = View { nodes, domain, stores: vec![item], ..View::default() };
        let wishes: Vec<_> = plan(&view)
            .into_iter()
            .filter_map(|action| match action.order {
                Order::Store { home, replicas, .. } => Some((home, replicas)),
                _ => None,
            })
            .collect();
        let wanted: Vec<_> =
            result.iter().map(|(home, replicas)| (NodeId(*home), set(replicas))).collect();
        assert_eq!(wishes, wanted, "{text}, home {home}, {replicas:?}");
    }
}

#[test]
fn new_replicas_go_to_nodes_with_few_of_them_and_with_room() {
    let nodes = nodes("1a 2a 3a 4a");
    let mut stores = vec![store(&nodes, 1, &[1], 2, &[]), store(&nodes, 2, &[2, 3], 2, &[])];
    stores[1].id = GroupId(2);
    let domain = group(&nodes, &[1], &[], &[]);
    let mut view = View { nodes, domain, stores, ..View::default() };
    let chosen = |view: &View| {
        plan(view).into_iter().find_map(|action| match action.order {
            Order::Store { store: GroupId(1), replicas, .. } => Some(replicas),
            _ => None,
        })
    };
    assert_eq!(chosen(&view), Some(set(&[1, 4])), "it has none yet");
    view.nodes[3].disk_free = Some(1_100);
    assert_eq!(chosen(&view), Some(set(&[1, 2])), "1,250 bytes of room are needed");
    for node in &mut view.nodes {
        node.disk_free = Some(10);
    }
    assert_eq!(chosen(&view), None);
}

#[test]
fn of_two_replicas_one_votes_and_of_four_three() {
    for (text, home, replicas, voters, behind, wanted) in [
        ("1a 2a", 1, &[1, 2][..], &[1][..], &[][..], &[1][..]),
        ("1a 2a", 2, &[1, 2], &[1], &[2], &[1]),
        ("1a 2a", 2, &[1, 2], &[1], &[], &[2]),
        ("1a! 2a", 1, &[1, 2], &[1], &[], &[2]), // and next_step cannot: it needs an explicit order
        ("1a 2a 3a", 1, &[1, 2, 3], &[1], &[], &[1, 2, 3]),
        ("1a 2a 3a 4a", 1, &[1, 2, 3, 4], &[1, 2, 3], &[], &[1, 2, 3]),
        ("1a 2a 3a! 4a", 1, &[1, 2, 3, 4], &[1, 2, 3], &[4], &[1, 2, 3]),
        ("1a 2a 3a! 4a", 1, &[1, 2, 3, 4], &[1, 2, 3], &[], &[1, 2, 4]),
    ] {
        let nodes = nodes(text);
        let mut item = store(&nodes, home, replicas, 3, &[]);
        let learners: Vec<u64> =
            replicas.iter().copied().filter(|id| !voters.contains(id)).collect();
        item.group = Some(group(&nodes, voters, &learners, behind));
        let view = View { nodes, ..View::default() };
        assert_eq!(
            store_target(&view, &item).voters,
            set(wanted),
            "{text} {replicas:?} {voters:?}"
        );
    }
}

#[test]
fn a_retired_store_is_forgotten_only_when_it_is_empty_and_is_led() {
    let nodes = nodes("1a");
    let mut item = store(&nodes, 1, &[1], 1, &[]);
    item.retired = true;
    let removes = |item: &StoreView| {
        let view = View {
            nodes: nodes.clone(),
            domain: group(&nodes, &[1], &[], &[]),
            stores: vec![item.clone()],
            ..View::default()
        };
        plan(&view).iter().any(|action| action.order == Order::RemoveStore(GroupId(1)))
    };
    assert!(!removes(&item), "mailboxes");
    (item.mailboxes, item.spooled) = (0, 1);
    assert!(!removes(&item), "mail in the spool");
    item.spooled = 0;
    assert!(removes(&item));
    item.group = None;
    assert!(!removes(&item), "nobody can say that it is empty");
    item.replicas.clear();
    assert!(removes(&item), "it was lost with its node");
}

#[test]
fn administrators_are_told_what_hangs_on_a_node() {
    // nodes, replicas (voters), learners, behind, of which node, what
    for (text, voters, learners, behind, node, says) in [
        ("1a 2a 3a", &[1, 2, 3][..], &[][..], &[][..], 1, "everything would go on"),
        (
            "1a 2a 3a!",
            &[1, 2, 3],
            &[],
            &[],
            1,
            "store 1 would stand still; settings could not be changed",
        ),
        (
            "1a 2a",
            &[1],
            &[2],
            &[],
            1,
            "store 1 would stand still until the other replica is promoted; settings could not be changed",
        ),
        ("1a 2a", &[1], &[2], &[2], 1, "store 1 would be lost; settings could not be changed"),
        ("1a 2a", &[1], &[2], &[], 2, "everything would go on"),
        ("1a", &[1], &[], &[], 1, "store 1 would be lost; settings could not be changed"),
    ] {
        let nodes = nodes(text);
        let all: Vec<u64> = voters.iter().chain(learners).copied().collect();
        let mut item = store(&nodes, 1, &all, 3, behind);
        item.group = Some(group(&nodes, voters, learners, behind));
        let domain = group(&nodes, voters, learners, behind);
        let view = View { nodes, domain, stores: vec![item], ..View::default() };
        assert_eq!(what_if_lost(&view, NodeId(node)).to_string(), says, "{text}");
    }
}

#[test]
fn a_node_is_removed_only_if_nothing_is_lost_with_it() {
    for (text, voters, learners, behind, mailboxes, remove, leave) in [
        ("1a 2a 3a", &[1, 2, 3][..], &[][..], &[][..], 10, "", "still has a replica"),
        (
            "1a 2a",
            &[1],
            &[2],
            &[2],
            10,
            "only complete replica of store 1 with 10 mailboxes",
            "still",
        ),
        ("1a 2a", &[1], &[2], &[], 10, "needs the vote of node 1", "still"),
        ("1a 2a", &[1], &[], &[], 0, "", "still"),
        ("1a 2a", &[1], &[], &[], 10, "only replica of store 1 with 10 mailboxes", "still"),
        ("1a 2a", &[2], &[], &[], 10, "", ""),
        ("1a", &[1], &[], &[], 0, "last node", "last node"),
    ] {
        let nodes = nodes(text);
        let all: Vec<u64> = voters.iter().chain(learners).copied().collect();
        let home = voters[0];
        let mut item = store(&nodes, home, &all, 3, behind);
        item.group = Some(group(&nodes, voters, learners, behind));
        item.mailboxes = mailboxes;
        let last = nodes.last().unwrap().id.0;
        let domain = group(&nodes, &[last], &[], &[]);
        let view = View { nodes, domain, stores: vec![item], ..View::default() };
        for (what, answer) in
            [(remove, can_remove(&view, NodeId(1))), (leave, can_leave(&view, NodeId(1)))]
        {
            match answer {
                Ok(()) => assert_eq!(what, "", "{text} {voters:?}"),
                Err(reasons) => {
                    let reasons = reasons.join(" ");
                    assert!(!what.is_empty() && reasons.contains(what), "{text}: {reasons}");
                }
            }
        }
    }
}

#[test]
fn every_action_says_what_and_why() {
    let mut view = domain("1a 2a 3a! 4a", &[1, 2, 3]);
    let replicas = store(&view.nodes, 1, &[1, 2, 3], 3, &[]);
    view.stores.push(replicas);
    let said: Vec<String> = plan(&view).iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "directory: nodes 1, 2, 4 vote (node 3 has not answered for 10000 s)",
            "store 1: replicas on nodes 1, 2, 3, 4, home on node 1 (node 3 has not answered for 10000 s)",
        ]
    );
}
