//! Faults planted on purpose, to see that the simulation finds them. Only in tests; the thread that
//! simulates chooses one.

use std::cell::Cell;

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

thread_local! {
    static PLANTED: Cell<Option<Plant>> = const { Cell::new(None) };
}

/// From now on this thread has that fault, or none.
pub fn set(plant: Option<Plant>) {
    PLANTED.set(plant);
}

/// Whether this thread has that fault.
pub fn is(plant: Plant) -> bool {
    PLANTED.get() == Some(plant)
}
