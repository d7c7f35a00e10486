//! From outcomes to what is recorded, and the report that goes with it. No IO.

use std::time::Duration;

use posthouse_cluster::{Timestamp, env::Random};
use posthouse_store::{SpoolEntry, SpoolOutcome, SpoolRecipient};

use super::outcome::{Failure, Outcome, pause, short_pause};
use crate::message::{ReportAction, Reported};

/// NOTIFY bits (RFC 3461 §4.1).
const SUCCESS: u8 = 1;
const FAILURE: u8 = 2;
const DELAY: u8 = 4;

/// When senders are told and when it ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    pub(super) delay: Duration,
    pub(super) give_up: Duration,
}

/// What is recorded for some recipients of an entry.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) outcomes: Vec<(String, SpoolOutcome)>,
    pub(super) reported: Vec<Reported>,
    /// When the deferred ones are tried again; the earliest of them.
    pub(super) due: Option<Timestamp>,
}

impl Record {
    /// Judges the outcomes of an attempt that ended at `now`.
    pub(super) fn of(
        entry: &SpoolEntry,
        results: &[(&SpoolRecipient, Outcome)],
        patience: Patience,
        now: Timestamp,
        random: &dyn Random,
    ) -> Self {
        let mut record = Self::default();
        for (state, outcome) in results {
            record.add(entry, state, outcome, patience, now, random);
        }
        // RFC 3461 §6.1: never a report about a report
        if entry.envelope.sender.is_empty() {
            record.reported.clear();
        }
        record
    }

    fn add(
        &mut self,
        entry: &SpoolEntry,
        state: &SpoolRecipient,
        outcome: &Outcome,
        patience: Patience,
        now: Timestamp,
        random: &dyn Random,
    ) {
        let age = now.since(entry.accepted);
        let notify = state.recipient.notify;
        let address = &state.recipient.address;
        let recorded = match outcome {
            Outcome::Delivered => {
                if notify & SUCCESS != 0 {
                    self.report(
                        state,
                        ReportAction::Delivered,
                        &Failure::own("2.1.5", "delivered"),
                    );
                }
                SpoolOutcome::Done
            }
            Outcome::Sent { host, reports } => {
                if notify & SUCCESS != 0 && !reports {
                    let text = format!("taken by {host}");
                    self.report(state, ReportAction::Relayed, &Failure::own("2.1.9", text));
                }
                SpoolOutcome::Done
            }
            Outcome::Failed(failure) => {
                self.failed(state, failure);
                SpoolOutcome::Done
            }
            Outcome::Untried => return,
            Outcome::Deferred(failure) | Outcome::Waiting(failure) if age >= patience.give_up => {
                let text =
                    format!("given up after {} hours: {}", age.as_secs() / 3600, failure.text);
                let status = "5.4.7".to_owned();
                self.failed(state, &Failure { status, text, remote: failure.remote.clone() });
                SpoolOutcome::Done
            }
            Outcome::Deferred(failure) | Outcome::Waiting(failure) => {
                let late = age >= patience.delay && !state.delay_reported;
                if late && notify & DELAY != 0 {
                    self.report(state, ReportAction::Delayed, failure);
                }
                let attempts = state.attempts.saturating_add(1);
                let again = now.after(match outcome {
                    Outcome::Waiting(_) => short_pause(attempts),
                    _ => pause(attempts, random),
                });
                // the last attempt comes when the time is up, not hours later
                let again = again
                    .min(entry.accepted.after(patience.give_up))
                    .max(now.after(Duration::from_secs(1)));
                self.due = Some(self.due.map_or(again, |due| due.min(again)));
                let delay_reported = state.delay_reported || late;
                SpoolOutcome::Deferred { error: failure.text.clone(), delay_reported }
            }
        };
        self.outcomes.push((address.clone(), recorded));
    }

    fn failed(&mut self, state: &SpoolRecipient, failure: &Failure) {
        if state.recipient.notify & FAILURE != 0 {
            self.report(state, ReportAction::Failed, failure);
        }
    }

