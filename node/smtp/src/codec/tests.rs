use rand::{Rng, SeedableRng, rngs::StdRng};

use super::*;

fn reply(line: &str) -> Option<Reply> {
    Command::parse(line.as_bytes()).err()
}

#[test]
fn commands_are_read_or_get_the_reply_that_they_deserve() {
    for (line, expected) in [
        ("EHLO mail.example.test", None),
        ("ehlo [192.0.2.1]", None),
        ("EHLO [IPv6:2001:db8::1]", None),
        ("HELO a b", Some(Reply::SyntaxError)),
        ("EHLO", Some(Reply::SyntaxError)),
        ("EHLO x\ty", Some(Reply::SyntaxError)),
        ("EHLO evil)\x1b[31m", Some(Reply::SyntaxError)),
        ("EHLO Anna's_Laptop", None),
        ("MAIL FROM:<>", None),
        ("mail from: <a@b.test> SIZE=1 BODY=8BITMIME", None),
        ("MAIL FROM:<a@b.test> BODY=BINARYMIME", Some(Reply::UnknownParameter)),
        ("MAIL FROM:<a@b.test> FOO=1", Some(Reply::UnknownParameter)),
        ("MAIL FROM:<a@b.test> SIZE=x", Some(Reply::SyntaxError)),
        ("MAIL FROM:<a@b.test> SIZE=1 SIZE=2", Some(Reply::SyntaxError)),
        ("MAIL FROM:<a@b.test>SIZE=1", Some(Reply::BadSender)),
        ("MAIL FROM:a@b.test", Some(Reply::BadSender)),
        ("MAIL FROM:<a@b.test\0>", Some(Reply::SyntaxError)),
        ("MAIL FROM:<a\rRCPT@b.test>", Some(Reply::SyntaxError)),
        ("MAIL FROM:<ä@b.test>", Some(Reply::NeedsUtf8)),
        ("MAIL FROM:<ä@b.test> SMTPUTF8", None),
        ("RCPT TO:<Postmaster>", None),
        ("RCPT TO:<a@b.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;a+2Bb@c.test", None),
        ("RCPT TO:<a@b.test> NOTIFY=NEVER,DELAY", Some(Reply::SyntaxError)),
        ("RCPT TO:<a@b.test> ORCPT=rfc822;a+0D+0ARCPT", Some(Reply::SyntaxError)),
        ("RCPT TO:<@relay.test:a@b.test>", Some(Reply::BadRecipient)),
        ("RCPT TO:<a>", Some(Reply::BadRecipient)),
        ("RCPT TO:<a@>", Some(Reply::BadRecipient)),
        ("RCPT TO:<a@b..test>", Some(Reply::BadRecipient)),
        ("RCPT TO:<a@b.test@c.test>", Some(Reply::BadRecipient)),
        ("RCPT TO:<\"a@b.test\"@c.test>", None),
        ("DATA", None),
        ("DATA now", Some(Reply::SyntaxError)),
        ("BDAT 10", None),
        ("BDAT 10 LAST", None),
        ("BDAT -1", Some(Reply::SyntaxError)),
        ("BDAT 99999999999999999999 LAST", Some(Reply::SyntaxError)),
        ("AUTH PLAIN =", None),
        ("AUTH PLAIN !", Some(Reply::SaslMalformed)),
        ("AUTH", Some(Reply::SyntaxError)),
        ("GET / HTTP/1.1", Some(Reply::UnknownCommand)),
        ("", Some(Reply::UnknownCommand)),
    ] {
        assert_eq!(reply(line), expected, "{line:?}");
    }
}

#[test]
fn addresses_have_one_form() {
    for (given, form) in [
        ("Anna@Example.TEST", Some("Anna@example.test")),
        ("\"anna\"@example.test", Some("anna@example.test")),
        ("\"an\\na\"@example.test", Some("anna@example.test")),
        ("\"anna b\"@example.test", Some("\"anna b\"@example.test")),
        ("anna@bücher.test", Some("anna@xn--bcher-kva.test")),
        ("anna@ex\u{430}mple.test", Some("anna@xn--exmple-4nf.test")), // Cyrillic а: another domain
        ("anna@[192.0.2.1]", Some("anna@[192.0.2.1]")),
        ("anna@[300.0.2.1]", None),
        ("anna@-x.test", None),
        (".anna@example.test", None),
        ("an na@example.test", None),
        ("an,na@example.test", None),
        ("\"anna@example.test", None),
        ("anna\n@example.test", None),
    ] {
        let read = Address::parse(given).map(|path| path.address.to_string());
        assert_eq!(read.as_deref(), form, "{given:?}");
    }
    assert!(Address::parse(&format!("{}@x.test", "a".repeat(65))).is_none());
    assert!(Address::parse(&format!("a@{}", "b.".repeat(130))).is_none());
}

