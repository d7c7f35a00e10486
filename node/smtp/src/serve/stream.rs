//! A connection in clear or under TLS.

use std::{io, sync::Arc};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;

/// Bytes both ways.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Accepts TLS on `stream`; what was negotiated in words, such as `TLS1.3 TLS13_AES_256_GCM_SHA384`.
pub(super) async fn accept_tls(
    stream: Box<dyn Stream>,
    config: Arc<rustls::ServerConfig>,
) -> io::Result<(Box<dyn Stream>, String)> {
    let stream = TlsAcceptor::from(config).accept(stream).await?;
    let words = describe(stream.get_ref().1);
    Ok((Box::new(stream), words))
}

/// Version and cipher suite of a TLS connection.
pub(crate) fn describe(connection: &rustls::CommonState) -> String {
    let version = match connection.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_3) => "TLS1.3",
        Some(rustls::ProtocolVersion::TLSv1_2) => "TLS1.2",
        _ => "TLS",
    };
    let suite = connection.negotiated_cipher_suite().and_then(|s| s.suite().as_str()).unwrap_or("");
    format!("{version} {suite}")
}
