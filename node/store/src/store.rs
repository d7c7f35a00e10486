//! The handle that protocols use.

use std::path::PathBuf;

use posthouse_cluster::{GroupId, Node};
use tokio::sync::broadcast;

use crate::{Call, Event, Request, Response, StoreError};

/// How to open a store.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Its group.
    pub group: GroupId,
    /// Its folder: database and body log.
    pub folder: PathBuf,
    /// If new: this node is its only member.
    pub bootstrap: bool,
    /// Threads that read the index.
    pub readers: usize,
}

/// A store on this node. Cheap to clone.
#[derive(Clone)]
pub struct Store {}

impl Store {
    /// Bodies up to this size in bytes travel inside the command.
    pub const INLINE_BODY: usize = 16 * 1024;
    /// Largest message in bytes that a store takes; settings may lower it per protocol.
    pub const MAX_MESSAGE: usize = 256 << 20;

    /// Opens the store and starts its group.
    pub async fn open(
        node: &Node,
        options: StoreOptions,
    ) -> Result<Self, posthouse_cluster::OpenError> {
        let _ = (node, options);
        unimplemented!()
    }

    /// Does what is asked. A changing request is answered after a majority has it on disk.
    pub async fn call(&self, call: Call) -> Result<Response, StoreError> {
        let _ = call;
        unimplemented!()
    }

    /// [`Store::call`] with a fresh request id and the present time.
    pub async fn request(&self, request: Request) -> Result<Response, StoreError> {
        let _ = request;
        unimplemented!()
    }

    /// Change events of all mailboxes of this store, from now on. A receiver that lags sees
    /// `RecvError::Lagged` and must ask for changes of everything it watches.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        unimplemented!()
    }
}
