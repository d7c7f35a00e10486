//! Clients that write and read, and remember what they saw.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha12Rng;

use super::{
    cluster::{Cluster, Running, ms},
    registers::Write,
};
use crate::{
    NodeId, ProposeError,
    sim::{
        Sequence,
        history::{Action, Deliveries, History, Operation},
    },
};

const KEYS: u8 = 3;
/// How long a client waits for a node before it goes to another one.
const PATIENCE: Duration = Duration::from_secs(4);
/// How long it tries a write before it gives up.
const GIVE_UP: Duration = Duration::from_secs(15);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ask {
    Write(Write),
    /// After a barrier, anywhere.
    Read(u8),
    /// Without one, where somebody leads.
    LeaderRead(u8),
}

#[derive(Clone, Copy, Debug)]
enum Reply {
    /// When, and what was read.
    Done(u64, Option<u64>),
    /// It may have taken effect, or not.
    Failed,
}

struct Flight {
    ask: Ask,
    called: u64,
    begun: Duration,
    since: Duration,
    at: Option<(NodeId, u64)>,
    reply: Arc<Mutex<Option<Reply>>>,
}

struct Client {
    id: u64,
    random: ChaCha12Rng,
    node: NodeId,
    next: Duration,
    flight: Option<Flight>,
}

/// All clients, and what they know.
#[derive(Default)]
pub(super) struct Clients {
    clients: Vec<Client>,
    pub history: History<u8, u64>,
    pub deliveries: Deliveries<u64>,
    pub done: BTreeMap<&'static str, u64>,
    /// When something was acknowledged last, and the longest time without.
    last: Duration,
    pub gap: Duration,
    serial: u64,
}

async fn perform(ask: Ask, running: Running) -> Result<Option<u64>, ProposeError> {
    let Running { group, view, .. } = running;
    match ask {
        Ask::Write(write) => {
            group.submit(write.encode()).await?;
            Ok(None)
        }
        Ask::Read(key) => {
            group.read_barrier().await?;
            Ok(view.lock().values.get(&key).copied())
        }
        Ask::LeaderRead(key) if group.leads() => Ok(view.lock().values.get(&key).copied()),
        Ask::LeaderRead(_) => Err(ProposeError::NotLeader { leader: None }),
    }
}

impl Client {
    fn ask(
        &mut self,
        now: Duration,
        sequence: &Sequence,
        serial: &mut u64,
        nodes: &[NodeId],
    ) -> Flight {
        let key = self.random.random_range(0..KEYS);
        let ask = match self.random.random_range(0..10) {
            0..4 => {
                *serial += 1;
                Ask::Write(Write { key, id: *serial })
            }
            4..6 => Ask::Read(key),
            _ => Ask::LeaderRead(key),
        };
        if self.random.random_bool(0.3) {
            self.node = nodes[self.random.random_range(0..nodes.len())];
        }
        let called = sequence.next();
        Flight { ask, called, begun: now, since: now, at: None, reply: Arc::default() }
    }
}

/// Sends a flight to the client's node, if that runs.
fn send(cluster: &Cluster, node: NodeId, flight: &mut Flight) {
    let Some((life, running)) = cluster.running(node) else { return };
    let Some(disk) = cluster.world.disk(node) else { return };
    flight.at = Some((node, life));
    flight.since = cluster.world.now();
    flight.reply = Arc::default();
    let (reply, sequence, ask) =
        (flight.reply.clone(), cluster.world.sequence().clone(), flight.ask);
    cluster.world.spawn(node, async move {
        let outcome = perform(ask, running).await;
        // when the power went meanwhile, nobody hears this
        if !disk.is_off() {
            *reply.lock() = Some(match outcome {
                Ok(value) => Reply::Done(sequence.next(), value),
                Err(_) => Reply::Failed,
            });
        }
    });
}

impl Clients {
    pub(super) fn new(count: u64, cluster: &mut Cluster) -> Self {
        let client = |id| Client {
            id,
            random: ChaCha12Rng::seed_from_u64(cluster.random.random()),
            node: NodeId(1),
            next: ms(id * 10),
            flight: None,
        };
        Self { clients: (0..count).map(client).collect(), ..Self::default() }
    }

    /// A millisecond. Nothing new begins when `end`.
    pub(super) fn step(&mut self, cluster: &Cluster, end: bool) {
        let mut clients = std::mem::take(&mut self.clients);
        for client in &mut clients {
            self.step_one(client, cluster, end);
        }
        self.clients = clients;
    }

    /// Whether nobody waits for anything.
    pub(super) fn idle(&self) -> bool {
        self.clients.iter().all(|client| client.flight.is_none())
    }

    fn step_one(&mut self, client: &mut Client, cluster: &Cluster, end: bool) {
        let (now, nodes) = (cluster.world.now(), cluster.nodes());
        let Some(mut flight) = client.flight.take() else {
            if now >= client.next && !end {
                let mut flight =
                    client.ask(now, cluster.world.sequence(), &mut self.serial, &nodes);
                if let Ask::Write(write) = flight.ask {
                    self.deliveries.offer(write.id);
                }
                send(cluster, client.node, &mut flight);
                client.flight = Some(flight);
            }
            return;
        };
        let reply = *flight.reply.lock();
        let dead = flight.at.is_none_or(|(node, life)| cluster.life(node) != life);
        match reply {
            Some(Reply::Done(at, value)) => {
                self.finish(client.id, &flight, Some((at, value)), now);
                client.next = now + ms(client.random.random_range(1..60));
            }
            // a leader read is refused at once where nobody leads
            Some(Reply::Failed) if matches!(flight.ask, Ask::LeaderRead(_)) => {
                client.node = nodes[client.random.random_range(0..nodes.len())];
                client.next = now + ms(client.random.random_range(1..20));
            }
            Some(Reply::Failed) | None
                if reply.is_some() || dead || now - flight.since > PATIENCE =>
            {
                client.node = nodes[client.random.random_range(0..nodes.len())];
                let tired = now - flight.begun > GIVE_UP || client.random.random_bool(0.2);
                if tired || !matches!(flight.ask, Ask::Write(_)) {
                    self.finish(client.id, &flight, None, now);
                    client.next = now + ms(client.random.random_range(1..60));
                } else {
                    send(cluster, client.node, &mut flight);
                    client.flight = Some(flight);
                }
            }
            _ => client.flight = Some(flight),
        }
    }

    fn finish(
        &mut self,
        client: u64,
        flight: &Flight,
        outcome: Option<(u64, Option<u64>)>,
        now: Duration,
    ) {
        let returned = outcome.map(|(at, _)| at);
        let (key, action, kind) = match (flight.ask, outcome) {
            (Ask::Write(write), _) => (write.key, Action::Write(write.id), "write"),
            (Ask::Read(_) | Ask::LeaderRead(_), None) => {
                *self.done.entry("read refused").or_default() += 1;
                return;
            }
            (Ask::Read(key), Some((_, value))) => (key, Action::Read(value), "read"),
            (Ask::LeaderRead(key), Some((_, value))) => (key, Action::Read(value), "leader's read"),
        };
        let kind = if returned.is_none() { "write without answer" } else { kind };
        *self.done.entry(kind).or_default() += 1;
        if let (Ask::Write(write), Some(_)) = (flight.ask, outcome) {
            self.deliveries.acknowledge(write.id);
            self.gap = self.gap.max(now - self.last);
            self.last = now;
        }
        self.history.record(key, Operation { client, called: flight.called, returned, action });
    }
}
