//! The one table of limits that a peer can run into, beside those that are settings. The guide shows it; a test compares.

use crate::{codec, message, sender, serve, session};

/// A limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// What is limited.
    pub what: &'static str,
    /// How much of it.
    pub value: u64,
    /// Unit of the value.
    pub unit: &'static str,
}

const fn limit(what: &'static str, value: u64, unit: &'static str) -> Limit {
    Limit { what, value, unit }
}

/// All of them.
pub const LIMITS: &[Limit] = &[
    limit("command line", codec::MAX_MAIL_LINE as u64, "bytes"),
    limit("line of a sign-on", session::MAX_SASL_LINE as u64, "bytes"),
    limit("line of a message", codec::MAX_TEXT_LINE as u64, "bytes"),
    limit("header of a message", message::MAX_HEADER as u64, "bytes"),
    limit("errors in one connection", session::MAX_ERRORS as u64, ""),
    limit("failed sign-ons in one connection", session::MAX_SIGN_ON_FAILURES as u64, ""),
    limit("commands without a message in one connection", session::MAX_COMMANDS as u64, ""),
    limit("unknown recipients from one outside address in an hour", serve::MAX_UNKNOWN as u64, ""),
    limit("messages being received at a time, all connections", serve::MAX_HELD as u64, "bytes"),
    limit("mailboxes and outside addresses behind one message", serve::MAX_TARGETS as u64, ""),
    limit("wait for a command line", serve::Timeouts::DEFAULT.command.as_secs(), "seconds"),
    limit("silence within a message", serve::Timeouts::DEFAULT.data_idle.as_secs(), "seconds"),
    limit("wait for a whole message", serve::Timeouts::DEFAULT.data_total.as_secs(), "seconds"),
    limit("TLS handshake", serve::Timeouts::DEFAULT.handshake.as_secs(), "seconds"),
    limit(
        "wait for a client to take an answer",
        serve::Timeouts::DEFAULT.write.as_secs(),
        "seconds",
    ),
    limit("connections to next hops", sender::MAX_TOTAL as u64, ""),
    limit("connections to one domain", sender::MAX_PER_DOMAIN as u64, ""),
    limit("recipients in one transaction with a next hop", sender::MAX_RECIPIENTS as u64, ""),
    limit("addresses of a domain tried in one attempt", sender::MAX_ADDRESSES as u64, ""),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Reply;

    const GUIDE: &str = include_str!("../../../docs/guide/mail-flow.md");

    #[test]
    fn the_guide_has_all_limits_replies_and_pauses() {
        for Limit { what, value, unit } in LIMITS {
            let row = format!("| {what} | {} |\n", format!("{value} {unit}").trim());
            assert!(GUIDE.contains(&row), "{row}");
        }
        for reply in Reply::ALL.iter().filter(|reply| reply.is_error()) {
            let (code, enhanced, text) = reply.parts();
            let row = format!("| {code} | {enhanced} | {text} |\n");
            assert!(GUIDE.contains(&row), "{row}");
        }
        let minutes = sender::SCHEDULE.map(|pause| (pause.as_secs() / 60).to_string());
        assert!(GUIDE.contains(&format!("{} minutes", minutes.join(", "))));
    }
}
