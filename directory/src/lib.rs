//! Who is in the domain: domains, accounts, addresses, settings, nodes; the domain state machine.
//!
//! Everything here is replicated to every node. Reading never waits: lookups use an in-memory index
//! that is updated as commands are applied. Changing goes through [`Directory::change`].
#![forbid(unsafe_code)]

mod account;
mod change;
mod directory;
mod resolve;
mod settings;

pub use account::*;
pub use change::*;
pub use directory::{Directory, DirectoryOptions, Listing, PersonEntry, PersonQuery, Update};
pub use resolve::{Resolution, ResolveStep, Target};
pub use settings::*;
