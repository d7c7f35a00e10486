//! Groups of several members in one process.

use std::{
    collections::BTreeSet,
    path::Path,
    time::{Duration, Instant},
};

use bytes::Bytes;
use openraft::{raft::VoteRequest, vote::leader_id_adv::LeaderId};

use crate::{
    Environment, ForceError, Group, GroupId, GroupSpec, MemberError, Node, NodeId, NodeOptions,
    ProposeError,
    common::{Ledger, ledger_path},
    log::LogOptions,
    network::{LinkError, Service},
    raft::{LogId, Vote, timing::Timing, wire::Question},
};

#[path = "../../examples/local/mod.rs"]
mod local;

mod disk;

use local::{Failure, Switch};

const GROUP: GroupId = GroupId(3);
const SOON: Duration = Duration::from_secs(10);

/// One node and the group's member on it.
struct Member {
    node: Node,
    group: Group,
    folder: tempfile::TempDir,
}

impl Member {
    async fn start(switch: &Switch, id: u64) -> Self {
        Self::start_in(switch, id, tempfile::tempdir().unwrap()).await
    }

    async fn start_in(switch: &Switch, id: u64, folder: tempfile::TempDir) -> Self {
        Self::start_with(switch, id, folder, LogOptions::default()).await
    }

    async fn start_with(
        switch: &Switch,
        id: u64,
        folder: tempfile::TempDir,
        log: LogOptions,
    ) -> Self {
        let (path, network) = (folder.path().join("log"), switch.port(id));
        let options = NodeOptions { id: NodeId(id), log: path, network, level: crate::LEVEL };
        let node = Node::open_with(Environment::real(), options, log).await.unwrap();
        let group = start_group(&node, folder.path(), id == 1).await;
        Self { node, group, folder }
    }

    /// What is in its ledger, as far as that can be read just now.
    fn content(&self) -> Vec<Vec<u8>> {
        let path = ledger_path(self.folder.path(), GROUP.0);
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
        let read = || {
            let ledger = rusqlite::Connection::open_with_flags(path, flags)?;
            let mut rows = ledger.prepare("SELECT data FROM entry ORDER BY position")?;
            rows.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()
        };
        read().unwrap_or_default()
    }
}

async fn start_group(node: &Node, folder: &Path, bootstrap: bool) -> Group {
    let spec = GroupSpec { id: GROUP, name: "three".into(), bootstrap };
    let ledger = Ledger::open(&ledger_path(folder, GROUP.0));
    node.start_group(spec, Box::new(ledger)).await.unwrap()
}

/// Nodes 1 to `count`, all voters, led by 1.
async fn voters(count: u64) -> (Switch, Vec<Member>) {
    let switch = Switch::default();
    let mut members = Vec::new();
    for id in 1..=count {
        members.push(Member::start(&switch, id).await);
    }
    let leader = &members[0].group;
    for id in 2..=count {
        leader.add_learner(NodeId(id)).await.unwrap();
    }
    leader.set_voters((1..=count).map(NodeId).collect()).await.unwrap();
    (switch, members)
}

