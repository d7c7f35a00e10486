use ldap3_proto::proto::{LdapBindCred, LdapBindRequest, LdapFilter, LdapSearchRequest};
use proptest::prelude::*;

use super::*;

/// An element.
fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag, 0x84];
    out.extend_from_slice(&(content.len() as u32).to_be_bytes());
    out.extend_from_slice(content);
    out
}

fn message(id: &[u8], rest: &[u8]) -> Vec<u8> {
    tlv(0x30, &[tlv(0x02, id), rest.to_vec()].concat())
}

fn one(bytes: &[u8]) -> Result<Option<Request>, CodecError> {
    decode(&mut BytesMut::from(bytes), MAX_MESSAGE)
}

fn search(filter: &[u8]) -> Vec<u8> {
    let parts = [
        tlv(0x04, b""),
        tlv(0x0A, &[2]),
        tlv(0x0A, &[0]),
        tlv(0x02, &[0]),
        tlv(0x02, &[0]),
        tlv(0x01, &[0]),
        filter.to_vec(),
        tlv(0x30, b""),
    ];
    message(&[1], &tlv(0x63, &parts.concat()))
}

fn present() -> Vec<u8> {
    tlv(0x87, b"cn")
}

#[test]
fn ordinary_requests_are_read() {
    let bind = LdapBindRequest {
        version: 3,
        dn: "anna".into(),
        cred: LdapBindCred::Simple("secret".into()),
    };
    let mut bytes = BytesMut::new();
    encode(LdapMsg::new(7, LdapOp::BindRequest(bind.clone())), &mut bytes);
    encode(LdapMsg::new(8, LdapOp::UnbindRequest), &mut bytes);
    let first = decode(&mut bytes, MAX_MESSAGE).unwrap().unwrap();
    assert_eq!((first.id, first.operation), (7, Operation::Bind));
    assert_eq!(first.op, Some(LdapOp::BindRequest(bind)));
    let second = decode(&mut bytes, MAX_MESSAGE).unwrap().unwrap();
    assert_eq!((second.id, second.operation), (8, Operation::Unbind));
    assert!(bytes.is_empty());
    let found = one(&search(&present())).unwrap().unwrap();
    let Some(LdapOp::SearchRequest(LdapSearchRequest { filter, .. })) = found.op else {
        panic!("{found:?}")
    };
    assert_eq!(filter, LdapFilter::Present("cn".into()));
}

#[test]
fn every_prefix_of_a_message_is_incomplete() {
    let bytes = search(&present());
    for end in 0..bytes.len() {
        assert_eq!(one(&bytes[..end]), Ok(None), "{end}");
    }
}

#[test]
fn criticality_is_read_from_every_control() {
    let control =
        |oid: &str, rest: &[u8]| tlv(0x30, &[tlv(0x04, oid.as_bytes()), rest.to_vec()].concat());
    let controls = [
        control("1.1", &tlv(0x01, &[0xFF])),
        control("1.2", &tlv(0x01, &[0])),
        control("1.3", &[]),
        control("1.4", &tlv(0x04, b"value")),
        control("1.2.840.113556.1.4.319", &[tlv(0x01, &[1]), tlv(0x04, b"garbage")].concat()),
    ];
    let op = tlv(0x4A, b"cn=x");
    let bytes = message(&[1], &[op, tlv(0xA0, &controls.concat())].concat());
    let found = one(&bytes).unwrap().unwrap();
    assert_eq!(found.critical, ["1.1", "1.2.840.113556.1.4.319"]);
    assert_eq!(
        found.op,
        Some(LdapOp::DelRequest("cn=x".into())),
        "a bad control spoils nothing else"
    );
}

#[test]
fn content_that_makes_no_sense_is_still_known_by_id_and_kind() {
    let found = one(&message(&[9], &tlv(0x63, b""))).unwrap().unwrap();
    assert_eq!((found.id, found.operation, found.op), (9, Operation::Search, None));
}

