//! `posthouse check`: shows on a running node that mail, sign-on and address book work.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use posthouse_provisioning::Password;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::client::TlsStream;

use super::Session;
use crate::{
    client::{addresses, tls_client},
    config::{Layout, Port},
};

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// Longest answer that is looked at, in lines.
const MAX_LINES: usize = 1000;

struct Check {
    ports: std::collections::BTreeMap<Port, std::net::SocketAddr>,
    tls: Arc<ClientConfig>,
    name: String,
    address: String,
    password: Password,
}

pub(super) async fn check(session: &Session, data: &Path) -> Result<()> {
    let layout = Layout::existing(data)?;
    let name = format!("selfcheck-{:08x}", rand::random::<u32>());
    let password = Password::generate();
    let body = json!({ "name": name, "display_name": "Self-check", "password": password.expose() });
    let user = session.post("users", &body).await.context("no user can be made for the check")?;
    let id = user["id"].as_str().context("the node's answer has no id")?.to_owned();
    let address = user["mail"].as_str().unwrap_or_default().to_owned();
    let check = Check {
        ports: addresses(&layout)?,
        tls: tls_client(&layout.tls())?,
        name,
        address,
        password,
    };
    let outcome = check.all().await;
    let removed = session.delete(&format!("users/{id}?remove_mailbox=true")).await;
    outcome?;
    removed.context("the user made for the check could not be removed")?;
    say!("Everything works.");
    Ok(())
}

impl Check {
    async fn all(&self) -> Result<()> {
        let token = format!("{:016x}", rand::random::<u64>());
        step("deliver a message by SMTP", self.deliver(&token)).await?;
        step("read it by IMAP, signed on with a password", self.read(&token)).await?;
        step("find a person by LDAP", self.find()).await?;
        step("sign on to the pages", self.sign_on()).await
    }

    async fn connect(&self, port: Port) -> Result<TcpStream> {
        let address =
            self.ports.get(&port).with_context(|| format!("{} is turned off", port.name()))?;
        TcpStream::connect(address)
            .await
            .with_context(|| format!("{} does not answer", port.name()))
    }

    async fn connect_tls(&self, port: Port) -> Result<Lines> {
        let stream = self.connect(port).await?;
        let name = ServerName::try_from("localhost")?;
        let stream =
            tokio_rustls::TlsConnector::from(self.tls.clone()).connect(name, stream).await?;
        Ok(Lines(BufReader::new(stream)))
    }

    async fn deliver(&self, token: &str) -> Result<()> {
        let stream = self.connect(Port::Smtp).await?;
        let mut smtp = Lines(BufReader::new(stream));
        smtp.until("220 ").await?;
        smtp.command("EHLO selfcheck.invalid", "250 ").await?;
        smtp.command("MAIL FROM:<>", "250 ").await?;
        smtp.command(&format!("RCPT TO:<{}>", self.address), "250 ").await?;
        smtp.command("DATA", "354 ").await?;
        let message = format!(
            "From: Self-check <postmaster@selfcheck.invalid>\r\nTo: <{}>\r\nSubject: {token}\r\n\r\nThis is a test.\r\n.",
            self.address
        );
        smtp.command(&message, "250 ").await?;
        smtp.command("QUIT", "221 ").await?;
        Ok(())
    }

    async fn read(&self, token: &str) -> Result<()> {
        let mut imap = self.connect_tls(Port::Imaps).await?;
        imap.until("* OK").await?;
        imap.command(&format!("a LOGIN {} {}", self.name, self.password.expose()), "a ")
            .await?
            .ok("a OK")?;
        imap.command("b SELECT INBOX", "b ").await?.ok("b OK")?;
        let found = imap.command("c FETCH 1 BODY.PEEK[HEADER.FIELDS (SUBJECT)]", "c ").await?;
        ensure!(found.0.iter().any(|line| line.contains(token)), "the message is not in the INBOX");
        imap.command("d LOGOUT", "d ").await?.ok("d OK")
    }

    async fn find(&self) -> Result<()> {
        let url =
            format!("ldaps://{}", self.ports.get(&Port::Ldaps).context("ldaps is turned off")?);
        let settings = ldap3::LdapConnSettings::new().set_config(self.tls.clone());
        let (connection, mut ldap) = ldap3::LdapConnAsync::with_settings(settings, &url).await?;
        let driver = tokio::spawn(connection.drive());
        ldap.simple_bind(&self.address, self.password.expose()).await?.success()?;
        let filter = format!("(mail={}*)", self.name);
        let (entries, _) =
            ldap.search("", ldap3::Scope::Subtree, &filter, vec!["mail"]).await?.success()?;
        ldap.unbind().await?;
        driver.abort();
        ensure!(entries.len() == 1, "the search found {} entries instead of one", entries.len());
        Ok(())
    }

    async fn sign_on(&self) -> Result<()> {
        let port = if self.ports.contains_key(&Port::Https) { Port::Https } else { Port::Admin };
        let mut http = self.connect_tls(port).await?;
        let body = json!({ "name": self.name, "password": self.password.expose() }).to_string();
        let request = format!(
            "POST {}/session HTTP/1.1\r\nhost: localhost\r\n{}: 1\r\ncontent-type: application/json\r\n\
             content-length: {}\r\nconnection: close\r\n\r\n{body}",
            posthouse_http::API_PREFIX,
            posthouse_http::REQUEST_HEADER,
            body.len()
        );
        http.0.write_all(request.as_bytes()).await?;
        let status = http.line().await?;
        ensure!(status.starts_with("HTTP/1.1 2"), "the sign-on was answered with {status:?}");
        Ok(())
    }
}

async fn step(what: &str, work: impl Future<Output = Result<()>>) -> Result<()> {
    let outcome = match timeout(PATIENCE, work).await {
        Ok(outcome) => outcome,
        Err(_) => Err(anyhow::anyhow!("no answer within {} s", PATIENCE.as_secs())),
    };
    let mark = if outcome.is_ok() { "ok  " } else { "FAIL" };
    say!("[{mark}] {what}");
    outcome.with_context(|| format!("self-check: {what}"))
}

/// A dialogue in lines.
struct Lines<S = TlsStream<TcpStream>>(BufReader<S>);

/// The lines of an answer; the last one decides.
struct Answer(Vec<String>);

impl Answer {
    fn ok(&self, start: &str) -> Result<()> {
        match self.0.last() {
            Some(last) if last.starts_with(start) => Ok(()),
            last => bail!("expected {start:?}, got {last:?}"),
        }
    }
}

impl<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin> Lines<S> {
    async fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        ensure!(self.0.read_line(&mut line).await? > 0, "the connection was closed");
        Ok(line.trim_end().to_owned())
    }

    async fn until(&mut self, start: &str) -> Result<Answer> {
        let mut lines = Vec::new();
        while lines.len() < MAX_LINES {
            let line = self.line().await?;
            let refused =
                start.len() == 4 && matches!(line.as_bytes(), [b'4' | b'5', _, _, b' ', ..]);
            ensure!(!refused, "refused: {line}");
            let last = line.starts_with(start);
            lines.push(line);
            if last {
                return Ok(Answer(lines));
            }
        }
        bail!("the answer is too long")
    }

    async fn command(&mut self, command: &str, end: &str) -> Result<Answer> {
        self.0.write_all(format!("{command}\r\n").as_bytes()).await?;
        self.0.flush().await?;
        self.until(end).await
    }
}
