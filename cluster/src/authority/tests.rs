use std::time::Duration;

use super::*;

const DAY: Duration = Duration::from_secs(24 * 3600);
const NOW: Timestamp = Timestamp(1_790_000_000_000);

fn roots(authority: &Authority) -> rustls::RootCertStore {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority.certificate_der().to_vec().into()).unwrap();
    roots
}

#[test]
fn an_authority_and_a_key_are_read_back_as_they_were_and_damage_is_noticed() {
    let authority = Authority::generate("Example GmbH", NOW).unwrap();
    let bytes = authority.to_bytes();
    let again = Authority::from_bytes(&bytes).unwrap();
    assert_eq!(again.fingerprint(), authority.fingerprint());
    assert_eq!(format!("{again:?}"), "Authority");
    let other = Authority::generate("Example GmbH", NOW).unwrap();
    assert_ne!(other.fingerprint(), authority.fingerprint());
    let mut mixed = bytes[..bytes.len() - authority.certificate.len()].to_vec();
    mixed.extend_from_slice(&other.certificate);
    assert!(Authority::from_bytes(&mixed).is_err());
    for cut in 0..bytes.len() {
        assert!(Authority::from_bytes(&bytes[..cut]).is_err(), "{cut}");
    }
    let key = NodeKey::generate().unwrap();
    let again = NodeKey::from_bytes(&key.to_bytes()).unwrap();
    assert_eq!(again.public_key_hash(), key.public_key_hash());
    assert_eq!(format!("{again:?}"), "NodeKey");
    assert!(NodeKey::from_bytes(b"").is_err());
}

#[test]
fn a_certificate_names_the_node_and_its_key_and_is_renewed_in_its_last_third() {
    let authority = Authority::generate("Example", NOW).unwrap();
    let key = NodeKey::generate().unwrap();
    let made = authority.certify(key.public_key(), NodeId(7), NOW, VALIDITY).unwrap();
    let found = identify(&made.clone().into(), &roots(&authority), NOW).unwrap();
    assert_eq!(found, Identified { node: NodeId(7), key: key.public_key_hash() });
    assert_eq!(time_left(&made, NOW), VALIDITY);
    assert!(!renewal_due(&made, NOW.after(DAY * 19)));
    assert!(renewal_due(&made, NOW.after(DAY * 20)));
    assert_eq!(time_left(&made, NOW.after(DAY * 31)), Duration::ZERO);
    assert!(renewal_due(b"not a certificate", NOW));
    // made while the clock was a year ahead, and looked at when it is right again
    let ahead = authority.certify(key.public_key(), NodeId(7), NOW.after(DAY * 365), VALIDITY);
    assert!(renewal_due(&ahead.unwrap(), NOW));
    assert!(authority.certify(b"not a key", NodeId(7), NOW, VALIDITY).is_err());
}

#[test]
fn a_clock_that_is_wrong_by_a_day_breaks_nothing_and_one_further_off_is_named() {
    let authority = Authority::generate("Example", NOW).unwrap();
    let key = NodeKey::generate().unwrap();
    let made = authority.certify(key.public_key(), NodeId(7), NOW, VALIDITY).unwrap();
    let at = |now| identify(&made.clone().into(), &roots(&authority), now);
    for now in [Timestamp(NOW.0 - DAY.as_millis() as u64), NOW.after(DAY)] {
        assert!(at(now).is_ok(), "{now:?}");
    }
    assert_eq!(at(NOW.after(DAY * 33)), Err(Problem::Expired { days: 3 }));
    assert_eq!(at(Timestamp(NOW.0 - 5 * DAY.as_millis() as u64)), Err(Problem::NotYet { days: 3 }));
    for problem in [Problem::Expired { days: 3 }, Problem::NotYet { days: 3 }] {
        assert!(problem.to_string().contains("clock"));
    }
}

#[test]
fn certificates_of_others_and_authorities_themselves_are_no_nodes() {
    let authority = Authority::generate("Example", NOW).unwrap();
    let other = Authority::generate("Example", NOW).unwrap();
    let key = NodeKey::generate().unwrap();
    let made = other.certify(key.public_key(), NodeId(7), NOW, VALIDITY).unwrap();
    assert_eq!(identify(&made.into(), &roots(&authority), NOW), Err(Problem::Authority));
    let own = authority.certificate_der().to_vec();
    assert!(identify(&own.into(), &roots(&authority), NOW).is_err());
    assert_eq!(identify(&b"nothing"[..].into(), &roots(&authority), NOW), Err(Problem::Unnamed));
}
