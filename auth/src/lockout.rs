//! Lock-out after repeated failures, per account and per address.
//!
//! Failures are counted in memory on the node that sees them; only the lock itself is replicated, several at a time, so a
//! flood of failures does not become a flood of writes. Names that nobody has are not counted: all their sign-ons fail anyway.
//! The lock concerns passwords. Tickets cannot be guessed, so a stranger can keep nobody with a ticket out.

use std::{collections::HashMap, hash::Hash, net::IpAddr, sync::Arc, time::Duration};

use parking_lot::Mutex;
use posthouse_cluster::Timestamp;
use posthouse_directory::{AccountId, Actor, Change, key};
use tokio::sync::mpsc;

use crate::people::People;

/// Space of the replicated locks.
const SPACE: &str = "lockout";
/// Most subjects that are counted at a time. When there are more, those that were quiet longest are forgotten.
const MAX_COUNTED: usize = 65_536;
/// Most locks that wait to be replicated. Beyond, a lock holds on this node only.
const MAX_WAITING: usize = 1_024;
/// Most locks in one write.
const BATCH: usize = 64;

/// What is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Subject {
    Account(AccountId),
    /// An address; an IPv6 /64 counts as one.
    Network(IpAddr),
}

impl Subject {
    pub(crate) fn network(address: IpAddr) -> Self {
        Self::Network(crate::gate::network(address))
    }

    fn key(self) -> Vec<u8> {
        match self {
            Self::Account(id) => [b"a", id.0.as_bytes().as_slice()].concat(),
            Self::Network(IpAddr::V4(v4)) => [b"4", v4.octets().as_slice()].concat(),
            Self::Network(IpAddr::V6(v6)) => [b"6", v6.octets().as_slice()].concat(),
        }
    }
}

/// Failures in this window and the one before: enough to estimate a sliding window in constant space.
#[derive(Clone, Copy, Debug)]
struct Count {
    window: u64,
    now: u32,
    before: u32,
}

struct Counters<K>(HashMap<K, Count>);

impl<K> Default for Counters<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Copy + Eq + Hash> Counters<K> {
    /// Counts a failure; true if it reaches the limit. The count starts anew then.
    fn fail(&mut self, subject: K, at: Timestamp, limit: u64, length: Duration) -> bool {
        let length = (length.as_millis() as u64).max(1);
        let window = at.0 / length;
        if self.0.len() >= MAX_COUNTED && !self.0.contains_key(&subject) {
            self.forget(window);
        }
        let count = self.0.entry(subject).or_insert(Count { window, now: 0, before: 0 });
        if count.window != window {
            let before = if count.window + 1 == window { count.now } else { 0 };
            *count = Count { window, now: 0, before };
        }
        count.now = count.now.saturating_add(1);
        let rest = length - at.0 % length;
        let slid = u64::from(count.before) * rest / length;
        let reached = u64::from(count.now) + slid >= limit;
        if reached {
            self.0.remove(&subject);
        }
        reached
    }

    /// Forgets what is older than the last window, and if that is nothing, the quieter half.
    fn forget(&mut self, window: u64) {
        self.0.retain(|_, count| count.window + 1 >= window);
        if self.0.len() < MAX_COUNTED {
            return;
        }
        let mut loudness: Vec<_> = self.0.values().map(|count| count.now).collect();
        let middle = loudness.len() / 2;
        let median = *loudness.select_nth_unstable(middle).1;
        let louder = self.0.values().filter(|count| count.now > median).count();
        let mut room = (MAX_COUNTED / 2).saturating_sub(louder);
        self.0.retain(|_, count| {
            let fills = count.now == median && room > 0;
            room -= usize::from(fills);
            fills || count.now > median
        });
    }
}

#[derive(Default)]
struct State {
    accounts: Counters<AccountId>,
    networks: Counters<IpAddr>,
    /// Locks that are not replicated yet, until when.
    pending: HashMap<Subject, Timestamp>,
}

/// Counts failures and knows who is locked out.
pub(crate) struct Lockout {
    people: Arc<dyn People>,
    state: Arc<Mutex<State>>,
    queue: mpsc::Sender<(Subject, Timestamp)>,
}

impl Lockout {
    /// Starts the task that replicates locks; it ends when this is dropped.
    pub(crate) fn new(people: Arc<dyn People>) -> Self {
        let (queue, waiting) = mpsc::channel(MAX_WAITING);
        let state = Arc::new(Mutex::new(State::default()));
        tokio::spawn(replicate(people.clone(), state.clone(), waiting));
        Self { people, state, queue }
    }

