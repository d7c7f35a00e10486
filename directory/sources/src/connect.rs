//! A protected, signed-on connection to a controller.

use std::{io, sync::Arc, time::Duration};

use ldap3::{Ldap, LdapConnAsync, LdapConnSettings, LdapError, StdStream};
use posthouse_directory::{SourceSpec, SourceTls};
use rustls::{CertificateError, ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use tokio::{net::TcpStream, time::timeout};

use crate::{
    SourceError,
    locate::{Controller, addresses},
};

/// Longest wait for a TCP connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Longest wait for TLS, and for the answer to the bind.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// LDAP result codes (RFC 4511 §4.1.9).
pub(crate) mod code {
    pub(crate) const SUCCESS: u32 = 0;
    pub(crate) const NO_SUCH_OBJECT: u32 = 32;
    pub(crate) const INVALID_CREDENTIALS: u32 = 49;
}

/// The authorities of the source; `None` stands for those of the system. Verification is always on.
pub(crate) fn tls_config(spec: &SourceSpec) -> Result<Option<Arc<ClientConfig>>, SourceError> {
    if spec.ca.trim().is_empty() {
        return Ok(None);
    }
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(spec.ca.as_bytes()) {
        let certificate = certificate.map_err(|_| SourceError::BadAuthority)?;
        roots.add(certificate).map_err(|_| SourceError::BadAuthority)?;
    }
    if roots.is_empty() {
        return Err(SourceError::BadAuthority);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| SourceError::Tls { host: String::new(), cause: e.to_string() })?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Some(Arc::new(config)))
}

/// Connects to one controller and binds.
pub(crate) async fn connect(
    spec: &SourceSpec,
    controller: &Controller,
    config: &Option<Arc<ClientConfig>>,
    password: &str,
) -> Result<Ldap, SourceError> {
    // RFC 4513 §5.1.2: a bind without password would succeed and prove nothing.
    if password.is_empty() || spec.bind_name.trim().is_empty() {
        return Err(SourceError::WrongPassword);
    }
    let stream = dial(controller).await?;
    let host = &controller.host;
    let unreachable =
        |cause: String| SourceError::Unreachable { host: controller.to_string(), cause };
    let stream = stream.into_std().map_err(|e| unreachable(e.to_string()))?;
    let mut settings = LdapConnSettings::new()
        .set_std_stream(StdStream::Tcp(stream))
        .set_starttls(spec.tls == SourceTls::StartTls);
    if let Some(config) = config {
        settings = settings.set_config(config.clone());
    }
    let scheme = match spec.tls {
        SourceTls::Ldaps => "ldaps",
        SourceTls::StartTls => "ldap",
    };
    let name = if host.contains(':') { format!("[{host}]") } else { host.clone() };
    let url = format!("{scheme}://{name}:{}", controller.port);
    let (connection, mut ldap) =
        timeout(HANDSHAKE_TIMEOUT, LdapConnAsync::with_settings(settings, &url))
            .await
            .map_err(|_| unreachable("no TLS in time".into()))?
            .map_err(|e| tls_error(host, e))?;
    tokio::spawn(async move {
        if let Err(error) = connection.drive().await {
            tracing::debug!(target: "debug", ?error, "connection to a directory ended");
        }
    });
    let answer = timeout(HANDSHAKE_TIMEOUT, ldap.simple_bind(spec.bind_name.trim(), password))
        .await
        .map_err(|_| unreachable("no answer to the sign-on in time".into()))?
        .map_err(|e| unreachable(e.to_string()))?;
    match answer.rc {
        code::SUCCESS => Ok(ldap),
        code::INVALID_CREDENTIALS => Err(refused_bind(&answer.text)),
        other => Err(SourceError::Refused {
            host: controller.to_string(),
            code: other,
            text: answer.text,
        }),
    }
}

async fn dial(controller: &Controller) -> Result<TcpStream, SourceError> {
    let mut cause = "it has no address".to_owned();
    for address in addresses(controller).await? {
        match timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => cause = format!("{address}: {error}"),
            Err(_) => cause = format!("{address}: no connection in time"),
        }
    }
    Err(SourceError::Unreachable { host: controller.to_string(), cause })
}

/// The number behind `data` in the text of a refused bind is a Windows error code in hexadecimal.
fn refused_bind(text: &str) -> SourceError {
    let data = text.split("data ").nth(1).and_then(|rest| rest.split([',', ' ']).next());
    SourceError::AccountRefused(
        match data {
            Some("530" | "531") => "not at this time, or not from this host",
            Some("532") => "its password has expired",
            Some("533") => "it is disabled",
            Some("701") => "it has expired",
            Some("773") => "its password must be changed first",
            Some("775") => "it is locked out",
            _ => return SourceError::WrongPassword,
        }
        .to_owned(),
    )
}

/// What went wrong before anything was said.
fn tls_error(host: &str, error: LdapError) -> SourceError {
    let host = host.to_owned();
    let found = match &error {
        LdapError::Rustls { source } => Some(source),
        LdapError::Io { source } => inner(source),
        LdapError::LdapResult { result } => {
            return SourceError::Tls {
                host,
                cause: format!("StartTLS is refused: {}", result.text),
            };
        }
        _ => None,
    };
    let Some(found) = found else {
        return SourceError::Tls { host, cause: error.to_string() };
    };
    let rustls::Error::InvalidCertificate(certificate) = found else {
        return SourceError::Tls { host, cause: found.to_string() };
    };
    match certificate {
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => SourceError::NotValidNow { host },
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            SourceError::WrongName { host }
        }
        other => SourceError::NotTrusted { host, cause: other.to_string() },
    }
}

fn inner(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_sign_on_is_told_apart() {
        let text = |data| {
            format!(
                "80090308: LdapErr: DSID-0C0903A9, comment: AcceptSecurityContext error, data {data}, v1db1"
            )
        };
        for (data, want) in [
            ("52e", "the name or the password"),
            ("525", "the name or the password"),
            ("533", "disabled"),
            ("532", "password has expired"),
            ("701", "it has expired"),
            ("773", "must be changed"),
            ("775", "locked out"),
        ] {
            let error = refused_bind(&text(data)).to_string();
            assert!(error.contains(want), "{data}: {error}");
        }
        assert_eq!(refused_bind(""), SourceError::WrongPassword);
    }
}
