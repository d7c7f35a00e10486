//! What a store answers, and what it tells without being asked.

use bytes::Bytes;
use posthouse_cluster::GroupId;
use serde::{Deserialize, Serialize};

use crate::{
    Departure, Exported, Folder, FolderId, Item, MailboxId, ModSeq, Quota, SpoolEntry, SpoolId,
    Uid, UidSet, Usage,
};

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
    /// Level 2. State of a mailbox that leaves this store.
    Departure(Departure),
    /// Level 2. Whether there is more to be removed: ask again.
    More(bool),
    /// Level 2. What a move reads.
    Exported(Exported),
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
    /// Level 2. The mailbox is on its way to another store: ask again in a moment.
    #[error("the mailbox is being moved at the moment")]
    Moving(MailboxId),
    /// Level 2. The mailbox is in another store: ask the directory again.
    #[error("the mailbox is in store {}", to.0)]
    Moved {
        /// Whose.
        mailbox: MailboxId,
        /// Where it went from here.
        to: GroupId,
    },
    /// Level 2. A portion of a move that does not follow the last one, whose number this is.
    #[error("a portion after {0} is expected")]
    OutOfStep(u64),
    /// Level 2. The move has come to its end, or is not at this step.
    #[error("this move is over")]
    MoveOver,
}

impl Refusal {
    /// Whether the same request may be done elsewhere or later: such an answer is not remembered.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Moving(_) | Self::Moved { .. })
    }
}

/// Why a call has no answer at all.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// Not now: no majority, no leader, or the node is stopping. Repeat with the same request id.
    #[error("the store is not available at the moment: {0}")]
    Unavailable(String),
    /// Not now, and certainly not done: nobody who could do it was reached.
    #[error("{0}")]
    OutOfReach(String),
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
    /// Events were missed: whoever watches asks for changes of everything.
    Missed,
}
