//! Trace fields (RFC 5321 §4.4).

use std::net::IpAddr;

use posthouse_cluster::Timestamp;
use time::{OffsetDateTime, format_description::well_known::Rfc2822};

/// What a Received field says.
#[derive(Clone, Debug)]
pub struct Trace {
    /// What the client called itself.
    pub helo: String,
    /// Where it came from; `None` for users of ours, whose whereabouts are nobody's business.
    pub address: Option<IpAddr>,
    /// This host.
    pub host: String,
    /// ESMTP or ESMTP with S for TLS and A for a sign-on, UTF8SMTP likewise (RFC 3848, RFC 6531 §4.3).
    pub with: &'static str,
    /// TLS version and cipher suite, if under TLS.
    pub tls: Option<String>,
    /// Id of the transaction, for the log.
    pub id: String,
    /// The recipient, if there is just one.
    pub recipient: Option<String>,
    /// When.
    pub at: Timestamp,
}

/// Date and time as in RFC 5322 §3.3.
pub fn date_time(at: Timestamp) -> String {
    i64::try_from(at.seconds())
        .ok()
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
        .and_then(|time| time.format(&Rfc2822).ok())
        .unwrap_or_else(|| "Thu, 01 Jan 1970 00:00:00 +0000".to_owned())
}

impl Trace {
    /// The field, folded.
    pub fn received(&self) -> String {
        let from = match self.address {
            Some(IpAddr::V4(address)) => format!("from {} ([{address}])\r\n\t", self.helo),
            Some(IpAddr::V6(address)) => format!("from {} ([IPv6:{address}])\r\n\t", self.helo),
            None => String::new(),
        };
        let tls = self.tls.as_ref().map(|tls| format!(" ({tls})\r\n\t")).unwrap_or_default();
        let recipient =
            self.recipient.as_ref().map(|r| format!("\r\n\tfor <{r}>")).unwrap_or_default();
        let Self { host, with, id, .. } = self;
        let gap = if tls.is_empty() { " " } else { "" };
        format!(
            "Received: {from}by {host} (Posthouse) with {with}{tls}{gap}id {id}{recipient};\r\n\t{}\r\n",
            date_time(self.at)
        )
    }
}

/// `message` with Return-Path and Received in front.
pub fn with_trace(sender: &str, trace: &Trace, message: &[u8]) -> Vec<u8> {
    let head = format!("Return-Path: <{sender}>\r\n{}", trace.received());
    [head.as_bytes(), message].concat()
}

/// `message` without the Return-Path that this server put in front: that field is for the last hop only.
pub fn strip_return_path(message: &[u8]) -> &[u8] {
    let name = b"Return-Path:";
    let line = message.windows(2).position(|pair| pair == b"\r\n").map(|at| at + 2);
    match (message.starts_with(name), line.and_then(|end| message.get(end..))) {
        (true, Some(rest)) => rest,
        _ => message,
    }
}
