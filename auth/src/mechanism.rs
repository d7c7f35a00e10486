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
    /// How it is called in docs.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Imap => "IMAP",
            Self::Submission => "SMTP submission",
            Self::Ldap => "LDAP",
            Self::Http => "HTTP",
        }
    }

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

impl Service {
    /// Service names that clients ask tickets for; Outlook asks for `SMTPSVC`. Compared without case, as Active Directory does.
    pub const fn accepted_names(self) -> &'static [&'static str] {
        match self {
            Self::Imap => &["imap"],
            Self::Submission => &["smtp", "SMTPSVC"],
            Self::Ldap => &["ldap"],
            Self::Http => &["HTTP"],
        }
    }
}

/// A way to prove an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
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

impl Mechanism {
    /// Its name in [`MECHANISMS`]; `password` for [`Mechanism::Password`].
    pub fn name(self) -> &'static str {
        let row = MECHANISMS.iter().find(|spec| spec.mechanism == self);
        row.map_or("password", |spec| spec.name)
    }
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

/// The table as Markdown, for the docs.
pub fn mechanisms_markdown() -> String {
    let mut out =
        String::from("| mechanism | offered by | TLS | keytab |\n| --- | --- | --- | --- |\n");
    let needed = |needed| if needed { "needed" } else { "" };
    for spec in MECHANISMS {
        let services: Vec<_> = spec.services.iter().map(|service| service.title()).collect();
        let (tls, keytab) = (needed(spec.needs_tls), needed(spec.needs_keytab));
        out += &format!("| {} | {} | {tls} | {keytab} |\n", spec.name, services.join(", "));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guide_shows_the_table_of_the_code() {
        let table = mechanisms_markdown();
        println!("{table}");
        let guide = include_str!("../../docs/guide/kerberos.md");
        assert!(guide.contains(&table), "put this into docs/guide/kerberos.md:\n{table}");
    }

    #[test]
    fn whatever_sends_a_password_needs_tls_and_names_are_unique() {
        for (at, spec) in MECHANISMS.iter().enumerate() {
            let sends_password = matches!(spec.mechanism, Mechanism::Plain | Mechanism::Login);
            assert!(spec.needs_tls || !sends_password, "{}", spec.name);
            assert!(MECHANISMS[..at].iter().all(|other| other.name != spec.name));
        }
    }
}
