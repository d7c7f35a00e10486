//! Tests of the state machine and the reads on it, without a group around them.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod changing;
mod deliveries;
mod model;
mod moving;
mod mutated;
mod reading;

use bytes::Bytes;
use posthouse_cluster::{Applied, Command as Entry, Environment, GroupId, StateMachine, Timestamp};
use rusqlite::Connection;
use tempfile::TempDir;
use tokio::sync::broadcast;
use uuid::Uuid;

use crate::{
    Call, Event, Flags, Folder, FolderId, Item, LocalRecipient, MailboxId, Message, NewItem, Parts,
    Query, Quota, RelayRecipient, Request, RequestId, Response, Uid, UidSet,
    bodylog::BodyLog,
    command::decode_answer,
    machine::StoreMachine,
    outcome::settle,
    prepare::{PrepareError, prepare},
    read::{self, UidCache},
    store::query::{from_index, load},
};

pub(crate) const ADA: MailboxId = MailboxId(Uuid::from_u128(0xada));
pub(crate) const BOB: MailboxId = MailboxId(Uuid::from_u128(0xb0b));
pub(crate) const ALL: (Uid, Uid) = (1, Uid::MAX);

/// A state machine on disk, driven by hand.
pub(crate) struct Bench {
    pub machine: StoreMachine,
    pub bodies: BodyLog,
    pub events: broadcast::Receiver<Event>,
    reader: Connection,
    cache: UidCache,
    index: u64,
    requests: u128,
    pub now: Timestamp,
    store: GroupId,
    pub folder: TempDir,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::of_store(1)
    }

    /// Of a store with this number.
    pub(crate) fn of_store(store: u64) -> Self {
        Self::open(tempfile::tempdir().unwrap(), 0, GroupId(store))
    }

    /// With Ada's mailbox.
    pub(crate) fn with_ada() -> Self {
        let mut bench = Self::new();
        bench.done(Request::CreateMailbox { mailbox: ADA, quota: Quota::default() });
        bench
    }

    fn open(folder: TempDir, requests: u128, store: GroupId) -> Self {
        let bodies = BodyLog::open(Environment::real(), folder.path()).unwrap();
        let (sender, events) = broadcast::channel(100_000);
        let mut machine = StoreMachine::open(folder.path(), bodies.clone(), sender, store).unwrap();
        let index = machine.applied().unwrap().map_or(0, |applied| applied.index);
        let reader = Connection::open(machine.path()).unwrap();
        let (cache, now) = (UidCache::default(), Timestamp(1_700_000_000_000));
        Self { machine, bodies, events, reader, cache, index, requests, now, store, folder }
    }

    /// Closes and opens everything.
    pub(crate) fn restart(self) -> Self {
        let Self { machine, folder, requests, store, .. } = self;
        drop(machine);
        Self::open(folder, requests, store)
    }

    pub(crate) fn request(&mut self, request: Request) -> Response {
        self.requests += 1;
        let id = RequestId(self.requests);
        self.call(Call { id, at: self.now, request })
    }

    pub(crate) fn call(&mut self, call: Call) -> Response {
        if !call.request.is_change() {
            return self.read(call.request);
        }
        let prepared = match prepare(call) {
            Ok(prepared) => prepared,
            Err(PrepareError::Refused(refusal)) => return Response::Refused(refusal),
            Err(PrepareError::Encoding(text)) => panic!("{text}"),
        };
        for (hash, body) in prepared.staged {
            // on a thread of its own: a test may be within a runtime
            let bodies = &self.bodies;
            std::thread::scope(|scope| scope.spawn(|| bodies.stage(hash, body)).join())
                .unwrap()
                .unwrap();
        }
        self.apply(vec![prepared.command]).remove(0)
    }

    /// Applies encoded commands as one batch.
    pub(crate) fn apply(&mut self, commands: Vec<Bytes>) -> Vec<Response> {
        let batch: Vec<_> = commands
            .into_iter()
            .map(|data| {
                self.index += 1;
                Entry { index: self.index, data }
            })
            .collect();
        let applied = Applied { index: self.index, opaque: Vec::new() };
        let answers = self.machine.apply(&batch, &applied).unwrap();
        answers.iter().map(|answer| decode_answer(answer).unwrap()).collect()
    }

    fn read(&mut self, request: Request) -> Response {
        let db = &self.reader;
        let stored = match request {
            Request::Body { mailbox, body } => read::body(db, mailbox, body),
            Request::SpoolBody { id } => read::spool_body(db, id),
            Request::Search { mailbox, folder, query } => {
                return self.search(mailbox, folder, &query);
            }
            other => return settle(from_index(db, &self.cache, other)).unwrap(),
        };
        let answer = stored.map(|stored| Response::Body(load(&self.bodies, stored).unwrap()));
        settle(answer).unwrap()
    }

    fn search(&self, mailbox: MailboxId, folder: FolderId, query: &Query) -> Response {
        let search = || {
            let folder = read::folder(&self.reader, mailbox, folder)?;
            let read::Candidates { mut found, open } =
                read::candidates(&self.reader, &folder, query)?;
            for uid in open {
                let (item, stored) = read::open_item(&self.reader, &folder, uid)?.unwrap();
                let message = load(&self.bodies, stored).unwrap();
                if read::examine(query, &item, &message) {
                    found.push((item.uid, item.modseq));
                }
            }
            let modseq = found.iter().map(|(_, modseq)| *modseq).max().unwrap_or(0);
            let uids = UidSet::from_uids(found.into_iter().map(|(uid, _)| uid));
            Ok(Response::Found { uids, modseq })
        };
        settle(search()).unwrap()
    }

    pub(crate) fn done(&mut self, request: Request) {
        let answer = self.request(request);
        assert!(!matches!(answer, Response::Refused(_)), "{answer:?}");
    }

    pub(crate) fn folder(&mut self, mailbox: MailboxId, name: &str) -> Folder {
        match self.request(Request::Folder { mailbox, name: name.into() }) {
            Response::Folder(folder) => folder,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn append(
        &mut self,
        mailbox: MailboxId,
        folder: &str,
        messages: &[&str],
    ) -> Vec<Uid> {
        let messages = messages.iter().map(|text| new_item(text.as_bytes(), 0, &[])).collect();
        match self.request(Request::Append { mailbox, folder: folder.into(), messages }) {
            Response::Appended { uids, .. } => uids,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn items(&mut self, mailbox: MailboxId, folder: FolderId) -> Vec<Item> {
        let uids = UidSet(vec![ALL]);
        let parts = Parts::default();
        match self.request(Request::Items { mailbox, folder, uids, parts, changed_since: 0 }) {
            Response::Items { items, more: false } => items,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn uids(&mut self, mailbox: MailboxId, folder: FolderId) -> Vec<Uid> {
        match self.request(Request::Uids { mailbox, folder }) {
            Response::Uids { uids, .. } => uids.iter().collect(),
            other => panic!("{other:?}"),
        }
    }

    /// Number of rows of a table.
    pub(crate) fn rows(&self, table: &str) -> i64 {
        self.reader
            .query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))
            .unwrap()
    }

    pub(crate) fn reader(&self) -> &Connection {
        &self.reader
    }
}

pub(crate) fn new_item(message: &[u8], system: u8, keywords: &[&str]) -> NewItem {
    NewItem {
        message: Message(Bytes::copy_from_slice(message)),
        flags: flags(system, keywords),
        received: Timestamp(1_700_000_000_000),
    }
}

pub(crate) fn flags(system: u8, keywords: &[&str]) -> Flags {
    Flags { system, keywords: keywords.iter().map(|word| word.to_string()).collect() }
}

pub(crate) fn set(uids: &[Uid]) -> UidSet {
    UidSet::from_uids(uids.iter().copied())
}

pub(crate) fn envelope(sender: &str) -> crate::Envelope {
    crate::Envelope {
        sender: sender.into(),
        envelope_id: None,
        return_full: false,
        eight_bit: false,
        utf8: false,
    }
}

pub(crate) fn local(mailbox: MailboxId) -> LocalRecipient {
    LocalRecipient { mailbox, address: "someone@example.test".into() }
}

pub(crate) fn relay(address: &str) -> RelayRecipient {
    RelayRecipient { address: address.into(), original: None, notify: 6 }
}

pub(crate) fn deliver(
    local: Vec<LocalRecipient>,
    relay: Vec<RelayRecipient>,
    text: &str,
) -> Request {
    let message = Message(Bytes::copy_from_slice(text.as_bytes()));
    Request::Deliver { envelope: envelope("from@example.test"), local, relay, message }
}