#[test]
fn addresses_that_are_too_long_once_their_domain_is_in_a_labels_are_refused() {
    let address = |labels: usize| format!("a@{}test", "bücher.".repeat(labels));
    assert!(Address::parse(&address(17)).is_some());
    let long = address(18);
    assert!(long.len() < 254 && Address::parse(&long).is_none(), "{} bytes", long.len());
}

/// Feeds in pieces of `step` bytes; how much was taken at the end, and the message.
fn data(input: &[u8], step: usize) -> Option<(usize, Result<Vec<u8>, Flaw>)> {
    let mut reader = DataReader::new(1 << 20);
    let mut used = 0;
    for piece in input.chunks(step) {
        let (taken, done) = reader.feed(piece);
        used += taken;
        if done {
            return Some((used, reader.finish()));
        }
    }
    None
}

#[test]
fn only_crlf_dot_crlf_ends_data_and_everything_like_it_is_refused() {
    let end = b"\r\n.\r\n";
    for smuggle in [
        &b"\n.\n"[..],
        b"\n.\r\n",
        b"\r.\r\n",
        b"\r\n.\n",
        b"\r\n.\r",
        b"\r.\r",
        b"\n.\r",
        b"\r.\n",
        b"\r\r\n.\r\n",
        b"\n\r.\r\n",
        b"\r\n.\r\r\n",
        b"\r\n\n.\r\n",
        b"\r\n\r.\r\n",
        b"\r\n.\0\r\n",
        b"\0\r\n",
        b"\n",
        b"\r",
    ] {
        let input = [b"Subject: a\r\n\r\nfirst", smuggle, b"MAIL FROM:<x@y>", end].concat();
        for step in 1..=input.len() {
            let (_, message) = data(&input, step).expect("CRLF.CRLF comes at the end");
            let flaw = if smuggle.contains(&0) { Flaw::Nul } else { Flaw::Bare };
            assert_eq!(message, Err(flaw), "{smuggle:?} by {step}");
        }
    }
}

#[test]
fn dots_are_unstuffed_at_line_starts_only() {
    for (input, message) in [
        (&b".\r\n"[..], &b""[..]),
        (b"a\r\n.\r\n", b"a\r\n"),
        (b"..\r\n.\r\n", b".\r\n"),
        (b"..a\r\n...\r\na..\r\n.\r\n", b".a\r\n..\r\na..\r\n"),
        (b".a\r\n.\r\n", b"a\r\n"),
        (b"\r\n.\r\n", b"\r\n"),
    ] {
        for step in 1..=input.len() {
            assert_eq!(data(input, step), Some((input.len(), Ok(message.to_vec()))), "{input:?}");
        }
    }
}

#[test]
fn what_follows_the_end_of_data_is_left_alone() {
    let (used, _) = data(b"a\r\n.\r\nQUIT\r\n", 100).unwrap();
    assert_eq!(used, 6);
}

#[test]
fn chunks_with_bare_line_endings_are_refused_wherever_they_are_cut() {
    for (input, flaw) in [
        (&b"a\r\n.\r\nb\r\n"[..], None),
        (b"a\n.\nb", Some(Flaw::Bare)),
        (b"a\r.\rb", Some(Flaw::Bare)),
        (b"a\r\nb\r", Some(Flaw::Bare)),
        (b"a\0", Some(Flaw::Nul)),
    ] {
        for cut in 0..=input.len() {
            let mut reader = ChunkReader::new(100);
            for piece in [&input[..cut], &input[cut..]] {
                reader.expect(piece.len() as u64);
                assert_eq!(reader.feed(piece), (piece.len(), true));
            }
            assert_eq!(reader.finish().err(), flaw, "{input:?} at {cut}");
        }
    }
}

#[test]
fn messages_and_lines_have_bounds() {
    let long = [&vec![b'a'; 70_000][..], b"\r\n.\r\n"].concat();
    assert_eq!(data(&long, 1000).unwrap().1, Err(Flaw::LineTooLong));
    let mut reader = DataReader::new(10);
    assert!(reader.feed(b"0123456789a\r\n.\r\n").1);
    assert_eq!(reader.finish(), Err(Flaw::TooLarge));
}

