//! Search keys to the store's query.

use posthouse_store::Query;

use super::{Fail, Port, Session};
use crate::codec::{Code, SearchKey};

impl<P: Port> Session<P> {
    /// The query for a search key, within the store's limits.
    pub(super) async fn query(&mut self, key: &SearchKey) -> Result<Query, Fail> {
        if has_sequence(key) {
            self.number().await?;
        }
        let query = self.convert(key)?;
        let mut nodes = 0;
        if depth(&query, &mut nodes) > Query::MAX_DEPTH || nodes > Query::MAX_NODES {
            return Err(Fail::no(Code::Limit, "the search is too complex"));
        }
        Ok(query)
    }

    fn convert(&mut self, key: &SearchKey) -> Result<Query, Fail> {
        Ok(match key {
            SearchKey::All => Query::All,
            SearchKey::And(keys) => {
                let mut all = Vec::new();
                for key in keys {
                    match self.convert(key)? {
                        Query::And(inner) => all.extend(inner),
                        query => all.push(query),
                    }
                }
                Query::And(all)
            }
            // a chain of ORs, as clients write it, becomes one list
            SearchKey::Or(a, b) => {
                let mut any = Vec::new();
                for key in [a, b] {
                    match self.convert(key)? {
                        Query::Or(inner) => any.extend(inner),
                        query => any.push(query),
                    }
                }
                Query::Or(any)
            }
            SearchKey::Not(key) => match self.convert(key)? {
                Query::Not(inner) => *inner,
                query => Query::Not(Box::new(query)),
            },
            SearchKey::Sequence(set) => {
                let view = self.view()?;
                let uids = match (&view.numbering, set.resolve(view.exists)) {
                    (Some(numbering), Some(seqs)) => numbering.uids_of(&seqs),
                    _ => view.saved.clone(),
                };
                Query::Uids(uids.into())
            }
            SearchKey::Uid(set) => {
                let view = self.view()?;
                let last = view.numbering.as_ref().and_then(|numbering| numbering.uids().last());
                let uids = set.resolve(last.unwrap_or(0)).unwrap_or_else(|| view.saved.clone());
                Query::Uids(uids.into())
            }
            SearchKey::System(bits) => Query::System(*bits),
            SearchKey::Keyword(name) => Query::Keyword(name.clone()),
            SearchKey::Header(name, text) => Query::Header(name.clone(), text.clone()),
            SearchKey::Body(text) => Query::Body(text.clone()),
            SearchKey::Text(text) => Query::Text(text.clone()),
            SearchKey::Larger(size) => Query::Larger(*size),
            SearchKey::Smaller(size) => Query::Smaller(*size),
            SearchKey::ReceivedSince(at) => Query::ReceivedSince(*at),
            SearchKey::ReceivedBefore(at) => Query::ReceivedBefore(*at),
            SearchKey::SentSince(at) => Query::SentSince(*at),
            SearchKey::SentBefore(at) => Query::SentBefore(*at),
            SearchKey::ModSeq(modseq) => Query::ModSeq(*modseq),
        })
    }
}

/// Whether sequence numbers, or the last uid, have to be known.
fn has_sequence(key: &SearchKey) -> bool {
    match key {
        SearchKey::Sequence(_) | SearchKey::Uid(_) => true,
        SearchKey::And(keys) => keys.iter().any(has_sequence),
        SearchKey::Or(a, b) => has_sequence(a) || has_sequence(b),
        SearchKey::Not(key) => has_sequence(key),
        _ => false,
    }
}

fn depth(query: &Query, nodes: &mut usize) -> usize {
    *nodes += 1;
    let inner = match query {
        Query::And(all) | Query::Or(all) => {
            all.iter().map(|query| depth(query, nodes)).max().unwrap_or(0)
        }
        Query::Not(query) => depth(query, nodes),
        _ => 0,
    };
    inner + 1
}
