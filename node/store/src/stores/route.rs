//! From a call to the leader that answers it, wherever that is.

use std::{pin::pin, time::Duration};

use futures_util::future::{Either, select};
use posthouse_cluster::{GroupId, NodeId, network::LinkError};

use super::Stores;
use crate::{Call, Response, Store, StoreError, peer::StoreAnswer, store::Miss};

/// Pauses between rounds over all replicas; the last one repeats.
const PAUSES: [Duration; 5] = [
    Duration::from_millis(10),
    Duration::from_millis(30),
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(300),
];
/// How long a store is waited for that did not answer the last time.
const SHORT: Duration = Duration::from_secs(1);
/// How long another node may take for a call: longer than any request takes.
const ANSWER: Duration = Duration::from_secs(30);
/// How often it is looked at whether the node that is asked is still the right one.
const GLANCE: Duration = Duration::from_millis(50);
/// A disk that is full or failed is waited for so long: another replica may take over.
const STORAGE: Duration = Duration::from_secs(2);

/// Whom to ask.
enum Place {
    Here(Store),
    There(NodeId),
}

/// One call on its way.
struct Journey {
    store: GroupId,
    /// Who was asked in this round.
    asked: Vec<NodeId>,
    /// Who is said to lead.
    hint: Option<NodeId>,
    /// It may have taken effect somewhere.
    perhaps_done: bool,
    storage: Option<String>,
    reason: String,
}

/// How an attempt at one place ended.
enum Attempt {
    Done(Result<Response, StoreError>),
    GoOn,
}

impl Stores {
    /// [`Stores::call`] in a named store.
    pub async fn call_in(&self, store: GroupId, call: Call) -> Result<Response, StoreError> {
        let call = self.at_level(call);
        let mut journey = Journey::new(store);
        // the usual case, without a look at anything else
        if let Some(local) = self.store(store)
            && local.group().leader() == Some(local.node())
            && let Attempt::Done(answer) =
                Box::pin(self.ask_here(&mut journey, &local, call.clone())).await
        {
            self.answered(store);
            return answer;
        }
        Box::pin(self.travel(journey, call)).await
    }

    /// Asks until there is an answer or no patience left.
    async fn travel(&self, mut journey: Journey, call: Call) -> Result<Response, StoreError> {
        let (inner, store) = (&self.inner, journey.store);
        let clock = &inner.env.clock;
        let started = clock.monotonic();
        let patience = match self.answers(store) {
            true => self.patience,
            false => self.patience.min(SHORT),
        };
        journey.hint = inner.leaders.lock().get(&store).copied();
        for round in 0.. {
            if let Some(answer) = self.round(&mut journey, &call).await {
                self.answered(store);
                return answer;
            }
            let waited = clock.monotonic().saturating_sub(started);
            if let Some(text) = journey.storage.take_if(|_| waited >= STORAGE.min(patience)) {
                return Err(StoreError::Storage(text));
            }
            if waited >= patience {
                break;
            }
            let pause = PAUSES.get(round).or(PAUSES.last()).copied().unwrap_or(GLANCE);
            clock.sleep(pause.min(patience.saturating_sub(waited))).await;
        }
        if inner.down.write().insert(store) {
            tracing::warn!(target: "warning", store = store.0, reason = ?journey.reason, "a store is out of reach");
        }
        Err(journey.into_error())
    }

    fn answered(&self, store: GroupId) {
        if !self.answers(store) && self.inner.down.write().remove(&store) {
            tracing::info!(target: "operation", store = store.0, "the store answers again");
        }
    }

    /// Asks one replica after the other; `None` when nobody has an answer.
    async fn round(
        &self,
        journey: &mut Journey,
        call: &Call,
    ) -> Option<Result<Response, StoreError>> {
        journey.asked.clear();
        while let Some(place) = self.next_place(journey) {
            let attempt = match place {
                Place::Here(store) => self.ask_here(journey, &store, call.clone()).await,
                // boxed: most calls do not need its room
                Place::There(node) => Box::pin(self.ask_there(journey, node, call.clone())).await,
            };
            if let Attempt::Done(answer) = attempt {
                return Some(answer);
            }
        }
        None
    }

