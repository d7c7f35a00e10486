//! The command line's way to the admin API of the node on this machine.

use std::{collections::BTreeMap, fs, net::SocketAddr, path::Path, sync::Arc};

use anyhow::{Context, Result, anyhow, bail};
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, StatusCode, body::Bytes};
use hyper_util::rt::TokioIo;
use posthouse_http::{API_PREFIX, LocalToken, REQUEST_HEADER};
use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::CryptoProvider,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject};
use serde_json::Value;
use tokio::net::TcpStream;

use crate::{
    certificates,
    config::{Layout, Port},
};

/// Largest answer in bytes.
const MAX_ANSWER: usize = 64 << 20;

/// A client of the node that runs on a data folder.
pub(crate) struct Client {
    address: SocketAddr,
    token: String,
    tls: Arc<ClientConfig>,
}

impl Client {
    /// The node of this data folder.
    pub(crate) fn of(data: &Path) -> Result<Self> {
        let layout = Layout::existing(data)?;
        let address = *addresses(&layout)?
            .get(&Port::Admin)
            .context("the node has no admin port: turn it on in node.toml")?;
        let token = LocalToken::read(&layout.data).with_context(|| {
            format!("no node runs on {}, or it belongs to another user", layout.data.display())
        })?;
        Ok(Self { address, token, tls: tls_client(&layout.tls())? })
    }

    /// Calls the API: path below `/api/v1/`.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value> {
        let body = body.map(serde_json::to_vec).transpose()?.unwrap_or_default();
        let bytes = self.send(method, path, "application/json", body).await?;
        if bytes.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&bytes).context("the node's answer is not JSON")
    }

    /// Sends `body` of media type `kind` to a path below the API and returns the answer as bytes.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        kind: &str,
        body: Vec<u8>,
    ) -> Result<Bytes> {
        let stream = TcpStream::connect(self.address).await.with_context(|| {
            format!("no node answers at {}: start it with `posthouse run`", self.address)
        })?;
        let name = ServerName::IpAddress(self.address.ip().into());
        let stream =
            tokio_rustls::TlsConnector::from(self.tls.clone()).connect(name, stream).await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let driver = tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(format!("{API_PREFIX}/{path}"))
            .header("host", self.address.to_string())
            .header("authorization", format!("Bearer {}", self.token))
            .header(REQUEST_HEADER, "1")
            .header("content-type", kind)
            .body(Full::new(Bytes::from(body)))?;
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        let body = http_body_util::Limited::new(answer.into_body(), MAX_ANSWER);
        let bytes =
            body.collect().await.map_err(|e| anyhow!("the answer broke off: {e}"))?.to_bytes();
        driver.abort();
        if status.is_success() { Ok(bytes) } else { Err(problem(status, &bytes)) }
    }
}

/// Where the services of the running node listen.
pub(crate) fn addresses(layout: &Layout) -> Result<BTreeMap<Port, SocketAddr>> {
    let path = layout.addresses();
    let text = fs::read_to_string(&path).with_context(|| {
        format!("no node runs on {}: start it with `posthouse run`", layout.data.display())
    })?;
    serde_json::from_str(&text).with_context(|| format!("{} is damaged", path.display()))
}

/// A problem document (RFC 9457) in words.
fn problem(status: StatusCode, bytes: &[u8]) -> anyhow::Error {
    let value: Value = serde_json::from_slice(bytes).unwrap_or(Value::Null);
    let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or("").to_owned();
    match (text("message"), text("remedy")) {
        (message, _) if message.is_empty() => anyhow!("the node answered {status}"),
        (message, remedy) if remedy.is_empty() => anyhow!("{message}"),
        (message, remedy) => anyhow!("{message}\n{remedy}"),
    }
}

/// TLS that trusts exactly the certificates in the node's own folder.
pub(crate) fn tls_client(folder: &Path) -> Result<Arc<ClientConfig>> {
    let mut trusted = Vec::new();
    for name in ["cert.pem", certificates::CUSTOM.0] {
        if let Ok(pem) = fs::read(folder.join(name)) {
            trusted.extend(CertificateDer::pem_slice_iter(&pem).take(1).flatten());
        }
    }
    if trusted.is_empty() {
        bail!("there is no certificate in {}", folder.display());
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let pinned = Arc::new(Pinned { trusted, provider: provider.clone() });
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(pinned)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// Trusts these certificates and no other, whatever they are called.
#[derive(Debug)]
struct Pinned {
    trusted: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.trusted.iter().any(|trusted| trusted.as_ref() == end_entity.as_ref()) {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(rustls::Error::General(
                "this is not the certificate in the node's folder".to_owned(),
            ))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
