//! A file of the body log: see [`posthouse_store::fuzz::body_log`].
#![no_main]

/// As they are, or with magic and checksums put in.
const SEEDS: &[&[u8]] = &[&[1; 300], &[1; 73], b"\0PHbody1\n"];

libfuzzer_sys::fuzz_target!(init: posthouse_fuzz::seed(SEEDS), |data: &[u8]| posthouse_store::fuzz::body_log(data));
