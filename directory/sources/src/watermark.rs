//! How far a source has been read.

use std::hash::{Hash, Hasher};

use posthouse_directory::SourceSpec;
use serde::{Deserialize, Serialize};

/// Form of the watermark; another one means reading everything again.
const VERSION: u8 = 1;

/// How far a source has been read, and at which controller: update sequence numbers are counted by each for itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watermark {
    version: u8,
    /// invocationId of the controller: changes when its database is restored from a backup.
    pub invocation: Vec<u8>,
    /// highestCommittedUSN when the reading began.
    pub usn: u64,
    /// What of the source decides who is mapped and how.
    pub scope: u64,
}

impl Watermark {
    /// A watermark of now.
    pub fn new(invocation: Vec<u8>, usn: u64, scope: u64) -> Self {
        Self { version: VERSION, invocation, usn, scope }
    }

    /// As it is stored.
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_allocvec(self).unwrap_or_default()
    }

    /// `None` if it is of another form.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        postcard::from_bytes(bytes).ok().filter(|mark: &Self| mark.version == VERSION)
    }
}

/// A number that differs when the source must be read again from the start.
pub(crate) fn scope_of(spec: &SourceSpec) -> u64 {
    // FNV-1a: the same on every node and in every release.
    struct Fnv(u64);
    impl Hasher for Fnv {
        fn finish(&self) -> u64 {
            self.0
        }
        fn write(&mut self, bytes: &[u8]) {
            for byte in bytes {
                self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
            }
        }
    }
    let mut hasher = Fnv(0xcbf2_9ce4_8422_2325);
    let domain = spec.domain.0.as_bytes();
    for part in [
        spec.base.as_bytes(),
        spec.user_filter.as_bytes(),
        spec.directory_domain.as_bytes(),
        domain,
    ] {
        part.hash(&mut hasher);
    }
    hasher.finish()
}
