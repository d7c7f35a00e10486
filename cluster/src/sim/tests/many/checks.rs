//! What must hold at every instant, whoever looks.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use parking_lot::Mutex;

use crate::{
    Group, GroupId, NodeId,
    network::Service,
    raft::{
        codec,
        wire::{self, Question},
    },
    sim::Exchange,
};

/// Term and node: openraft's term in full. Several may have the same number, none is twice.
pub(super) type Leader = (u64, u64);

/// Violations shown; more say nothing new.
const SHOWN: usize = 5;

fn hash(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// An entry as one log has it: its content, and the entry before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    content: u64,
    before: Option<Leader>,
}

/// What a node has told others, and must know after any crash.
#[derive(Clone, Copy, Debug, Default)]
struct Promise {
    /// Greatest vote that it gave: term, node, committed.
    vote: (u64, u64, bool),
    /// Up to which index it has the log of the leader with `vote`.
    log: Option<((u64, u64, bool), u64)>,
}

#[derive(Default)]
struct State {
    /// Content of each applied entry.
    agreed: BTreeMap<u64, u64>,
    /// What had taken effect up to an entry.
    effects: BTreeMap<u64, u64>,
    entries: BTreeMap<(u64, Leader), Entry>,
    leaders: BTreeMap<Leader, NodeId>,
    promises: BTreeMap<NodeId, Promise>,
    violations: Vec<String>,
    installed: u64,
    elections: u64,
}

/// The checks of one run. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Checks(Arc<Mutex<State>>);

impl State {
    fn violated(&mut self, what: String) {
        if self.violations.len() < SHOWN && !self.violations.contains(&what) {
            self.violations.push(what);
        }
    }
}

impl Checks {
    /// What does not hold.
    pub(super) fn violations(&self) -> Vec<String> {
        self.0.lock().violations.clone()
    }

    pub(super) fn violated(&self, what: String) {
        self.0.lock().violated(what);
    }

    /// Leaders and installed snapshots so far.
    pub(super) fn counts(&self) -> (u64, u64) {
        let state = self.0.lock();
        (state.elections, state.installed)
    }

    /// State machine safety: what one replica applied at an index all others apply there.
    pub(super) fn applied(&self, node: NodeId, index: u64, content: &[u8]) {
        let content = hash(content);
        let mut state = self.0.lock();
        if *state.agreed.entry(index).or_insert(content) != content {
            state.violated(format!("{node} applies something else as entry {index}"));
        }
    }

    /// And it has the same effect.
    pub(super) fn effects(&self, node: NodeId, index: u64, effects: &[u64]) {
        let effects = hash(effects);
        let mut state = self.0.lock();
        if *state.effects.entry(index).or_insert(effects) != effects {
            state.violated(format!("{node} shows something else after entry {index}"));
        }
    }

    pub(super) fn installed(&self, _: NodeId) {
        self.0.lock().installed += 1;
    }

    /// Log matching: entries with the same index and leader are the same, and so is all before them.
    pub(super) fn log(&self, node: NodeId, group: &Group, back: u64) {
        let engine = &group.inner.engine;
        let id = group.inner.spec.id;
        let state = engine.state(id);
        let from = state.first.max(state.next.saturating_sub(back));
        let Ok(entries) = engine.read(id, from, state.next, usize::MAX) else { return };
        let mut before = None;
        let mut known = self.0.lock();
        for (index, bytes) in (from..).zip(entries) {
            let Ok(entry) = codec::decode_entry(index, &bytes) else { continue };
            let leader = {
                use openraft::entry::RaftEntry;
                let log_id = entry.log_id();
                (log_id.leader_id.term, log_id.leader_id.node_id)
            };
            let entry = Entry { content: hash(&bytes[..]), before };
            // the first one that is read says nothing of the one before it
            let there = known.entries.entry((index, leader)).or_insert(entry);
            let differs = there.content != entry.content
                || (there.before.is_some() && before.is_some() && there.before != before);
            there.before = there.before.or(before);
            if differs {
                known.violated(format!("{node} has another entry {index} of leader {leader:?}"));
            }
            before = Some(leader);
        }
    }

    /// Leader completeness: a leader later than all before has everything that was applied anywhere.
    pub(super) fn leads(&self, node: NodeId, leader: Leader, group: &Group) {
        let mut known = self.0.lock();
        if let Some(other) = known.leaders.insert(leader, node) {
            if other != node {
                known.violated(format!("{node} and {other} lead in {leader:?}"));
            }
            return;
        }
        known.elections += 1;
        let latest = known.leaders.last_key_value().is_some_and(|(last, _)| *last == leader);
        let state = group.inner.engine.state(group.inner.spec.id);
        let last = known.agreed.last_key_value().map_or(0, |(index, _)| *index);
        if latest && state.next <= last {
            known.violated(format!("{node} leads in {leader:?} without entry {last}"));
        }
    }

    /// Remembers what a node promises with an answer that leaves it.
    pub(super) fn answered(&self, exchange: &Exchange<'_>) {
        if exchange.service != Service::RAFT {
            return;
        }
        let Ok((_, question)) = Question::decode(exchange.question.clone()) else { return };
        let mut state = self.0.lock();
        let promise = state.promises.entry(exchange.to).or_default();
        let as_tuple = |vote: &crate::raft::Vote| {
            (vote.leader_id.term, vote.leader_id.node_id, vote.committed)
        };
        match question {
            Question::Vote(request) => {
                let answer = wire::decode_voted(exchange.answer.clone());
                if answer.is_ok_and(|answer| answer.vote_granted) {
                    promise.vote = promise.vote.max(as_tuple(&request.vote));
                }
            }
            Question::Append(request) => {
                use openraft::{entry::RaftEntry, raft::AppendEntriesResponse};
                let answer = wire::decode_appended(exchange.answer.clone());
                let last = request.entries.last().map(|entry| entry.index());
                if let (Ok(AppendEntriesResponse::Success), Some(last)) = (answer, last) {
                    let vote = as_tuple(&request.vote);
                    promise.vote = promise.vote.max(vote);
                    match &mut promise.log {
                        Some((leader, index)) if *leader == vote => *index = last.max(*index),
                        log if log.is_none_or(|(leader, _)| vote > leader) => {
                            *log = Some((vote, last))
                        }
                        _ => {}
                    }
                }
            }
            Question::PreVote(_) | Question::Transfer(_) => {}
        }
    }

    /// A node that starts again must know what it promised.
    pub(super) fn started(&self, node: NodeId, engine: &dyn crate::log::LogEngine, id: GroupId) {
        let there = engine.state(id);
        let vote = there.vote.as_ref().and_then(|bytes| codec::decode_vote(bytes).ok());
        let vote = vote.map_or((0, 0, false), |vote| {
            (vote.leader_id.term, vote.leader_id.node_id, vote.committed)
        });
        let mut state = self.0.lock();
        let promise = state.promises.entry(node).or_default();
        let Promise { vote: promised, log } = *promise;
        if vote < promised {
            state.violated(format!("{node} forgot its vote {promised:?}, it has {vote:?}"));
        }
        if let Some((leader, last)) = log
            && leader == vote
            && there.next <= last
        {
            let next = there.next;
            state.violated(format!(
                "{node} forgot entry {last} of {leader:?}: it ends before {next}"
            ));
        }
    }
}
