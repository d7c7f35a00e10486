//! How a peer is reached: what its pings showed.

use std::{collections::VecDeque, time::Duration};

use crate::{NodeId, Timestamp, network::PeerState};

/// Measurements that the median is of.
const SAMPLES: usize = 9;

/// State of a peer.
#[derive(Debug)]
pub(crate) struct Measure {
    node: NodeId,
    samples: VecDeque<(Duration, Option<i64>)>,
    reachable: bool,
    since: Duration,
    problem: Option<String>,
}

impl Measure {
    pub(crate) fn new(node: NodeId, now: Duration) -> Self {
        let (samples, problem) = (VecDeque::new(), Some("not connected yet".into()));
        Self { node, samples, reachable: false, since: now, problem }
    }

    /// A pong arrived: `theirs` is the other node's wall clock when it answered, in milliseconds.
    pub(crate) fn sample(&mut self, round_trip: Duration, theirs: Option<u64>, ours: Timestamp) {
        if self.samples.len() >= SAMPLES {
            self.samples.pop_front();
        }
        // it answered about half a round trip ago
        let middle = ours.0.saturating_sub(round_trip.as_millis() as u64 / 2);
        let difference = theirs.map(|theirs| (theirs as i64).saturating_sub(middle as i64));
        self.samples.push_back((round_trip, difference));
    }

    /// It answers. Whether that is new.
    pub(crate) fn up(&mut self, now: Duration) -> bool {
        let new = !self.reachable;
        if new {
            (self.reachable, self.since, self.problem) = (true, now, None);
        }
        new
    }

    /// It does not answer. Whether that is new.
    pub(crate) fn down(&mut self, now: Duration, why: &str) -> bool {
        let new = self.reachable;
        if new {
            (self.reachable, self.since) = (false, now);
            self.samples.clear();
        }
        self.problem = Some(why.to_owned());
        new
    }

    /// For everybody.
    pub(crate) fn state(&self) -> PeerState {
        let mut sorted: Vec<Duration> = self.samples.iter().map(|(trip, _)| *trip).collect();
        sorted.sort_unstable();
        // the fastest measurement says most about the clock
        let fastest = self.samples.iter().min_by_key(|(trip, _)| *trip);
        PeerState {
            node: self.node,
            reachable: self.reachable,
            round_trip: sorted.get(sorted.len() / 2).copied(),
            since: self.since,
            clock_difference: fastest.and_then(|(_, difference)| *difference),
            problem: self.problem.clone(),
        }
    }
}
