//! What is in certificates, and what they say about themselves.

use std::time::Duration;

use ::time::OffsetDateTime;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData, SanType, SerialNumber, SubjectPublicKeyInfo,
};
use rustls::pki_types::CertificateDer;
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, prelude::FromDer};

use super::{AuthorityError, CLOCK_SLACK, sha256, url_of};
use crate::{NodeId, Timestamp};

/// Of a certificate's life, the last part in which it is renewed: a third.
const RENEWAL_PART: i64 = 3;
/// Longest name of a cluster in a certificate (RFC 5280 ub-common-name).
const MAX_COMMON_NAME: usize = 64;

/// The self-signed certificate of an authority.
pub(super) fn authority(
    cluster: &str,
    key: &KeyPair,
    now: Timestamp,
    validity: Duration,
) -> Result<Vec<u8>, AuthorityError> {
    let name: String = cluster.chars().filter(|c| !c.is_control()).take(MAX_COMMON_NAME).collect();
    let mut params = dated(now, validity)?;
    params.distinguished_name.push(DnType::OrganizationName, "Posthouse cluster");
    params.distinguished_name.push(DnType::CommonName, name);
    // two authorities of one cluster, as during a rotation, must not have the same name
    let serial = sha256(key.public_key_raw());
    params.distinguished_name.push(DnType::CustomDnType(vec![2, 5, 4, 5]), hex(serial.get(..8)));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    Ok(params.self_signed(key)?.der().to_vec())
}

/// A certificate for a node.
pub(super) fn node(
    authority: &[u8],
    authority_key: &KeyPair,
    public_key: &[u8],
    node: NodeId,
    now: Timestamp,
    validity: Duration,
) -> Result<Vec<u8>, AuthorityError> {
    let public =
        SubjectPublicKeyInfo::from_der(public_key).map_err(|_| AuthorityError::PublicKey)?;
    if public.algorithm() != &rcgen::PKCS_ED25519 {
        return Err(AuthorityError::PublicKey);
    }
    let issuer = Issuer::from_ca_cert_der(&CertificateDer::from(authority), authority_key)?;
    let mut params = dated(now, validity)?;
    params.distinguished_name.push(DnType::CommonName, node.to_string());
    params.subject_alt_names = vec![SanType::URI(url_of(node).try_into()?)];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(params.signed_by(&public, &issuer)?.der().to_vec())
}

fn dated(now: Timestamp, validity: Duration) -> Result<CertificateParams, AuthorityError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    let date = |seconds: u64| {
        OffsetDateTime::from_unix_timestamp(i64::try_from(seconds).unwrap_or(i64::MAX))
            .map_err(|_| AuthorityError::Failed("the clock shows an impossible date".into()))
    };
    params.not_before = date(now.seconds().saturating_sub(CLOCK_SLACK.as_secs()))?;
    params.not_after = date(now.seconds().saturating_add(validity.as_secs()))?;
    let mut serial = [0; 16];
    ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut serial)
        .map_err(|_| AuthorityError::Failed("no randomness".into()))?;
    if let Some(first) = serial.first_mut() {
        *first &= 0x7f;
    }
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    Ok(params)
}

fn hex(bytes: Option<&[u8]>) -> String {
    bytes.unwrap_or_default().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The public key (SubjectPublicKeyInfo, DER) of a certificate.
pub(super) fn public_key(certificate: &[u8]) -> Option<Vec<u8>> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    Some(certificate.public_key().raw.to_vec())
}

/// From and until when a certificate is good, in seconds since the Unix epoch.
pub(super) fn validity(certificate: &[u8]) -> Option<(i64, i64)> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let validity = certificate.validity();
    Some((validity.not_before.timestamp(), validity.not_after.timestamp()))
}

/// The number of the node that a certificate names, and its public key.
pub(super) fn node_of(certificate: &[u8]) -> Option<(NodeId, Vec<u8>)> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let names = certificate.subject_alternative_name().ok()??;
    let [GeneralName::URI(url)] = names.value.general_names.as_slice() else { return None };
    let number: u64 = url.strip_prefix(super::identity::URL)?.parse().ok()?;
    // only one way of writing a number is ours
    let node = (url_of(NodeId(number)) == *url).then_some(NodeId(number))?;
    Some((node, certificate.public_key().raw.to_vec()))
}

/// Whether a certificate (DER) names this authority (DER) as its issuer; each authority has a name of its
/// own. For choosing and showing, not for trusting.
pub fn issued_by(certificate: &[u8], authority: &[u8]) -> bool {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else { return false };
    let Ok((_, authority)) = X509Certificate::from_der(authority) else { return false };
    certificate.issuer().as_raw() == authority.subject().as_raw()
}

/// How long a certificate (DER) is still good; zero when it is not, or not readable.
pub fn time_left(certificate: &[u8], now: Timestamp) -> Duration {
    let Some((_, end)) = validity(certificate) else { return Duration::ZERO };
    let left = end.saturating_sub(now.seconds() as i64);
    Duration::from_secs(u64::try_from(left).unwrap_or(0))
}

/// Whether a certificate (DER) should be renewed: a third of its life or less is left, or it is not valid yet. The
/// latter is one that was made while the clock was ahead: nobody would take it until then.
pub fn renewal_due(certificate: &[u8], now: Timestamp) -> bool {
    let Some((start, end)) = validity(certificate) else { return true };
    if start > now.seconds() as i64 {
        return true;
    }
    let life = end.saturating_sub(start).saturating_sub(CLOCK_SLACK.as_secs() as i64);
    end.saturating_sub(now.seconds() as i64) <= life / RENEWAL_PART
}
