//! Carrying a mailbox over: everything in the first round, what has changed since in each later one.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{
    Export, Exported, FolderState, MailboxState, MoveStep, MovedItem, Portion, Position,
    drive::{Next, Pace},
    link::{Halt, Link, unexpected},
};
use crate::{
    BodyHash, DeliveryId, FolderId, Message, ModSeq, Refusal, Request, Response, Uid, UidSet,
};

/// Bytes of bodies in one portion; a larger one goes alone.
const PORTION_BYTES: u64 = 4 << 20;

/// Most portions of one step; bodies of the last round together are bounded by what may be left for it.
const MAX_BUNDLE: usize = 16;

/// What a round carried over.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Carried {
    /// Modseq of the mailbox when the round began.
    pub modseq: ModSeq,
    /// Items, new or changed.
    pub items: u64,
    /// Bytes of bodies.
    pub bytes: u64,
}

/// What is known of both sides.
pub(super) struct Carrier<'a> {
    link: &'a Link,
    pace: Pace,
    next: Next,
    /// The mailbox does not change any more: no limits.
    pub frozen: bool,
    step: u64,
    answers: u64,
    mailbox: Option<MailboxState>,
    folders: BTreeMap<FolderId, Sent>,
    /// Folders that were equal on both sides in this state.
    verified: HashMap<FolderId, FolderState>,
    carried: Carried,
    /// Portions that go with the next step.
    bundle: Vec<Portion>,
}

/// What the target has of a folder.
#[derive(Default)]
struct Sent {
    state: Option<FolderState>,
    /// Highest modseq when the items were looked at last.
    seen: Option<ModSeq>,
    items: Position,
    tombstones: Position,
}

impl<'a> Carrier<'a> {
    /// Goes on where the target is.
    pub(super) async fn resume(link: &'a Link, pace: Pace, next: Next) -> Result<Self, Halt> {
        let what = Export::Arrival { id: link.wish.id };
        let Exported::Arrival(arrival) = link.export(link.wish.to, what).await? else {
            return Err(Halt::Again);
        };
        let folders = arrival
            .folders
            .into_iter()
            .map(|(id, items, tombstones)| (id, Sent { items, tombstones, ..Sent::default() }))
            .collect();
        let carrier = Self {
            link,
            pace,
            next,
            frozen: false,
            step: arrival.step,
            answers: arrival.answers,
            mailbox: None,
            folders,
            verified: HashMap::new(),
            carried: Carried::default(),
            bundle: Vec::new(),
        };
        let there = carrier.whole(true).await?.0.usage;
        link.note(|progress| (progress.items, progress.bytes) = (there.items, there.bytes));
        Ok(carrier)
    }

    /// One round.
    pub(super) async fn round(&mut self) -> Result<Carried, Halt> {
        let (state, folders) = self.whole(false).await?;
        self.carried = Carried { modseq: state.modseq, ..Carried::default() };
        self.link.note(|progress| {
            (progress.items_total, progress.bytes_total) = (state.usage.items, state.usage.bytes);
        });
        self.carry_folders(&folders).await?;
        for folder in &folders {
            let id = folder.folder.id;
            let highest = Some(folder.folder.highest_modseq);
            if self.sent(id).seen == highest {
                continue;
            }
            self.carry_folder(folder).await?;
            self.sent(id).seen = highest;
        }
        self.carry_answers().await?;
        if self.mailbox.is_none() || self.frozen {
            self.carry_deliveries().await?;
        }
        if self.mailbox != Some(state) {
            self.import(Portion::Mailbox(state)).await?;
            self.mailbox = Some(state);
        }
        self.flush().await?;
        Ok(self.carried)
    }

    fn sent(&mut self, folder: FolderId) -> &mut Sent {
        self.folders.entry(folder).or_default()
    }

    /// Numbers and folders of the mailbox at one of the sides.
    async fn whole(&self, target: bool) -> Result<(MailboxState, Vec<FolderState>), Halt> {
        let wish = &self.link.wish;
        let (store, mailbox) =
            if target { (wish.to, wish.id.hidden()) } else { (wish.from, wish.mailbox) };
        match self.link.export(store, Export::Mailbox { mailbox }).await? {
            Exported::Mailbox { state, folders } => Ok((state, folders)),
            _ => Err(Halt::Again),
        }
    }

