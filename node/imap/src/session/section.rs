//! Parts and sections of a message (RFC 9051 §6.4.5.1) as slices of its bytes.

use std::collections::HashSet;

use bytes::Bytes;
use posthouse_store::{Part, Structure};

use crate::codec::{Partial, Section, SectionText};

/// The part that a part number names (RFC 9051 §6.4.5.1).
pub(super) fn find<'a>(structure: &'a Structure, path: &[u32]) -> Option<&'a Part> {
    let mut part = &structure.root;
    let mut is_message = true;
    for number in path {
        let inner = match &part.message {
            Some(message) if !is_message => &message.root,
            _ => part,
        };
        let addressable = is_message || part.message.is_some();
        part = if inner.children.is_empty() {
            if *number != 1 || !addressable {
                return None;
            }
            inner
        } else {
            inner.children.get(*number as usize - 1)?
        };
        is_message = false;
    }
    Some(part)
}

/// Where the header of a message ends, behind the blank line.
fn header_end(message: &[u8]) -> usize {
    let mut from = 0;
    while let Some(at) = message.get(from..).and_then(|rest| rest.iter().position(|b| *b == b'\n'))
    {
        let next = from + at + 1;
        match message.get(next..) {
            Some([b'\n', ..]) => return next + 1,
            Some([b'\r', b'\n', ..]) => return next + 2,
            _ => from = next,
        }
    }
    message.len()
}

fn slice(message: &Bytes, from: u32, to: u32) -> Option<Bytes> {
    let (from, to) = (from as usize, to as usize);
    (from <= to && to <= message.len()).then(|| message.slice(from..to))
}

/// The bytes of a section; `None` if the message has no such part.
pub(super) fn bytes(
    message: &Bytes,
    structure: Option<&Structure>,
    section: &Section,
) -> Option<Bytes> {
    let (header, text) = if section.part.is_empty() {
        if section.text == SectionText::All {
            return Some(message.clone());
        }
        let end = header_end(message);
        (message.slice(..end), message.slice(end..))
    } else {
        let part = find(structure?, &section.part)?;
        match section.text {
            SectionText::All => return slice(message, part.body, part.end),
            SectionText::Mime => return slice(message, part.header, part.body),
            _ => {
                let root = &part.message.as_ref()?.root;
                (slice(message, root.header, root.body)?, slice(message, root.body, root.end)?)
            }
        }
    };
    Some(match &section.text {
        SectionText::HeaderFields { names, not } => fields(&header, names, *not),
        SectionText::Text => text,
        _ => header,
    })
}

/// The header fields with (or without) these names, and the blank line.
fn fields(header: &[u8], names: &[String], not: bool) -> Bytes {
    let names: HashSet<String> = names.iter().map(|name| name.to_ascii_lowercase()).collect();
    let mut out = Vec::new();
    let mut wanted = false;
    for line in header.split_inclusive(|byte| *byte == b'\n') {
        if matches!(line, b"\n" | b"\r\n") {
            break;
        }
        if !matches!(line.first(), Some(b' ' | b'\t')) {
            let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
            let name = String::from_utf8_lossy(name.trim_ascii_end()).to_ascii_lowercase();
            wanted = names.contains(&name) != not;
        }
        if wanted {
            out.extend_from_slice(line);
        }
    }
    out.extend_from_slice(b"\r\n");
    out.into()
}

/// The wanted piece of a section.
pub(super) fn cut(bytes: &Bytes, partial: Option<Partial>) -> Bytes {
    let Some(partial) = partial else { return bytes.clone() };
    let from = (partial.offset as usize).min(bytes.len());
    let to = from.saturating_add(partial.length as usize).min(bytes.len());
    bytes.slice(from..to)
}

/// A part decoded from its transfer encoding (RFC 3516). `Err` if the encoding is unknown.
pub(super) fn decoded(
    message: &Bytes,
    structure: Option<&Structure>,
    path: &[u32],
) -> Result<Option<Bytes>, UnknownCte> {
    if path.is_empty() {
        return Ok(Some(message.clone()));
    }
    let Some(part) = structure.and_then(|structure| find(structure, path)) else { return Ok(None) };
    let Some(raw) = slice(message, part.body, part.end) else { return Ok(None) };
    match part.encoding.as_str() {
        "" | "7bit" | "8bit" | "binary" => Ok(Some(raw)),
        "base64" => Ok(Some(base64(&raw).into())),
        "quoted-printable" => Ok(Some(quoted_printable(&raw).into())),
        _ => Err(UnknownCte),
    }
}

/// The transfer encoding of a part is not one that we can undo.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct UnknownCte;

