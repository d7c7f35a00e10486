//! PLAIN (RFC 4616): the message.

use crate::{
    Reason,
    password::text::{MAX_NAME, MAX_PASSWORD},
};

/// RFC 4616 §2: authzid, authcid, passwd.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Message<'a> {
    pub(crate) authzid: &'a str,
    pub(crate) authcid: &'a str,
    pub(crate) passwd: &'a str,
}

pub(crate) fn parse(input: &[u8]) -> Result<Message<'_>, Reason> {
    if input.len() > 2 * MAX_NAME + MAX_PASSWORD + 2 {
        return Err(malformed("the PLAIN message is too long"));
    }
    let text = std::str::from_utf8(input).map_err(|_| malformed("PLAIN is not UTF-8"))?;
    let mut parts = text.split('\0');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(authzid), Some(authcid), Some(passwd), None) => {
            Ok(Message { authzid, authcid, passwd })
        }
        _ => Err(malformed("PLAIN needs exactly two NUL")),
    }
}

fn malformed(text: &str) -> Reason {
    Reason::Malformed(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_messages_rfc4616() {
        let long = [b"\0u\0".as_slice(), &[b'x'; 4_000]].concat();
        for (input, parsed) in [
            (&b"\0tim\0secret"[..], Some(("", "tim", "secret"))),
            (b"ursel\0kurt\0xipj3plmq", Some(("ursel", "kurt", "xipj3plmq"))),
            (b"\0\0", Some(("", "", ""))),
            ("\0j\u{fc}rgen\0p\u{e4}ss".as_bytes(), Some(("", "jürgen", "päss"))),
            (b"", None),
            (b"tim", None),
            (b"\0tim", None),
            (b"\0tim\0a\0b", None),
            (b"\0tim\0\xff", None),
            (&long, None),
        ] {
            let got = parse(input).ok().map(|m| (m.authzid, m.authcid, m.passwd));
            assert_eq!(got, parsed, "{}", input.escape_ascii());
        }
    }

    #[test]
    fn mutated_plain_messages_never_break_the_parser() {
        use rand::{Rng, SeedableRng, rngs::StdRng};
        let mut random = StdRng::seed_from_u64(17);
        let mut parsed = 0;
        for _ in 0..50_000 {
            let mut bytes = "azid\0j\u{fc}rgen\0p\u{e4}ss".as_bytes().to_vec();
            let at = random.random_range(0..bytes.len());
            bytes[at] = random.random();
            bytes.truncate(random.random_range(0..bytes.len() * 2).max(1));
            if let Ok(message) = parse(&bytes) {
                assert!(!message.authcid.contains('\0') && !message.passwd.contains('\0'));
                parsed += 1;
            }
        }
        assert!(parsed > 1_000, "{parsed}");
    }
}
