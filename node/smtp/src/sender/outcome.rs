//! What became of a recipient, and when it is tried again.

use std::time::Duration;

use posthouse_cluster::env::Random;

/// Why a recipient did not get the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// Enhanced status code.
    pub(crate) status: String,
    /// In words, for the administrator and for reports. Printable.
    pub(crate) text: String,
    /// The host that said so; `None` if it was found out here.
    pub(crate) remote: Option<String>,
}

impl Failure {
    /// A cause that was found out here.
    pub(crate) fn own(status: &str, text: impl Into<String>) -> Self {
        Self { status: status.to_owned(), text: text.into(), remote: None }
    }
}

/// What became of a recipient in one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is in a mailbox here.
    Delivered,
    /// The next hop took it.
    Sent {
        /// Its name.
        host: String,
        /// It sends reports itself.
        reports: bool,
    },
    /// Never.
    Failed(Failure),
    /// Not now.
    Deferred(Failure),
    /// Not now, because a part of the domain is out of reach: tried again soon.
    Waiting(Failure),
    /// Not tried: another node leads the spool now.
    Untried,
}

/// Pauses between attempts; the last one repeats. A fifth more or less by chance, so that entries do not stay in step.
pub(crate) const SCHEDULE: [Duration; 7] = [
    Duration::from_secs(60),
    Duration::from_secs(5 * 60),
    Duration::from_secs(15 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(3600),
    Duration::from_secs(2 * 3600),
    Duration::from_secs(4 * 3600),
];

/// Pauses while a part of the domain is out of reach; the last one repeats.
const SHORT_SCHEDULE: [Duration; 4] = [
    Duration::from_secs(3),
    Duration::from_secs(10),
    Duration::from_secs(20),
    Duration::from_secs(45),
];

/// The pause after so many attempts that ended as [`Outcome::Waiting`].
pub(crate) fn short_pause(attempts: u32) -> Duration {
    let step = usize::try_from(attempts.saturating_sub(1)).unwrap_or(usize::MAX);
    SHORT_SCHEDULE.get(step).or(SHORT_SCHEDULE.last()).copied().unwrap_or_default()
}

/// The pause after so many failed attempts (at least 1).
pub(crate) fn pause(attempts: u32, random: &dyn Random) -> Duration {
    let step = usize::try_from(attempts.saturating_sub(1)).unwrap_or(usize::MAX);
    let base = SCHEDULE.get(step).or(SCHEDULE.last()).copied().unwrap_or_default();
    // 80 % to 120 %
    let percent = 80 + (random.u64() % 41) as u32;
    base * percent / 100
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed(u64);

    impl Random for Fixed {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.iter_mut().zip(self.0.to_le_bytes()).for_each(|(to, from)| *to = from);
        }
    }

    #[test]
    fn pauses_grow_by_the_table_and_vary_by_a_fifth() {
        for (attempts, random, seconds) in [
            (1, 0, 48),
            (1, 20, 60),
            (1, 40, 72),
            (2, 20, 300),
            (7, 20, 14_400),
            (100, 20, 14_400),
            (0, 20, 60),
        ] {
            assert_eq!(pause(attempts, &Fixed(random)), Duration::from_secs(seconds), "{attempts}");
        }
    }
}
