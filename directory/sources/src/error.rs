//! Why a source could not be read, with what to do about it.

use futures_util::FutureExt;

/// Why a source could not be read. The text names the cause; [`SourceError::remedy`] says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// No controller is listed, and DNS names none.
    #[error("no domain controllers of {domain} were found: {cause}")]
    NoControllers {
        /// The directory's domain.
        domain: String,
        /// What DNS said.
        cause: String,
    },
    /// A controller's name has no address.
    #[error("the host {host} was not found: {cause}")]
    HostNotFound {
        /// Its name.
        host: String,
        /// What DNS said.
        cause: String,
    },
    /// A controller does not answer, or no longer.
    #[error("{host} does not answer: {cause}")]
    Unreachable {
        /// Controller.
        host: String,
        /// What happened.
        cause: String,
    },
    /// The certificate comes from an authority that is not trusted.
    #[error("the certificate of {host} is not from a trusted authority: {cause}")]
    NotTrusted {
        /// Controller.
        host: String,
        /// What was wrong.
        cause: String,
    },
    /// The certificate is for another name.
    #[error("the certificate of {host} is for another name")]
    WrongName {
        /// Controller.
        host: String,
    },
    /// The certificate has expired or is not valid yet, by the clock of this node.
    #[error("the certificate of {host} is not valid at this node's time")]
    NotValidNow {
        /// Controller.
        host: String,
    },
    /// TLS failed otherwise.
    #[error("no TLS with {host}: {cause}")]
    Tls {
        /// Controller.
        host: String,
        /// What was wrong.
        cause: String,
    },
    /// The text of the certificate authority is no PEM certificate.
    #[error("the certificate authority of the source is not a PEM certificate")]
    BadAuthority,
    /// Name or password of the account for reading are wrong.
    #[error("the directory refuses the name or the password of the account for reading")]
    WrongPassword,
    /// The account for reading may not sign on.
    #[error("the directory does not let the account for reading sign on: {0}")]
    AccountRefused(String),
    /// The password of the source cannot be decrypted on this node.
    #[error("the stored password of the source cannot be decrypted")]
    NoPassword,
    /// The search base does not exist there.
    #[error("the search base {0} does not exist in the directory")]
    NoSuchBase(String),
    /// The filter is not an LDAP filter (RFC 4515).
    #[error("{0:?} is not an LDAP filter")]
    BadFilter(String),
    /// The answer ended before it was complete.
    #[error("the answer of {host} broke off: {cause}")]
    Interrupted {
        /// Controller.
        host: String,
        /// What happened.
        cause: String,
    },
    /// The controller answered with an error.
    #[error("{host} refuses to answer: {text} (result {code})")]
    Refused {
        /// Controller.
        host: String,
        /// LDAP result code (RFC 4511 §4.1.9).
        code: u32,
        /// Its text.
        text: String,
    },
    /// The answer is not what an Active Directory gives.
    #[error("{host} does not answer like an Active Directory: {cause}")]
    Garbled {
        /// Controller.
        host: String,
        /// What was wrong.
        cause: String,
    },
    /// The source was read, but the result could not be written here.
    #[error("what was read could not be written: {0}")]
    NotWritten(String),
    /// The answer is larger than the limits allow.
    #[error("the directory has more than {0}")]
    TooLarge(String),
}

impl SourceError {
    /// What the administrator can do.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::NoControllers { .. } => {
                "Check the name of the directory's domain and that this node asks a DNS server that knows it, or list the controllers."
            }
            Self::HostNotFound { .. } => {
                "Check the spelling of the controller and the DNS server of this node."
            }
            Self::Unreachable { .. } => {
                "Check that the controller runs and that no firewall blocks port 636 (LDAPS) or 389 (StartTLS)."
            }
            Self::NotTrusted { .. } => {
                "Give the certificate (PEM) of the authority that signed the controller's certificate."
            }
            Self::WrongName { .. } => {
                "List the controller by the DNS name that is in its certificate, not by its address."
            }
            Self::NotValidNow { .. } => {
                "Check the clock of this node; if it is right, the controller needs a new certificate."
            }
            Self::Tls { .. } => {
                "Check that the controller offers TLS 1.2 or 1.3 on this port: it needs a certificate for LDAPS and StartTLS."
            }
            Self::BadAuthority => "Paste the whole text from BEGIN CERTIFICATE to END CERTIFICATE.",
            Self::WrongPassword => {
                "Check both; the name may be written user@domain, DOMAIN\\user or as a distinguished name."
            }
            Self::AccountRefused(_) => "Mend the account in the directory, or use another one.",
            Self::NoPassword => "Enter the password of the account for reading again.",
            Self::NoSuchBase(_) => {
                "Check the distinguished name, or leave the base empty for the whole domain."
            }
            Self::BadFilter(_) => "Write the filter as in (department=Sales), brackets in pairs.",
            Self::Interrupted { .. } => {
                "Nothing to do if it is rare: nobody was removed, and it is tried again."
            }
            Self::Refused { .. } => {
                "See the controller's log; the account for reading may lack the right to read."
            }
            Self::Garbled { .. } => "Check that host and port are those of a domain controller.",
            Self::NotWritten(_) => {
                "It is tried again; see the state of the domain group and the disk."
            }
            Self::TooLarge(_) => "Map a part of the directory by a base or a filter.",
        }
    }

    /// Whether asking another controller may help.
    pub(crate) fn another_may_help(&self) -> bool {
        match self {
            Self::HostNotFound { .. }
            | Self::Unreachable { .. }
            | Self::NotTrusted { .. }
            | Self::WrongName { .. }
            | Self::NotValidNow { .. }
            | Self::Tls { .. }
            | Self::Interrupted { .. }
            | Self::Refused { .. }
            | Self::Garbled { .. } => true,
            // A wrong password tried at every controller would lock the account.
            Self::WrongPassword | Self::AccountRefused(_) => false,
            Self::NoControllers { .. }
            | Self::BadAuthority
            | Self::NoPassword
            | Self::NoSuchBase(_)
            | Self::BadFilter(_)
            | Self::NotWritten(_)
            | Self::TooLarge(_) => false,
        }
    }

    /// Cause and remedy as one text.
    pub fn explain(&self) -> String {
        format!("{self}. {}", self.remedy())
    }
}

/// Runs a reading. The protocol library panics on some answers that break the protocol; that ends this reading, not more.
pub(crate) async fn guarded<T>(
    host: &str,
    reading: impl Future<Output = Result<T, SourceError>>,
) -> Result<T, SourceError> {
    std::panic::AssertUnwindSafe(reading).catch_unwind().await.unwrap_or_else(|_| {
        Err(SourceError::Garbled { host: host.to_owned(), cause: "it breaks the protocol".into() })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_in_a_reading_becomes_its_error() {
        let reading = async { Vec::<Result<u8, SourceError>>::new().remove(0) };
        let error = guarded("dc1", reading).await.unwrap_err();
        assert!(matches!(error, SourceError::Garbled { .. }), "{error}");
        assert_eq!(guarded("dc1", async { Ok(1) }).await, Ok(1));
    }
}
