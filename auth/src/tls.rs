//! Our certificate and TLS settings, shared by all listeners.
//!
//! One place for protocol versions and certificate; the certificate can be replaced while connections
//! go on (new handshakes see the new one).

use std::{fmt, sync::Arc};

use parking_lot::RwLock;
use ring::digest;
use rustls::{
    ServerConfig,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

/// Why a certificate and key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The PEM text holds no certificate or no key.
    #[error("{0} is not PEM of the expected kind: {1}")]
    Pem(&'static str, String),
    /// Certificate and key do not belong together, or the key type is not supported.
    #[error("certificate and key cannot be used: {0}")]
    Unusable(String),
}

struct Current {
    key: Arc<CertifiedKey>,
    end_point: Vec<u8>,
}

struct Resolver(RwLock<Current>);

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolver")
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().key.clone())
    }
}

/// TLS for all listeners. Cheap to clone.
#[derive(Clone)]
pub struct ServerTls {
    resolver: Arc<Resolver>,
    config: Arc<ServerConfig>,
}

impl ServerTls {
    /// From a certificate chain and a private key in PEM.
    pub fn new(chain_pem: &[u8], key_pem: &[u8]) -> Result<Self, TlsError> {
        let resolver = Arc::new(Resolver(RwLock::new(load(chain_pem, key_pem)?)));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(|e| TlsError::Unusable(e.to_string()))?
            .with_no_client_auth()
            .with_cert_resolver(resolver.clone());
        Ok(Self { resolver, config: Arc::new(config) })
    }

    /// The rustls configuration, without ALPN.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.config.clone()
    }

    /// The rustls configuration with these ALPN protocols.
    pub fn config_with_alpn(&self, protocols: &[&[u8]]) -> Arc<ServerConfig> {
        let mut config = ServerConfig::clone(&self.config);
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Arc::new(config)
    }

    /// tls-server-end-point channel binding data (RFC 5929 §4.1): the hash of our certificate, without
    /// the `tls-server-end-point:` prefix.
    pub fn end_point(&self) -> Vec<u8> {
        self.resolver.0.read().end_point.clone()
    }

    /// Takes another certificate into use for new connections. On error the present one stays.
    pub fn replace(&self, chain_pem: &[u8], key_pem: &[u8]) -> Result<(), TlsError> {
        *self.resolver.0.write() = load(chain_pem, key_pem)?;
        Ok(())
    }
}

fn load(chain_pem: &[u8], key_pem: &[u8]) -> Result<Current, TlsError> {
    let chain = CertificateDer::pem_slice_iter(chain_pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| TlsError::Pem("certificate", e.to_string()))?;
    let leaf = chain.first().ok_or(TlsError::Pem("certificate", "it is empty".to_owned()))?;
    let end_point = end_point(leaf);
    let key =
        PrivateKeyDer::from_pem_slice(key_pem).map_err(|e| TlsError::Pem("key", e.to_string()))?;
    let key = CertifiedKey::from_der(chain, key, &rustls::crypto::ring::default_provider())
        .map_err(|e| TlsError::Unusable(e.to_string()))?;
    Ok(Current { key: Arc::new(key), end_point })
}

/// RFC 5929 §4.1: the hash of the signature algorithm, SHA-256 in place of MD5 and SHA-1.
fn end_point(certificate: &CertificateDer<'_>) -> Vec<u8> {
    // OIDs of the signature algorithms that hash with SHA-384 and SHA-512, as they stand in DER.
    const SHA384: [&[u8]; 2] = [
        b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0c",
        b"\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x03",
    ];
    const SHA512: [&[u8]; 2] = [
        b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0d",
        b"\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x04",
    ];
    let der = certificate.as_ref();
    let has = |oids: [&[u8]; 2]| oids.iter().any(|oid| signature_algorithm(der) == Some(*oid));
    let algorithm = if has(SHA384) {
        &digest::SHA384
    } else if has(SHA512) {
        &digest::SHA512
    } else {
        &digest::SHA256
    };
    digest::digest(algorithm, der).as_ref().to_vec()
}

/// The OID (with tag and length) of the outer signatureAlgorithm (RFC 5280 §4.1.1.2).
fn signature_algorithm(der: &[u8]) -> Option<&[u8]> {
    let (certificate, _) = element(der)?;
    let (_, rest) = element(certificate)?;
    let (algorithm, _) = element(rest)?;
    let (content, rest) = element(algorithm)?;
    let header = algorithm.len() - rest.len() - content.len();
    algorithm.get(..header + content.len())
}

/// Content of the first DER element, and what follows it.
fn element(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let first = *der.get(1)?;
    let (length, header) = if first < 0x80 {
        (usize::from(first), 2)
    } else {
        let count = usize::from(first & 0x7f);
        let bytes = der.get(2..2 + count).filter(|bytes| bytes.len() <= 4)?;
        (bytes.iter().fold(0, |n, b| n << 8 | usize::from(*b)), 2 + count)
    };
    let end = header.checked_add(length)?;
    Some((der.get(header..end)?, der.get(end..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(algorithm: &'static rcgen::SignatureAlgorithm) -> (String, String) {
        let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
        let params = rcgen::CertificateParams::new(vec!["mail.example.test".into()]).unwrap();
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    #[test]
    fn end_point_uses_the_hash_of_the_signature_rfc5929() {
        for (algorithm, length) in
            [(&rcgen::PKCS_ECDSA_P256_SHA256, 32), (&rcgen::PKCS_ECDSA_P384_SHA384, 48)]
        {
            let (chain, key) = made(algorithm);
            let tls = ServerTls::new(chain.as_bytes(), key.as_bytes()).unwrap();
            assert_eq!(tls.end_point().len(), length);
        }
    }

    #[test]
    fn a_key_of_another_certificate_is_refused_and_the_present_one_stays() {
        let (chain, key) = made(&rcgen::PKCS_ECDSA_P256_SHA256);
        let (other, _) = made(&rcgen::PKCS_ECDSA_P256_SHA256);
        let tls = ServerTls::new(chain.as_bytes(), key.as_bytes()).unwrap();
        let before = tls.end_point();
        assert!(tls.replace(other.as_bytes(), key.as_bytes()).is_err());
        assert!(tls.replace(b"", key.as_bytes()).is_err());
        assert_eq!(tls.end_point(), before);
    }

    #[test]
    fn der_elements_never_reach_beyond_their_bytes() {
        for bytes in
            [&b""[..], b"\x30", b"\x30\x85\x01\x01\x01\x01\x01", b"\x30\x82\xff", b"\x30\x05\x01"]
        {
            assert!(element(bytes).is_none(), "{bytes:?}");
        }
    }
}
