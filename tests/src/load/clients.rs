//! The clients, each on a thread of its own.

use std::{collections::VecDeque, sync::PoisonError};

use super::{
    Endpoint, Register, SETTING, SETTING_EMPTY, Shared,
    content::{LARGE, message},
    mailbox, refused, register_name, send_one, setting_register,
};
use crate::ledger::{Op, Outcome};

/// Which client this is, in all and among those of its kind.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub client: u32,
    pub number: usize,
}

/// Writes of a register before another message is taken.
const WRITES: u64 = 200;
/// Messages of its own that an appender keeps before it expunges the oldest.
const KEPT: usize = 12;

/// A connection to some node that is kept while it works.
struct Kept<T> {
    node: usize,
    open: Option<T>,
}

impl<T> Kept<T> {
    fn new(place: Place, shared: &Shared) -> Self {
        Self { node: place.number % shared.count() + 1, open: None }
    }

    /// The connection, opened if need be; none if that failed, and the next node is tried next time.
    fn get(
        &mut self,
        shared: &Shared,
        open: impl FnOnce(&Endpoint) -> anyhow::Result<T>,
    ) -> Option<(usize, &mut T)> {
        if self.open.is_none() {
            self.open = shared.endpoint(self.node).and_then(|endpoint| open(&endpoint).ok());
        }
        if self.open.is_none() {
            self.drop(shared);
        }
        self.open.as_mut().map(|open| (self.node, open))
    }

    fn drop(&mut self, shared: &Shared) {
        self.open = None;
        self.node = self.node % shared.count() + 1;
    }
}

fn rest(shared: &Shared) {
    std::thread::sleep(shared.options.rest);
}

fn id(shared: &Shared) -> String {
    let number = shared.next();
    let every = shared.options.large_every;
    let large = if every > 0 && number % every == every - 1 { LARGE } else { "" };
    format!("{}-{number}{large}", shared.options.tag)
}

pub(super) fn send(shared: &Shared, place: Place) {
    let mut kept = Kept::new(place, shared);
    let patience = shared.options.patience;
    while !shared.stopped() {
        let mailboxes = &shared.options.mailboxes;
        let number = shared.next() as usize;
        if let Some((node, smtp)) = kept.get(shared, |endpoint| endpoint.smtp(patience)) {
            let mailbox = &mailboxes[number % mailboxes.len()];
            let id = id(shared);
            let (_, again) = send_one(&shared.ledger, place.client, node, smtp, mailbox, &id);
            // now and then another node
            if !again || number.is_multiple_of(17) {
                kept.drop(shared);
            }
        }
        rest(shared);
    }
}

pub(super) fn append(shared: &Shared, place: Place) {
    let mailboxes = &shared.options.mailboxes;
    let mailbox = &mailboxes[place.number % mailboxes.len()];
    let mut kept = Kept::new(place, shared);
    let mut mine: VecDeque<u32> = VecDeque::new();
    while !shared.stopped() {
        let open = |endpoint: &Endpoint| {
            let mut imap = endpoint.imap(mailbox, shared.options.patience)?;
            imap.ok("SELECT INBOX")?;
            Ok(imap)
        };
        if let Some((node, imap)) = kept.get(shared, open) {
            let oldest = (mine.len() >= KEPT).then(|| mine.pop_front()).flatten();
            let op = match oldest {
                Some(uid) => Op::Expunge { mailbox: mailbox.clone(), uid },
                None => Op::Append { mailbox: mailbox.clone(), id: id(shared) },
            };
            let act = || {
                let done = match &op {
                    Op::Expunge { uid, .. } => mailbox::expunge(imap, *uid),
                    Op::Append { id, .. } => mailbox::append(imap, &message(id)),
                    _ => return Outcome::Done,
                };
                done.unwrap_or_else(|error| Outcome::Unknown(format!("{error:#}")))
            };
            match shared.ledger.record(place.client, node, op.clone(), act) {
                Outcome::Placed(_, uid) => mine.push_back(uid),
                Outcome::Done => {}
                _ => kept.drop(shared),
            }
        }
        rest(shared);
    }
}

