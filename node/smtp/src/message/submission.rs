//! What a message from a user must have, and what is added (RFC 6409 §8).

use posthouse_cluster::Timestamp;

use super::{Addresses, Header, date_time, parse_address_list};
use crate::codec::Reply;

/// A message that is ready to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completed {
    /// Addresses of From and Sender: each must belong to the user.
    pub claimed: Addresses,
    /// The message with Date and Message-ID, without Bcc.
    pub message: Vec<u8>,
}

/// Fields that may stand in a header once (RFC 5322 §3.6) and that decide who wrote when.
const SINGLE: [&str; 4] = ["From", "Sender", "Date", "Message-ID"];
/// Fields that others must not see.
const PRIVATE: [&str; 3] = ["Bcc", "Resent-Bcc", "Return-Path"];

/// Checks and completes. `id` makes the Message-ID; a missing From becomes `sender`.
pub fn complete(
    message: &[u8],
    sender: Option<&str>,
    host: &str,
    id: &str,
    at: Timestamp,
) -> Result<Completed, Reply> {
    let header = Header::parse(message).ok_or(Reply::HeaderTooLarge)?;
    if header.malformed {
        return Err(Reply::BadHeader);
    }
    if SINGLE.iter().any(|name| header.all(name).count() > 1) {
        return Err(Reply::DoubleField);
    }
    let mut claimed = Vec::new();
    for field in
        ["From", "Sender", "Resent-From", "Resent-Sender"].iter().flat_map(|n| header.all(n))
    {
        claimed.extend(parse_address_list(&field.value()).ok_or(Reply::BadHeader)?);
    }
    let mut out = Vec::with_capacity(message.len() + 256);
    let mut add = |line: String| out.extend_from_slice(line.as_bytes());
    if header.all("From").next().is_none() {
        add(format!("From: <{}>\r\n", sender.ok_or(Reply::BadHeader)?));
    }
    if header.all("Date").next().is_none() {
        add(format!("Date: {}\r\n", date_time(at)));
    }
    if header.all("Message-ID").next().is_none() {
        add(format!("Message-ID: <{id}@{host}>\r\n"));
    }
    for field in header.fields.iter().filter(|f| !PRIVATE.iter().any(|name| f.is(name))) {
        out.extend_from_slice(field.raw);
    }
    out.extend_from_slice(message.get(header.end..).unwrap_or_default());
    Ok(Completed { claimed, message: out })
}