    pub(crate) fn is_locked(&self, subject: Subject, now: Timestamp) -> bool {
        let pending = self.state.lock().pending.get(&subject).is_some_and(|until| *until > now);
        pending || self.people.ephemeral(SPACE, &subject.key()).is_some()
    }

    /// Counts a failure; true if the subject is locked from now on.
    pub(crate) fn fail(&self, subject: Subject, now: Timestamp) -> bool {
        let length = Duration::from_secs(self.people.integer(key::LOCKOUT_SECONDS));
        let mut state = self.state.lock();
        let locked = match subject {
            Subject::Account(id) => {
                let limit = self.people.integer(key::LOCKOUT_ACCOUNT);
                state.accounts.fail(id, now, limit, length)
            }
            Subject::Network(address) => {
                let limit = self.people.integer(key::LOCKOUT_ADDRESS);
                state.networks.fail(address, now, limit, length)
            }
        };
        if locked {
            let until = now.after(length);
            if state.pending.len() >= MAX_WAITING {
                state.pending.retain(|_, until| *until > now);
            }
            state.pending.insert(subject, until);
            drop(state);
            let _ = self.queue.try_send((subject, until));
        }
        locked
    }

    /// The subject has proven who it is: earlier failures do not count any more.
    pub(crate) fn succeed(&self, account: AccountId) {
        self.state.lock().accounts.0.remove(&account);
    }

    /// Ends a lock everywhere.
    pub(crate) async fn unlock(&self, subject: Subject, actor: Actor, now: Timestamp) {
        {
            let mut state = self.state.lock();
            state.pending.remove(&subject);
            match subject {
                Subject::Account(id) => state.accounts.0.remove(&id),
                Subject::Network(address) => state.networks.0.remove(&address),
            };
        }
        if self.people.ephemeral(SPACE, &subject.key()).is_none() {
            return;
        }
        let change = Change::PutEphemeral {
            space: SPACE.to_owned(),
            key: subject.key(),
            value: None,
            expires: now,
            only_new: false,
        };
        if let Err(error) = self.people.change(actor, change).await {
            tracing::warn!(target: "error", %error, "a lock-out could not be ended");
        }
    }
}

async fn replicate(
    people: Arc<dyn People>,
    state: Arc<Mutex<State>>,
    mut waiting: mpsc::Receiver<(Subject, Timestamp)>,
) {
    let mut batch = Vec::new();
    while waiting.recv_many(&mut batch, BATCH).await > 0 {
        let put = |(subject, until): &(Subject, Timestamp)| Change::PutEphemeral {
            space: SPACE.to_owned(),
            key: subject.key(),
            value: Some(Vec::new()),
            expires: *until,
            only_new: false,
        };
        let changes = batch.iter().map(put).collect();
        let actor = Actor::System("lock-out".to_owned());
        match people.change(actor, Change::All(changes)).await {
            Ok(()) => {
                let mut state = state.lock();
                for (subject, until) in &batch {
                    if state.pending.get(subject) == Some(until) {
                        state.pending.remove(subject);
                    }
                }
            }
            // The lock holds here until it ends; other nodes count for themselves.
            Err(error) => {
                tracing::warn!(target: "warning", %error, "a lock-out holds on this node only");
            }
        }
        batch.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(300);

    #[test]
    fn the_limit_is_reached_by_failures_within_the_window_only() {
        // (seconds of failures, limit, does the last one lock?)
        for (seconds, limit, locks) in [
            (&[0, 1, 2][..], 3, true),
            (&[0, 1], 3, false),
            (&[0, 1, 299], 3, true),
            (&[0, 1, 601], 3, false),
            (&[0, 0, 0, 0, 301], 5, false), // four slide out slowly: 3.98 + 1 < 5
            (&[299, 299, 299, 299, 300], 5, true),
            (&[0, 400, 800, 1200], 3, false),
        ] {
            let mut counters = Counters::default();
            let reached: Vec<_> = seconds
                .iter()
                .map(|s| counters.fail(1, Timestamp(s * 1000), limit, WINDOW))
                .collect();
            assert_eq!(reached.last(), Some(&locks), "{seconds:?}");
            assert!(reached[..reached.len() - 1].iter().all(|r| !r), "{seconds:?}");
        }
    }

    #[test]
    fn counting_many_subjects_costs_bounded_memory_and_keeps_the_loud_ones() {
        let mut counters = Counters::default();
        for _ in 0..5 {
            counters.fail(u64::MAX, Timestamp(0), 10, WINDOW);
        }
        for subject in 0..(MAX_COUNTED as u64 * 3) {
            counters.fail(subject, Timestamp(0), 10, WINDOW);
        }
        assert!(counters.0.len() <= MAX_COUNTED);
        assert_eq!(counters.0[&u64::MAX].now, 5);
    }
}
