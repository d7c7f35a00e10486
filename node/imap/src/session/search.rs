//! SEARCH: plain, extended (RFC 4731) and saved (RFC 5182) results.

use posthouse_store::{Request, Response};

use super::{Fail, Out, Port, Reply, Session, Wire};
use crate::codec::{Ranges, Search, SearchOptions};

impl<P: Port> Session<P> {
    pub(super) async fn search<W: Wire>(
        &mut self,
        tag: &str,
        uid: bool,
        search: Search,
        out: &mut Out<W>,
    ) -> Result<Reply, Fail> {
        self.enabled.condstore |= search.uses_modseq;
        let found = self.find(uid, &search).await;
        let saves = search.options.is_some_and(|options| options.save);
        let (uids, modseq) = match found {
            Ok(found) => found,
            Err(fail) => {
                // a search that fails leaves nothing saved (RFC 5182 §2.1)
                if saves {
                    self.view()?.saved = Ranges::default();
                }
                return Err(fail);
            }
        };
        let shown = if uid { uids.clone() } else { self.number().await?.seqs_of(&uids) };
        let modseq = Some(modseq).filter(|modseq| search.uses_modseq && *modseq > 0);
        match search.options {
            None if !self.enabled.rev2 => plain(&shown, modseq, out).await?,
            options => {
                let all = SearchOptions { all: true, ..SearchOptions::default() };
                extended(tag, uid, &shown, modseq, options.unwrap_or(all), out);
            }
        }
        if let Some(options) = search.options.filter(|options| options.save) {
            self.view()?.saved = kept(&uids, options);
        }
        Ok(Reply::ok())
    }

    async fn find(&mut self, uid: bool, search: &Search) -> Result<(Ranges, u64), Fail> {
        let query = self.query(&search.key).await?;
        let (mailbox, folder) = self.place()?;
        let Response::Found { uids, modseq } =
            self.ask(Request::Search { mailbox, folder, query }).await?
        else {
            return Err(Fail::unexpected());
        };
        let mut uids = Ranges::from(uids);
        if !uid {
            // what the client does not know yet has no number
            uids = uids.intersect(self.number().await?.uids());
        }
        Ok((uids, modseq))
    }
}

/// What `$` becomes (RFC 5182 §2.4).
fn kept(uids: &Ranges, options: SearchOptions) -> Ranges {
    if options.all || options.count || !(options.min || options.max) {
        return uids.clone();
    }
    let ends = [uids.first().filter(|_| options.min), uids.last().filter(|_| options.max)];
    ends.into_iter().flatten().collect()
}

async fn plain<W: Wire>(found: &Ranges, modseq: Option<u64>, out: &mut Out<W>) -> Result<(), Fail> {
    out.writer.text("* SEARCH");
    for number in found.iter() {
        out.writer.text(" ").text(number);
        out.flush_full().await?;
    }
    if let Some(modseq) = modseq {
        out.writer.text(format_args!(" (MODSEQ {modseq})"));
    }
    out.writer.text("\r\n");
    Ok(())
}

fn extended<W: Wire>(
    tag: &str,
    uid: bool,
    found: &Ranges,
    modseq: Option<u64>,
    options: SearchOptions,
    out: &mut Out<W>,
) {
    let returns = options.min || options.max || options.all || options.count;
    if !returns {
        // only SAVE
        return;
    }
    let w = &mut out.writer;
    w.text("* ESEARCH (TAG ");
    w.string(tag);
    w.text(if uid { ") UID" } else { ")" });
    if let (Some(first), Some(last)) = (found.first(), found.last()) {
        if options.min {
            w.text(" MIN ").text(first);
        }
        if options.max {
            w.text(" MAX ").text(last);
        }
        if options.all {
            w.text(" ALL ").text(found);
        }
    }
    if options.count {
        w.text(" COUNT ").text(found.count());
    }
    if let Some(modseq) = modseq {
        w.text(" MODSEQ ").text(modseq);
    }
    w.text("\r\n");
}
