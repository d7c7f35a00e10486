//! A password verified by an LDAP bind (RFC 4513 §5.1.3, MS-ADTS §5.1.1.1.1), always under TLS.

use std::{collections::HashMap, sync::Arc, time::Duration};

use hickory_resolver::{TokioResolver, proto::rr::RData};
use ldap3::{LdapConnAsync, LdapConnSettings, LdapResult};
use parking_lot::Mutex;
use posthouse_directory::{SourceId, SourceSpec, SourceTls};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use tokio::{
    sync::{OnceCell, Semaphore},
    time::{Instant, timeout, timeout_at},
};

use crate::Reason;

/// For the whole sign-on, over all controllers.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(5);
/// For the connection to one controller; then the next one has its turn.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1_500);
/// Most controllers that are tried.
const MAX_CONTROLLERS: usize = 8;

/// Most binds at the same time, over all sources.
const MAX_BINDS: usize = 32;

/// LDAP result codes (RFC 4511 appendix A.2).
const SUCCESS: u32 = 0;
const STRONGER_AUTH_REQUIRED: u32 = 8;
const INVALID_CREDENTIALS: u32 = 49;
const BUSY: u32 = 51;
const UNAVAILABLE: u32 = 52;

/// What came of one controller.
enum Attempt {
    /// It has spoken. Final, or the password would be tried twice.
    Answered(Result<(), Reason>),
    /// It never saw the password.
    Unreached(String),
}

/// Binds as users. Remembers which controller answered last.
pub(crate) struct Binder {
    good: Mutex<HashMap<SourceId, String>>,
    resolver: OnceCell<TokioResolver>,
    places: Semaphore,
}

impl Default for Binder {
    fn default() -> Self {
        Self {
            good: Mutex::default(),
            resolver: OnceCell::new(),
            places: Semaphore::new(MAX_BINDS),
        }
    }
}

impl Binder {
    /// Tries the controllers until one has seen the password. [`Reason::DirectoryDown`] if none did, or none answered.
    pub(crate) async fn bind(
        &self,
        source: &SourceSpec,
        name: &str,
        password: &str,
    ) -> Result<(), Reason> {
        let deadline = Instant::now() + TIMEOUT;
        let _place = match timeout_at(deadline, self.places.acquire()).await {
            Ok(Ok(place)) => place,
            Ok(Err(_)) | Err(_) => return Err(Reason::Busy),
        };
        let tls = client_config(&source.ca)?;
        let mut problem = "there is no controller to ask".to_owned();
        let controllers = timeout_at(deadline, self.controllers(source))
            .await
            .unwrap_or_else(|_| Err("the controllers could not be found in time".to_owned()))
            .map_err(Reason::DirectoryDown)?;
        for controller in controllers {
            let attempt = try_one(&controller, source.tls, &tls, name, password);
            match timeout_at(deadline, attempt).await {
                Ok(Attempt::Answered(result)) => {
                    self.good.lock().insert(source.id, controller);
                    return result;
                }
                Ok(Attempt::Unreached(error)) => {
                    tracing::warn!(target: "warning", controller, error, "controller not reached");
                    self.good.lock().retain(|id, good| *id != source.id || *good != controller);
                    problem = error;
                }
                // It may have seen the password.
                Err(_) => return Err(Reason::DirectoryDown(format!("{controller} is too slow"))),
            }
        }
        Err(Reason::DirectoryDown(problem))
    }

    /// `host` or `host:port`, the one that answered last first.
    async fn controllers(&self, source: &SourceSpec) -> Result<Vec<String>, String> {
        let mut controllers = match source.controllers.as_slice() {
            [] => self.discover(source).await?,
            listed => listed.to_vec(),
        };
        if let Some(good) = self.good.lock().get(&source.id)
            && let Some(at) = controllers.iter().position(|c| c == good)
        {
            controllers.swap(0, at);
        }
        controllers.truncate(MAX_CONTROLLERS);
        Ok(controllers)
    }

    /// RFC 2782, MS-ADTS §6.3.6: `_ldap._tcp`. The port in the record is that of plain LDAP and is not used.
    /// Hosts outside of the directory's domain are passed over.
    async fn discover(&self, source: &SourceSpec) -> Result<Vec<String>, String> {
        let domain = &source.directory_domain;
        let make = || async { TokioResolver::builder_tokio()?.build() };
        let resolver = self.resolver.get_or_try_init(make).await.map_err(|e| e.to_string())?;
        let answer = resolver.srv_lookup(format!("_ldap._tcp.{domain}.")).await;
        let answer = answer.map_err(|e| format!("controllers of {domain}: {e}"))?;
        let mut found: Vec<_> = answer
            .answers()
            .iter()
            .filter_map(|record| match &record.data {
                RData::SRV(srv) => Some((srv.priority, srv.target.to_utf8())),
                _ => None,
            })
            .collect();
        found.retain(|(_, host)| source.is_controller_name(host));
        found.sort();
        Ok(found.into_iter().map(|(_, host)| host.trim_end_matches('.').to_owned()).collect())
    }
}

async fn try_one(
    controller: &str,
    tls: SourceTls,
    config: &Option<Arc<ClientConfig>>,
    name: &str,
    password: &str,
) -> Attempt {
    let connected = timeout(CONNECT_TIMEOUT, connect(controller, tls, config)).await;
    let mut ldap = match connected {
        Ok(Ok(ldap)) => ldap,
        Ok(Err(error)) => return Attempt::Unreached(format!("{controller}: {error}")),
        Err(_) => return Attempt::Unreached(format!("{controller}: no connection in time")),
    };
    match ldap.simple_bind(name, password).await {
        // It has not looked at the password.
        Ok(result) if matches!(result.rc, BUSY | UNAVAILABLE) => {
            Attempt::Unreached(format!("{controller}: result {}", result.rc))
        }
        Ok(result) => Attempt::Answered(verdict(&result)),
        Err(error) => Attempt::Answered(Err(Reason::DirectoryDown(error.to_string()))),
    }
}

