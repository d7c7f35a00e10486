//! What is said for which ticket against which keytab.

use kerberos_asn1::{ApOptions, ApReq, Asn1Object, EncryptedData, PrincipalName, Ticket};

use super::*;
use crate::gss::token::{TicketHead, Token};

/// An AP-REQ with such a ticket, encrypted with nothing.
pub(crate) fn ap_req(principal: &str, kvno: u32, etype: i32) -> Vec<u8> {
    let (name, realm) = principal.rsplit_once('@').unwrap();
    let mut parts = name.split('/').map(str::to_owned);
    let mut sname = PrincipalName::new(2, parts.next().unwrap());
    parts.for_each(|part| sname.push(part));
    let data = |kvno| EncryptedData::new(etype, kvno, vec![7; 64]);
    let ticket = Ticket::new(realm.to_owned(), sname, data(Some(kvno)));
    let ap_options = ApOptions::default();
    ApReq { ap_options, ticket, authenticator: data(None), ..ApReq::default() }.build()
}

fn entry(principal: &str, kvno: u32, etype: u16) -> Entry {
    let (name, realm) = principal.rsplit_once('@').unwrap();
    let name = name.split('/').map(str::to_owned).collect();
    Entry { name, realm: realm.to_owned(), kvno, etype }
}

#[test]
fn a_ticket_that_has_no_key_is_explained_by_what_differs() {
    let keytab = [
        entry("imap/mail.example.test@R", 3, 18),
        entry("imap/mail.example.test@R", 4, 18),
        entry("imap/mail.example.test@R", 4, 17),
    ];
    let scene = Scene { service: Service::Imap, host: "mail.example.test", keytab: &keytab };
    let no_key = Reason::NoKey("no key".into());
    for (principal, kvno, etype, cause) in [
        ("imap/mail.example.test@R", 2, 18, Cause::OldTicket),
        ("imap/mail.example.test@R", 5, 18, Cause::OldKeytab),
        ("imap/mail.example.test@R", 4, 20, Cause::EncryptionType),
        ("imap/mail.example.test@R", 3, 17, Cause::EncryptionType),
        ("imap/mail.example.test@R", 4, 23, Cause::WeakEncryption),
        ("imap/mail.example.test@R", 4, 18, Cause::KeyDoesNotFit),
        ("IMAP/MAIL.example.test@R", 2, 18, Cause::OldTicket),
        ("imap/mail.example.test@OTHER", 4, 18, Cause::OtherRealm),
        ("imap/mx.example.test@R", 4, 18, Cause::NameNotInKeytab),
    ] {
        let told = ticket(&no_key, Some(&ap_req(principal, kvno, etype)), &scene);
        let (sentence, remedy) = cause.words();
        assert_eq!(told.findings[0], sentence, "{principal} {kvno} {etype}");
        assert_eq!(told.remedies, [remedy]);
        assert!(told.findings[1].contains(&format!("{principal}, key version {kvno}, ")));
        assert!(told.findings[3].contains("key version 4 aes128"), "{:?}", told.findings);
    }
}

#[test]
fn a_ticket_for_somebody_else_is_told_apart_by_service_and_host() {
    let scene = Scene { service: Service::Imap, host: "mail.example.test", keytab: &[] };
    for (principal, cause) in [
        ("HTTP/mail.example.test@R", Cause::OtherService),
        ("imap/mx.example.test@R", Cause::OtherHost),
    ] {
        let reason = Reason::WrongService(principal.into());
        let told = ticket(&reason, Some(&ap_req(principal, 1, 18)), &scene);
        assert_eq!(told.findings[0], cause.words().0);
        assert!(told.findings[1].contains(principal));
        assert!(told.findings[2].contains("imap/mail.example.test"));
    }
}

#[test]
fn every_reason_has_a_sentence_and_a_remedy() {
    let text = || "x".to_owned();
    for reason in [
        Reason::WrongPassword,
        Reason::UnknownUser,
        Reason::NotMapped(text()),
        Reason::Disabled(text()),
        Reason::Expired,
        Reason::PasswordExpired,
        Reason::LockedOut(text()),
        Reason::NotAvailable(text()),
        Reason::Malformed(text()),
        Reason::ClockSkew(text()),
        Reason::WrongService(text()),
        Reason::NoKey(text()),
        Reason::TicketTime(text()),
        Reason::ChannelBinding,
        Reason::Replay,
        Reason::DirectoryDown(text()),
        Reason::NotAuthorized(text()),
        Reason::Cancelled,
        Reason::Busy,
        Reason::Kerberos(text()),
    ] {
        let told = super::reason(&reason);
        assert!(told.findings[0].ends_with('.') && told.remedies[0].ends_with('.'), "{reason:?}");
    }
}

#[test]
fn both_readers_of_the_ticket_agree() {
    for (principal, kvno, etype) in
        [("imap/mail.example.test@R", 2, 18), ("ldap/a/b@EXAMPLE.TEST", 4_000_000_000, 23)]
    {
        let bytes = ap_req(principal, kvno, etype);
        let (ours, theirs) = (TicketHead::parse(&bytes).unwrap(), ticket::parse(&bytes).unwrap());
        assert_eq!(ours.principal(), principal);
        assert_eq!((ours.realm, ours.service), (theirs.realm, theirs.service));
        assert_eq!((ours.etype, ours.kvno), (theirs.etype, theirs.kvno));
    }
}

#[test]
fn a_ticket_that_is_not_sound_to_its_end_is_kept_from_the_other_reader() {
    let mut bytes = ap_req("imap/mail.example.test@R", 2, 18);
    assert_eq!(ticket::walked(&[bytes.as_slice(), b"\xff"].concat()), Some(bytes.as_slice()));
    // a tag number that never ends, in the authenticator: it made that reader panic
    let cipher = bytes.len() - 66;
    bytes[cipher..].fill(0xff);
    assert!(TicketHead::parse(&bytes).is_some());
    assert_eq!(ticket::walked(&bytes), None);
    // more bits that do not count than an octet has: that too
    let mut bytes = ap_req("imap/mail.example.test@R", 2, 18);
    let flags = bytes.windows(3).position(|found| found == b"\x03\x05\0").unwrap();
    bytes[flags + 2] = 8;
    assert_eq!(ticket::walked(&bytes), None);
}

#[test]
fn mutated_tickets_are_explained_or_not_but_never_break_anything() {
    use rand::{Rng, SeedableRng, rngs::StdRng};
    let mut random = StdRng::seed_from_u64(7);
    let good = ap_req("imap/mail.example.test@R", 2, 18);
    let scene = Scene { service: Service::Imap, host: "mail.example.test", keytab: &[] };
    let mut explained = 0;
    for _ in 0..20_000 {
        let mut bytes = good.clone();
        for _ in 0..random.random_range(1..4) {
            let at = random.random_range(0..bytes.len());
            bytes[at] = random.random();
        }
        if random.random_bool(0.25) {
            bytes.truncate(random.random_range(0..=bytes.len()));
        }
        let told = ticket(&Reason::NoKey(String::new()), Some(&bytes), &scene);
        explained += usize::from(told.findings.len() > 1);
        let _ = Token::parse(&bytes);
    }
    assert!(explained > 100, "{explained}");
}
