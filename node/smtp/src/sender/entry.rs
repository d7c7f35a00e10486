//! One entry of the spool from reading it to recording what became of it.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt, stream::FuturesUnordered};
use posthouse_cluster::{GroupId, Timestamp};
use posthouse_directory::{Target, key};
use posthouse_store::{
    Call, LocalRecipient, MailboxId, Message, Refusal, RelayRecipient, Report, Request, RequestId,
    Response, SpoolEntry, SpoolOutcome, SpoolRecipient, StoreError,
};

use super::{
    SenderContext,
    attempt::Job,
    outcome::{Failure, Outcome},
    report::{Patience, Record},
};
use crate::{
    codec::Address,
    message::{ReportSpec, Reported, build_report},
    serve::{create_mailboxes, is_local, parse_remote},
};

/// Pause before the store is asked again to record outcomes.
const AGAIN: Duration = Duration::from_secs(2);
/// Pause when the message cannot be read.
const UNREADABLE: Duration = Duration::from_secs(3600);

/// Recipients of one entry that are tried together.
enum Group<'a> {
    Here(Vec<&'a SpoolRecipient>),
    Domain(String, Vec<&'a SpoolRecipient>),
    Malformed(&'a SpoolRecipient),
}

pub(super) type Results<'a> = Vec<(&'a SpoolRecipient, Outcome)>;

/// Tries all recipients of an entry and records each group's outcomes as soon as they are known.
pub(super) async fn process(context: &SenderContext, store: GroupId, entry: SpoolEntry) {
    let request = Request::SpoolBody { id: entry.id };
    let message = match context.stores.request_in(store, request).await {
        Ok(Response::Body(body)) => Message(body),
        Ok(_) => return, // removed in the meantime
        Err(StoreError::Damaged(text)) => return unreadable(context, store, &entry, text).await,
        Err(error) => {
            tracing::warn!(target: "warning", id = entry.id.0, %error, "a queued message cannot be read now");
            context.env.clock.sleep(AGAIN).await;
            return;
        }
    };
    let groups = groups(context, &entry);
    let mut left = groups.len();
    let mut running: FuturesUnordered<_> =
        groups.into_iter().map(|group| context.run(store, &entry, group, &message)).collect();
    let mut earliest: Option<Timestamp> = None;
    while let Some(results) = running.next().await {
        left -= 1;
        if results.iter().all(|(_, outcome)| *outcome == Outcome::Untried) {
            continue;
        }
        log(&entry, &results);
        let now = context.env.clock.now();
        let patience = context.patience();
        let mut record = Record::of(&entry, &results, patience, now, context.env.random.as_ref());
        earliest = earliest.into_iter().chain(record.due).min();
        // while others are still running the entry stays due: after a crash they are tried at once
        record.due = if left > 0 { Some(now) } else { earliest };
        context.record(store, &entry, record, &message.0).await;
    }
}

async fn unreadable(context: &SenderContext, store: GroupId, entry: &SpoolEntry, text: String) {
    tracing::error!(target: "error", id = entry.id.0, text, "a queued message is damaged and cannot be sent");
    let deferred = |state: &SpoolRecipient| {
        let error = format!("the stored message is damaged: {text}");
        let outcome = SpoolOutcome::Deferred { error, delay_reported: state.delay_reported };
        (state.recipient.address.clone(), outcome)
    };
    let due = Some(context.env.clock.now().after(UNREADABLE));
    let outcomes = entry.recipients.iter().map(deferred).collect();
    context.record(store, entry, Record { outcomes, reported: Vec::new(), due }, b"").await;
}

fn groups<'a>(context: &SenderContext, entry: &'a SpoolEntry) -> Vec<Group<'a>> {
    let mut domains: BTreeMap<String, Vec<&SpoolRecipient>> = BTreeMap::new();
    let (mut groups, mut here) = (Vec::new(), Vec::new());
    for state in &entry.recipients {
        match Address::parse(&state.recipient.address) {
            Some(path) if is_local(&context.directory, path.address.domain()) => {
                here.push(state);
            }
            Some(path) => domains.entry(path.address.domain().to_owned()).or_default().push(state),
            None => groups.push(Group::Malformed(state)),
        }
    }
    if !here.is_empty() {
        groups.push(Group::Here(here));
    }
    groups.extend(domains.into_iter().map(|(domain, states)| Group::Domain(domain, states)));
    groups
}

fn log(entry: &SpoolEntry, results: &Results<'_>) {
    for (state, outcome) in results {
        let (id, address, sender) = (entry.id.0, &state.recipient.address, &entry.envelope.sender);
        let (word, text) = match outcome {
            Outcome::Delivered => ("delivered", "into the mailbox".to_owned()),
            Outcome::Sent { host, .. } => ("sent", host.clone()),
            Outcome::Failed(failure) => ("failed", format!("{} {}", failure.status, failure.text)),
            Outcome::Untried => continue,
            Outcome::Deferred(failure) | Outcome::Waiting(failure) => {
                ("deferred", format!("{} {}", failure.status, failure.text))
            }
        };
        tracing::info!(target: "mail", id, to = ?address, from = ?sender, attempts = state.attempts + 1, text = ?text, "{word}");
        metrics::counter!("posthouse_smtp_sent_total", "outcome" => word).increment(1);
    }
}

