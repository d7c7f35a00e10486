//! One move's way to its two stores and the directory: asks, and sorts out what went wrong.

use std::{sync::Arc, time::Duration};

use futures_util::stream::{self, StreamExt, TryStreamExt};
use parking_lot::Mutex;
use posthouse_cluster::{Environment, GroupId};

use super::{
    Export, Exported, Ledger, Mark, MarkError, MoveStep, Places, Progress, Standing, Wish,
};
use crate::{
    BodyHash, Call, Departure, Message, Refusal, Request, RequestId, Response, StoreError,
};

/// Bodies that are read at the same time.
const READS: usize = 8;

/// Why a move does not go on now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Halt {
    /// Somebody cannot be reached: begin again later.
    Later(String),
    /// Somebody else did a step: look again where the move is.
    Again,
    /// It cannot be done.
    Never(String),
    /// A store refused it.
    Refused(Refusal),
}

impl From<StoreError> for Halt {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Storage(_) | StoreError::Damaged(_) => Self::Never(error.to_string()),
            other => Self::Later(other.to_string()),
        }
    }
}

impl From<Refusal> for Halt {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Moving(_) => Self::Later(refusal.to_string()),
            Refusal::OutOfStep(_) | Refusal::MoveOver => Self::Again,
            other => Self::Refused(other),
        }
    }
}

impl From<MarkError> for Halt {
    fn from(error: MarkError) -> Self {
        match error {
            MarkError::Unavailable(_) => Self::Later(error.to_string()),
            MarkError::Refused(reason) => Self::Never(reason),
        }
    }
}

/// Whether this node is still the one that drives.
pub(super) type Mine = Arc<dyn Fn() -> bool + Send + Sync>;

/// See the module.
#[derive(Clone)]
pub(super) struct Link {
    pub places: Arc<dyn Places>,
    pub ledger: Arc<dyn Ledger>,
    pub env: Environment,
    pub wish: Wish,
    pub mine: Mine,
    pub progress: Arc<Mutex<Progress>>,
}

impl Link {
    pub(super) async fn ask(&self, store: GroupId, request: Request) -> Result<Response, Halt> {
        let id = RequestId(self.env.random.u128());
        let call = Call { id, at: self.env.clock.now(), request };
        match self.places.call(store, call).await? {
            Response::Refused(refusal) => Err(refusal.into()),
            answer => Ok(answer),
        }
    }

    pub(super) async fn step(&self, store: GroupId, step: MoveStep) -> Result<Response, Halt> {
        self.ask(store, Request::Moving(step)).await
    }

    /// A step at the source that answers how far the mailbox has left.
    pub(super) async fn depart(&self, step: MoveStep) -> Result<Departure, Halt> {
        match self.step(self.wish.from, step).await? {
            Response::Departure(departure) => Ok(departure),
            other => Err(unexpected(&other)),
        }
    }

    /// Repeats a step that removes a portion until nothing is left.
    pub(super) async fn clear(&self, store: GroupId, step: MoveStep) -> Result<(), Halt> {
        loop {
            match self.step(store, step.clone()).await? {
                Response::More(true) => {}
                Response::More(false) => return Ok(()),
                other => return Err(unexpected(&other)),
            }
        }
    }

    pub(super) async fn export(&self, store: GroupId, what: Export) -> Result<Exported, Halt> {
        match self.ask(store, Request::Export(what)).await? {
            Response::Exported(exported) => Ok(exported),
            other => Err(unexpected(&other)),
        }
    }

    /// Bodies from the source; `None` for one that no item of the mailbox has any more.
    pub(super) async fn bodies(
        &self,
        hashes: Vec<BodyHash>,
    ) -> Result<Vec<(BodyHash, Option<Message>)>, Halt> {
        stream::iter(hashes)
            .map(|hash| async move { Ok((hash, self.body(hash).await?)) })
            .buffered(READS)
            .try_collect()
            .await
    }

    async fn body(&self, body: BodyHash) -> Result<Option<Message>, Halt> {
        let request = Request::Body { mailbox: self.wish.mailbox, body };
        let call =
            Call { id: RequestId(self.env.random.u128()), at: self.env.clock.now(), request };
        match self.places.call(self.wish.from, call).await? {
            Response::Body(bytes) => Ok(Some(Message(bytes))),
            Response::Refused(Refusal::NotFound) => Ok(None),
            Response::Refused(refusal) => Err(refusal.into()),
            other => Err(unexpected(&other)),
        }
    }

    pub(super) async fn mark(&self, mark: Mark) -> Result<Standing, Halt> {
        Ok(self.ledger.mark(self.wish.id, mark).await?)
    }

    /// Whether to go on: called between portions.
    pub(super) fn check(&self) -> Result<(), Halt> {
        if !(self.mine)() {
            return Err(Halt::Later("the store is led by another node now".into()));
        }
        match self.ledger.standing(self.wish.id) {
            Standing::Wanted | Standing::Unknown => Ok(()),
            _ => Err(Halt::Again),
        }
    }

    pub(super) fn note(&self, change: impl FnOnce(&mut Progress)) {
        change(&mut self.progress.lock());
    }

    pub(super) fn now(&self) -> Duration {
        self.env.clock.monotonic()
    }
}

pub(super) fn unexpected(answer: &Response) -> Halt {
    tracing::error!(target: "error", ?answer, "a store answered a step of a move with something else");
    Halt::Never("a store gave an answer of another kind".into())
}
