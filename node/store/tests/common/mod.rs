//! Writers that say what they do, and what must be there of it afterwards.
#![allow(dead_code, reason = "each test uses its part")]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

pub(crate) mod disk;
pub(crate) mod model;
pub(crate) mod writer;

use std::path::Path;

use bytes::Bytes;
use posthouse_cluster::{Environment, GroupId, Node, NodeId, NodeOptions, OpenError, Timestamp};
use posthouse_store::{
    Call, Envelope, FlagChange, Flags, Folder, LocalRecipient, MailboxId, Message, NewItem,
    RelayRecipient, Request, RequestId, Response, Store, StoreOptions, UidSet,
};
use uuid::Uuid;

/// Number of writers, each with a mailbox.
pub(crate) const WRITERS: u64 = 4;

pub(crate) fn mailbox(writer: u64) -> MailboxId {
    MailboxId(Uuid::from_u128(u128::from(writer) + 1))
}

/// Opens node and store under `folder`.
pub(crate) async fn open(env: Environment, folder: &Path) -> Result<(Node, Store), OpenError> {
    let options = NodeOptions::alone(NodeId(1), folder.join("log"));
    let node = Node::open(env, options).await?;
    let options = StoreOptions {
        group: GroupId(1),
        folder: folder.join("store"),
        bootstrap: true,
        readers: 2,
    };
    let store = Store::open(&node, options).await?;
    Ok((node, store))
}

/// What a writer does; written and read as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    /// Append a small message.
    Small,
    /// Append one that goes to the body log.
    Large,
    /// Deliver to two mailboxes and the spool.
    Deliver,
    /// Set a keyword on an item of the INBOX.
    Flag(u32),
    /// Move an item of the INBOX to Archive.
    Move(u32),
    /// Checkpoint the group.
    Checkpoint,
}

/// An action of a writer with its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Op {
    pub(crate) writer: u64,
    pub(crate) number: u64,
    pub(crate) action: Action,
}

impl std::fmt::Display for Op {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (name, uid) = match self.action {
            Action::Small => ("small", 0),
            Action::Large => ("large", 0),
            Action::Deliver => ("deliver", 0),
            Action::Flag(uid) => ("flag", uid),
            Action::Move(uid) => ("move", uid),
            Action::Checkpoint => ("checkpoint", 0),
        };
        write!(f, "{} {} {name} {uid}", self.writer, self.number)
    }
}

impl Op {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let writer = words.next()?.parse().ok()?;
        let number = words.next()?.parse().ok()?;
        let name = words.next()?;
        let uid = words.next()?.parse().ok()?;
        let action = match name {
            "small" => Action::Small,
            "large" => Action::Large,
            "deliver" => Action::Deliver,
            "flag" => Action::Flag(uid),
            "move" => Action::Move(uid),
            "checkpoint" => Action::Checkpoint,
            _ => return None,
        };
        Some(Self { writer, number, action })
    }

    /// The message that it stores, which names it.
    pub(crate) fn message(&self) -> Vec<u8> {
        let length = match self.action {
            Action::Large => Store::INLINE_BODY + 1000 + (self.number as usize * 7919) % 40_000,
            Action::Deliver if self.number.is_multiple_of(2) => 20_000,
            _ => 200,
        };
        let mut text = format!("Subject: {}/{}\r\n\r\n", self.writer, self.number).into_bytes();
        text.resize(length, b'x');
        text
    }

    /// The call; the same each time.
    pub(crate) fn call(&self) -> Call {
        let mailbox = mailbox(self.writer);
        let message = Message(Bytes::from(self.message()));
        let request = match self.action {
            Action::Small | Action::Large | Action::Checkpoint => Request::Append {
                mailbox,
                folder: "INBOX".into(),
                messages: vec![NewItem {
                    message,
                    flags: Flags::default(),
                    received: Timestamp(self.number),
                }],
            },
            Action::Deliver => Request::Deliver {
                envelope: Envelope {
                    sender: "from@example.test".into(),
                    envelope_id: Some(format!("{}/{}", self.writer, self.number)),
                    return_full: false,
                    eight_bit: false,
                    utf8: false,
                },
                local: [self.writer, (self.writer + 1) % WRITERS]
                    .map(|writer| LocalRecipient {
                        mailbox: self::mailbox(writer),
                        address: format!("w{writer}@example.test"),
                    })
                    .to_vec(),
                relay: vec![RelayRecipient {
                    address: "far@example.net".into(),
                    original: None,
                    notify: 6,
                }],
                message,
            },
            Action::Flag(uid) => Request::SetFlags {
                mailbox,
                folder: inbox(self.writer),
                uids: UidSet::from_uids([uid]),
                change: FlagChange::Add,
                flags: Flags { system: Flags::SEEN, keywords: vec![self.keyword()] },
                unchanged_since: None,
            },
            Action::Move(uid) => Request::Move {
                mailbox,
                folder: inbox(self.writer),
                uids: UidSet::from_uids([uid]),
                to: "Archive".into(),
            },
        };
        let id = RequestId((u128::from(self.writer) << 64) | u128::from(self.number) | (1 << 100));
        Call { id, at: Timestamp(1_700_000_000_000 + self.number), request }
    }

    pub(crate) fn keyword(&self) -> String {
        format!("k{}", self.number)
    }
}

/// Mailboxes are made in order, so the ids of their INBOXes are known.
pub(crate) fn inbox(writer: u64) -> posthouse_store::FolderId {
    posthouse_store::FolderId(writer * 6 + 1)
}

pub(crate) async fn folder(store: &Store, writer: u64, name: &str) -> Result<Folder, String> {
    let request = Request::Folder { mailbox: mailbox(writer), name: name.into() };
    match store.request(request).await {
        Ok(Response::Folder(folder)) => Ok(folder),
        other => Err(format!("{name}: {other:?}")),
    }
}
