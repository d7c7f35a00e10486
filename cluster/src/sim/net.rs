//! The network between simulated nodes, with faults per direction of a link.

use std::{
    collections::{BTreeMap, VecDeque},
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use parking_lot::Mutex;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha12Rng;
use tokio::{runtime, sync::oneshot};

use super::SimDisk;
use crate::{
    NodeId,
    env::BoxFuture,
    network::{Handler, LinkError, Network, PeerState, Service},
};

type Answer = Result<Bytes, LinkError>;

/// How one direction of a link treats messages.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Link {
    /// Whether anything passes. Nobody is told of what does not.
    pub open: bool,
    /// Whether messages wait until this is false again; then they arrive at once, in order.
    pub clogged: bool,
    /// Share of the messages that are lost.
    pub loss: f64,
    /// Share of the questions that arrive twice.
    pub twice: f64,
    /// Shortest and longest time on the way. Messages overtake each other.
    pub delay: (Duration, Duration),
    /// Share of the messages that take ten times as long.
    pub late: f64,
}

impl Default for Link {
    fn default() -> Self {
        let delay = (Duration::from_millis(1), Duration::from_millis(3));
        Self { open: true, clogged: false, loss: 0.0, twice: 0.0, delay, late: 0.0 }
    }
}

/// A question that was answered, for who watches.
pub struct Exchange<'a> {
    /// Who asked.
    pub from: NodeId,
    /// Who answers.
    pub to: NodeId,
    /// For whom the question was.
    pub service: Service,
    /// The question.
    pub question: &'a Bytes,
    /// The answer.
    pub answer: &'a Bytes,
}