async fn until(what: &str, mut reached: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + SOON;
    while !reached().await {
        assert!(Instant::now() < end, "not reached: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn word(word: &'static str) -> Bytes {
    Bytes::from_static(word.as_bytes())
}

/// The member that leads.
async fn leader(members: &[Member]) -> &Member {
    let end = Instant::now() + SOON;
    loop {
        if let Some(member) = members.iter().find(|member| member.group.leads()) {
            return member;
        }
        assert!(Instant::now() < end, "nobody leads");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_member_accepts_all_members_have() {
    let (_switch, members) = voters(3).await;
    assert!(members[0].group.leads() && !members[1].group.leads());
    members[0].group.propose(word("one")).await.unwrap();
    let refused = members[1].group.propose(word("two")).await;
    assert_eq!(refused, Err(ProposeError::NotLeader { leader: Some(NodeId(1)) }));
    // a follower sends it on, and has it itself when it answers
    let answer = members[1].group.submit(word("two")).await.unwrap();
    assert_eq!(answer[..], 2u64.to_le_bytes());
    assert_eq!(members[1].content(), [b"one", b"two"]);
    // a barrier on a follower waits for what others have accepted
    members[0].group.propose(word("six")).await.unwrap();
    members[2].group.read_barrier().await.unwrap();
    assert_eq!(members[2].content(), [b"one", b"two", b"six"]);
    let status = members[0].group.status();
    assert_eq!(status.members.len(), 3);
    assert!(status.quorum && status.members.iter().all(|member| member.voter));
    assert!(members[2].group.status().quorum);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_barrier_of_a_leader_with_a_valid_lease_asks_nobody() {
    let (switch, members) = voters(3).await;
    let leader = leader(&members).await;
    leader.group.propose(word("one")).await.unwrap();
    let (before, start) = (switch.asked(Service::RAFT), Instant::now());
    for _ in 0..1000 {
        leader.group.read_barrier().await.unwrap();
    }
    let took = start.elapsed();
    assert!(switch.asked(Service::RAFT) - before < 100, "it asked");
    println!("1000 barriers: {took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_lost_is_replaced_and_nothing_acknowledged_is_missing() {
    for failure in [Failure::Refuses, Failure::Silent] {
        let (switch, members) = voters(3).await;
        members[0].group.submit(word("one")).await.unwrap();
        let start = Instant::now();
        switch.fail(1, Some(failure));
        members[1].group.submit(word("two")).await.unwrap();
        println!("{failure:?}: written again after {:?}", start.elapsed());
        // the old one knows that it must not answer reads, soon after the new one leads
        assert!(!members[0].group.leads());
        let alone = members[0].group.read_barrier();
        let read = tokio::time::timeout(Duration::from_millis(500), alone).await;
        assert!(!matches!(read, Ok(Ok(()))), "a stale read");
        switch.fail(1, None);
        until("the old leader follows", async || members[0].group.read_barrier().await.is_ok())
            .await;
        assert_eq!(members[0].content(), [b"one", b"two"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leadership_moves_on_request_with_a_short_gap() {
    let (_switch, members) = voters(3).await;
    members[0].group.submit(word("x")).await.unwrap();
    for to in [2, 3, 1, 2, 3, 1] {
        let from = leader(&members).await;
        let start = Instant::now();
        from.group.transfer(NodeId(to)).await.unwrap();
        assert!(!from.group.leads());
        members[0].group.submit(word("x")).await.unwrap();
        println!("transferred and written after {:?}", start.elapsed());
        until("it leads", async || members[to as usize - 1].group.leads()).await;
    }
    let from = leader(&members).await;
    assert_eq!(from.group.transfer(NodeId(9)).await, Err(MemberError::NoVoter(NodeId(9))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_stops_hands_over_first() {
    let (switch, members) = voters(3).await;
    members[0].group.submit(word("one")).await.unwrap();
    let stopping = members[0].node.clone();
    let start = Instant::now();
    let stopped = tokio::spawn(async move { stopping.shutdown().await });
    until("another leads", async || members[1..].iter().any(|member| member.group.leads())).await;
    println!("another leads after {:?}", start.elapsed());
    members[1].group.submit(word("two")).await.unwrap();
    stopped.await.unwrap().unwrap();
    switch.forget(1);
    members[2].group.read_barrier().await.unwrap();
    assert_eq!(members[2].content(), [b"one", b"two"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn learners_become_voters_and_members_leave() {
    let (switch, members) = voters(3).await;
    let fourth = Member::start(&switch, 4).await;
    let lead = leader(&members).await;
    lead.group.add_learner(NodeId(4)).await.unwrap();
    lead.group.add_learner(NodeId(4)).await.unwrap();
    assert!(lead.group.members().learners.contains(&NodeId(4)));
    assert_eq!(
        lead.group.set_voters(BTreeSet::from([NodeId(9)])).await,
        Err(MemberError::NoMember(NodeId(9)))
    );
    lead.group.propose(word("one")).await.unwrap();
    fourth.group.read_barrier().await.unwrap();
    assert_eq!(fourth.content(), [b"one"]);
    lead.group.set_voters([1, 2, 4].map(NodeId).into()).await.unwrap();
    assert_eq!(lead.group.members().learners, BTreeSet::from([NodeId(3)]));
    lead.group.remove_member(NodeId(3)).await.unwrap();
    assert!(!lead.group.members().contains(NodeId(3)));
    // a leader that takes itself out hands over and says to whom
    let outcome = lead.group.remove_member(NodeId(1)).await;
    let Err(MemberError::NotLeader { leader: Some(next) }) = outcome else { panic!("{outcome:?}") };
    let all = [&members[0], &members[1], &members[2], &fourth];
    let next = all[next.0 as usize - 1];
    until("the next one removes it", async || next.group.remove_member(NodeId(1)).await.is_ok())
        .await;
    let members = next.group.members();
    assert_eq!(members.voters, BTreeSet::from([NodeId(2), NodeId(4)]));
    assert!(members.learners.is_empty());
    next.group.propose(word("two")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_no_member_raises_no_term_and_gets_no_answer() {
    let (switch, members) = voters(3).await;
    members[0].group.submit(word("one")).await.unwrap();
    let term = members[0].group.status().term;
    let stranger = switch.port(7);
    let vote = |node_id| Vote { leader_id: LeaderId { term: 99, node_id }, committed: false };
    let old = Some(LogId::new(LeaderId { term: 1, node_id: 1 }, 1));
    let mut transfer = VoteRequest::new(vote(7), old);
    transfer.leadership_transfer = true;
    let questions = [
        (Question::Vote(VoteRequest::new(vote(7), old)), "is no voter"),
        (Question::PreVote(VoteRequest::new(vote(7), old)), "is no voter"),
        (Question::Vote(transfer), "is no voter"),
        (Question::Vote(VoteRequest::new(vote(2), old)), "speaks for node 2"),
    ];
    for (question, why) in questions {
        let bytes = question.encode(GROUP).unwrap();
        let answer = stranger.ask(NodeId(2), Service::RAFT, bytes.clone(), SOON).await;
        assert!(
            matches!(&answer, Err(LinkError::Refused(_, text)) if text.contains(why)),
            "{answer:?}"
        );
        let other = Question::decode(bytes).unwrap().1.encode(GroupId(55)).unwrap();
        let answer = stranger.ask(NodeId(2), Service::RAFT, other, SOON).await;
        assert!(
            matches!(&answer, Err(LinkError::Refused(_, text)) if text.contains("does not run")),
            "{answer:?}"
        );
    }
    members[0].group.propose(word("two")).await.unwrap();
    assert_eq!(members[0].group.status().term, term);
    assert!(members[0].group.leads());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_was_away_comes_back_without_a_new_term() {
    let (switch, members) = voters(3).await;
    members[0].group.submit(word("one")).await.unwrap();
    let term = members[0].group.status().term;
    switch.fail(3, Some(Failure::Silent));
    // longer than several elections
    for _ in 0..20 {
        members[0].group.propose(word("x")).await.unwrap();
        tokio::time::sleep(Duration::from_millis(80)).await;
    }
    switch.fail(3, None);
    until("it has caught up", async || members[2].content().len() == 21).await;
    assert_eq!(members[0].group.status().term, term);
    assert!(members[0].group.leads());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_is_forgotten_for_good() {
    let (switch, mut members) = voters(3).await;
    members[0].group.submit(word("one")).await.unwrap();
    let third = members.remove(2);
    third.node.forget_group(GROUP).await.unwrap();
    assert!(third.node.group(GROUP).is_none());
    std::fs::remove_file(ledger_path(third.folder.path(), GROUP.0)).unwrap();
    third.node.shutdown().await.unwrap();
    drop(third.group);
    let (folder, node) = (third.folder, third.node);
    drop(node);
    members[0].group.remove_member(NodeId(3)).await.unwrap();
    // as new: a log that still had something would not go with an empty state machine
    let third = Member::start_in(&switch, 3, folder).await;
    assert_eq!(third.group.status().term, 0);
    members[0].group.add_learner(NodeId(3)).await.unwrap();
    until("it has everything", async || third.content().len() == 1).await;
}

const BLOCK: usize = 100 << 10;

async fn propose_blocks(group: &Group, count: u8) {
    for number in 0..count {
        group.propose(Bytes::from(vec![number; BLOCK])).await.unwrap();
    }
}

/// A leader without followers whose log begins behind `count` blocks.
async fn without_log(switch: &Switch, count: u8) -> Member {
    let member = Member::start(switch, 1).await;
    propose_blocks(&member.group, count).await;
    member.group.checkpoint().await.unwrap();
    member
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_node_gets_a_copy_and_the_log_behind_it() {
    let switch = Switch::default();
    let first = without_log(&switch, 20).await;
    let second = Member::start(&switch, 2).await;
    first.group.add_learner(NodeId(2)).await.unwrap();
    first.group.propose(word("after")).await.unwrap();
    until("all is there", async || second.content().len() == 21).await;
    assert_eq!(first.content(), second.content());
    until("nothing is under way", async || {
        first.group.status().snapshots.is_empty() && second.group.status().snapshots.is_empty()
    })
    .await;
    first.group.set_voters([1, 2].map(NodeId).into()).await.unwrap();
    second.group.submit(word("voter")).await.unwrap();
    // it starts again with what it got
    second.node.shutdown().await.unwrap();
    let folder = second.folder;
    drop((second.group, second.node));
    let second = Member::start_in(&switch, 2, folder).await;
    until("it is current", async || second.group.read_barrier().await.is_ok()).await;
    assert_eq!(second.content().len(), 22);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_copy_goes_on_where_it_was() {
    let switch = Switch::default();
    let first = without_log(&switch, 40).await;
    first.node.set_snapshot_rate(8 << 20);
    let mut second = Member::start(&switch, 2).await;
    first.group.add_learner(NodeId(2)).await.unwrap();
    let far = |part: u64| {
        let group = &first.group;
        async move || {
            let under = group.status().snapshots;
            under.iter().any(|copy| copy.sending && copy.done * 10 > copy.total * part)
        }
    };
    until("a third has been sent", far(3)).await;
    switch.fail(2, Some(Failure::Refuses));
    tokio::time::sleep(Duration::from_millis(50)).await;
    switch.fail(2, None);
    until("half has been sent", far(5)).await;
    // and the receiving node starts again
    second.node.shutdown().await.unwrap();
    let folder = second.folder;
    drop((second.group, second.node));
    second = Member::start_in(&switch, 2, folder).await;
    until("all is there", async || second.content().len() == 40).await;
    assert_eq!(first.content(), second.content());
    let parts = 40 * BLOCK as u64 / (64 << 10);
    let asked = switch.asked(Service::SNAPSHOT);
    assert!(asked < parts * 3 / 2, "{asked} questions for {parts} parts");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_stays_away_does_not_hold_the_log_up() {
    let (switch, folder) = (Switch::default(), tempfile::tempdir().unwrap());
    let small = LogOptions { segment: 1 << 20, min_free: 0, cache: 1 << 20 };
    let first = Member::start_with(&switch, 1, folder, small).await;
    let second = Member::start(&switch, 2).await;
    first.group.add_learner(NodeId(2)).await.unwrap();
    propose_blocks(&first.group, 1).await;
    second.group.read_barrier().await.unwrap();
    switch.fail(2, Some(Failure::Refuses));
    let start = || first.group.inner.engine.state(GROUP).first;
    for _ in 0..4 {
        propose_blocks(&first.group, 30).await;
    }
    until("the log is let go", async || start() > 100).await;
    until("it leads on", async || first.group.leads()).await;
    switch.fail(2, None);
    until("all is there", async || second.content().len() == 121).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_left_over_goes_on_alone_when_told_and_says_what_may_be_missing() {
    let (switch, mut members) = voters(2).await;
    let third = Member::start(&switch, 3).await;
    members[0].group.add_learner(NodeId(3)).await.unwrap();
    members[0].group.submit(word("one")).await.unwrap();
    third.group.read_barrier().await.unwrap();
    let refused = third.node.force_members(GROUP).await;
    assert!(matches!(refused, Err(ForceError::HasLeader(NodeId(1)))), "{refused:?}");
    for id in [1, 2] {
        switch.fail(id, Some(Failure::Refuses));
    }
    members.clear();
    until("it knows", async || third.node.would_force(GROUP).await.is_ok()).await;
    let forced = third.node.force_members(GROUP).await.unwrap();
    assert_eq!(forced.others, BTreeSet::from([NodeId(1), NodeId(2)]));
    assert!(forced.last_contact.is_some() && forced.last_index >= forced.committed);
    let group = start_group(&third.node, third.folder.path(), false).await;
    until("it leads", async || group.leads()).await;
    assert_eq!(group.members().voters, BTreeSet::from([NodeId(3)]));
    group.propose(word("two")).await.unwrap();
    assert_eq!(third.content(), [b"one", b"two"]);
    let nothing = third.node.force_members(GroupId(77)).await;
    assert!(matches!(nothing, Err(ForceError::Nothing(_))), "{nothing:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn timings_follow_the_round_trip_and_a_far_group_is_steady() {
    let (switch, members) = voters(3).await;
    members[0].group.submit(word("one")).await.unwrap();
    let class = |milliseconds| Timing::of(Duration::from_millis(milliseconds));
    let all = |timing| {
        let groups: Vec<_> = members.iter().map(|member| &member.group).collect();
        async move || groups.iter().all(|group| *group.inner.timing.read() == timing)
    };
    assert!(all(class(1))().await);
    switch.delay(Duration::from_millis(75));
    until("all are slower", all(class(150))).await;
    members[1].group.submit(word("two")).await.unwrap();
    let lead = leader(&members).await;
    let term = lead.group.status().term;
    for _ in 0..10 {
        let start = Instant::now();
        members[2].group.submit(word("x")).await.unwrap();
        assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    }
    assert_eq!(lead.group.status().term, term);
    switch.delay(Duration::ZERO);
    until("all are fast again", all(class(1))).await;
    members[0].group.submit(word("three")).await.unwrap();
    members[1].group.read_barrier().await.unwrap();
    assert_eq!(members[1].content().len(), 13);
}
