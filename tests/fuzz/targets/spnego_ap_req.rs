//! A Negotiate token and the ticket in it: see [`posthouse_auth::fuzz::token`].
#![no_main]

use posthouse_fuzz::{nest, tlv};

const KRB5: &[u8] = b"\x2a\x86\x48\x86\xf7\x12\x01\x02\x02";
const SPNEGO: &[u8] = b"\x2b\x06\x01\x05\x05\x02";
const NTLMSSP: &[u8] = b"\x2b\x06\x01\x04\x01\x82\x37\x02\x02\x0a";

/// An AP-REQ (RFC 4120 §5.5.1).
fn ap_req() -> Vec<u8> {
    let field = |number: u8, content: Vec<u8>| tlv(0xA0 | number, content);
    let number = |number: u8| tlv(0x02, [number]);
    let cipher = || field(2, tlv(0x04, [7; 16]));
    let parts = nest(0x30, &[tlv(0x1B, "imap"), tlv(0x1B, "mail.example.test")]);
    let service = nest(0x30, &[field(0, number(2)), field(1, parts)]);
    let sealed = nest(0x30, &[field(0, number(18)), field(1, number(2)), cipher()]);
    let realm = field(1, tlv(0x1B, "R"));
    let ticket = nest(0x30, &[field(0, number(5)), realm, field(2, service), field(3, sealed)]);
    let authenticator = nest(0x30, &[field(0, number(18)), cipher()]);
    let body = [
        field(0, number(5)),
        field(1, number(14)),
        field(2, tlv(0x03, [0, 0x20, 0, 0, 0])),
        field(3, tlv(0x61, ticket)),
        field(4, authenticator),
    ];
    tlv(0x6E, nest(0x30, &body))
}

fn seeds() -> [Vec<u8>; 5] {
    let kerberos = nest(0x60, &[tlv(0x06, KRB5), b"\x01\0".to_vec(), ap_req()]);
    let offer = nest(0x30, &[tlv(0x06, KRB5), tlv(0x06, NTLMSSP)]);
    let token = tlv(0xA2, tlv(0x04, &kerberos));
    let fields = nest(0x30, &[tlv(0xA0, offer), token.clone()]);
    let init = nest(0x60, &[tlv(0x06, SPNEGO), tlv(0xA0, fields)]);
    let answer = tlv(0xA1, nest(0x30, &[token]));
    [ap_req(), kerberos, init, answer, b"NTLMSSP\0\x01".to_vec()]
}

libfuzzer_sys::fuzz_target!(init: posthouse_fuzz::seed(seeds()), |data: &[u8]| posthouse_auth::fuzz::token(data));
