//! Why a sign-on fails, and what the client may know of it.

use serde::Serialize;

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
    /// Too many sign-ons are being checked at this moment.
    #[error("too many sign-ons at once")]
    Busy,
    /// Anything else that Kerberos says.
    #[error("{0}")]
    Kerberos(String),
}

impl Reason {
    /// What the client may know.
    pub fn public(&self) -> &'static str {
        match self {
            Self::DirectoryDown(_) | Self::Busy => {
                "sign-on is not available at the moment, try again later"
            }
            Self::NotAvailable(_) => "this mechanism is not available, or not without TLS",
            Self::Malformed(_) => "malformed sign-on",
            Self::Cancelled => "cancelled",
            _ => "sign-on failed",
        }
    }

    /// Whether the same attempt may work later (a temporary reply code).
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::DirectoryDown(_) | Self::Busy)
    }

    /// A short word for metrics; a closed set.
    pub fn label(&self) -> &'static str {
        match self {
            Self::WrongPassword => "wrong_password",
            Self::UnknownUser => "unknown_user",
            Self::NotMapped(_) => "not_mapped",
            Self::Disabled(_) => "disabled",
            Self::Expired => "expired",
            Self::PasswordExpired => "password_expired",
            Self::LockedOut(_) => "locked_out",
            Self::NotAvailable(_) => "not_available",
            Self::Malformed(_) => "malformed",
            Self::ClockSkew(_) => "clock_skew",
            Self::WrongService(_) => "wrong_service",
            Self::NoKey(_) => "no_key",
            Self::TicketTime(_) => "ticket_time",
            Self::ChannelBinding => "channel_binding",
            Self::Replay => "replay",
            Self::DirectoryDown(_) => "directory_down",
            Self::NotAuthorized(_) => "not_authorized",
            Self::Cancelled => "cancelled",
            Self::Busy => "busy",
            Self::Kerberos(_) => "kerberos",
        }
    }

    /// Whether this was a guess at a password, and counts for the lock-out.
    pub(crate) fn is_guess(&self) -> bool {
        matches!(self, Self::WrongPassword | Self::UnknownUser)
    }
}
