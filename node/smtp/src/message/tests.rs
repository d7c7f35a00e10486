use posthouse_cluster::Timestamp;
use rand::{Rng, SeedableRng, rngs::StdRng};

use super::*;
use crate::codec::{Reply, has_bare_line_ending};

const AT: Timestamp = Timestamp(1_795_514_400_000);

#[test]
fn addresses_of_from_are_read_strictly() {
    for (value, expected) in [
        ("a@x.test", Some(&["a@x.test"][..])),
        ("Anna <a@x.test>", Some(&["a@x.test"])),
        ("\"Example, Anna\" <a@x.test>, b@y.test", Some(&["a@x.test", "b@y.test"])),
        ("John Q. Public <a@x.test>", Some(&["a@x.test"])),
        ("(boss) a@x.test (really)", Some(&["a@x.test"])),
        ("=?utf-8?q?J=C3=BCrgen?= <a@x.test>", Some(&["a@x.test"])),
        ("Jürgen <a@x.test>", Some(&["a@x.test"])),
        ("\"b@y.test\" <a@x.test>", Some(&["a@x.test"])),
        ("\"a b\"@x.test", Some(&["\"a b\"@x.test"])),
        ("<A@X.TEST>", Some(&["A@x.test"])),
        ("a@x.test b@y.test", None),
        ("<a@x.test> <b@y.test>", None),
        ("<a@x.test> b@y.test", None),
        ("<a@x.test", None),
        ("<@r.test:a@x.test>", None),
        ("friends: a@x.test;", None),
        ("a@x.test,", None),
        (",a@x.test", None),
        ("", None),
        ("Anna", None),
        ("<>", None),
        ("\"Anna <a@x.test>", None),
        ("(a@x.test", None),
        ("a\u{0}@x.test", None),
    ] {
        let read = parse_address_list(value);
        let read: Option<Vec<&str>> = read.as_ref().map(|r| r.iter().map(String::as_str).collect());
        assert_eq!(read.as_deref(), expected, "{value:?}");
    }
    assert!(parse_address_list(&"a@x.test,".repeat(1000)).is_none());
    assert!(parse_address_list(&"(".repeat(100_000)).is_none());
}

#[test]
fn headers_are_cut_into_fields() {
    // message, names, malformed, what follows
    for (message, names, malformed, rest) in [
        ("A: 1\r\nB: 2\r\n\r\nbody", &["A", "B"][..], false, "\r\nbody"),
        ("A: 1\r\n 2\r\n\t3\r\nB:\r\n\r\n", &["A", "B"], false, "\r\n"),
        ("A: 1\r\n", &["A"], false, ""),
        ("", &[], false, ""),
        ("\r\nA: 1\r\n", &[], false, "\r\nA: 1\r\n"),
        ("A : 1\r\nB: 2\r\n", &["A", "B"], false, ""),
        ("A: 1\r\nno field\r\nB: 2\r\n", &["A"], true, "no field\r\nB: 2\r\n"),
        (" folded first\r\nA: 1\r\n", &[], true, " folded first\r\nA: 1\r\n"),
        (": no name\r\n", &[], true, ": no name\r\n"),
        ("Ä: 1\r\n", &[], true, "Ä: 1\r\n"),
    ] {
        let header = Header::parse(message.as_bytes()).unwrap();
        let found: Vec<&str> = header.fields.iter().map(|field| field.name).collect();
        assert_eq!((&found[..], header.malformed), (names, malformed), "{message:?}");
        assert_eq!(&message[header.end..], rest, "{message:?}");
    }
    let header = Header::parse(b"Subject: one\r\n two\r\n\r\n").unwrap();
    assert_eq!(header.fields[0].value(), "one two");
    assert!(Header::parse("A: 1\r\n".repeat(MAX_HEADER / 6 + 2).as_bytes()).is_none());
}

#[test]
fn submitted_messages_are_completed_or_refused() {
    let added = "Date: Tue, 24 Nov 2026 10:00:00 +0000\r\nMessage-ID: <id@h.test>\r\n";
    for (message, expected) in [
        ("From: a@x.test\r\n\r\nhi\r\n", Ok(format!("{added}From: a@x.test\r\n\r\nhi\r\n"))),
        ("Subject: s\r\n\r\n", Ok(format!("From: <s@x.test>\r\n{added}Subject: s\r\n\r\n"))),
        ("\r\nhi\r\n", Ok(format!("From: <s@x.test>\r\n{added}\r\nhi\r\n"))),
        (
            "From: a@x.test\r\nBCC: b@x.test,\r\n c@x.test\r\nReturn-Path: <z@x.test>\r\nTo: d@x.test\r\n\r\n",
            Ok(format!("{added}From: a@x.test\r\nTo: d@x.test\r\n\r\n")),
        ),
        (
            "From: a@x.test\r\nDate: x\r\nMessage-Id: <m>\r\n\r\n",
            Ok("From: a@x.test\r\nDate: x\r\nMessage-Id: <m>\r\n\r\n".into()),
        ),
        ("From: a@x.test\r\nFROM: b@x.test\r\n\r\n", Err(Reply::DoubleField)),
        ("From: a@x.test\r\nDate: 1\r\nDate: 2\r\n\r\n", Err(Reply::DoubleField)),
        ("From: a@x.test\r\nhi\r\n\r\n", Err(Reply::BadHeader)),
        ("From: nobody\r\n\r\n", Err(Reply::BadHeader)),
        ("From: a@x.test\r\nSender: nobody\r\n\r\n", Err(Reply::BadHeader)),
    ] {
        let result = complete(message.as_bytes(), Some("s@x.test"), "h.test", "id", AT);
        let result = result.map(|done| String::from_utf8(done.message).unwrap());
        assert_eq!(result, expected, "{message:?}");
    }
    assert_eq!(complete(b"\r\nhi\r\n", None, "h.test", "id", AT), Err(Reply::BadHeader));
    let message = b"From: a@x.test\r\nSender: b@x.test\r\nResent-From: c@x.test\r\n\r\n";
    let claimed = complete(message, None, "h.test", "id", AT).unwrap().claimed;
    assert_eq!(claimed, ["a@x.test", "b@x.test", "c@x.test"]);
}

