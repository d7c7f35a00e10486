//! Entries of the fuzzer: any bytes as what is read back from disk. Panics where a promise does not hold.

/// Takes any bytes as the only segment of a log, raw or, after an odd first byte, as the recipe of sound records with
/// anything behind them. What recovery accepts must be the same when it is recovered again, and whatever a record
/// holds is decoded, and encoded to what decodes to the same.
pub fn segment(data: &[u8]) {
    let Some((mode, rest)) = data.split_first() else { return };
    for payload in crate::log::fuzz::segment(rest, mode % 2 == 1) {
        crate::raft::fuzz::stored(&payload);
    }
}
