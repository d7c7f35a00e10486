//! The company address book as an LDAPv3 server (RFC 4510 and those that it names), for reading.
//!
//! Three parts: [`codec`] turns bytes into messages and back, [`session`] decides what a connection may do and holds
//! no socket, [`serve`] moves bytes. What is searched and shown stands in one table, [`schema::ATTRIBUTES`].
#![forbid(unsafe_code)]

pub mod codec;
mod compile;
mod dn;
mod filter;
#[doc(hidden)]
pub mod fuzz;
pub mod schema;
mod search;
mod serve;
mod session;
mod tree;

pub use serve::{Context, Mode, Patience, serve};
