//! Settings and sources.
//!
//! [`SETTINGS`] is the one table of settings: API, command line, pages and docs are derived from it.

use serde::{Deserialize, Serialize};

use crate::{DomainId, SourceId};

/// A change of one setting by name; the value is JSON of the type that the table names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingChange {
    /// Name, such as `smtp.max_message_bytes`.
    pub name: String,
    /// JSON text; `None` goes back to the default.
    pub value: Option<String>,
}

/// What kind of directory a source is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SourceKind {
    /// Active Directory (Microsoft or Samba).
    ActiveDirectory,
}

/// How a connection to a source is protected. Never in clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SourceTls {
    /// LDAPS.
    Ldaps,
    /// StartTLS on the LDAP port.
    StartTls,
}

/// How an external directory is reached and mapped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceSpec {
    /// Its id.
    pub id: SourceId,
    /// Name for administrators.
    pub name: String,
    /// Its kind.
    pub kind: SourceKind,
    /// Mail domain that it is mapped into.
    pub domain: DomainId,
    /// Name of the directory's domain, such as `ad.example.test`; its realm is this in upper case.
    pub directory_domain: String,
    /// Controllers as `host` or `host:port`; empty: found by SRV records of `directory_domain`.
    pub controllers: Vec<String>,
    /// Protection.
    pub tls: SourceTls,
    /// Certificate authorities (PEM) that controllers' certificates must come from; empty: the system's.
    pub ca: String,
    /// Account to bind with: DN, `user@domain` or `DOMAIN\user`.
    pub bind_name: String,
    /// Its password, encrypted by `auth`'s vault.
    pub bind_secret: Vec<u8>,
    /// Where to search; empty: the directory's default naming context.
    pub base: String,
    /// LDAP filter that mapped users must match besides being users; empty: all.
    pub user_filter: String,
    /// Accounts that may disappear in one sync before the administrator is asked, in percent (at least 5 accounts).
    pub removal_threshold_percent: u8,
    /// Whether it is read at all.
    pub enabled: bool,
    /// Progress: opaque watermark of the last complete reading.
    pub watermark: Option<Vec<u8>>,
    /// Last problem in words; empty when all is well.
    pub problem: String,
}

impl SourceSpec {
    /// Context under which `auth`'s vault seals [`SourceSpec::bind_secret`].
    pub const SECRET_CONTEXT: &'static str = "source.bind_secret";

    /// Whether a host that DNS names as controller may be one: it lies in the directory's domain. Whoever forges DNS could
    /// otherwise name a host of his own, for which any public authority has given him a certificate.
    pub fn is_controller_name(&self, host: &str) -> bool {
        let plain = |name: &str| name.trim_end_matches('.').to_ascii_lowercase();
        let (host, domain) = (plain(host), plain(&self.directory_domain));
        !domain.is_empty()
            && host.strip_suffix(&domain).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
    }
}

/// The type and the bounds of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub enum SettingType {
    /// true or false.
    Bool,
    /// Whole number from `min` to `max`.
    Integer {
        /// Smallest value.
        min: u64,
        /// Largest value.
        max: u64,
    },
    /// Text of at most so many bytes.
    Text {
        /// Longest value in bytes.
        max: usize,
    },
}

/// One setting.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct SettingSpec {
    /// Name.
    pub name: &'static str,
    /// Type and bounds.
    pub kind: SettingType,
    /// Default, as JSON.
    pub default: &'static str,
    /// What it does, with its unit.
    pub description: &'static str,
}

