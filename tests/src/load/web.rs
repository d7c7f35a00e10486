//! What the clients do by the admin API.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use rustls::ClientConfig;
use serde_json::{Value, json};

use crate::{node::PASSWORD, wire::Lines};

/// An administrator who is signed on, with a connection for each request.
pub struct Web {
    address: SocketAddr,
    tls: Arc<ClientConfig>,
    patience: Duration,
    cookie: String,
}

impl Web {
    /// Signs on.
    pub fn sign_on(
        address: SocketAddr,
        tls: Arc<ClientConfig>,
        patience: Duration,
    ) -> Result<Self> {
        let mut web = Self { address, tls, patience, cookie: String::new() };
        let who = json!({"name": "admin", "password": PASSWORD});
        let (status, head, text) = web.request("POST", "/api/v1/session", Some(&who))?;
        ensure!(status == 200 || status == 204, "{status} {text}");
        let line = head.lines().find(|line| line.to_lowercase().starts_with("set-cookie:"));
        let value = line.and_then(|line| line.split_once(':')).context("no cookie")?.1;
        value.trim().split(';').next().unwrap_or("").clone_into(&mut web.cookie);
        Ok(web)
    }

    /// Status, head and body of an answer.
    pub fn request(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(u16, String, String)> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let mut lines = Lines::tls_within(self.address, &self.tls, self.patience)?;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-Posthouse-Request: 1\r\n\
             Cookie: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.cookie,
            body.len()
        );
        lines.send(head.as_bytes())?;
        let mut answer = String::new();
        let first = lines.line()?;
        while let Ok(line) = lines.line() {
            answer += &line;
            answer.push('\n');
        }
        let status = first.split(' ').nth(1).context("no status")?.parse()?;
        let (head, text) = answer.split_once("\n\n").context("a cut answer")?;
        Ok((status, head.to_owned(), text.to_owned()))
    }

    /// Sets a setting; status and text of the answer.
    pub fn set(&self, name: &str, value: u64) -> Result<(u16, String)> {
        let path = format!("/api/v1/settings/{name}");
        let (status, _, text) = self.request("PUT", &path, Some(&json!({"value": value})))?;
        Ok((status, text))
    }

    /// Value of a setting.
    pub fn setting(&self, name: &str) -> Result<u64> {
        let (status, _, text) = self.request("GET", "/api/v1/settings", None)?;
        ensure!(status == 200, "{status} {text}");
        let begin = text.find('[').context("no list")?;
        let end = text.rfind(']').context("a cut list")?;
        let all: Vec<Value> = serde_json::from_str(&text[begin..=end])?;
        let one = all.iter().find(|setting| setting["name"] == name).context("no such setting")?;
        one["value"].as_u64().context("not a number")
    }
}
