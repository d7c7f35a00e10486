//! A message as text to be searched: decoded, in lower case, bounded.

use mail_parser::{
    HeaderValue,
    decoders::{
        base64::base64_decode, charsets::map::charset_decoder, html::html_to_text,
        quoted_printable::quoted_printable_decode,
    },
    parsers::MessageStream,
};

use crate::{
    Part, Structure,
    structure::fields::{Fields, unfold},
};

/// Decoded text of one message that is looked at, in bytes.
const MAX_TEXT: usize = 16 << 20;

pub(super) struct MessageText<'a> {
    message: &'a [u8],
    headers: Option<Vec<(String, String)>>,
    body: Option<String>,
}

impl<'a> MessageText<'a> {
    pub(super) fn new(message: &'a [u8]) -> Self {
        Self { message, headers: None, body: None }
    }

    pub(super) fn header_contains(&mut self, name: &str, value: &str) -> bool {
        let value = value.to_lowercase();
        self.headers().iter().any(|(field, text)| {
            field.eq_ignore_ascii_case(name) && (value.is_empty() || text.contains(&value))
        })
    }

    pub(super) fn body_contains(&mut self, words: &str) -> bool {
        self.body().contains(&words.to_lowercase())
    }

    pub(super) fn contains(&mut self, words: &str) -> bool {
        let lower = words.to_lowercase();
        let in_header =
            |(name, text): &(String, String)| format!("{name}: {text}").contains(&lower);
        self.headers().iter().any(in_header) || self.body_contains(words)
    }

    fn headers(&mut self) -> &[(String, String)] {
        let message = self.message;
        self.headers.get_or_insert_with(|| {
            Fields::of(message)
                .map(|field| (field.name.to_lowercase(), decode(&unfold(field.value))))
                .collect()
        })
    }

    fn body(&mut self) -> &str {
        let message = self.message;
        self.body.get_or_insert_with(|| {
            let mut text = String::new();
            collect(message, &Structure::parse(message).root, &mut text);
            text.to_lowercase()
        })
    }
}

/// Whether a header field's value, unfolded, contains a text.
pub(super) fn value_contains(value: &[u8], text: &str) -> bool {
    decode(value).contains(&text.to_lowercase())
}

/// A header field's value without encoded words (RFC 2047), in lower case.
fn decode(value: &[u8]) -> String {
    if !value.windows(2).any(|pair| pair == b"=?") {
        return String::from_utf8_lossy(value).to_lowercase();
    }
    let mut line = value.to_vec();
    line.push(b'\n');
    match MessageStream::new(&line).parse_unstructured() {
        HeaderValue::Text(text) => text.to_lowercase(),
        _ => String::new(),
    }
}

/// Appends the text of a part and of those in it. The depth is bounded by [`Structure::MAX_DEPTH`].
fn collect(message: &[u8], part: &Part, text: &mut String) {
    if text.len() > MAX_TEXT {
        return;
    }
    if let Some(inner) = &part.message {
        let header = message.get(part.body as usize..inner.root.body as usize);
        text.push_str(&String::from_utf8_lossy(header.unwrap_or_default()));
        collect(message, &inner.root, text);
    }
    for child in &part.children {
        collect(message, child, text);
    }
    if part.kind == "text" && part.children.is_empty() {
        text.push_str(&decode_part(message, part));
        text.push('\n');
    }
}

fn decode_part(message: &[u8], part: &Part) -> String {
    let raw = message.get(part.body as usize..part.end as usize).unwrap_or_default();
    let raw = raw.get(..MAX_TEXT).unwrap_or(raw);
    let bytes = match part.encoding.as_str() {
        "base64" => base64_decode(raw),
        "quoted-printable" => quoted_printable_decode(raw),
        _ => None,
    };
    let bytes = bytes.as_deref().unwrap_or(raw);
    let charset = part.params.iter().find(|(name, _)| name == "charset");
    let decoder = charset.and_then(|(_, charset)| charset_decoder(charset.as_bytes()));
    let text = match decoder {
        Some(decoder) => decoder(bytes),
        None => String::from_utf8_lossy(bytes).into_owned(),
    };
    if part.subtype == "html" { html_to_text(&text) } else { text }
}
