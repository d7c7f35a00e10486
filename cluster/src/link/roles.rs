//! What the two ends of a connection do with messages: one asks, one answers.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Waker,
    time::Duration,
};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};

use super::{
    assembly::Message,
    channel::{Channel, MAX_QUEUED, most_open},
    connection::{End, Role},
    frame::{Kind, reason},
    measure::Measure,
    output::Outgoing,
};
use crate::{
    Environment, NodeId,
    network::{Class, Handler, MAX_MESSAGE, Service},
};

/// Set in the numbers of pings, so that no question has the same.
const PING: u64 = 1 << 63;
/// Number of what needs none.
const NONE: u64 = u64::MAX;
/// Most pings whose answers are waited for.
const MAX_PINGS: usize = 16;

fn control(kind: Kind, id: u64, payload: impl Into<Bytes>) -> Message {
    Message { kind, service: 0, id, payload: payload.into() }
}

/// The end that asks.
pub(super) struct Asker {
    pub(super) env: Environment,
    pub(super) number: u64,
    pub(super) channel: Arc<Channel>,
    /// Where measurements go.
    pub(super) measure: Option<Arc<Mutex<Measure>>>,
    pub(super) pings: VecDeque<(u64, Duration)>,
    pub(super) next_ping: u64,
}

impl Asker {
    fn pong(&mut self, message: &Message) {
        let Some(at) = self.pings.iter().position(|(id, _)| *id == message.id) else { return };
        let sent = self.pings.drain(..=at).next_back();
        let (Some((_, sent)), Some(measure)) = (sent, &self.measure) else { return };
        let round_trip = self.env.clock.monotonic().saturating_sub(sent);
        let clock = message.payload.first_chunk().map(|bytes| u64::from_be_bytes(*bytes));
        measure.lock().sample(round_trip, clock, self.env.clock.now());
    }
}

impl Role for Asker {
    fn next(&mut self, waker: &Waker) -> Option<Outgoing> {
        self.channel.take(self.number, waker)
    }

    fn received(&mut self, message: Message) -> Result<Option<Message>, End> {
        match message.kind {
            Kind::Answer | Kind::Refused | Kind::Busy | Kind::Unknown => {
                self.channel.answered(message);
            }
            Kind::Pong => self.pong(&message),
            Kind::Close => {
                return Err(End::Closed(String::from_utf8_lossy(&message.payload).into_owned()));
            }
            // of a newer program; answering it could go on for ever
            _ => {}
        }
        Ok(None)
    }

    fn tick(&mut self, _heard: bool) -> Option<Message> {
        if self.pings.len() >= MAX_PINGS {
            self.pings.pop_front();
        }
        let id = PING | self.next_ping;
        self.next_ping += 1;
        self.pings.push_back((id, self.env.clock.monotonic()));
        Some(control(Kind::Ping, id, Bytes::new()))
    }

    fn is_done(&self) -> bool {
        self.channel.is_done(self.number)
    }
}

/// Who answers which questions.
pub(super) type Handlers = RwLock<BTreeMap<Service, Arc<dyn Handler>>>;

/// The end that answers.
pub(super) struct Answerer {
    pub(super) env: Environment,
    pub(super) from: NodeId,
    pub(super) class: Class,
    pub(super) handlers: Arc<Handlers>,
    pub(super) answers: Arc<Answers>,
    pub(super) ponged: bool,
}

/// Answers that wait to be sent.
#[derive(Default)]
pub(super) struct Answers {
    running: AtomicUsize,
    state: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    messages: VecDeque<Message>,
    bytes: usize,
    waker: Option<Waker>,
}

impl Answers {
    fn push(&self, message: Message) {
        let waker = {
            let mut state = self.state.lock();
            state.bytes += message.payload.len();
            state.messages.push_back(message);
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// Counts a question as answered, also when its handler panics.
struct Running(Arc<Answers>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Answerer {
    /// Hands a question to its service. An answer at once: it was not handed over.
    fn question(&self, message: Message) -> Option<Message> {
        let Message { service, id, payload, .. } = message;
        let Some(handler) = self.handlers.read().get(&Service(service)).cloned() else {
            let text = format!("this node does not offer service {service}");
            return Some(control(Kind::Refused, id, text));
        };
        if self.answers.running.fetch_add(1, Ordering::Relaxed) >= most_open(self.class) {
            self.answers.running.fetch_sub(1, Ordering::Relaxed);
            return Some(control(Kind::Busy, id, Bytes::new()));
        }
        let running = Running(Arc::clone(&self.answers));
        let answer = handler.handle(self.from, payload);
        let task = async move {
            let message = match answer.await {
                Ok(answer) if answer.len() <= MAX_MESSAGE => control(Kind::Answer, id, answer),
                Ok(answer) => {
                    let text = format!("an answer of {} bytes is too large", answer.len());
                    control(Kind::Refused, id, text)
                }
                Err(text) => control(Kind::Refused, id, reason(&text).to_owned()),
            };
            running.0.push(message);
        };
        self.env.spawner.spawn("answer", Box::pin(task));
        None
    }
}

impl Role for Answerer {
    fn next(&mut self, waker: &Waker) -> Option<Outgoing> {
        let mut state = self.answers.state.lock();
        let Some(message) = state.messages.pop_front() else {
            state.waker = Some(waker.clone());
            return None;
        };
        state.bytes -= message.payload.len();
        Some(message.into())
    }

    fn received(&mut self, message: Message) -> Result<Option<Message>, End> {
        Ok(match message.kind {
            Kind::Question => self.question(message),
            Kind::Ping => {
                self.ponged = true;
                let now = self.env.clock.now().0.to_be_bytes();
                Some(control(Kind::Pong, message.id, now.to_vec()))
            }
            Kind::Close => {
                return Err(End::Closed(String::from_utf8_lossy(&message.payload).into_owned()));
            }
            _ => Some(control(Kind::Unknown, message.id, Bytes::new())),
        })
    }

    fn tick(&mut self, heard: bool) -> Option<Message> {
        let ponged = std::mem::take(&mut self.ponged);
        (heard && !ponged).then(|| control(Kind::Alive, NONE, Bytes::new()))
    }

    fn wants_input(&self) -> bool {
        self.answers.state.lock().bytes < MAX_QUEUED
    }

    fn is_done(&self) -> bool {
        self.answers.running.load(Ordering::Relaxed) == 0
            && self.answers.state.lock().messages.is_empty()
    }
}
