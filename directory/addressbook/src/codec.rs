//! Bytes to requests and back.
//!
//! Every message is looked at twice: first [`measure`] and [`scan`] walk over it without allocating, with bounds on
//! size, depth and number of elements; only what passes is handed to the decoder proper (`ldap3_proto`).

use bytes::{Buf, BytesMut};
use ldap3_proto::{
    LdapCodec,
    control::LdapControl,
    proto::{LdapMsg, LdapOp},
};
use tokio_util::codec::{Decoder, Encoder};

/// Largest request in bytes.
pub const MAX_MESSAGE: usize = 256 * 1024;
/// Largest request in bytes before sign-on. A Kerberos ticket with many groups has its place in it.
pub const MAX_MESSAGE_UNBOUND: usize = 96 * 1024;
/// Deepest nesting of elements. A filter of depth `n` needs `n` + 4.
pub const MAX_DEPTH: usize = 64;
/// Most elements of one message.
pub const MAX_ELEMENTS: usize = 8_192;

/// Why a connection cannot go on: the peer's bytes are no LDAP that we take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// Not a message at all, or one with an indefinite, negative or overlong length.
    #[error("the bytes are not an LDAP message")]
    Malformed,
    /// Larger than is taken.
    #[error("the message is larger than {0} bytes")]
    TooLarge(usize),
    /// More nested, or of more parts, than is taken.
    #[error("the message is nested too deeply or has too many parts")]
    TooComplex,
}

/// What kind of request it is, known before it is decoded (RFC 4511 §4.2 to §4.12).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// BindRequest.
    Bind,
    /// UnbindRequest.
    Unbind,
    /// SearchRequest.
    Search,
    /// ModifyRequest.
    Modify,
    /// AddRequest.
    Add,
    /// DelRequest.
    Delete,
    /// ModifyDNRequest.
    ModifyDn,
    /// CompareRequest.
    Compare,
    /// AbandonRequest.
    Abandon,
    /// ExtendedRequest.
    Extended,
}

impl Operation {
    /// By identifier octet: APPLICATION class, constructed or primitive as the RFC has it.
    fn from_tag(tag: u8) -> Option<Self> {
        Some(match tag {
            0x60 => Self::Bind,
            0x42 => Self::Unbind,
            0x63 => Self::Search,
            0x66 => Self::Modify,
            0x68 => Self::Add,
            0x4A => Self::Delete,
            0x6C => Self::ModifyDn,
            0x6E => Self::Compare,
            0x50 => Self::Abandon,
            0x77 => Self::Extended,
            _ => return None,
        })
    }
}

/// One request.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Message ID, 1 to 2^31 - 1.
    pub id: i32,
    /// Its kind.
    pub operation: Operation,
    /// Its content; `None` if that makes no sense, which is answered with protocolError.
    pub op: Option<LdapOp>,
    /// Controls that could be read.
    pub controls: Vec<LdapControl>,
    /// OIDs of the controls that are marked critical.
    pub critical: Vec<String>,
}

/// An element's identifier octet, the length of its header and of its content.
struct Header {
    tag: u8,
    header: usize,
    content: usize,
}

/// Reads a header; `None` if bytes are missing. Definite lengths only (RFC 4511 §5.1), up to 2^31 - 1, and no
/// identifiers of more than one octet, of which LDAP has none.
fn header(bytes: &[u8]) -> Result<Option<Header>, CodecError> {
    let Some(&tag) = bytes.first() else { return Ok(None) };
    if tag & 0x1F == 0x1F {
        return Err(CodecError::Malformed);
    }
    let Some(&first) = bytes.get(1) else { return Ok(None) };
    if first < 0x80 {
        return Ok(Some(Header { tag, header: 2, content: usize::from(first) }));
    }
    let count = usize::from(first & 0x7F);
    if count == 0 || count > 4 {
        return Err(CodecError::Malformed);
    }
    let Some(length) = bytes.get(2..2 + count) else { return Ok(None) };
    let content = length.iter().fold(0u64, |n, b| n << 8 | u64::from(*b));
    match i32::try_from(content) {
        Ok(content) => Ok(Some(Header { tag, header: 2 + count, content: content as usize })),
        Err(_) => Err(CodecError::Malformed),
    }
}

/// The length of the first message in `bytes`, once that is known. Errors as soon as it is too large.
pub fn measure(bytes: &[u8], limit: usize) -> Result<Option<usize>, CodecError> {
    match bytes.first() {
        None => return Ok(None),
        Some(0x30) => {}
        Some(_) => return Err(CodecError::Malformed),
    }
    let Some(header) = header(bytes)? else { return Ok(None) };
    let length = header.header + header.content;
    if length > limit { Err(CodecError::TooLarge(limit)) } else { Ok(Some(length)) }
}

/// What can be known of a message without decoding it.
struct Scan {
    id: i32,
    operation: Operation,
    critical: Vec<String>,
    /// Where the operation ends: controls follow.
    controls: usize,
}

