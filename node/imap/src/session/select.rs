//! SELECT, EXAMINE, CLOSE, UNSELECT.

use posthouse_store::{Parts, Request, Response};

use super::{Fail, Out, Port, Reply, Session, View, Wire, sync::Changes};
use crate::codec::{Code, Qresync, Ranges, Select, Writer};

impl<P: Port> Session<P> {
    pub(super) async fn select<W: Wire>(
        &mut self,
        select: Select,
        out: &mut Out<W>,
    ) -> Result<Reply, Fail> {
        // even a SELECT that fails closes what was selected (RFC 9051 §6.3.2)
        if self.selected.take().is_some() {
            out.writer.untagged("OK [CLOSED] the mailbox that was selected is closed");
        }
        if select.qresync.is_some() && !self.enabled.qresync {
            return Err(Fail::bad("enable QRESYNC first"));
        }
        self.enabled.condstore |= select.condstore;
        let mailbox = self.owner()?;
        let name = self.name(&select.mailbox)?;
        let Response::Folder(folder) = self.ask(Request::Folder { mailbox, name }).await? else {
            return Err(Fail::unexpected());
        };
        let flags = Writer::all_system_flags();
        let w = &mut out.writer;
        w.untagged(format_args!("FLAGS ({flags})"));
        if select.read_only {
            w.untagged("OK [PERMANENTFLAGS ()] nothing can be changed");
        } else {
            w.untagged(format_args!("OK [PERMANENTFLAGS ({flags} \\*)] flags can be changed"));
        }
        w.untagged(format_args!("{} EXISTS", folder.exists));
        if !self.enabled.rev2 {
            w.untagged("0 RECENT");
        }
        w.untagged(format_args!("OK [UIDVALIDITY {}] uids are valid", folder.uid_validity));
        w.untagged(format_args!("OK [UIDNEXT {}] the next uid", folder.uid_next));
        let modseq = folder.highest_modseq.max(1);
        w.untagged(format_args!("OK [HIGHESTMODSEQ {modseq}] the highest modseq"));
        if self.enabled.rev2 {
            w.text("* LIST () \"/\" ");
            w.mailbox(&folder.name);
            w.text("\r\n");
        }
        let uid_validity = folder.uid_validity;
        self.selected = Some(View::new(folder, select.read_only));
        if let Some(qresync) = select.qresync.filter(|q| q.uid_validity == uid_validity) {
            self.catch_up(&qresync, out).await?;
        }
        let code = if select.read_only { Code::ReadOnly } else { Code::ReadWrite };
        Ok(Reply::code(code.text()))
    }

    /// What has happened since the client was last here (RFC 7162 §3.2.5.1).
    async fn catch_up<W: Wire>(&mut self, q: &Qresync, out: &mut Out<W>) -> Result<(), Fail> {
        self.number().await?;
        let uid_next = self.view()?.uid_next;
        let Changes { changed, vanished, .. } = self.changes_since(q.modseq).await?;
        let told = Ranges::span(1, uid_next.saturating_sub(1));
        let known = q.known.as_ref().and_then(|set| set.resolve(u32::MAX)).unwrap_or(told.clone());
        let gone = vanished.intersect(&known).intersect(&told);
        if !gone.is_empty() {
            out.writer.untagged(format_args!("VANISHED (EARLIER) {gone}"));
        }
        for item in changed.iter().filter(|item| known.contains(item.uid)) {
            self.tell_flags(item, out)?;
            out.flush_full().await?;
        }
        Ok(())
    }

    pub(super) async fn close(&mut self, expunge: bool) -> Result<Reply, Fail> {
        let (mailbox, folder) = self.place()?;
        let has_deleted = expunge && !self.view()?.read_only;
        self.selected = None;
        if has_deleted {
            self.expunge_all(mailbox, folder).await?;
        }
        Ok(Reply::ok())
    }

    /// Items of the selected folder, a bounded number at once, and the uids that are left.
    pub(super) async fn items(
        &mut self,
        uids: Ranges,
        parts: Parts,
        changed_since: u64,
    ) -> Result<(Vec<posthouse_store::Item>, Ranges), Fail> {
        let (mailbox, folder) = self.place()?;
        let asked = uids.clone().into();
        let request = Request::Items { mailbox, folder, uids: asked, parts, changed_since };
        let Response::Items { items, more } = self.ask(request).await? else {
            return Err(Fail::unexpected());
        };
        let next = items.last().filter(|_| more).and_then(|item| item.uid.checked_add(1));
        let rest = next.map(|next| uids.intersect(&Ranges::span(next, u32::MAX)));
        Ok((items, rest.unwrap_or_default()))
    }
}
