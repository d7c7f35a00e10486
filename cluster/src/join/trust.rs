//! Whom a new node believes: the cluster of its code, and nobody else.

use std::{io, sync::Arc};

use parking_lot::Mutex;
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    pki_types::{CertificateDer, ServerName, UnixTime},
    version::TLS13,
};

use super::{InviteCode, JoinError};
use crate::{
    Environment,
    authority::{Problem, identify},
    link::tls,
};

/// Judges one server.
pub(super) struct Cluster {
    env: Environment,
    code: InviteCode,
    problem: Mutex<Option<Problem>>,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cluster")
    }
}

impl Cluster {
    pub(super) fn of(env: &Environment, code: &InviteCode) -> Arc<Self> {
        Arc::new(Self { env: env.clone(), code: code.clone(), problem: Mutex::default() })
    }

    /// What was wrong with the server's certificate.
    pub(super) fn problem(&self) -> Option<Problem> {
        self.problem.lock().clone()
    }

    fn judge(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
    ) -> Result<(), Problem> {
        let authority = chain.iter().find(|one| self.code.is_of(one)).ok_or(Problem::Authority)?;
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone().into_owned()).map_err(|_| Problem::Authority)?;
        identify(certificate, &roots, self.env.clock.now()).map(drop)
    }
}

impl ServerCertVerifier for Cluster {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.judge(end_entity, intermediates).map_err(|problem| {
            *self.problem.lock() = Some(problem.clone());
            Error::from(tls::Verdict::from(problem))
        })?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        tls::no_older_tls()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        tls::signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        tls::schemes()
    }
}

/// For connections of a new node.
pub(super) fn config(cluster: Arc<Cluster>) -> Result<ClientConfig, Error> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(tls::provider()))
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(cluster)
        .with_no_client_auth();
    config.alpn_protocols = vec![tls::JOIN.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_sni = false;
    Ok(config)
}

/// A handshake failed before any certificate was seen.
pub(super) fn failed(address: &str, error: &io::Error) -> JoinError {
    let of_tls = error.get_ref().is_some_and(|inner| inner.is::<Error>());
    match of_tls {
        true => JoinError::Protocol(address.into(), tls::explain(error)),
        false => JoinError::Unreachable(error.to_string()),
    }
}
