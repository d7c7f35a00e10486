//! A search filter in BER, down to whom it finds: see [`posthouse_addressbook::fuzz::filter`].
#![no_main]

use posthouse_fuzz::{nest, tlv};

fn seeds() -> [Vec<u8>; 6] {
    let name = |name: &str| tlv(0x04, name);
    let pieces = nest(0x30, &[tlv(0x80, "an"), tlv(0x81, "n"), tlv(0x82, "a")]);
    let present = tlv(0x87, "mail");
    let greater = nest(0xA5, &[name("sn"), name("van")]);
    [
        nest(0xA3, &[name("mail"), name("n.1@example.test")]),
        nest(0xA4, &[name("cn"), pieces]),
        nest(0xA0, &[present, nest(0xA2, &[nest(0xA8, &[name("givenName"), name("b")])])]),
        nest(0xA1, &[greater, nest(0xA3, &[name("telephoneNumber"), name("+49-301")])]),
        nest(0xA9, &[tlv(0x81, "2.5.13.2"), tlv(0x82, "cn"), tlv(0x83, "a  b"), tlv(0x84, [0xFF])]),
        nest(0xA3, &[name("memberOf"), name("cn=name2,ou=groups,dc=example,dc=test")]),
    ]
}

libfuzzer_sys::fuzz_target!(init: posthouse_fuzz::seed(seeds()), |data: &[u8]| posthouse_addressbook::fuzz::filter(data));
