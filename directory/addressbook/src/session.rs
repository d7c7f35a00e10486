//! What a connection may do, in which order. Knows no socket, no clock and no directory: events in, actions out.

mod reply;
#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use ldap3_proto::{
    control::{LdapControl, ServerSortRequet as SortKey},
    proto::{
        LdapBindCred, LdapBindRequest, LdapCompareRequest, LdapExtendedRequest, LdapMsg, LdapOp,
        LdapResultCode as Code, LdapSearchRequest, LdapSearchScope as Scope, OID_WHOAMI,
    },
};
use posthouse_auth::Reason;
use posthouse_directory::AccountId;

use crate::{
    codec::{Operation, Request},
    tree::Entry,
};
pub(crate) use reply::{Answer, notice};

/// StartTLS (RFC 4511 §4.14.1).
pub(crate) const START_TLS: &str = "1.3.6.1.4.1.1466.20037";
/// Paged results (RFC 2696).
pub(crate) const PAGED: &str = "1.2.840.113556.1.4.319";
/// Server-side sorting (RFC 2891).
pub(crate) const SORT: &str = "1.2.840.113556.1.4.473";
/// ManageDsaIT (RFC 3296): there are no referrals, so that it changes nothing.
pub(crate) const MANAGE_DSA_IT: &str = "2.16.840.1.113730.3.4.2";
/// Controls that are understood.
pub(crate) const CONTROLS: &[&str] = &[PAGED, SORT, MANAGE_DSA_IT];

/// Searches that one connection may have under way.
pub(crate) const MAX_SEARCHES: usize = 4;
/// Paged searches that one connection may leave open; the oldest gives way.
const MAX_OPEN_PAGES: usize = 4;
/// Failed sign-ons after which a connection is closed.
const MAX_FAILURES: u32 = 5;
/// Keys that a search may be sorted by.
const MAX_SORT_KEYS: usize = 4;
/// Longest name or SASL token in a bind, in bytes.
const MAX_NAME: usize = 1_024;

/// Who is signed on.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Bound {
    pub(crate) account: AccountId,
    /// Authorization identity (RFC 4513 §5.2.1.8): `u:` and the address.
    pub(crate) identity: String,
}

/// A search to run.
#[derive(Debug, PartialEq)]
pub(crate) struct Job {
    pub(crate) id: i32,
    pub(crate) request: LdapSearchRequest,
    /// Entries of one page, if it is paged.
    pub(crate) page: Option<usize>,
    /// Rest of an earlier page.
    pub(crate) resume: Option<Rest>,
    pub(crate) sort: Vec<SortKey>,
}

/// Entries of a paged search that were not sent yet.
#[derive(Clone, Debug)]
pub(crate) struct Rest(pub(crate) Arc<Vec<Entry>>);

impl PartialEq for Rest {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// How a search ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) id: i32,
    pub(crate) code: Code,
    pub(crate) message: String,
    pub(crate) rest: Option<Rest>,
    pub(crate) sorted: Option<Result<(), String>>,
}

/// What is to be done.
#[derive(Debug, PartialEq)]
pub(crate) enum Action {
    Send(Box<LdapMsg>),
    /// Begin TLS. What was read beyond the request is an attack.
    StartTls,
    /// Verify a password and report with [`Session::on_bind`].
    Password {
        id: i32,
        name: String,
        password: String,
    },
    /// Start (with a mechanism) or go on with a SASL exchange, and report with [`Session::on_bind`].
    Sasl {
        id: i32,
        mechanism: Option<String>,
        token: Vec<u8>,
    },
    Search(Box<Job>),
    Compare {
        id: i32,
        request: LdapCompareRequest,
    },
    /// End a search without an answer.
    Stop(i32),
    Close,
}

/// What comes of a bind.
#[derive(Debug)]
pub(crate) enum BindStep {
    /// SASL goes on with this challenge.
    Challenge(Vec<u8>),
    /// Signed on; last data of SASL.
    Done(Bound, Option<Vec<u8>>),
    Failed(Reason),
}

