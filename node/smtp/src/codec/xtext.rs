//! xtext (RFC 3461 §4): how DSN parameters carry any text.

/// Encodes printable ASCII other than `+` and `=` as it is, the rest as `+XX`.
pub fn encode_xtext(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        match byte {
            b'!'..=b'~' if byte != b'+' && byte != b'=' => out.push(byte.into()),
            _ => out.push_str(&format!("+{byte:02X}")),
        }
        out
    })
}

/// Decodes; `None` if it is not xtext, or is not UTF-8 or has control characters when decoded.
pub fn decode_xtext(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => hex(bytes.next()?)? << 4 | hex(bytes.next()?)?,
            b'!'..=b'~' if byte != b'=' => byte,
            _ => return None,
        });
    }
    String::from_utf8(out).ok().filter(|text| !text.chars().any(char::is_control))
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}
