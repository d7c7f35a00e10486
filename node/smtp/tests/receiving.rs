//! Receiving and submission over real sockets, store, directory and sign-on.

mod support;

use std::{collections::HashSet, time::Duration};

use posthouse_directory::key;
use posthouse_smtp::Timeouts;
use support::{Client, Site};

const MESSAGE: &str = "Subject: hello\r\n\r\nHow are you?\r\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_message_reaches_all_mailboxes_and_stays_over_a_restart() {
    let mut site = Site::new().await;
    let mut client = site.transfer().await;
    let to = ["anna@example.test", "ben@example.org", "info-x@example.test", "eve@example.test"];
    let reply = client.mail("bob@sender.test", &to, MESSAGE).await;
    assert_eq!(reply, "250 2.0.0 message accepted\r\n");
    site.restart().await;
    for name in ["anna", "ben", "eve"] {
        let inbox = site.inbox(name).await;
        assert_eq!(inbox.len(), 1, "{name}: one copy, though two addresses lead to anna");
        assert!(inbox[0].starts_with("Return-Path: <bob@sender.test>\r\nReceived: from client.test ([127.0.0.1])\r\n\tby mail.example.test (Posthouse) with ESMTP id "), "{}", inbox[0]);
        assert!(inbox[0].ends_with(MESSAGE));
    }
    assert!(site.spool().await.is_empty());
    let mut client = site.transfer().await;
    client.mail("bob@sender.test", &["anna@example.test"], MESSAGE).await;
    assert_eq!(site.inbox("anna").await.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_reach_recipients_of_ours_and_nobody_else() {
    let site = Site::new().await;
    let mut client = site.transfer().await;
    client.expect("EHLO mail.example.test", 250).await; // trusted-looking name
    client.expect("MAIL FROM:<anna@example.test>", 250).await;
    for (recipient, code) in [
        ("anna@example.test", 250),
        ("ANNA@EXAMPLE.TEST", 250),
        ("anna@xn--bcher-kva.test", 250),
        ("\"anna\"@example.test", 250),
        ("Postmaster", 250),
        ("postmaster@example.test", 250),
        ("team@example.test", 250),
        ("out@example.test", 250), // an alias that an administrator made leads outside
        ("nobody@example.test", 550),
        ("x@elsewhere.test", 550),
        ("@example.test:x@elsewhere.test", 501),
        ("@a.test,@example.test:x@elsewhere.test", 501),
        ("x%elsewhere.test@example.test", 550),
        ("elsewhere.test!x@example.test", 550),
        ("\"x@elsewhere.test\"@example.test", 550),
        ("\"x@elsewhere.test\"", 501),
        ("x@elsewhere.test@example.test", 501),
        ("x@[127.0.0.1]", 550),
        ("x@mail.example.test", 550),
        ("anna@ex\u{430}mple.test", 553), // Cyrillic
        ("anna@xn--exmple-4nf.test", 550),
        ("anna@example.test.", 501),
    ] {
        let reply = client.command(&format!("RCPT TO:<{recipient}>")).await;
        assert!(reply.starts_with(&code.to_string()), "{recipient}: {reply}");
        if code > 500 {
            client = site.transfer().await; // errors are counted
            client.expect("EHLO mail.example.test", 250).await;
            client.expect("MAIL FROM:<anna@example.test>", 250).await;
        }
    }
    let mut client = site.transfer().await;
    client.expect("EHLO x.test", 250).await;
    client.expect("MAIL FROM:<a@x.test> SMTPUTF8", 250).await;
    client.expect("RCPT TO:<anna@bücher.test>", 250).await;
    client.expect("RCPT TO:<anna@ex\u{430}mple.test>", 550).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_unknown_recipients_cause_no_report() {
    let site = Site::new().await;
    let mut refused = 0;
    while refused < 1000 {
        let mut client = site.transfer().await;
        client.expect("EHLO x.test", 250).await;
        client.expect("MAIL FROM:<victim@elsewhere.test>", 250).await;
        loop {
            let reply = client.command(&format!("RCPT TO:<u{refused}@example.test>")).await;
            if reply.starts_with("421") || reply.is_empty() {
                break;
            }
            assert!(reply.starts_with("550 5.1.1"), "{reply}");
            refused += 1;
            if reply.contains("421") {
                break;
            }
        }
    }
    assert!(site.spool().await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_mailboxes_are_refused_and_do_not_keep_mail_from_a_group() {
    let site = Site::new().await;
    let mut client = site.transfer().await;
    client.mail("bob@sender.test", &["anna@example.test"], MESSAGE).await;
    client.expect("MAIL FROM:<bob@sender.test> SIZE=100", 250).await;
    client.expect("RCPT TO:<full@example.test>", 250).await; // no mailbox yet: found out at the end
    client.expect("DATA", 354).await;
    client.send(MESSAGE.as_bytes()).await;
    client.expect(".", 552).await;
    client.expect("MAIL FROM:<bob@sender.test> SIZE=100", 250).await;
    let reply = client.expect("RCPT TO:<full@example.test>", 552).await;
    assert!(reply.contains("5.2.2"), "{reply}");
    client.expect("RSET", 250).await;
    let reply = client.mail_again("bob@sender.test", &["team@example.test"], MESSAGE).await;
    assert!(reply.starts_with("250"), "{reply}");
    assert_eq!((site.inbox("anna").await.len(), site.inbox("ben").await.len()), (2, 1));
    let spool =
        site.wait_for_spool(|s| s.first().is_some_and(|e| e.recipients[0].attempts > 0)).await;
    assert_eq!(spool[0].recipients[0].recipient.address, "full@example.test");
    assert_eq!(spool[0].recipients[0].last_error.as_deref(), Some("the mailbox is full"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn submission_needs_tls_and_a_sign_on_and_own_addresses() {
    let site = Site::new().await;
    let mut client = Client::connect(site.submission).await;
    let ehlo = client.expect("EHLO x.test", 250).await;
    assert!(ehlo.contains("STARTTLS") && !ehlo.contains("AUTH"), "{ehlo}");
    client.expect("AUTH PLAIN AGFubmEAeA==", 530).await;
    client.expect("MAIL FROM:<anna@example.test>", 530).await;
    client.start_tls().await;
    let ehlo = client.expect("EHLO x.test", 250).await;
    assert!(!ehlo.contains("STARTTLS") && ehlo.contains("AUTH PLAIN LOGIN"), "{ehlo}");
    client.expect("AUTH PLAIN AGFubmEAeA==", 535).await;
    client.expect("AUTH LOGIN", 334).await;
    client.expect("*", 501).await;
    client.sign_on("anna", support::PASSWORD).await;
    for (sender, code) in [
        ("anna@example.test", 250),
        ("anna@example.org", 250),
        ("ben@example.test", 553),
        ("team@example.test", 553),
        ("info-x@example.test", 553),
        ("anna@elsewhere.test", 553),
    ] {
        client.expect(&format!("MAIL FROM:<{sender}>"), code).await;
        client.expect("RSET", 250).await;
    }
    for (header, code) in [
        ("From: Anna <anna@example.test>\r\n", 250),
        ("From: \"ben@example.test\" <anna@example.test>\r\n", 250),
        ("From: anna@example.test\r\nSender: anna@example.org\r\n", 250),
        ("Subject: no From\r\n", 250),
        ("From: Ben <ben@example.test>\r\n", 550),
        ("From: anna@example.test, ben@example.test\r\n", 550),
        ("From: anna@example.test\r\nSender: ben@example.test\r\n", 550),
        ("From: team@example.test\r\n", 550),
        ("From: anna@example.test\r\nFrom: ben@example.test\r\n", 554),
        ("From: anna@example.test\r\nfrom : ben@example.test\r\n", 554),
        ("From: ben@example.test <anna@example.test>\r\n", 250),
        ("From: <ben@example.test> <anna@example.test>\r\n", 554),
        ("From: Undisclosed: anna@example.test;\r\n", 554),
        ("From: anna@example.test\r\nthis is no field\r\nFrom: ben@example.test\r\n", 554),
        ("From: =?utf-8?q?ben=40example.test?=\r\n", 554),
    ] {
        let message = format!("{header}\r\nhello\r\n");
        let reply = client.mail_again("anna@example.test", &["ben@example.test"], &message).await;
        assert!(reply.starts_with(&code.to_string()), "{header:?}: {reply}");
        client = site.signed_on("anna").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn submitted_messages_are_completed_and_tell_nobody_where_the_user_is() {
    let site = Site::new().await;
    let mut client = site.signed_on("anna").await;
    let message = "From: anna@example.test\r\nBcc: ben@example.test,\r\n secret@x.test\r\nSubject: a\r\n\r\nx\r\n";
    let reply = client.mail_again("anna@example.test", &["ben@example.test"], message).await;
    assert!(reply.starts_with("250"), "{reply}");
    let inbox = site.inbox("ben").await;
    let parsed = mail_parser::MessageParser::default().parse(&inbox[0]).unwrap();
    assert!(
        parsed.date().is_some() && parsed.message_id().unwrap().ends_with("@mail.example.test")
    );
    assert!(
        !inbox[0].contains("secret")
            && !inbox[0].contains("127.0.0.1")
            && !inbox[0].contains("anna.test")
    );
    assert!(inbox[0].contains("with ESMTPSA (TLS1.3 "), "{}", inbox[0]);
    let own = "Date: Tue, 24 Nov 2026 10:00:00 +0000\r\nMessage-ID: <mine@x>\r\nFrom: anna@example.test\r\n\r\nx\r\n";
    client.mail_again("anna@example.test", &["ben@example.test"], own).await;
    assert!(site.inbox("ben").await[1].ends_with(own), "what is there stays as it is");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn smuggled_messages_reach_nobody() {
    let site = Site::new().await;
    for end in ["\n.\n", "\n.\r\n", "\r.\r\n", "\r\n.\n", "\r\n.\r", "\r.\r", "\r\n\0.\r\n"] {
        let mut client = site.transfer().await;
        let smuggled = "MAIL FROM:<admin@example.test>\r\nRCPT TO:<ben@example.test>\r\nDATA\r\nSubject: smuggled\r\n\r\nx";
        let text = format!("Subject: a\r\n\r\nx{end}{smuggled}\r\n");
        let reply = client.mail("a@x.test", &["anna@example.test"], &text).await;
        assert!(reply.starts_with("554 5.6.0"), "{end:?}: {reply}");
        client.expect("MAIL FROM:<a@x.test>", 250).await;
        client.expect("RCPT TO:<anna@example.test>", 250).await;
        let chunk = format!("BDAT {} LAST\r\n{text}", text.len());
        client.send(chunk.as_bytes()).await;
        assert!(client.reply().await.starts_with("554 5.6.0"), "{end:?}");
        client.expect("NOOP", 250).await;
    }
    assert!(site.inbox("anna").await.is_empty() && site.inbox("ben").await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_clients_are_cut_off_and_disturb_nobody() {
    let timeouts = Timeouts {
        command: Duration::from_millis(400),
        data_idle: Duration::from_millis(300),
        data_total: Duration::from_millis(600),
        broken_data: Duration::from_millis(100),
        handshake: Duration::from_millis(300),
        ..Timeouts::default()
    };
    let site = Site::with_timeouts(timeouts).await;
    let mut slow = site.transfer().await;
    for _ in 0..3 {
        slow.send(b"E").await; // one byte now and then does not help
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(slow.reply().await.starts_with("421 4.4.2"));
    let mut stalled = tokio::net::TcpStream::connect(site.submissions).await.unwrap();
    let mut byte = [0];
    let read = tokio::io::AsyncReadExt::read(&mut stalled, &mut byte);
    assert_eq!(tokio::time::timeout(support::PATIENCE, read).await.unwrap().unwrap_or(0), 0);
    let mut dripping = site.transfer().await;
    dripping.expect("EHLO x.test", 250).await;
    dripping.expect("MAIL FROM:<a@x.test>", 250).await;
    dripping.expect("RCPT TO:<anna@example.test>", 250).await;
    dripping.expect("DATA", 354).await;
    for _ in 0..5 {
        dripping.send(b"x").await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(dripping.reply().await.starts_with("421 4.4.2"));
    let mut broken = site.transfer().await;
    broken.expect("EHLO x.test", 250).await;
    broken.expect("MAIL FROM:<a@x.test>", 250).await;
    broken.expect("RCPT TO:<anna@example.test>", 250).await;
    broken.expect("DATA", 354).await;
    broken.send(b"hello\n.\n").await;
    assert!(broken.reply().await.starts_with("554 5.6.0"));
    let mut client = site.transfer().await;
    assert!(client.mail("a@x.test", &["anna@example.test"], MESSAGE).await.starts_with("250"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_address_gets_so_many_connections() {
    let site = Site::new().await;
    site.set(key::SESSIONS_PER_ADDRESS, "3").await;
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(site.transfer().await);
    }
    let mut stream = tokio::net::TcpStream::connect(site.transfer).await.unwrap();
    let mut text = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut text).await.unwrap();
    assert_eq!(text, "421 4.7.0 too many connections\r\n");
    drop(held.pop());
    let deadline = tokio::time::Instant::now() + support::PATIENCE;
    loop {
        let mut stream = tokio::net::TcpStream::connect(site.transfer).await.unwrap();
        let mut start = [0; 3];
        tokio::io::AsyncReadExt::read_exact(&mut stream, &mut start).await.unwrap();
        if &start == b"220" {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_to_sign_ons_and_vrfy_tell_no_names() {
    let site = Site::new().await;
    let mut answers = HashSet::new();
    for name in ["anna", "nobody", "eve", "team"] {
        let mut client = Client::connect_tls(site.submissions).await;
        client.expect("EHLO x.test", 250).await;
        use base64::{Engine, engine::general_purpose::STANDARD};
        let plain = STANDARD.encode(format!("\0{name}\0wrong password"));
        answers.insert(client.command(&format!("AUTH PLAIN {plain}")).await);
        answers.insert(client.command(&format!("VRFY {name}")).await);
        answers.insert(client.command(&format!("RCPT TO:<{name}@example.test>")).await);
    }
    assert_eq!(answers.len(), 3, "{answers:?}");
}
