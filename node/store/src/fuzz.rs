//! Entries of the fuzzer. Panics where a promise does not hold.

/// Takes any bytes as the only file of a body log, raw or, after an odd first byte, with every checksum put right.
/// What is found lies within the file, in order and without a gap; cut there, the same is found again.
pub fn body_log(data: &[u8]) {
    let Some((mode, rest)) = data.split_first() else { return };
    crate::bodylog::fuzz::file(rest, mode % 2 == 1);
}

/// Takes any bytes as a command from the log and applies it to a store that has something in it. It must be answered,
/// and what is decoded must be encoded to something that decodes to the same.
pub fn command(data: &[u8]) {
    crate::machine::fuzz::command(data);
}

/// Commands to begin with.
pub fn command_seeds() -> Vec<bytes::Bytes> {
    crate::machine::fuzz::seeds()
}
