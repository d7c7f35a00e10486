//! The node's certificate: signed by an own CA at first start, replaceable by files.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::Path,
    time::SystemTime,
};

use anyhow::{Context, Result};
use posthouse_auth::ServerTls;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use time::{Duration, OffsetDateTime};

use crate::config::write_file;

/// Put files of these names into the `tls` folder to use another certificate.
pub(crate) const CUSTOM: (&str, &str) = ("custom-cert.pem", "custom-key.pem");
/// The own CA, for clients to trust.
pub(crate) const CA: &str = "ca.pem";

const CA_YEARS: i64 = 10;
/// Clients refuse server certificates that are valid for longer.
const LEAF_DAYS: i64 = 397;
/// Renewed when fewer days are left.
const RENEW_DAYS: i64 = 30;

/// Prepares the certificate of a node that clients reach as `host` (empty before set-up).
pub(crate) fn prepare(folder: &Path, host: &str) -> Result<ServerTls> {
    let (chain, key) = current(folder, host)?;
    ServerTls::new(&chain, &key).context("the node's certificate cannot be used")
}

/// Takes changed files into use; the present certificate stays if they cannot be used.
pub(crate) fn reload(folder: &Path, host: &str, tls: &ServerTls) -> Result<()> {
    let (chain, key) = current(folder, host)?;
    tls.replace(&chain, &key).context("the new certificate cannot be used; the present one stays")
}

/// When the custom files were last changed, for noticing that.
pub(crate) fn custom_changed(folder: &Path) -> Option<SystemTime> {
    let at = |name: &str| fs::metadata(folder.join(name)).and_then(|m| m.modified()).ok();
    at(CUSTOM.0).max(at(CUSTOM.1))
}

fn current(folder: &Path, host: &str) -> Result<(Vec<u8>, Vec<u8>)> {
    let custom = (folder.join(CUSTOM.0), folder.join(CUSTOM.1));
    if custom.0.exists() && custom.1.exists() {
        return Ok((fs::read(custom.0)?, fs::read(custom.1)?));
    }
    let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    if !usable(&cert, host) {
        issue(folder, host)?;
    }
    Ok((fs::read(cert)?, fs::read(key)?))
}

/// Whether our own certificate is there, names the host, and lasts.
fn usable(path: &Path, host: &str) -> bool {
    let Ok(pem) = fs::read(path) else { return false };
    let Ok((_, pem)) = x509_parser::pem::parse_x509_pem(&pem) else { return false };
    let Ok(certificate) = pem.parse_x509() else { return false };
    let now = OffsetDateTime::now_utc().unix_timestamp();
    let lasts = certificate.validity().not_after.timestamp() - now > RENEW_DAYS * 86_400;
    let names = certificate.subject_alternative_name().ok().flatten();
    let names_host = names.is_some_and(|names| {
        names.value.general_names.iter().any(|name| match name {
            x509_parser::extensions::GeneralName::DNSName(dns) => dns.eq_ignore_ascii_case(host),
            _ => false,
        })
    });
    lasts && (host.is_empty() || names_host)
}

fn issue(folder: &Path, host: &str) -> Result<()> {
    let issuer = authority(folder)?;
    let mut names = vec!["localhost".to_owned()];
    if !host.is_empty() {
        names.insert(0, host.to_owned());
    }
    let mut params = CertificateParams::new(names)?;
    for address in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
        params.subject_alt_names.push(SanType::IpAddress(address));
    }
    let common_name = if host.is_empty() { "Posthouse set-up" } else { host };
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let now = OffsetDateTime::now_utc();
    params.not_before = now - Duration::days(1);
    params.not_after = now + Duration::days(LEAF_DAYS);
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, &issuer)?;
    write_file(&folder.join("key.pem"), key.serialize_pem().as_bytes(), true)?;
    write_file(&folder.join("cert.pem"), certificate.pem().as_bytes(), false)
}

fn authority(folder: &Path) -> Result<Issuer<'static, KeyPair>> {
    let (cert, key) = (folder.join(CA), folder.join("ca-key.pem"));
    if !(cert.exists() && key.exists()) {
        let fresh = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "Posthouse node CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let now = OffsetDateTime::now_utc();
        params.not_before = now - Duration::days(1);
        params.not_after = now + Duration::days(CA_YEARS * 365);
        let made = params.self_signed(&fresh)?;
        write_file(&key, fresh.serialize_pem().as_bytes(), true)?;
        write_file(&cert, made.pem().as_bytes(), false)?;
    }
    let key = KeyPair::from_pem(&fs::read_to_string(key)?).context("the CA's key is damaged")?;
    Issuer::from_ca_cert_pem(&fs::read_to_string(cert)?, key).context("the CA is damaged")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_kept_until_the_host_changes() {
        let folder = tempfile::tempdir().unwrap();
        let first = prepare(folder.path(), "mail.example.test").unwrap().end_point();
        assert_eq!(prepare(folder.path(), "mail.example.test").unwrap().end_point(), first);
        assert_ne!(prepare(folder.path(), "mx.example.test").unwrap().end_point(), first);
    }

    #[test]
    fn custom_files_are_used_and_broken_ones_leave_the_present_certificate() {
        let folder = tempfile::tempdir().unwrap();
        let tls = prepare(folder.path(), "mail.example.test").unwrap();
        let first = tls.end_point();
        for name in [CUSTOM.0, CUSTOM.1] {
            fs::write(folder.path().join(name), "broken").unwrap();
        }
        assert!(reload(folder.path(), "mail.example.test", &tls).is_err());
        assert_eq!(tls.end_point(), first);
        let key = KeyPair::generate().unwrap();
        let made = CertificateParams::new(vec!["mail.example.test".into()]).unwrap();
        let made = made.self_signed(&key).unwrap();
        fs::write(folder.path().join(CUSTOM.0), made.pem()).unwrap();
        fs::write(folder.path().join(CUSTOM.1), key.serialize_pem()).unwrap();
        reload(folder.path(), "mail.example.test", &tls).unwrap();
        assert_ne!(tls.end_point(), first);
    }

    #[test]
    fn keys_are_readable_by_their_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        prepare(folder.path(), "mail.example.test").unwrap();
        for name in ["key.pem", "ca-key.pem"] {
            let mode = fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{name}");
        }
    }
}
