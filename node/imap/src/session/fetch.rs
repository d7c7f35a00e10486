//! FETCH.

use std::fmt::Write as _;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream::FuturesOrdered};
use posthouse_store::{FlagChange, Flags, Item, Parts, Refusal, Request, Response, Structure};

use super::{Fail, Out, Port, Reply, Session, Wire, section};
use crate::codec::{
    Code, Fetch, FetchItem, Partial, Ranges, Section, SectionText, SequenceSet, date, structure,
};

/// Items that are read at once without and with their structure.
const BATCH: u32 = 500;
const BATCH_STRUCTURE: u32 = 50;
/// Messages that are read ahead while one is sent, unless one of them has more bytes than this.
const AHEAD: usize = 8;
const AHEAD_BYTES: u32 = 256 * 1024;

/// What an item that needs the message comes to.
enum Value {
    Nil,
    Bytes(Bytes),
    Size(usize),
}

struct Plan {
    items: Vec<FetchItem>,
    parts: Parts,
    needs_body: bool,
    sets_seen: bool,
    changed_since: u64,
}

fn plan(uid: bool, condstore: bool, fetch: Fetch) -> Plan {
    let mut items = fetch.items;
    if uid && !items.contains(&FetchItem::Uid) {
        items.insert(0, FetchItem::Uid);
    }
    if (fetch.changed_since.is_some() || (condstore && items.contains(&FetchItem::Flags)))
        && !items.contains(&FetchItem::ModSeq)
    {
        items.push(FetchItem::ModSeq);
    }
    let structure = items.iter().any(|item| match item {
        FetchItem::Envelope | FetchItem::Body | FetchItem::BodyStructure => true,
        FetchItem::Section { section, .. } => !section.part.is_empty(),
        FetchItem::Binary { part, .. } | FetchItem::BinarySize { part } => !part.is_empty(),
        _ => false,
    });
    let needs_body = items.iter().any(|item| as_section(item).is_some() || is_binary(item));
    let sets_seen = items.iter().any(|item| match item {
        FetchItem::Section { peek, .. } | FetchItem::Binary { peek, .. } => !peek,
        FetchItem::Rfc822 | FetchItem::Rfc822Text => true,
        _ => false,
    });
    let parts = Parts { structure };
    Plan { items, parts, needs_body, sets_seen, changed_since: fetch.changed_since.unwrap_or(0) }
}

const fn is_binary(item: &FetchItem) -> bool {
    matches!(item, FetchItem::Binary { .. } | FetchItem::BinarySize { .. })
}

/// The section that an item means, if it means one.
fn as_section(item: &FetchItem) -> Option<(Section, Option<Partial>)> {
    let whole = |text| Some((Section { part: Vec::new(), text }, None));
    match item {
        FetchItem::Section { section, partial, .. } => Some((section.clone(), *partial)),
        FetchItem::Rfc822 => whole(SectionText::All),
        FetchItem::Rfc822Header => whole(SectionText::Header),
        FetchItem::Rfc822Text => whole(SectionText::Text),
        _ => None,
    }
}

impl<P: Port> Session<P> {
    pub(super) async fn fetch<W: Wire>(
        &mut self,
        uid: bool,
        set: &SequenceSet,
        fetch: Fetch,
        out: &mut Out<W>,
    ) -> Result<Reply, Fail> {
        let vanished = fetch.vanished;
        if vanished && !(self.enabled.qresync && uid) {
            return Err(Fail::bad("VANISHED needs UID FETCH and QRESYNC"));
        }
        let asks_modseq = fetch.changed_since.is_some() || fetch.items.contains(&FetchItem::ModSeq);
        self.enabled.condstore |= asks_modseq;
        let plan = plan(uid, self.enabled.condstore, fetch);
        let uids = self.resolve(uid, set).await?;
        if vanished {
            self.tell_vanished(set, plan.changed_since, out).await?;
        }
        let batch = if plan.parts.structure { BATCH_STRUCTURE } else { BATCH };
        let mut problem = None;
        for mut piece in uids.pieces(batch) {
            while !piece.is_empty() {
                let (mut items, rest) = self.items(piece, plan.parts, plan.changed_since).await?;
                piece = rest;
                let seen = self.set_seen(&plan, &mut items).await?;
                if let Some(fail) = self.fetch_items(&plan, &items, &seen, out).await? {
                    problem = Some(fail);
                }
            }
        }
        problem.map_or_else(|| Ok(Reply::ok()), Err)
    }

