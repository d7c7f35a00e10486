//! The security layer round after a GSSAPI context (RFC 4752 §3.1 and §3.2). We offer none: TLS is there for that.

use crate::{Reason, password::text::MAX_NAME};

/// Bit mask "no security layer", and a maximum message size of zero.
pub(crate) const OFFER: [u8; 4] = [1, 0, 0, 0];

/// Checks the client's choice; returns whom it wants to act as (empty: itself). The size that it can receive is of no
/// interest without a layer, and clients send anything.
pub(crate) fn answer(message: &[u8]) -> Result<&str, Reason> {
    let malformed = |text: &str| Reason::Malformed(text.to_owned());
    let Some((&[choice, _, _, _], authzid)) = message.split_first_chunk::<4>() else {
        return Err(malformed("the security layer answer is too short"));
    };
    if choice != OFFER[0] {
        return Err(malformed("the client chose a security layer that was not offered"));
    }
    if authzid.len() > MAX_NAME {
        return Err(malformed("the authorization identity is too long"));
    }
    let authzid = std::str::from_utf8(authzid)
        .map_err(|_| malformed("the authorization identity is not UTF-8"))?;
    if authzid.contains('\0') {
        return Err(malformed("the authorization identity holds NUL"));
    }
    Ok(authzid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn security_layer_answers_rfc4752() {
        for (message, authzid) in [
            (&b"\x01\0\0\0"[..], Some("")),
            (b"\x01\0\0\0alice", Some("alice")),
            (b"\x01\x00\xff\xffalice@example.test", Some("alice@example.test")),
            (b"\x02\0\0\0alice", None),
            (b"\x03\0\0\0alice", None),
            (b"\x00\0\0\0alice", None),
            (b"\x01\0\0", None),
            (b"", None),
            (b"\x01\0\0\0al\0ice", None),
            (b"\x01\0\0\0\xff", None),
        ] {
            assert_eq!(answer(message).ok(), authzid, "{}", message.escape_ascii());
        }
    }
}
