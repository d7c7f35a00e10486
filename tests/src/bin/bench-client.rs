//! Load for `make bench`: the same client against Posthouse and against what a user would run instead.
//! Prints one JSON object with rates.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Result, bail, ensure};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufStream},
    net::TcpStream,
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

#[path = "bench-client/etcd.rs"]
mod etcd;

/// No answer of a benchmark takes longer.
const PATIENCE: Duration = Duration::from_secs(120);

#[tokio::main]
async fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let rates = match words.as_slice() {
        ["imap", address, user, password, folder, messages] => {
            imap(address.parse()?, user, password, folder, messages.parse()?).await?
        }
        ["fill", address, user, password, items] => {
            fill(address.parse()?, user, password, items.parse()?).await?
        }
        ["first", address, user, password] => first(address.parse()?, user, password).await?,
        ["etcd", address, writers, seconds] => {
            etcd::puts(address.parse()?, writers.parse()?, seconds.parse()?).await?
        }
        ["ldap", url, dn, password, base, people, searches] => {
            ldap(url, dn, password, base, people.parse()?, searches.parse()?).await?
        }
        _ => bail!(
            "usage: bench-client imap ADDRESS USER PASSWORD FOLDER MESSAGES | fill ADDRESS USER PASSWORD ITEMS | \
             first ADDRESS USER PASSWORD | etcd ADDRESS WRITERS SECONDS | \
             ldap URL DN PASSWORD BASE PEOPLE SEARCHES"
        ),
    };
    println!("{rates}");
    Ok(())
}

/// A benchmark talks to servers on this machine with certificates of their own.
#[derive(Debug)]
struct AnyCertificate;

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::ring::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

fn tls() -> Result<Arc<ClientConfig>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate))
        .with_no_client_auth();
    Ok(Arc::new(config))
}

struct Imap(BufStream<TlsStream<TcpStream>>);

impl Imap {
    async fn sign_on(address: SocketAddr, user: &str, password: &str) -> Result<Self> {
        ensure!(address.ip().is_loopback(), "benchmarks talk to loopback only");
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from("localhost")?;
        let stream = TlsConnector::from(tls()?).connect(name, stream).await?;
        let mut imap = Self(BufStream::with_capacity(256 * 1024, 256 * 1024, stream));
        let mut line = String::new();
        imap.0.read_line(&mut line).await?;
        imap.command(&format!("LOGIN {user} {password}")).await?;
        Ok(imap)
    }

    /// Sends a command and reads to its tagged answer; returns the bytes read.
    async fn command(&mut self, command: &str) -> Result<usize> {
        self.0.write_all(format!("x {command}\r\n").as_bytes()).await?;
        self.0.flush().await?;
        self.answer(command).await
    }

    async fn answer(&mut self, command: &str) -> Result<usize> {
        let (mut total, mut line) = (0, Vec::new());
        loop {
            line.clear();
            let read = timeout(PATIENCE, self.0.read_until(b'\n', &mut line)).await??;
            ensure!(read > 0, "{command}: the connection was closed");
            total += read;
            if let Some(literal) = literal_length(&line) {
                let mut body = vec![0; literal];
                self.0.read_exact(&mut body).await?;
                total += literal;
            }
            if line.starts_with(b"x ") {
                let text = String::from_utf8_lossy(&line).into_owned();
                ensure!(text.starts_with("x OK"), "{command}: {text}");
                return Ok(total);
            }
        }
    }

    async fn append(&mut self, folder: &str, message: &[u8]) -> Result<()> {
        let command = format!("x APPEND {folder} {{{}+}}\r\n", message.len());
        self.0.write_all(command.as_bytes()).await?;
        self.0.write_all(message).await?;
        self.0.write_all(b"\r\n").await?;
        self.0.flush().await?;
        self.answer("APPEND").await.map(drop)
    }
}

fn literal_length(line: &[u8]) -> Option<usize> {
    let line = line.strip_suffix(b"}\r\n")?;
    let start = line.iter().rposition(|byte| *byte == b'{')?;
    std::str::from_utf8(&line[start + 1..]).ok()?.parse().ok()
}

/// A message of about 20 KiB whose words differ from message to message.
fn message(number: usize) -> Vec<u8> {
    let mut text = format!(
        "From: Sender {number} <sender{number}@remote.example>\r\nTo: user@example.test\r\n\
         Subject: report number {number}\r\nDate: Mon, 05 Oct 2026 10:00:00 +0000\r\n\
         Message-ID: <{number}.bench@remote.example>\r\n\r\n"
    );
    let mut seed = number as u64;
    while text.len() < 20_000 {
        let mut line = String::new();
        while line.len() < 70 {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            line += &format!("word{} ", seed >> 50);
        }
        text += &line;
        text += "\r\n";
    }
    text.into_bytes()
}

const APPENDERS: usize = 4;

