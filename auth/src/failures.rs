//! The newest failed sign-ons, for `auth explain`.

use std::{collections::VecDeque, net::IpAddr};

use parking_lot::Mutex;
use posthouse_cluster::Timestamp;
use serde::Serialize;

use crate::Reason;

/// Most failures that are kept.
const KEPT: usize = 1_000;
/// Longest name that is kept, in characters.
const MAX_NAME: usize = 256;

/// A failed sign-on as kept for `auth explain`. No secrets: of a ticket only the cleartext outside.
#[derive(Clone, Debug, Serialize)]
pub struct FailureRecord {
    /// When.
    pub at: Timestamp,
    /// Which service (Kerberos name).
    pub service: String,
    /// From where.
    pub address: IpAddr,
    /// Mechanism name.
    pub mechanism: String,
    /// Name or principal that was tried, where known; escaped.
    pub name: String,
    /// Why it failed.
    pub reason: Reason,
    /// What was found out: one sentence each.
    pub findings: Vec<String>,
    /// What to do: one sentence each.
    pub remedies: Vec<String>,
}

/// Bounded; the oldest is forgotten.
#[derive(Default)]
pub(crate) struct Failures(Mutex<VecDeque<FailureRecord>>);

impl Failures {
    pub(crate) fn push(&self, record: FailureRecord) {
        let mut records = self.0.lock();
        if records.len() >= KEPT {
            records.pop_back();
        }
        records.push_front(record);
    }

    /// Newest first; only of `name` (without case) if given, or of another name that `same` says is the same person's.
    pub(crate) fn newest(
        &self,
        name: Option<&str>,
        limit: usize,
        same: impl Fn(&str) -> bool,
    ) -> Vec<FailureRecord> {
        let wanted = name.map(|name| escaped(name).to_lowercase());
        let fits = |record: &&FailureRecord| match &wanted {
            Some(name) => record.name.to_lowercase() == *name || same(&record.name),
            None => true,
        };
        self.0.lock().iter().filter(fits).take(limit).cloned().collect()
    }
}

/// A name from outside, as it may stand in logs and on pages.
pub(crate) fn escaped(name: &str) -> String {
    let mut out: String = name.chars().take(MAX_NAME).flat_map(char::escape_debug).collect();
    if name.chars().nth(MAX_NAME).is_some() {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(n: usize) -> FailureRecord {
        FailureRecord {
            at: Timestamp(n as u64),
            service: "imap".to_owned(),
            address: IpAddr::from([192, 0, 2, 1]),
            mechanism: "PLAIN".to_owned(),
            name: format!("User{}", n % 3),
            reason: Reason::WrongPassword,
            findings: Vec::new(),
            remedies: Vec::new(),
        }
    }

    #[test]
    fn only_the_newest_failures_are_kept_newest_first() {
        let failures = Failures::default();
        for n in 0..KEPT + 5 {
            failures.push(record(n));
        }
        let all = failures.newest(None, usize::MAX, |_| false);
        assert_eq!(all.len(), KEPT);
        assert_eq!(all[0].at, Timestamp(KEPT as u64 + 4));
        assert_eq!(failures.newest(Some("uSER1"), 2, |_| false).len(), 2);
        assert!(
            failures.newest(Some("user1"), usize::MAX, |_| false).iter().all(|r| r.name == "User1")
        );
    }

    #[test]
    fn names_from_outside_cannot_forge_lines_or_grow() {
        assert_eq!(escaped("a\r\nb\x1b[0m"), "a\\r\\nb\\u{1b}[0m");
        assert_eq!(escaped(&"é".repeat(5_000)).chars().count(), MAX_NAME + 1);
    }
}
