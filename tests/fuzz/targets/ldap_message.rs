//! What an LDAP client sends, as a stream: see [`posthouse_addressbook::fuzz::messages`].
#![no_main]

use posthouse_fuzz::{nest, tlv};

fn seeds() -> Vec<Vec<u8>> {
    let bind = nest(0x60, &[tlv(0x02, [3]), tlv(0x04, "anna"), tlv(0x80, "secret")]);
    let sasl = nest(0xA3, &[tlv(0x04, "GSS-SPNEGO"), tlv(0x04, "token")]);
    let negotiate = nest(0x60, &[tlv(0x02, [3]), tlv(0x04, ""), sasl]);
    let equal = nest(0xA3, &[tlv(0x04, "cn"), tlv(0x04, "anna")]);
    let numbers = [tlv(0x0A, [2]), tlv(0x0A, [0]), tlv(0x02, [0]), tlv(0x02, [0]), tlv(0x01, [0])];
    let search =
        nest(0x63, &[tlv(0x04, "dc=x"), numbers.concat(), equal, nest(0x30, &[tlv(0x04, "*")])]);
    let page = nest(0x30, &[tlv(0x02, [5]), tlv(0x04, "")]);
    let paged =
        nest(0x30, &[tlv(0x04, "1.2.840.113556.1.4.319"), tlv(0x01, [0xFF]), tlv(0x04, page)]);
    let extended = nest(0x77, &[tlv(0x80, "1.3.6.1.4.1.4203.1.11.3")]);
    let compare = nest(0x6E, &[tlv(0x04, "dc=x"), nest(0x30, &[tlv(0x04, "cn"), tlv(0x04, "a")])]);
    let controls = nest(0xA0, &[paged]);
    let operations = [bind, negotiate, search, extended, compare, tlv(0x42, ""), tlv(0x50, [1])];
    let message = |operation: &Vec<u8>| nest(0x30, &[tlv(0x02, [7]), operation.clone()]);
    let mut seeds: Vec<Vec<u8>> = operations.iter().map(message).collect();
    seeds.extend(
        operations.get(2).map(|search| nest(0x30, &[tlv(0x02, [8]), search.clone(), controls])),
    );
    seeds
}

libfuzzer_sys::fuzz_target!(init: posthouse_fuzz::seed(seeds()), |data: &[u8]| posthouse_addressbook::fuzz::messages(data));