#[test]
fn trace_fields_go_in_front_and_return_path_comes_off_again() {
    let trace = Trace {
        helo: "client.test".into(),
        address: Some("2001:db8::1".parse().unwrap()),
        host: "h.test".into(),
        with: "ESMTPS",
        tls: Some("TLS1.3 X".into()),
        id: "7".into(),
        recipient: Some("b@h.test".into()),
        at: AT,
    };
    let message = with_trace("a@x.test", &trace, b"A: 1\r\n\r\n");
    let expected = "Received: from client.test ([IPv6:2001:db8::1])\r\n\tby h.test (Posthouse) with ESMTPS (TLS1.3 X)\r\n\tid 7\r\n\tfor <b@h.test>;\r\n\tTue, 24 Nov 2026 10:00:00 +0000\r\nA: 1\r\n\r\n";
    assert_eq!(message, format!("Return-Path: <a@x.test>\r\n{expected}").into_bytes());
    assert_eq!(strip_return_path(&message), expected.as_bytes());
    assert_eq!(strip_return_path(b"A: 1\r\n"), b"A: 1\r\n");
    assert_eq!(Header::parse(&message).unwrap().hops(), 1);
}

fn report(address: &str, diagnostic: &str, original: &[u8], return_full: bool) -> Vec<u8> {
    build_report(&ReportSpec {
        host: "h.test",
        to: "a@x.test",
        envelope_id: Some("env"),
        arrival: AT,
        give_up: AT,
        at: AT,
        id: "42",
        return_full,
        original,
        recipients: &[Reported {
            address: address.into(),
            original: Some("rfc822;o@y.test".into()),
            action: ReportAction::Failed,
            status: "5.1.1".into(),
            remote: Some("mx.y.test".into()),
            diagnostic: diagnostic.into(),
        }],
    })
}

#[test]
fn reports_are_well_formed_whatever_the_next_hop_said() {
    let original = b"Return-Path: <a@x.test>\r\nSubject: s\r\n\r\nsecret body\r\n";
    for diagnostic in ["550 no", "550 \r\n\r\n--=_4--\r\nFrom: x", "550 \x1b[31m\0ü"] {
        let bytes = report("b@y.test", diagnostic, original, false);
        assert!(!has_bare_line_ending(&bytes) && !bytes.contains(&0) && !bytes.contains(&0x1b));
        let parsed = mail_parser::MessageParser::default().parse(&bytes).unwrap();
        assert_eq!(parsed.parts.len(), 4, "{}", String::from_utf8_lossy(&bytes));
        let text = String::from_utf8_lossy(&bytes);
        for part in [
            "Reporting-MTA: dns; h.test\r\nOriginal-Envelope-Id: env\r\n",
            "Original-Recipient: rfc822;o@y.test\r\nFinal-Recipient: rfc822; b@y.test\r\nAction: failed\r\nStatus: 5.1.1\r\n",
            "Content-Type: message/rfc822-headers\r\n",
            "\r\n\r\nSubject: s\r\n",
        ] {
            assert!(text.contains(part), "{part:?} in {text}");
        }
        assert!(!text.contains("secret") && text.matches("\r\n--=_42--\r\n").count() == 1);
    }
    let text = String::from_utf8(report("jürgen@y.test", "550 no", original, true)).unwrap();
    assert!(text.contains("Content-Type: message/global-delivery-status\r\n"));
    assert!(text.contains("Final-Recipient: utf-8; jürgen@y.test\r\n"));
    assert!(text.contains("Content-Type: message/rfc822\r\n") && text.contains("secret body"));
}

#[test]
fn mutated_headers_never_break_the_parsers() {
    let mut random = StdRng::seed_from_u64(5322);
    let seeds = [
        "From: \"Example, Anna\" <a@x.test> (c), b@y.test\r\nBcc: c@x.test\r\n\r\nhi\r\n",
        "From: a@x.test\r\nSender: b@x.test\r\nDate: x\r\n folded\r\n\r\n",
    ];
    for round in 0..20_000 {
        let mut bytes = seeds[round % seeds.len()].as_bytes().to_vec();
        for _ in 0..random.random_range(1..5) {
            let at = random.random_range(0..bytes.len());
            let choices = [b'\r', b'\n', b':', b'"', b'\\', b'<', b'>', b'(', b' ', 0, 0xc3];
            match random.random_range(0..3) {
                0 => bytes[at] = choices[random.random_range(0..choices.len())],
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, random.random()),
            }
        }
        if let Some(header) = Header::parse(&bytes) {
            let length: usize = header.fields.iter().map(|field| field.raw.len()).sum();
            assert_eq!(length, header.end);
        }
        if let Ok(done) = complete(&bytes, Some("s@x.test"), "h.test", "id", AT) {
            let header = Header::parse(&done.message).unwrap();
            assert_eq!(header.all("From").count(), 1);
            assert_eq!(header.all("Bcc").count(), 0);
        }
    }
}