    /// Takes a portion to the target; while the mailbox is frozen, with the others of the round: each way
    /// there and back is time that somebody waits.
    async fn import(&mut self, part: Portion) -> Result<(), Halt> {
        self.bundle.push(part);
        if self.frozen && self.bundle.len() < MAX_BUNDLE {
            return Ok(());
        }
        self.flush().await
    }

    async fn flush(&mut self) -> Result<(), Halt> {
        let parts = std::mem::take(&mut self.bundle);
        if parts.is_empty() {
            return Ok(());
        }
        let (id, step) = (self.link.wish.id, self.step + 1);
        match self.link.step(self.link.wish.to, MoveStep::Import { id, step, parts }).await? {
            Response::Done => self.step = step,
            other => return Err(unexpected(&other)),
        }
        if !self.frozen {
            self.link.check()?;
        }
        Ok(())
    }

    async fn carry_folders(&mut self, folders: &[FolderState]) -> Result<(), Halt> {
        let changed: Vec<_> = folders
            .iter()
            .filter(|folder| self.sent(folder.folder.id).state.as_ref() != Some(*folder))
            .cloned()
            .collect();
        for portion in changed.chunks(MoveStep::PORTION) {
            self.import(Portion::Folders(portion.to_vec())).await?;
            for folder in portion {
                self.sent(folder.folder.id).state = Some(folder.clone());
            }
        }
        let there: HashSet<FolderId> = folders.iter().map(|folder| folder.folder.id).collect();
        let gone: Vec<_> = self.folders.keys().filter(|id| !there.contains(id)).copied().collect();
        for portion in gone.chunks(MoveStep::PORTION) {
            self.import(Portion::FoldersGone(portion.to_vec())).await?;
            self.folders.retain(|id, _| !portion.contains(id));
        }
        Ok(())
    }

    async fn carry_folder(&mut self, folder: &FolderState) -> Result<(), Halt> {
        let id = folder.folder.id;
        self.carry_items(id).await?;
        loop {
            let (mailbox, after) = (self.link.wish.mailbox, self.sent(id).tombstones);
            let what = Export::Tombstones { mailbox, folder: id, after };
            let Some(Exported::Tombstones { ranges, horizon }) = self.source(what).await? else {
                return Ok(());
            };
            if horizon > after.modseq && self.sent(id).items != Position::default() {
                self.retain(id, horizon).await?;
                continue;
            }
            let Some((modseq, first, _)) = ranges.last().copied() else { return Ok(()) };
            let (until, full) = (Position { modseq, uid: first }, is_full(ranges.len()));
            self.import(Portion::Tombstones { folder: id, ranges, until }).await?;
            self.sent(id).tombstones = until;
            if !full {
                return Ok(());
            }
        }
    }

    /// What the source says; `None` if the folder is gone since: the next round sees that.
    async fn source(&self, what: Export) -> Result<Option<Exported>, Halt> {
        match self.link.export(self.link.wish.from, what).await {
            Ok(exported) => Ok(Some(exported)),
            Err(Halt::Refused(Refusal::NoSuchFolder)) if !self.frozen => Ok(None),
            Err(halt) => Err(halt),
        }
    }

    /// The source has forgotten tombstones that the target has not seen.
    async fn retain(&mut self, id: FolderId, horizon: ModSeq) -> Result<(), Halt> {
        let mailbox = self.link.wish.mailbox;
        let request = Request::Uids { mailbox, folder: id };
        let uids = match self.link.ask(self.link.wish.from, request).await {
            Ok(Response::Uids { uids, .. }) => uids,
            Ok(other) => return Err(unexpected(&other)),
            // the next round sees that it is gone
            Err(Halt::Refused(Refusal::NoSuchFolder)) if !self.frozen => UidSet::default(),
            Err(halt) => return Err(halt),
        };
        self.import(Portion::Retain { folder: id, uids, horizon }).await?;
        self.sent(id).tombstones = Position { modseq: horizon, uid: Uid::MAX };
        Ok(())
    }

