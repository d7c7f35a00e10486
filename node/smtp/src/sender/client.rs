//! A connection to a next hop: the client's side of SMTP.

use std::{fmt::Write, io, net::SocketAddr, sync::Arc, time::Duration};

use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use crate::{
    codec::{Response, ResponseReader},
    serve::stream::{Stream, describe},
};

// How long is waited: RFC 5321 §4.5.3.2, shorter for connecting.
const CONNECT: Duration = Duration::from_secs(30);
const HANDSHAKE: Duration = Duration::from_secs(30);
const ANSWER: Duration = Duration::from_secs(300);
const BLOCK: Duration = Duration::from_secs(180);
const FINAL: Duration = Duration::from_secs(600);
/// Bytes written at once; each block has its time-out.
const BLOCK_SIZE: usize = 64 * 1024;

/// What the next hop can do (EHLO keywords).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Extensions {
    pub(super) pipelining: bool,
    pub(super) eight_bit: bool,
    pub(super) utf8: bool,
    pub(super) dsn: bool,
    pub(super) start_tls: bool,
    /// Largest message; `None` is unknown or unlimited.
    pub(super) size: Option<u64>,
}

impl Extensions {
    fn parse(response: &Response) -> Self {
        let mut found = Self::default();
        for line in response.lines.iter().skip(1) {
            let mut words = line.split(' ');
            match words.next().unwrap_or_default().to_ascii_uppercase().as_str() {
                "PIPELINING" => found.pipelining = true,
                "8BITMIME" => found.eight_bit = true,
                "SMTPUTF8" => found.utf8 = true,
                "DSN" => found.dsn = true,
                "STARTTLS" => found.start_tls = true,
                "SIZE" => {
                    found.size = words.next().and_then(|w| w.parse().ok()).filter(|size| *size > 0);
                }
                _ => {}
            }
        }
        found
    }
}

/// Why a next hop cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum HopError {
    /// Could not be reached, or the line broke.
    #[error("{0}")]
    Io(String),
    /// It does not speak SMTP properly.
    #[error("{0}")]
    Protocol(&'static str),
    /// It refused the connection.
    #[error("refused: {0}")]
    Refused(String),
    /// TLS was offered and did not work.
    #[error("STARTTLS failed: {0}")]
    Tls(String),
    /// It is this host.
    #[error("the next hop calls itself by our own name")]
    Ourselves,
}

impl From<io::Error> for HopError {
    fn from(error: io::Error) -> Self {
        Self::Io(error.to_string())
    }
}

/// A connection behind EHLO.
pub(super) struct Client {
    stream: Box<dyn Stream>,
    buffer: Vec<u8>,
    responses: ResponseReader,
    pub(super) extensions: Extensions,
    /// TLS version and cipher suite.
    pub(super) tls: Option<String>,
}

impl Client {
    /// Connects, says EHLO, and starts TLS if `tls` is given and the next hop offers it.
    pub(super) async fn connect(
        address: SocketAddr,
        host: &str,
        own: &str,
        tls: Option<Arc<rustls::ClientConfig>>,
    ) -> Result<Self, HopError> {
        let stream =
            timeout(CONNECT, TcpStream::connect(address)).await.map_err(io::Error::from)??;
        let _ = stream.set_nodelay(true);
        let mut client = Self {
            stream: Box::new(stream),
            buffer: Vec::new(),
            responses: ResponseReader::default(),
            extensions: Extensions::default(),
            tls: None,
        };
        let greeting = client.response(ANSWER).await?;
        if greeting.code != 220 {
            return Err(HopError::Refused(greeting.text()));
        }
        client.hello(own).await?;
        match tls {
            Some(config) if client.extensions.start_tls => {
                client.start_tls(config, host, own).await
            }
            _ => Ok(client),
        }
    }

    async fn hello(&mut self, own: &str) -> Result<(), HopError> {
        let mut response = self.command(&format!("EHLO {own}\r\n")).await?;
        self.extensions = Extensions::parse(&response);
        if response.is_permanent() {
            self.extensions = Extensions::default();
            response = self.command(&format!("HELO {own}\r\n")).await?;
        }
        if response.code != 250 {
            return Err(HopError::Refused(response.text()));
        }
        let name =
            response.lines.first().and_then(|line| line.split(' ').next()).unwrap_or_default();
        if name.eq_ignore_ascii_case(own) { Err(HopError::Ourselves) } else { Ok(()) }
    }

