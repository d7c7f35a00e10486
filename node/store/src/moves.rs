//! Moving a mailbox to another store while it is used.
//!
//! What the two stores are asked for ([`MoveStep`], [`Export`]), and the driver that asks: [`Driver`].
//! See `docs/decisions/0012-moving-mailboxes.md` for why each step is safe to be repeated.

use bytes::Bytes;
use posthouse_cluster::{GroupId, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    BodyHash, DeliveryId, Flags, Folder, FolderId, MailboxId, Message, ModSeq, Quota, RequestId,
    Uid, UidSet, Usage,
};

mod drive;
mod ledger;
mod link;
mod progress;
mod round;
mod runner;

pub use drive::{Driver, MoveEnd, MoveError, Pace};
pub use ledger::{Ledger, Mark, MarkError, Places, Standing, Wish};
pub use progress::{Phase, Progress};
pub use runner::{Led, MoveRunner, RunnerOptions};

/// Agreed level of the cluster from which on mailboxes may be moved.
pub const LEVEL: u32 = 3;

/// Number of a move: random, never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MoveId(pub u128);

impl MoveId {
    /// The name under which a mailbox lies in a store while it arrives there, and after it left: nobody
    /// who asks for the mailbox by its own name can see it.
    pub fn hidden(self) -> MailboxId {
        MailboxId(Uuid::from_u128(self.0))
    }
}

/// A step of a move: changes one of the two stores. All may be repeated without harm.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum MoveStep {
    /// Source: the mailbox is about to leave; everything goes on as before → [`crate::Response::Departure`].
    Leave {
        /// Whose.
        mailbox: MailboxId,
        /// The move.
        id: MoveId,
        /// Where to.
        to: GroupId,
    },
    /// Source: no changes from now on → [`crate::Response::Departure`]. Left as it is while more than this
    /// has changed after `since`, so that the rest can be carried over in a moment.
    Freeze {
        /// The move.
        id: MoveId,
        /// All up to this modseq of the mailbox has been carried over.
        since: ModSeq,
        /// Most items that changed since.
        items: u64,
        /// Most bytes of them.
        bytes: u64,
    },
    /// Source: the move ends without a switch; the mailbox is used as ever. Not after [`MoveStep::Part`].
    Abandon {
        /// The move.
        id: MoveId,
    },
    /// Source: an abandoned move has left nothing in the target store.
    Close {
        /// The move.
        id: MoveId,
    },
    /// Source: the mailbox is in the other store; nothing is answered for it here any more.
    Part {
        /// The move.
        id: MoveId,
    },
    /// Source, after [`MoveStep::Part`]: removes a portion of what is left → [`crate::Response::More`].
    Erase {
        /// The move.
        id: MoveId,
    },
    /// Target: makes room for a mailbox, hidden until it is activated.
    Arrive {
        /// Whose.
        mailbox: MailboxId,
        /// The move.
        id: MoveId,
        /// Where it comes from.
        from: GroupId,
    },
    /// Target: portions of the mailbox, all or none. Only what follows the last step; anything else is
    /// refused with [`crate::Refusal::OutOfStep`].
    Import {
        /// The move.
        id: MoveId,
        /// Number of the step, from 1.
        step: u64,
        /// The portions, in order.
        parts: Vec<Portion>,
    },
    /// Target: removes a portion of what has arrived → [`crate::Response::More`]. Not after
    /// [`MoveStep::Activate`].
    Drop {
        /// The move.
        id: MoveId,
    },
    /// Target: the mailbox is here from now on.
    Activate {
        /// The move.
        id: MoveId,
    },
}

impl MoveStep {
    /// Items that one [`MoveStep::Erase`] or [`MoveStep::Drop`] removes at most.
    pub const ERASED: usize = 2000;
    /// Most items, tombstones, folders or answers in one [`Portion`].
    pub const PORTION: usize = 500;
    /// Most deliveries in one [`Portion`].
    pub const DELIVERIES: usize = 10_000;
}

/// A portion of a mailbox.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Portion {
    /// What is true of the mailbox as a whole.
    Mailbox(MailboxState),
    /// Folders, new or changed.
    Folders(Vec<FolderState>),
    /// Folders that are no longer there.
    FoldersGone(Vec<FolderId>),
    /// Items of a folder in order of (modseq, uid), new or changed.
    Items {
        /// Where.
        folder: FolderId,
        /// The items.
        items: Vec<MovedItem>,
        /// All up to here have been carried over.
        until: Position,
        /// Bodies that the target may not have; any order.
        messages: Vec<Message>,
    },
    /// Tombstones of a folder in order; their items go.
    Tombstones {
        /// Where.
        folder: FolderId,
        /// Modseq of the removal, first and last uid.
        ranges: Vec<(ModSeq, Uid, Uid)>,
        /// All up to here have been carried over.
        until: Position,
    },
    /// The source has forgotten tombstones: only these uids are still there.
    Retain {
        /// Where.
        folder: FolderId,
        /// All uids of the folder.
        uids: UidSet,
        /// Tombstones up to this modseq need not be asked for any more.
        horizon: ModSeq,
    },
    /// Answers that the source remembers for requests about this mailbox.
    Answers {
        /// Requests with their encoded answers, in order.
        answers: Vec<(RequestId, Bytes)>,
        /// All up to this number of the source's memory have been carried over.
        until: u64,
    },
    /// Deliveries to this mailbox that must not take effect again.
    Deliveries {
        /// Their ids.
        deliveries: Vec<DeliveryId>,
    },
}

