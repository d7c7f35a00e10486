//! A next hop that answers by a script and keeps every byte.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

/// A port that is free on all loopback addresses that tests use.
pub async fn free_port() -> u16 {
    loop {
        let first = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = first.local_addr().unwrap().port();
        if TcpListener::bind(("127.0.0.2", port)).await.is_ok()
            && TcpListener::bind(("127.0.0.3", port)).await.is_ok()
        {
            return port;
        }
    }
}

/// How a next hop answers.
#[derive(Clone, Debug)]
pub struct Script {
    pub greeting: &'static str,
    /// Name in the answer to EHLO, and its keywords.
    pub extensions: &'static [&'static str],
    /// Answers to RCPT by start of the address; others get 250.
    pub rcpt: &'static [(&'static str, &'static str)],
    /// Answers to the end of data, in order; then 250.
    pub end: &'static [&'static str],
    /// STARTTLS works.
    pub tls: bool,
}

pub const POLITE: Script = Script {
    greeting: "220 hop.test ESMTP",
    extensions: &["hop.test", "PIPELINING", "8BITMIME", "SIZE 10000000", "DSN", "SMTPUTF8"],
    rcpt: &[],
    end: &[],
    tls: false,
};

#[derive(Default)]
pub struct Seen {
    /// Commands of all connections in order.
    pub commands: Vec<String>,
    /// Texts as they came, before the end mark.
    pub texts: Vec<Vec<u8>>,
    ends: usize,
    pub handshakes: usize,
}

#[derive(Clone)]
pub struct NextHop {
    pub seen: Arc<Mutex<Seen>>,
}

impl NextHop {
    pub async fn start(ip: &str, port: u16, script: Script) -> Self {
        let listener = TcpListener::bind((ip, port)).await.unwrap();
        let hop = Self { seen: Arc::default() };
        let seen = hop.seen.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(greet(stream, script.clone(), seen.clone()));
            }
        });
        hop
    }

    /// Waits for so many messages and returns them.
    pub async fn wait(&self, count: usize) -> Vec<String> {
        let deadline = tokio::time::Instant::now() + super::PATIENCE;
        loop {
            {
                let seen = self.seen.lock().unwrap();
                if seen.texts.len() >= count {
                    return seen
                        .texts
                        .iter()
                        .map(|t| String::from_utf8_lossy(t).into_owned())
                        .collect();
                }
                assert!(tokio::time::Instant::now() < deadline, "{:?}", seen.commands);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub fn commands(&self) -> Vec<String> {
        self.seen.lock().unwrap().commands.clone()
    }
}

async fn answer(write: &mut (impl AsyncWrite + Unpin), text: &str) -> bool {
    write.write_all(format!("{text}\r\n").as_bytes()).await.is_ok() && write.flush().await.is_ok()
}

async fn greet(mut stream: TcpStream, script: Script, seen: Arc<Mutex<Seen>>) {
    if answer(&mut stream, script.greeting).await
        && let Some(stream) = converse(stream, &script, &seen).await
    {
        let acceptor = tokio_rustls::TlsAcceptor::from(super::tls().config());
        if let Ok(stream) = acceptor.accept(stream).await {
            seen.lock().unwrap().handshakes += 1;
            converse(stream, &script, &seen).await;
        }
    }
}

/// Until the end, or until TLS is to be started on the stream that is returned.
async fn converse<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    script: &Script,
    seen: &Mutex<Seen>,
) -> Option<S> {
    let (read, mut write) = tokio::io::split(stream);
    let mut read = BufReader::new(read);
    let mut line = Vec::new();
    loop {
        line.clear();
        if !matches!(read.read_until(b'\n', &mut line).await, Ok(n) if n > 0) {
            return None;
        }
        let command = String::from_utf8_lossy(&line).trim_end().to_owned();
        seen.lock().unwrap().commands.push(command.clone());
        let verb = command.get(..4).unwrap_or_default().to_ascii_uppercase();
        let reply = match verb.as_str() {
            "EHLO" => {
                let last = script.extensions.len() - 1;
                let lines: Vec<String> = script
                    .extensions
                    .iter()
                    .enumerate()
                    .map(|(i, word)| format!("250{}{word}", if i == last { ' ' } else { '-' }))
                    .collect();
                lines.join("\r\n")
            }
            "RCPT" => {
                let address = command.split(['<', '>']).nth(1).unwrap_or_default();
                let found = script.rcpt.iter().find(|(start, _)| address.starts_with(start));
                found.map_or("250 2.1.5 ok", |(_, reply)| reply).to_owned()
            }
            "DATA" => {
                if !answer(&mut write, "354 go on").await {
                    return None;
                }
                let mut text = Vec::new();
                while !text.ends_with(b"\r\n.\r\n") && text != b".\r\n" {
                    if !matches!(read.read_until(b'\n', &mut text).await, Ok(n) if n > 0) {
                        return None;
                    }
                }
                let mut seen = seen.lock().unwrap();
                let reply = script.end.get(seen.ends).copied().unwrap_or("250 2.0.0 taken");
                seen.ends += 1;
                if reply.starts_with('2') {
                    text.truncate(text.len() - 3);
                    seen.texts.push(text);
                }
                reply.to_owned()
            }
            "QUIT" => "221 bye".to_owned(),
            "STAR" if script.tls => {
                answer(&mut write, "220 go on").await;
                return Some(read.into_inner().unsplit(write));
            }
            "STAR" => "454 not now".to_owned(),
            _ => "250 ok".to_owned(),
        };
        if !answer(&mut write, &reply).await || verb == "QUIT" {
            return None;
        }
    }
}
