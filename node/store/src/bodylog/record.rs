//! The record of the body log: a header of fixed length, the body, zeros up to a multiple of 8.
//!
//! ```text
//! 0  magic     8 bytes
//! 8  synced    u64   all bytes of the file below this were on disk when the record was written
//! 16 staged    u64   milliseconds since the Unix epoch
//! 24 length    u32   of the body
//! 28 crc       u32   of the body
//! 32 hash      32 bytes
//! 64 crc       u32   of the 64 bytes above
//! 68 zero      4 bytes
//! ```
//! Little-endian. `synced` is what tells a torn tail (never acknowledged, cut) from damage (refused).

use posthouse_cluster::Timestamp;

use crate::BodyHash;

/// First bytes of a record.
pub(super) const MAGIC: [u8; 8] = *b"PHbody1\n";
/// Length of a header in bytes.
pub(super) const HEADER: usize = 72;
/// Records begin at multiples of this.
pub(super) const ALIGN: u64 = 8;

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub synced: u64,
    pub staged: Timestamp,
    pub length: u32,
    pub crc: u32,
    pub hash: BodyHash,
}

impl Header {
    pub(super) fn of(body: &[u8], hash: BodyHash, staged: Timestamp, synced: u64) -> Self {
        let crc = crc32fast::hash(body);
        Self { synced, staged, length: u32::try_from(body.len()).unwrap_or(u32::MAX), crc, hash }
    }

    pub(super) fn encode(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        let mut at = 0;
        let mut put = |field: &[u8]| {
            bytes[at..at + field.len()].copy_from_slice(field);
            at += field.len();
        };
        put(&MAGIC);
        put(&self.synced.to_le_bytes());
        put(&self.staged.0.to_le_bytes());
        put(&self.length.to_le_bytes());
        put(&self.crc.to_le_bytes());
        put(&self.hash.0);
        let crc = crc32fast::hash(&bytes[..64]);
        bytes[64..68].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// `None`: these bytes do not begin with a whole, undamaged header.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; HEADER] = bytes.get(..HEADER)?.try_into().ok()?;
        let sound = bytes[..8] == MAGIC
            && word(bytes, 64) == crc32fast::hash(&bytes[..64])
            && bytes[68..] == [0; 4];
        sound.then(|| Self {
            synced: long(bytes, 8),
            staged: Timestamp(long(bytes, 16)),
            length: word(bytes, 24),
            crc: word(bytes, 28),
            hash: BodyHash(std::array::from_fn(|at| bytes[32 + at])),
        })
    }

    /// Length of the whole record.
    pub(super) fn record(&self) -> u64 {
        (HEADER as u64 + u64::from(self.length)).next_multiple_of(ALIGN)
    }
}

/// Number of zeros behind a body.
pub(super) fn padding(length: usize) -> usize {
    (HEADER + length).next_multiple_of(ALIGN as usize) - HEADER - length
}

fn word(bytes: &[u8; HEADER], at: usize) -> u32 {
    u32::from_le_bytes(std::array::from_fn(|n| bytes[at + n]))
}

fn long(bytes: &[u8; HEADER], at: usize) -> u64 {
    u64::from_le_bytes(std::array::from_fn(|n| bytes[at + n]))
}