/// A place in the order of (modseq, uid).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Position {
    /// First by this,
    pub modseq: ModSeq,
    /// then by this.
    pub uid: Uid,
}

/// What is true of a mailbox as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailboxState {
    /// Limits.
    pub quota: Quota,
    /// Use.
    pub usage: Usage,
    /// Its modseq: no change has a higher one.
    pub modseq: ModSeq,
    /// UIDVALIDITY of the next folder.
    pub next_validity: u32,
}

/// A folder with what only stores need to know of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FolderState {
    /// The folder.
    pub folder: Folder,
    /// Tombstones up to this modseq are forgotten.
    pub horizon: ModSeq,
    /// Number of tombstones.
    pub tombstones: u64,
}

/// An item with all that makes it the same item elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovedItem {
    /// Its uid.
    pub uid: Uid,
    /// When it last changed.
    pub modseq: ModSeq,
    /// Its flags.
    pub flags: Flags,
    /// INTERNALDATE.
    pub received: Timestamp,
    /// Date header, seconds since the Unix epoch.
    pub sent: Option<i64>,
    /// Size in bytes.
    pub size: u32,
    /// Its body.
    pub body: BodyHash,
}

/// Reads what a move needs to know.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Export {
    /// Moves out of this store that are not finished → [`Exported::Departures`].
    Departures,
    /// How far a mailbox has arrived → [`Exported::Arrival`].
    Arrival {
        /// The move.
        id: MoveId,
    },
    /// Numbers and folders of a mailbox → [`Exported::Mailbox`].
    Mailbox {
        /// Whose.
        mailbox: MailboxId,
    },
    /// A portion of the items of a folder → [`Exported::Items`].
    Items {
        /// Whose.
        mailbox: MailboxId,
        /// Where.
        folder: FolderId,
        /// Only those behind this place.
        after: Position,
    },
    /// A portion of the tombstones of a folder → [`Exported::Tombstones`].
    Tombstones {
        /// Whose.
        mailbox: MailboxId,
        /// Where.
        folder: FolderId,
        /// Only those behind this place; the uid is the first one of a range.
        after: Position,
    },
    /// Which of these bodies the store does not have → [`Exported::Unknown`].
    Unknown {
        /// Bodies.
        bodies: Vec<BodyHash>,
    },
    /// A portion of the remembered answers → [`Exported::Answers`].
    Answers {
        /// About this mailbox.
        mailbox: MailboxId,
        /// Only those above this number.
        after: u64,
    },
    /// A portion of the remembered deliveries → [`Exported::Deliveries`].
    Deliveries {
        /// To this mailbox.
        mailbox: MailboxId,
        /// Only those with a higher id.
        after: DeliveryId,
    },
    /// Hash of all that is in these folders → [`Exported::Digests`].
    Digests {
        /// Whose.
        mailbox: MailboxId,
        /// Which.
        folders: Vec<FolderId>,
    },
}

/// Answers to [`Export`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exported {
    /// Moves that are not finished.
    Departures(Vec<Departure>),
    /// How far a mailbox has arrived.
    Arrival(Arrival),
    /// Numbers and folders of a mailbox.
    Mailbox {
        /// Numbers.
        state: MailboxState,
        /// Folders by name.
        folders: Vec<FolderState>,
    },
    /// Items in order of (modseq, uid); none: there are no more.
    Items(Vec<MovedItem>),
    /// Tombstones of a folder.
    Tombstones {
        /// Modseq, first and last uid in order.
        ranges: Vec<(ModSeq, Uid, Uid)>,
        /// Those up to this modseq are forgotten.
        horizon: ModSeq,
    },
    /// Bodies that are not here.
    Unknown(Vec<BodyHash>),
    /// Requests with encoded answers.
    Answers {
        /// In order.
        answers: Vec<(RequestId, Bytes)>,
        /// These are all up to this number.
        until: u64,
        /// There are more.
        more: bool,
    },
    /// Deliveries by id; none: there are no more.
    Deliveries(Vec<DeliveryId>),
    /// States and hashes, in the order of the folders that were asked for and exist.
    Digests(Vec<(FolderState, [u8; 32])>),
}

/// State of a mailbox that leaves a store, or left it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DepartureState {
    /// It is copied while it is used.
    Leaving,
    /// It is read, and not changed.
    Frozen,
    /// The move was given up; the target store may still have something of it.
    Abandoned,
    /// It is in the other store; something of it is still here.
    Parted,
    /// It is in the other store, and nothing of it is here.
    Gone,
    /// The move was given up and is finished.
    Closed,
    /// It was in the other store and came back since.
    Returned,
}

impl DepartureState {
    /// Whether something is left to do.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Leaving | Self::Frozen | Self::Abandoned | Self::Parted)
    }
}

/// A mailbox that leaves a store, or left it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Departure {
    /// The move.
    pub id: MoveId,
    /// Whose.
    pub mailbox: MailboxId,
    /// Where to.
    pub to: GroupId,
    /// How far.
    pub state: DepartureState,
}

/// State of a mailbox that arrives in a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ArrivalState {
    /// It is being copied.
    Arriving,
    /// What has arrived is being removed.
    Dropping,
    /// Nothing of it is here.
    Dropped,
    /// It is here and used.
    Active,
}

/// How far a mailbox has arrived.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrival {
    /// State.
    pub state: ArrivalState,
    /// Number of the last step.
    pub step: u64,
    /// Remembered answers have arrived up to this number of the source.
    pub answers: u64,
    /// Folders with the places up to which their items and tombstones have arrived.
    pub folders: Vec<(FolderId, Position, Position)>,
}
