//! An SMTP client that sends what it is told, byte for byte.

use std::{net::SocketAddr, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::PATIENCE;

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

pub struct Client {
    stream: Option<Box<dyn Stream>>,
    buffer: Vec<u8>,
}

impl Client {
    /// Connects and takes the greeting.
    pub async fn connect(address: SocketAddr) -> Self {
        let mut client = Self {
            stream: Some(Box::new(TcpStream::connect(address).await.unwrap())),
            buffer: Vec::new(),
        };
        let greeting = client.reply().await;
        assert!(greeting.starts_with("220 "), "{greeting}");
        client
    }

    pub async fn connect_tls(address: SocketAddr) -> Self {
        let stream: Box<dyn Stream> = Box::new(TcpStream::connect(address).await.unwrap());
        let mut client = Self { stream: Some(stream), buffer: Vec::new() };
        client.handshake().await;
        let greeting = client.reply().await;
        assert!(greeting.starts_with("220 "), "{greeting}");
        client
    }

    pub async fn start_tls(&mut self) {
        self.expect("STARTTLS", 220).await;
        self.handshake().await;
    }

    async fn handshake(&mut self) {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody))
            .with_no_client_auth();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let name = ServerName::try_from(super::HOST).unwrap();
        let stream = self.stream.take().unwrap();
        self.stream = Some(Box::new(connector.connect(name, stream).await.unwrap()));
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        let stream = self.stream.as_mut().unwrap();
        stream.write_all(bytes).await.unwrap();
        stream.flush().await.unwrap();
    }

    /// The next reply, all its lines; empty when the connection has ended.
    pub async fn reply(&mut self) -> String {
        let mut reply = String::new();
        loop {
            while let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..end + 2).collect();
                let line = String::from_utf8(line).unwrap();
                let last = line.as_bytes()[3] == b' ';
                reply += &line;
                if last {
                    return reply;
                }
            }
            let mut block = [0; 4096];
            let read = self.stream.as_mut().unwrap().read(&mut block);
            match timeout(PATIENCE, read).await.expect("a reply in time") {
                Ok(0) | Err(_) => return reply,
                Ok(count) => self.buffer.extend_from_slice(&block[..count]),
            }
        }
    }

    pub async fn command(&mut self, line: &str) -> String {
        self.send(format!("{line}\r\n").as_bytes()).await;
        self.reply().await
    }

    pub async fn expect(&mut self, line: &str, code: u16) -> String {
        let reply = self.command(line).await;
        assert!(reply.starts_with(&code.to_string()), "{line:?}: {reply:?}, not {code}");
        reply
    }

    pub async fn sign_on(&mut self, name: &str, password: &str) {
        let plain = STANDARD.encode(format!("\0{name}\0{password}"));
        self.expect(&format!("AUTH PLAIN {plain}"), 235).await;
    }

    /// EHLO, MAIL, RCPT for each, DATA; the reply to the message.
    pub async fn mail(&mut self, from: &str, to: &[&str], message: &str) -> String {
        self.expect("EHLO client.test", 250).await;
        self.mail_again(from, to, message).await
    }

    /// MAIL, RCPT for each, DATA; the reply to the message.
    pub async fn mail_again(&mut self, from: &str, to: &[&str], message: &str) -> String {
        self.expect(&format!("MAIL FROM:<{from}>"), 250).await;
        for to in to {
            self.expect(&format!("RCPT TO:<{to}>"), 250).await;
        }
        self.expect("DATA", 354).await;
        self.send(message.as_bytes()).await;
        self.command(".").await
    }
}

#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![
            SignatureScheme::ECDSA_NISTP256_SHA256,
            SignatureScheme::ED25519,
            SignatureScheme::RSA_PSS_SHA256,
        ]
    }
}
