//! One pass over a message that finds its parts. Work is linear in the length of the message, depth
//! and number of parts are bounded, and what lies beyond the bounds stays opaque text.

use super::{
    address::addresses,
    fields::{Field, Fields, is_blank, line_end, unfold},
    params,
};
use crate::{MailAddress, MailEnvelope, Part, Structure};

/// Bytes of text that are kept of one message; what comes after is left out.
const MAX_TEXT: usize = 1 << 20;
/// Longest value of one field that is kept, in bytes.
const MAX_VALUE: usize = 64 << 10;

/// Parses a whole message.
pub(super) fn structure(bytes: &[u8]) -> Structure {
    let mut walker =
        Walker { bytes, at: 0, line: 0, parts: 0, text: MAX_TEXT, boundaries: Vec::new() };
    walker.message(1).0
}

struct Walker<'a> {
    bytes: &'a [u8],
    /// Where the next line begins.
    at: usize,
    /// Its number.
    line: u32,
    parts: usize,
    /// Bytes of text that may still be kept.
    text: usize,
    /// Of the multiparts around, the outermost first.
    boundaries: Vec<Vec<u8>>,
}

/// How a part ends.
#[derive(Clone, Copy)]
struct End {
    /// Offset behind its last byte.
    at: usize,
    /// Number of the line that ends it.
    line: u32,
    /// Which multipart's delimiter that is; `None` at the end of the message.
    level: Option<usize>,
    /// It was the last delimiter.
    close: bool,
}

/// Header of a part.
struct Header {
    start: usize,
    body: usize,
    line: u32,
    /// The part ended within the header.
    end: Option<End>,
}

