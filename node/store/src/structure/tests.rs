//! Structures of messages, and what must not happen with hostile ones.

use std::time::{Duration, Instant};

use super::{Part, Structure};

fn shape(part: &Part) -> String {
    let inner: Vec<String> = part.children.iter().map(shape).collect();
    let message = part.message.as_ref().map(|message| format!("<{}>", shape(&message.root)));
    format!(
        "{}/{}{}{}",
        part.kind,
        part.subtype,
        message.unwrap_or_default(),
        match inner.len() {
            0 => String::new(),
            _ => format!("({})", inner.join(" ")),
        }
    )
}

fn multipart(kind: &str, boundary: &str, parts: &[&str]) -> String {
    let mut text =
        format!("Content-Type: multipart/{kind}; boundary=\"{boundary}\"\r\n\r\npreamble\r\n");
    for part in parts {
        text.push_str(&format!("--{boundary}\r\n{part}\r\n"));
    }
    text.push_str(&format!("--{boundary}--\r\nepilogue\r\n"));
    text
}

#[test]
fn shapes_of_messages() {
    let text = "\r\nhello";
    let html = "Content-Type: text/html\r\n\r\n<p>";
    let both = multipart("alternative", "b", &[text, html]);
    let attached = format!("Content-Type: message/rfc822\r\n\r\nSubject: in\r\n{both}");
    let encoded = "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\nAAAA";
    for (message, expected) in [
        (String::new(), "text/plain"),
        ("no header at all".into(), "text/plain"),
        ("Subject: x\r\n\r\nbody".into(), "text/plain"),
        ("Content-Type: IMAGE/Png; name=a\r\n\r\nbody".into(), "image/png"),
        ("Content-Type: nonsense\r\n\r\nbody".into(), "text/plain"),
        ("Content-Type: multipart/mixed\r\n\r\nno boundary".into(), "text/plain"),
        ("Content-Type: multipart/mixed; boundary=x\r\n\r\nno part".into(), "text/plain"),
        (both.clone(), "multipart/alternative(text/plain text/html)"),
        (multipart("mixed", "o", &[&both, html]),
            "multipart/mixed(multipart/alternative(text/plain text/html) text/html)"),
        (multipart("mixed", "o", &[&attached]),
            "multipart/mixed(message/rfc822<multipart/alternative(text/plain text/html)>)"),
        (multipart("digest", "o", &["\r\nSubject: a\r\n\r\nb"]),
            "multipart/digest(message/rfc822<text/plain>)"),
        (encoded.into(), "application/octet-stream"),
        // the outer delimiter ends an inner multipart that was never closed
        ("Content-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\n\
          Content-Type: multipart/mixed; boundary=i\r\n\r\n--i\r\n\r\none\r\n--o\r\n\r\ntwo\r\n--o--".into(),
            "multipart/mixed(multipart/mixed(text/plain) text/plain)"),
        // a boundary that is the beginning of another
        ("Content-Type: multipart/mixed; boundary=ab\r\n\r\n--abc\r\n\r\nno\r\n--ab\r\n\r\nyes\r\n--ab--".into(),
            "multipart/mixed(text/plain)"),
        // lines that end with LF alone
        ("Content-Type: multipart/mixed; boundary=x\n\n--x\n\none\n--x--\n".into(), "multipart/mixed(text/plain)"),
    ] {
        assert_eq!(shape(&Structure::parse(message.as_bytes()).root), expected, "{message}");
    }
}

#[test]
fn offsets_and_lines_are_those_of_the_message() {
    let message = multipart("mixed", "b", &["A: 1\r\n\r\none\r\ntwo", "\r\n\r\nthree\r\n"]);
    let root = Structure::parse(message.as_bytes()).root;
    let body = |part: &Part| &message[part.body as usize..part.end as usize];
    let header = |part: &Part| &message[part.header as usize..part.body as usize];
    let [first, second] = &root.children[..] else { panic!("{root:?}") };
    assert_eq!((header(first), body(first), first.lines), ("A: 1\r\n\r\n", "one\r\ntwo", 2));
    assert_eq!((header(second), body(second), second.lines), ("\r\n", "\r\nthree\r\n", 3));
    assert!(body(&root).starts_with("preamble") && body(&root).ends_with("epilogue\r\n"));
}

