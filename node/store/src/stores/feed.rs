//! Change events of all stores: from the replica here where there is one, else asked for at another node.

use std::{
    collections::{BTreeMap, VecDeque},
    pin::pin,
    sync::{Arc, Weak},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::{Either, select};
use parking_lot::Mutex;
use posthouse_cluster::{GroupId, NodeId, network::LinkError};
use tokio::sync::{Notify, broadcast::error::RecvError};

use super::{Inner, Stores};
use crate::{
    Event, Store,
    peer::{EventsAnswer, EventsQuestion, decode, encode},
};

/// Events of a store that are kept for nodes that ask later.
const KEPT: usize = 4096;
/// Most events in one answer.
const MOST: usize = 1024;
/// How long a question waits for an event.
const WAIT: Duration = Duration::from_secs(20);
/// How much longer its answer may take.
const SLACK: Duration = Duration::from_secs(5);
/// How often it is looked at which stores there are, and pause after a failed question.
const PAUSE: Duration = Duration::from_millis(500);

/// The last events of a store on this node, numbered.
pub(super) struct Journal {
    run: u64,
    events: Mutex<(u64, VecDeque<Event>)>,
    added: Notify,
}

impl Journal {
    pub(super) fn new(run: u64) -> Self {
        // 0 is what somebody asks with who knows nothing
        Self { run: run.max(1), events: Mutex::default(), added: Notify::new() }
    }

    pub(super) fn add(&self, event: Event) {
        let mut events = self.events.lock();
        events.1.push_back(event);
        if events.1.len() > KEPT {
            events.1.pop_front();
            events.0 += 1;
        }
        drop(events);
        self.added.notify_waiters();
    }

    fn since(&self, run: u64, next: u64) -> EventsAnswer {
        let events = self.events.lock();
        let (first, end) = (events.0, events.0 + events.1.len() as u64);
        if run != self.run || next < first || next > end {
            return EventsAnswer { run: self.run, next: end, missed: true, events: Vec::new() };
        }
        let skip = (next - first) as usize;
        let events: Vec<_> = events.1.iter().skip(skip).take(MOST).cloned().collect();
        EventsAnswer { run, next: next + events.len() as u64, missed: false, events }
    }
}

/// Tells everybody on this node of the events of a local store, as long as it is here.
pub(super) fn follow(inner: &Arc<Inner>, store: &Store, journal: Arc<Journal>) {
    let (weak, id) = (Arc::downgrade(inner), store.id());
    let mut changes = store.events();
    let forward = async move {
        loop {
            let event = match changes.recv().await {
                Ok(event) => event,
                Err(RecvError::Lagged(_)) => Event::Missed,
                Err(RecvError::Closed) => return,
            };
            let Some(inner) = weak.upgrade() else { return };
            let is_here = inner
                .local
                .read()
                .get(&id)
                .is_some_and(|local| Arc::ptr_eq(&local.journal, &journal));
            if !is_here {
                return;
            }
            journal.add(event.clone());
            // nobody listening is fine
            let _ = inner.events.send(event);
        }
    };
    inner.env.spawner.spawn("store-events", Box::pin(forward));
}

/// Asks for the events of stores that are not here, as long as there are stores.
pub(super) fn start(inner: &Arc<Inner>) {
    let weak = Arc::downgrade(inner);
    inner.env.spawner.spawn("store-feeds", Box::pin(watch(weak)));
}

async fn watch(weak: Weak<Inner>) {
    let mut running: BTreeMap<GroupId, Arc<()>> = BTreeMap::new();
    loop {
        let Some(inner) = weak.upgrade() else { return };
        // a feed ends by itself when its store is here, or is no more
        running.retain(|_, alive| Arc::strong_count(alive) > 1);
        for store in inner.locate.stores() {
            if inner.is_elsewhere(store) && !running.contains_key(&store) {
                let alive = Arc::new(());
                running.insert(store, alive.clone());
                let feed = feed(weak.clone(), store, alive);
                inner.env.spawner.spawn("store-feed", Box::pin(feed));
            }
        }
        let clock = inner.env.clock.clone();
        drop(inner);
        clock.sleep(PAUSE).await;
    }
}

async fn feed(weak: Weak<Inner>, store: GroupId, _alive: Arc<()>) {
    let mut question = EventsQuestion { store, run: 0, next: 0 };
    let mut turn = 0;
    loop {
        let Some(inner) = weak.upgrade() else { return };
        if !inner.is_elsewhere(store) {
            return;
        }
        let replicas = inner.locate.replicas(store);
        let node = replicas.get(turn % replicas.len().max(1)).copied();
        let asked = match node {
            Some(node) => inner.ask_events(node, &question).await,
            None => Err("there is no replica".into()),
        };
        match asked {
            Ok(answer) => {
                // the first answer only says where things stand
                if answer.missed {
                    let _ = inner.events.send(Event::Missed);
                }
                for event in answer.events {
                    let _ = inner.events.send(event);
                }
                (question.run, question.next) = (answer.run, answer.next);
            }
            Err(reason) => {
                tracing::debug!(target: "debug", store = store.0, reason, "no events of a store");
                turn += 1;
                let clock = inner.env.clock.clone();
                drop(inner);
                clock.sleep(PAUSE).await;
            }
        }
    }
}

impl Inner {
    fn is_elsewhere(&self, store: GroupId) -> bool {
        !self.local.read().contains_key(&store) && self.locate.stores().contains(&store)
    }

    async fn ask_events(
        &self,
        node: NodeId,
        question: &EventsQuestion,
    ) -> Result<EventsAnswer, String> {
        let asked = self.peers.events(node, question, WAIT + SLACK);
        let lost = async {
            loop {
                self.env.clock.sleep(PAUSE).await;
                if self.peers.is_lost(node) {
                    return LinkError::Lost(node, "it was lost".into());
                }
            }
        };
        match select(pin!(asked), pin!(lost)).await {
            Either::Left((answer, _)) => answer.map_err(|error| error.to_string()),
            Either::Right((error, _)) => Err(error.to_string()),
        }
    }
}

impl Stores {
    pub(super) async fn answer_events(&self, question: &[u8]) -> Result<Bytes, String> {
        let EventsQuestion { store, run, next } = decode(question)?;
        let journal = {
            let local = self.inner.local.read();
            local.get(&store).map(|local| local.journal.clone())
        };
        let journal = journal.ok_or_else(|| format!("store {} is not on this node", store.0))?;
        let clock = self.inner.env.clock.clone();
        let group = self.here(store)?.group().clone();
        let until = clock.monotonic() + WAIT;
        loop {
            let added = journal.added.notified();
            let mut added = pin!(added);
            added.as_mut().enable();
            let answer = journal.since(run, next);
            let now = clock.monotonic();
            if answer.missed || !answer.events.is_empty() || now >= until {
                return encode(&answer);
            }
            if !group.watch().borrow().quorum {
                return Err("this replica hears nothing of the others".into());
            }
            select(added, clock.sleep(PAUSE.min(until - now))).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_says_when_events_were_missed() {
        let journal = Journal::new(7);
        let answer = journal.since(0, 0);
        assert!(answer.missed && answer.events.is_empty());
        assert_eq!((answer.run, answer.next), (7, 0));
        journal.add(Event::Spool);
        let answer = journal.since(7, 0);
        assert_eq!((answer.next, answer.missed, answer.events), (1, false, vec![Event::Spool]));
        for _ in 0..KEPT {
            journal.add(Event::Missed);
        }
        let end = KEPT as u64 + 1;
        for (run, next, missed) in
            [(7, 0, true), (7, 1, false), (7, end, false), (7, end + 1, true), (8, end, true)]
        {
            assert_eq!(journal.since(run, next).missed, missed, "{run} {next}");
        }
        assert_eq!(journal.since(7, 1).events.len(), MOST);
    }
}
