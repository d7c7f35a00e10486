//! IMAP4rev2 and IMAP4rev1 (RFC 9051, RFC 3501): a view over the mailbox API.
//!
//! [`codec`] turns bytes into commands and data into responses, [`session`] decides, [`serve`] has the sockets.
#![forbid(unsafe_code)]

pub mod capability;
pub mod codec;
pub mod serve;
pub mod session;

pub use serve::{Context, Mode, Services, serve};