#[test]
fn envelope_and_fields_are_kept_as_they_stand() {
    let structure = Structure::parse(
        b"Date: Mon, 2 Nov 2026 10:00:00 +0100\r\nSubject: =?utf-8?q?a?=\r\n =?utf-8?q?b?=\r\n\
          From: Ada <ada@x>\r\nTo: b@x\r\nTo: c@x\r\nMessage-ID: <1@x>\r\nSubject: second\r\n\
          Content-Type: text/plain; charset=\"utf-8\"\r\nContent-Disposition: Attachment; filename*=utf-8''a%20b\r\n\
          Content-Language: de, en\r\nContent-ID: <c@x>\r\nContent-MD5: abc\r\nContent-Description: d\r\n\r\n",
    );
    let envelope = structure.envelope;
    assert_eq!(envelope.sent, Some(1_793_610_000));
    assert_eq!(envelope.subject.as_deref(), Some("=?utf-8?q?a?= =?utf-8?q?b?="));
    assert_eq!((envelope.from.clone(), envelope.from), (envelope.sender, envelope.reply_to));
    assert_eq!(envelope.to.len(), 2);
    assert_eq!(envelope.message_id.as_deref(), Some("<1@x>"));
    let part = structure.root;
    assert_eq!(part.params, [("charset".into(), "utf-8".into())]);
    let filename = ("filename*".to_owned(), "utf-8''a%20b".to_owned());
    assert_eq!(part.disposition, Some(("attachment".into(), vec![filename])));
    assert_eq!(part.language, ["de", "en"]);
    assert_eq!((part.id.as_deref(), part.md5.as_deref()), (Some("<c@x>"), Some("abc")));
}

fn count(part: &Part) -> usize {
    let message = part.message.as_ref().map_or(0, |message| count(&message.root));
    1 + message + part.children.iter().map(count).sum::<usize>()
}

fn depth(part: &Part) -> usize {
    let message = part.message.as_ref().map_or(0, |message| depth(&message.root));
    1 + message.max(part.children.iter().map(depth).max().unwrap_or(0))
}

#[test]
fn hostile_messages_stay_within_bounds() {
    let nested = |n: usize| -> String {
        (0..n)
            .map(|i| format!("Content-Type: multipart/mixed; boundary=b{i}\r\n\r\n--b{i}\r\n"))
            .collect()
    };
    let same = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n".repeat(10_000);
    let messages = "Content-Type: message/rfc822\r\n\r\n".repeat(10_000);
    let parts = format!(
        "Content-Type: multipart/mixed; boundary=b\r\n\r\n{}",
        "--b\r\n\r\nx\r\n".repeat(1_000_000)
    );
    let params = format!("Content-Type: a/b{}\r\n\r\n", "; a=b".repeat(200_000));
    for (name, message) in [
        ("10,000 nested multiparts", nested(10_000)),
        ("10,000 nested multiparts of one boundary", same),
        ("10,000 nested messages", messages),
        ("1,000,000 parts", parts),
        ("one header of 16 MiB", format!("Subject: {}\r\n\r\n", "x".repeat(16 << 20))),
        ("1,000,000 header fields", "A: b\r\n".repeat(1_000_000)),
        ("500,000 addresses", format!("To: {}\r\n\r\n", "a@b.example, ".repeat(500_000))),
        ("200,000 parameters", params),
        ("only delimiters", "--\r\n".repeat(1_000_000)),
        ("only line ends", "\n".repeat(4 << 20)),
        ("no line end", "x".repeat(16 << 20)),
    ] {
        let started = Instant::now();
        let structure = Structure::parse(message.as_bytes());
        let took = started.elapsed();
        assert!(took < Duration::from_secs(10), "{name}: {took:?}");
        assert!(count(&structure.root) <= Structure::MAX_PARTS + 1, "{name}");
        assert!(depth(&structure.root) <= Structure::MAX_DEPTH + 1, "{name}");
        assert!(structure.envelope.to.len() <= Structure::MAX_ADDRESSES, "{name}");
        let size = postcard::to_stdvec(&structure).unwrap().len();
        assert!(size < 2 << 20, "{name}: {size} bytes");
    }
}

#[test]
fn mutated_messages_never_panic_and_keep_their_offsets_in_order() {
    use rand::{Rng, SeedableRng, rngs::StdRng};
    let seed = multipart(
        "mixed",
        "o",
        &[
            &multipart(
                "alternative",
                "b",
                &["\r\nhello", "Content-Type: text/html; charset=x\r\n\r\n<p>"],
            ),
            "Content-Type: message/rfc822\r\n\r\nFrom: A <a@b>, g: c@d;\r\nDate: Mon, 2 Nov 2026 10:00:00 +0100\r\n\r\nx",
        ],
    );
    let mut random = StdRng::seed_from_u64(7);
    for _ in 0..3000 {
        let mut bytes = seed.clone().into_bytes();
        for _ in 0..random.random_range(1..8) {
            let at = random.random_range(0..bytes.len().max(1)).min(bytes.len() - 1);
            match random.random_range(0..4) {
                0 => bytes[at] = random.random(),
                1 if bytes.len() > 1 => drop(bytes.remove(at)),
                2 => bytes.insert(
                    at,
                    *b"\r\n-:;\"(<@,\0".get(random.random_range(0..12)).unwrap_or(&b' '),
                ),
                _ => bytes.truncate(at.max(1)),
            }
        }
        let structure = Structure::parse(&bytes);
        in_order(&structure.root, bytes.len());
    }
}

fn in_order(part: &Part, length: usize) {
    assert!(
        part.header <= part.body && part.body <= part.end && part.end as usize <= length,
        "{part:?}"
    );
    for child in part.children.iter().chain(part.message.iter().map(|message| &message.root)) {
        assert!(part.body <= child.header && child.end <= part.end, "{part:?} {child:?}");
        in_order(child, length);
    }
}
