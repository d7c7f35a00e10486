//! The cluster's own certificate authority, and the key and certificate of a node.
//!
//! A node is believed for two things together: a certificate of the authority that names its number
//! (as the URI `urn:posthouse:node:7`), and a public key whose hash the directory has for that number.
//! Certificates are Ed25519, X.509 v3 (RFC 5280, RFC 8410).

mod certificate;
mod identity;
mod key;

use std::time::Duration;

use ring::digest;
use zeroize::Zeroizing;

use crate::{NodeId, Timestamp};

pub use certificate::{issued_by, renewal_due, time_left};
use identity::url_of;
pub(crate) use identity::{Identified, Problem, identify};
pub use key::NodeKey;
pub(crate) use key::verify;

/// How long a certificate of a node is good.
pub const VALIDITY: Duration = Duration::from_secs(30 * 24 * 3600);
/// How long an authority is good.
const AUTHORITY_VALIDITY: Duration = Duration::from_secs(30 * 365 * 24 * 3600);
/// How far certificates are backdated, so that a clock that is wrong by a day breaks nothing.
pub const CLOCK_SLACK: Duration = Duration::from_secs(2 * 24 * 3600);

/// Why an authority or a key cannot be read or made.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The bytes are not what [`Authority::to_bytes`] or [`NodeKey::to_bytes`] gave.
    #[error("these bytes hold no key or authority of this program: {0}")]
    Unreadable(&'static str),
    /// The public key is not one that a certificate can be made for.
    #[error("the public key is not an Ed25519 key")]
    PublicKey,
    /// Making a key or certificate failed.
    #[error("a certificate could not be made: {0}")]
    Failed(String),
}

impl From<rcgen::Error> for AuthorityError {
    fn from(error: rcgen::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Certificate and private key of the cluster's authority. Whoever has it can make nodes.
pub struct Authority {
    key: Zeroizing<Vec<u8>>,
    certificate: Vec<u8>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authority")
    }
}

/// First bytes of a stored authority: what it is, and the version of its form.
const MAGIC: &[u8] = b"posthouse-authority\x01";

impl Authority {
    /// Makes a new authority.
    pub fn generate(cluster: &str, now: Timestamp) -> Result<Self, AuthorityError> {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519)?;
        let certificate = certificate::authority(cluster, &key, now, AUTHORITY_VALIDITY)?;
        Ok(Self { key: Zeroizing::new(key.serialize_der()), certificate })
    }

    /// Certificate and private key, to be sealed before they are stored anywhere.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let length = (self.key.len() as u32).to_be_bytes();
        let mut bytes = Zeroizing::new(Vec::with_capacity(
            MAGIC.len() + 4 + self.key.len() + self.certificate.len(),
        ));
        for part in [MAGIC, &length, &self.key, &self.certificate] {
            bytes.extend_from_slice(part);
        }
        bytes
    }

    /// Reads what [`Self::to_bytes`] gave.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, AuthorityError> {
        let unreadable = AuthorityError::Unreadable;
        let rest = bytes.strip_prefix(MAGIC).ok_or(unreadable("not an authority"))?;
        let (length, rest) = rest.split_first_chunk::<4>().ok_or(unreadable("cut off"))?;
        let length = u32::from_be_bytes(*length) as usize;
        let (key, certificate) = rest.split_at_checked(length).ok_or(unreadable("cut off"))?;
        let authority =
            Self { key: Zeroizing::new(key.to_vec()), certificate: certificate.to_vec() };
        authority.check()?;
        Ok(authority)
    }

    /// Whether key and certificate belong together.
    fn check(&self) -> Result<(), AuthorityError> {
        use rcgen::PublicKeyData;
        let key = key::pair(&self.key)?.subject_public_key_info();
        match certificate::public_key(&self.certificate) {
            Some(certified) if certified == key => Ok(()),
            _ => Err(AuthorityError::Unreadable("key and certificate differ")),
        }
    }

    /// SHA-256 of the certificate: what a joining node knows the cluster by.
    pub fn fingerprint(&self) -> [u8; 32] {
        sha256(&self.certificate)
    }

    /// The certificate (DER), for everybody.
    pub fn certificate_der(&self) -> &[u8] {
        &self.certificate
    }

    /// A certificate (DER) for node `node` with this public key (SubjectPublicKeyInfo, DER), good
    /// from [`CLOCK_SLACK`] before `now` until `validity` after it.
    pub fn certify(
        &self,
        public_key: &[u8],
        node: NodeId,
        now: Timestamp,
        validity: Duration,
    ) -> Result<Vec<u8>, AuthorityError> {
        certificate::node(
            &self.certificate,
            &key::pair(&self.key)?,
            public_key,
            node,
            now,
            validity,
        )
    }
}

/// SHA-256 of a certificate (DER) of an authority: its fingerprint.
pub fn fingerprint(certificate: &[u8]) -> [u8; 32] {
    sha256(certificate)
}

/// SHA-256 of a public key (SubjectPublicKeyInfo, DER): what the directory pins.
pub fn public_key_hash(public_key: &[u8]) -> [u8; 32] {
    sha256(public_key)
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    hash
}

#[cfg(test)]
mod tests;
