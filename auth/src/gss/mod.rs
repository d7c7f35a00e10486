//! Kerberos by the MIT library through `libgssapi`. Everything in here blocks: call it on a blocking thread.

mod acceptor;
mod error;
mod password;
pub(crate) mod principal;
mod sys;
pub(crate) mod token;

pub(crate) use acceptor::{Acceptor, Context, Progress};
pub(crate) use error::GssError;
pub(crate) use password::prove_password;
