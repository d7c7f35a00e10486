//! Any bytes as what a node sends. Panics where a promise does not hold.

use std::io::IoSlice;

use super::{
    assembly::{Assembly, Message},
    frame::{FrameError, Hello},
    output::{Output, SLICES},
};
use crate::network::MAX_MESSAGE;

/// Messages that may be incomplete at a time.
const INCOMPLETE: usize = 16;

/// All whole messages at the front of `bytes`, which arrive in pieces.
fn messages(bytes: &[u8], piece: usize) -> (Vec<Message>, Result<(), FrameError>) {
    let (mut assembly, mut messages) = (Assembly::new(INCOMPLETE), Vec::new());
    for mut data in bytes.chunks(piece) {
        while !data.is_empty() {
            match assembly.feed(&mut data) {
                Ok(message) => messages.extend(message),
                Err(error) => return (messages, Err(error)),
            }
        }
    }
    (messages, Ok(()))
}

fn written(message: &Message) -> Vec<u8> {
    let (mut output, mut bytes) = (Output::default(), Vec::new());
    output.push(message.clone());
    while !output.is_empty() {
        output.fill();
        let mut slices = [IoSlice::new(&[]); SLICES];
        let count = output.slices(&mut slices);
        let before = bytes.len();
        slices.iter().take(count).for_each(|slice| bytes.extend_from_slice(slice));
        output.written(bytes.len() - before);
    }
    bytes
}

/// Frames: the same messages however the bytes arrive, none too large, and each is written so that it is read the same.
pub(crate) fn frames(data: &[u8]) {
    let Some((piece, bytes)) = data.split_first() else { return };
    let (whole, end) = messages(bytes, bytes.len().max(1));
    let (pieces, other_end) = messages(bytes, usize::from(*piece).max(1));
    assert_eq!((&whole, &end), (&pieces, &other_end));
    for message in whole {
        assert!(message.payload.len() <= MAX_MESSAGE);
        assert_eq!(messages(&written(&message), 4096), (vec![message], Ok(())));
    }
}

/// A hello: what is known of it is written as it was.
pub(crate) fn hello(data: &[u8]) {
    if let Ok(hello) = Hello::decode(data) {
        assert!(data.starts_with(&hello.encode()));
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng, rngs::StdRng};

    use super::*;
    use crate::link::frame::Kind;

    #[test]
    fn mutated_frames_and_hellos_are_read_the_same_or_refused() {
        let message = |kind, id, size: usize| Message {
            kind,
            service: 16,
            id,
            payload: vec![7; size].into(),
        };
        let hello = Hello { version: 1, level: 2, from: 1, to: 2, class: 1 };
        let large = written(&message(Kind::Question, 1, 70_000));
        let mixed: Vec<u8> =
            [(Kind::Question, 3), (Kind::Answer, 200), (Kind::Ping, 0), (Kind::Other(77), 5)]
                .into_iter()
                .flat_map(|(kind, size)| written(&message(kind, size as u64, size)))
                .collect();
        let seeds = [large[..5000].to_vec(), mixed, hello.encode()];
        let mut random = StdRng::seed_from_u64(41);
        let mut read = 0;
        for round in 0..6000 {
            let mut bytes = seeds[round % seeds.len()].clone();
            for _ in 0..random.random_range(0..4) {
                let at = random.random_range(0..bytes.len());
                match random.random_range(0..3) {
                    0 => bytes[at] = random.random(),
                    1 => bytes.insert(at, random.random()),
                    _ => bytes.truncate(at.max(1)),
                }
            }
            super::hello(&bytes);
            read += messages(&bytes, 64).0.len();
            bytes.insert(0, random.random());
            frames(&bytes);
        }
        assert!(read > 1000, "{read}");
    }
}