pub(super) fn read(shared: &Shared, place: Place) {
    let mailboxes = &shared.options.mailboxes;
    let mailbox = &mailboxes[place.number % mailboxes.len()];
    let mut kept = Kept::new(place, shared);
    let (mut from, mut times) = (1, 0_u32);
    while !shared.stopped() {
        let open = |endpoint: &Endpoint| endpoint.imap(mailbox, shared.options.patience);
        if let Some((node, imap)) = kept.get(shared, open) {
            let op = Op::List { mailbox: mailbox.clone(), from };
            let act = || match mailbox::view(imap, from) {
                Ok(view) => Outcome::Seen(view),
                Err(error) => {
                    let text = format!("{error:#}");
                    if text.contains("t NO") { refused(true, text) } else { Outcome::Unknown(text) }
                }
            };
            match shared.ledger.record(place.client, node, op, act) {
                Outcome::Seen(view) => {
                    from = view.messages.keys().last().map_or(from, |last| last + 1);
                }
                _ => kept.drop(shared),
            }
            times += 1;
            if times.is_multiple_of(7) {
                kept.drop(shared);
            }
        }
        rest(shared);
    }
}

/// The register that all flaggers use at the moment; a new one if it is used up.
fn register(
    shared: &Shared,
    place: Place,
    node: usize,
    imap: &mut crate::wire::Imap,
) -> Option<Register> {
    let mut slot = shared.register.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(register) = slot.as_mut().filter(|register| register.written < WRITES) {
        register.written += 1;
        return Some(register.clone());
    }
    let mailbox = &shared.options.mailboxes[0];
    let id = id(shared);
    let op = Op::Append { mailbox: mailbox.clone(), id: id.clone() };
    let act = || {
        let done = mailbox::append(imap, &message(&id));
        done.unwrap_or_else(|error| Outcome::Unknown(format!("{error:#}")))
    };
    let Outcome::Placed(_, uid) = shared.ledger.record(place.client, node, op, act) else {
        return None;
    };
    let name = register_name(mailbox, uid);
    *slot = Some(Register { uid, name, written: 1 });
    slot.clone()
}

pub(super) fn flag(shared: &Shared, place: Place) {
    let mailbox = &shared.options.mailboxes[0];
    let mut kept = Kept::new(place, shared);
    let mut turn = place.number;
    while !shared.stopped() {
        let open = |endpoint: &Endpoint| {
            let mut imap = endpoint.imap(mailbox, shared.options.patience)?;
            imap.ok("SELECT INBOX")?;
            Ok(imap)
        };
        if let Some((node, imap)) = kept.get(shared, open) {
            turn += 1;
            let Some(Register { uid, name: register, written }) =
                self::register(shared, place, node, imap)
            else {
                kept.drop(shared);
                continue;
            };
            let op = if turn.is_multiple_of(3) {
                Op::Write { register, value: written }
            } else {
                Op::Read { register }
            };
            let act = || {
                let done = match &op {
                    Op::Write { value, .. } => mailbox::write(imap, uid, *value),
                    _ => mailbox::read(imap, uid),
                };
                done.unwrap_or_else(|error| Outcome::Unknown(format!("{error:#}")))
            };
            if !shared.ledger.record(place.client, node, op.clone(), act).is_done() {
                kept.drop(shared);
            }
        }
        rest(shared);
    }
}

pub(super) fn set(shared: &Shared, place: Place) {
    let mut kept = Kept::new(place, shared);
    let mut turn = place.number;
    while !shared.stopped() {
        if let Some((node, web)) =
            kept.get(shared, |endpoint| endpoint.web(shared.options.patience))
        {
            turn += 1;
            let register = setting_register();
            let op = if turn.is_multiple_of(3) {
                Op::Write { register, value: shared.next() + 1 }
            } else {
                Op::Read { register }
            };
            let act = || match &op {
                Op::Write { value, .. } => match web.set(SETTING, SETTING_EMPTY + value) {
                    Ok((200, _)) => Outcome::Done,
                    // only what was said to be not done is known not to be
                    Ok((status @ 400..500, text)) => Outcome::Permanent(format!("{status} {text}")),
                    Ok((status, text)) => Outcome::Temporary(format!("{status} {text}")),
                    Err(error) => Outcome::Unknown(format!("{error:#}")),
                },
                _ => match web.setting(SETTING) {
                    Ok(value) => Outcome::Value(value.saturating_sub(SETTING_EMPTY)),
                    Err(error) => Outcome::Unknown(format!("{error:#}")),
                },
            };
            if !shared.ledger.record(place.client, node, op.clone(), act).is_done()
                || turn.is_multiple_of(11)
            {
                kept.drop(shared);
            }
        }
        rest(shared);
        rest(shared);
    }
}