    /// Sends items; returns why some of them were left out.
    async fn fetch_items<W: Wire>(
        &self,
        plan: &Plan,
        items: &[Item],
        seen: &Ranges,
        out: &mut Out<W>,
    ) -> Result<Option<Fail>, Fail> {
        let ahead = if items.iter().any(|item| item.size > AHEAD_BYTES) { 1 } else { AHEAD };
        let (mut coming, mut problem) = (items.iter(), None);
        let mut messages = FuturesOrdered::new();
        for item in items {
            while messages.len() < ahead {
                match coming.next() {
                    Some(item) => messages.push_back(self.message(plan, item)),
                    None => break,
                }
            }
            let message = messages.next().await.unwrap_or(Ok(None));
            let sent = match message {
                Ok(message) => {
                    let seen = seen.contains(item.uid);
                    self.fetch_item(plan, item, message, seen, out).await
                }
                Err(fail) => Err(fail),
            };
            match sent {
                Err(fail @ Fail::No(..)) => problem = Some(fail),
                other => other?,
            }
            out.flush_full().await?;
        }
        Ok(problem)
    }

    /// The bytes of a message, if they are needed; `None` too if it has gone meanwhile.
    async fn message(&self, plan: &Plan, item: &Item) -> Result<Option<Bytes>, Fail> {
        if !plan.needs_body {
            return Ok(None);
        }
        let request = Request::Body { mailbox: self.owner()?, body: item.body };
        match self.port.call(request).await? {
            Response::Body(message) => Ok(Some(message)),
            Response::Refused(Refusal::NotFound) => Ok(None),
            Response::Refused(refusal) => Err(refusal.into()),
            _ => Err(Fail::unexpected()),
        }
    }

    /// RFC 7162 §3.2.6.
    async fn tell_vanished<W: Wire>(
        &mut self,
        set: &SequenceSet,
        since: u64,
        out: &mut Out<W>,
    ) -> Result<(), Fail> {
        let vanished = self.changes_since(since).await?.vanished;
        let wanted = set.resolve(u32::MAX).unwrap_or_default();
        // those that the client has not been told of come when changes are told
        let numbering = self.number().await?.uids();
        let gone = vanished.intersect(&wanted).subtract(numbering);
        if !gone.is_empty() {
            out.writer.untagged(format_args!("VANISHED (EARLIER) {gone}"));
        }
        Ok(())
    }

    /// Sets \Seen where the client reads a message; returns the uids that got it.
    async fn set_seen(&mut self, plan: &Plan, items: &mut [Item]) -> Result<Ranges, Fail> {
        if !plan.sets_seen || self.view()?.read_only {
            return Ok(Ranges::default());
        }
        let unseen = items.iter().filter(|item| item.flags.system & Flags::SEEN == 0);
        let uids: Ranges = unseen.map(|item| item.uid).collect();
        if uids.is_empty() {
            return Ok(uids);
        }
        let (mailbox, folder) = self.place()?;
        let request = Request::SetFlags {
            mailbox,
            folder,
            uids: uids.into(),
            change: FlagChange::Add,
            flags: Flags { system: Flags::SEEN, keywords: Vec::new() },
            unchanged_since: None,
        };
        let Response::Flagged { changed, .. } = self.ask(request).await? else {
            return Err(Fail::unexpected());
        };
        self.touch();
        for now in &changed {
            self.view()?.own.insert(now.modseq);
            if let Some(item) = items.iter_mut().find(|item| item.uid == now.uid) {
                (item.flags, item.modseq) = (now.flags.clone(), now.modseq);
            }
        }
        Ok(changed.iter().map(|item| item.uid).collect())
    }

    async fn fetch_item<W: Wire>(
        &self,
        plan: &Plan,
        item: &Item,
        message: Option<Bytes>,
        seen: bool,
        out: &mut Out<W>,
    ) -> Result<(), Fail> {
        let numbering = self.selected.as_ref().and_then(|view| view.numbering.as_ref());
        let Some(seq) = numbering.and_then(|numbering| numbering.seq(item.uid)) else {
            return Ok(());
        };
        let structure = match &item.structure {
            Some(bytes) => postcard::from_bytes::<Structure>(bytes).ok(),
            None => None,
        };
        let values = match message {
            Some(message) => values(plan, &message, structure.as_ref())?,
            None if plan.needs_body => return Ok(()),
            None => Vec::new(),
        };
        let mut values = values.into_iter();
        out.writer.text(format_args!("* {seq} FETCH ("));
        for (at, wanted) in plan.items.iter().enumerate() {
            out.writer.text(if at > 0 { " " } else { "" });
            if as_section(wanted).is_some() || is_binary(wanted) {
                out.writer.text(label(wanted)).text(" ");
                let is_literal8 = matches!(wanted, FetchItem::Binary { .. });
                write_value(values.next().unwrap_or(Value::Nil), is_literal8, out).await?;
            } else {
                write_simple(wanted, item, structure.as_ref(), out);
            }
        }
        if seen && !plan.items.contains(&FetchItem::Flags) {
            out.writer.text(" FLAGS ");
            out.writer.flags(&item.flags);
        }
        out.writer.text(")\r\n");
        Ok(())
    }
}

