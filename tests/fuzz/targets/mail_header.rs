//! The header of a submitted message: what is completed has one From and no Bcc.
#![no_main]

use posthouse_cluster::Timestamp;
use posthouse_smtp::message::{Header, complete};

const SEEDS: &[&str] = &[
    "From: \"Example, Anna\" <a@x.test> (c), b@y.test\r\nBcc: c@x.test\r\n\r\nhi\r\n",
    "From: a@x.test\r\nSender: b@x.test\r\nDate: x\r\n folded\r\nMessage-ID: <m@x.test>\r\n\r\n",
    "Received: x\r\nReturn-Path: <r@x.test>\r\nResent-From: =?utf-8?q?J?= <j@x.test>\r\n",
];

libfuzzer_sys::fuzz_target!(init: posthouse_fuzz::seed(SEEDS), |data: &[u8]| {
    if let Some(header) = Header::parse(data) {
        let length: usize = header.fields.iter().map(|field| field.raw.len()).sum();
        assert_eq!(length, header.end, "fields follow each other without a gap");
    }
    let at = Timestamp(1_795_514_400_000);
    if let Ok(done) = complete(data, Some("s@x.test"), "h.test", "id", at) {
        let header = Header::parse(&done.message).expect("a completed message has a header");
        assert_eq!(header.all("From").count(), 1);
        assert_eq!(header.all("Bcc").count(), 0);
    }
});
