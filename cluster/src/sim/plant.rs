//! Faults planted on purpose, to see that the simulation finds them. The thread that simulates chooses
//! one; without the feature `simulation` there is nothing to choose, and nothing of them is compiled.

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    /// The log reports entries as durable before they are synced.
    NoSync,
    /// A vote is answered before it is on disk.
    UnflushedVote,
    /// Entries of a leader of an old term are accepted.
    NoTermCheck,
    /// Whoever led once reads without asking.
    NoLeaseCheck,
    /// A command that is repeated with its id is applied again. The state machines of tests look here.
    NoRequestCheck,
}

/// All of them.
pub const ALL: [Plant; 5] = [
    Plant::NoSync,
    Plant::UnflushedVote,
    Plant::NoTermCheck,
    Plant::NoLeaseCheck,
    Plant::NoRequestCheck,
];

#[cfg(any(test, feature = "simulation"))]
thread_local! {
    static PLANTED: std::cell::Cell<Option<Plant>> = const { std::cell::Cell::new(None) };
}

/// From now on this thread has that fault, or none.
#[cfg(any(test, feature = "simulation"))]
pub fn set(plant: Option<Plant>) {
    PLANTED.set(plant);
}

/// Whether this thread has that fault.
#[cfg(any(test, feature = "simulation"))]
pub fn is(plant: Plant) -> bool {
    PLANTED.get() == Some(plant)
}

/// Never.
#[cfg(not(any(test, feature = "simulation")))]
#[inline]
pub const fn is(_: Plant) -> bool {
    false
}
