//! Questions to one peer in one class: bounded, and known to be handed over or not.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    task::Waker,
    time::Duration,
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::{
    assembly::Message,
    frame::{Kind, reason},
    output::Outgoing,
};
use crate::{
    Environment, NodeId,
    network::{Class, LinkError, MAX_MESSAGE, Service},
};

/// Most questions of a class that wait for an answer of one peer.
pub(crate) fn most_open(class: Class) -> usize {
    match class {
        Class::Raft => 512,
        Class::Request => 1024,
        Class::Bulk => 16,
    }
}

/// Most bytes of questions that wait to be sent, per peer and class.
pub(crate) const MAX_QUEUED: usize = 64 << 20;
/// Bytes that one permit of the bound stands for.
const UNIT: usize = 1 << 10;

/// Whether there is a connection.
#[derive(Clone, Debug)]
enum Status {
    /// The first attempt since the last connection is under way.
    Connecting,
    Up,
    /// The last attempt failed; why.
    Down(String),
}

struct State {
    status: Status,
    queue: VecDeque<Outgoing>,
    waiting: HashMap<u64, Waiting>,
    next: u64,
    /// The connection that takes from the queue, and how to wake it.
    current: u64,
    waker: Option<Waker>,
}

struct Waiting {
    reply: oneshot::Sender<Result<Bytes, LinkError>>,
    /// The connection that has begun to send the question.
    begun: Option<u64>,
}

/// See the module.
pub(crate) struct Channel {
    peer: NodeId,
    state: Mutex<State>,
    open: Semaphore,
    queued: Arc<Semaphore>,
}

impl Channel {
    pub(crate) fn new(peer: NodeId, class: Class) -> Self {
        let state = State {
            status: Status::Connecting,
            queue: VecDeque::new(),
            waiting: HashMap::new(),
            next: 1,
            current: 0,
            waker: None,
        };
        Self {
            peer,
            state: Mutex::new(state),
            open: Semaphore::new(most_open(class)),
            queued: Arc::new(Semaphore::new(MAX_QUEUED / UNIT)),
        }
    }

    /// Asks, and waits for the answer at most `patience`.
    pub(crate) async fn ask(
        &self,
        env: &Environment,
        service: Service,
        question: Bytes,
        patience: Duration,
    ) -> Result<Bytes, LinkError> {
        if question.len() > MAX_MESSAGE {
            let text = format!("a question of {} bytes is too large", question.len());
            return Err(LinkError::Refused(self.peer, text));
        }
        let mut asked = Asked { channel: self, id: None };
        let answer = async {
            let Ok(_open) = self.open.acquire().await else {
                return Err(self.unreachable("closed"));
            };
            let units = question.len().div_ceil(UNIT) as u32;
            let queued = Arc::clone(&self.queued).acquire_many_owned(units).await;
            let Ok(permit) = queued else { return Err(self.unreachable("closed")) };
            let reply = self.enqueue(service, question, permit, &mut asked.id)?;
            reply.await.unwrap_or_else(|_| Err(self.unreachable("closed")))
        };
        tokio::select! {
            biased;
            answer = answer => answer,
            () = env.clock.sleep(patience) => Err(asked.late(patience)),
        }
    }

    fn unreachable(&self, why: &str) -> LinkError {
        LinkError::Unreachable(self.peer, why.into())
    }

