//! What must be in the store.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use posthouse_store::{
    Flags, Item, MailboxId, Parts, Request, Response, SpoolId, Store, Uid, UidSet,
};

use super::{Action, Op, WRITERS, folder, mailbox, writer::Said};

/// All that was begun and acknowledged so far.
#[derive(Clone, Default)]
pub(crate) struct Model {
    pub(crate) done: HashSet<Op>,
    pub(crate) pending: Vec<Op>,
    /// Which message is under which uid of a writer's INBOX.
    uids: HashMap<(u64, Uid), u64>,
    pub(crate) next: u64,
}

/// A message by its writer and number.
type Name = (u64, u64);

impl Model {
    pub(crate) fn hear(&mut self, said: impl IntoIterator<Item = Said>) {
        for line in said {
            match line {
                Said::Ready => {}
                Said::Begun(op) => {
                    self.next = self.next.max(op.number + 1);
                    if !self.pending.contains(&op) {
                        self.pending.push(op);
                    }
                }
                Said::Done(op, uid) => {
                    self.pending.retain(|other| *other != op);
                    self.done.insert(op);
                    if uid > 0 {
                        self.uids.insert((op.writer, uid), op.number);
                    }
                }
            }
        }
    }

    /// For [`super::writer::PENDING`].
    pub(crate) fn pending_text(&self) -> String {
        self.pending.iter().map(Op::to_string).collect::<Vec<_>>().join(";")
    }

    /// Messages that must be in a mailbox, and those that may.
    fn messages(&self, writer: u64) -> (HashSet<Name>, HashSet<Name>) {
        let of = |ops: &mut dyn Iterator<Item = &Op>| {
            ops.filter(|op| match op.action {
                Action::Small | Action::Large => op.writer == writer,
                Action::Deliver => op.writer == writer || (op.writer + 1) % WRITERS == writer,
                _ => false,
            })
            .map(|op| (op.writer, op.number))
            .collect()
        };
        (of(&mut self.done.iter()), of(&mut self.pending.iter()))
    }

    /// The message that an operation on an item concerns.
    fn target(&self, op: &Op) -> Option<Name> {
        let (Action::Flag(uid) | Action::Move(uid)) = op.action else { return None };
        self.uids.get(&(op.writer, uid)).map(|number| (op.writer, *number))
    }

    /// Compares with the store; the first difference is the error.
    pub(crate) async fn check(&self, store: &Store, known: &mut Known) -> Result<(), String> {
        for writer in 0..WRITERS {
            self.check_mailbox(store, writer, known)
                .await
                .map_err(|e| format!("w{writer}: {e}"))?;
        }
        self.check_spool(store).await
    }

    async fn check_mailbox(
        &self,
        store: &Store,
        writer: u64,
        known: &mut Known,
    ) -> Result<(), String> {
        let mut found = BTreeMap::<Name, (&str, Flags)>::new();
        for name in ["INBOX", "Archive"] {
            for item in items(store, writer, name).await? {
                let message = known.name(store, mailbox(writer), &item).await?;
                if found.insert(message, (name, item.flags)).is_some() {
                    return Err(format!("{message:?} is there twice"));
                }
            }
        }
        let (must, may) = self.messages(writer);
        if let Some(lost) = must.iter().find(|name| !found.contains_key(name)) {
            return Err(format!("{lost:?} was acknowledged and is lost"));
        }
        if let Some(more) = found.keys().find(|name| !must.contains(name) && !may.contains(name)) {
            return Err(format!("{more:?} is there and nobody put it there"));
        }
        self.check_changes(writer, &found)
    }

    fn check_changes(
        &self,
        writer: u64,
        found: &BTreeMap<Name, (&str, Flags)>,
    ) -> Result<(), String> {
        let mut moved = HashSet::new();
        let mut may_move = HashSet::new();
        for op in self.done.iter().filter(|op| op.writer == writer) {
            let Some(target) = self.target(op) else { continue };
            let Some((_, flags)) = found.get(&target) else { continue };
            match op.action {
                Action::Flag(_) if !flags.keywords.contains(&op.keyword()) => {
                    return Err(format!("{op}: the keyword is lost"));
                }
                Action::Move(_) => drop(moved.insert(target)),
                _ => {}
            }
        }
        may_move.extend(self.pending.iter().filter_map(|op| self.target(op)));
        for (name, (place, _)) in found {
            let expected = if moved.contains(name) { "Archive" } else { "INBOX" };
            if *place != expected && !may_move.contains(name) {
                return Err(format!("{name:?} is in {place}"));
            }
        }
        Ok(())
    }

