//! Messages whose content follows from their Message-ID, so that what comes back can be compared.

/// Mark in a Message-ID of messages that are larger than what travels inside of the log.
pub(super) const LARGE: &str = "-large";

/// A whole message.
pub fn message(id: &str) -> String {
    format!(
        "From: <sender@remote.example>\r\nTo: <somebody@example.test>\r\nMessage-ID: <{id}>\r\n\
         Subject: {id}\r\n\r\n{}",
        body(id)
    )
}

/// What stands after the empty line. Never a dot at the begin of a line.
pub fn body(id: &str) -> String {
    let mut state = id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |state, byte| {
        (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let lines = if id.contains(LARGE) { 400 + state % 800 } else { 2 + state % 12 };
    let mut text = format!("text of {id}\r\n");
    for _ in 0..lines {
        for _ in 0..4 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            text += &format!("{state:016x}");
        }
        text += "\r\n";
    }
    text
}
