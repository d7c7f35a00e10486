//! What a new node and a member say to each other: see [`posthouse_cluster::fuzz::join_message`].
#![no_main]

/// Refusals: used, a level, a reason; and a knock with a request and two short signatures.
const SEEDS: &[&[u8]] = &[
    b"\x01\x01\0",
    b"\x01\x01\x05\x03",
    b"\x01\x01\x07\x05later",
    b"\x01iiiiiiiiiiiiiiii\x14\x01\x04host\0\x01\x06host:1\x011\x02\x02kk\x02pp\x02qq",
];

libfuzzer_sys::fuzz_target!(init: posthouse_fuzz::seed(SEEDS), |data: &[u8]| posthouse_cluster::fuzz::join_message(data));