type Watcher = Arc<dyn Fn(&Exchange<'_>) + Send + Sync>;

/// A message on its way.
#[derive(Clone)]
enum Parcel {
    Question { from: NodeId, to: NodeId, service: Service, body: Bytes, number: u64 },
    Answer { from: NodeId, to: NodeId, answer: Answer, number: u64 },
}

impl Parcel {
    fn way(&self) -> (NodeId, NodeId) {
        match self {
            Self::Question { from, to, .. } | Self::Answer { from, to, .. } => (*from, *to),
        }
    }
}

/// One life of a node, as the network sees it.
struct End {
    life: u64,
    disk: SimDisk,
    runtime: runtime::Handle,
    handlers: BTreeMap<Service, Arc<dyn Handler>>,
}

struct State {
    now: Duration,
    random: ChaCha12Rng,
    usual: Link,
    links: BTreeMap<(NodeId, NodeId), Link>,
    ends: BTreeMap<NodeId, End>,
    under_way: BTreeMap<(Duration, u64), Parcel>,
    held: BTreeMap<(NodeId, NodeId), VecDeque<Parcel>>,
    asking: BTreeMap<u64, (NodeId, oneshot::Sender<Answer>)>,
    next: u64,
    trace: DefaultHasher,
    counts: BTreeMap<&'static str, u64>,
    watcher: Option<Watcher>,
}

/// All links between simulated nodes. Cheap to clone.
#[derive(Clone)]
pub struct Wires(Arc<Mutex<State>>);

/// One life of a node on the [`Wires`].
pub struct SimNetwork {
    wires: Wires,
    me: NodeId,
    life: u64,
    disk: SimDisk,
}

impl State {
    fn link(&self, way: (NodeId, NodeId)) -> Link {
        self.links.get(&way).copied().unwrap_or(self.usual)
    }

    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    fn travel(&mut self, link: &Link) -> Duration {
        let (shortest, longest) = link.delay;
        let micros = self.random.random_range(shortest..=longest.max(shortest)).as_micros();
        let time = Duration::from_micros(micros as u64);
        if self.random.random_bool(link.late) {
            self.count("message late");
            return time * 10;
        }
        time
    }

    /// Sends a message off; what the link loses is gone.
    fn send(&mut self, parcel: Parcel) {
        let link = self.link(parcel.way());
        if !link.open {
            return self.count("message cut off");
        }
        if self.random.random_bool(link.loss) {
            return self.count("message lost");
        }
        let question = matches!(parcel, Parcel::Question { .. });
        if question && self.random.random_bool(link.twice) {
            self.count("message twice");
            let at = self.now + self.travel(&link);
            self.put(at, parcel.clone());
        }
        let at = self.now + self.travel(&link);
        self.put(at, parcel);
    }

    fn put(&mut self, at: Duration, parcel: Parcel) {
        self.next += 1;
        self.under_way.insert((at, self.next), parcel);
    }

    /// What arrives now.
    fn due(&mut self) -> Option<Parcel> {
        loop {
            let entry = self.under_way.first_entry()?;
            if entry.key().0 > self.now {
                return None;
            }
            let parcel = entry.remove();
            let link = self.link(parcel.way());
            if !link.open {
                self.count("message cut off");
            } else if link.clogged {
                self.count("message held back");
                self.held.entry(parcel.way()).or_default().push_back(parcel);
            } else {
                return Some(parcel);
            }
        }
    }

    fn note(&mut self, what: impl Hash) {
        (self.now, what).hash(&mut self.trace);
    }
}

impl Wires {
    /// No nodes yet; the seed decides about each message.
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            now: Duration::ZERO,
            random: ChaCha12Rng::seed_from_u64(seed),
            usual: Link::default(),
            links: BTreeMap::new(),
            ends: BTreeMap::new(),
            under_way: BTreeMap::new(),
            held: BTreeMap::new(),
            asking: BTreeMap::new(),
            next: 0,
            trace: DefaultHasher::new(),
            counts: BTreeMap::new(),
            watcher: None,
        })))
    }

    /// How links are that are not set otherwise.
    pub fn set_usual(&self, link: Link) {
        self.0.lock().usual = link;
    }

    /// How one direction of a link is at the moment.
    pub fn link(&self, from: NodeId, to: NodeId) -> Link {
        self.0.lock().link((from, to))
    }

    /// Changes one direction of a link. What was held back and may pass now arrives at once.
    pub fn change(&self, from: NodeId, to: NodeId, change: impl FnOnce(&mut Link)) {
        let mut state = self.0.lock();
        let mut link = state.link((from, to));
        change(&mut link);
        state.links.insert((from, to), link);
        if !link.clogged {
            let now = state.now;
            for parcel in state.held.remove(&(from, to)).unwrap_or_default() {
                state.put(now, parcel);
            }
        }
    }

    /// All links as usual again.
    pub fn heal(&self) {
        let mut state = self.0.lock();
        state.links.clear();
        let now = state.now;
        for parcel in std::mem::take(&mut state.held).into_values().flatten() {
            state.put(now, parcel);
        }
    }

    /// What happened to messages, by kind.
    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.0.lock().counts.clone()
    }

    /// A number that differs when anything differed on the network.
    pub fn trace(&self) -> u64 {
        self.0.lock().trace.finish()
    }

    /// Calls `watcher` for each answer, when it leaves its node.
    pub fn watch(&self, watcher: impl Fn(&Exchange<'_>) + Send + Sync + 'static) {
        self.0.lock().watcher = Some(Arc::new(watcher));
    }

    /// A node's new life. Questions of an earlier one have no answer any more.
    pub(super) fn attach(
        &self,
        me: NodeId,
        disk: &SimDisk,
        runtime: &runtime::Handle,
    ) -> SimNetwork {
        let mut state = self.0.lock();
        state.next += 1;
        let life = state.next;
        let (disk, runtime) = (disk.clone(), runtime.clone());
        let end = End { life, disk: disk.clone(), runtime, handlers: BTreeMap::new() };
        state.ends.insert(me, end);
        SimNetwork { wires: self.clone(), me, life, disk }
    }

    /// The process of the node is gone.
    pub(super) fn detach(&self, me: NodeId) {
        let mut state = self.0.lock();
        state.ends.remove(&me);
        state.asking.retain(|_, (node, _)| *node != me);
    }

    /// Time goes on; what is due arrives.
    pub(super) fn deliver(&self, now: Duration) {
        self.0.lock().now = now;
        loop {
            let Some(parcel) = self.0.lock().due() else { return };
            match parcel {
                Parcel::Question { from, to, service, body, number } => {
                    self.question(from, to, service, body, number);
                }
                Parcel::Answer { from, answer, number, .. } => {
                    let asking = {
                        let mut state = self.0.lock();
                        let len = answer.as_ref().map(Bytes::len).map_err(drop);
                        state.note((from, number, len));
                        state.asking.remove(&number)
                    };
                    if let Some((_, asking)) = asking {
                        let _ = asking.send(answer);
                    }
                }
            }
        }
    }

    fn question(&self, from: NodeId, to: NodeId, service: Service, body: Bytes, number: u64) {
        let mut state = self.0.lock();
        state.note((from, to, service, number, &body));
        let refuse = |state: &mut State, error| {
            state.send(Parcel::Answer { from: to, to: from, answer: Err(error), number });
        };
        let Some(end) = state.ends.get(&to) else {
            // the machine answers for the process that is not there
            let error = LinkError::Unreachable(to, "connection refused".into());
            return refuse(&mut state, error);
        };
        let Some(handler) = end.handlers.get(&service).cloned() else {
            let error = LinkError::Refused(to, "nobody serves that".into());
            return refuse(&mut state, error);
        };
        let (runtime, life, disk) = (end.runtime.clone(), end.life, end.disk.clone());
        drop(state);
        let wires = self.clone();
        runtime.spawn(async move {
            let outcome = handler.handle(from, body.clone()).await;
            wires.answer(Asked { from, to, service, body, number, life, disk }, outcome);
        });
    }

    fn answer(&self, asked: Asked, outcome: Result<Bytes, String>) {
        let Asked { from, to, service, body, number, life, disk } = asked;
        // the power may have gone in the middle of what led to this answer
        if disk.is_off() || self.0.lock().ends.get(&to).is_none_or(|end| end.life != life) {
            return;
        }
        let watcher = self.0.lock().watcher.clone();
        if let (Some(watcher), Ok(answer)) = (watcher, &outcome) {
            watcher(&Exchange { from, to, service, question: &body, answer });
        }
        let answer = outcome.map_err(|reason| LinkError::Refused(to, reason));
        self.0.lock().send(Parcel::Answer { from: to, to: from, answer, number });
    }
}

