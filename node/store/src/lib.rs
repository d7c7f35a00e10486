//! Mailboxes: folders, items, bodies, spool; the store state machine; the one mailbox API.
//!
//! [`Request`] IS the description of what a store does: IMAP, SMTP, the web and later JMAP, DAV and
//! ActiveSync are views over it. Knows nothing of sockets, protocols or the directory.
#![forbid(unsafe_code)]

mod absent;
mod api;
mod bodylog;
mod command;
mod flags;
#[doc(hidden)]
pub mod fuzz;
mod machine;
mod moves;
mod outcome;
mod peer;
mod prepare;
mod read;
mod request;
mod response;
mod rows;
mod schema;
mod store;
mod stores;
mod structure;
mod uids;

#[cfg(test)]
mod tests;

pub use api::*;
pub use moves::*;
pub use request::*;
pub use response::*;
pub use store::{Collection, FAIL_POINTS, ReplicaState, Scrub, Store, StoreOptions, Totals};
pub use stores::{Locate, Stores};
pub use structure::{MailAddress, MailEnvelope, Part, Structure};
