//! Named points at which a test can end the process. Nothing but a comparison in debug builds,
//! nothing at all in release builds.

/// Environment variable that names the point, and after `:` at which visit (from 1) it strikes:
/// `staged:3`.
pub const VARIABLE: &str = "POSTHOUSE_FAIL_POINT";

/// Before a batch of log records is written.
pub const LOG_BEFORE_WRITE: &str = "log-before-write";
/// After it was written, before it is synced.
pub const LOG_AFTER_WRITE: &str = "log-after-write";
/// After it was synced, before anybody knows.
pub const LOG_AFTER_SYNC: &str = "log-after-sync";
/// Before a batch of agreed commands is applied.
pub const BEFORE_APPLY: &str = "before-apply";
/// After it was applied, before anybody knows.
pub const AFTER_APPLY: &str = "after-apply";
/// Before the answer of a command goes back to its proposer.
pub const BEFORE_ANSWER: &str = "before-answer";
/// Before a state machine is made durable.
pub const CHECKPOINT_BEFORE: &str = "checkpoint-before";
/// After that, before the log behind it is purged.
pub const CHECKPOINT_AFTER: &str = "checkpoint-after";
/// After a purge is on disk.
pub const PURGE_AFTER: &str = "purge-after";

/// All points of this crate. Crates above have tables of their own.
pub const POINTS: &[&str] = &[
    LOG_BEFORE_WRITE,
    LOG_AFTER_WRITE,
    LOG_AFTER_SYNC,
    BEFORE_APPLY,
    AFTER_APPLY,
    BEFORE_ANSWER,
    CHECKPOINT_BEFORE,
    CHECKPOINT_AFTER,
    PURGE_AFTER,
];

/// Ends the process at once, as kill -9 would, when the fail point `name` is set and due.
#[inline]
pub fn hit(name: &str) {
    #[cfg(debug_assertions)]
    armed::hit(name);
    #[cfg(not(debug_assertions))]
    let _ = name;
}

#[cfg(debug_assertions)]
mod armed {
    use std::sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    };

    static POINT: OnceLock<Option<(String, u64)>> = OnceLock::new();
    static VISITS: AtomicU64 = AtomicU64::new(0);

    fn parse() -> Option<(String, u64)> {
        let value = std::env::var(super::VARIABLE).ok()?;
        match value.split_once(':') {
            Some((name, visit)) => Some((name.to_owned(), visit.parse().ok()?)),
            None => Some((value, 1)),
        }
    }

    pub(super) fn hit(name: &str) {
        let Some((point, visit)) = POINT.get_or_init(parse) else { return };
        if point == name && VISITS.fetch_add(1, Ordering::SeqCst) + 1 == *visit {
            std::process::abort();
        }
    }
}
