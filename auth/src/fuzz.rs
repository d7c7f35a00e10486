//! Entries of the fuzzer. Panics where a promise does not hold.

use crate::{
    Reason, Service,
    explain::{self, Scene},
    gss::token::{TicketHead, Token},
    keytab::Keytab,
};

/// Takes any bytes as the first token of a sign-on: finds the AP-REQ, reads the outside of its ticket and explains it.
/// Nothing reaches beyond the token, and what an administrator would see has no control characters.
pub fn token(data: &[u8]) {
    if let Some(ap_req) = Token::parse(data).ap_req() {
        assert!(data.as_ptr_range().contains(&ap_req.as_ptr()) || ap_req.is_empty());
        ticket(ap_req);
    }
    // without the outside, which is hard to keep sound while the inside changes
    ticket(data);
}

fn ticket(ap_req: &[u8]) {
    let Some(head) = TicketHead::parse(ap_req) else { return };
    assert!(head.principal().len() <= ap_req.len());
    let keytab = Keytab::parse(KEYTAB).map(|keytab| keytab.entries).unwrap_or_default();
    let scene = Scene { service: Service::Imap, host: "mail.example.test", keytab: &keytab };
    for reason in [Reason::NoKey(String::new()), Reason::WrongService(head.principal())] {
        let told = explain::ticket(&reason, Some(ap_req), &scene);
        for sentence in told.findings.iter().chain(&told.remedies) {
            assert!(!sentence.contains(char::is_control), "{sentence:?}");
        }
    }
}

/// Takes any bytes as an uploaded keytab. What is kept of it has no weak keys and is a keytab itself.
pub fn keytab(data: &[u8]) {
    let Ok(keytab) = Keytab::parse(data) else { return };
    assert!(keytab.file.len() <= data.len());
    for entry in &keytab.entries {
        assert!(!entry.to_string().contains(char::is_control));
    }
    let Ok(again) = Keytab::parse(&keytab.file) else { panic!("what is kept is no keytab") };
    let strong: Vec<_> = keytab.entries.into_iter().filter(|entry| !entry.is_weak()).collect();
    assert_eq!(again.entries, strong);
    assert_eq!(again.file, keytab.file);
}

/// A keytab to begin with: `imap/mail.example.test@R`, key version 2, AES-256; the key is zeros.
pub const KEYTAB: &[u8] =
    b"\x05\x02\0\0\0\x3f\0\x02\0\x01R\0\x04imap\0\x11mail.example.test\0\0\0\x01\0\0\0\0\x02\0\x12\0\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x02";