struct Page {
    cookie: Vec<u8>,
    request: LdapSearchRequest,
    rest: Rest,
}

/// One connection.
pub(crate) struct Session {
    tls: bool,
    bound: Option<Bound>,
    /// Mechanism of the SASL exchange that waits for the client.
    sasl: Option<String>,
    failures: u32,
    searches: HashMap<i32, Option<LdapSearchRequest>>,
    pages: VecDeque<Page>,
}

impl Session {
    pub(crate) fn new(tls: bool) -> Self {
        Self {
            tls,
            bound: None,
            sasl: None,
            failures: 0,
            searches: HashMap::new(),
            pages: VecDeque::new(),
        }
    }

    /// Whether the connection is under TLS.
    pub(crate) fn is_tls(&self) -> bool {
        self.tls
    }

    /// Who is signed on.
    pub(crate) fn bound(&self) -> Option<&Bound> {
        self.bound.as_ref()
    }

    /// Whether searches are under way.
    pub(crate) fn is_busy(&self) -> bool {
        !self.searches.is_empty()
    }

    /// A request came. `still_valid`: whether who is signed on may still be.
    pub(crate) fn on_request(&mut self, request: Request, still_valid: bool) -> Vec<Action> {
        if self.bound.is_some() && !still_valid {
            return vec![
                Action::Send(Box::new(notice(
                    Code::StrongerAuthRequired,
                    "the account may no longer sign on",
                ))),
                Action::Close,
            ];
        }
        let answer = Answer::to(request.id, request.operation);
        if request.operation == Operation::Unbind {
            return vec![Action::Close];
        }
        if self.searches.contains_key(&request.id) {
            let text = "a message ID is used twice";
            return vec![Action::Send(Box::new(notice(Code::ProtocolError, text))), Action::Close];
        }
        let unknown = request.critical.iter().any(|oid| !CONTROLS.contains(&oid.as_str()));
        let only_search = request.critical.iter().any(|oid| oid == PAGED || oid == SORT);
        let is_search = request.operation == Operation::Search;
        if request.operation != Operation::Abandon && (unknown || (only_search && !is_search)) {
            return answer
                .refuse(Code::UnavailableCriticalExtension, "a critical control is not supported");
        }
        let Some(op) = request.op else {
            return answer.refuse(Code::ProtocolError, "the request makes no sense");
        };
        if self.sasl.is_some() && !matches!(op, LdapOp::BindRequest(_) | LdapOp::AbandonRequest(_))
        {
            return answer.refuse(Code::OperationsError, "the sign-on is not finished");
        }
        match op {
            LdapOp::BindRequest(bind) => self.bind(answer, bind),
            LdapOp::SearchRequest(search) => {
                self.search(answer, search, &request.controls, &request.critical)
            }
            LdapOp::CompareRequest(request) => self.compare(answer, request),
            LdapOp::AbandonRequest(id) => self.abandon(id),
            LdapOp::ExtendedRequest(extended) => self.extended(answer, &extended),
            _ => answer.refuse(Code::UnwillingToPerform, "the address book is for reading"),
        }
    }

