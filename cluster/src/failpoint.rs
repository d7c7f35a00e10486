//! Named points at which a test can end the process. Nothing but a comparison in debug builds,
//! nothing at all in release builds.

/// Environment variable that names the point, and after `:` at which visit (from 1) it strikes:
/// `staged:3`.
pub const VARIABLE: &str = "POSTHOUSE_FAIL_POINT";

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
