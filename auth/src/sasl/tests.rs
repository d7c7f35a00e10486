//! Kerberos exchanges without a KDC: what is offered when, and what is refused before and by the library. Good tickets are
//! in the lab test (`tests/tests/kerberos.rs`).

use std::sync::Arc;

use posthouse_directory::{Actor, Change};

use crate::{
    Authenticator, Reason, Service, Step,
    explain::tests::ap_req,
    fake::{Fake, authenticator, joined, origin},
    gss::token::tests::{framed_krb5, spnego},
    keytab::parse::tests::file,
    people::People,
};

const KRB5: &[u8] = b"\x2a\x86\x48\x86\xf7\x12\x01\x02\x02";
const NTLMSSP: &[u8] = b"\x2b\x06\x01\x04\x01\x82\x37\x02\x02\x0a";

async fn with_keytab() -> (Arc<Fake>, Authenticator, tempfile::TempDir) {
    let fake = Fake::new();
    let (auth, folder) = authenticator(fake.clone()).await;
    let keytab = file(&[
        ("imap/mail.example.test@R", 2, 18),
        ("imap/mail.example.test@R", 2, 23),
        ("HTTP/mail.example.test@R", 2, 18),
    ]);
    let entries = auth.put_keytab(Actor::System("test".into()), &keytab).await.unwrap();
    assert_eq!(entries, auth.keytab());
    (fake, auth, folder)
}

#[tokio::test]
async fn kerberos_is_offered_while_there_is_a_keytab_that_can_be_used() {
    let fake = Fake::new();
    let (auth, _folder) = authenticator(fake.clone()).await;
    let (clear, tls) = (origin(Service::Imap, false), origin(Service::Imap, true));
    assert_eq!(auth.offered(&tls), ["PLAIN", "LOGIN"]);
    assert!(auth.offered(&origin(Service::Http, true)).is_empty());
    drop(auth);

    let (fake, auth, _folder) = with_keytab().await;
    assert_eq!(auth.offered(&clear), ["GSSAPI", "GSS-SPNEGO"]);
    assert_eq!(auth.offered(&tls), ["GSSAPI", "GSS-SPNEGO", "PLAIN", "LOGIN"]);
    assert_eq!(auth.offered(&origin(Service::Ldap, true)), ["GSSAPI", "GSS-SPNEGO", "PLAIN"]);
    assert_eq!(auth.offered(&origin(Service::Http, true)), ["Negotiate"]);
    assert!(auth.offered(&origin(Service::Http, false)).is_empty());

    let change = Change::PutSecret { name: "keytab".into(), ciphertext: b"not ours".to_vec() };
    fake.change(Actor::System("test".into()), change).await.unwrap();
    for _ in 0..500 {
        if auth.keytab().is_empty() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(auth.offered(&tls), ["PLAIN", "LOGIN"]);
}

#[tokio::test]
async fn a_node_without_the_key_of_the_vault_does_not_get_at_the_keytab() {
    let (fake, auth, folder) = with_keytab().await;
    let (stranger, _other) = authenticator(fake.clone()).await;
    assert!(stranger.keytab().is_empty());
    let stored = fake.secret("keytab").unwrap();
    assert!(!stored.windows(7).any(|w| w == b"example"));
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(7).any(|w| w == b"example"));
    }
    assert_eq!(auth.keytab().len(), 3);
}

