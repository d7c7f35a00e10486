//! Modified UTF-7 mailbox names (RFC 3501 §5.1.3), for clients that have not enabled UTF-8.

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

/// Base64 with `,` for `/`, without padding.
fn engine() -> Option<GeneralPurpose> {
    let alphabet =
        alphabet::Alphabet::new("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,");
    let config = GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone);
    alphabet.ok().map(|alphabet| GeneralPurpose::new(&alphabet, config))
}

/// Unicode to modified UTF-7.
pub fn encode(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut run = Vec::new();
    for c in name.chars() {
        if matches!(c, ' '..='~') {
            shift_out(&mut run, &mut out);
            out.push(c);
            if c == '&' {
                out.push('-');
            }
        } else {
            let mut units = [0; 2];
            run.extend(c.encode_utf16(&mut units).iter().flat_map(|unit| unit.to_be_bytes()));
        }
    }
    shift_out(&mut run, &mut out);
    out
}

fn shift_out(run: &mut Vec<u8>, out: &mut String) {
    if let (false, Some(engine)) = (run.is_empty(), engine()) {
        out.push('&');
        engine.encode_string(&run[..], out);
        out.push('-');
        run.clear();
    }
}

/// Modified UTF-7 to Unicode. `None` if it is malformed.
pub fn decode(name: &str) -> Option<String> {
    if !name.is_ascii() {
        return None;
    }
    let mut out = String::with_capacity(name.len());
    let mut rest = name;
    while let Some((plain, shifted)) = rest.split_once('&') {
        out.push_str(plain);
        let (code, after) = shifted.split_once('-')?;
        rest = after;
        if code.is_empty() {
            out.push('&');
            continue;
        }
        let bytes = engine()?.decode(code).ok()?;
        if bytes.len() % 2 != 0 {
            return None;
        }
        let units = bytes.chunks_exact(2).map(|pair| match pair {
            [high, low] => u16::from_be_bytes([*high, *low]),
            _ => 0,
        });
        for c in char::decode_utf16(units) {
            out.push(c.ok()?);
        }
    }
    out.push_str(rest);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_malformed_ones_are_refused() {
        for (unicode, utf7) in [
            ("Sent", "Sent"),
            ("Entw\u{fc}rfe", "Entw&APw-rfe"),
            ("A&B", "A&-B"),
            ("\u{53f0}\u{5317}/\u{65e5}\u{672c}\u{8a9e}", "&U,BTFw-/&ZeVnLIqe-"),
            ("\u{1f4ec}", "&2D3c7A-"),
        ] {
            assert_eq!(encode(unicode), utf7);
            assert_eq!(decode(utf7).as_deref(), Some(unicode));
        }
        for malformed in ["&", "&APw", "&A-", "&2D0-", "\u{fc}", "&!!!-"] {
            assert_eq!(decode(malformed), None, "{malformed}");
        }
    }
}
