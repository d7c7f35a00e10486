//! Bytes ↔ types. No IO, no clock, no decisions.

mod address;
mod command;
mod data;
mod line;
mod parameter;
mod reply;
mod response;
mod xtext;

pub use address::{Address, Path};
pub(crate) use command::decode_sasl;
pub use command::{Auth, Chunk, Command, HeloName, MailFrom, RcptTo};
pub(crate) use data::MAX_TEXT_LINE;
pub use data::{ChunkReader, DataReader, Flaw};
pub use line::{LineError, LineReader};
pub use parameter::{BodyType, MAX_MAIL_LINE};
pub use reply::Reply;
pub use response::{Response, ResponseReader};
pub use xtext::{decode_xtext, encode_xtext};

/// Feeds a command line of any content to the parser; what it accepts must print without control characters.
/// For fuzzing.
pub fn fuzz_command(input: &[u8]) {
    let Ok(command) = Command::parse(input) else { return };
    let path = match &command {
        Command::MailFrom(mail) => mail.path.clone(),
        Command::RcptTo(rcpt) => Some(rcpt.path.clone()),
        _ => None,
    };
    let Some(path) = path else { return };
    let text = path.address.to_string();
    assert!(!text.chars().any(char::is_control), "{text:?}");
    let again = Address::parse(&text).map(|path| path.address);
    assert_eq!(again, Some(path.address), "an accepted address reads back as itself");
}

/// Feeds message data of any content, once whole and once byte by byte; both must come to the same end, and what
/// is accepted must have no bare CR or LF. For fuzzing.
pub fn fuzz_data(input: &[u8]) {
    let run = |step: usize| {
        let mut reader = DataReader::new(1 << 20);
        let mut used = 0;
        for piece in input.chunks(step.max(1)) {
            let (taken, done) = reader.feed(piece);
            used += taken;
            if done {
                return Some((used, reader.finish()));
            }
        }
        None
    };
    let whole = run(input.len());
    assert_eq!(whole, run(1), "splitting changes nothing");
    if let Some((_, Ok(message))) = whole {
        assert!(!has_bare_line_ending(&message));
    }
}

/// Whether there is a CR without LF or an LF without CR.
pub fn has_bare_line_ending(bytes: &[u8]) -> bool {
    bytes.iter().enumerate().any(|(i, byte)| match byte {
        b'\r' => bytes.get(i + 1) != Some(&b'\n'),
        b'\n' => i == 0 || bytes.get(i - 1) != Some(&b'\r'),
        _ => false,
    })
}

#[cfg(test)]
mod tests;
