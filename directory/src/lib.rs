//! Who is in the domain: domains, accounts, addresses, settings, nodes; the domain state machine.
//!
//! Everything here is replicated to every node. Reading never waits: lookups use an in-memory index
//! that is updated as commands are applied. Changing goes through [`Directory::change`].
#![forbid(unsafe_code)]

mod account;
mod audit;
mod change;
mod claim;
mod cluster;
mod directory;
mod index;
mod live;
mod machine;
pub mod name;
mod resolve;
mod settings;
mod submit;
#[cfg(test)]
mod testing;

pub use account::*;
pub use change::*;
pub use cluster::*;
pub use directory::{Directory, DirectoryOptions, Listing, PersonEntry, PersonQuery, Update};
pub use resolve::{Resolution, ResolveStep, Target};
pub use settings::*;
