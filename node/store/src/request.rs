//! What can be asked of a store, variant by variant.

use posthouse_cluster::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    BodyHash, DeliveryId, Envelope, Export, FlagChange, Flags, FolderId, FolderUse, LocalRecipient,
    MailboxId, Message, ModSeq, MoveStep, Parts, Query, Quota, RelayRecipient, RequestId, SpoolId,
    SpoolOutcome, UidSet,
};

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

    // --- level 2 ---
    /// [`Request::Deliver`] that takes effect once for each mailbox of `local`, and once for all of
    /// `relay`, whatever request it comes with: remembered for 30 days. [`crate::Stores`] makes the
    /// older form of it while the cluster's level is below [`Request::DELIVERIES_LEVEL`].
    DeliverOnce {
        /// Which delivery.
        delivery: DeliveryId,
        /// Envelope.
        envelope: Envelope,
        /// Into mailboxes of this store; the same mailbox twice gets one copy.
        local: Vec<LocalRecipient>,
        /// Into the spool.
        relay: Vec<RelayRecipient>,
        /// The message as it is to be stored, Received and Return-Path included.
        message: Message,
    },
    /// A step of the move of a mailbox to another store; changes.
    Moving(MoveStep),
    /// What such a move reads → [`Response::Exported`].
    Export(Export),
}

impl Request {
    /// Mailboxes that it is about: they are all in one store. Empty for what is about a spool.
    pub fn mailboxes(&self) -> Vec<MailboxId> {
        match self {
            Self::Folders { mailbox }
            | Self::Folder { mailbox, .. }
            | Self::Uids { mailbox, .. }
            | Self::Items { mailbox, .. }
            | Self::Changes { mailbox, .. }
            | Self::Body { mailbox, .. }
            | Self::Search { mailbox, .. }
            | Self::Quota { mailbox }
            | Self::CreateMailbox { mailbox, .. }
            | Self::RemoveMailbox { mailbox }
            | Self::CreateFolder { mailbox, .. }
            | Self::RenameFolder { mailbox, .. }
            | Self::RemoveFolder { mailbox, .. }
            | Self::Subscribe { mailbox, .. }
            | Self::Append { mailbox, .. }
            | Self::SetFlags { mailbox, .. }
            | Self::Copy { mailbox, .. }
            | Self::Move { mailbox, .. }
            | Self::Expunge { mailbox, .. } => vec![*mailbox],
            Self::Deliver { local, .. } | Self::DeliverOnce { local, .. } => {
                local.iter().map(|recipient| recipient.mailbox).collect()
            }
            Self::Spool { .. }
            | Self::SpoolBody { .. }
            | Self::SpoolUpdate { .. }
            | Self::SpoolRetry { .. }
            | Self::SpoolRemove { .. }
            // they are for a named store
            | Self::Moving(_)
            | Self::Export(_) => Vec::new(),
        }
    }

    /// Level of the cluster from which on deliveries are remembered.
    pub const DELIVERIES_LEVEL: u32 = 2;
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
