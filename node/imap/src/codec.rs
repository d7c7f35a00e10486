//! Bytes to commands and data to responses (RFC 9051 §9). No IO, no state of the connection.

mod command;
mod cursor;
pub mod date;
mod fetch;
mod frame;
pub mod limits;
mod list;
mod parse;
mod search;
mod set;
pub mod structure;
#[cfg(test)]
mod tests;
pub mod utf7;
mod write;

pub use command::*;
pub use cursor::ParseError;
pub use frame::{Frame, Framer, RawCommand, Refusal};
pub use limits::Limits;
pub use list::SPECIAL_USES;
pub use parse::{BadCommand, parse};
pub use set::{Ranges, SeqNumber, SequenceSet};
pub use write::{Code, Writer};

/// Takes any bytes as a client's stream and parses every command in it: the entry of the fuzzer. Panics
/// where the framer holds more than its limits allow.
pub fn fuzz_command(bytes: &[u8]) {
    let limits = Limits::after(256 * 1024);
    let most = limits.line + limits.message + limits::LITERALS * limits::LITERAL_AFTER;
    let mut framer = Framer::default();
    for chunk in bytes.chunks(4096) {
        framer.input().extend_from_slice(chunk);
        loop {
            match framer.next(limits) {
                Frame::Incomplete => break,
                Frame::Continue => {}
                Frame::WantsMemory { .. } => {
                    framer.grant();
                }
                Frame::Command(raw) => {
                    let _ = parse(&raw);
                }
                Frame::Refused { close: true, .. } => return,
                Frame::Refused { .. } => {}
            }
            assert!(framer.held() <= 2 * most + 4 * 4096, "{} bytes are held", framer.held());
        }
    }
}
