//! The one entry for all protocols.

use std::{net::IpAddr, path::PathBuf, sync::Arc};

use posthouse_cluster::Timestamp;
use posthouse_directory::{Account, AccountId, Directory, PasswordVerifier, Rights};
use serde::Serialize;

use crate::{Mechanism, Service};

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

/// Why a sign-on failed: for the log and `auth explain`. The client learns only [`Reason::public`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize)]
pub enum Reason {
    /// Unknown user, wrong password: not told apart to the client.
    #[error("wrong name or password")]
    WrongPassword,
    /// No such user here.
    #[error("no such user")]
    UnknownUser,
    /// The ticket is good, but nobody in the directory has this principal.
    #[error("nobody in the directory is {0}")]
    NotMapped(String),
    /// Disabled here or in the directory.
    #[error("the account is disabled: {0}")]
    Disabled(String),
    /// The account has expired.
    #[error("the account has expired")]
    Expired,
    /// The password has expired or must be changed.
    #[error("the password has expired or must be changed")]
    PasswordExpired,
    /// Locked out here after failures, or in the directory.
    #[error("locked out: {0}")]
    LockedOut(String),
    /// Mechanism not offered here, or not without TLS.
    #[error("{0} is not available here")]
    NotAvailable(String),
    /// The client's bytes make no sense.
    #[error("the client sent a malformed message: {0}")]
    Malformed(String),
    /// Clock skew, in words with the numbers.
    #[error("the clocks differ too much: {0}")]
    ClockSkew(String),
    /// The ticket is for another service.
    #[error("the ticket is for {0}")]
    WrongService(String),
    /// The key that the ticket needs is not in the keytab (kvno, enctype, name).
    #[error("no key for the ticket: {0}")]
    NoKey(String),
    /// The ticket has expired or is not yet valid.
    #[error("the ticket is not valid now: {0}")]
    TicketTime(String),
    /// Channel bindings do not match: somebody sits in the middle.
    #[error("channel bindings do not match")]
    ChannelBinding,
    /// The authenticator was seen before.
    #[error("the authenticator was used before")]
    Replay,
    /// No controller answered.
    #[error("the directory is not available: {0}")]
    DirectoryDown(String),
    /// The client asked to act as somebody else.
    #[error("may not act as {0}")]
    NotAuthorized(String),
    /// The client gave up.
    #[error("cancelled by the client")]
    Cancelled,
    /// Anything else that Kerberos says.
    #[error("{0}")]
    Kerberos(String),
}

impl Reason {
    /// What the client may know.
    pub fn public(&self) -> &'static str {
        match self {
            Self::DirectoryDown(_) => "sign-on is not available at the moment, try again later",
            Self::NotAvailable(_) => "this mechanism is not available, or not without TLS",
            Self::Malformed(_) => "malformed sign-on",
            Self::Cancelled => "cancelled",
            _ => "sign-on failed",
        }
    }

    /// Whether the same attempt may work later (a temporary reply code).
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::DirectoryDown(_))
    }
}

/// A failed sign-on as kept for `auth explain`. No secrets: of a ticket only the cleartext outside.
#[derive(Clone, Debug, Serialize)]
pub struct FailureRecord {
    /// When.
    pub at: Timestamp,
    /// Which service (Kerberos name).
    pub service: String,
    /// From where.
    pub address: IpAddr,
    /// Mechanism name.
    pub mechanism: String,
    /// Name or principal that was tried, where known; escaped.
    pub name: String,
    /// Why it failed.
    pub reason: Reason,
    /// What was found out: one sentence each.
    pub findings: Vec<String>,
    /// What to do: one sentence each.
    pub remedies: Vec<String>,
}

/// What comes next in a SASL exchange.
#[derive(Debug)]
pub enum Step {
    /// Send this to the client and wait for its answer.
    Challenge(Vec<u8>),
    /// Signed on. `last` goes to the client with the success (or as a last challenge where the protocol has no
    /// success data).
    Done {
        /// Who.
        identity: Identity,
        /// Data with success.
        last: Option<Vec<u8>>,
    },
    /// Refused. Already counted, logged and recorded.
    Failed(Reason),
}

