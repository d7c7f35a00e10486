//! TLS of links: 1.3 only, nothing is resumed, both sides are checked by [`Trust`].

use std::{io, sync::Arc};

use parking_lot::Mutex;
use rustls::{
    AlertDescription, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, ServerConfig,
    SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::CryptoProvider,
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::{
        NoServerSessionStorage,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    sign::SingleCertAndKey,
    version::TLS13,
};

use super::trust::Trust;
pub(crate) use super::trust::Verdict;
use crate::NodeId;

/// Application protocol of links (RFC 7301).
pub(crate) const NODE: &[u8] = b"posthouse-node/1";
/// Application protocol of joining.
pub(crate) const JOIN: &[u8] = b"posthouse-join/1";

pub(crate) fn provider() -> CryptoProvider {
    rustls::crypto::ring::default_provider()
}

/// Judges the other side of one connection.
#[derive(Debug)]
pub(crate) struct Judge {
    trust: Arc<Trust>,
    expected: Option<NodeId>,
    outcome: Mutex<Option<Result<NodeId, Verdict>>>,
}

impl Judge {
    /// For a connection to `expected`, or from anybody.
    pub(crate) fn new(trust: &Arc<Trust>, expected: Option<NodeId>) -> Arc<Self> {
        Arc::new(Self { trust: Arc::clone(trust), expected, outcome: Mutex::default() })
    }

    /// Who the other side is, once it was judged.
    pub(crate) fn outcome(&self) -> Option<Result<NodeId, Verdict>> {
        self.outcome.lock().clone()
    }

    fn judge(&self, certificate: &CertificateDer<'_>) -> Result<(), Error> {
        let outcome = self.trust.judge(certificate).and_then(|node| match self.expected {
            Some(expected) if expected != node => Err(Verdict::OtherNode(node)),
            _ => Ok(node),
        });
        *self.outcome.lock() = Some(outcome.clone());
        outcome.map(drop).map_err(Error::from)
    }
}

/// Checks the signature of a handshake; RFC 8446 §4.4.3.
pub(crate) fn signature(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signature: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, Error> {
    let algorithms = provider().signature_verification_algorithms;
    rustls::crypto::verify_tls13_signature(message, certificate, signature, &algorithms)
}

/// Signatures that nodes use.
pub(crate) fn schemes() -> Vec<SignatureScheme> {
    vec![SignatureScheme::ED25519]
}

/// There is no TLS 1.2 here.
pub(crate) fn no_older_tls() -> Result<HandshakeSignatureValid, Error> {
    Err(Error::PeerIncompatible(rustls::PeerIncompatible::ServerDoesNotSupportTls12Or13))
}

impl ServerCertVerifier for Judge {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.judge(end_entity).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        no_older_tls()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        schemes()
    }
}

impl ClientCertVerifier for Judge {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // strangers are not told the name of the cluster
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.judge(end_entity).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        no_older_tls()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        schemes()
    }
}

/// For connections to other nodes.
pub(crate) fn to_node(trust: &Trust, judge: Arc<Judge>) -> Result<ClientConfig, Error> {
    let builder = ClientConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(judge);
    let mut config =
        builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(trust.shown())));
    config.alpn_protocols = vec![NODE.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_sni = false;
    Ok(config)
}

/// For connections from other nodes.
pub(crate) fn from_node(trust: &Trust, judge: Arc<Judge>) -> Result<ServerConfig, Error> {
    let builder = ServerConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(judge);
    let config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(trust.shown())));
    Ok(server(config, NODE))
}

/// For connections from nodes that want to join.
pub(crate) fn from_joiner(trust: &Trust) -> Result<ServerConfig, Error> {
    let builder = ServerConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(&[&TLS13])?
        .with_no_client_auth();
    let shown = Arc::new(SingleCertAndKey::from(trust.shown_at_door()));
    Ok(server(builder.with_cert_resolver(shown), JOIN))
}

fn server(mut config: ServerConfig, protocol: &[u8]) -> ServerConfig {
    config.alpn_protocols = vec![protocol.to_vec()];
    // a session that is resumed would not be judged again
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config
}

/// The alert that the other side sent, when an error is one.
pub(crate) fn alert(error: &io::Error) -> Option<AlertDescription> {
    match error.get_ref()?.downcast_ref::<Error>()? {
        Error::AlertReceived(alert) => Some(*alert),
        _ => None,
    }
}

/// What an error means for the administrator.
pub(crate) fn explain(error: &io::Error) -> String {
    let text = match alert(error) {
        Some(AlertDescription::CertificateRevoked) => "this node was removed from the cluster",
        Some(AlertDescription::CertificateExpired) => {
            "it takes this node's certificate for expired or not valid yet: the certificate must be renewed, or the clock of one of the two is wrong"
        }
        Some(AlertDescription::AccessDenied) => {
            "it does not know this node's number or key (yet): its copy of the directory may be older"
        }
        Some(AlertDescription::UnknownCA) => {
            "it does not know the authority of this node's certificate"
        }
        Some(AlertDescription::NoApplicationProtocol) => "its program speaks another protocol",
        _ => return error.to_string(),
    };
    text.into()
}
