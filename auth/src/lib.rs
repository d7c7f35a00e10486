//! How they prove it: passwords, Kerberos, SASL, HTTP Negotiate, sessions, lock-out, explanations.
//!
//! Every protocol asks [`Authenticator`] and gets an [`Identity`] or a [`Reason`]. SASL exchanges are
//! driven by [`Exchange`], which knows no protocol.
// Not `forbid`: the GSSAPI binding needs unsafe, in its own module with a reason.
#![deny(unsafe_code)]

mod authenticator;
mod gate;
mod mechanism;
mod tls;

pub use authenticator::{
    AuthOptions, Authenticator, Exchange, FailureRecord, Identity, Origin, Reason, Step,
};
pub use gate::{Gate, Pass, Refused};
pub use mechanism::{MECHANISMS, Mechanism, MechanismSpec, Service};
pub use tls::{ServerTls, TlsError};
