//! Causes of failed sign-ons: what to say, and what to do. Written here only.

use crate::Reason;

/// Why, as far as an administrator can do something about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    WrongPassword,
    UnknownUser,
    NotMapped,
    Disabled,
    Expired,
    PasswordExpired,
    LockedOut,
    NotOffered,
    NtlmOnly,
    Malformed,
    ClockSkew,
    TicketTime,
    OtherService,
    OtherHost,
    OtherRealm,
    NameNotInKeytab,
    OldTicket,
    OldKeytab,
    EncryptionType,
    WeakEncryption,
    KeyDoesNotFit,
    ChannelBinding,
    Replay,
    DirectoryDown,
    NotAuthorized,
    Busy,
    Cancelled,
    Other,
}

impl Cause {
    /// A sentence that says it, and a sentence that says what to do.
    pub(crate) const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::WrongPassword => (
                "The password is wrong.",
                "Let the user type it anew; look for a device that still has an old password.",
            ),
            Self::UnknownUser => (
                "No user has this name.",
                "Check the spelling; a name without a domain belongs to the primary domain. Look at the source's last reading if the user is new.",
            ),
            Self::NotMapped => (
                "The ticket is good, but no user of ours is this principal.",
                "Check that the user is within the source's search base and filter, and that the source was read since the user was made.",
            ),
            Self::Disabled => (
                "The account is disabled.",
                "Enable it where it was disabled: here, or in the directory.",
            ),
            Self::Expired => (
                "The account has expired.",
                "Set a new end date in the directory (accountExpires).",
            ),
            Self::PasswordExpired => (
                "The password has expired or must be changed at the next sign-on.",
                "Let the user change it at a computer of the domain; it cannot be changed here.",
            ),
            Self::LockedOut => (
                "There were too many failed sign-ons.",
                "Find where they came from, then unlock it (or wait until the lock ends); a lock of the directory is ended there.",
            ),
            Self::NotOffered => (
                "The mechanism is not offered on this connection.",
                "Let the client use TLS, or another mechanism; Kerberos needs a keytab.",
            ),
            Self::NtlmOnly => (
                "The client offered NTLM and no Kerberos ticket.",
                "The client got no ticket: check that it uses our full host name (not an address or an alias), that this name has a service principal (setspn -Q), and that the computer reaches a domain controller.",
            ),
            Self::Malformed => (
                "The client's message is not what the mechanism asks for.",
                "Update the client, or let it use another mechanism.",
            ),
            Self::ClockSkew => (
                "The clocks of the client and of this node differ by more than five minutes.",
                "Compare both with the domain controller's; let both follow the same time server.",
            ),
            Self::TicketTime => (
                "The ticket is not valid at this time.",
                "Check this node's clock first; then let the user sign off and on, which gets new tickets.",
            ),
            Self::OtherService => (
                "The ticket is for another service.",
                "Check the client's server type and whether an alias leads it to the wrong port.",
            ),
            Self::OtherHost => (
                "The ticket is for another host.",
                "Let the client use our host name; or register this name as a service principal (setspn -S) and make a keytab that has it.",
            ),
            Self::OtherRealm => (
                "The ticket is from a realm that the keytab has no key of.",
                "Add a keytab of that realm, or let the client use a host name that belongs to our realm.",
            ),
            Self::NameNotInKeytab => (
                "The keytab has no key under the ticket's service name.",
                "Make a keytab that has this service principal, and upload it.",
            ),
            Self::OldTicket => (
                "The ticket is older than the keytab: it was made with an earlier key.",
                "Let the user sign off and on, or purge the tickets (klist purge); it ends by itself when the ticket expires. Keep old keys in a new keytab for a day.",
            ),
            Self::OldKeytab => (
                "The keytab is older than the ticket: the service account's password was changed since.",
                "Make a new keytab and upload it.",
            ),
            Self::EncryptionType => (
                "The keytab has no key of the ticket's encryption type.",
                "Make the keytab with all AES types, or set the service account's msDS-SupportedEncryptionTypes to what the keytab has.",
            ),
            Self::WeakEncryption => (
                "The ticket is encrypted with RC4 or DES, which are not taken.",
                "Allow AES for the service account (msDS-SupportedEncryptionTypes 24), set its password anew so that AES keys are made, and make a new keytab.",
            ),
            Self::KeyDoesNotFit => (
                "Name, version and type fit, but the key does not.",
                "The service principal may be on two accounts (setspn -X finds duplicates), or the keytab was made for another account; make a new one.",
            ),
            Self::ChannelBinding => (
                "The client's TLS connection ends somewhere else than here.",
                "A proxy or a scanner that opens TLS stands between; if there should be none, somebody attacks.",
            ),
            Self::Replay => (
                "The same authenticator was sent twice.",
                "A client that repeats is broken; from another address it is an attack.",
            ),
            Self::DirectoryDown => (
                "No controller of the directory answered.",
                "Check the source's controllers, their certificates and the network; tickets and local users work meanwhile.",
            ),
            Self::NotAuthorized => (
                "The client asked to act as somebody else.",
                "Leave the authorization name empty, or make it the same user.",
            ),
            Self::Busy => (
                "Too many sign-ons were being checked at that moment.",
                "It passes by itself; if it does not, look for a flood of failures.",
            ),
            Self::Cancelled => ("The client gave up.", "Nothing, unless it happens always."),
            Self::Other => ("The Kerberos library refused the ticket.", "Its text says more."),
        }
    }

    /// What the reason alone tells.
    pub(crate) fn of(reason: &Reason) -> Self {
        match reason {
            Reason::WrongPassword => Self::WrongPassword,
            Reason::UnknownUser => Self::UnknownUser,
            Reason::NotMapped(_) => Self::NotMapped,
            Reason::Disabled(_) => Self::Disabled,
            Reason::Expired => Self::Expired,
            Reason::PasswordExpired => Self::PasswordExpired,
            Reason::LockedOut(_) => Self::LockedOut,
            Reason::NotAvailable(what) if what == "NTLM" => Self::NtlmOnly,
            Reason::NotAvailable(_) => Self::NotOffered,
            Reason::Malformed(_) => Self::Malformed,
            Reason::ClockSkew(_) => Self::ClockSkew,
            Reason::WrongService(_) => Self::OtherService,
            Reason::NoKey(_) => Self::NameNotInKeytab,
            Reason::TicketTime(_) => Self::TicketTime,
            Reason::ChannelBinding => Self::ChannelBinding,
            Reason::Replay => Self::Replay,
            Reason::DirectoryDown(_) => Self::DirectoryDown,
            Reason::NotAuthorized(_) => Self::NotAuthorized,
            Reason::Cancelled => Self::Cancelled,
            Reason::Busy => Self::Busy,
            Reason::Kerberos(_) => Self::Other,
        }
    }
}
