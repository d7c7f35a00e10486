//! Small blocking clients, for tests that care about every byte.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};

/// Longest wait for a byte.
const PATIENCE: Duration = Duration::from_secs(20);

/// A stream in clear or under TLS.
pub trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

/// A dialogue in lines.
pub struct Lines {
    stream: BufReader<Box<dyn Stream>>,
}

/// TLS that trusts a CA.
pub fn tls_config(ca: &Path) -> Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca)?)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

fn connect(address: SocketAddr, patience: Duration) -> Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

impl Lines {
    /// In clear.
    pub fn plain(address: SocketAddr) -> Result<Self> {
        Self::plain_within(address, PATIENCE)
    }

    /// As [`Lines::plain`]; waits so long for each byte.
    pub fn plain_within(address: SocketAddr, patience: Duration) -> Result<Self> {
        let stream: Box<dyn Stream> = Box::new(connect(address, patience)?);
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Under TLS from the first byte; the certificate is for `localhost`.
    pub fn tls(address: SocketAddr, ca: &Path) -> Result<Self> {
        Self::tls_within(address, &tls_config(ca)?, PATIENCE)
    }

    /// As [`Lines::tls`]; waits so long for each byte.
    pub fn tls_within(
        address: SocketAddr,
        config: &Arc<ClientConfig>,
        patience: Duration,
    ) -> Result<Self> {
        let connection = ClientConnection::new(config.clone(), ServerName::try_from("localhost")?)?;
        let stream = connect(address, patience)?;
        let stream: Box<dyn Stream> = Box::new(StreamOwned::new(connection, stream));
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.get_mut().write_all(bytes)?;
        Ok(self.stream.get_mut().flush()?)
    }

    /// Reads a line without its end.
    pub fn line(&mut self) -> Result<String> {
        let mut line = Vec::new();
        ensure!(self.stream.read_until(b'\n', &mut line)? > 0, "the connection was closed");
        Ok(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned())
    }

    /// Whether the server has closed the connection (waits for it).
    pub fn is_closed(&mut self) -> bool {
        let mut rest = Vec::new();
        match self.stream.read_to_end(&mut rest) {
            Ok(_) => true,
            Err(error) => !matches!(
                error.kind(),
                std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
            ),
        }
    }
}

/// An SMTP client.
pub struct Smtp(pub Lines);

impl Smtp {
    /// Connects in clear and says EHLO.
    pub fn connect(address: SocketAddr) -> Result<Self> {
        Self::greet(Lines::plain(address)?)
    }

    /// Waits for the greeting and says EHLO.
    pub fn greet(lines: Lines) -> Result<Self> {
        let mut smtp = Self(lines);
        let greeting = smtp.reply()?;
        ensure!(greeting.starts_with("220"), "{greeting}");
        let hello = smtp.command("EHLO client.example")?;
        ensure!(hello.starts_with("250"), "{hello}");
        Ok(smtp)
    }

    /// The last line of a reply.
    pub fn reply(&mut self) -> Result<String> {
        loop {
            let line = self.0.line()?;
            if line.as_bytes().get(3) != Some(&b'-') {
                return Ok(line);
            }
        }
    }

    /// Sends a line and returns the reply.
    pub fn command(&mut self, line: &str) -> Result<String> {
        self.0.send(format!("{line}\r\n").as_bytes())?;
        self.reply()
    }

    /// Sends a message to one recipient and returns the reply to its end.
    pub fn deliver(&mut self, to: &str, message: &str) -> Result<String> {
        for line in ["MAIL FROM:<sender@remote.example>".to_owned(), format!("RCPT TO:<{to}>")] {
            let reply = self.command(&line)?;
            if !reply.starts_with("250") {
                return Ok(reply);
            }
        }
        let reply = self.command("DATA")?;
        if !reply.starts_with("354") {
            return Ok(reply);
        }
        self.command(&format!("{message}\r\n."))
    }
}

/// An IMAP client under TLS.
pub struct Imap(pub Lines);

impl Imap {
    /// Connects and signs on.
    pub fn sign_on(address: SocketAddr, ca: &Path, user: &str, password: &str) -> Result<Self> {
        Self::enter(Lines::tls(address, ca)?, user, password)
    }

    /// Waits for the greeting and signs on.
    pub fn enter(lines: Lines, user: &str, password: &str) -> Result<Self> {
        let mut imap = Self(lines);
        let greeting = imap.0.line()?;
        ensure!(greeting.starts_with("* OK"), "{greeting}");
        imap.ok(&format!("LOGIN {user} {password}"))?;
        Ok(imap)
    }

    /// Sends a command and returns everything up to the tagged answer, that included as the last line. Literals
    /// are part of the lines that they stand in.
    pub fn command(&mut self, command: &str) -> Result<Vec<String>> {
        self.0.send(format!("t {command}\r\n").as_bytes())?;
        let mut lines = Vec::new();
        loop {
            let mut line = self.0.line()?;
            while let Some(length) = literal(&line) {
                let mut bytes = vec![0; length];
                self.0.stream.read_exact(&mut bytes)?;
                line += &String::from_utf8_lossy(&bytes);
                line += &self.0.line()?;
            }
            let last = line.starts_with("t ");
            lines.push(line);
            if last {
                return Ok(lines);
            }
        }
    }

    /// As [`Imap::command`]; anything but OK is an error.
    pub fn ok(&mut self, command: &str) -> Result<Vec<String>> {
        let lines = self.command(command)?;
        let last = lines.last().context("no answer")?;
        if !last.starts_with("t OK") {
            bail!("{command}: {last}");
        }
        Ok(lines)
    }

    /// Message-IDs of all messages of a folder, in order.
    pub fn message_ids(&mut self, folder: &str) -> Result<Vec<String>> {
        let selected = self.ok(&format!("EXAMINE {folder}"))?;
        if selected.iter().any(|line| line == "* 0 EXISTS") {
            return Ok(Vec::new());
        }
        let lines = self.ok("FETCH 1:* (BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])")?;
        let id = |line: &String| {
            let (_, rest) = line.split_once('<')?;
            Some(rest.split_once('>')?.0.to_owned())
        };
        Ok(lines.iter().filter_map(id).collect())
    }
}

fn literal(line: &str) -> Option<usize> {
    let inner = line.strip_suffix('}')?;
    inner[inner.rfind('{')? + 1..].parse().ok()
}
