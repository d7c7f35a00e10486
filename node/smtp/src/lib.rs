//! SMTP: receiving from strangers, submission by users, and sending from the spool.
//!
//! [`codec`] turns bytes into types, [`session`] decides without IO, [`serve()`] moves the bytes; [`run_sender`] empties
//! the spool. Acceptance is one [`posthouse_store::Request::Deliver`]: the 250 leaves when a majority has the message on disk.
#![forbid(unsafe_code)]

pub mod codec;
mod limits;
pub mod message;
mod sender;
mod serve;
pub mod session;

pub use limits::{LIMITS, Limit};
pub use sender::{
    RecipientDescription, Resolver, SenderContext, SpoolDescription, describe, run_sender,
};
pub use serve::{Context, Timeouts, serve};
