//! The queue as administrators see it.

use posthouse_store::SpoolEntry;
use serde::Serialize;

/// A queued message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SpoolDescription {
    /// Id, for retry and remove.
    pub id: u64,
    /// Envelope sender; empty for reports.
    pub sender: String,
    /// Size in bytes.
    pub size: u32,
    /// When it was accepted, milliseconds since the Unix epoch.
    pub accepted: u64,
    /// When it is tried next, milliseconds since the Unix epoch.
    pub due: u64,
    /// Who still has to get it.
    pub recipients: Vec<RecipientDescription>,
}

/// A recipient of a queued message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RecipientDescription {
    /// Envelope address.
    pub address: String,
    /// Attempts so far.
    pub attempts: u32,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
}

/// Describes a spool entry for API, command line and pages.
pub fn describe(entry: &SpoolEntry) -> SpoolDescription {
    SpoolDescription {
        id: entry.id.0,
        sender: entry.envelope.sender.clone(),
        size: entry.size,
        accepted: entry.accepted.0,
        due: entry.due.0,
        recipients: entry
            .recipients
            .iter()
            .map(|state| RecipientDescription {
                address: state.recipient.address.clone(),
                attempts: state.attempts,
                last_error: state.last_error.clone(),
            })
            .collect(),
    }
}