impl SenderContext {
    fn patience(&self) -> Patience {
        let hours = |key| Duration::from_secs(self.directory.integer(key).saturating_mul(3600));
        Patience { delay: hours(key::QUEUE_DELAY_HOURS), give_up: hours(key::QUEUE_GIVE_UP_HOURS) }
    }

    async fn run<'a>(
        &self,
        store: GroupId,
        entry: &SpoolEntry,
        group: Group<'a>,
        message: &Message,
    ) -> Results<'a> {
        match group {
            Group::Here(states) => self.deliver_here(store, entry, states, message).await,
            Group::Malformed(state) => {
                let failure = Failure::own("5.1.3", "the address is malformed");
                vec![(state, Outcome::Failed(failure))]
            }
            Group::Domain(domain, states) => {
                if !self.may_send(store).await {
                    return states.into_iter().map(|state| (state, Outcome::Untried)).collect();
                }
                let recipients = states.iter().map(|state| &state.recipient).collect();
                let (domain, envelope) = (domain.as_str(), &entry.envelope);
                let leads = || self.leads(store);
                let job = Job { domain, envelope, recipients, message: &message.0, leads: &leads };
                states.into_iter().zip(self.attempt(&job).await).collect()
            }
        }
    }

    /// Records outcomes and spools the report in one step. What the next hop took must not be forgotten while this
    /// program runs: repeated until the store has it.
    async fn record(&self, store: GroupId, entry: &SpoolEntry, record: Record, message: &[u8]) {
        let due = record.due.unwrap_or_else(|| self.env.clock.now());
        let report = self.report(store, entry, &record.reported, message);
        self.make_mailboxes(report.as_ref()).await;
        let outcomes = record.outcomes;
        let request =
            Request::SpoolUpdate { id: entry.id, outcomes, due, report: report.map(Box::new) };
        match self.insist(store, request).await {
            // not found: an administrator has removed it
            Some(Response::Done | Response::Refused(Refusal::NotFound)) | None => {}
            Some(other) => {
                tracing::error!(target: "error", id = entry.id.0, ?other, "the outcome of a delivery is refused");
            }
        }
    }

    /// A sender may never have got mail: the store would drop the report.
    async fn make_mailboxes(&self, report: Option<&Report>) {
        let local = report.iter().flat_map(|report| &report.local);
        let mailboxes = local.map(|recipient| recipient.mailbox);
        if let Err(error) = create_mailboxes(&self.stores, &self.directory, mailboxes).await {
            tracing::error!(target: "error", %error, "a mailbox cannot be made");
        }
    }

    /// Repeats a request with one id until there is an answer; `None` when the service stops.
    async fn insist(&self, store: GroupId, request: Request) -> Option<Response> {
        let id = RequestId(self.env.random.u128());
        let call = Call { id, at: self.env.clock.now(), request };
        loop {
            match self.stores.call_in(store, call.clone()).await {
                Ok(response) => return Some(response),
                Err(error) => {
                    tracing::error!(target: "error", %error, "the outcome of a delivery cannot be recorded, trying again");
                }
            }
            tokio::select! {
                () = self.env.clock.sleep(AGAIN) => {}
                () = self.stop.cancelled() => return None,
            }
        }
    }

    fn report(
        &self,
        store: GroupId,
        entry: &SpoolEntry,
        reported: &[Reported],
        message: &[u8],
    ) -> Option<Report> {
        let sender = &entry.envelope.sender;
        if reported.is_empty() || sender.is_empty() {
            return None;
        }
        let resolution = self.directory.resolve(sender);
        let (mut local, mut relay) = (Vec::new(), Vec::new());
        let to = |address: String| RelayRecipient { address, original: None, notify: 0 };
        if resolution.local_domain {
            for target in resolution.targets {
                match target {
                    Target::Mailbox(account) => local.push(LocalRecipient {
                        mailbox: MailboxId(account.0),
                        address: sender.clone(),
                    }),
                    Target::Remote(address) => {
                        relay.extend(parse_remote(&address).map(|_| to(address)))
                    }
                }
            }
        } else {
            relay.extend(parse_remote(sender).map(|_| to(sender.clone())));
        }
        if local.iter().any(|recipient| self.stores.store_of(recipient.mailbox) != store) {
            // by the spool, which finds them all
            local.clear();
            relay = parse_remote(sender).map(|_| to(sender.clone())).into_iter().collect();
        }
        if local.is_empty() && relay.is_empty() {
            tracing::warn!(target: "mail", id = entry.id.0, ?sender, "nobody to report to");
            return None;
        }
        let id = format!("{:016x}.{}", self.env.random.u64(), entry.id.0);
        let bytes = build_report(&ReportSpec {
            host: &self.host,
            to: sender,
            envelope_id: entry.envelope.envelope_id.as_deref(),
            arrival: entry.accepted,
            give_up: entry.accepted.after(self.patience().give_up),
            at: self.env.clock.now(),
            id: &id,
            return_full: entry.envelope.return_full,
            original: message,
            recipients: reported,
        });
        metrics::counter!("posthouse_smtp_reports_total").increment(1);
        Some(Report { local, relay, message: Message(Bytes::from(bytes)) })
    }
}
