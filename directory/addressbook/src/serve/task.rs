//! Searches under way: found on the blocking pool, sent in pieces through a bounded channel.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use ldap3_proto::proto::{LdapFilter, LdapMsg, LdapOp, LdapResultCode as Code};
use posthouse_directory::key;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Context;
use crate::{
    codec::encode,
    compile::compile,
    dn::Dn,
    search::{Found, Query, Refusal, Selection, sort},
    session::{Ended, Job, Rest},
    tree::{Entry, Fixed, Node, Tree},
};

/// Bytes that are gathered before they are sent.
const CHUNK: usize = 32 * 1024;
/// Entries that a paged or sorted search may find in all.
const MAX_FOUND: usize = 500_000;

/// What comes from a search.
pub(super) enum Output {
    Bytes(BytesMut),
    /// The last entries, and the end.
    End(BytesMut, Ended),
}

/// Runs a search and sends what it finds, then its end.
pub(super) async fn run(
    job: Job,
    root: Fixed,
    context: Arc<Context>,
    cancel: CancellationToken,
    out: mpsc::Sender<Output>,
) {
    let id = job.id;
    let work = Work::new(job, context, cancel.clone());
    let ended = tokio::select! {
        () = cancel.cancelled() => return,
        ended = work.run(root, &out) => ended,
    };
    let (bytes, ended) =
        ended.unwrap_or_else(|(code, text)| (BytesMut::new(), failed(id, code, &text)));
    metrics::counter!("posthouse_ldap_searches_total").increment(1);
    let _ = out.send(Output::End(bytes, ended)).await;
}

fn failed(id: i32, code: Code, text: &str) -> Ended {
    Ended { id, code, message: text.to_owned(), rest: None, sorted: None }
}

fn refused(Refusal(code, text): Refusal) -> Failure {
    (code, text.to_owned())
}

struct Work {
    job: Job,
    context: Arc<Context>,
    cancel: CancellationToken,
    tree: Tree,
    deadline: Instant,
    /// Most entries that are sent.
    limit: usize,
}

type Failure = (Code, String);

impl Work {
    fn new(job: Job, context: Arc<Context>, cancel: CancellationToken) -> Self {
        let directory = &context.directory;
        let smaller = |ours: u64, theirs: i32| match u64::try_from(theirs) {
            Ok(theirs) if theirs > 0 => ours.min(theirs),
            _ => ours,
        };
        let seconds = smaller(directory.integer(key::LDAP_TIME_LIMIT), job.request.timelimit);
        let limit = smaller(directory.integer(key::LDAP_SIZE_LIMIT), job.request.sizelimit);
        let tree = Tree::new(directory);
        let deadline = Instant::now() + Duration::from_secs(seconds);
        Self { job, context, cancel, tree, deadline, limit: limit as usize }
    }

    async fn run(
        self,
        root: Fixed,
        out: &mpsc::Sender<Output>,
    ) -> Result<(BytesMut, Ended), Failure> {
        let (found, sorted) = match &self.job.resume {
            Some(Rest(rest)) => (Found { entries: rest.to_vec(), code: Code::Success }, None),
            None => self.find(root).await?,
        };
        let Found { mut entries, mut code } = found;
        let mut rest = None;
        if let Some(page) = self.job.page {
            let page = page.min(self.limit);
            if entries.len() > page {
                rest = Some(Rest(Arc::new(entries.split_off(page))));
            }
        }
        let (late, bytes) = self.send(entries, out).await?;
        if late {
            code = Code::TimeLimitExceeded;
        }
        Ok((bytes, Ended { id: self.job.id, code, message: String::new(), rest, sorted }))
    }

    /// How many entries the search may find: a paged one has more than one answer for them.
    fn findable(&self) -> usize {
        match (self.job.page, usize::try_from(self.job.request.sizelimit)) {
            (None, _) => self.limit,
            (Some(_), Ok(theirs)) if theirs > 0 => theirs.min(MAX_FOUND),
            (Some(_), _) => MAX_FOUND,
        }
    }

