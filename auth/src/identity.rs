//! Where a sign-on comes from, and who it turns out to be.

use std::{net::IpAddr, path::PathBuf, sync::Arc};

use posthouse_cluster::Timestamp;
use posthouse_directory::{Account, Rights, State};

use crate::{Mechanism, Reason, Service};

/// How to make an authenticator.
#[derive(Clone, Debug)]
pub struct AuthOptions {
    /// Folder in the node's state for the vault key and the decrypted keytab (memory file where possible).
    pub folder: PathBuf,
    /// This node's host name, as clients know it: the host part of service names.
    pub host: String,
}

/// Where a sign-on comes from.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Which service.
    pub service: Service,
    /// Peer's address.
    pub address: IpAddr,
    /// Whether the connection is under TLS.
    pub tls: bool,
    /// tls-server-end-point channel binding (RFC 5929): hash of our certificate.
    pub channel_binding: Option<Vec<u8>>,
}

/// Who this is.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The account.
    pub account: Arc<Account>,
    /// How it was proven.
    pub mechanism: Mechanism,
    /// What it may administer.
    pub rights: Rights,
}

/// Whether an account may sign on or stay signed on.
pub(crate) fn usable(account: &Account, now: Timestamp) -> Result<(), Reason> {
    let Some(user) = account.user() else { return Err(Reason::UnknownUser) };
    match &account.state {
        State::Disabled(cause) => Err(Reason::Disabled(cause.clone())),
        State::Enabled if user.expires.is_some_and(|at| at <= now) => Err(Reason::Expired),
        State::Enabled => Ok(()),
    }
}