async fn imap(
    address: SocketAddr,
    user: &str,
    password: &str,
    folder: &str,
    messages: usize,
) -> Result<serde_json::Value> {
    let mut appenders = Vec::new();
    for _ in 0..APPENDERS {
        appenders.push(Imap::sign_on(address, user, password).await?);
    }
    appenders[0].command(&format!("CREATE {folder}")).await?;
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for (appender, mut imap) in appenders.into_iter().enumerate() {
        let folder = folder.to_owned();
        tasks.spawn(async move {
            for number in (appender..messages).step_by(APPENDERS) {
                imap.append(&folder, &message(number)).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    let append = messages as f64 / start.elapsed().as_secs_f64();

    let mut imap = Imap::sign_on(address, user, password).await?;
    imap.command(&format!("SELECT {folder}")).await?;
    let timed = async |imap: &mut Imap, command: &str, times: usize| -> Result<f64> {
        let start = Instant::now();
        for _ in 0..times {
            imap.command(command).await?;
        }
        Ok(start.elapsed().as_secs_f64() / times as f64)
    };
    let bodies = messages as f64 / timed(&mut imap, "FETCH 1:* (UID BODY.PEEK[])", 1).await?;
    let envelopes =
        messages as f64 / timed(&mut imap, "FETCH 1:* (FLAGS ENVELOPE BODYSTRUCTURE)", 2).await?;
    let flags = messages as f64 / timed(&mut imap, "FETCH 1:* (UID FLAGS)", 4).await?;
    let store = messages as f64 / timed(&mut imap, "STORE 1:* +FLAGS.SILENT (\\Seen)", 1).await?;
    let search_header = 1.0 / timed(&mut imap, "SEARCH SUBJECT \"number 77\"", 3).await?;
    let search_body = 1.0 / timed(&mut imap, "SEARCH BODY \"word12345 word\"", 2).await?;
    let search_flags = 1.0 / timed(&mut imap, "SEARCH UNSEEN UNDELETED", 20).await?;
    Ok(serde_json::json!({
        "append": append, "fetch bodies": bodies, "fetch envelopes": envelopes, "fetch flags": flags,
        "store flags": store, "search subject": search_header, "search body": search_body,
        "search flags": search_flags,
    }))
}

/// Fills a folder with small messages: some are appended, the rest are copies of them.
async fn fill(
    address: SocketAddr,
    user: &str,
    password: &str,
    items: usize,
) -> Result<serde_json::Value> {
    let mut imap = Imap::sign_on(address, user, password).await?;
    imap.command("CREATE Full").await?;
    let start = Instant::now();
    for number in 0..FILL_DISTINCT {
        let text = message(number);
        let text = text.get(..FILL_LENGTH).unwrap_or(&text);
        imap.append("INBOX", text).await?;
    }
    imap.command("SELECT INBOX").await?;
    for _ in 0..items / FILL_DISTINCT {
        imap.command(&format!("COPY 1:{FILL_DISTINCT} Full")).await?;
    }
    Ok(serde_json::json!({ "filled": items as f64 / start.elapsed().as_secs_f64() }))
}

/// Bodies that differ, and their length in bytes.
const FILL_DISTINCT: usize = 2_000;
const FILL_LENGTH: usize = 2_000;

/// Signs on, opens the full folder and reads its newest message: what a user waits for after a restart.
async fn first(address: SocketAddr, user: &str, password: &str) -> Result<serde_json::Value> {
    let start = Instant::now();
    let mut imap = Imap::sign_on(address, user, password).await?;
    imap.command("SELECT Full").await?;
    imap.command("FETCH * (UID FLAGS BODY.PEEK[])").await?;
    Ok(serde_json::json!({ "first message": start.elapsed().as_secs_f64() }))
}

const SEARCHERS: usize = 4;

async fn ldap(
    url: &str,
    dn: &str,
    password: &str,
    base: &str,
    people: usize,
    searches: usize,
) -> Result<serde_json::Value> {
    let mut bound = Vec::new();
    for _ in 0..SEARCHERS {
        let settings = ldap3::LdapConnSettings::new().set_config(tls()?);
        let (connection, mut ldap) = ldap3::LdapConnAsync::with_settings(settings, url).await?;
        ldap3::drive!(connection);
        ldap.simple_bind(dn, password).await?.success()?;
        bound.push(ldap);
    }
    let mut rates = serde_json::Map::new();
    for (name, filter) in [
        ("equality", "(mail=person{}@example.test)"),
        ("prefix", "(cn=Person {}*)"),
        ("substring", "(cn=*on {}7*)"),
        ("or of three", "(|(cn=*erson {}1*)(mail=person{}1*)(sn=Family{}1))"),
    ] {
        let start = Instant::now();
        let mut tasks = JoinSet::new();
        for (searcher, ldap) in bound.iter().enumerate() {
            let (mut ldap, base, filter) = (ldap.clone(), base.to_owned(), filter.to_owned());
            tasks.spawn(async move {
                let mut found = 0;
                for number in (searcher..searches).step_by(SEARCHERS) {
                    let wanted = (number * 7919) % people;
                    let filter = filter.replace("{}", &wanted.to_string());
                    let attributes = vec!["cn", "mail", "telephoneNumber"];
                    let (entries, _) = ldap
                        .search(&base, ldap3::Scope::Subtree, &filter, attributes)
                        .await?
                        .success()?;
                    found += entries.len();
                }
                anyhow::Ok(found)
            });
        }
        let mut found = 0;
        while let Some(ended) = tasks.join_next().await {
            found += ended??;
        }
        rates.insert(name.to_owned(), (searches as f64 / start.elapsed().as_secs_f64()).into());
        rates.insert(format!("{name}: entries"), found.into());
    }
    Ok(rates.into())
}
