//! Messages to bytes: several large ones alternate, small ones go together.

use std::{collections::VecDeque, io::IoSlice};

use bytes::{Buf, Bytes, BytesMut};
use tokio::sync::OwnedSemaphorePermit;

use super::{
    assembly::Message,
    frame::{HEADER, Header, MAX_PART},
};

/// Messages that are sent in turns.
const TURNS: usize = 8;
/// Bytes that are prepared at a time.
const BATCH: usize = 128 << 10;
/// Prepared bytes from which on nothing is read that could be answered with more.
const FULL: usize = 4 * BATCH;
/// Parts up to this size are copied behind each other; larger ones are written from where they are.
const SMALL: usize = 4 << 10;
/// Most slices in one write.
pub(crate) const SLICES: usize = 32;

/// A message on its way out, with what it holds of a bound until its last byte is written.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) message: Message,
    #[expect(dead_code, reason = "held until it is dropped")]
    pub(crate) permit: Option<OwnedSemaphorePermit>,
}

impl From<Message> for Outgoing {
    fn from(message: Message) -> Self {
        Self { message, permit: None }
    }
}

/// Messages that have begun, and bytes to write.
#[derive(Debug, Default)]
pub(crate) struct Output {
    turns: VecDeque<(Outgoing, usize)>,
    small: BytesMut,
    ready: VecDeque<Bytes>,
    bytes: usize,
}

impl Output {
    /// Whether another message can begin.
    pub(crate) fn has_room(&self) -> bool {
        self.turns.len() < TURNS && self.bytes < BATCH
    }

    /// Whether answers that are given at once must wait too.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes >= FULL
    }

    /// Begins a message. What is small and urgent may be pushed at any time.
    pub(crate) fn push(&mut self, message: impl Into<Outgoing>) {
        self.turns.push_back((message.into(), 0));
        if self.turns.len() == 1 || self.turns.back().is_some_and(|(new, _)| is_small(new)) {
            // a small one overtakes the rest of large ones
            if let Some(new) = self.turns.pop_back() {
                self.part(new);
            }
        }
    }

    /// Prepares more bytes.
    pub(crate) fn fill(&mut self) {
        while self.bytes < BATCH {
            let Some(turn) = self.turns.pop_front() else { return };
            self.part(turn);
        }
    }

    /// Writes the next part of a message to the bytes; what is left of it goes to the end of the turns.
    fn part(&mut self, (outgoing, at): (Outgoing, usize)) {
        let Message { kind, service, id, payload } = &outgoing.message;
        let part = payload.slice(at..payload.len().min(at + MAX_PART));
        let header = Header {
            part: part.len() as u32,
            total: payload.len() as u32,
            id: *id,
            kind: *kind,
            service: *service,
        };
        self.small.extend_from_slice(&header.encode());
        self.bytes += HEADER + part.len();
        let end = at + part.len();
        if part.len() <= SMALL {
            self.small.extend_from_slice(&part);
        } else {
            self.ready.push_back(self.small.split().freeze());
            self.ready.push_back(part);
        }
        if end < outgoing.message.payload.len() {
            self.turns.push_back((outgoing, end));
        }
    }

    /// What to write next. Empty: there is nothing.
    pub(crate) fn slices<'a>(&'a mut self, slices: &mut [IoSlice<'a>; SLICES]) -> usize {
        if !self.small.is_empty() {
            self.ready.push_back(self.small.split().freeze());
        }
        let mut count = 0;
        for (slice, bytes) in slices.iter_mut().zip(&self.ready) {
            *slice = IoSlice::new(bytes);
            count += 1;
        }
        count
    }

    /// `n` bytes were written.
    pub(crate) fn written(&mut self, mut n: usize) {
        self.bytes = self.bytes.saturating_sub(n);
        while let Some(front) = self.ready.front_mut() {
            let part = front.len().min(n);
            front.advance(part);
            n -= part;
            if !front.is_empty() {
                return;
            }
            self.ready.pop_front();
        }
    }

    /// Whether everything that began has been written.
    pub(crate) fn is_empty(&self) -> bool {
        self.turns.is_empty() && self.ready.is_empty() && self.small.is_empty()
    }
}

fn is_small(outgoing: &Outgoing) -> bool {
    outgoing.message.payload.len() <= SMALL
}
