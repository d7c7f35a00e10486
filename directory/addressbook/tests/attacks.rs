//! Hostile and broken peers on real sockets: A3, A19, A20, A21, A50.
#![allow(clippy::unwrap_used)]

mod support;

use std::{net::SocketAddr, time::Duration};

use posthouse_addressbook::Patience;
use posthouse_directory::{Kind, key};
use support::{Book, PASSWORD};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout},
};

const START_TLS: &[u8] = b"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037";
const ROOT: &[u8] = b"\x30\x25\x02\x01\x02\x63\x20\x04\x00\x0a\x01\x00\x0a\x01\x00\x02\x01\x00\x02\x01\x00\x01\x01\x00\
    \x87\x0bobjectClass\x30\x00";
/// Name of the notice of disconnection.
const NOTICE: &[u8] = b"1.3.6.1.4.1.1466.20036";

/// Sends bytes and reads until the other side closes or is silent for a second.
async fn send(address: SocketAddr, bytes: &[u8]) -> (Vec<u8>, bool) {
    let mut socket = TcpStream::connect(address).await.unwrap();
    let _ = socket.write_all(bytes).await;
    let mut answer = Vec::new();
    let closed = timeout(Duration::from_secs(1), socket.read_to_end(&mut answer)).await.is_ok();
    (answer, closed)
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_bytes_end_in_a_notice_and_harm_nobody_else() {
    let book = Book::open().await;
    let mut deep =
        vec![0x30, 0x83, 0x01, 0x5F, 0x00, 0x02, 0x01, 0x01, 0x63, 0x83, 0x01, 0x5E, 0xF0];
    deep.extend([0xA2, 0x80].repeat(45_000));
    for (what, bytes) in [
        ("indefinite length", vec![0x30, 0x80]),
        ("negative length", vec![0x30, 0x84, 0xFF, 0xFF, 0xFF, 0xFF]),
        ("2^31", vec![0x30, 0x84, 0x80, 0, 0, 0]),
        ("2^31 - 1", vec![0x30, 0x84, 0x7F, 0xFF, 0xFF, 0xFF]),
        ("before sign-on less is taken", vec![0x30, 0x83, 0x03, 0x00, 0x00]),
        ("depth", deep),
        ("another protocol", b"EHLO x\r\n".to_vec()),
    ] {
        let (answer, closed) = send(book.plain, &bytes).await;
        assert!(closed, "{what}");
        assert!(holds(&answer, NOTICE), "{what}: {answer:?}");
    }
    let (answer, closed) = send(book.plain, ROOT).await;
    assert!(!closed && holds(&answer, b"supportedLDAPVersion"), "others are served: {answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_sent_together_with_starttls_counts() {
    let book = Book::open().await;
    let (answer, closed) = send(book.plain, &[START_TLS, ROOT].concat()).await;
    assert!(closed);
    assert!(!holds(&answer, b"supportedLDAPVersion"), "{answer:?}");
    // alone it is answered, and then only a handshake is
    let mut socket = TcpStream::connect(book.plain).await.unwrap();
    socket.write_all(START_TLS).await.unwrap();
    let mut answer = [0; 64];
    let length = socket.read(&mut answer).await.unwrap();
    assert!(holds(&answer[..length], b"1.3.6.1.4.1.1466.20037"));
    socket.write_all(ROOT).await.unwrap();
    let mut rest = Vec::new();
    let _ = timeout(Duration::from_secs(2), socket.read_to_end(&mut rest)).await.unwrap();
    assert!(!holds(&rest, b"supportedLDAPVersion"), "{rest:?}");
}

/// One byte now and then, nothing at all, a handshake that never ends, results that nobody reads.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_clients_are_cut_off() {
    let short = Duration::from_millis(400);
    let patience = Patience { handshake: short, message: short, sign_on: short * 3, write: short };
    let book = Book::with_patience(patience).await;
    let start = Instant::now();
    let silent = TcpStream::connect(book.plain).await.unwrap();
    let stalled = TcpStream::connect(book.tls).await.unwrap();
    let mut drip = TcpStream::connect(book.plain).await.unwrap();
    let dripping = tokio::spawn(async move {
        for byte in ROOT {
            if drip.write_all(&[*byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
    });
    while book.gate.connections() < 3 {
        assert!(start.elapsed() < Duration::from_secs(5));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    while book.gate.connections() > 0 {
        assert!(start.elapsed() < Duration::from_secs(10), "{} left", book.gate.connections());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop((silent, stalled));
    dripping.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_read_is_cut_off() {
    let patience = Patience { write: Duration::from_millis(500), ..Patience::default() };
    let book = Book::with_patience(patience).await;
    for n in 0..300 {
        let mut account = support::account(
            book.domain,
            &format!("u{n}"),
            "Large",
            Kind::User(Default::default()),
        );
        if let Kind::User(user) = &mut account.kind {
            user.person.photo = Some(vec![7; 100 * 1024]);
        }
        book.put(account).await;
    }
    let settings = ldap3::LdapConnSettings::new().set_no_tls_verify(true);
    let url = format!("ldaps://localhost:{}", book.tls.port());
    let (driver, mut ldap) = ldap3::LdapConnAsync::with_settings(settings, &url).await.unwrap();
    let driving = tokio::spawn(async move { _ = driver.drive().await });
    ldap.simple_bind("anna", PASSWORD).await.unwrap().success().unwrap();
    let stream = ldap
        .streaming_search("", ldap3::Scope::Subtree, "(cn=large)", vec!["jpegPhoto"])
        .await
        .unwrap();
    // the driver reads no more: 30 MB do not fit between the two
    driving.abort();
    let _ = driving.await;
    let start = Instant::now();
    while book.gate.connections() > 0 {
        assert!(start.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(stream);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_address_has_a_bounded_number_of_connections() {
    let book = Book::open().await;
    book.set(key::SESSIONS_PER_ADDRESS, "3").await;
    let mut open = Vec::new();
    for _ in 0..3 {
        let mut socket = TcpStream::connect(book.plain).await.unwrap();
        socket.write_all(ROOT).await.unwrap();
        socket.read_u8().await.unwrap();
        open.push(socket);
    }
    let (answer, closed) = send(book.plain, ROOT).await;
    assert!(closed && answer.is_empty());
    open.pop();
    let start = Instant::now();
    while book.gate.connections() > 2 {
        assert!(start.elapsed() < Duration::from_secs(5));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(!send(book.plain, ROOT).await.0.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_is_told_to_clients() {
    let book = Book::open().await;
    let mut socket = TcpStream::connect(book.plain).await.unwrap();
    socket.write_all(ROOT).await.unwrap();
    socket.read_u8().await.unwrap();
    book.stop.cancel();
    let mut rest = Vec::new();
    timeout(Duration::from_secs(5), socket.read_to_end(&mut rest)).await.unwrap().unwrap();
    assert!(holds(&rest, NOTICE));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_disabled_is_cut_off_at_the_next_request() {
    let book = Book::open().await;
    let settings = ldap3::LdapConnSettings::new().set_no_tls_verify(true);
    let url = format!("ldaps://localhost:{}", book.tls.port());
    let (driver, mut ldap) = ldap3::LdapConnAsync::with_settings(settings, &url).await.unwrap();
    ldap3::drive!(driver);
    ldap.simple_bind("anna", PASSWORD).await.unwrap().success().unwrap();
    let anna = book.directory.login("anna").unwrap().id;
    let state = posthouse_directory::State::Disabled("test".into());
    let change = posthouse_directory::Change::SetState { account: anna, state };
    book.directory.change(support::actor(), change).await.unwrap();
    let found = ldap.search("", ldap3::Scope::Subtree, "(cn=*)", vec!["cn"]).await;
    assert!(found.is_err() || found.is_ok_and(|found| found.0.is_empty()));
}