    async fn check_spool(&self, store: &Store) -> Result<(), String> {
        let mut after = SpoolId(0);
        let mut found = BTreeSet::new();
        loop {
            let request = Request::Spool { after, limit: 1000, due: None };
            let Ok(Response::Spool(entries)) = store.request(request).await else {
                return Err("no spool".into());
            };
            let Some(last) = entries.last() else { break };
            after = last.id;
            for entry in entries {
                if !found.insert(entry.envelope.envelope_id.clone().unwrap_or_default()) {
                    return Err(format!("spool entry {:?} is there twice", entry.id));
                }
            }
        }
        let names = |ops: &mut dyn Iterator<Item = &Op>| -> BTreeSet<String> {
            ops.filter(|op| op.action == Action::Deliver)
                .map(|op| format!("{}/{}", op.writer, op.number))
                .collect()
        };
        let (must, may) = (names(&mut self.done.iter()), names(&mut self.pending.iter()));
        if let Some(lost) = must.difference(&found).next() {
            return Err(format!("spool entry {lost} is lost"));
        }
        match found.iter().find(|name| !must.contains(*name) && !may.contains(*name)) {
            Some(more) => Err(format!("spool entry {more} was put there by nobody")),
            None => Ok(()),
        }
    }
}

/// Messages that were read and verified before.
#[derive(Default)]
pub(crate) struct Known(HashMap<[u8; 32], Name>);

impl Known {
    /// The name of an item's message: read, and compared byte for byte, the first time.
    async fn name(
        &mut self,
        store: &Store,
        mailbox: MailboxId,
        item: &Item,
    ) -> Result<Name, String> {
        if let Some(name) = self.0.get(&item.body.0) {
            return Ok(*name);
        }
        let body = match store.request(Request::Body { mailbox, body: item.body }).await {
            Ok(Response::Body(body)) => body,
            other => return Err(format!("uid {}: {other:?}", item.uid)),
        };
        let name = name_of(&body).ok_or("a message that nobody wrote")?;
        let same = [Action::Small, Action::Large, Action::Deliver].iter().any(|action| {
            let op = Op { writer: name.0, number: name.1, action: *action };
            op.message() == body[..]
        });
        if !same || body.len() != item.size as usize {
            return Err(format!("message {name:?} is not what was written"));
        }
        self.0.insert(item.body.0, name);
        Ok(name)
    }
}

fn name_of(body: &[u8]) -> Option<Name> {
    let line = body.split(|byte| *byte == b'\r').next()?;
    let (writer, number) =
        std::str::from_utf8(line).ok()?.strip_prefix("Subject: ")?.split_once('/')?;
    Some((writer.parse().ok()?, number.parse().ok()?))
}

/// All items of a folder, its counters compared with them.
async fn items(store: &Store, writer: u64, name: &str) -> Result<Vec<Item>, String> {
    let row = folder(store, writer, name).await?;
    let mut all: Vec<Item> = Vec::new();
    loop {
        let first = all.last().map_or(1, |item| item.uid + 1);
        let request = Request::Items {
            mailbox: mailbox(writer),
            folder: row.id,
            uids: UidSet(vec![(first, Uid::MAX)]),
            parts: Parts::default(),
            changed_since: 0,
        };
        match store.request(request).await {
            Ok(Response::Items { items, more }) => {
                all.extend(items);
                if !more {
                    break;
                }
            }
            other => return Err(format!("{name}: {other:?}")),
        }
    }
    let unseen = all.iter().filter(|item| item.flags.system & Flags::SEEN == 0).count();
    let size: u64 = all.iter().map(|item| u64::from(item.size)).sum();
    let top = all.last().map_or(0, |item| item.uid);
    let counted = (all.len(), unseen, size);
    if counted != (row.exists as usize, row.unseen as usize, row.size) || row.uid_next <= top {
        return Err(format!("{name}: counters {row:?} but counted {counted:?}"));
    }
    Ok(all)
}
