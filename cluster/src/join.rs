//! How a new node becomes one of the cluster: it knocks with a code that a member made.
//!
//! The code names addresses, the fingerprint of the cluster's authority, an invite and a secret. The new node
//! believes only a server whose certificate is of that authority, so a fake cluster hears nothing. It proves
//! the secret by a signature with a key derived from it, over keying material exported from this very TLS
//! connection (RFC 8446 §7.5, RFC 9266) and its whole request: the secret never crosses, and what a relay
//! sees is good nowhere else. What the directory stores is the public half ([`SecretVerifier`]): whoever
//! reads it, or a stolen backup, cannot join with it.

pub(crate) mod code;
pub(crate) mod codec;
pub(crate) mod fuzz;
mod knock;
pub(crate) mod serve;
mod session;
mod trust;
mod wire;

use std::net::SocketAddr;

use zeroize::Zeroizing;

use crate::{NodeId, env::BoxFuture, link::Peer};

pub use code::{CodeError, InviteCode, SecretVerifier};
pub use knock::{JoinError, knock};

/// Number of an invite.
pub type InviteId = [u8; 16];

/// What a new node says about itself.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct JoinRequest {
    /// Its host name.
    pub host: String,
    /// The site that it belongs to; nothing: the site of the member that answers.
    pub site: Option<String>,
    /// Addresses (`host:port`) at which other nodes reach it; empty: the address that it knocks from.
    pub addresses: Vec<String>,
    /// Version of its program.
    pub version: String,
    /// Highest level that it knows.
    pub level: u32,
    /// Its public key (SubjectPublicKeyInfo, DER). [`knock`] fills it in; that the node has the private half
    /// is proven when [`Door::admit`] sees it.
    pub public_key: Vec<u8>,
}

/// What a new node gets.
#[derive(Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Admission {
    /// Its number.
    pub node: NodeId,
    /// The number of its first store.
    pub store: u64,
    /// Name of the cluster.
    pub cluster: String,
    /// Its certificate (DER).
    pub certificate: Vec<u8>,
    /// Certificates (DER) of the authorities that count.
    pub authorities: Vec<Vec<u8>>,
    /// The key of the cluster's vault. Secret.
    pub vault_key: Zeroizing<Vec<u8>>,
    /// The nodes that there are.
    pub peers: Vec<Peer>,
    /// The level that the cluster works at.
    pub level: u32,
}

impl std::fmt::Debug for Admission {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Admission of {} to {:?}", self.node, self.cluster)
    }
}

/// Why a member refuses a new node. The texts are for the administrator who typed the code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, serde::Serialize, serde::Deserialize)]
pub enum JoinRefusal {
    /// Another node has used the invite.
    #[error("this code has been used already: make a new one with `posthouse cluster invite`")]
    Used,
    /// Too old.
    #[error("this code has expired: make a new one with `posthouse cluster invite`")]
    Expired,
    /// Taken back by an administrator.
    #[error("this code was revoked: make a new one with `posthouse cluster invite`")]
    Revoked,
    /// No such invite.
    #[error(
        "the cluster knows no such code: it was deleted, or it is of an older state of the cluster; make a new one with `posthouse cluster invite`"
    )]
    Unknown,
    /// The secret is another one, or somebody stands between the two nodes.
    #[error(
        "the proof of the code's secret is wrong: the code was changed, or something between the two nodes opens their connection"
    )]
    BadProof,
    /// The new node's program is too old.
    #[error(
        "the cluster works at level {needs}, which this program does not know: install a newer one"
    )]
    Level {
        /// The level that it must know.
        needs: u32,
    },
    /// The request is not as it should be; the text says what.
    #[error("the cluster does not accept what this node says about itself: {0}")]
    Invalid(String),
    /// It cannot be done at the moment; the text says why. Try again.
    #[error("the cluster cannot admit a node at the moment: {0}")]
    NotNow(String),
}

/// Decides on new nodes: the part of joining that knows the directory.
pub trait Door: Send + Sync + 'static {
    /// What proves the secret of an invite; also of one that is used, expired or revoked, as long as it is
    /// remembered: only who proves the secret learns what became of it. Nothing: there is no such invite.
    fn verifier(&self, invite: &InviteId) -> Option<SecretVerifier>;

    /// Admits a node whose proof was right. The same invite with the same public key gets the same answer
    /// again (the new node may not have got the first one).
    fn admit(
        &self,
        invite: InviteId,
        request: JoinRequest,
        from: SocketAddr,
    ) -> BoxFuture<Result<Admission, JoinRefusal>>;
}

#[cfg(test)]
mod tests;