    async fn start_tls(
        mut self,
        config: Arc<rustls::ClientConfig>,
        host: &str,
        own: &str,
    ) -> Result<Self, HopError> {
        let response = self.command("STARTTLS\r\n").await?;
        if response.code != 220 {
            return Err(HopError::Tls(response.text()));
        }
        if !self.buffer.is_empty() {
            return Err(HopError::Protocol("it sent something behind STARTTLS"));
        }
        let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())
            .map_err(|_| HopError::Tls("its name cannot be used for TLS".into()))?;
        let connecting = TlsConnector::from(config).connect(name, self.stream);
        let stream = timeout(HANDSHAKE, connecting)
            .await
            .map_err(io::Error::from)
            .flatten()
            .map_err(|error| HopError::Tls(error.to_string()))?;
        self.tls = Some(describe(stream.get_ref().1));
        self.stream = Box::new(stream);
        self.hello(own).await?;
        Ok(self)
    }

    /// Sends a command and waits for its answer.
    pub(super) async fn command(&mut self, line: &str) -> Result<Response, HopError> {
        self.write(line.as_bytes()).await?;
        self.response(ANSWER).await
    }

    /// The next answer.
    pub(super) async fn answer(&mut self) -> Result<Response, HopError> {
        self.response(ANSWER).await
    }

    async fn response(&mut self, patience: Duration) -> Result<Response, HopError> {
        timeout(patience, self.read_response()).await.map_err(io::Error::from)?
    }

    async fn read_response(&mut self) -> Result<Response, HopError> {
        let mut block = [0; 4096];
        loop {
            if let Some(response) =
                self.responses.next(&mut self.buffer).map_err(HopError::Protocol)?
            {
                return Ok(response);
            }
            match self.stream.read(&mut block).await? {
                0 => return Err(HopError::Io("it closed the connection".into())),
                n => self.buffer.extend_from_slice(block.get(..n).unwrap_or_default()),
            }
        }
    }

    /// Sends bytes without waiting for an answer.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<(), HopError> {
        for block in bytes.chunks(BLOCK_SIZE) {
            let write = self.stream.write_all(block);
            timeout(BLOCK, write).await.map_err(io::Error::from)??;
        }
        timeout(BLOCK, self.stream.flush()).await.map_err(io::Error::from)??;
        Ok(())
    }

    /// Sends the text after a 354 and waits for the verdict.
    pub(super) async fn text(&mut self, stuffed: &[u8]) -> Result<Response, HopError> {
        self.write(stuffed).await?;
        self.response(FINAL).await
    }

    /// Says good-bye without waiting long.
    pub(super) async fn quit(mut self) {
        let _ = timeout(Duration::from_secs(5), self.command("QUIT\r\n")).await;
        let _ = self.stream.shutdown().await;
    }
}

/// The text of a message as it goes over the line: dots stuffed, end mark added (RFC 5321 §4.5.2). The message has no
/// bare CR or LF: reception saw to that.
pub(super) fn stuffed(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() + message.len() / 64 + 8);
    for line in message.split_inclusive(|byte| *byte == b'\n') {
        if line.first() == Some(&b'.') {
            out.push(b'.');
        }
        out.extend_from_slice(line);
    }
    if !out.is_empty() && !out.ends_with(b"\r\n") {
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b".\r\n");
    out
}

/// NOTIFY as a parameter, if it is not what is done anyway.
pub(super) fn notify(bits: u8) -> String {
    if bits == 6 {
        return String::new();
    }
    let words: Vec<&str> = [(1, "SUCCESS"), (2, "FAILURE"), (4, "DELAY")]
        .into_iter()
        .filter(|(bit, _)| bits & bit != 0)
        .map(|(_, word)| word)
        .collect();
    let mut parameter = String::from(" NOTIFY=");
    let _ =
        write!(parameter, "{}", if words.is_empty() { "NEVER".into() } else { words.join(",") });
    parameter
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_reads_back_as_the_message() {
        for message in [&b"a\r\n"[..], b".\r\n", b"..\r\n.a\r\n", b"\r\n.\r\n", b"a", b""] {
            let mut reader = crate::codec::DataReader::new(1000);
            let stuffed = stuffed(message);
            assert_eq!(reader.feed(&stuffed), (stuffed.len(), true), "{message:?}");
            let read = reader.finish().unwrap();
            assert!(read.starts_with(message), "{message:?}");
        }
    }

    #[test]
    fn notify_is_said_when_it_is_not_the_default() {
        for (bits, text) in [
            (6, ""),
            (0, " NOTIFY=NEVER"),
            (1, " NOTIFY=SUCCESS"),
            (7, " NOTIFY=SUCCESS,FAILURE,DELAY"),
        ] {
            assert_eq!(notify(bits), text);
        }
    }

    #[test]
    fn extensions_are_read_without_case() {
        let lines = ["x.test", "size 100", "Pipelining", "8BITMIME", "STARTTLS"];
        let response = Response { code: 250, lines: lines.map(String::from).to_vec() };
        let found = Extensions::parse(&response);
        assert!(found.pipelining && found.eight_bit && found.start_tls && !found.utf8);
        assert_eq!(found.size, Some(100));
    }
}