    async fn carry_items(&mut self, folder: FolderId) -> Result<(), Halt> {
        loop {
            let (mailbox, after) = (self.link.wish.mailbox, self.sent(folder).items);
            let what = Export::Items { mailbox, folder, after };
            let Some(Exported::Items(items)) = self.source(what).await? else { return Ok(()) };
            let full = is_full(items.len());
            let unknown = self.unknown(&items).await?;
            for (portion, needed) in portions(items, unknown) {
                self.carry_portion(folder, portion, &needed).await?;
            }
            if !full {
                return Ok(());
            }
        }
    }

    /// Which bodies have to go along.
    async fn unknown(&self, items: &[MovedItem]) -> Result<HashSet<BodyHash>, Halt> {
        let bodies: HashSet<BodyHash> = items.iter().map(|item| item.body).collect();
        if self.frozen {
            // sending the few is faster than asking
            return Ok(bodies);
        }
        let mut bodies: Vec<_> = bodies.into_iter().collect();
        bodies.sort_unstable();
        match self.link.export(self.link.wish.to, Export::Unknown { bodies }).await? {
            Exported::Unknown(unknown) => Ok(unknown.into_iter().collect()),
            _ => Err(Halt::Again),
        }
    }

    async fn carry_portion(
        &mut self,
        folder: FolderId,
        items: Vec<MovedItem>,
        needed: &HashSet<BodyHash>,
    ) -> Result<(), Halt> {
        let Some(last) = items.last() else { return Ok(()) };
        let until = Position { modseq: last.modseq, uid: last.uid };
        let needs = |item: &&MovedItem| needed.contains(&item.body);
        let (items, messages) = self.with_bodies(items, needs).await?;
        let bytes: u64 = messages.iter().map(|message| message.0.len() as u64).sum();
        let part = Portion::Items { folder, items: items.clone(), until, messages };
        match self.import(part).await {
            // a body went away at the target since it was asked for
            Err(Halt::Refused(Refusal::NotFound)) => {
                let (items, messages) = self.with_bodies(items.clone(), |_| true).await?;
                self.import(Portion::Items { folder, items, until, messages }).await?;
            }
            outcome => outcome?,
        }
        self.sent(folder).items = until;
        self.count(&items, bytes);
        if !self.frozen {
            self.pace.wait(self.link, &self.next, bytes).await;
        }
        Ok(())
    }

    fn count(&mut self, items: &[MovedItem], bytes: u64) {
        self.carried.items += items.len() as u64;
        self.carried.bytes += bytes;
        let size: u64 = items.iter().map(|item| u64::from(item.size)).sum();
        self.link.note(|progress| {
            progress.items = (progress.items + items.len() as u64).min(progress.items_total);
            progress.bytes = (progress.bytes + size).min(progress.bytes_total);
        });
        metrics::counter!("posthouse_store_moved_bytes_total").increment(bytes);
    }

    /// Reads the bodies of those that need it. Items whose body is gone have been expunged since: they
    /// are left out, their tombstones follow.
    async fn with_bodies(
        &self,
        mut items: Vec<MovedItem>,
        needed: impl Fn(&&MovedItem) -> bool,
    ) -> Result<(Vec<MovedItem>, Vec<Message>), Halt> {
        let mut hashes: Vec<_> = items.iter().filter(needed).map(|item| item.body).collect();
        hashes.sort_unstable();
        hashes.dedup();
        let mut messages = Vec::with_capacity(hashes.len());
        for (hash, message) in self.link.bodies(hashes).await? {
            match message {
                Some(message) => messages.push(message),
                None if self.frozen => {
                    return Err(Halt::Never(format!("the body {hash:?} is missing")));
                }
                None => items.retain(|item| item.body != hash),
            }
        }
        Ok((items, messages))
    }

    async fn carry_answers(&mut self) -> Result<(), Halt> {
        loop {
            let (mailbox, after) = (self.link.wish.mailbox, self.answers);
            let what = Export::Answers { mailbox, after };
            let Some(Exported::Answers { answers, until, more }) = self.source(what).await? else {
                return Ok(());
            };
            if !answers.is_empty() {
                self.import(Portion::Answers { answers, until }).await?;
                self.answers = until;
            }
            if !more {
                return Ok(());
            }
        }
    }

