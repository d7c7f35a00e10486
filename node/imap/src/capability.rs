//! The one table of capabilities: the greeting, CAPABILITY, ENABLE and the guide are derived from it.

/// In which state of a connection a capability is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Always.
    Always,
    /// Only without TLS.
    Clear,
    /// Only before sign-on.
    Before,
    /// Only after sign-on.
    After,
}

/// One capability.
#[derive(Clone, Copy, Debug)]
pub struct CapabilitySpec {
    /// As it is sent.
    pub name: &'static str,
    /// When.
    pub when: When,
    /// Whether ENABLE takes it (RFC 5161).
    pub can_enable: bool,
    /// Where it is defined.
    pub rfc: &'static str,
}

const fn row(
    name: &'static str,
    when: When,
    can_enable: bool,
    rfc: &'static str,
) -> CapabilitySpec {
    CapabilitySpec { name, when, can_enable, rfc }
}

/// All capabilities, besides AUTH= and APPENDLIMIT=, which come from settings.
pub const CAPABILITIES: &[CapabilitySpec] = &[
    row("IMAP4rev2", When::Always, true, "RFC 9051"),
    row("IMAP4rev1", When::Always, false, "RFC 3501"),
    row("STARTTLS", When::Clear, false, "RFC 9051 §6.2.1"),
    row("LOGINDISABLED", When::Clear, false, "RFC 9051 §6.2.3"),
    row("SASL-IR", When::Before, false, "RFC 4959"),
    row("LITERAL+", When::Always, false, "RFC 7888"),
    row("ID", When::Always, false, "RFC 2971"),
    row("ENABLE", When::Always, false, "RFC 5161"),
    row("IDLE", When::After, false, "RFC 2177"),
    row("NAMESPACE", When::After, false, "RFC 2342"),
    row("UIDPLUS", When::After, false, "RFC 4315"),
    row("MOVE", When::After, false, "RFC 6851"),
    row("UNSELECT", When::After, false, "RFC 3691"),
    row("CHILDREN", When::After, false, "RFC 3348"),
    row("SPECIAL-USE", When::After, false, "RFC 6154"),
    row("CREATE-SPECIAL-USE", When::After, false, "RFC 6154"),
    row("LIST-EXTENDED", When::After, false, "RFC 5258"),
    row("LIST-STATUS", When::After, false, "RFC 5819"),
    row("STATUS=SIZE", When::After, false, "RFC 8438"),
    row("ESEARCH", When::After, false, "RFC 4731"),
    row("SEARCHRES", When::After, false, "RFC 5182"),
    row("CONDSTORE", When::After, true, "RFC 7162"),
    row("QRESYNC", When::After, true, "RFC 7162"),
    row("BINARY", When::After, false, "RFC 3516"),
    row("UTF8=ACCEPT", When::After, true, "RFC 6855"),
    row("COMPRESS=DEFLATE", When::After, false, "RFC 4978"),
    row("QUOTA", When::After, false, "RFC 9208"),
    row("QUOTA=RES-STORAGE", When::After, false, "RFC 9208"),
    row("QUOTA=RES-MESSAGE", When::After, false, "RFC 9208"),
];

/// The state of a connection as far as capabilities depend on it.
#[derive(Clone, Debug, Default)]
pub struct Capabilities {
    /// Under TLS.
    pub tls: bool,
    /// Signed on.
    pub signed_on: bool,
    /// Mechanisms that are offered now.
    pub mechanisms: Vec<&'static str>,
    /// Largest message in bytes.
    pub append_limit: u64,
}

impl Capabilities {
    /// The list, separated by spaces.
    pub fn text(&self) -> String {
        let told = CAPABILITIES.iter().filter(|spec| match spec.when {
            When::Always => true,
            When::Clear => !self.tls && !self.signed_on,
            When::Before => !self.signed_on,
            When::After => self.signed_on,
        });
        let mut names: Vec<String> = told.map(|spec| spec.name.to_owned()).collect();
        if self.signed_on {
            names.push(format!("APPENDLIMIT={}", self.append_limit));
        } else {
            names.extend(self.mechanisms.iter().map(|name| format!("AUTH={name}")));
        }
        names.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_is_invited_before_tls_and_no_mechanism_after_sign_on() {
        for (tls, signed_on, has, has_not) in [
            (false, false, vec!["STARTTLS", "LOGINDISABLED", "AUTH=GSSAPI"], vec!["IDLE"]),
            (true, false, vec!["SASL-IR", "AUTH=GSSAPI"], vec!["STARTTLS", "LOGINDISABLED"]),
            (true, true, vec!["IDLE", "APPENDLIMIT=9"], vec!["AUTH=GSSAPI", "STARTTLS"]),
            (false, true, vec!["IDLE"], vec!["AUTH=GSSAPI", "STARTTLS", "LOGINDISABLED"]),
        ] {
            let mechanisms = vec!["GSSAPI"];
            let text = Capabilities { tls, signed_on, mechanisms, append_limit: 9 }.text();
            let names: Vec<&str> = text.split(' ').collect();
            assert!(has.iter().all(|name| names.contains(name)), "{tls} {signed_on} {text}");
            assert!(!has_not.iter().any(|name| names.contains(name)), "{tls} {signed_on} {text}");
        }
    }
}