#[tokio::test]
async fn a_node_that_joined_takes_what_is_replicated_into_use() {
    let actor = || Actor::System("test".into());
    let (fake, first, _folder) = with_keytab().await;
    first.put_secret(actor(), "cluster.authority", b"a key").await.unwrap();
    let (second, _other) = joined(fake.clone(), &first).await;
    assert_eq!(second.keytab(), first.keytab());
    assert_eq!(second.secret("cluster.authority").unwrap().as_slice(), b"a key");
    assert!(second.secret("cluster.other").is_none());
    assert!(!fake.secret("cluster.authority").unwrap().windows(5).any(|w| w == b"a key"));

    // and what comes later
    let newer = file(&[("imap/mail.example.test@R", 3, 18)]);
    let entries = first.put_keytab(actor(), &newer).await.unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while second.keytab() != entries {
        assert!(std::time::Instant::now() < deadline, "{:?}", second.keytab());
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let (stranger, _third) = authenticator(fake).await;
    assert!(stranger.secret("cluster.authority").is_none());
}

#[tokio::test]
async fn what_is_no_keytab_is_refused_and_the_present_one_stays() {
    let (_fake, auth, _folder) = with_keytab().await;
    for bytes in [&b""[..], b"hello", &file(&[("imap/m@R", 1, 23)])] {
        assert!(auth.put_keytab(Actor::System("test".into()), bytes).await.is_err());
    }
    assert_eq!(auth.keytab().len(), 3);
}

/// One line per case: mechanism, service, the client's first token, the reason.
#[tokio::test]
async fn tokens_that_are_refused() {
    let (_fake, auth, _folder) = with_keytab().await;
    let ap_req = |principal, kvno, etype| {
        framed_krb5(&[b"\x01\x00".as_slice(), &ap_req(principal, kvno, etype)].concat())
    };
    let good = ap_req("imap/mail.example.test@R", 2, 18);
    let ntlm = b"NTLMSSP\0\x01\0\0\0".to_vec();
    for (mechanism, service, token, label) in [
        ("GSSAPI", Service::Imap, b"".to_vec(), "malformed"),
        ("GSSAPI", Service::Imap, b"\x60\x02\x06\x00".to_vec(), "malformed"),
        ("GSSAPI", Service::Imap, vec![0x60; 70_000], "malformed"),
        ("GSSAPI", Service::Imap, spnego(&[KRB5], Some(&good)), "malformed"),
        ("GSSAPI", Service::Imap, framed_krb5(b"\x01\x00"), "malformed"),
        ("GSSAPI", Service::Imap, framed_krb5(b"\x02\x00"), "malformed"),
        ("GSSAPI", Service::Imap, ap_req("HTTP/mail.example.test@R", 2, 18), "wrong_service"),
        ("GSSAPI", Service::Imap, ap_req("imap/other.example.test@R", 2, 18), "wrong_service"),
        ("GSSAPI", Service::Imap, ap_req("imap@R", 2, 18), "wrong_service"),
        ("GSSAPI", Service::Imap, ap_req("imap/mail.example.test@R", 3, 18), "no_key"),
        ("GSSAPI", Service::Imap, ap_req("imap/mail.example.test@R", 2, 23), "no_key"),
        ("GSSAPI", Service::Imap, ap_req("imap/mail.example.test@X", 2, 18), "no_key"),
        ("GSSAPI", Service::Imap, good.clone(), "no_key"), // encrypted with nothing
        ("GSS-SPNEGO", Service::Imap, spnego(&[KRB5], Some(&good)), "no_key"),
        ("GSS-SPNEGO", Service::Imap, spnego(&[NTLMSSP], Some(&ntlm)), "not_available"),
        ("GSS-SPNEGO", Service::Imap, ntlm.clone(), "not_available"),
        ("GSS-SPNEGO", Service::Imap, spnego(&[b"\x2a\x03"], None), "not_available"),
        ("Negotiate", Service::Http, ntlm.clone(), "not_available"),
        ("Negotiate", Service::Http, spnego(&[KRB5], Some(&good)), "wrong_service"),
    ] {
        let mut exchange = auth.start(mechanism, origin(service, true)).unwrap();
        let got = exchange.step(&token).await;
        let Step::Failed(reason) = got else {
            panic!("{mechanism} {}: {got:?}", token.escape_ascii())
        };
        assert_eq!(reason.label(), label, "{mechanism}: {reason}");
        assert!(!auth.failures(None, 1)[0].remedies.is_empty());
        // Over is over.
        assert!(matches!(exchange.step(&token).await, Step::Failed(Reason::Malformed(_))));
    }
}

/// A mechanism that is negotiated for Kerberos without a ticket is asked for one, once.
#[tokio::test]
async fn spnego_that_prefers_ntlm_is_asked_for_kerberos() {
    let (_fake, auth, _folder) = with_keytab().await;
    let token = spnego(&[NTLMSSP, KRB5], Some(b"NTLMSSP\0\x01\0\0\0"));
    let mut exchange = auth.start("GSS-SPNEGO", origin(Service::Imap, true)).unwrap();
    let Step::Challenge(answer) = exchange.step(&token).await else { panic!("no challenge") };
    assert!(answer.windows(KRB5.len()).any(|w| w == KRB5), "{answer:02x?}");
    assert!(matches!(exchange.step(&token).await, Step::Failed(_)));
}

#[tokio::test]
async fn mutated_tokens_never_sign_anybody_on_or_break_the_library() {
    use rand::{Rng, SeedableRng, rngs::StdRng};
    let (_fake, auth, _folder) = with_keytab().await;
    let mut random = StdRng::seed_from_u64(19);
    let ap_req = ap_req("imap/mail.example.test@R", 2, 18);
    let good = framed_krb5(&[b"\x01\x00".as_slice(), &ap_req].concat());
    let seeds = [spnego(&[KRB5], Some(&good)), good];
    for round in 0..1_500 {
        let mut bytes = seeds[round % seeds.len()].clone();
        for _ in 0..random.random_range(1..4) {
            let at = random.random_range(0..bytes.len());
            bytes[at] = random.random();
        }
        let mut exchange = auth.start("GSS-SPNEGO", origin(Service::Imap, true)).unwrap();
        let got = exchange.step(&bytes).await;
        assert!(!matches!(got, Step::Done { .. }), "{got:?}");
    }
}
