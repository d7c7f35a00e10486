//! How long groups wait before they take a leader for dead.

use std::time::Duration;

/// The timings of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timing {
    /// Applies to groups whose slowest member answers within this time.
    pub round_trip: Duration,
    /// How often a leader says that it lives.
    pub heartbeat: Duration,
    /// A follower that hears nothing stands for election after the longer time (the lease) and a
    /// random time between both.
    pub election: (Duration, Duration),
}

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// All classes, from near to far.
pub(crate) const CLASSES: [Timing; 4] = [
    Timing { round_trip: ms(5), heartbeat: ms(60), election: (ms(250), ms(400)) },
    Timing { round_trip: ms(30), heartbeat: ms(100), election: (ms(500), ms(800)) },
    Timing { round_trip: ms(100), heartbeat: ms(200), election: (ms(1000), ms(1600)) },
    Timing { round_trip: Duration::MAX, heartbeat: ms(400), election: (ms(2000), ms(3200)) },
];

impl Timing {
    /// The class for a round trip.
    pub(crate) fn of(round_trip: Duration) -> Self {
        let [near, .., far] = CLASSES;
        if round_trip <= near.round_trip {
            return near;
        }
        CLASSES.into_iter().find(|class| round_trip <= class.round_trip).unwrap_or(far)
    }

    /// For how long after a heartbeat its receiver votes for nobody else.
    pub(crate) fn lease(&self) -> Duration {
        self.election.1
    }

    /// For how long after the sending of a heartbeat that a majority answered its sender certainly
    /// leads. A tenth is left for clocks that run apart.
    pub(crate) fn read_lease(&self) -> Duration {
        self.lease() * 9 / 10
    }

    /// Within which time somebody leads again in all but rare cases.
    pub(crate) fn failover(&self) -> Duration {
        self.election.1 * 3
    }
}
