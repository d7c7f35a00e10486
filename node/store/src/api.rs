//! The mailbox API: the things that requests and answers are about.

use bytes::Bytes;
use posthouse_cluster::{GroupId, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A mailbox: one owner's folders. The id of the owning account, so it survives renames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MailboxId(pub Uuid);

/// A folder within a mailbox. Never used twice in a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FolderId(pub u64);

/// An entry of a spool. Never used twice in a cluster: each store numbers from another beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SpoolId(pub u64);

impl SpoolId {
    const BITS: u32 = 32;

    /// Below the first entry of a store's spool.
    pub fn beginning(store: GroupId) -> Self {
        Self(store.0.saturating_sub(1) << Self::BITS)
    }

    /// The store whose spool it is in.
    pub fn store(self) -> GroupId {
        GroupId((self.0 >> Self::BITS) + 1)
    }
}

/// BLAKE3 hash of a body: its name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BodyHash(pub [u8; 32]);

impl std::fmt::Debug for BodyHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Chosen at random by whoever asks. A request that changes something and is repeated with the same
/// id (after a lost answer) takes effect once and gets the first answer again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RequestId(pub u128);

/// One message on its way to its recipients, chosen at random by whoever accepts it. A mailbox gets it
/// once, by whatever way and however often it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DeliveryId(pub u128);

/// A unique identifier of an item in a folder (RFC 9051 §2.3.1.1): ascending, never used twice.
pub type Uid = u32;

/// A modification sequence (RFC 7162): ascending within a mailbox, the same for all folders of it.
pub type ModSeq = u64;

/// One or more uids or sequence numbers as closed ranges, ascending and not touching.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UidSet(pub Vec<(Uid, Uid)>);

/// Limits of one mailbox; `None` is unlimited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quota {
    /// Sum of item sizes in bytes.
    pub bytes: Option<u64>,
    /// Number of items.
    pub items: Option<u64>,
}

/// What a mailbox uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Sum of item sizes in bytes.
    pub bytes: u64,
    /// Number of items.
    pub items: u64,
}

/// What a folder is for (RFC 6154); the mailbox is created with one of each but `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum FolderUse {
    /// An ordinary folder.
    #[default]
    None,
    /// INBOX.
    Inbox,
    /// \Drafts
    Drafts,
    /// \Sent
    Sent,
    /// \Trash
    Trash,
    /// \Junk
    Junk,
    /// \Archive
    Archive,
}

/// One folder with its counters: what SELECT, STATUS and LIST need, without reading an item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Folder {
    /// Its id.
    pub id: FolderId,
    /// Full name, Unicode, levels separated by `/`. `INBOX` is spelled so.
    pub name: String,
    /// What it is for.
    pub purpose: FolderUse,
    /// Whether IMAP clients have subscribed to it.
    pub subscribed: bool,
    /// UIDVALIDITY: from a counter of the mailbox, never from a clock.
    pub uid_validity: u32,
    /// The uid that the next item will get, at least.
    pub uid_next: Uid,
    /// Highest modification sequence of anything in it.
    pub highest_modseq: ModSeq,
    /// Number of items.
    pub exists: u32,
    /// Number of items without \Seen.
    pub unseen: u32,
    /// Number of items with \Deleted.
    pub deleted: u32,
    /// Sum of the sizes of its items in bytes.
    pub size: u64,
}

/// Flags of an item. System flags as bits, keywords by name (compared without case, kept as first written).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flags {
    /// Sum of the `Flags::SEEN`… constants.
    pub system: u8,
    /// Keywords, sorted.
    pub keywords: Vec<String>,
}

impl Flags {
    /// \Seen
    pub const SEEN: u8 = 1;
    /// \Answered
    pub const ANSWERED: u8 = 2;
    /// \Flagged
    pub const FLAGGED: u8 = 4;
    /// \Deleted
    pub const DELETED: u8 = 8;
    /// \Draft
    pub const DRAFT: u8 = 16;
    /// Most keywords on one item.
    pub const MAX_KEYWORDS: usize = 64;
    /// Longest keyword in bytes.
    pub const MAX_KEYWORD: usize = 128;
}

/// How [`Request::SetFlags`] changes flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FlagChange {
    /// Exactly these.
    Replace,
    /// These too.
    Add,
    /// Not these.
    Remove,
}

/// Which parts of items [`Request::Items`] returns. Body bytes are read with [`Request::Body`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parts {
    /// Fill [`Item::structure`]: envelope and body structure, cached at append.
    pub structure: bool,
}