#[test]
fn lines_end_with_crlf_only() {
    for (input, max, expected) in [
        (&b"NOOP\r\nQUIT"[..], 10, Ok(Some(b"NOOP".to_vec()))),
        (b"NOOP", 10, Ok(None)),
        (b"NOOP\r", 10, Ok(None)),
        (b"NOOP\n", 10, Err(LineError::Bare)),
        (b"NO\rOP\r\n", 10, Err(LineError::Bare)),
        (b"NOOPNOOPNOOP", 10, Err(LineError::TooLong)),
        (b"NOOPNOOPNOOP\r\n", 10, Err(LineError::TooLong)),
    ] {
        assert_eq!(LineReader::default().next(&mut input.to_vec(), max), expected, "{input:?}");
    }
}

#[test]
fn answers_of_next_hops_are_bounded() {
    let read = |text: &str| ResponseReader::default().next(&mut text.as_bytes().to_vec());
    let response = read("250-a\r\n250-SIZE 5\r\n250 b\r\n").unwrap().unwrap();
    assert_eq!((response.code, response.lines.len()), (250, 3));
    assert_eq!(read("550 5.1.1 no\r\n").unwrap().unwrap().enhanced(), Some("5.1.1"));
    assert_eq!(read("550 4.1.1 no\r\n").unwrap().unwrap().enhanced(), None);
    assert_eq!(read("250-a\r\n").unwrap(), None);
    for bad in ["abc\r\n", "250-a\r\n550 b\r\n", "250 a\n", "999 a\r\n", "250a\r\n"] {
        assert!(read(bad).is_err(), "{bad:?}");
    }
    assert!(read(&"250-a\r\n".repeat(200)).is_err());
    assert!(read(&"2".repeat(5000)).is_err());
}

#[test]
fn xtext_round_trips() {
    for text in ["a+b=c d", "ü", "plain"] {
        assert_eq!(decode_xtext(&encode_xtext(text)).as_deref(), Some(text));
    }
    for bad in ["+0A", "+", "+4", "a=b", "a b", "+zz"] {
        assert_eq!(decode_xtext(bad), None, "{bad:?}");
    }
}

#[test]
fn every_reply_has_codes_of_one_class() {
    for reply in Reply::ALL {
        let (code, enhanced, text) = reply.parts();
        assert!(
            enhanced.is_empty() || enhanced.starts_with(&(code / 100).to_string()),
            "{reply:?}"
        );
        assert!(text.is_ascii() && !text.contains(['\r', '\n']));
    }
}

#[test]
fn mutated_commands_and_data_never_break_the_parsers() {
    let mut random = StdRng::seed_from_u64(25);
    let commands: [&[u8]; 8] = [
        b"MAIL FROM:<\"a b\"@x.test> SIZE=10 BODY=8BITMIME SMTPUTF8 RET=FULL ENVID=a+2Bb",
        b"RCPT TO:<a@[IPv6:2001:db8::1]> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;a+40b.test",
        "RCPT TO:<jürgen@bücher.test>".as_bytes(),
        b"EHLO [192.0.2.1]",
        b"BDAT 100 LAST",
        b"AUTH PLAIN AGEAYg==",
        b"MAIL FROM:<>",
        b"RCPT TO:<Postmaster>",
    ];
    let texts: [&[u8]; 3] = [b"a\r\n.\r\n", b"..\r\n.a\r\n\r\n.\r\n", b"x\n.\n\r\n.\r\n"];
    for round in 0..20_000 {
        let mutate = |seed: &[u8], random: &mut StdRng| {
            let mut bytes = seed.to_vec();
            for _ in 0..random.random_range(1..4) {
                let at = random.random_range(0..bytes.len().max(1));
                let byte =
                    *[b'\r', b'\n', b'.', b'"', b'\\', b'<', b'>', b'@', 0, 0xc3, random.random()]
                        .get(random.random_range(0..11))
                        .unwrap();
                match random.random_range(0..3) {
                    0 if at < bytes.len() => bytes[at] = byte,
                    1 if at < bytes.len() => drop(bytes.remove(at)),
                    _ => bytes.insert(at.min(bytes.len()), byte),
                }
            }
            bytes
        };
        fuzz_command(&mutate(commands[round % commands.len()], &mut random));
        fuzz_data(&mutate(texts[round % texts.len()], &mut random));
    }
}
