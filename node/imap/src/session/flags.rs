//! Flags by name, and STORE.

use posthouse_store::{Flags, Item, Parts, Request, Response};

use super::{Fail, Out, Port, Reply, Session, Wire};
use crate::codec::{Code, Ranges, SequenceSet, StoreFlags, Writer};

/// Items whose flags are changed in one step.
const STEP: u32 = 5_000;

/// Flags from their names. \Recent is left out: it cannot be set.
pub(super) fn parse(names: &[String]) -> Result<Flags, Fail> {
    let mut flags = Flags::default();
    for name in names {
        match Writer::system_flag(name) {
            Some(bit) => flags.system |= bit,
            None if name.eq_ignore_ascii_case("\\Recent") => {}
            None if name.starts_with('\\') => return Err(Fail::bad("no such system flag")),
            None if !flags.keywords.iter().any(|known| known.eq_ignore_ascii_case(name)) => {
                flags.keywords.push(name.clone());
            }
            None => {}
        }
    }
    flags.keywords.sort();
    if flags.keywords.len() > Flags::MAX_KEYWORDS {
        return Err(Fail::no(Code::Limit, "too many keywords"));
    }
    Ok(flags)
}

impl<P: Port> Session<P> {
    pub(super) async fn store<W: Wire>(
        &mut self,
        uid: bool,
        set: &SequenceSet,
        store: StoreFlags,
        out: &mut Out<W>,
    ) -> Result<Reply, Fail> {
        self.writable()?;
        self.enabled.condstore |= store.unchanged_since.is_some();
        let flags = parse(&store.flags)?;
        let uids = self.resolve(uid, set).await?;
        let mut conflicting = Ranges::default();
        for piece in uids.pieces(STEP) {
            let conflict = self.store_piece(&piece, &store, &flags, out).await?;
            conflicting = conflicting.union(&conflict);
        }
        if conflicting.is_empty() {
            return Ok(Reply::ok());
        }
        let shown = if uid { conflicting } else { self.number().await?.seqs_of(&conflicting) };
        Ok(Reply::code(format!("MODIFIED {shown}")))
    }

    async fn store_piece<W: Wire>(
        &mut self,
        uids: &Ranges,
        store: &StoreFlags,
        flags: &Flags,
        out: &mut Out<W>,
    ) -> Result<Ranges, Fail> {
        let (mailbox, folder) = self.place()?;
        let request = Request::SetFlags {
            mailbox,
            folder,
            uids: uids.clone().into(),
            change: store.change,
            flags: flags.clone(),
            unchanged_since: store.unchanged_since,
        };
        let Response::Flagged { changed, conflicting } = self.ask(request).await? else {
            return Err(Fail::unexpected());
        };
        self.touch();
        let conflicting = Ranges::from(conflicting);
        for item in &changed {
            self.view()?.own.insert(item.modseq);
            self.tell_stored(item, store.silent, out)?;
            out.flush_full().await?;
        }
        if !store.silent {
            // the client is told the flags of the others too (RFC 9051 §6.4.6)
            let told: Ranges = changed.iter().map(|item| item.uid).collect();
            let mut others = uids.subtract(&told).subtract(&conflicting);
            while !others.is_empty() {
                let (items, rest) = self.items(others, Parts::default(), 0).await?;
                others = rest;
                for item in items {
                    self.tell_flags(&item, out)?;
                }
                out.flush_full().await?;
            }
        }
        Ok(conflicting)
    }

    fn tell_stored<W: Wire>(
        &mut self,
        item: &Item,
        silent: bool,
        out: &mut Out<W>,
    ) -> Result<(), Fail> {
        if !silent {
            return self.tell_flags(item, out);
        }
        let seq = self.view()?.numbering.as_ref().and_then(|numbering| numbering.seq(item.uid));
        if let (true, Some(seq)) = (self.enabled.condstore, seq) {
            // RFC 7162 §3.1.3
            let (uid, modseq) = (item.uid, item.modseq);
            out.writer.untagged(format_args!("{seq} FETCH (UID {uid} MODSEQ ({modseq}))"));
        }
        Ok(())
    }

    pub(super) fn writable(&mut self) -> Result<(), Fail> {
        if self.view()?.read_only {
            Err(Fail::no(Code::ReadOnly, "the mailbox is selected read-only"))
        } else {
            Ok(())
        }
    }
}
