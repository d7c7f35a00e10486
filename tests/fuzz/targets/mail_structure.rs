//! Envelope and body structure of any mail: bounded, and offsets in order.
#![no_main]

use posthouse_store::{Part, Structure};

/// Number of parts in and below this one.
fn check(part: &Part, length: usize, depth: usize) -> usize {
    assert!(depth <= Structure::MAX_DEPTH + 1, "too deep");
    assert!(part.header <= part.body && part.body <= part.end && part.end as usize <= length);
    let inner = part.message.iter().map(|message| &message.root);
    let counts = part.children.iter().chain(inner).map(|child| {
        assert!(part.body <= child.header && child.end <= part.end, "outside of its parent");
        check(child, length, depth + 1)
    });
    1 + counts.sum::<usize>()
}

const SEEDS: &[&str] = &[
    "From: A <a@b>, g: c@d, \"e\"@f;\r\nDate: Mon, 2 Nov 2026 10:00:00 +0100\r\nSubject: =?utf-8?q?x?=\r\n\r\nhi",
    "Content-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\n\r\nhi\r\n--o\r\nContent-Type: text/html;\r\n charset*0*=utf-8''x\r\nContent-Disposition: attachment; filename=\"a b\"\r\n\r\n<p>\r\n--o--\r\n",
    "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\nTo: x@y\r\nContent-Type: multipart/a; boundary=\"b\"\r\n\r\n--b\r\n--b--",
];

libfuzzer_sys::fuzz_target!(init: posthouse_fuzz::seed(SEEDS), |data: &[u8]| {
    let structure = Structure::parse(data);
    assert!(check(&structure.root, data.len(), 0) <= Structure::MAX_PARTS + 1, "too many parts");
});
