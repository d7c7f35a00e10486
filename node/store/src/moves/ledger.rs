//! What the driver of moves is handed in: where stores are reached, and what the directory says.

use posthouse_cluster::{GroupId, env::BoxFuture};

use super::MoveId;
use crate::{Call, MailboxId, Response, StoreError, Stores};

/// A move that somebody asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish {
    /// The move.
    pub id: MoveId,
    /// Whose mailbox.
    pub mailbox: MailboxId,
    /// From which store.
    pub from: GroupId,
    /// To which store.
    pub to: GroupId,
}

/// What the directory says of a move. It goes from `Wanted` to `Moved`, or over `Ending` to `Ended`, and
/// never back: that is what makes [`Standing::Moved`] the point at which the mailbox changes its store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing: it was asked for a moment ago, or is over for long.
    Unknown,
    /// The mailbox is to be moved (waiting, running, switching).
    Wanted,
    /// It is to end without a switch.
    Ending,
    /// It has ended without a switch.
    Ended,
    /// The mailbox is in the new store.
    Moved,
}

/// What the driver tells the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mark {
    /// The mailbox is being copied.
    Running,
    /// The last changes are about to be carried over.
    Switching,
    /// The mailbox is in the new store from now on. Only follows `Switching`.
    Moved,
    /// It has to end without a switch.
    Ending,
    /// It has ended, and nothing is left of it in the target.
    Ended,
    /// The same, for this reason.
    Failed(String),
}

/// Why a mark was not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MarkError {
    /// No majority of the domain can be reached: it may have been made or not. May be repeated.
    #[error("the directory cannot be changed at the moment: {0}")]
    Unavailable(String),
    /// It cannot be made at all, such as when the target store is gone.
    #[error("{0}")]
    Refused(String),
}

/// The directory's part in moves.
pub trait Ledger: Send + Sync + 'static {
    /// Moves that are not over, in the order in which they were asked for. From memory.
    fn wishes(&self) -> Vec<Wish>;

    /// What is known here of a move; may lag behind. From memory.
    fn standing(&self, id: MoveId) -> Standing;

    /// Tells the directory, and returns what it says of the move afterwards: one of the states is agreed on
    /// by all nodes, whoever marks at the same time. A mark that has been made already, or that the
    /// state does not allow any more, changes nothing. Made and refused marks both come back as the state.
    fn mark(&self, id: MoveId, mark: Mark) -> BoxFuture<Result<Standing, MarkError>>;
}

/// The stores that moves go between.
pub trait Places: Send + Sync + 'static {
    /// Does what is asked in that store, wherever it is led.
    fn call(&self, store: GroupId, call: Call) -> BoxFuture<Result<Response, StoreError>>;
}

impl Places for Stores {
    fn call(&self, store: GroupId, call: Call) -> BoxFuture<Result<Response, StoreError>> {
        let stores = self.clone();
        Box::pin(async move { stores.call_in(store, call).await })
    }
}
