//! The codec as tables of cases.

use super::*;

fn one(wire: &[u8]) -> Result<Tagged, BadCommand> {
    let mut framer = Framer::default();
    framer.input().extend_from_slice(wire);
    loop {
        match framer.next(Limits::after(1 << 20)) {
            Frame::Continue => {}
            Frame::WantsMemory { .. } => {
                framer.grant();
            }
            Frame::Command(raw) => return parse(&raw),
            other => panic!("{other:?} for {:?}", String::from_utf8_lossy(wire)),
        }
    }
}

/// Valid commands of every kind.
pub(super) const VALID: &[&[u8]] = &[
    b"a CAPABILITY\r\n",
    b"A001 noop\r\n",
    b"a.1 STARTTLS\r\n",
    b"a AUTHENTICATE PLAIN\r\n",
    b"a AUTHENTICATE PLAIN AGFkYQBzZWNyZXQ=\r\n",
    b"a AUTHENTICATE EXTERNAL =\r\n",
    b"a LOGIN ada {6}\r\nsecret\r\n",
    b"a LOGIN {3+}\r\nada {6+}\r\ns}\r\n\"t\r\n",
    b"a LOGIN \"ada \\\"x\\\\\" \"p\xc3\xa4ss\"\r\n",
    b"a ENABLE CONDSTORE UTF8=ACCEPT\r\n",
    b"a ID NIL\r\n",
    b"a ID (\"name\" \"x\" \"version\" NIL)\r\n",
    b"a NAMESPACE\r\n",
    b"a SELECT INBOX\r\n",
    b"a SELECT \"a b\" (CONDSTORE)\r\n",
    b"a EXAMINE {5}\r\nINBOX (QRESYNC (67890007 90060115194045000 41:211,214:541 (1 2)))\r\n",
    b"a CREATE Sent (USE (\\Sent))\r\n",
    b"a DELETE x]y\r\n",
    b"a RENAME a b\r\n",
    b"a SUBSCRIBE a\r\n",
    b"a UNSUBSCRIBE a\r\n",
    b"a LIST \"\" *\r\n",
    b"a LIST (SUBSCRIBED RECURSIVEMATCH) \"\" (INBOX \"x/%\") RETURN (CHILDREN STATUS (MESSAGES SIZE))\r\n",
    b"a LSUB \"\" %\r\n",
    b"a STATUS INBOX (UIDNEXT MESSAGES UNSEEN HIGHESTMODSEQ)\r\n",
    b"a GETQUOTAROOT INBOX\r\n",
    b"a GETQUOTA \"\"\r\n",
    b"a APPEND Sent (\\Seen $Forwarded) \" 1-Jan-2026 00:00:00 +0000\" {4}\r\nabcd\r\n",
    b"a APPEND Sent ~{3+}\r\na\0b\r\n",
    b"a APPEND Sent UTF8 (~{3}\r\nabc)\r\n",
    b"a IDLE\r\n",
    b"a COMPRESS DEFLATE\r\n",
    b"a CHECK\r\n",
    b"a CLOSE\r\n",
    b"a UNSELECT\r\n",
    b"a EXPUNGE\r\n",
    b"a UID EXPUNGE 3,5:*\r\n",
    b"a SEARCH RETURN (MIN COUNT SAVE) CHARSET UTF-8 UNSEEN OR FROM {3}\r\nada NOT (TO \"x\" LARGER 100)\r\n",
    b"a UID SEARCH 1:* SINCE 1-Feb-2026 MODSEQ \"/flags/\\\\draft\" all 620162338\r\n",
    b"a SEARCH $ HEADER X-Y \"\" UNKEYWORD $Junk SENTON \"3-Mar-2026\" UID 4\r\n",
    b"a FETCH 1:* (UID FLAGS BODY.PEEK[1.2.HEADER.FIELDS (Date \"From\")]<0.100>) (CHANGEDSINCE 5 VANISHED)\r\n",
    b"a UID FETCH *:4 (ENVELOPE BODY BODYSTRUCTURE BODY[] BODY[TEXT] BODY[3.MIME] BINARY.PEEK[1]<5.6> BINARY.SIZE[2])\r\n",
    b"a FETCH 2,4:7,9,12:* FULL\r\n",
    b"a FETCH 1 RFC822.HEADER\r\n",
    b"a STORE 1 +FLAGS (\\Deleted)\r\n",
    b"a UID STORE $ (UNCHANGEDSINCE 12) -FLAGS.SILENT \\Seen $x\r\n",
    b"a COPY 1:3 x\r\n",
    b"a UID MOVE 42:69 foo\r\n",
];

#[test]
fn every_valid_command_is_parsed() {
    for wire in VALID {
        let parsed = one(wire);
        assert!(parsed.is_ok(), "{:?}: {parsed:?}", String::from_utf8_lossy(wire));
    }
}