/// The values that need the message, in order.
fn values(plan: &Plan, message: &Bytes, structure: Option<&Structure>) -> Result<Vec<Value>, Fail> {
    let mut values = Vec::new();
    for wanted in &plan.items {
        if let Some((section, partial)) = as_section(wanted) {
            let bytes = section::bytes(message, structure, &section);
            values.push(bytes.map_or(Value::Nil, |b| Value::Bytes(section::cut(&b, partial))));
        } else if let FetchItem::Binary { part, partial, .. } = wanted {
            let bytes = decoded(message, structure, part)?;
            values.push(bytes.map_or(Value::Nil, |b| Value::Bytes(section::cut(&b, *partial))));
        } else if let FetchItem::BinarySize { part } = wanted {
            let bytes = decoded(message, structure, part)?;
            values.push(Value::Size(bytes.map_or(0, |bytes| bytes.len())));
        }
    }
    Ok(values)
}

fn decoded(
    message: &Bytes,
    structure: Option<&Structure>,
    part: &[u32],
) -> Result<Option<Bytes>, Fail> {
    section::decoded(message, structure, part)
        .map_err(|_| Fail::no(Code::UnknownCte, "the transfer encoding is unknown"))
}

async fn write_value<W: Wire>(value: Value, binary: bool, out: &mut Out<W>) -> Result<(), Fail> {
    match value {
        Value::Nil => {
            out.writer.text("NIL");
        }
        Value::Size(size) => {
            out.writer.text(size);
        }
        Value::Bytes(bytes) => {
            let binary = binary && bytes.contains(&0);
            out.literal(bytes, binary).await?;
        }
    }
    Ok(())
}

fn write_simple<W: Wire>(
    wanted: &FetchItem,
    item: &Item,
    cached: Option<&Structure>,
    out: &mut Out<W>,
) {
    let w = &mut out.writer;
    let none = Structure::default();
    let cached = cached.unwrap_or(&none);
    match wanted {
        FetchItem::Uid => {
            w.text("UID ").text(item.uid);
        }
        FetchItem::Flags => {
            w.text("FLAGS ");
            w.flags(&item.flags);
        }
        FetchItem::InternalDate => {
            w.text("INTERNALDATE \"").text(date::write_date_time(item.received)).text("\"");
        }
        FetchItem::Rfc822Size => {
            w.text("RFC822.SIZE ").text(item.size);
        }
        FetchItem::ModSeq => {
            w.text(format_args!("MODSEQ ({})", item.modseq));
        }
        FetchItem::Envelope => {
            w.text("ENVELOPE ");
            structure::envelope(w, &cached.envelope);
        }
        FetchItem::Body => {
            w.text("BODY ");
            structure::body(w, &cached.root, false);
        }
        FetchItem::BodyStructure => {
            w.text("BODYSTRUCTURE ");
            structure::body(w, &cached.root, true);
        }
        _ => {}
    }
}

/// How an item is named in the response (RFC 9051 `msg-att-static`).
fn label(item: &FetchItem) -> String {
    let dotted = |part: &[u32]| part.iter().map(u32::to_string).collect::<Vec<_>>().join(".");
    match item {
        FetchItem::Rfc822 => "RFC822".to_owned(),
        FetchItem::Rfc822Header => "RFC822.HEADER".to_owned(),
        FetchItem::Rfc822Text => "RFC822.TEXT".to_owned(),
        FetchItem::BinarySize { part } => format!("BINARY.SIZE[{}]", dotted(part)),
        FetchItem::Binary { part, partial, .. } => {
            format!("BINARY[{}]{}", dotted(part), origin(*partial))
        }
        FetchItem::Section { section, partial, .. } => {
            let mut label = format!("BODY[{}", dotted(&section.part));
            let text = section_text(&section.text);
            if !text.is_empty() && !section.part.is_empty() {
                label.push('.');
            }
            let _ = write!(label, "{text}]{}", origin(*partial));
            label
        }
        _ => String::new(),
    }
}

fn origin(partial: Option<Partial>) -> String {
    partial.map_or_else(String::new, |partial| format!("<{}>", partial.offset))
}

fn section_text(text: &SectionText) -> String {
    match text {
        SectionText::All => String::new(),
        SectionText::Header => "HEADER".to_owned(),
        SectionText::Text => "TEXT".to_owned(),
        SectionText::Mime => "MIME".to_owned(),
        SectionText::HeaderFields { names, not } => {
            let fields = names.iter().map(|name| {
                let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
                // no header field has another name; what else was asked for is quoted, without what
                // would end the quotes
                if plain && !name.is_empty() {
                    name.clone()
                } else {
                    format!("\"{}\"", name.replace(['"', '\\', '\r', '\n'], "?"))
                }
            });
            let not = if *not { ".NOT" } else { "" };
            format!("HEADER.FIELDS{not} ({})", fields.collect::<Vec<_>>().join(" "))
        }
    }
}
