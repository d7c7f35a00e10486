//! A client that changes its mailbox all the time, wherever it is, beside one whose mailbox never moves: both
//! must get the same answers and see the same in the end.

use std::collections::BTreeMap;

use rand::{Rng, SeedableRng, rngs::StdRng};

use super::{
    world::{Inner, World},
    *,
};
use crate::{DeliveryId, FlagChange, FolderUse, Refusal};

/// The same mailbox in a store of its own, and what is under way.
pub(crate) struct Client {
    random: StdRng,
    still: Bench,
    mailbox: MailboxId,
    number: u128,
    /// Sent, and refused for the moment.
    pending: Option<(Call, Call)>,
    /// Changes that were answered, with the answer: now and then one of them comes again.
    answered: Vec<(Call, Response)>,
    /// Deliveries that took effect; they come again under other requests.
    delivered: Vec<(DeliveryId, String)>,
    names: BTreeMap<FolderId, String>,
    /// Changes that may be begun.
    pub left: usize,
}

impl Client {
    pub(crate) fn new(world: &World, seed: u64, mailbox: MailboxId) -> Self {
        let mut still = Bench::new();
        let quota = Quota { bytes: Some(50 << 20), items: None };
        // as in the world, so that ids of folders begin alike
        still.done(Request::CreateMailbox { mailbox: ADA, quota });
        still.done(Request::CreateMailbox { mailbox: BOB, quota });
        let mut client = Self {
            random: StdRng::seed_from_u64(seed),
            still,
            mailbox,
            number: u128::from(seed) << 80 | 1 << 72,
            pending: None,
            answered: Vec::new(),
            delivered: Vec::new(),
            names: BTreeMap::new(),
            left: usize::MAX,
        };
        world.with(|inner| {
            for _ in 0..20 {
                client.step(inner);
            }
        });
        client
    }

    /// One change, or another try of the last one.
    pub(crate) fn step(&mut self, inner: &mut Inner) {
        let pending = self.pending.take().or_else(|| self.invent(inner));
        let Some((call, still)) = pending else { return };
        let answer = self.send(inner, call.clone());
        if matches!(&answer, Response::Refused(refusal) if refusal.is_passing()) {
            self.pending = Some((call, still));
            return;
        }
        let expected = self.still.call(still);
        assert_eq!(self.plain(&answer), self.plain(&expected), "{:?}", call.request);
        self.learn(inner);
        if call.request.is_change() {
            self.answered.push((call, answer));
        }
        self.repeat(inner);
    }

    fn send(&self, inner: &mut Inner, call: Call) -> Response {
        let store = inner.place[&self.mailbox];
        match inner.bench(store).call(call.clone()) {
            // the directory lags
            Response::Refused(Refusal::Moved { to, .. }) => inner.bench(to.0).call(call),
            answer => answer,
        }
    }

    /// A lost answer is asked for again: the same, and nothing happens.
    fn repeat(&mut self, inner: &mut Inner) {
        if self.answered.is_empty() || self.random.random_range(0..4) > 0 {
            return;
        }
        let last = self.answered.len() - 1;
        let at = self.random.random_range(last.saturating_sub(30)..=last);
        let (call, first) = self.answered[at].clone();
        let again = self.send(inner, call.clone());
        if !matches!(&again, Response::Refused(refusal) if refusal.is_passing()) {
            assert_eq!(again, first, "{:?}", call.request);
        }
    }

    /// Names of folders by id, in both worlds.
    fn learn(&mut self, inner: &mut Inner) {
        let request = Request::Folders { mailbox: self.mailbox };
        let call = |id| Call { id: RequestId(id), at: Timestamp(1), request: request.clone() };
        for answer in [self.send(inner, call(0)), self.still.call(call(0))] {
            if let Response::Folders(folders) = answer {
                self.names.extend(folders.into_iter().map(|one| (one.id, one.name)));
            }
        }
    }

    /// An answer without what differs: a folder made after a move has another number.
    fn plain(&self, answer: &Response) -> Response {
        match answer.clone() {
            Response::Folder(mut folder) => {
                folder.id = FolderId(0);
                Response::Folder(folder)
            }
            Response::Appended { uid_validity, uids, .. } => {
                Response::Appended { folder: FolderId(0), uid_validity, uids }
            }
            other => other,
        }
    }