    fn enqueue(
        &self,
        service: Service,
        payload: Bytes,
        permit: OwnedSemaphorePermit,
        asked: &mut Option<u64>,
    ) -> Result<oneshot::Receiver<Result<Bytes, LinkError>>, LinkError> {
        let (sender, receiver) = oneshot::channel();
        let waker = {
            let mut state = self.state.lock();
            if let Status::Down(why) = &state.status {
                return Err(self.unreachable(why));
            }
            let id = state.next;
            state.next += 1;
            *asked = Some(id);
            state.waiting.insert(id, Waiting { reply: sender, begun: None });
            let message = Message { kind: Kind::Question, service: service.0, id, payload };
            state.queue.push_back(Outgoing { message, permit: Some(permit) });
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(receiver)
    }

    /// Connection `connection` is there and takes the questions from now on.
    pub(crate) fn up(&self, connection: u64) {
        let mut state = self.state.lock();
        state.status = Status::Up;
        state.current = connection;
        state.waker = None;
    }

    /// Connection `connection` is gone: what it had begun to send may have been seen. Whether it was the one
    /// that takes the questions.
    pub(crate) fn broken(&self, connection: u64, why: &str) -> bool {
        let (lost, current) = {
            let mut state = self.state.lock();
            let begun: Vec<u64> = state.begun(connection).collect();
            let lost: Vec<_> = begun.iter().filter_map(|id| state.waiting.remove(id)).collect();
            let current = state.current == connection;
            if current {
                state.status = Status::Connecting;
                state.waker = None;
            }
            (lost, current)
        };
        for waiting in lost {
            let _ = waiting.reply.send(Err(LinkError::Lost(self.peer, why.into())));
        }
        current
    }

    /// No connection can be made: nothing of what waits has been seen.
    pub(crate) fn down(&self, why: &str) {
        let unsent = {
            let mut state = self.state.lock();
            state.status = Status::Down(why.into());
            state.queue.clear();
            let unsent: Vec<u64> = state
                .waiting
                .iter()
                .filter(|(_, w)| w.begun.is_none())
                .map(|(id, _)| *id)
                .collect();
            unsent.iter().filter_map(|id| state.waiting.remove(id)).collect::<Vec<_>>()
        };
        for waiting in unsent {
            let _ = waiting.reply.send(Err(self.unreachable(why)));
        }
    }

    /// The next question for `connection` to send. When there is none, `waker` is woken for the next one.
    pub(crate) fn take(&self, connection: u64, waker: &Waker) -> Option<Outgoing> {
        let mut state = self.state.lock();
        if state.current != connection {
            return None;
        }
        while let Some(outgoing) = state.queue.pop_front() {
            if let Some(waiting) = state.waiting.get_mut(&outgoing.message.id) {
                waiting.begun = Some(connection);
                return Some(outgoing);
            }
        }
        state.waker = Some(waker.clone());
        None
    }

    /// An answer arrived.
    pub(crate) fn answered(&self, message: Message) {
        let Some(waiting) = self.state.lock().waiting.remove(&message.id) else { return };
        let text = |payload: &Bytes| reason(&String::from_utf8_lossy(payload)).to_owned();
        let answer = match message.kind {
            Kind::Answer => Ok(message.payload),
            Kind::Refused => Err(LinkError::Refused(self.peer, text(&message.payload))),
            Kind::Busy => Err(self.unreachable("it has too many open questions")),
            _ => {
                Err(LinkError::Refused(self.peer, "its program does not know such messages".into()))
            }
        };
        let _ = waiting.reply.send(answer);
    }

    #[cfg(test)]
    pub(crate) fn is_up(&self) -> bool {
        matches!(self.state.lock().status, Status::Up)
    }

    /// Whether `connection` does not take questions any more and has all its answers.
    pub(crate) fn is_done(&self, connection: u64) -> bool {
        let state = self.state.lock();
        state.current != connection && state.begun(connection).next().is_none()
    }
}

impl State {
    fn begun(&self, connection: u64) -> impl Iterator<Item = u64> {
        let begun = self.waiting.iter().filter(move |(_, w)| w.begun == Some(connection));
        begun.map(|(id, _)| *id)
    }
}

/// A question that is forgotten when nobody waits for its answer any more.
struct Asked<'a> {
    channel: &'a Channel,
    id: Option<u64>,
}

impl Asked<'_> {
    /// The error for a question whose time is over.
    fn late(&self, patience: Duration) -> LinkError {
        let peer = self.channel.peer;
        let state = self.channel.state.lock();
        let begun = self.id.and_then(|id| state.waiting.get(&id)?.begun);
        match (begun, self.id) {
            (Some(_), _) => LinkError::Lost(peer, format!("nothing within {patience:?}")),
            (None, Some(_)) => {
                LinkError::Unreachable(peer, format!("not sent within {patience:?}"))
            }
            (None, None) => LinkError::Unreachable(
                peer,
                format!("too many questions before this one for {patience:?}"),
            ),
        }
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.channel.state.lock().waiting.remove(&id);
        }
    }
}
