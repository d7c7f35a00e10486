//! A node's private key.

use rcgen::{KeyPair, PublicKeyData, SubjectPublicKeyInfo};
use ring::signature::{ED25519, UnparsedPublicKey};
use rustls::pki_types::PrivatePkcs8KeyDer;
use zeroize::Zeroizing;

use super::{AuthorityError, public_key_hash};

/// A node's private key (Ed25519, PKCS#8). It never leaves the node.
#[derive(Clone)]
pub struct NodeKey {
    pkcs8: Zeroizing<Vec<u8>>,
    public: Vec<u8>,
}

impl std::fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NodeKey")
    }
}

impl NodeKey {
    /// Makes a new key.
    pub fn generate() -> Result<Self, AuthorityError> {
        let pair = KeyPair::generate_for(&rcgen::PKCS_ED25519)?;
        Ok(Self {
            public: pair.subject_public_key_info(),
            pkcs8: Zeroizing::new(pair.serialize_der()),
        })
    }

    /// The private key (PKCS#8, DER).
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        self.pkcs8.clone()
    }

    /// Reads what [`Self::to_bytes`] gave.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, AuthorityError> {
        let public = pair(bytes)?.subject_public_key_info();
        Ok(Self { pkcs8: Zeroizing::new(bytes.to_vec()), public })
    }

    /// The public key (SubjectPublicKeyInfo, DER).
    pub fn public_key(&self) -> &[u8] {
        &self.public
    }

    /// SHA-256 of the public key: what the directory pins.
    pub fn public_key_hash(&self) -> [u8; 32] {
        public_key_hash(&self.public)
    }

    /// Signs with the key (Ed25519).
    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, AuthorityError> {
        use rcgen::SigningKey;
        Ok(pair(&self.pkcs8)?.sign(message)?)
    }
}

pub(super) fn pair(pkcs8: &[u8]) -> Result<KeyPair, AuthorityError> {
    KeyPair::from_pkcs8_der_and_sign_algo(&PrivatePkcs8KeyDer::from(pkcs8), &rcgen::PKCS_ED25519)
        .map_err(|_| AuthorityError::Unreadable("not an Ed25519 key"))
}

/// Whether `signature` over `message` was made with the private half of a public key (SubjectPublicKeyInfo, DER,
/// Ed25519).
pub(crate) fn verify(public_key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let Ok(public) = SubjectPublicKeyInfo::from_der(public_key) else { return false };
    let raw = public.algorithm() == &rcgen::PKCS_ED25519;
    raw && UnparsedPublicKey::new(&ED25519, public.der_bytes()).verify(message, signature).is_ok()
}