    async fn carry_deliveries(&mut self) -> Result<(), Halt> {
        let mut after = DeliveryId(0);
        loop {
            let what = Export::Deliveries { mailbox: self.link.wish.mailbox, after };
            let Some(Exported::Deliveries(deliveries)) = self.source(what).await? else {
                return Ok(());
            };
            let Some(last) = deliveries.last() else { return Ok(()) };
            after = *last;
            let full = deliveries.len() >= MoveStep::DELIVERIES;
            self.import(Portion::Deliveries { deliveries }).await?;
            if !full {
                return Ok(());
            }
        }
    }

    /// Compares both sides: folders that are equal now need not be compared again unless they change.
    /// When frozen, any difference is an error.
    pub(super) async fn verify(&mut self) -> Result<(), Halt> {
        // what the source has not changed since it was equal is equal
        let state = |sent: &Sent| sent.state.clone();
        let open: Vec<FolderId> = self
            .folders
            .iter()
            .filter(|(id, sent)| self.verified.get(*id) != state(sent).as_ref())
            .map(|(id, _)| *id)
            .collect();
        let wholes = futures_util::future::try_join(self.whole(false), self.whole(true));
        let (((state, folders), (there, folders_there)), digests) =
            futures_util::future::try_join(wholes, self.digests(&open)).await?;
        let equal = digests.iter().all(|(here, there)| here == there)
            && (state, &folders) == (there, &folders_there);
        if self.frozen && !equal {
            tracing::error!(target: "error", mailbox = ?self.link.wish.mailbox, ?state, ?there,
                "a moved mailbox differs from the original");
            return Err(Halt::Never("the copy differs from the mailbox".into()));
        }
        for (here, there) in digests {
            let there: HashSet<_> =
                there.into_iter().map(|(folder, hash)| (folder.folder.id, hash)).collect();
            for (folder, hash) in here {
                if there.contains(&(folder.folder.id, hash)) {
                    self.verified.insert(folder.folder.id, folder);
                }
            }
        }
        Ok(())
    }

    /// Hashes of folders at the source and at the target.
    async fn digests(&self, folders: &[FolderId]) -> Result<Vec<(Digests, Digests)>, Halt> {
        let wish = &self.link.wish;
        let mut all = Vec::new();
        for ids in folders.chunks(MoveStep::PORTION) {
            let what = |mailbox| Export::Digests { mailbox, folders: ids.to_vec() };
            let (here, there) = futures_util::future::try_join(
                self.link.export(wish.from, what(wish.mailbox)),
                self.link.export(wish.to, what(wish.id.hidden())),
            )
            .await?;
            let (Exported::Digests(here), Exported::Digests(there)) = (here, there) else {
                return Err(Halt::Again);
            };
            all.push((here, there));
        }
        Ok(all)
    }
}

/// States and hashes of folders.
type Digests = Vec<(FolderState, [u8; 32])>;

/// Whether there may be more behind a portion. What comes behind one that is not full is for the next
/// round, or a mailbox that never rests would hold the driver here.
fn is_full(portion: usize) -> bool {
    portion >= MoveStep::PORTION
}

/// Items that go together, and the bodies that go along.
type Cut = (Vec<MovedItem>, HashSet<BodyHash>);

/// Cuts items so that the bodies that go along with each portion stay below [`PORTION_BYTES`]. A body goes
/// along with the first item that has it.
fn portions(items: Vec<MovedItem>, mut unknown: HashSet<BodyHash>) -> Vec<Cut> {
    let mut portions: Vec<Cut> = Vec::new();
    let mut bytes = 0;
    for item in items {
        let new = unknown.take(&item.body);
        let size = new.map_or(0, |_| u64::from(item.size));
        match portions.last_mut() {
            Some((last, needed)) if bytes + size <= PORTION_BYTES => {
                last.push(item);
                needed.extend(new);
            }
            _ => {
                portions.push((vec![item], new.into_iter().collect()));
                bytes = 0;
            }
        }
        bytes += size;
    }
    portions
}
