//! The mailbox API: what can be asked of a store, variant by variant.

use bytes::Bytes;
use posthouse_cluster::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A mailbox: one owner's folders. The id of the owning account, so it survives renames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MailboxId(pub Uuid);

/// A folder within a mailbox. Never used twice in a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FolderId(pub u64);

/// An entry of the spool. Never used twice in a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SpoolId(pub u64);

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

/// A changing or reading request with what makes it repeatable and deterministic.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Call {
    /// Idempotency key.
    pub id: RequestId,
    /// The time of the request, from the caller's clock; `apply` has no clock of its own.
    pub at: Timestamp,
    /// What to do.
    pub request: Request,
}

/// Everything that can be done to the mailboxes of a store.
///
/// The first block reads (never proposed to the log), the second changes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Request {
    // --- reading ---
    /// All folders of a mailbox, sorted by name → [`Response::Folders`].
    Folders {
        /// Whose.
        mailbox: MailboxId,
    },
    /// One folder by name → [`Response::Folder`] or [`Refusal::NoSuchFolder`].
    Folder {
        /// Whose.
        mailbox: MailboxId,
        /// Full name; `inbox` in any case.
        name: String,
    },
    /// The uids of a folder as ranges, in order → [`Response::Uids`]. One index scan, cached.
    Uids {
        /// Whose.
        mailbox: MailboxId,
        /// Where.
        folder: FolderId,
    },
    /// Items by uid, ascending, at most [`Request::MAX_ITEMS`] at once (repeat from the last uid + 1 when
    /// `more` is set) → [`Response::Items`]. Uids that do not exist are left out.
    Items {
        /// Whose.
        mailbox: MailboxId,
        /// Where.
        folder: FolderId,
        /// Which.
        uids: UidSet,
        /// What of them.
        parts: Parts,
        /// Only those with a modseq above this (CHANGEDSINCE); 0 for all.
        changed_since: ModSeq,
    },
    /// What changed in a folder after `since` → [`Response::Changes`]. Remembers expunged uids back to
    /// a horizon; before it, `vanished` names every missing uid below uid_next.
    Changes {
        /// Whose.
        mailbox: MailboxId,
        /// Where.
        folder: FolderId,
        /// Everything after this modseq.
        since: ModSeq,
    },
    /// The bytes of a body that an item of this mailbox refers to → [`Response::Body`]. Verified by hash.
    Body {
        /// Whose: a body is only readable through a mailbox that has it.
        mailbox: MailboxId,
        /// Which.
        body: BodyHash,
    },
    /// Uids that match, ascending → [`Response::Found`].
    Search {
        /// Whose.
        mailbox: MailboxId,
        /// Where.
        folder: FolderId,
        /// What.
        query: Query,
    },
    /// Use and limits of a mailbox → [`Response::Quota`].
    Quota {
        /// Whose.
        mailbox: MailboxId,
    },
    /// Spool entries in order of id, from `after`, at most `limit` → [`Response::Spool`].
    Spool {
        /// Only ids above this.
        after: SpoolId,
        /// At most so many.
        limit: u32,
        /// Only those due by then.
        due: Option<Timestamp>,
    },
    /// The body of a spool entry → [`Response::Body`].
    SpoolBody {
        /// Which entry.
        id: SpoolId,
    },

    // --- changing ---
    /// Makes a mailbox with its standard folders; succeeds if it is there already (and sets the quota).
    CreateMailbox {
        /// Id of the owner.
        mailbox: MailboxId,
        /// Limits.
        quota: Quota,
    },
    /// Removes a mailbox and all that is in it.
    RemoveMailbox {
        /// Whose.
        mailbox: MailboxId,
    },
    /// Makes a folder and its missing parents → [`Response::Folder`].
    CreateFolder {
        /// Whose.
        mailbox: MailboxId,
        /// Full name.
        name: String,
        /// What for.
        purpose: FolderUse,
    },
    /// Renames a folder with all below it. INBOX: its items move to the new folder (RFC 9051 §6.3.6).
    RenameFolder {
        /// Whose.
        mailbox: MailboxId,
        /// Full name now.
        from: String,
        /// Full name then.
        to: String,
    },
    /// Removes a folder and its items; refused for INBOX and while it has folders below it.
    RemoveFolder {
        /// Whose.
        mailbox: MailboxId,
        /// Full name.
        name: String,
    },
    /// Sets or clears the subscription.
    Subscribe {
        /// Whose.
        mailbox: MailboxId,
        /// Full name.
        name: String,
        /// Subscribed or not.
        subscribed: bool,
    },
    /// Adds messages to a folder, all or none → [`Response::Appended`] (uids in order).
    Append {
        /// Whose.
        mailbox: MailboxId,
        /// Full name of the folder.
        folder: String,
        /// The messages.
        messages: Vec<NewItem>,
    },
    /// Changes flags → [`Response::Flagged`].
    SetFlags {
        /// Whose.
        mailbox: MailboxId,
        /// Where.
        folder: FolderId,
        /// Which; missing uids are ignored.
        uids: UidSet,
        /// How.
        change: FlagChange,
        /// What.
        flags: Flags,
        /// UNCHANGEDSINCE (RFC 7162 §3.1.3): items changed later are left alone and reported.
        unchanged_since: Option<ModSeq>,
    },
    /// Copies items (uids, flags, dates kept in order) → [`Response::Copied`].
    Copy {
        /// Whose.
        mailbox: MailboxId,
        /// From.
        folder: FolderId,
        /// Which.
        uids: UidSet,
        /// Full name of the target.
        to: String,
    },
    /// Moves items in one step (RFC 6851) → [`Response::Copied`].
    Move {
        /// Whose.
        mailbox: MailboxId,
        /// From.
        folder: FolderId,
        /// Which.
        uids: UidSet,
        /// Full name of the target.
        to: String,
    },
    /// Removes items with \Deleted → [`Response::Expunged`].
    Expunge {
        /// Whose.
        mailbox: MailboxId,
        /// Where.
        folder: FolderId,
        /// Only among these (UID EXPUNGE).
        uids: Option<UidSet>,
    },
    /// Accepts a message for all its recipients in one step: into INBOXes, the rest into the spool.
    /// Over-quota or missing mailboxes refuse the whole and are named → [`Response::Accepted`].
    Deliver {
        /// Envelope.
        envelope: Envelope,
        /// Into mailboxes of this store; the same mailbox twice gets one copy.
        local: Vec<LocalRecipient>,
        /// Into the spool.
        relay: Vec<RelayRecipient>,
        /// The message as it is to be stored, Received and Return-Path included.
        message: Message,
    },
    /// Records outcomes of a delivery attempt, by position in [`SpoolEntry::recipients`], sets when to
    /// try next, and spools `report` (a DSN) in the same step. An entry without recipients is removed.
    SpoolUpdate {
        /// Which entry.
        id: SpoolId,
        /// Recipient address and outcome.
        outcomes: Vec<(String, SpoolOutcome)>,
        /// Not to be tried before.
        due: Timestamp,
        /// A DSN for the sender, delivered like [`Request::Deliver`].
        report: Option<Box<Report>>,
    },
    /// Makes entries due now. `None`: all.
    SpoolRetry {
        /// Which.
        id: Option<SpoolId>,
    },
    /// Takes an entry out of the spool without delivering it.
    SpoolRemove {
        /// Which.
        id: SpoolId,
    },
}

