//! Entries of the fuzzer: any bytes as what is read back from disk or comes from the network. Panics where a promise does not hold.

/// Takes any bytes as the only segment of a log, raw or, after an odd first byte, as the recipe of sound records with
/// anything behind them. What recovery accepts must be the same when it is recovered again, and whatever a record
/// holds is decoded, and encoded to what decodes to the same.
pub fn segment(data: &[u8]) {
    let Some((mode, rest)) = data.split_first() else { return };
    for payload in crate::log::fuzz::segment(rest, mode % 2 == 1) {
        crate::raft::fuzz::stored(&payload);
    }
}

/// Takes any bytes as frames of a link: the first byte says in pieces of which size they arrive.
pub fn link_frames(data: &[u8]) {
    crate::link::fuzz::frames(data);
}

/// Takes any bytes as the first message of a link.
pub fn link_hello(data: &[u8]) {
    crate::link::fuzz::hello(data);
}

/// Takes any bytes as a message of a new node, and as an answer to one.
pub fn join_message(data: &[u8]) {
    crate::join::fuzz::message(data);
}

/// Takes any text as the code of an invite.
pub fn invite_code(data: &[u8]) {
    crate::join::fuzz::code(data);
}
