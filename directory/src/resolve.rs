//! Where mail for an address goes, and why (F12.3-1 to F12.3-7).

use serde::{Deserialize, Serialize};

use crate::AccountId;

/// Where mail ends up.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Target {
    /// The mailbox of a user of ours.
    Mailbox(AccountId),
    /// An address elsewhere.
    Remote(String),
}

/// One step of a resolution, in words and as data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolveStep {
    /// The address that was looked at.
    pub address: String,
    /// What was found: `alias sales* → anna, bob`, `user anna`, `group all (12 members)`, `already visited`.
    pub found: String,
}

/// The answer for an address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolution {
    /// Whether the domain of the address is ours.
    pub local_domain: bool,
    /// Where the mail goes; empty with `local_domain`: unknown recipient.
    pub targets: Vec<Target>,
    /// How that came about.
    pub steps: Vec<ResolveStep>,
    /// A limit ended the resolution (depth 32, 10,000 targets); the text names it.
    pub limit: Option<String>,
}