    /// A change for both worlds; `None` while folders cannot be read or nothing is left.
    fn invent(&mut self, inner: &mut Inner) -> Option<(Call, Call)> {
        self.left = self.left.checked_sub(1)?;
        let mailbox = self.mailbox;
        let list = Request::Folders { mailbox };
        let call = Call { id: RequestId(0), at: Timestamp(1), request: list.clone() };
        let Response::Folders(here) = self.send(inner, call.clone()) else { return None };
        let Response::Folders(still) = self.still.call(call) else { panic!() };
        let names = |folders: &[Folder]| -> Vec<String> {
            folders.iter().map(|one| one.name.clone()).collect()
        };
        assert_eq!(names(&here), names(&still));
        self.number += 1;
        let (from, to) =
            (self.random.random_range(0..here.len()), self.random.random_range(0..here.len()));
        let what = self.random.random_range(0..20);
        let first = self.random.random_range(1..30);
        let uids = UidSet(vec![(first, first + self.random.random_range(0..8))]);
        let system = self.random.random_range(0..32);
        let fresh = format!("f{}", self.number % 1000);
        let delivery = match self.delivered.last() {
            Some(known) if what == 18 => known.clone(),
            _ => (DeliveryId(self.number), self.text()),
        };
        if (15..=18).contains(&what) {
            self.delivered.push(delivery.clone());
        }
        let text = self.text();
        let request = |folders: &[Folder]| {
            let (source, target) = (&folders[from], &folders[to]);
            let (folder, uids) = (source.id, uids.clone());
            let name = source.name.clone();
            match what {
                0..=4 => Request::Append {
                    mailbox,
                    folder: name,
                    messages: vec![new_item(text.as_bytes(), system, &["Word"])],
                },
                5..=7 => Request::SetFlags {
                    mailbox,
                    folder,
                    uids,
                    change: FlagChange::Add,
                    flags: flags(system, &["$Done"]),
                    unchanged_since: None,
                },
                8 => Request::Copy { mailbox, folder, uids, to: target.name.clone() },
                9 => Request::Move { mailbox, folder, uids, to: target.name.clone() },
                10..=11 => Request::Expunge { mailbox, folder, uids: None },
                12 => {
                    Request::CreateFolder { mailbox, name: fresh.clone(), purpose: FolderUse::None }
                }
                13 => Request::RenameFolder { mailbox, from: name, to: fresh.clone() },
                14 if system < 8 => Request::RemoveFolder { mailbox, name },
                14 => Request::Subscribe { mailbox, name, subscribed: system < 20 },
                15..=18 => Request::DeliverOnce {
                    delivery: delivery.0,
                    envelope: envelope("from@example.test"),
                    local: vec![local(mailbox)],
                    relay: Vec::new(),
                    message: Message(Bytes::from(delivery.1.clone())),
                },
                _ => Request::CreateMailbox {
                    mailbox,
                    quota: Quota {
                        bytes: Some(50 << 20),
                        items: Some(100_000 + u64::from(system)),
                    },
                },
            }
        };
        let (id, at) = (RequestId(self.number), Timestamp(1_700_000_000_000));
        Some((Call { id, at, request: request(&here) }, Call { id, at, request: request(&still) }))
    }

    /// A message, seldom one that goes to the body log, now and then one that was there before.
    fn text(&mut self) -> String {
        let number = match self.random.random_range(0..5) {
            0 => u128::from(self.random.random_range(0..10_u32)),
            _ => self.number,
        };
        let length = if self.random.random_range(0..6) == 0 { 20_000 } else { 300 };
        format!("Subject: {number}\r\n\r\n{}", "x".repeat(length))
    }

    /// Ends what is pending, and compares everything that can be seen of the mailbox.
    pub(crate) fn compare(&mut self, world: &World) {
        self.left = 0;
        world.with(|inner| self.step(inner));
        assert!(self.pending.is_none(), "{:?}", self.pending);
        let mailbox = self.mailbox;
        world.with(|inner| {
            let place = inner.place[&mailbox];
            let seen = everything(inner.bench(place), mailbox);
            assert_eq!(seen, everything(&mut self.still, mailbox));
            // deliveries that come again under other requests do not take effect again
            for (number, (delivery, text)) in self.delivered.iter().enumerate() {
                let request = Request::DeliverOnce {
                    delivery: *delivery,
                    envelope: envelope("from@example.test"),
                    local: vec![local(mailbox)],
                    relay: Vec::new(),
                    message: Message(Bytes::from(text.clone())),
                };
                let id = RequestId(u128::MAX - number as u128);
                let answer = inner.bench(place).call(Call { id, at: Timestamp(9), request });
                assert!(matches!(answer, Response::Accepted { .. }), "{answer:?}");
            }
            assert_eq!(everything(inner.bench(place), mailbox), seen, "delivered twice");
        });
    }
}

/// Folders, items, changes since some modseqs, bodies, use and limits, without numbers of folders.
fn everything(bench: &mut Bench, mailbox: MailboxId) -> Vec<String> {
    let mut seen = Vec::new();
    let Response::Folders(folders) = bench.request(Request::Folders { mailbox }) else { panic!() };
    for mut folder in folders {
        let id = std::mem::replace(&mut folder.id, FolderId(0));
        seen.push(format!("{folder:?}"));
        let items = bench.items(mailbox, id);
        for item in &items {
            let body = bench.request(Request::Body { mailbox, body: item.body });
            assert!(matches!(body, Response::Body(_)), "{body:?}");
        }
        seen.extend(items.iter().map(|item| format!("{item:?}")));
        for since in [0, 5, 20, 50, 100] {
            let changes = bench.request(Request::Changes { mailbox, folder: id, since });
            seen.push(format!("since {since}: {changes:?}"));
        }
    }
    seen.push(format!("{:?}", bench.request(Request::Quota { mailbox })));
    seen
}