/// Attack A19.
#[test]
fn hostile_ber_is_refused_before_it_costs_anything() {
    let deep = |levels: usize| {
        let mut filter = present();
        for _ in 0..levels {
            filter = tlv(0xA2, &filter);
        }
        search(&filter)
    };
    let wide = |items: usize| search(&tlv(0xA0, &[0x87, 0x02, b'c', b'n'].repeat(items)));
    // over 100,000 levels without an end
    let mut bottomless =
        vec![0x30, 0x83, 0x03, 0xFF, 0xF0, 0x02, 0x01, 0x01, 0x63, 0x83, 0x03, 0xFF, 0xE0];
    for _ in 0..131_200 {
        bottomless.extend_from_slice(&[0xA2, 0x80]);
    }
    let malformed = Err(CodecError::Malformed);
    let too_large = Err(CodecError::TooLarge(MAX_MESSAGE));
    for (what, bytes, want) in [
        ("indefinite length", vec![0x30, 0x80], malformed.clone()),
        ("negative length", vec![0x30, 0x84, 0xFF, 0xFF, 0xFF, 0xFF], malformed.clone()),
        ("length of 2^31", vec![0x30, 0x84, 0x80, 0, 0, 0], malformed.clone()),
        ("length of 2^31 - 1", vec![0x30, 0x84, 0x7F, 0xFF, 0xFF, 0xFF], too_large.clone()),
        ("length in 8 octets", vec![0x30, 0x88, 0, 0, 0, 0, 0, 0, 0, 1], malformed.clone()),
        ("length in 127 octets", vec![0x30, 0xFF], malformed.clone()),
        ("long identifier", vec![0x3F, 0x81, 0x01, 0x00], malformed.clone()),
        ("text", b"GET / HTTP/1.1\r\n\r\n".to_vec(), malformed.clone()),
        ("TLS", vec![0x16, 0x03, 0x01, 0x02, 0x00], malformed.clone()),
        ("id of 0", message(&[0], &tlv(0x42, b"")), malformed.clone()),
        ("negative id", message(&[0x80], &tlv(0x42, b"")), malformed.clone()),
        ("id of 2^31", message(&[0, 0x80, 0, 0, 0], &tlv(0x42, b"")), malformed.clone()),
        ("no id", message(&[], &tlv(0x42, b"")), malformed.clone()),
        ("a response", message(&[1], &tlv(0x65, b"")), malformed.clone()),
        ("nothing inside", tlv(0x30, b""), malformed.clone()),
        ("child larger than its parent", vec![0x30, 0x03, 0x02, 0x05, 0x01], malformed.clone()),
        ("too deep", deep(MAX_DEPTH), Err(CodecError::TooComplex)),
        ("too many parts", wide(MAX_ELEMENTS), Err(CodecError::TooComplex)),
        ("a million values", wide(1_000_000), too_large.clone()),
        ("without a floor", bottomless, malformed.clone()),
    ] {
        assert_eq!(one(&bytes), want, "{what}");
    }
    assert!(one(&deep(MAX_DEPTH - 8)).unwrap().unwrap().op.is_some());
    assert!(one(&wide(1_000)).unwrap().unwrap().op.is_some());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = one(&bytes);
        let _ = one(&[&[0x30, 0x82, 0x01, 0x2C][..], &bytes].concat());
    }

    /// Valid requests with some bytes changed, cut or doubled.
    #[test]
    fn mutated_requests_never_panic_and_never_read_beyond_their_end(
        which in 0usize..4,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0u8..3), 1..8),
    ) {
        let filter = [
            present(),
            tlv(0xA0, &[present(), tlv(0xA3, &[tlv(0x04, b"cn"), tlv(0x04, b"x")].concat())].concat()),
            tlv(0xA4, &[tlv(0x04, b"cn"), tlv(0x30, &[tlv(0x80, b"a"), tlv(0x82, b"b")].concat())].concat()),
            tlv(0xA9, &[tlv(0x81, b"2.5.13.2"), tlv(0x82, b"cn"), tlv(0x83, b"x")].concat()),
        ];
        let mut bytes = search(&filter[which]);
        for (at, value, kind) in changes {
            let at = at.index(bytes.len());
            match kind {
                0 => bytes[at] = value,
                1 => _ = bytes.remove(at),
                _ => bytes.insert(at, value),
            }
        }
        let mut buffer = BytesMut::from(&bytes[..]);
        let before = buffer.len();
        if let Ok(Some(_)) = decode(&mut buffer, MAX_MESSAGE) {
            prop_assert!(buffer.len() < before);
        }
    }
}
