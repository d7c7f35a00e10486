//! Nodes of one process, connected by function calls: for measurements and tests.
#![allow(dead_code, missing_docs, unreachable_pub)]

use std::{
    collections::{HashMap, HashSet},
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

/// How a node fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Failure {
    /// Connections to it are refused at once, as when its process was killed.
    Refuses,
    /// Nothing answers, as when its host is gone.
    Silent,
}

#[derive(Default)]
struct State {
    handlers: HashMap<(NodeId, Service), Arc<dyn Handler>>,
    failed: HashMap<NodeId, Failure>,
    cut: HashSet<(NodeId, NodeId)>,
    delay: Duration,
    asked: HashMap<Service, u64>,
}

/// Connects the nodes.
#[derive(Clone, Default)]
pub struct Switch(Arc<Mutex<State>>);

impl Switch {
    /// The network as node `id` sees it.
    pub fn port(&self, id: u64) -> Arc<dyn Network> {
        Arc::new(Port { switch: self.clone(), me: NodeId(id) })
    }

    /// Lets a node fail, or mends it.
    pub fn fail(&self, id: u64, failure: Option<Failure>) {
        let mut state = self.0.lock();
        match failure {
            Some(failure) => drop(state.failed.insert(NodeId(id), failure)),
            None => drop(state.failed.remove(&NodeId(id))),
        }
    }

    /// Lets questions from one node to another vanish, or not.
    pub fn cut(&self, from: u64, to: u64, cut: bool) {
        let pair = (NodeId(from), NodeId(to));
        let mut state = self.0.lock();
        match cut {
            true => drop(state.cut.insert(pair)),
            false => drop(state.cut.remove(&pair)),
        }
    }

    /// What a question takes each way.
    pub fn delay(&self, delay: Duration) {
        self.0.lock().delay = delay;
    }

    /// Questions so far.
    pub fn asked(&self, service: Service) -> u64 {
        self.0.lock().asked.get(&service).copied().unwrap_or(0)
    }

    /// Forgets a node's handlers, as when its process ends.
    pub fn forget(&self, id: u64) {
        self.0.lock().handlers.retain(|(node, _), _| *node != NodeId(id));
    }
}

struct Port {
    switch: Switch,
    me: NodeId,
}

impl Network for Port {
    fn ask(
        &self,
        to: NodeId,
        service: Service,
        question: Bytes,
        patience: Duration,
    ) -> BoxFuture<Result<Bytes, LinkError>> {
        let (me, switch) = (self.me, self.switch.clone());
        Box::pin(async move {
            let lost = |why: &str| LinkError::Lost(to, why.to_owned());
            let (handler, failed, delay) = {
                let mut state = switch.0.lock();
                *state.asked.entry(service).or_default() += 1;
                let failed = [me, to].iter().find_map(|node| state.failed.get(node)).copied();
                let cut = state.cut.contains(&(me, to)).then_some(Failure::Silent);
                let handler = state.handlers.get(&(to, service)).cloned();
                (handler, cut.or(failed), state.delay)
            };
            match (handler, failed) {
                (_, Some(Failure::Silent)) => {
                    tokio::time::sleep(patience).await;
                    Err(lost("timeout"))
                }
                (None, _) | (_, Some(Failure::Refuses)) => {
                    Err(LinkError::Unreachable(to, "connection refused".into()))
                }
                (Some(handler), None) => {
                    let answer = tokio::spawn(async move {
                        if !delay.is_zero() {
                            tokio::time::sleep(delay).await;
                        }
                        let answer = handler.handle(me, question).await;
                        if !delay.is_zero() {
                            tokio::time::sleep(delay).await;
                        }
                        answer
                    });
                    let answer = tokio::time::timeout(patience, answer).await;
                    let gone = {
                        let state = switch.0.lock();
                        state.failed.contains_key(&me)
                            || state.failed.contains_key(&to)
                            || state.cut.contains(&(to, me))
                    };
                    match answer {
                        _ if gone => Err(lost("the connection broke")),
                        Err(_) => Err(lost("timeout")),
                        Ok(Err(_)) => Err(lost("the handler ended")),
                        Ok(Ok(answer)) => answer.map_err(|why| LinkError::Refused(to, why)),
                    }
                }
            }
        })
    }

    fn serve(&self, service: Service, handler: Arc<dyn Handler>) {
        self.switch.0.lock().handlers.insert((self.me, service), handler);
    }

    fn peers(&self) -> Vec<PeerState> {
        let state = self.switch.0.lock();
        let nodes: HashSet<NodeId> = state.handlers.keys().map(|(node, _)| *node).collect();
        let peer = |node: NodeId| PeerState {
            node,
            reachable: !state.failed.contains_key(&node),
            round_trip: Some(state.delay * 2),
            since: Duration::ZERO,
            clock_difference: Some(0),
            problem: None,
        };
        nodes.into_iter().filter(|node| *node != self.me).map(peer).collect()
    }
}