/// A complete element within `bytes`.
fn element(bytes: &[u8]) -> Result<(Header, &[u8], &[u8]), CodecError> {
    let found = header(bytes)?.ok_or(CodecError::Malformed)?;
    let end = found.header + found.content;
    match (bytes.get(found.header..end), bytes.get(end..)) {
        (Some(content), Some(rest)) => Ok((found, content, rest)),
        _ => Err(CodecError::Malformed),
    }
}

/// Walks over all elements with a stack of ends instead of recursion.
fn bounded(message: &[u8]) -> Result<(), CodecError> {
    let mut ends = [0usize; MAX_DEPTH];
    let (mut depth, mut at, mut count) = (0, 0, 0);
    while at < message.len() {
        while depth > 0 && ends.get(depth - 1) == Some(&at) {
            depth -= 1;
        }
        let end = if depth > 0 { ends.get(depth - 1).copied() } else { Some(message.len()) };
        let inside = end.and_then(|end| message.get(at..end)).ok_or(CodecError::Malformed)?;
        let (found, _, _) = element(inside)?;
        count += 1;
        if count > MAX_ELEMENTS {
            return Err(CodecError::TooComplex);
        }
        at += found.header;
        if found.tag & 0x20 == 0 {
            at += found.content;
        } else {
            *ends.get_mut(depth).ok_or(CodecError::TooComplex)? = at + found.content;
            depth += 1;
        }
    }
    Ok(())
}

fn message_id(content: &[u8]) -> Option<i32> {
    let fits = (1..=4).contains(&content.len()) && content.first().is_some_and(|b| b & 0x80 == 0);
    let id = content.iter().fold(0u32, |n, b| n << 8 | u32::from(*b));
    i32::try_from(id).ok().filter(|id| fits && *id > 0)
}

fn scan(message: &[u8]) -> Result<Scan, CodecError> {
    bounded(message)?;
    let (_, content, _) = element(message)?;
    let (id_header, id, rest) = element(content)?;
    let id = message_id(id).filter(|_| id_header.tag == 0x02).ok_or(CodecError::Malformed)?;
    let (op, _, controls) = element(rest)?;
    let operation = Operation::from_tag(op.tag).ok_or(CodecError::Malformed)?;
    let critical = if controls.is_empty() { Vec::new() } else { critical_controls(controls)? };
    Ok(Scan { id, operation, critical, controls: message.len() - controls.len() })
}

/// OIDs of the controls with criticality TRUE (RFC 4511 §4.1.11).
fn critical_controls(bytes: &[u8]) -> Result<Vec<String>, CodecError> {
    let (list, mut controls, rest) = element(bytes)?;
    if list.tag != 0xA0 || !rest.is_empty() {
        return Err(CodecError::Malformed);
    }
    let mut critical = Vec::new();
    while !controls.is_empty() {
        let (_, control, rest) = element(controls)?;
        controls = rest;
        let (_, oid, rest) = element(control)?;
        let flag = if rest.is_empty() { None } else { Some(element(rest)?) };
        if flag.is_some_and(|(header, value, _)| header.tag == 0x01 && value != [0]) {
            critical.push(String::from_utf8_lossy(oid).into_owned());
        }
    }
    Ok(critical)
}

/// Takes the next request out of `buffer`, if it is complete. After an error the connection ends.
pub fn decode(buffer: &mut BytesMut, limit: usize) -> Result<Option<Request>, CodecError> {
    let Some(length) = measure(buffer, limit)? else { return Ok(None) };
    let Some(message) = buffer.get(..length) else { return Ok(None) };
    let scan = scan(message)?;
    let decoded = decode_content(message, &scan);
    buffer.advance(length);
    let (op, controls) = decoded.map_or((None, Vec::new()), |m| (Some(m.op), m.ctrl));
    Ok(Some(Request {
        id: scan.id,
        operation: scan.operation,
        op,
        controls,
        critical: scan.critical,
    }))
}

fn decode_content(message: &[u8], scan: &Scan) -> Option<LdapMsg> {
    let mut codec = LdapCodec::new(Some(MAX_MESSAGE), Some(MAX_DEPTH + 2));
    let whole = codec.decode(&mut BytesMut::from(message)).ok().flatten();
    // a control that we do not know and cannot read must not spoil the rest
    whole.or_else(|| {
        let content = message.get(element_start(message)?..scan.controls)?;
        let mut without = BytesMut::with_capacity(content.len() + 6);
        without.extend_from_slice(&[0x30, 0x84]);
        without.extend_from_slice(&u32::try_from(content.len()).ok()?.to_be_bytes());
        without.extend_from_slice(content);
        codec.decode(&mut without).ok().flatten()
    })
}

fn element_start(message: &[u8]) -> Option<usize> {
    header(message).ok().flatten().map(|header| header.header)
}

/// Appends a response to `buffer`.
pub fn encode(message: LdapMsg, buffer: &mut BytesMut) {
    // writing to memory does not fail
    let _ = LdapCodec::default().encode(message, buffer);
}

#[cfg(test)]
mod tests;
