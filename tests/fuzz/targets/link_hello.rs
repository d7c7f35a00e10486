//! The first message between nodes: see [`posthouse_cluster::fuzz::link_hello`].
#![no_main]

/// Version, level, from, to, class; and one of a later version, which is longer.
const SEEDS: &[&[u8]] = &[
    b"\x01\0\0\0\x02\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x02\x01",
    b"\x02\0\0\0\x09\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x02\x02more",
];

libfuzzer_sys::fuzz_target!(init: posthouse_fuzz::seed(SEEDS), |data: &[u8]| posthouse_cluster::fuzz::link_hello(data));