    /// The leader as far as known, then everybody else once.
    fn next_place(&self, journey: &Journey) -> Option<Place> {
        let local = self.store(journey.store);
        let is_new = |node: &NodeId| !journey.asked.contains(node);
        let leader = local.as_ref().and_then(|store| store.group().leader());
        let known = [leader, journey.hint];
        let replicas = || self.inner.locate.replicas(journey.store).into_iter();
        let me = local.as_ref().map(Store::node);
        let next = known
            .into_iter()
            .flatten()
            .find(is_new)
            .or_else(|| me.filter(is_new))
            .or_else(|| replicas().find(is_new))?;
        match local {
            Some(store) if next == store.node() => Some(Place::Here(store)),
            _ => Some(Place::There(next)),
        }
    }

    async fn ask_here(&self, journey: &mut Journey, store: &Store, call: Call) -> Attempt {
        journey.asked.push(store.node());
        match store.attempt(call).await {
            Ok(response) => Attempt::Done(Ok(response)),
            Err(Miss::NotLeader(leader)) => journey.not_leader(store.node(), leader),
            Err(Miss::Failed(error)) => journey.failed(error),
        }
    }

    async fn ask_there(&self, journey: &mut Journey, node: NodeId, call: Call) -> Attempt {
        journey.asked.push(node);
        if self.inner.peers.is_lost(node) {
            journey.reason = format!("{node} cannot be reached");
            return Attempt::GoOn;
        }
        let asked = self.inner.peers.call(node, journey.store, call, ANSWER);
        let answer = match select(pin!(asked), pin!(self.gave_up(journey.store, node))).await {
            Either::Left((answer, _)) => answer,
            Either::Right((reason, _)) => Err(LinkError::Lost(node, reason)),
        };
        match answer {
            Ok(StoreAnswer::Done(response)) => {
                self.inner.leaders.lock().insert(journey.store, node);
                Attempt::Done(Ok(response))
            }
            Ok(StoreAnswer::NotLeader(leader)) => journey.not_leader(node, leader),
            Ok(StoreAnswer::Failed(error)) => journey.failed(error.into()),
            Ok(StoreAnswer::Long(_) | StoreAnswer::State(_)) => {
                journey.failed(StoreError::Unavailable(format!("{node} gave a wrong answer")))
            }
            Err(error) => {
                journey.perhaps_done |= matches!(error, LinkError::Lost(..));
                journey.reason = error.to_string();
                Attempt::GoOn
            }
        }
    }

    /// Returns when there is no sense in waiting for `node` any longer: it is lost, or the replica here
    /// knows another leader.
    async fn gave_up(&self, store: GroupId, node: NodeId) -> String {
        loop {
            self.inner.env.clock.sleep(GLANCE).await;
            if self.inner.peers.is_lost(node) {
                return "it was lost while it was asked".into();
            }
            let leader = self.store(store).and_then(|store| store.group().leader());
            if leader.is_some_and(|leader| leader != node) {
                return "it does not lead any more".into();
            }
        }
    }
}

impl Journey {
    fn new(store: GroupId) -> Self {
        Self {
            store,
            asked: Vec::new(),
            hint: None,
            perhaps_done: false,
            storage: None,
            reason: "no replica is known".into(),
        }
    }

    fn not_leader(&mut self, who: NodeId, leader: Option<NodeId>) -> Attempt {
        self.hint = leader.filter(|leader| *leader != who);
        self.reason = match self.hint {
            Some(leader) => format!("{who} takes {leader} for its leader"),
            None => format!("{who} knows no leader"),
        };
        Attempt::GoOn
    }

    fn failed(&mut self, error: StoreError) -> Attempt {
        match error {
            StoreError::Unavailable(text) => {
                self.perhaps_done = true;
                self.reason = text;
                Attempt::GoOn
            }
            StoreError::OutOfReach(text) => {
                self.reason = text;
                Attempt::GoOn
            }
            StoreError::Storage(text) => {
                self.storage = Some(text);
                Attempt::GoOn
            }
            damaged @ StoreError::Damaged(_) => Attempt::Done(Err(damaged)),
        }
    }

    fn into_error(self) -> StoreError {
        let text = format!(
            "store {} is out of reach: the line to its nodes or a majority of them is missing ({})",
            self.store.0, self.reason
        );
        match self.perhaps_done {
            true => StoreError::Unavailable(text),
            false => StoreError::OutOfReach(text),
        }
    }
}