/// A question that is being answered.
struct Asked {
    from: NodeId,
    to: NodeId,
    service: Service,
    body: Bytes,
    number: u64,
    life: u64,
    disk: SimDisk,
}

impl SimNetwork {
    fn send(&self, to: NodeId, service: Service, body: Bytes) -> oneshot::Receiver<Answer> {
        let (sender, receiver) = oneshot::channel();
        let mut state = self.wires.0.lock();
        state.next += 1;
        let (number, from) = (state.next, self.me);
        state.asking.insert(number, (from, sender));
        let alive = state.ends.get(&from).is_some_and(|end| end.life == self.life);
        if alive && !self.disk.is_off() {
            state.send(Parcel::Question { from, to, service, body, number });
        }
        receiver
    }
}

impl Network for SimNetwork {
    fn ask(
        &self,
        to: NodeId,
        service: Service,
        question: Bytes,
        patience: Duration,
    ) -> BoxFuture<Answer> {
        let network = Self { wires: self.wires.clone(), disk: self.disk.clone(), ..*self };
        Box::pin(async move {
            let answer = network.send(to, service, question);
            match tokio::time::timeout(patience, answer).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(_)) => Err(LinkError::Lost(to, "the connection broke".into())),
                Err(_) => Err(LinkError::Lost(to, "it takes too long".into())),
            }
        })
    }

    fn serve(&self, service: Service, handler: Arc<dyn Handler>) {
        if let Some(end) = self.wires.0.lock().ends.get_mut(&self.me)
            && end.life == self.life
        {
            end.handlers.insert(service, handler);
        }
    }

    fn peers(&self) -> Vec<PeerState> {
        let state = self.wires.0.lock();
        let peer = |node: NodeId| {
            let (there, back) = (state.link((self.me, node)), state.link((node, self.me)));
            let passes = |link: Link| link.open && !link.clogged;
            let reachable = passes(there) && passes(back) && state.ends.contains_key(&node);
            PeerState {
                node,
                reachable,
                round_trip: reachable.then_some(there.delay.1 + back.delay.1),
                since: Duration::ZERO,
                clock_difference: None,
                problem: (!reachable).then(|| "no answer".into()),
            }
        };
        let known = state.ends.keys().chain(state.links.keys().map(|(from, _)| from));
        let others: std::collections::BTreeSet<_> = known.filter(|id| **id != self.me).collect();
        others.into_iter().map(|id| peer(*id)).collect()
    }
}