    fn bind(&mut self, answer: Answer, bind: LdapBindRequest) -> Vec<Action> {
        // a bind ends what is under way, and whoever was signed on no longer is (RFC 4511 §4.2.1)
        let mut actions: Vec<Action> =
            self.searches.drain().map(|(id, _)| Action::Stop(id)).collect();
        self.bound = None;
        self.pages.clear();
        let refuse = |mut actions: Vec<Action>, code, text| {
            actions.extend(answer.refuse(code, text));
            actions
        };
        if bind.version != 3 {
            return refuse(actions, Code::ProtocolError, "only version 3 is spoken here");
        }
        if bind.dn.len() > MAX_NAME {
            self.sasl = None;
            return refuse(actions, Code::InvalidDNSyntax, "the name is too long");
        }
        match bind.cred {
            LdapBindCred::Simple(password) => {
                self.sasl = None;
                let empty = (bind.dn.is_empty(), password.is_empty());
                if !self.tls {
                    return refuse(
                        actions,
                        Code::ConfidentialityRequired,
                        "passwords need TLS: StartTLS or LDAPS",
                    );
                }
                match empty {
                    // anonymous, and a name without a password that would prove nothing (RFC 4513 §5.1.1, §5.1.2)
                    (true, _) => refuse(
                        actions,
                        Code::InappropriateAuthentication,
                        "sign on with a name and a password",
                    ),
                    (false, true) => {
                        refuse(actions, Code::UnwillingToPerform, "the password is empty")
                    }
                    (false, false) => {
                        actions.push(Action::Password { id: answer.id(), name: bind.dn, password });
                        actions
                    }
                }
            }
            LdapBindCred::SASL(sasl) => {
                let goes_on = self.sasl.as_deref() == Some(sasl.mechanism.as_str());
                self.sasl = None;
                if sasl.mechanism.is_empty() || sasl.mechanism.len() > 64 {
                    return refuse(
                        actions,
                        Code::AuthMethodNotSupported,
                        "the mechanism is not supported",
                    );
                }
                let mechanism = (!goes_on).then(|| sasl.mechanism.clone());
                self.sasl = Some(sasl.mechanism);
                actions.push(Action::Sasl { id: answer.id(), mechanism, token: sasl.credentials });
                actions
            }
            LdapBindCred::Unsupported => {
                self.sasl = None;
                refuse(actions, Code::AuthMethodNotSupported, "sign on by password or SASL")
            }
        }
    }

    /// A bind has come to an end, or SASL goes on.
    pub(crate) fn on_bind(&mut self, id: i32, step: BindStep) -> Vec<Action> {
        let answer = Answer::to(id, Operation::Bind);
        match step {
            BindStep::Challenge(data) => answer.bind(Code::SaslBindInProgress, "", Some(data)),
            BindStep::Done(bound, last) => {
                self.sasl = None;
                self.failures = 0;
                self.bound = Some(bound);
                answer.bind(Code::Success, "", last)
            }
            BindStep::Failed(reason) => {
                self.sasl = None;
                self.failures += 1;
                let mut actions = answer.bind(self.code_of(&reason), reason.public(), None);
                if self.failures >= MAX_FAILURES {
                    let text = "too many failed sign-ons";
                    actions.push(Action::Send(Box::new(notice(Code::UnwillingToPerform, text))));
                    actions.push(Action::Close);
                }
                actions
            }
        }
    }

    fn code_of(&self, reason: &Reason) -> Code {
        match reason {
            reason if reason.is_temporary() => Code::Unavailable,
            Reason::NotAvailable(_) if !self.tls => Code::ConfidentialityRequired,
            Reason::NotAvailable(_) => Code::AuthMethodNotSupported,
            _ => Code::InvalidCredentials,
        }
    }

    fn search(
        &mut self,
        answer: Answer,
        request: LdapSearchRequest,
        controls: &[LdapControl],
        critical: &[String],
    ) -> Vec<Action> {
        let is_root = request.base.trim().is_empty() && request.scope == Scope::Base;
        if self.bound.is_none() && !is_root {
            return answer.refuse(Code::InsufficentAccessRights, "sign on first");
        }
        if self.searches.len() >= MAX_SEARCHES {
            return answer.refuse(Code::Busy, "too many searches at a time");
        }
        let mut job = Job { id: answer.id(), request, page: None, resume: None, sort: Vec::new() };
        let mut understood = Vec::new();
        for control in controls {
            match control {
                LdapControl::SimplePagedResults { size, cookie } => {
                    understood.push(PAGED);
                    let size = usize::try_from(*size).unwrap_or(0);
                    if !cookie.is_empty() {
                        let Some(rest) = self.take_page(cookie, &job.request) else {
                            return answer.refuse(
                                Code::UnwillingToPerform,
                                "the cookie is not of this search",
                            );
                        };
                        if size == 0 {
                            return answer.search_done(Code::Success, "", vec![paged(Vec::new())]);
                        }
                        job.resume = Some(rest);
                    }
                    job.page = Some(size.max(1));
                }
                LdapControl::ServerSort { sort_requests } => {
                    understood.push(SORT);
                    if sort_requests.len() > MAX_SORT_KEYS {
                        return answer.refuse(Code::UnwillingToPerform, "too many keys to sort by");
                    }
                    job.sort.clone_from(sort_requests);
                }
                _ => {}
            }
        }
        let unread = |oid: &String| {
            [PAGED, SORT].contains(&oid.as_str()) && !understood.contains(&oid.as_str())
        };
        if critical.iter().any(unread) {
            return answer.refuse(Code::ProtocolError, "a control makes no sense");
        }
        let request = job.page.is_some().then(|| job.request.clone());
        self.searches.insert(job.id, request);
        vec![Action::Search(Box::new(job))]
    }

