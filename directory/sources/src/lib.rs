//! Mapping of accounts from Active Directory.
//!
//! ```text
//! controller ── reader (LDAP, IO) ── ad::codec (entries → MappedEntry) ── plan (pure: what changes) ── Syncer (proposes)
//! ```
//!
//! A source is not believed when it brings bad news (DESIGN §6): an answer that is empty, short or cut off removes
//! nobody; more removals than the threshold wait for the administrator; who is gone is disabled and kept.
//! [`preview`] shows what would be mapped before anything is written.
#![forbid(unsafe_code)]

pub mod ad;
mod connect;
mod error;
mod locate;
pub mod plan;
mod preview;
mod reader;
mod syncer;
mod watermark;

pub use error::SourceError;
pub use preview::{Preview, PreviewEntry, preview};
pub use syncer::{SourceStatus, Syncer, SyncerOptions, Unseal};
pub use watermark::Watermark;
