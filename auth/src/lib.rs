//! How they prove it: passwords, Kerberos, SASL, HTTP Negotiate, sessions, lock-out, explanations.
//!
//! Every protocol asks [`Authenticator`] and gets an [`Identity`] or a [`Reason`]. SASL exchanges are
//! driven by [`Exchange`], which knows no protocol.
// Not `forbid`: the GSSAPI binding needs unsafe, in its own module with a reason.
#![deny(unsafe_code)]

mod authenticator;
mod der;
mod explain;
mod failures;
#[cfg(test)]
mod fake;
#[doc(hidden)]
pub mod fuzz;
mod gate;
mod gss;
mod identity;
mod inner;
mod keytab;
mod lockout;
mod mechanism;
mod password;
mod people;
mod pool;
mod reason;
mod sasl;
mod sessions;
mod strength;
mod tls;
mod vault;

pub use authenticator::Authenticator;
pub use failures::FailureRecord;
pub use gate::{Gate, Pass, Refused};
pub use identity::{AuthOptions, Identity, Origin};
pub use mechanism::{MECHANISMS, Mechanism, MechanismSpec, Service, mechanisms_markdown};
pub use reason::Reason;
pub use sasl::{Exchange, Step};
pub use strength::{PASSWORD_MIN, password_problem};
pub use tls::{ServerTls, TlsError};
pub use vault::seed_vault;
