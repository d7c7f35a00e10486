//! The message behind DATA, whole and in pieces: see [`posthouse_smtp::codec::fuzz_data`].
#![no_main]

const SEEDS: &[&str] = &["a\r\n.\r\n", "..\r\n.a\r\n\r\n.\r\n", "x\n.\n\r\n.\r\n", ".\r\nQUIT\r\n"];

libfuzzer_sys::fuzz_target!(init: posthouse_fuzz::seed(SEEDS), |data: &[u8]| {
    posthouse_smtp::codec::fuzz_data(data)
});