async fn connect(
    controller: &str,
    tls: SourceTls,
    config: &Option<Arc<ClientConfig>>,
) -> Result<ldap3::Ldap, String> {
    if controller.is_empty() || controller.contains(['/', '@', '?', '#', '\\']) {
        return Err("this is not a host name".to_owned());
    }
    let mut settings = LdapConnSettings::new().set_starttls(tls == SourceTls::StartTls);
    if let Some(config) = config {
        settings = settings.set_config(config.clone());
    }
    let scheme = match tls {
        SourceTls::Ldaps => "ldaps",
        SourceTls::StartTls => "ldap",
    };
    let url = format!("{scheme}://{controller}");
    let (connection, ldap) =
        LdapConnAsync::with_settings(settings, &url).await.map_err(|e| e.to_string())?;
    // Ends when `ldap` is dropped.
    tokio::spawn(async move {
        if let Err(error) = connection.drive().await {
            tracing::debug!(target: "debug", %error, "connection to a controller ended");
        }
    });
    Ok(ldap)
}

/// TLS that believes these authorities only; `None`: the system's.
fn client_config(ca: &str) -> Result<Option<Arc<ClientConfig>>, Reason> {
    if ca.trim().is_empty() {
        return Ok(None);
    }
    let unusable = |e: String| Reason::DirectoryDown(format!("the source's CA: {e}"));
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca.as_bytes()) {
        let certificate = certificate.map_err(|e| unusable(e.to_string()))?;
        roots.add(certificate).map_err(|e| unusable(e.to_string()))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| unusable(e.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Some(Arc::new(config)))
}

fn verdict(result: &LdapResult) -> Result<(), Reason> {
    match result.rc {
        SUCCESS => Ok(()),
        INVALID_CREDENTIALS => Err(invalid_credentials(&result.text)),
        STRONGER_AUTH_REQUIRED => {
            Err(Reason::DirectoryDown("the controller refuses simple binds".to_owned()))
        }
        code => Err(Reason::DirectoryDown(format!("the controller answered {code}"))),
    }
}

/// Active Directory says why in its text: `… data 52e, …`, a Win32 error in hexadecimal (MS-ERREF §2.2).
fn invalid_credentials(text: &str) -> Reason {
    let code = text.split("data ").nth(1).map(|rest| {
        rest.split(|c: char| !c.is_ascii_hexdigit()).next().unwrap_or_default().to_ascii_lowercase()
    });
    match code.as_deref() {
        Some("530") => Reason::Disabled("the directory forbids this time of day".to_owned()),
        Some("531") => Reason::Disabled("the directory forbids this computer".to_owned()),
        Some("534") => Reason::Disabled("the directory forbids this kind of sign-on".to_owned()),
        Some("533") => Reason::Disabled("disabled in the directory".to_owned()),
        Some("701") => Reason::Expired,
        Some("532" | "773") => Reason::PasswordExpired,
        Some("775") => Reason::LockedOut("locked in the directory".to_owned()),
        // 525 (no such user), 52e, and whatever other servers say.
        _ => Reason::WrongPassword,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_active_directory_says_becomes_a_reason() {
        let text = |code| {
            format!(
                "80090308: LdapErr: DSID-0C0903A9, comment: AcceptSecurityContext error, data {code}, v1db1"
            )
        };
        for (code, label) in [
            ("52e", "wrong_password"),
            ("525", "wrong_password"),
            ("52E", "wrong_password"),
            ("533", "disabled"),
            ("530", "disabled"),
            ("701", "expired"),
            ("532", "password_expired"),
            ("773", "password_expired"),
            ("775", "locked_out"),
            ("", "wrong_password"),
        ] {
            assert_eq!(invalid_credentials(&text(code)).label(), label, "{code}");
        }
        assert_eq!(invalid_credentials("").label(), "wrong_password");
        assert_eq!(invalid_credentials("data ").label(), "wrong_password");
    }

    fn result(rc: u32) -> LdapResult {
        let (matched, text) = (String::new(), String::new());
        LdapResult { rc, matched, text, refs: Vec::new(), ctrls: Vec::new() }
    }

    #[test]
    fn only_success_is_success() {
        for (rc, label) in [
            (0, None),
            (49, Some("wrong_password")),
            (8, Some("directory_down")),
            (10, Some("directory_down")), // a referral is not followed with a password
            (32, Some("directory_down")),
            (80, Some("directory_down")),
        ] {
            assert_eq!(verdict(&result(rc)).err().map(|reason| reason.label()), label, "{rc}");
        }
    }

    #[tokio::test]
    async fn controllers_that_are_no_host_names_are_not_connected_to() {
        for controller in ["", "host/path", "user@host", "host?x", "a b", "host:notaport"] {
            let config = client_config("").unwrap();
            assert!(connect(controller, SourceTls::Ldaps, &config).await.is_err(), "{controller}");
        }
    }

    #[test]
    fn a_broken_authority_is_an_error_and_not_the_system_s() {
        assert!(
            client_config("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
                .is_err()
        );
        assert!(client_config(" \n").unwrap().is_none());
    }
}