impl Request {
    /// Most items in one [`Response::Items`].
    pub const MAX_ITEMS: usize = 1000;
    /// Most items that one request may flag, copy, move or expunge; more are refused with
    /// [`Refusal::Limit`], and whoever asks does it in portions.
    pub const MAX_CHANGED: usize = 20_000;
    /// Most messages in one [`Request::Append`].
    pub const MAX_MESSAGES: usize = 1000;
    /// After so many changed items [`Response::Changes`] stops at a modseq and is repeated from there.
    pub const MAX_CHANGES: usize = 20_000;
}

/// A message to append.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NewItem {
    /// The message.
    pub message: Message,
    /// Its flags.
    pub flags: Flags,
    /// INTERNALDATE.
    pub received: Timestamp,
}

/// A delivery report that goes out with a [`Request::SpoolUpdate`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// Into mailboxes of this store.
    pub local: Vec<LocalRecipient>,
    /// Into the spool, with the null sender.
    pub relay: Vec<RelayRecipient>,
    /// The report.
    pub message: Message,
}

/// Answers, named by the requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Response {
    /// Done; nothing to say.
    Done,
    /// Folders sorted by name.
    Folders(Vec<Folder>),
    /// One folder.
    Folder(Folder),
    /// All uids of a folder and the highest modseq at which that was true.
    Uids {
        /// The uids.
        uids: UidSet,
        /// As of.
        modseq: ModSeq,
    },
    /// Items ascending by uid.
    Items {
        /// The items.
        items: Vec<Item>,
        /// There are more.
        more: bool,
    },
    /// Changes since a modseq. After many ([`Request::MAX_CHANGES`]) `modseq` is below the folder's
    /// highest: the rest is asked for from there.
    Changes {
        /// Items added or changed, ascending by uid, without structure.
        changed: Vec<Item>,
        /// Uids that are gone.
        vanished: UidSet,
        /// As of.
        modseq: ModSeq,
    },
    /// Bytes.
    Body(Bytes),
    /// Matching uids and the highest modseq among them.
    Found {
        /// The uids.
        uids: UidSet,
        /// Highest modseq of a match, 0 if none.
        modseq: ModSeq,
    },
    /// Use and limits.
    Quota {
        /// Use.
        usage: Usage,
        /// Limits.
        quota: Quota,
    },
    /// Spool entries.
    Spool(Vec<SpoolEntry>),
    /// Appended.
    Appended {
        /// Folder it went to.
        folder: FolderId,
        /// Its UIDVALIDITY.
        uid_validity: u32,
        /// Uids, in the order of the messages.
        uids: Vec<Uid>,
    },
    /// Flags were changed.
    Flagged {
        /// Items that were changed, as they are now, without structure.
        changed: Vec<Item>,
        /// Items left alone because they had changed (UNCHANGEDSINCE).
        conflicting: UidSet,
    },
    /// Copied or moved.
    Copied {
        /// UIDVALIDITY of the target.
        uid_validity: u32,
        /// Source uid → target uid.
        uids: Vec<(Uid, Uid)>,
    },
    /// Expunged.
    Expunged {
        /// These are gone.
        uids: UidSet,
        /// Modseq of the removal.
        modseq: ModSeq,
    },
    /// Accepted for all recipients.
    Accepted {
        /// Entry in the spool, if anything has to be relayed.
        spool: Option<SpoolId>,
    },
    /// Not done; nothing changed.
    Refused(Refusal),
}

