//! The one table of mechanisms: which is offered where. Protocols, tests and docs are derived from it.

/// A service that is signed on to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Service {
    /// IMAP.
    Imap,
    /// SMTP submission.
    Submission,
    /// LDAP address book.
    Ldap,
    /// Pages and API.
    Http,
}

impl Service {
    /// Service part of Kerberos principals: `imap/host@REALM`.
    pub const fn kerberos_name(self) -> &'static str {
        match self {
            Self::Imap => "imap",
            Self::Submission => "smtp",
            Self::Ldap => "ldap",
            Self::Http => "HTTP",
        }
    }
}

/// A way to prove an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mechanism {
    /// RFC 4616.
    Plain,
    /// draft-murchison-sasl-login.
    Login,
    /// RFC 4752.
    Gssapi,
    /// MS-SPNG within SASL.
    GssSpnego,
    /// RFC 4559 (HTTP only).
    Negotiate,
    /// A password handed over by the protocol itself: LDAP simple bind, IMAP LOGIN, HTTP form.
    Password,
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct MechanismSpec {
    /// Which.
    pub mechanism: Mechanism,
    /// Its registered SASL or HTTP name.
    pub name: &'static str,
    /// Where it is offered.
    pub services: &'static [Service],
    /// Only under TLS, because a password crosses the wire.
    pub needs_tls: bool,
    /// Only when a keytab is there.
    pub needs_keytab: bool,
}

const SASL: &[Service] = &[Service::Imap, Service::Submission, Service::Ldap];

/// All mechanisms, strongest first.
pub const MECHANISMS: &[MechanismSpec] = &[
    MechanismSpec {
        mechanism: Mechanism::Gssapi,
        name: "GSSAPI",
        services: SASL,
        needs_tls: false,
        needs_keytab: true,
    },
    MechanismSpec {
        mechanism: Mechanism::GssSpnego,
        name: "GSS-SPNEGO",
        services: SASL,
        needs_tls: false,
        needs_keytab: true,
    },
    MechanismSpec {
        mechanism: Mechanism::Negotiate,
        name: "Negotiate",
        services: &[Service::Http],
        needs_tls: true,
        needs_keytab: true,
    },
    MechanismSpec {
        mechanism: Mechanism::Plain,
        name: "PLAIN",
        services: SASL,
        needs_tls: true,
        needs_keytab: false,
    },
    MechanismSpec {
        mechanism: Mechanism::Login,
        name: "LOGIN",
        services: &[Service::Imap, Service::Submission],
        needs_tls: true,
        needs_keytab: false,
    },
];
