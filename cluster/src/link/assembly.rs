//! Messages from bytes: parts of several messages may alternate.

use std::collections::HashMap;

use bytes::{Bytes, BytesMut};

use super::frame::{FrameError, HEADER, Header, Kind};

/// A whole message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) kind: Kind,
    pub(crate) service: u8,
    pub(crate) id: u64,
    pub(crate) payload: Bytes,
}

/// Reserved at the beginning of a message; more only as it arrives.
const FIRST_RESERVE: usize = 256 << 10;

/// Bytes on their way to messages.
#[derive(Debug)]
pub(crate) struct Assembly {
    /// Most messages that may be incomplete at a time.
    most: usize,
    header: [u8; HEADER],
    have: usize,
    current: Option<Current>,
    open: HashMap<u64, Open>,
}

#[derive(Debug)]
struct Open {
    kind: Kind,
    service: u8,
    total: usize,
    bytes: BytesMut,
}

/// The message that the part which arrives belongs to.
#[derive(Debug)]
struct Current {
    id: u64,
    left: usize,
    open: Open,
}

impl Assembly {
    pub(crate) fn new(most: usize) -> Self {
        let (header, have, current) = ([0; HEADER], 0, None);
        Self { most, header, have, current, open: HashMap::new() }
    }

    /// Takes from the front of `data` up to the end of one message. Nothing: all was taken.
    pub(crate) fn feed(&mut self, data: &mut &[u8]) -> Result<Option<Message>, FrameError> {
        loop {
            if self.current.is_none() && !self.read_header(data)? {
                return Ok(None);
            }
            let Some(current) = &mut self.current else { return Ok(None) };
            let (part, rest) = data.split_at(current.left.min(data.len()));
            current.open.bytes.extend_from_slice(part);
            current.left -= part.len();
            *data = rest;
            if let Some(message) = self.part_done() {
                return Ok(Some(message));
            }
            if data.is_empty() {
                return Ok(None);
            }
        }
    }

    /// Where the rest of a part belongs, and how long it is; to read into without a copy.
    pub(crate) fn direct(&mut self) -> Option<(&mut BytesMut, usize)> {
        let current = self.current.as_mut()?;
        Some((&mut current.open.bytes, current.left))
    }

    /// `n` bytes were read into what [`Self::direct`] gave.
    pub(crate) fn direct_done(&mut self, n: usize) -> Option<Message> {
        if let Some(current) = &mut self.current {
            current.left = current.left.saturating_sub(n);
        }
        self.part_done()
    }

    /// Whether a message is incomplete.
    #[cfg(test)]
    pub(crate) fn is_idle(&self) -> bool {
        self.have == 0 && self.current.is_none() && self.open.is_empty()
    }

    /// Completes the header; false when bytes are missing.
    fn read_header(&mut self, data: &mut &[u8]) -> Result<bool, FrameError> {
        let (taken, rest) = data.split_at((HEADER - self.have).min(data.len()));
        self.header[self.have..self.have + taken.len()].copy_from_slice(taken);
        self.have += taken.len();
        *data = rest;
        if self.have < HEADER {
            return Ok(false);
        }
        self.have = 0;
        self.current = Some(self.begin(Header::decode(&self.header)?)?);
        Ok(true)
    }

    fn begin(&mut self, header: Header) -> Result<Current, FrameError> {
        let (left, total) = (header.part as usize, header.total as usize);
        let open = match self.open.remove(&header.id) {
            Some(open) if left < total => {
                let fits = open.kind == header.kind
                    && open.service == header.service
                    && open.total == total
                    && open.bytes.len() + left <= total;
                let mut open = fits.then_some(open).ok_or(FrameError::Parts)?;
                let have = open.bytes.len();
                // who has sent that much will send the rest
                open.bytes.reserve(if have >= FIRST_RESERVE { total - have } else { left });
                open
            }
            Some(_) => return Err(FrameError::Parts),
            None if self.open.len() >= self.most => return Err(FrameError::Open),
            None => {
                let bytes = BytesMut::with_capacity(total.min(FIRST_RESERVE));
                Open { kind: header.kind, service: header.service, total, bytes }
            }
        };
        Ok(Current { id: header.id, left, open })
    }

    fn part_done(&mut self) -> Option<Message> {
        let Current { id, open, .. } = self.current.take_if(|current| current.left == 0)?;
        if open.bytes.len() < open.total {
            self.open.insert(id, open);
            return None;
        }
        let Open { kind, service, bytes, .. } = open;
        Some(Message { kind, service, id, payload: bytes.freeze() })
    }
}
