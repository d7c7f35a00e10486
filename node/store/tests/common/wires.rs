//! Links between nodes of one process, which can be cut and can lose answers.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use parking_lot::Mutex;
use posthouse_cluster::{
    NodeId,
    env::BoxFuture,
    network::{Handler, LinkError, Network, PeerState, Service},
};

#[derive(Default)]
struct State {
    handlers: BTreeMap<(NodeId, Service), Arc<dyn Handler>>,
    nodes: BTreeSet<NodeId>,
    cut: BTreeSet<(NodeId, NodeId)>,
    lose: BTreeMap<Service, u32>,
    longest: BTreeMap<Service, usize>,
}

/// All links. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Wires(Arc<Mutex<State>>);

struct End {
    me: NodeId,
    wires: Wires,
}

impl Wires {
    /// The end of a node.
    pub(crate) fn end(&self, me: NodeId) -> Arc<dyn Network> {
        self.0.lock().nodes.insert(me);
        Arc::new(End { me, wires: self.clone() })
    }

    /// Cuts a node off from all others, or only from `from`.
    pub(crate) fn cut(&self, node: NodeId, from: Option<NodeId>) {
        let mut state = self.0.lock();
        let others: Vec<_> =
            state.nodes.iter().copied().filter(|o| from.is_none_or(|f| f == *o)).collect();
        for other in others {
            state.cut.extend([(node, other), (other, node)]);
        }
    }

    /// All links are whole again.
    pub(crate) fn heal(&self) {
        self.0.lock().cut.clear();
    }

    /// The next answers of this service get lost.
    pub(crate) fn lose(&self, service: Service, answers: u32) {
        self.0.lock().lose.insert(service, answers);
    }

    /// Whether none are left to be lost.
    pub(crate) fn lost_all(&self, service: Service) -> bool {
        self.0.lock().lose.get(&service).is_none_or(|left| *left == 0)
    }

    /// Longest question or answer of this service.
    pub(crate) fn longest(&self, service: Service) -> usize {
        self.0.lock().longest.get(&service).copied().unwrap_or(0)
    }
}

impl State {
    fn note(&mut self, service: Service, length: usize) {
        let longest = self.longest.entry(service).or_default();
        *longest = length.max(*longest);
    }

    fn loses(&mut self, service: Service) -> bool {
        let left = self.lose.entry(service).or_default();
        let loses = *left > 0;
        *left = left.saturating_sub(1);
        loses
    }
}

impl Network for End {
    fn ask(
        &self,
        to: NodeId,
        service: Service,
        question: Bytes,
        patience: Duration,
    ) -> BoxFuture<Result<Bytes, LinkError>> {
        let (me, wires) = (self.me, self.wires.clone());
        Box::pin(async move {
            let handler = {
                let mut state = wires.0.lock();
                state.note(service, question.len());
                let open = !state.cut.contains(&(me, to));
                state.handlers.get(&(to, service)).cloned().filter(|_| open)
            };
            let Some(handler) = handler else {
                tokio::time::sleep(Duration::from_millis(5)).await;
                return Err(LinkError::Unreachable(to, "the line is cut".into()));
            };
            // goes on even if nobody waits for the answer any more
            let answered = tokio::spawn(handler.handle(me, question));
            let answer = match tokio::time::timeout(patience, answered).await {
                Ok(Ok(answer)) => answer,
                _ => return Err(LinkError::Lost(to, "no answer in time".into())),
            };
            let mut state = wires.0.lock();
            if state.cut.contains(&(to, me)) || state.loses(service) {
                return Err(LinkError::Lost(to, "the answer was lost".into()));
            }
            let answer = answer.map_err(|text| LinkError::Refused(to, text))?;
            state.note(service, answer.len());
            Ok(answer)
        })
    }

    fn serve(&self, service: Service, handler: Arc<dyn Handler>) {
        self.wires.0.lock().handlers.insert((self.me, service), handler);
    }

    fn peers(&self) -> Vec<PeerState> {
        let state = self.wires.0.lock();
        let others = state.nodes.iter().filter(|node| **node != self.me);
        others
            .map(|node| PeerState {
                node: *node,
                reachable: !state.cut.contains(&(self.me, *node)),
                round_trip: None,
                since: Duration::ZERO,
                clock_difference: None,
                problem: None,
            })
            .collect()
    }
}