    /// The rest of a paged search of this connection, if the request is the same but for its page.
    fn take_page(&mut self, cookie: &[u8], request: &LdapSearchRequest) -> Option<Rest> {
        let at = self.pages.iter().position(|page| page.cookie == cookie)?;
        let page = self.pages.remove(at)?;
        let same = |a: &LdapSearchRequest, b: &LdapSearchRequest| {
            (&a.base, &a.scope, &a.filter, &a.attrs, a.typesonly)
                == (&b.base, &b.scope, &b.filter, &b.attrs, b.typesonly)
        };
        same(&page.request, request).then_some(page.rest)
    }

    /// A search has ended. `nonce` becomes the cookie, if there is more.
    pub(crate) fn on_search(&mut self, ended: Ended, nonce: u128) -> Vec<Action> {
        let Some(request) = self.searches.remove(&ended.id) else { return Vec::new() };
        let mut controls = Vec::new();
        if let Some(request) = request {
            let mut cookie = Vec::new();
            if let Some(rest) = ended.rest.filter(|rest| !rest.0.is_empty()) {
                cookie = nonce.to_be_bytes().to_vec();
                if self.pages.len() >= MAX_OPEN_PAGES {
                    self.pages.pop_front();
                }
                self.pages.push_back(Page { cookie: cookie.clone(), request, rest });
            }
            controls.push(paged(cookie));
        }
        controls.extend(ended.sorted.map(reply::sort_result));
        Answer::to(ended.id, Operation::Search).search_done(ended.code, &ended.message, controls)
    }

    fn compare(&mut self, answer: Answer, request: LdapCompareRequest) -> Vec<Action> {
        match self.bound {
            None => answer.refuse(Code::InsufficentAccessRights, "sign on first"),
            Some(_) => vec![Action::Compare { id: answer.id(), request }],
        }
    }

    fn abandon(&mut self, id: i32) -> Vec<Action> {
        self.searches.remove(&id).map(|_| Action::Stop(id)).into_iter().collect()
    }

    fn extended(&mut self, answer: Answer, extended: &LdapExtendedRequest) -> Vec<Action> {
        match extended.name.as_str() {
            START_TLS if self.tls => answer.refuse(Code::OperationsError, "TLS is on already"),
            START_TLS if self.is_busy() => {
                answer.refuse(Code::OperationsError, "wait for the searches that are under way")
            }
            START_TLS => {
                let mut actions = answer.extended(Some(START_TLS), None);
                actions.push(Action::StartTls);
                actions
            }
            OID_WHOAMI => {
                let identity = self.bound.as_ref().map(|b| b.identity.clone()).unwrap_or_default();
                answer.extended(None, Some(identity.into_bytes()))
            }
            _ => answer.refuse(Code::ProtocolError, "the extended operation is not supported"),
        }
    }

    /// TLS is on. Nothing that was said before counts (RFC 4513 §3.1.3).
    pub(crate) fn on_tls(&mut self) {
        *self = Self { failures: self.failures, ..Self::new(true) };
    }
}

fn paged(cookie: Vec<u8>) -> LdapControl {
    LdapControl::SimplePagedResults { size: 0, cookie }
}