macro_rules! settings {
    ($($(#[doc = $doc:literal])* $ident:ident = $name:literal, $kind:expr, $default:literal;)*) => {
        /// All settings.
        pub const SETTINGS: &[SettingSpec] = &[$(SettingSpec {
            name: $name, kind: $kind, default: $default, description: concat!($($doc),*),
        }),*];
        /// Names of settings, for code that reads them: `settings.integer(key::SMTP_MAX_MESSAGE)`.
        pub mod key {
            $($(#[doc = $doc])* pub const $ident: &str = $name;)*
        }
    };
}

/// The row of the table for a setting.
pub fn spec(name: &str) -> Option<&'static SettingSpec> {
    SETTINGS.iter().find(|spec| spec.name == name)
}

/// All settings as a table in Markdown, for the guide.
pub fn settings_markdown() -> String {
    let mut out =
        String::from("| setting | what it is | values | default |\n| --- | --- | --- | --- |\n");
    for spec in SETTINGS {
        let values = match spec.kind {
            SettingType::Bool => "true or false".to_owned(),
            SettingType::Integer { min, max } => format!("{min} to {max}"),
            SettingType::Text { max } => format!("text, {max} bytes"),
        };
        let (name, what, default) = (spec.name, spec.description.trim(), spec.default);
        out += &format!("| `{name}` | {what} | {values} | {default} |\n");
    }
    out
}

impl SettingSpec {
    /// Checks a value against type and bounds and returns it in normal form. The error says what is wrong.
    pub fn check(&self, value: &str) -> Result<String, String> {
        let wrong = |wants: String| format!("{} wants {wants}", self.name);
        match self.kind {
            SettingType::Bool => serde_json::from_str::<bool>(value)
                .map(|value| value.to_string())
                .map_err(|_| wrong("true or false".into())),
            SettingType::Integer { min, max } => serde_json::from_str::<u64>(value)
                .ok()
                .filter(|value| (min..=max).contains(value))
                .map(|value| value.to_string())
                .ok_or_else(|| wrong(format!("a whole number from {min} to {max}"))),
            SettingType::Text { max } => serde_json::from_str::<String>(value)
                .ok()
                .filter(|text| text.len() <= max)
                .map(|text| serde_json::Value::String(text).to_string())
                .ok_or_else(|| wrong(format!("a text of at most {max} bytes, in quotes"))),
        }
    }
}

const fn integer(min: u64, max: u64) -> SettingType {
    SettingType::Integer { min, max }
}

settings! {
    /// Largest message that SMTP and IMAP accept, in bytes.
    SMTP_MAX_MESSAGE = "smtp.max_message_bytes", integer(64 * 1024, 256 << 20), "52428800";
    /// Most recipients of one message.
    SMTP_MAX_RECIPIENTS = "smtp.max_recipients", integer(1, 10_000), "500";
    /// Most Received fields before a message counts as looping.
    SMTP_MAX_HOPS = "smtp.max_hops", integer(5, 200), "100";
    /// Most connections of one address to one service at a time.
    SESSIONS_PER_ADDRESS = "sessions.per_address", integer(1, 100_000), "200";
    /// Most connections to one service at a time.
    SESSIONS_TOTAL = "sessions.total", integer(10, 1_000_000), "10000";
    /// Seconds that a signed-on client may be silent.
    SESSION_IDLE = "sessions.idle_seconds", integer(60, 86_400), "1800";
    /// Failed sign-ons of one account within the window before it is locked out.
    LOCKOUT_ACCOUNT = "auth.lockout.account_failures", integer(3, 1_000), "10";
    /// Failed sign-ons from one address within the window before it is locked out.
    LOCKOUT_ADDRESS = "auth.lockout.address_failures", integer(3, 100_000), "50";
    /// Length of the lock-out and of the window, in seconds.
    LOCKOUT_SECONDS = "auth.lockout.seconds", integer(10, 86_400), "300";
    /// Verify passwords of mapped users by Kerberos, proven against the keytab, instead of an LDAP bind.
    PASSWORD_BY_KERBEROS = "auth.password_by_kerberos", SettingType::Bool, "false";
    /// Seconds after which a web sign-on ends.
    WEB_SESSION = "http.session_seconds", integer(300, 2_592_000), "43200";
    /// Most entries that one address book search returns.
    LDAP_SIZE_LIMIT = "ldap.size_limit", integer(10, 1_000_000), "5000";
    /// Longest time of one address book search, in seconds.
    LDAP_TIME_LIMIT = "ldap.time_limit_seconds", integer(1, 3_600), "30";
    /// Seconds between readings of a source.
    SOURCE_INTERVAL = "sources.interval_seconds", integer(5, 86_400), "30";
    /// Hours after which the sender is told that a message is late.
    QUEUE_DELAY_HOURS = "queue.delay_report_hours", integer(1, 240), "4";
    /// Hours after which a message is given up.
    QUEUE_GIVE_UP_HOURS = "queue.give_up_hours", integer(1, 720), "120";
    /// Default mailbox quota in bytes for new users; 0 is unlimited.
    QUOTA_BYTES = "mailbox.quota_bytes", integer(0, 1 << 50), "0";
    /// Seconds that a node may be out of reach before its part is given to another one.
    CLUSTER_REPLACE_AFTER = "cluster.replace_after_seconds", integer(30, 604_800), "600";
    /// Replicas that new stores get.
    CLUSTER_REPLICAS = "cluster.replicas", integer(1, 5), "3";
    /// Most bytes per second that a node sends to fill a new replica; 0 is unlimited.
    CLUSTER_RESEED_RATE = "cluster.reseed_bytes_per_second", integer(0, 10 << 30), "67108864";
    /// Most bytes per second that moves of mailboxes copy on a node; 0 is unlimited.
    CLUSTER_MOVE_RATE = "cluster.move_bytes_per_second", integer(0, 10 << 30), "67108864";
    /// Mailboxes that a store moves at the same time.
    CLUSTER_MOVES = "cluster.moves_at_once", integer(1, 64), "2";
    /// Minutes that an invitation works.
    CLUSTER_INVITE_MINUTES = "cluster.invite_minutes", integer(1, 10_080), "60";
    /// Port to send to at next hops. 25 but for tests.
    SMTP_REMOTE_PORT = "smtp.remote_port", integer(1, 65_535), "25";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guide_has_the_table_of_settings_as_it_is() {
        let page = include_str!("../../docs/guide/settings.md");
        assert!(
            page.contains(&settings_markdown()),
            "the page should have:\n{}",
            settings_markdown()
        );
    }

    #[test]
    fn controllers_that_dns_names_lie_in_the_domain_of_the_directory() {
        let spec = |domain: &str| SourceSpec {
            id: SourceId(crate::fresh_id()),
            name: String::new(),
            kind: SourceKind::ActiveDirectory,
            domain: crate::DomainId(crate::fresh_id()),
            directory_domain: domain.to_owned(),
            controllers: Vec::new(),
            tls: SourceTls::Ldaps,
            ca: String::new(),
            bind_name: String::new(),
            bind_secret: Vec::new(),
            base: String::new(),
            user_filter: String::new(),
            removal_threshold_percent: 10,
            enabled: true,
            watermark: None,
            problem: String::new(),
        };
        for (host, inside) in [
            ("dc1.ad.example.test", true),
            ("DC1.AD.Example.Test.", true),
            ("dc1.site.ad.example.test", true),
            ("ad.example.test", false),
            (".ad.example.test", false),
            ("evil-ad.example.test", false),
            ("dc1.ad.example.test.evil.example", false),
            ("evil.example", false),
            ("", false),
            (".", false),
        ] {
            assert_eq!(spec("ad.example.test").is_controller_name(host), inside, "{host}");
        }
        assert!(!spec("").is_controller_name("dc1.example.test"));
    }
}