/// One item of a folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// Its uid.
    pub uid: Uid,
    /// When it last changed.
    pub modseq: ModSeq,
    /// Its flags.
    pub flags: Flags,
    /// INTERNALDATE.
    pub received: Timestamp,
    /// Size in bytes (RFC822.SIZE).
    pub size: u32,
    /// Its body.
    pub body: BodyHash,
    /// Envelope and body structure, if asked for: [`Structure`] by postcard.
    pub structure: Option<Bytes>,
}

/// Where a message goes within this store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalRecipient {
    /// Into this mailbox's INBOX.
    pub mailbox: MailboxId,
    /// The envelope address it was accepted for, kept in the spool of a later forward and in traces.
    pub address: String,
}

/// Where a message goes outside this store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelayRecipient {
    /// Envelope address.
    pub address: String,
    /// ORCPT of DSN (RFC 3461 §4.2), if given.
    pub original: Option<String>,
    /// NOTIFY of DSN (RFC 3461 §4.1): bits 1 success, 2 failure, 4 delay; 0 never. Default 6.
    pub notify: u8,
}

/// Envelope of a message in the spool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// MAIL FROM; empty for the null sender.
    pub sender: String,
    /// ENVID of DSN.
    pub envelope_id: Option<String>,
    /// RET=FULL of DSN: return the whole message in a failure report.
    pub return_full: bool,
    /// BODY=8BITMIME was given.
    pub eight_bit: bool,
    /// SMTPUTF8 is needed.
    pub utf8: bool,
}

/// State of one recipient of a spooled message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpoolRecipient {
    /// Where to.
    pub recipient: RelayRecipient,
    /// Attempts so far.
    pub attempts: u32,
    /// Last temporary failure, as text for the administrator and for DSNs.
    pub last_error: Option<String>,
    /// A delay DSN has been sent.
    pub delay_reported: bool,
}

/// A message that still has somewhere to go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpoolEntry {
    /// Its id.
    pub id: SpoolId,
    /// When it was accepted.
    pub accepted: Timestamp,
    /// Not to be tried before.
    pub due: Timestamp,
    /// Envelope.
    pub envelope: Envelope,
    /// Recipients that are neither delivered nor given up.
    pub recipients: Vec<SpoolRecipient>,
    /// The message.
    pub body: BodyHash,
    /// Its size in bytes.
    pub size: u32,
    /// Under which it is handed over to other stores, if it came with one.
    pub delivery: Option<DeliveryId>,
}

/// Outcome of an attempt for one spooled recipient.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SpoolOutcome {
    /// The next hop took it, or it was given up: it leaves the spool.
    Done,
    /// To be tried again.
    Deferred {
        /// What the next hop said.
        error: String,
        /// A delay DSN goes out with this update.
        delay_reported: bool,
    },
}

/// A message to be stored together with a request. Up to [`crate::Store::INLINE_BODY`] bytes it travels inside
/// the command; larger ones are staged beside the log first. The caller need not care which.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message(pub Bytes);

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Message({} bytes)", self.0.len())
    }
}

/// What to find: a tree of criteria, bounded by [`Query::MAX_DEPTH`] and [`Query::MAX_NODES`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Query {
    /// Everything.
    All,
    /// All of these.
    And(Vec<Query>),
    /// Any of these.
    Or(Vec<Query>),
    /// Not this.
    Not(Box<Query>),
    /// In this set.
    Uids(UidSet),
    /// With all of these system flags.
    System(u8),
    /// With this keyword.
    Keyword(String),
    /// Larger than so many bytes.
    Larger(u32),
    /// Smaller than so many bytes.
    Smaller(u32),
    /// Received (INTERNALDATE, UTC day) at or after.
    ReceivedSince(Timestamp),
    /// Received before.
    ReceivedBefore(Timestamp),
    /// Date header at or after.
    SentSince(Timestamp),
    /// Date header before.
    SentBefore(Timestamp),
    /// Changed at or after this modseq.
    ModSeq(ModSeq),
    /// This header field (lower case) contains the text, without case. Empty text: the field exists.
    Header(String, String),
    /// The decoded text of the message contains this, without case.
    Body(String),
    /// Header or body contains this, without case.
    Text(String),
}

impl Query {
    /// Deepest nesting.
    pub const MAX_DEPTH: usize = 32;
    /// Most criteria in one query.
    pub const MAX_NODES: usize = 512;
}