    fn report(&mut self, state: &SpoolRecipient, action: ReportAction, failure: &Failure) {
        self.reported.push(Reported {
            address: state.recipient.address.clone(),
            original: state.recipient.original.clone(),
            action,
            status: failure.status.clone(),
            remote: failure.remote.clone(),
            diagnostic: failure.text.clone(),
        });
    }
}

#[cfg(test)]
mod tests {
    use posthouse_store::{BodyHash, Envelope, RelayRecipient, SpoolId};

    use super::*;

    struct Middle;

    impl Random for Middle {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(0);
            if let Some(first) = bytes.first_mut() {
                *first = 20;
            }
        }
    }

    const HOUR: u64 = 3_600_000;

    fn judge(
        outcome: Outcome,
        hours: u64,
        notify: u8,
        sender: &str,
        delay_reported: bool,
    ) -> Record {
        let recipient = RelayRecipient { address: "a@x.test".into(), original: None, notify };
        let state = SpoolRecipient { recipient, attempts: 1, last_error: None, delay_reported };
        let entry = SpoolEntry {
            id: SpoolId(1),
            accepted: Timestamp(0),
            due: Timestamp(0),
            envelope: Envelope {
                sender: sender.into(),
                envelope_id: None,
                return_full: false,
                eight_bit: false,
                utf8: false,
            },
            recipients: vec![state.clone()],
            body: BodyHash([0; 32]),
            size: 1,
            delivery: None,
        };
        let patience = Patience {
            delay: Duration::from_secs(4 * 3600),
            give_up: Duration::from_secs(100 * 3600),
        };
        Record::of(&entry, &[(&state, outcome)], patience, Timestamp(hours * HOUR), &Middle)
    }

    #[test]
    fn who_is_told_what_and_when() {
        use ReportAction::{Delayed, Delivered, Failed, Relayed};
        let failed = || Outcome::Failed(Failure::own("5.1.1", "no"));
        let deferred = || Outcome::Deferred(Failure::own("4.2.0", "later"));
        let sent = |reports| Outcome::Sent { host: "mx".into(), reports };
        // outcome, hours, notify, sender, told of delay before → report, done
        for (outcome, hours, notify, sender, told, report, done) in [
            (failed(), 0, 6, "s@y", false, Some(Failed), true),
            (failed(), 0, 0, "s@y", false, None, true),
            (failed(), 0, 6, "", false, None, true), // never about a report
            (deferred(), 1, 6, "s@y", false, None, false),
            (deferred(), 4, 6, "s@y", false, Some(Delayed), false),
            (deferred(), 4, 2, "s@y", false, None, false),
            (deferred(), 5, 6, "s@y", true, None, false), // once
            (deferred(), 100, 6, "s@y", true, Some(Failed), true),
            (deferred(), 100, 6, "", true, None, true),
            (sent(false), 0, 6, "s@y", false, None, true),
            (sent(false), 0, 7, "s@y", false, Some(Relayed), true),
            (sent(true), 0, 7, "s@y", false, None, true), // the next hop reports
            (Outcome::Delivered, 0, 1, "s@y", false, Some(Delivered), true),
            (Outcome::Delivered, 0, 6, "s@y", false, None, true),
        ] {
            let record = judge(outcome.clone(), hours, notify, sender, told);
            assert_eq!(record.reported.first().map(|r| r.action), report, "{outcome:?} {hours}");
            assert_eq!(record.outcomes[0].1 == SpoolOutcome::Done, done, "{outcome:?} {hours}");
            assert_eq!(record.due.is_none(), done, "{outcome:?} {hours}");
        }
    }

    #[test]
    fn the_last_attempt_comes_when_the_time_is_up() {
        let deferred = Outcome::Deferred(Failure::own("4.2.0", "later"));
        let record = judge(deferred.clone(), 0, 6, "s@y", false);
        assert_eq!(record.due, Some(Timestamp(300_000)));
        let record = judge(deferred, 99, 6, "s@y", true);
        assert_eq!(record.due, Some(Timestamp(99 * HOUR + 300_000)));
    }
}
