//! What the Kerberos library says, as one of our reasons.

use crate::Reason;

/// Routine errors stand in these bits of the major status (RFC 2744 §3.9.1).
const ROUTINE_ERROR: u32 = 0x00ff_0000;
const BAD_MECH: u32 = 1 << 16;
const BAD_BINDINGS: u32 = 4 << 16;
const DEFECTIVE_TOKEN: u32 = 9 << 16;
/// GSS_S_DUPLICATE_TOKEN, a supplementary bit.
const DUPLICATE_TOKEN: u32 = 2;

/// A failed call: its status, and its text as of the thread that made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GssError {
    pub(crate) major: u32,
    pub(crate) text: String,
}

impl From<libgssapi::error::Error> for GssError {
    /// The library keeps texts by thread: convert where the error came up.
    fn from(error: libgssapi::error::Error) -> Self {
        Self { major: error.major.bits(), text: essence(&error.to_string()).to_owned() }
    }
}

/// The mechanism's text without the phrase that the library wraps it in.
fn essence(text: &str) -> &str {
    let inner =
        text.strip_prefix("Unspecified GSS failure.  Minor code may provide more information (");
    inner.and_then(|inner| inner.strip_suffix(')')).unwrap_or(text)
}

/// A piece of the library's text, and the reason that it means.
type Meaning = (&'static str, fn(String) -> Reason);

/// What the library's text holds → what it means. The first that fits counts. (MIT krb5 1.20; the lab test shows when a version
/// words it otherwise.)
const TEXTS: &[Meaning] = &[
    ("Clock skew too great", |_| {
        Reason::ClockSkew("the client's clock and ours differ by more than five minutes".to_owned())
    }),
    ("Ticket not yet valid", Reason::TicketTime),
    ("Ticket expired", Reason::TicketTime),
    ("replay", |_| Reason::Replay),
    ("hannel binding", |_| Reason::ChannelBinding),
    ("Wrong principal", Reason::WrongService),
    ("Request ticket server", Reason::NoKey),
    ("No key table entry", Reason::NoKey),
    ("ey version", Reason::NoKey),
    ("Cannot decrypt ticket", Reason::NoKey),
    ("Decrypt integrity check failed", Reason::NoKey),
    ("ncryption type", Reason::NoKey),
    ("unavailable", Reason::DirectoryDown),
    ("Cannot contact any KDC", Reason::DirectoryDown),
    ("Cannot find KDC", Reason::DirectoryDown),
    ("unable to reach any KDC", Reason::DirectoryDown),
];

/// The same for a KDC's answer to a password. A KDC says no more than "revoked" for disabled, expired and locked accounts.
const PASSWORD_TEXTS: &[Meaning] = &[
    ("Preauthentication failed", |_| Reason::WrongPassword),
    ("Password incorrect", |_| Reason::WrongPassword),
    ("Decrypt integrity check failed", |_| Reason::WrongPassword),
    ("not found in Kerberos database", |_| Reason::WrongPassword),
    ("Password has expired", |_| Reason::PasswordExpired),
    ("revoked", |_| Reason::Disabled("disabled, expired or locked in the directory".to_owned())),
    ("Clock skew too great", |_| {
        Reason::DirectoryDown("the clocks of the KDC and of this node differ too much".to_owned())
    }),
];

impl GssError {
    /// The reason for a password that a KDC did not take.
    pub(crate) fn password_reason(&self) -> Reason {
        let known = PASSWORD_TEXTS.iter().find(|(fragment, _)| self.text.contains(fragment));
        known.map_or_else(
            || Reason::DirectoryDown(self.text.clone()),
            |(_, reason)| reason(self.text.clone()),
        )
    }

    /// The reason for a failed sign-on.
    pub(crate) fn reason(&self) -> Reason {
        match self.major & ROUTINE_ERROR {
            BAD_BINDINGS => return Reason::ChannelBinding,
            BAD_MECH => return Reason::NotAvailable("the mechanism of the token".to_owned()),
            _ if self.major & DUPLICATE_TOKEN != 0 => return Reason::Replay,
            _ => {}
        }
        for (fragment, reason) in TEXTS {
            if self.text.contains(fragment) {
                return reason(self.text.clone());
            }
        }
        match self.major & ROUTINE_ERROR {
            DEFECTIVE_TOKEN => Reason::Malformed(self.text.clone()),
            _ => Reason::Kerberos(self.text.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_told_without_their_wrapping() {
        let wrapped =
            "Unspecified GSS failure.  Minor code may provide more information (Clock skew (10 m))";
        assert_eq!(essence(wrapped), "Clock skew (10 m)");
        assert_eq!(
            essence("Incorrect channel bindings were supplied"),
            "Incorrect channel bindings were supplied"
        );
    }

    #[test]
    fn what_the_library_says_becomes_a_reason() {
        for (major, text, label) in [
            (13 << 16, "Unspecified GSS failure (Clock skew too great)", "clock_skew"),
            (13 << 16, "… (Ticket not yet valid)", "ticket_time"),
            (12 << 16, "… (Ticket expired)", "ticket_time"),
            (13 << 16, "… (Request is a replay)", "replay"),
            (2, "The token was a duplicate of an earlier token", "replay"),
            (4 << 16, "Incorrect channel bindings were supplied", "channel_binding"),
            (
                13 << 16,
                "Request ticket server imap/x@R not found in keytab (ticket kvno 2)",
                "no_key",
            ),
            (
                13 << 16,
                "Request ticket server imap/x@R kvno 2 found in keytab but not with enctype rc4-hmac",
                "no_key",
            ),
            (13 << 16, "No key table entry found matching imap/x", "no_key"),
            (13 << 16, "Wrong principal in request", "wrong_service"),
            (1 << 16, "An unsupported mechanism was requested", "not_available"),
            (9 << 16, "A token was invalid", "malformed"),
            (13 << 16, "something new", "kerberos"),
        ] {
            let error = GssError { major, text: text.to_owned() };
            assert_eq!(error.reason().label(), label, "{text}");
        }
    }
}