/// Why a request was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Refusal {
    /// No mailbox of that id in this store.
    #[error("no such mailbox")]
    NoSuchMailbox(MailboxId),
    /// No folder of that name or id.
    #[error("no such folder")]
    NoSuchFolder,
    /// There is a folder of that name.
    #[error("the folder exists already")]
    FolderExists,
    /// The folder has folders below it, or is INBOX.
    #[error("the folder cannot be removed")]
    FolderInUse,
    /// Empty, too long (255 bytes a level, 1,000 in all), too deep (16), or with control characters.
    #[error("the folder name is not allowed")]
    BadName,
    /// These mailboxes are full.
    #[error("over quota")]
    OverQuota(Vec<MailboxId>),
    /// No such item, body or spool entry.
    #[error("not found")]
    NotFound,
    /// A limit of this API was exceeded; the text names it.
    #[error("limit exceeded: {0}")]
    Limit(String),
}

/// Why a call has no answer at all.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// Not now: no majority, no leader, or the node is stopping. Repeat with the same request id.
    #[error("the store is not available at the moment: {0}")]
    Unavailable(String),
    /// The disk is full or failed. Reading may still work.
    #[error("the store's disk failed: {0}")]
    Storage(String),
    /// Stored bytes do not match their checksum.
    #[error("stored data is damaged: {0}")]
    Damaged(String),
}

/// Something changed. Sent after the change is applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// Items of a folder were added, changed or removed.
    Folder {
        /// Whose.
        mailbox: MailboxId,
        /// Where.
        folder: FolderId,
        /// Its highest modseq now.
        modseq: ModSeq,
    },
    /// Folders of a mailbox were made, renamed, removed or (un)subscribed.
    Folders {
        /// Whose.
        mailbox: MailboxId,
    },
    /// The spool has something new or newly due.
    Spool,
}