#[test]
fn every_prefix_of_a_valid_command_is_incomplete() {
    for wire in VALID {
        for end in 0..wire.len() {
            let mut framer = Framer::default();
            framer.input().extend_from_slice(&wire[..end]);
            let frame = loop {
                match framer.next(Limits::after(1 << 20)) {
                    Frame::Continue => {}
                    frame => break frame,
                }
            };
            let prefix = String::from_utf8_lossy(&wire[..end]);
            assert_eq!(frame, Frame::Incomplete, "{prefix:?}");
            // and byte by byte it becomes the same command
            for byte in &wire[end..] {
                assert!(matches!(
                    framer.next(Limits::after(1 << 20)),
                    Frame::Incomplete | Frame::Continue
                ));
                framer.input().extend_from_slice(&[*byte]);
            }
            let Frame::Command(raw) = framer.next(Limits::after(1 << 20)) else {
                panic!("{prefix:?}")
            };
            assert_eq!(parse(&raw), one(wire), "{prefix:?}");
        }
    }
}

#[test]
fn malformed_commands_are_bad_and_keep_their_tag() {
    let deep = format!("a SEARCH {}ALL{}\r\n", "(".repeat(10_000), ")".repeat(10_000));
    let nots = format!("a SEARCH {}ALL\r\n", "NOT ".repeat(10_000));
    let ors = format!("a SEARCH {}ALL ALL\r\n", "OR ALL ".repeat(8_000));
    let tag = format!("{} NOOP\r\n", "t".repeat(1_000));
    let part = format!("a FETCH 1 BODY[{}1]\r\n", "1.".repeat(20_000));
    let cases: &[(&[u8], Option<&str>)] = &[
        (b"\r\n", None),
        (b"a\r\n", None),
        (b"* NOOP\r\n", None),
        (tag.as_bytes(), None),
        (b"a+b NOOP\r\n", None),
        (b"a \r\n", Some("a")),
        (b"a FOO\r\n", Some("a")),
        (b"a NOOP x\r\n", Some("a")),
        (b"a NOOP\n", Some("a")),
        (b"a LOGIN ada\r\n", Some("a")),
        (b"a LOGIN ada \"x\r\n", Some("a")),
        (b"a LOGIN ada \"x\\y\"\r\n", Some("a")),
        (b"a LOGIN ada {2}x\r\n", Some("a")),
        (b"a LOGIN ada {2+}\r\n\xff\xfe\r\n", Some("a")),
        (b"a SELECT in\0box\r\n", Some("a")),
        (b"a FETCH 0 FLAGS\r\n", Some("a")),
        (b"a FETCH 4294967296 FLAGS\r\n", Some("a")),
        (b"a FETCH 1 (\r\n", Some("a")),
        (b"a FETCH 1 BODY[1.\r\n", Some("a")),
        (b"a FETCH 1 BODY[MIME]\r\n", Some("a")),
        (b"a FETCH 1 BODY[]<1.0>\r\n", Some("a")),
        (b"a FETCH 1 FLAGS (VANISHED)\r\n", Some("a")),
        (b"a STORE 1 FLAGS\r\n", Some("a")),
        (b"a SEARCH\r\n", Some("a")),
        (b"a SEARCH CHARSET KOI8-R ALL\r\n", Some("a")),
        (b"a SEARCH SINCE 31-Feb-2026\r\n", Some("a")),
        (b"a APPEND x {3+}\r\nabcd\r\n", Some("a")),
        (deep.as_bytes(), Some("a")),
        (nots.as_bytes(), Some("a")),
        (ors.as_bytes(), Some("a")),
        (part.as_bytes(), Some("a")),
    ];
    for (wire, tag) in cases {
        let shown = String::from_utf8_lossy(&wire[..wire.len().min(60)]).into_owned();
        match one(wire) {
            Err(bad) => assert_eq!(bad.tag.as_deref(), *tag, "{shown:?}"),
            Ok(command) => panic!("{shown:?} became {command:?}"),
        }
    }
}

fn refusal(wire: &[u8], limits: Limits) -> Frame {
    let mut framer = Framer::default();
    for chunk in wire.chunks(4096) {
        framer.input().extend_from_slice(chunk);
        loop {
            match framer.next(limits) {
                Frame::Incomplete => break,
                Frame::Continue => {}
                Frame::WantsMemory { .. } => return framer.deny(),
                frame => return frame,
            }
        }
        assert!(framer.held() < 256 * 1024, "{} bytes are held", framer.held());
    }
    Frame::Incomplete
}

