//! What clients did and saw while things broke, with times of one monotonic clock: the history that
//! [`crate::checker`] judges.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufWriter, Write},
    path::Path,
    sync::{Mutex, PoisonError},
    time::Instant,
};

use anyhow::Result;
use serde::{Deserialize, Serialize};

/// Something that a client tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// A message by SMTP.
    Deliver {
        /// Whose INBOX.
        mailbox: String,
        /// Message-ID; no other operation has it.
        id: String,
    },
    /// A message by IMAP APPEND.
    Append {
        /// Whose INBOX.
        mailbox: String,
        /// Message-ID; no other operation has it.
        id: String,
    },
    /// UID EXPUNGE of one message.
    Expunge {
        /// Whose INBOX.
        mailbox: String,
        /// The message.
        uid: u32,
    },
    /// Everything from a UID on.
    List {
        /// Whose INBOX.
        mailbox: String,
        /// First UID.
        from: u32,
    },
    /// Sets a register: flags of a message, a setting.
    Write {
        /// Which.
        register: String,
        /// To what.
        value: u64,
    },
    /// Reads a register.
    Read {
        /// Which.
        register: String,
    },
    /// The node was started anew: taken down by whoever started it.
    Start,
}

/// What a mailbox looked like.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// UIDVALIDITY.
    pub validity: u32,
    /// UIDNEXT.
    pub next: u32,
    /// HIGHESTMODSEQ.
    pub modseq: u64,
    /// UID and Message-ID of what was listed.
    pub messages: BTreeMap<u32, String>,
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Acknowledged.
    Done,
    /// APPEND acknowledged with UIDVALIDITY and UID.
    Placed(u32, u32),
    /// List acknowledged.
    Seen(View),
    /// Register read.
    Value(u64),
    /// Refused with a temporary error.
    Temporary(String),
    /// Refused for good.
    Permanent(String),
    /// Nobody knows: the connection broke, or no answer came.
    Unknown(String),
}

impl Outcome {
    /// Whether it was acknowledged.
    pub fn is_done(&self) -> bool {
        matches!(self, Self::Done | Self::Placed(..) | Self::Seen(_) | Self::Value(_))
    }
}

/// One operation from its begin to its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Which client; a client does one thing at a time.
    pub client: u32,
    /// Node that it talked to.
    pub node: usize,
    /// Nanoseconds since the ledger was opened, before anything was sent.
    pub begin: u64,
    /// After the answer came, or after it was given up.
    pub end: u64,
    /// What.
    pub op: Op,
    /// And how it ended.
    pub outcome: Outcome,
}

/// Takes down what clients do, in memory and as JSON lines.
pub struct Ledger {
    start: Instant,
    kept: Mutex<(Vec<Record>, Option<BufWriter<File>>)>,
}

impl Ledger {
    /// An empty one; `file`: where to write it besides.
    pub fn new(file: Option<&Path>) -> Result<Self> {
        let file = file.map(File::create).transpose()?.map(BufWriter::new);
        Ok(Self { start: Instant::now(), kept: Mutex::new((Vec::new(), file)) })
    }

    /// Nanoseconds since it was opened.
    pub fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Does something and takes it down.
    pub fn record(
        &self,
        client: u32,
        node: usize,
        op: Op,
        act: impl FnOnce() -> Outcome,
    ) -> Outcome {
        let begin = self.now();
        let outcome = act();
        let record = Record { client, node, begin, end: self.now(), op, outcome: outcome.clone() };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = &mut kept.1 {
            let line = serde_json::to_string(&record).unwrap_or_default();
            let _ = writeln!(file, "{line}");
        }
        kept.0.push(record);
        outcome
    }

    /// Everything so far, in the order of its begin.
    pub fn history(&self) -> Vec<Record> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = &mut kept.1 {
            let _ = file.flush();
        }
        let mut all = kept.0.clone();
        all.sort_by_key(|record| record.begin);
        all
    }
}

/// Longest time between two acknowledged operations that `wanted` picks, in nanoseconds, from `from` on.
pub fn longest_gap(history: &[Record], from: u64, wanted: impl Fn(&Op) -> bool) -> Option<u64> {
    let mut ends: Vec<u64> = history
        .iter()
        .filter(|record| record.outcome.is_done() && wanted(&record.op) && record.end >= from)
        .map(|record| record.end)
        .collect();
    ends.sort_unstable();
    ends.windows(2).map(|pair| pair[1] - pair[0]).max()
}
