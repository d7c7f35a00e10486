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

/// All classes, from near to far. A heartbeat is given up when the next is due, so it is due later than
/// the round trip; a vote takes two round trips, and an election waits several times that.
pub(crate) const CLASSES: [Timing; 5] = [
    Timing { round_trip: ms(10), heartbeat: ms(60), election: (ms(220), ms(380)) },
    Timing { round_trip: ms(40), heartbeat: ms(90), election: (ms(400), ms(650)) },
    Timing { round_trip: ms(100), heartbeat: ms(180), election: (ms(700), ms(1100)) },
    Timing { round_trip: ms(250), heartbeat: ms(350), election: (ms(1400), ms(2200)) },
    Timing { round_trip: Duration::MAX, heartbeat: ms(1200), election: (ms(5000), ms(8000)) },
];

/// For how long after the sending of a heartbeat that a majority answered its sender certainly leads:
/// shorter than the shortest lease of any class, because members need not agree on the class. The rest
/// is for clocks that run apart.
pub(crate) const READ_LEASE: Duration = ms(340);

/// A lower class is only taken when the round trip is this part of its limit, so that a measurement at
/// the limit does not change it all the time.
const WELL_BELOW: u32 = 2;

impl Timing {
    /// The class for a round trip.
    pub(crate) fn of(round_trip: Duration) -> Self {
        let [.., far] = CLASSES;
        CLASSES.into_iter().find(|class| round_trip <= class.round_trip).unwrap_or(far)
    }

    /// The class to go on with when the round trip is measured anew.
    pub(crate) fn next(self, round_trip: Duration) -> Self {
        let measured = Self::of(round_trip);
        let lower = measured.round_trip < self.round_trip;
        if lower && Self::of(round_trip * WELL_BELOW) == self {
            return self;
        }
        measured
    }

    /// For how long after a heartbeat its receiver votes for nobody else.
    pub(crate) fn lease(&self) -> Duration {
        self.election.1
    }

    /// Within which time somebody leads again in all but rare cases.
    pub(crate) fn failover(&self) -> Duration {
        self.election.1 * 3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_class_has_a_lease_that_a_leader_elsewhere_could_outlive() {
        for class in CLASSES {
            assert!(class.lease() >= READ_LEASE * 11 / 10, "{class:?}");
            assert!(class.heartbeat * 3 < class.election.0, "{class:?}");
            let known = class.round_trip < Duration::MAX;
            assert!(!known || class.round_trip * 5 / 4 < class.heartbeat, "{class:?}");
            assert!(!known || class.round_trip * 5 < class.election.0, "{class:?}");
        }
    }

    #[test]
    fn a_round_trip_at_a_limit_does_not_change_the_class_back_and_forth() {
        let [near, regional, _, far, _] = CLASSES;
        let cases = [
            (near, 9, near),
            (near, 11, regional),
            (regional, 9, regional),
            (regional, 4, near),
            (near, 150, far),
            (far, 150, far),
            (far, 1, near),
        ];
        for (now, round_trip, next) in cases {
            assert_eq!(now.next(ms(round_trip)), next, "{now:?} at {round_trip} ms");
        }
    }
}
