//! What a next hop answers, whole and byte by byte.
#![no_main]

use posthouse_smtp::codec::{Response, ResponseReader};

/// The answers up to the first error, fed in pieces of `step` bytes.
fn read(data: &[u8], step: usize) -> (Vec<Response>, Option<&'static str>) {
    let (mut reader, mut buffer, mut answers) = (ResponseReader::default(), Vec::new(), Vec::new());
    for piece in data.chunks(step.max(1)) {
        buffer.extend_from_slice(piece);
        loop {
            match reader.next(&mut buffer) {
                Ok(Some(answer)) => answers.push(answer),
                Ok(None) => break,
                Err(error) => return (answers, Some(error)),
            }
        }
    }
    (answers, None)
}

const SEEDS: &[&str] = &[
    "220 mx.y.test ESMTP\r\n",
    "250-mx.y.test\r\n250-SIZE 1000\r\n250 STARTTLS\r\n354 go on\r\n",
    "550 5.1.1 no such user\r\n421\r\n",
];

libfuzzer_sys::fuzz_target!(init: posthouse_fuzz::seed(SEEDS), |data: &[u8]| {
    let whole = read(data, data.len());
    assert_eq!(whole, read(data, 1), "splitting changes nothing");
    for answer in &whole.0 {
        let text = answer.text();
        assert!(text.chars().count() <= 400 && !text.contains(char::is_control), "{text:?}");
        assert!(answer.enhanced().is_none_or(|status| status.len() <= 9));
    }
});