/// Answers every protocol in the same way. Cheap to clone.
#[derive(Clone)]
pub struct Authenticator {}

impl Authenticator {
    /// Opens the vault and prepares the keytab, if there is one. Follows the directory's updates.
    pub async fn open(directory: Directory, options: AuthOptions) -> Result<Self, String> {
        let _ = (directory, options);
        unimplemented!()
    }

    /// Mechanism names to offer now to a connection like `origin`, strongest first.
    pub fn offered(&self, origin: &Origin) -> Vec<&'static str> {
        let _ = origin;
        unimplemented!()
    }

    /// Starts a SASL exchange (or HTTP Negotiate) by mechanism name, any case. [`Reason::NotAvailable`] if it is not offered.
    pub fn start(&self, mechanism: &str, origin: Origin) -> Result<Exchange, Reason> {
        let _ = (mechanism, origin);
        unimplemented!()
    }

    /// Verifies a password that the protocol itself brought (IMAP LOGIN, LDAP simple bind, HTTP form). Equal time and
    /// equal [`Reason::public`] for unknown user and wrong password.
    pub async fn password(
        &self,
        name: &str,
        password: &str,
        origin: &Origin,
    ) -> Result<Identity, Reason> {
        let _ = (name, password, origin);
        unimplemented!()
    }

    /// Checks again that an identity of a running session may go on (enabled, not expired).
    pub fn still_valid(&self, account: AccountId) -> bool {
        let _ = account;
        unimplemented!()
    }

    /// Makes a verifier for a new local password: argon2id, on the blocking pool.
    pub async fn hash_password(&self, password: &str) -> PasswordVerifier {
        let _ = password;
        unimplemented!()
    }

    /// Makes a web session for a signed-on identity: an opaque token, replicated by its hash.
    pub async fn create_session(&self, identity: &Identity) -> Result<String, Reason> {
        let _ = identity;
        unimplemented!()
    }

    /// The identity behind a web session token.
    pub fn session(&self, token: &str) -> Option<Identity> {
        let _ = token;
        unimplemented!()
    }

    /// Ends a web session.
    pub async fn end_session(&self, token: &str) {
        let _ = token;
        unimplemented!()
    }

    /// Stores a keytab (encrypted, replicated) and takes it into use. The error says what is wrong with it.
    pub async fn put_keytab(
        &self,
        actor: posthouse_directory::Actor,
        keytab: &[u8],
    ) -> Result<Vec<String>, String> {
        let _ = (actor, keytab);
        unimplemented!()
    }

    /// Entries of the present keytab: principal, kvno, enctype, in words.
    pub fn keytab(&self) -> Vec<String> {
        unimplemented!()
    }

    /// Encrypts a secret for the replicated directory with a key that stays in the node's folder.
    pub fn seal(&self, context: &str, secret: &[u8]) -> Vec<u8> {
        let _ = (context, secret);
        unimplemented!()
    }

    /// Decrypts what [`Authenticator::seal`] made.
    pub fn unseal(&self, context: &str, ciphertext: &[u8]) -> Option<Vec<u8>> {
        let _ = (context, ciphertext);
        unimplemented!()
    }

    /// The newest failures, newest first; only of `name` if given.
    pub fn failures(&self, name: Option<&str>, limit: usize) -> Vec<FailureRecord> {
        let _ = (name, limit);
        unimplemented!()
    }

    /// Unlocks an account that was locked out here.
    pub async fn unlock(&self, name: &str) {
        let _ = name;
        unimplemented!()
    }
}

/// One SASL exchange. Dropped: cancelled.
pub struct Exchange {}

impl Exchange {
    /// Whether the server speaks first when there is no initial response (LOGIN does, with a prompt; GSSAPI sends an empty challenge).
    pub fn first_challenge(&mut self) -> Vec<u8> {
        unimplemented!()
    }

    /// Takes the client's next message (decoded from base64; bounded by the caller to 64 KiB).
    pub async fn step(&mut self, input: &[u8]) -> Step {
        let _ = input;
        unimplemented!()
    }
}