impl Walker<'_> {
    /// A message whose header begins here.
    fn message(&mut self, depth: usize) -> (Structure, End) {
        let start = self.at;
        let (root, end, body) = self.part(depth, false);
        let header = self.bytes.get(start..body).unwrap_or_default();
        (Structure { envelope: self.envelope(header), root }, end)
    }

    /// A part whose header begins here, where it ends, and where its body begins.
    fn part(&mut self, depth: usize, in_digest: bool) -> (Part, End, usize) {
        self.parts += 1;
        let header = self.header();
        let mut part = self.describe(&header, in_digest);
        let boundary = part.params.iter().find(|(name, _)| name == "boundary");
        let boundary = boundary.map(|(_, value)| value.clone().into_bytes());
        let may_nest = depth < Structure::MAX_DEPTH && header.end.is_none();
        let mut end = match (part.kind.as_str(), part.subtype.as_str(), boundary) {
            ("multipart", _, Some(boundary)) if may_nest && !boundary.is_empty() => {
                let digest = part.subtype == "digest";
                self.multipart(&mut part, boundary, depth, digest)
            }
            ("message", "rfc822" | "global", _) if may_nest && is_identity(&part.encoding) => {
                let (message, end) = self.message(depth + 1);
                part.message = Some(Box::new(message));
                end
            }
            _ => header.end.unwrap_or_else(|| self.skip()),
        };
        if part.message.is_none() && part.children.is_empty() {
            make_opaque(&mut part);
        }
        // an empty body: the line end before the delimiter is that of the blank line
        end.at = end.at.max(header.body);
        part.end = offset(end.at);
        part.lines = end.line.saturating_sub(header.line);
        (part, end, header.body)
    }

    fn multipart(&mut self, part: &mut Part, boundary: Vec<u8>, depth: usize, digest: bool) -> End {
        let level = self.boundaries.len();
        self.boundaries.push(boundary);
        let mut end = self.skip();
        while end.level == Some(level) && !end.close {
            if self.parts < Structure::MAX_PARTS {
                let (child, child_end, _) = self.part(depth + 1, digest);
                part.children.push(child);
                end = child_end;
            } else {
                end = self.skip();
                if let Some(last) = part.children.last_mut() {
                    last.end = offset(end.at);
                }
            }
        }
        self.boundaries.truncate(level);
        // the epilogue belongs to the multipart
        if end.level == Some(level) { self.skip() } else { end }
    }

    /// Goes on to the next delimiter of any multipart around, or to the end.
    fn skip(&mut self) -> End {
        while self.at < self.bytes.len() {
            if let Some(end) = self.step() {
                return end;
            }
        }
        End { at: self.bytes.len(), line: self.line, level: None, close: false }
    }

    /// Reads one line, which may be a delimiter.
    fn step(&mut self) -> Option<End> {
        let start = self.at;
        let next = line_end(self.bytes, start);
        let line = self.bytes.get(start..next)?;
        let (number, found) = (self.line, self.delimiter(line));
        self.at = next;
        self.line = self.line.saturating_add(1);
        let (level, close) = found?;
        let at = match self.bytes.get(..start)? {
            [.., b'\r', b'\n'] => start - 2,
            [.., b'\n'] => start - 1,
            _ => start,
        };
        Some(End { at, line: number, level: Some(level), close })
    }

    fn delimiter(&self, line: &[u8]) -> Option<(usize, bool)> {
        let line = line.strip_prefix(b"--")?.trim_ascii_end();
        let unclosed = line.strip_suffix(b"--");
        self.boundaries.iter().enumerate().rev().find_map(|(level, boundary)| {
            // trailing white space is no part of a boundary (RFC 2046 §5.1.1)
            let boundary = boundary.trim_ascii_end();
            (line == boundary)
                .then_some((level, false))
                .or_else(|| (unclosed == Some(boundary)).then_some((level, true)))
        })
    }

    fn header(&mut self) -> Header {
        let start = self.at;
        while self.at < self.bytes.len() {
            let line = self.at;
            if let Some(end) = self.step() {
                // the header ended without a blank line: so did the part
                let start = start.min(end.at);
                return Header { start, body: end.at, line: end.line, end: Some(end) };
            }
            if is_blank(self.bytes.get(line..self.at).unwrap_or_default()) {
                break;
            }
        }
        Header { start, body: self.at, line: self.line, end: None }
    }

    fn describe(&mut self, header: &Header, in_digest: bool) -> Part {
        let (kind, subtype) = if in_digest { ("message", "rfc822") } else { ("text", "plain") };
        let mut part = Part {
            kind: kind.into(),
            subtype: subtype.into(),
            encoding: "7bit".into(),
            header: offset(header.start),
            body: offset(header.body),
            ..Part::default()
        };
        let bytes = self.bytes.get(header.start..header.body).unwrap_or_default();
        for field in Fields::of(bytes).filter(is_content) {
            self.content_field(&mut part, &field);
        }
        part
    }

    fn content_field(&mut self, part: &mut Part, field: &Field<'_>) {
        let value = self.value(field);
        if field.is("Content-Type") {
            let (kind, params) = self.params(&value);
            if let Some((kind, subtype)) = kind.split_once('/') {
                (part.kind, part.subtype) = (kind.trim().into(), subtype.trim().into());
                part.params = params;
            }
        } else if field.is("Content-Disposition") {
            let (kind, params) = self.params(&value);
            part.disposition = (!kind.is_empty()).then_some((kind, params));
        } else if field.is("Content-Transfer-Encoding") {
            part.encoding = params::parse(&value).0;
        } else if field.is("Content-ID") {
            part.id = self.text(&value);
        } else if field.is("Content-Description") {
            part.description = self.text(&value);
        } else if field.is("Content-MD5") {
            part.md5 = self.text(&value);
        } else if field.is("Content-Location") {
            part.location = self.text(&value);
        } else if field.is("Content-Language") {
            let text = self.text(&value).unwrap_or_default();
            part.language = text
                .split(',')
                .map(|tag| tag.trim().into())
                .filter(|tag: &String| !tag.is_empty())
                .collect();
        }
    }

    fn params(&mut self, value: &[u8]) -> (String, Vec<(String, String)>) {
        match self.afford(value.len()) {
            true => params::parse(value),
            false => (params::parse(value).0, Vec::new()),
        }
    }

    fn envelope(&mut self, header: &[u8]) -> MailEnvelope {
        let mut envelope = MailEnvelope::default();
        for field in Fields::of(header) {
            self.envelope_field(&mut envelope, &field);
        }
        for missing in [&mut envelope.sender, &mut envelope.reply_to] {
            if missing.is_empty() {
                missing.clone_from(&envelope.from);
            }
        }
        envelope
    }

    /// The first field of a name counts; of address fields, all.
    fn envelope_field(&mut self, envelope: &mut MailEnvelope, field: &Field<'_>) {
        let list = match field.name.to_ascii_lowercase().as_str() {
            "from" => &mut envelope.from,
            "sender" => &mut envelope.sender,
            "reply-to" => &mut envelope.reply_to,
            "to" => &mut envelope.to,
            "cc" => &mut envelope.cc,
            "bcc" => &mut envelope.bcc,
            "date" if envelope.date.is_none() => {
                envelope.date = self.field_text(field);
                let parsed = envelope.date.as_deref().and_then(mail_parser::DateTime::parse_rfc822);
                envelope.sent =
                    parsed.filter(mail_parser::DateTime::is_valid).map(|date| date.to_timestamp());
                return;
            }
            "subject" if envelope.subject.is_none() => {
                envelope.subject = self.field_text(field);
                return;
            }
            "in-reply-to" if envelope.in_reply_to.is_none() => {
                envelope.in_reply_to = self.field_text(field);
                return;
            }
            "message-id" if envelope.message_id.is_none() => {
                envelope.message_id = self.field_text(field);
                return;
            }
            _ => return,
        };
        let room = Structure::MAX_ADDRESSES.saturating_sub(list.len());
        let found = addresses(&unfold(field.value), room);
        list.extend(found.into_iter().take_while(|one| self.afford(length(one))));
    }

    fn field_text(&mut self, field: &Field<'_>) -> Option<String> {
        let value = self.value(field);
        self.text(&value)
    }

    fn value(&self, field: &Field<'_>) -> Vec<u8> {
        unfold(field.value.get(..MAX_VALUE).unwrap_or(field.value))
    }

    fn text(&mut self, value: &[u8]) -> Option<String> {
        self.afford(value.len()).then(|| String::from_utf8_lossy(value).into_owned())
    }

    fn afford(&mut self, bytes: usize) -> bool {
        let left = self.text.checked_sub(bytes);
        self.text = left.unwrap_or(0);
        left.is_some()
    }
}

fn is_content(field: &Field<'_>) -> bool {
    field.name.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("content-"))
}

fn is_identity(encoding: &str) -> bool {
    !matches!(encoding, "base64" | "quoted-printable")
}

/// What was meant to have parts but has none is no multipart and no message for a client.
fn make_opaque(part: &mut Part) {
    if part.kind == "multipart" {
        (part.kind, part.subtype) = ("text".into(), "plain".into());
        part.params.clear();
    } else if part.kind == "message" && matches!(part.subtype.as_str(), "rfc822" | "global") {
        (part.kind, part.subtype) = ("application".into(), "octet-stream".into());
    }
}

fn length(address: &MailAddress) -> usize {
    let length = |part: &Option<String>| part.as_ref().map_or(0, String::len);
    8 + length(&address.name) + length(&address.mailbox) + length(&address.host)
}

/// Messages are far below 4 GiB ([`crate::Store::MAX_MESSAGE`]).
fn offset(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}
