//! Who showed a certificate: the one check that both ends of every link use.

use rustls::{
    RootCertStore,
    client::verify_server_cert_signed_by_trust_anchor,
    pki_types::{CertificateDer, UnixTime},
    server::ParsedCertificate,
};

use super::{certificate, public_key_hash};
use crate::{NodeId, Timestamp};

/// What the number of a node follows in its certificate.
pub(super) const URL: &str = "urn:posthouse:node:";

/// The name of a node in its certificate.
pub(crate) fn url_of(node: NodeId) -> String {
    format!("{URL}{}", node.0)
}

/// Whom a certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identified {
    /// The number in it.
    pub(crate) node: NodeId,
    /// SHA-256 of its public key.
    pub(crate) key: [u8; 32],
}

/// What is wrong with a certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Problem {
    #[error("its certificate is not of an authority of this cluster")]
    Authority,
    #[error("its certificate names no node")]
    Unnamed,
    #[error(
        "its certificate expired {days} days ago by the clock of this node: it must be renewed, or one of the two clocks is wrong"
    )]
    Expired { days: u64 },
    #[error(
        "its certificate becomes valid in {days} days by the clock of this node: one of the two clocks is wrong"
    )]
    NotYet { days: u64 },
}

/// Days of a difference in seconds, at least 1.
fn days(seconds: i64) -> u64 {
    (seconds.max(0) as u64).div_ceil(24 * 3600).max(1)
}

/// Checks that a certificate is of one of the authorities and valid now, and tells whom it is for. The key
/// must still be compared with the pinned one.
pub(crate) fn identify(
    end_entity: &CertificateDer<'_>,
    authorities: &RootCertStore,
    now: Timestamp,
) -> Result<Identified, Problem> {
    let parsed = ParsedCertificate::try_from(end_entity).map_err(|_| Problem::Unnamed)?;
    let provider = rustls::crypto::ring::default_provider();
    let instant = UnixTime::since_unix_epoch(std::time::Duration::from_millis(now.0));
    let algorithms = provider.signature_verification_algorithms.all;
    let checked =
        verify_server_cert_signed_by_trust_anchor(&parsed, authorities, &[], instant, algorithms);
    if let Err(error) = checked {
        return Err(problem(&error, end_entity, now));
    }
    let (node, key) = certificate::node_of(end_entity).ok_or(Problem::Unnamed)?;
    Ok(Identified { node, key: public_key_hash(&key) })
}

fn problem(error: &rustls::Error, end_entity: &[u8], now: Timestamp) -> Problem {
    use rustls::CertificateError::{Expired, ExpiredContext, NotValidYet, NotValidYetContext};
    let rustls::Error::InvalidCertificate(error) = error else { return Problem::Authority };
    let (start, end) = certificate::validity(end_entity).unwrap_or_default();
    let now = now.seconds() as i64;
    match error {
        Expired | ExpiredContext { .. } => Problem::Expired { days: days(now.saturating_sub(end)) },
        NotValidYet | NotValidYetContext { .. } => {
            Problem::NotYet { days: days(start.saturating_sub(now)) }
        }
        _ => Problem::Authority,
    }
}
