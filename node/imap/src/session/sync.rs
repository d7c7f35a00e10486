//! Telling the client what has changed in the selected folder, at moments when it may be told.

use std::collections::BTreeMap;

use posthouse_store::{Item, Request, Response};

use super::{Fail, Out, Port, Session, Wire, view::Numbering};
use crate::codec::{Ranges, SeqNumber, SequenceSet};

/// All changes since a modseq.
#[derive(Default)]
pub(super) struct Changes {
    /// Ascending by uid, each once.
    pub(super) changed: Vec<Item>,
    pub(super) vanished: Ranges,
    modseq: u64,
}

impl<P: Port> Session<P> {
    async fn changes(&mut self) -> Result<Changes, Fail> {
        let since = self.view()?.modseq;
        self.changes_since(since).await
    }

    /// Everything at once: a page of it may have a later arrival before an earlier one.
    pub(super) async fn changes_since(&mut self, since: u64) -> Result<Changes, Fail> {
        let (mailbox, folder) = self.place()?;
        let mut all = Changes { modseq: since, ..Changes::default() };
        let mut items = BTreeMap::new();
        loop {
            let request = Request::Changes { mailbox, folder, since: all.modseq };
            let (changed, vanished, modseq) = match self.port.call(request).await? {
                Response::Changes { changed, vanished, modseq } => (changed, vanished, modseq),
                Response::Refused(_) => return Err(Fail::Bye("the selected mailbox is gone")),
                _ => return Err(Fail::unexpected()),
            };
            let is_last = changed.len() < Request::MAX_CHANGES || modseq <= all.modseq;
            all.modseq = modseq;
            all.vanished = all.vanished.union(&vanished.into());
            items.extend(changed.into_iter().map(|item| (item.uid, item)));
            if is_last {
                items.retain(|uid, _| !all.vanished.contains(*uid));
                all.changed = items.into_values().collect();
                return Ok(all);
            }
        }
    }

    /// Loads the sequence numbers, as the client knows them, if that has not happened yet.
    pub(super) async fn number(&mut self) -> Result<&Numbering, Fail> {
        if self.view()?.numbering.is_none() {
            let (mailbox, folder) = self.place()?;
            let Response::Uids { uids, .. } = self.ask(Request::Uids { mailbox, folder }).await?
            else {
                return Err(Fail::unexpected());
            };
            // asked after the uids, so that nothing that went in between is missed
            let vanished = self.changes().await?.vanished;
            let view = self.view()?;
            view.dirty = true;
            if !view.load(uids.into(), &vanished) {
                tracing::error!(target: "error", folder = ?folder, "counters and uids do not agree");
                return Err(Fail::Bye("the mailbox has changed too much, select it again"));
            }
        }
        self.view()?.numbering.as_ref().ok_or_else(Fail::unexpected)
    }

    /// The uids that a set means, of those that the client knows.
    pub(super) async fn resolve(&mut self, uid: bool, set: &SequenceSet) -> Result<Ranges, Fail> {
        let saved = self.view()?.saved.clone();
        let numbering = self.number().await?;
        let SequenceSet::Ranges(ranges) = set else {
            return Ok(saved.intersect(numbering.uids()));
        };
        if uid {
            let last = numbering.uids().last().unwrap_or(0);
            let wanted = set.resolve(last).unwrap_or_default();
            return Ok(wanted.intersect(numbering.uids()));
        }
        let uids = numbering.uids_of(&set.resolve(numbering.len()).unwrap_or_default());
        let open = ranges.iter().any(|(a, b)| [a, b].contains(&&SeqNumber::Last));
        if uids.is_empty() && !open { Err(Fail::bad("no such message")) } else { Ok(uids) }
    }

    /// Tells what has changed since the client was last told.
    pub async fn tell_changes<W: Wire>(&mut self, out: &mut Out<W>) -> Result<bool, super::Closed> {
        match self.sync(out).await {
            Ok(()) => Ok(true),
            Err(fail @ (Fail::Bye(_) | Fail::Closed)) => fail.answer("*", &mut out.writer),
            // told at the next occasion
            Err(_) => {
                self.touch();
                Ok(true)
            }
        }
    }

    pub(super) async fn sync<W: Wire>(&mut self, out: &mut Out<W>) -> Result<(), Fail> {
        if !self.selected.as_ref().is_some_and(|view| view.dirty) {
            return Ok(());
        }
        self.view()?.dirty = false;
        let mut changes = self.changes().await?;
        let uid_next = self.view()?.uid_next;
        let is_known = |item: &Item| item.uid < uid_next;
        let counts = changes.changed.iter().any(is_known) || !changes.vanished.is_empty();
        if counts && self.view()?.numbering.is_none() {
            self.number().await?;
            changes = self.changes().await?;
            self.view()?.dirty = false;
        }
        self.tell_expunged(&changes.vanished, out).await?;
        let new = changes.changed.iter().map(|item| item.uid).filter(|uid| *uid >= uid_next);
        self.tell_new(&new.collect(), out)?;
        let own = std::mem::take(&mut self.view()?.own);
        for item in changes.changed.iter().filter(|item| is_known(item)) {
            if !own.contains(&item.modseq) {
                self.tell_flags(item, out)?;
                out.flush_full().await?;
            }
        }
        self.view()?.modseq = changes.modseq;
        Ok(())
    }

    async fn tell_expunged<W: Wire>(
        &mut self,
        vanished: &Ranges,
        out: &mut Out<W>,
    ) -> Result<(), Fail> {
        let qresync = self.enabled.qresync;
        let view = self.view()?;
        let Some(numbering) = &mut view.numbering else { return Ok(()) };
        let gone = numbering.uids().intersect(vanished);
        if gone.is_empty() {
            return Ok(());
        }
        let seqs = numbering.remove(&gone);
        view.exists = numbering.len();
        view.saved = view.saved.subtract(&gone);
        if qresync {
            out.writer.untagged(format_args!("VANISHED {gone}"));
            return Ok(());
        }
        for seq in seqs {
            out.writer.untagged(format_args!("{seq} EXPUNGE"));
            out.flush_full().await?;
        }
        Ok(())
    }

    fn tell_new<W: Wire>(&mut self, new: &Ranges, out: &mut Out<W>) -> Result<(), Fail> {
        let view = self.view()?;
        let Some(last) = new.last() else { return Ok(()) };
        view.uid_next = last.saturating_add(1);
        view.exists = view.exists.saturating_add(u32::try_from(new.count()).unwrap_or(u32::MAX));
        if let Some(numbering) = &mut view.numbering {
            numbering.add(new);
        }
        out.writer.untagged(format_args!("{} EXISTS", view.exists));
        Ok(())
    }

    /// `* n FETCH (UID … FLAGS …)` for an item that the client knows.
    pub(super) fn tell_flags<W: Wire>(
        &mut self,
        item: &Item,
        out: &mut Out<W>,
    ) -> Result<(), Fail> {
        let condstore = self.enabled.condstore;
        let seq = self.view()?.numbering.as_ref().and_then(|numbering| numbering.seq(item.uid));
        if let Some(seq) = seq {
            out.writer.text(format_args!("* {seq} FETCH (UID {} FLAGS ", item.uid));
            out.writer.flags(&item.flags);
            if condstore {
                out.writer.text(format_args!(" MODSEQ ({})", item.modseq));
            }
            out.writer.text(")\r\n");
        }
        Ok(())
    }
}