/// RFC 2045 §6.8: what is not in the alphabet is skipped.
fn base64(raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len() / 4 * 3);
    let (mut bits, mut count) = (0u32, 0);
    for byte in raw {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' => {
                (bits, count) = (0, 0);
                continue;
            }
            _ => continue,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    out
}

/// RFC 2045 §6.7: what is malformed stays as it is.
fn quoted_printable(raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len());
    for line in raw.split_inclusive(|byte| *byte == b'\n') {
        let (text, end) = match line {
            [text @ .., b'\r', b'\n'] => (text, &b"\r\n"[..]),
            [text @ .., b'\n'] => (text, &b"\n"[..]),
            text => (text, &b""[..]),
        };
        let mut rest = text.trim_ascii_end();
        let soft = rest.strip_suffix(b"=");
        rest = soft.unwrap_or(rest);
        while let Some(at) = rest.iter().position(|byte| *byte == b'=') {
            out.extend_from_slice(rest.get(..at).unwrap_or_default());
            let code = rest.get(at + 1..at + 3).and_then(|code| std::str::from_utf8(code).ok());
            match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
                Some(byte) => {
                    out.push(byte);
                    rest = rest.get(at + 3..).unwrap_or_default();
                }
                None => {
                    out.push(b'=');
                    rest = rest.get(at + 1..).unwrap_or_default();
                }
            }
        }
        out.extend_from_slice(rest);
        if soft.is_none() {
            out.extend_from_slice(end);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(kind: &str, body: u32, end: u32, children: Vec<Part>) -> Part {
        Part { kind: kind.into(), header: body, body, end, children, ..Part::default() }
    }

    #[test]
    fn part_numbers_of_rfc9051_section_6_4_5_1() {
        let inner = Structure {
            root: part(
                "multipart",
                30,
                50,
                vec![part("text", 31, 40, vec![]), part("x", 41, 50, vec![])],
            ),
            ..Structure::default()
        };
        let alone = Structure { root: part("text", 60, 70, vec![]), ..Structure::default() };
        let mut message = part("message", 25, 50, vec![]);
        message.message = Some(Box::new(inner));
        let mut simple = part("message", 55, 70, vec![]);
        simple.message = Some(Box::new(alone));
        let root = part("multipart", 10, 80, vec![part("text", 11, 20, vec![]), message, simple]);
        let mixed = Structure { root, ..Structure::default() };
        let plain = Structure { root: part("text", 5, 9, vec![]), ..Structure::default() };
        for (structure, path, body) in [
            (&mixed, &[][..], Some(10)),
            (&mixed, &[1], Some(11)),
            (&mixed, &[1, 1], None),
            (&mixed, &[2], Some(25)),
            (&mixed, &[2, 1], Some(31)),
            (&mixed, &[2, 2], Some(41)),
            (&mixed, &[2, 3], None),
            (&mixed, &[3, 1], Some(60)),
            (&mixed, &[3, 2], None),
            (&mixed, &[3, 1, 1], None),
            (&mixed, &[4], None),
            (&plain, &[1], Some(5)),
            (&plain, &[2], None),
            (&plain, &[1, 1], None),
        ] {
            assert_eq!(find(structure, path).map(|part| part.body), body, "{path:?}");
        }
    }

    #[test]
    fn header_fields_keep_folded_lines_and_the_blank_line() {
        let message = Bytes::from_static(b"A: 1\r\n 2\r\nB: 3\r\na: 4\r\n\r\nA: body\r\n");
        for (names, not, expected) in [
            (&["a"][..], false, "A: 1\r\n 2\r\na: 4\r\n\r\n"),
            (&["a"], true, "B: 3\r\n\r\n"),
            (&["x"], false, "\r\n"),
        ] {
            let names = names.iter().map(|name| (*name).to_owned()).collect();
            let text = SectionText::HeaderFields { names, not };
            let section = Section { part: vec![], text };
            assert_eq!(bytes(&message, None, &section).unwrap(), expected);
        }
    }

    #[test]
    fn transfer_encodings_are_undone() {
        for (raw, out) in [("aGVs\r\nbG8=\r\n", "hello"), ("aGk=", "hi"), ("", ""), ("!!", "")] {
            assert_eq!(base64(raw.as_bytes()), out.as_bytes(), "{raw:?}");
        }
        for (raw, out) in [
            ("a=3Db=\r\nc  \r\n", "a=bc\r\n"),
            ("=C3=BC", "\u{fc}"),
            ("100=%\n", "100=%\n"),
            ("=", ""),
        ] {
            assert_eq!(quoted_printable(raw.as_bytes()), out.as_bytes(), "{raw:?}");
        }
    }
}
