//! Sending from the spool to next hops of the test's own.

mod support;

use std::time::Duration;

use support::{NextHop, Script, Site, next_hop::POLITE};

const MESSAGE: &str =
    "From: anna@example.test\r\nSubject: hello\r\n\r\nHow are you?\r\n.dot\r\n..two\r\n";

/// Sends as anna; the message is accepted.
async fn submit(site: &Site, to: &[&str]) {
    let mut client = site.signed_on("anna").await;
    let reply =
        client.mail_again("anna@example.test", to, &MESSAGE.replace("\r\n.", "\r\n..")).await;
    assert!(reply.starts_with("250"), "{reply}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_arrives_at_the_next_hop_as_it_was_sent() {
    let site = Site::new().await;
    site.dns.domain("partner.test", "127.0.0.2");
    let hop = NextHop::start("127.0.0.2", site.remote_port, POLITE).await;
    submit(&site, &["friend@partner.test", "other@partner.test", "ben@example.test"]).await;
    let texts = hop.wait(1).await;
    let commands = hop.commands();
    assert_eq!(commands[0], "EHLO mail.example.test");
    assert!(commands[1].starts_with("MAIL FROM:<anna@example.test> SIZE="), "{commands:?}");
    assert_eq!(&commands[2..4], ["RCPT TO:<friend@partner.test>", "RCPT TO:<other@partner.test>"]);
    assert!(
        !texts[0].starts_with("Return-Path") && texts[0].contains("\r\n..dot\r\n...two\r\n"),
        "{}",
        texts[0]
    );
    site.wait_for_spool(<[_]>::is_empty).await;
    let inbox = site.wait_for_inbox("ben", 1).await;
    assert!(inbox[0].contains("\r\n.dot\r\n..two\r\n"));
    assert_eq!(hop.seen.lock().unwrap().texts.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_best_host_that_answers_gets_the_message() {
    let site = Site::new().await;
    // nothing listens at .1, .2 turns everybody away, .3 takes it
    site.dns.mx("partner.test", 5, "dead.partner.test");
    site.dns.mx("partner.test", 10, "busy.partner.test");
    site.dns.mx("partner.test", 20, "mx.partner.test");
    site.dns.mx("partner.test", 30, "never.partner.test");
    for (host, address) in
        [("dead", "127.0.0.1"), ("busy", "127.0.0.2"), ("mx", "127.0.0.3"), ("never", "127.0.0.2")]
    {
        site.dns.host(&format!("{host}.partner.test"), address);
    }
    let busy = Script { greeting: "421 busy", ..POLITE };
    let _busy = NextHop::start("127.0.0.2", site.remote_port, busy).await;
    let hop = NextHop::start("127.0.0.3", site.remote_port, POLITE).await;
    submit(&site, &["friend@partner.test"]).await;
    hop.wait(1).await;
    // without MX the domain's own address
    site.dns.host("plain.test", "127.0.0.3");
    submit(&site, &["friend@plain.test"]).await;
    hop.wait(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_never_arrive_is_reported_at_once() {
    let site = Site::new().await;
    site.dns.mx("null.test", 0, "");
    site.dns.mx("loop.test", 10, support::HOST);
    site.dns.mx("loop.test", 20, "worse.loop.test");
    site.dns.host("worse.loop.test", "127.0.0.2");
    site.dns.domain("refusing.test", "127.0.0.2");
    let refusing = Script { rcpt: &[("gone", "550 5.1.1 no such user\x1b[31m")], ..POLITE };
    let hop = NextHop::start("127.0.0.2", site.remote_port, refusing).await;
    site.dns.domain("mirror.test", "127.0.0.3");
    let mirror = Script { extensions: &["mail.example.test", "8BITMIME"], ..POLITE };
    let _mirror = NextHop::start("127.0.0.3", site.remote_port, mirror).await;
    let cases = [
        ("a@null.test", "5.1.10"),
        ("a@nowhere.test", "5.1.2"),
        ("a@loop.test", "5.4.6"),
        ("a@mirror.test", "5.4.6"),
        ("gone@refusing.test", "5.1.1"),
    ];
    for (count, (recipient, status)) in cases.into_iter().enumerate() {
        submit(&site, &[recipient, "fine@refusing.test"]).await;
        let inbox = site.wait_for_inbox("anna", count + 1).await;
        let report = &inbox[count];
        let parsed = mail_parser::MessageParser::default().parse(report).unwrap();
        assert_eq!(parsed.attachment_count(), 2, "{report}");
        assert!(
            report.contains("report-type=delivery-status")
                && report.contains("Auto-Submitted: auto-replied")
        );
        assert!(
            report.contains(&format!(
                "Final-Recipient: rfc822; {recipient}\r\nAction: failed\r\nStatus: {status}\r\n"
            )),
            "{report}"
        );
        assert!(
            report.contains("Subject: hello")
                && !report.contains("How are you?")
                && !report.contains('\x1b')
        );
        assert!(
            report.starts_with("From: ")
                || report
                    .contains("\r\nFrom: Mail Delivery System <mailer-daemon@mail.example.test>")
        );
    }
    hop.wait(5).await;
    site.wait_for_spool(<[_]>::is_empty).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn greylisting_delays_and_the_other_recipients_get_theirs_once() {
    let mut site = Site::new().await;
    site.dns.domain("grey.test", "127.0.0.2");
    let script = Script { end: &["450 4.2.0 greylisted", "450 4.2.0 greylisted"], ..POLITE };
    let hop = NextHop::start("127.0.0.2", site.remote_port, script).await;
    site.dns.domain("partner.test", "127.0.0.3");
    let other = NextHop::start("127.0.0.3", site.remote_port, POLITE).await;
    submit(&site, &["friend@grey.test", "friend@partner.test"]).await;
    other.wait(1).await;
    let deferred = |attempts: u32| {
        move |spool: &[posthouse_store::SpoolEntry]| {
            spool
                .first()
                .is_some_and(|e| e.recipients.len() == 1 && e.recipients[0].attempts == attempts)
        }
    };
    let spool = site.wait_for_spool(deferred(1)).await;
    let described = posthouse_smtp::describe(&spool[0]);
    assert_eq!(described.recipients[0].last_error.as_deref(), Some("450 4.2.0 greylisted"));
    let pause = spool[0].due.since(spool[0].accepted).as_secs();
    assert!((40..=80).contains(&pause), "{pause} s");
    site.restart().await;
    site.pass(Duration::from_secs(120));
    site.wait_for_spool(deferred(2)).await;
    site.pass(Duration::from_secs(600));
    hop.wait(1).await;
    site.wait_for_spool(<[_]>::is_empty).await;
    assert_eq!(other.seen.lock().unwrap().texts.len(), 1);
    assert!(site.inbox("anna").await.is_empty(), "no report");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_message_is_reported_once_and_given_up_in_the_end() {
    let site = Site::new().await;
    site.dns.domain("slow.test", "127.0.0.2");
    let slow = Script { rcpt: &[("", "451 4.3.0 come back")], ..POLITE };
    let _hop = NextHop::start("127.0.0.2", site.remote_port, slow).await;
    submit(&site, &["friend@slow.test", "anna@broken.test"]).await;
    site.wait_for_spool(|s| {
        s.first().is_some_and(|e| e.recipients.iter().all(|r| r.attempts == 1))
    })
    .await;
    site.pass(Duration::from_secs(5 * 3600));
    let inbox = site.wait_for_inbox("anna", 2).await; // one for each domain
    assert!(
        inbox
            .iter()
            .all(|report| report.contains("Action: delayed")
                && report.contains("Will-Retry-Until: "))
    );
    site.wait_for_spool(|s| s[0].recipients.iter().all(|r| r.attempts == 2)).await;
    site.pass(Duration::from_secs(6 * 3600));
    site.wait_for_spool(|s| s[0].recipients.iter().all(|r| r.attempts == 3)).await;
    assert_eq!(site.inbox("anna").await.len(), 2);
    site.pass(Duration::from_secs(120 * 3600));
    let inbox = site.wait_for_inbox("anna", 4).await;
    assert!(inbox[2].contains("Action: failed\r\nStatus: 5.4.7"), "{}", inbox[2]);
    site.wait_for_spool(<[_]>::is_empty).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_reports_about_the_null_sender() {
    let site = Site::new().await;
    site.dns.mx("partner.test", 0, "");
    let mut client = site.transfer().await;
    let reply = client.mail("", &["out@example.test"], MESSAGE).await; // an alias to partner.test
    assert!(reply.starts_with("250"), "{reply}");
    site.wait_for_spool(<[_]>::is_empty).await;
    let reply = client.mail("stranger@null.test", &["out@example.test"], MESSAGE).await;
    assert!(reply.starts_with("250"), "{reply}");
    site.wait_for_spool(<[_]>::is_empty).await;
    for name in ["anna", "ben"] {
        assert!(site.inbox(name).await.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alias_loops_and_domains_of_ours_never_go_through_dns() {
    let site = Site::new().await;
    site.dns.domain("example.test", "127.0.0.2");
    let hop = NextHop::start("127.0.0.2", site.remote_port, POLITE).await;
    let mut client = site.signed_on("anna").await;
    client.expect("MAIL FROM:<anna@example.test>", 250).await;
    let reply = client.command("RCPT TO:<ping@example.test>").await;
    assert!(reply.starts_with('5'), "{reply}");
    client.expect("RCPT TO:<ben@example.test> NOTIFY=SUCCESS", 250).await;
    client.expect("DATA", 354).await;
    client.send(MESSAGE.as_bytes()).await;
    client.expect(".", 250).await;
    let report = site.wait_for_inbox("anna", 1).await.remove(0);
    assert!(
        report.contains(
            "Final-Recipient: rfc822; ben@example.test\r\nAction: delivered\r\nStatus: 2.1.5"
        ),
        "{report}"
    );
    assert_eq!(site.inbox("ben").await.len(), 1);
    site.wait_for_spool(<[_]>::is_empty).await;
    assert!(hop.commands().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_mailbox_gets_its_copy_when_there_is_room() {
    let site = Site::new().await;
    let mut client = site.transfer().await;
    client.mail("bob@sender.test", &["team@example.test"], MESSAGE).await;
    site.wait_for_spool(|s| s.first().is_some_and(|e| e.recipients[0].attempts == 1)).await;
    let mailbox = site.mailbox("full");
    let request = posthouse_store::Request::CreateMailbox { mailbox, quota: support::UNLIMITED };
    site.stores.request(request).await.unwrap();
    site.pass(Duration::from_secs(120));
    site.wait_for_spool(<[_]>::is_empty).await;
    assert_eq!(site.inbox("full").await.len(), 1);
    assert_eq!(site.inbox("anna").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parameters_travel_with_the_message_and_nothing_is_downgraded() {
    let site = Site::new().await;
    site.dns.domain("partner.test", "127.0.0.2");
    let hop = NextHop::start("127.0.0.2", site.remote_port, POLITE).await;
    site.dns.domain("old.test", "127.0.0.3");
    let old = Script { extensions: &["old.test", "SIZE 400"], ..POLITE };
    let old = NextHop::start("127.0.0.3", site.remote_port, old).await;
    let mut client = site.signed_on("anna").await;
    client
        .expect("MAIL FROM:<anna@example.test> BODY=8BITMIME SMTPUTF8 RET=FULL ENVID=a+2Bb", 250)
        .await;
    client
        .expect(
            "RCPT TO:<jürgen@partner.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;j+2Bx@partner.test",
            250,
        )
        .await;
    client.expect("DATA", 354).await;
    client.send("From: anna@example.test\r\nSubject: Grüße\r\n\r\nGrüße\r\n".as_bytes()).await;
    client.expect(".", 250).await;
    assert!(hop.wait(1).await[0].contains("Subject: Grüße"));
    let commands = hop.commands();
    assert!(commands[1].ends_with(" BODY=8BITMIME SMTPUTF8 RET=FULL ENVID=a+2Bb"), "{commands:?}");
    assert_eq!(
        commands[2],
        "RCPT TO:<jürgen@partner.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;j+2Bx@partner.test"
    );
    site.wait_for_spool(<[_]>::is_empty).await;
    assert!(site.inbox("anna").await.is_empty(), "the next hop reports success itself");
    let large = "x".repeat(900);
    for (count, (parameters, recipient, body, status)) in [
        ("SMTPUTF8", "jürgen@old.test", "x", "5.6.7"),
        ("BODY=8BITMIME", "a@old.test", "Grüße", "5.6.3"),
        ("", "a@old.test", large.as_str(), "5.3.4"),
    ]
    .into_iter()
    .enumerate()
    {
        client.expect(&format!("MAIL FROM:<anna@example.test> {parameters}"), 250).await;
        client.expect(&format!("RCPT TO:<{recipient}>"), 250).await;
        client.expect("DATA", 354).await;
        client.send(format!("From: anna@example.test\r\n\r\n{body}\r\n").as_bytes()).await;
        client.expect(".", 250).await;
        let inbox = site.wait_for_inbox("anna", count + 1).await;
        assert!(inbox[count].contains(&format!("Status: {status}")), "{}", inbox[count]);
    }
    client.expect("MAIL FROM:<anna@example.test>", 250).await;
    client.expect("RCPT TO:<a@old.test> NOTIFY=SUCCESS", 250).await;
    client.expect("DATA", 354).await;
    client.send(b"From: anna@example.test\r\n\r\nx\r\n").await;
    client.expect(".", 250).await;
    old.wait(1).await;
    let inbox = site.wait_for_inbox("anna", 4).await;
    assert!(inbox[3].contains("Action: relayed"), "{}", inbox[3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_is_used_where_it_is_offered_whatever_the_certificate() {
    let site = Site::new().await;
    site.dns.domain("partner.test", "127.0.0.2");
    let extensions = &["hop.test", "STARTTLS", "8BITMIME", "PIPELINING"];
    let script = Script { extensions, tls: true, ..POLITE };
    let hop = NextHop::start("127.0.0.2", site.remote_port, script).await;
    submit(&site, &["friend@partner.test"]).await;
    hop.wait(1).await;
    assert_eq!(hop.seen.lock().unwrap().handshakes, 1);
    assert_eq!(
        &hop.commands()[..3],
        ["EHLO mail.example.test", "STARTTLS", "EHLO mail.example.test"]
    );
    site.wait_for_spool(<[_]>::is_empty).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_starttls_does_not_keep_mail_back() {
    let site = Site::new().await;
    site.dns.domain("partner.test", "127.0.0.2");
    let script = Script { extensions: &["hop.test", "STARTTLS", "8BITMIME"], ..POLITE };
    let hop = NextHop::start("127.0.0.2", site.remote_port, script).await;
    submit(&site, &["friend@partner.test"]).await;
    hop.wait(1).await;
    assert_eq!(
        &hop.commands()[..3],
        ["EHLO mail.example.test", "STARTTLS", "EHLO mail.example.test"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_administrator_can_retry_and_remove() {
    use posthouse_store::Request;
    let site = Site::new().await;
    site.dns.domain("grey.test", "127.0.0.2");
    let script = Script { end: &["450 4.2.0 later"], ..POLITE };
    let hop = NextHop::start("127.0.0.2", site.remote_port, script).await;
    submit(&site, &["friend@grey.test"]).await;
    site.wait_for_spool(|s| s.first().is_some_and(|e| e.recipients[0].attempts == 1)).await;
    site.stores.request(Request::SpoolRetry { id: None }).await.unwrap();
    hop.wait(1).await;
    site.wait_for_spool(<[_]>::is_empty).await;
    submit(&site, &["friend@broken.test"]).await;
    let spool =
        site.wait_for_spool(|s| s.first().is_some_and(|e| e.recipients[0].attempts == 1)).await;
    site.stores.request(Request::SpoolRemove { id: spool[0].id }).await.unwrap();
    site.wait_for_spool(<[_]>::is_empty).await;
    assert!(site.inbox("anna").await.is_empty());
}
