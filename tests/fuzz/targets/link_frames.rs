//! Frames between nodes: see [`posthouse_cluster::fuzz::link_frames`].
#![no_main]

/// Size of the pieces, then frames: lengths of part and message, number, kind, service, zero, part.
const SEEDS: &[&[u8]] = &[
    b"\x07\0\0\0\x03\0\0\0\x03\0\0\0\0\0\0\0\x01\x01\x10\0\0abc",
    b"\x40\0\0\0\x02\0\0\0\x05\0\0\0\0\0\0\0\x01\x01\x10\0\0ab\0\0\0\0\0\0\0\0\x80\0\0\0\0\0\0\x01\x06\0\0\0\0\0\0\x03\0\0\0\x05\0\0\0\0\0\0\0\x01\x01\x10\0\0cde",
    b"\x01\0\0\0\x08\0\0\0\x08\x80\0\0\0\0\0\0\x01\x07\0\0\0\0\0\x01\x8f\0\0\0\0",
    b"\xff\0\0\0\x02\0\0\0\x02\0\0\0\0\0\0\0\x09\xc8\0\0\0no",
];

libfuzzer_sys::fuzz_target!(init: posthouse_fuzz::seed(SEEDS), |data: &[u8]| posthouse_cluster::fuzz::link_frames(data));