    /// A search for one address: on another thread it would wait longer than it takes.
    fn look_up(&self, root: &Fixed) -> Result<Option<Found>, Failure> {
        let single = matches!(self.job.request.filter, LdapFilter::Equality(..));
        if !single || !self.job.sort.is_empty() {
            return Ok(None);
        }
        let query = Query::new(&self.job.request, self.tree.clone(), root.clone());
        let query = query.map_err(refused)?;
        Ok(query.is_look_up().then(|| query.run(self.findable(), &|| false)))
    }

    async fn find(&self, root: Fixed) -> Result<(Found, Option<Result<(), String>>), Failure> {
        if let Some(found) = self.look_up(&root)? {
            return Ok((found, None));
        }
        let late = || (Code::TimeLimitExceeded, String::new());
        let permit = self.context.searches.clone().acquire_owned();
        let deadline = tokio::time::Instant::from_std(self.deadline);
        let permit = tokio::time::timeout_at(deadline, permit).await.map_err(|_| late())?;
        let (request, tree, cancel) =
            (self.job.request.clone(), self.tree.clone(), self.cancel.clone());
        let (keys, limit, deadline) = (self.job.sort.clone(), self.findable(), self.deadline);
        let searched = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let query = Query::new(&request, tree.clone(), root)?;
            let mut found =
                query.run(limit, &|| cancel.is_cancelled() || Instant::now() >= deadline);
            let sorted = (!keys.is_empty()).then(|| sort(&mut found.entries, &keys, &tree));
            Ok((found, sorted))
        });
        match searched.await {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(refusal)) => Err(refused(refusal)),
            Err(_) => Err((Code::Other, "the search failed".to_owned())),
        }
    }

    /// Sends entries, but the last ones, which it returns; true if the time is over before all are.
    async fn send(
        &self,
        entries: Vec<Entry>,
        out: &mpsc::Sender<Output>,
    ) -> Result<(bool, BytesMut), Failure> {
        let selection = Selection::new(&self.job.request);
        let mut bytes = BytesMut::new();
        for entry in entries {
            if Instant::now() >= self.deadline {
                return Ok((true, bytes));
            }
            let Some(entry) = self.present(entry) else { continue };
            let photo = match &entry {
                Entry::Person(person) if selection.wants_photo() => {
                    let read = self.context.directory.photo(person.account.id).await;
                    read.map_err(|_| (Code::Unavailable, "a photo cannot be read".to_owned()))?
                }
                Entry::Person(_) | Entry::Fixed(_) => None,
            };
            let entry = selection.render(&entry, photo, &self.tree);
            encode(LdapMsg::new(self.job.id, LdapOp::SearchResultEntry(entry)), &mut bytes);
            if bytes.len() >= CHUNK {
                let _ = out.send(Output::Bytes(bytes.split())).await;
            }
        }
        Ok((false, bytes))
    }

    /// The entry as it is now: between two pages it may have been hidden or removed.
    fn present(&self, entry: Entry) -> Option<Entry> {
        match (&entry, &self.job.resume) {
            (Entry::Person(person), Some(_)) => {
                let now = self.context.directory.entry(person.account.id)?;
                now.is_shown().then_some(Entry::Person(now))
            }
            _ => Some(entry),
        }
    }
}

/// Compares one value (RFC 4511 §4.10).
pub(super) fn compare(
    tree: &Tree,
    request: &ldap3_proto::proto::LdapCompareRequest,
) -> (Code, &'static str) {
    let Some(node) = Dn::parse(&request.dn).and_then(|name| tree.node(&name)) else {
        return (Code::NoSuchObject, "there is no such entry");
    };
    let Node::Leaf(entry) = node else {
        return (Code::UnwillingToPerform, "only people and groups are compared");
    };
    let Ok(value) = String::from_utf8(request.val.clone()) else {
        return (Code::InvalidAttributeSyntax, "the value is not text");
    };
    let filter = LdapFilter::Equality(request.atype.clone(), value);
    match compile(&filter, tree).and_then(|f| f.matches(&Entry::Person(entry), tree)) {
        Some(true) => (Code::CompareTrue, ""),
        Some(false) => (Code::CompareFalse, ""),
        None => (Code::NoSuchAttribute, "there is no such attribute"),
    }
}