/// reliability A11.
#[test]
fn too_large_lines_and_literals_are_refused_before_they_are_sent() {
    use super::Refusal::*;
    let line = |n| [b"a LOGIN ".to_vec(), vec![b'x'; n]].concat();
    let many = format!("a LOGIN {}", "{0+}\r\n ".repeat(100));
    let (clear, before, after) = (Limits::CLEAR, Limits::BEFORE, Limits::after(1 << 20));
    for (wire, limits, expected) in [
        (line(limits::LINE_BEFORE), before, (LineTooLong, true)),
        (line(1 << 20), after, (LineTooLong, true)),
        (b"a LOGIN {5}\r\n".to_vec(), clear, (PrivacyRequired, false)),
        (b"a LOGIN {5+}\r\n".to_vec(), clear, (PrivacyRequired, true)),
        (b"a LOGIN {4294967295}\r\n".to_vec(), before, (TooBig, false)),
        (b"a LOGIN {4294967295+}\r\n".to_vec(), before, (TooBig, true)),
        (b"a LOGIN {4097}\r\n".to_vec(), before, (TooBig, false)),
        (b"a APPEND x {4097}\r\n".to_vec(), before, (TooBig, false)),
        (b"a APPEND x {1048577}\r\n".to_vec(), after, (TooBig, false)),
        (b"a APPEND x {1048577+}\r\n".to_vec(), after, (TooBig, true)),
        (b"a APPEND x ~{1048576}\r\n".to_vec(), after, (TooBig, false)),
        (b"a SEARCH TEXT {65537}\r\n".to_vec(), after, (TooBig, false)),
        (b"a APPEND x {9999999999999999999}\r\n".to_vec(), after, (TooBig, false)),
        (many.into_bytes(), after, (TooManyLiterals, true)),
    ] {
        let frame = refusal(&wire, limits);
        let shown = String::from_utf8_lossy(&wire[..wire.len().min(60)]).into_owned();
        match frame {
            Frame::Refused { refusal, close, tag } => {
                assert_eq!(((refusal, close), tag.as_deref()), (expected, Some("a")), "{shown}");
            }
            other => panic!("{shown}: {other:?}"),
        }
    }
    let tag = vec![b't'; 1 << 20];
    assert!(matches!(
        refusal(&tag, before),
        Frame::Refused { tag: None, refusal: LineTooLong, close: true }
    ));
}

#[test]
fn after_a_refused_synchronizing_literal_the_next_command_is_understood() {
    let mut framer = Framer::default();
    framer.input().extend_from_slice(b"a APPEND x {999999999}\r\nb NOOP\r\n");
    assert!(matches!(framer.next(Limits::after(1024)), Frame::Refused { close: false, .. }));
    let Frame::Command(raw) = framer.next(Limits::after(1024)) else { panic!() };
    assert_eq!(parse(&raw).unwrap().tag, "b");
}

#[test]
fn a_repeated_sequence_set_costs_one_range() {
    let wire = format!("a FETCH {}1:* FLAGS\r\n", "1:*,".repeat(16_000));
    let Command::Fetch { set, .. } = one(wire.as_bytes()).unwrap().command else { panic!() };
    assert_eq!(set.resolve(7), Some(Ranges::span(1, 7)));
    let SequenceSet::Ranges(ranges) = set else { panic!() };
    assert_eq!(ranges.len(), 1);
}

#[test]
fn mutated_commands_never_panic_and_never_hold_more_than_the_limits() {
    // xorshift: the same run every time
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % below.max(1) as u64) as usize
    };
    const SPICE: &[&[u8]] = &[
        b"{9+}\r\n",
        b"{99999}\r\n",
        b"\r\n",
        b"(",
        b")",
        b"\"",
        b"\\",
        b"~",
        b"*",
        b" ",
        b"\0",
        b"\xff",
        b"$",
        b"[",
    ];
    for _ in 0..30_000 {
        let mut wire = VALID[next(VALID.len())].to_vec();
        for _ in 0..=next(4) {
            if wire.is_empty() {
                break;
            }
            let at = next(wire.len());
            match next(5) {
                0 => {
                    wire.remove(at);
                }
                1 => wire[at] = next(256) as u8,
                2 => drop(wire.splice(at..at, SPICE[next(SPICE.len())].iter().copied())),
                3 => wire.truncate(at + 1),
                _ => {
                    let other = VALID[next(VALID.len())];
                    let from = next(other.len());
                    wire.splice(at..at, other[from..].iter().copied());
                }
            }
        }
        fuzz_command(&wire);
    }
}

#[test]
fn strings_are_quoted_or_literal_and_never_break_out() {
    for (value, utf8, written) in [
        ("plain", false, "\"plain\""),
        ("a\"b\\c", false, "\"a\\\"b\\\\c\""),
        ("", false, "\"\""),
        ("a\r\nb", false, "{4}\r\na\r\nb"),
        ("n\0ul", false, "{3}\r\nnul"),
        ("\u{fc}", false, "{2}\r\n\u{fc}"),
        ("\u{fc}", true, "\"\u{fc}\""),
        ("\u{85}", true, "{2}\r\n\u{85}"),
    ] {
        let mut out = Writer::default();
        out.utf8 = utf8;
        out.string(value);
        assert_eq!(out.take(), written.as_bytes(), "{value:?}");
    }
}
