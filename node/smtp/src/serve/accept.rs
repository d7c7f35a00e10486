//! Taking responsibility for a message: one request to the store for all recipients.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    time::Duration,
};

use bytes::Bytes;
use posthouse_cluster::GroupId;
use posthouse_directory::{AccountId, Target};
use posthouse_store::{
    DeliveryId, Envelope, LocalRecipient, MailboxId, Message, Refusal, RelayRecipient, Request,
    Response, StoreError,
};

use super::{
    Context,
    connection::Peer,
    recipient::{create_mailboxes, parse_remote, unavailable},
};
use crate::{
    codec::{BodyType, Reply},
    message::{Trace, complete, with_trace},
    session::{Transaction, User},
};

/// NOTIFY bit of RFC 3461 §4.1.
const SUCCESS: u8 = 1;
/// Most mailboxes and outside addresses of one message after groups and aliases are resolved.
pub(crate) const MAX_TARGETS: usize = 20_000;
/// Rounds of making mailboxes, moving full ones aside and choosing another store before the client is told to try again.
const MAX_ROUNDS: usize = 8;
/// How long one store is waited for: longer than it takes to elect a leader.
const PATIENCE: Duration = Duration::from_secs(4);

/// Where a message goes.
#[derive(Clone, Debug, Default)]
struct Plan {
    /// With the address and NOTIFY that it was asked for.
    local: BTreeMap<MailboxId, (String, u8)>,
    relay: Vec<RelayRecipient>,
    relayed: HashSet<String>,
}

impl Plan {
    fn relay(&mut self, recipient: RelayRecipient) {
        if self.relayed.insert(recipient.address.clone()) {
            self.relay.push(recipient);
        }
    }

    fn of(transaction: &Transaction) -> Self {
        let mut plan = Self::default();
        for recipient in &transaction.recipients {
            if plan.len() > MAX_TARGETS {
                return plan;
            }
            let relay = |address: String| RelayRecipient {
                original: recipient.original.clone().or_else(|| {
                    let given = recipient.address.to_string();
                    (given != address && given.is_ascii()).then(|| format!("rfc822;{given}"))
                }),
                address,
                notify: recipient.notify,
            };
            let alone = recipient.targets.len() == 1;
            for target in &recipient.targets {
                match target {
                    // a report of success is owed: the spool delivers and reports in one step
                    Target::Mailbox(_) if alone && recipient.notify & SUCCESS != 0 => {
                        plan.relay(relay(recipient.address.to_string()));
                    }
                    Target::Mailbox(account) => {
                        let asked = (recipient.address.to_string(), recipient.notify);
                        plan.local.entry(MailboxId(account.0)).or_insert(asked);
                    }
                    Target::Remote(address) => plan.relay(relay(address.clone())),
                }
            }
        }
        plan
    }

    fn local(&self) -> Vec<LocalRecipient> {
        let recipient = |(mailbox, (address, _)): (&MailboxId, &(String, u8))| LocalRecipient {
            mailbox: *mailbox,
            address: address.clone(),
        };
        self.local.iter().map(recipient).collect()
    }

    fn len(&self) -> usize {
        self.local.len() + self.relay.len()
    }
}

impl Context {
    /// Accepts the message, or says why not. [`Reply::Accepted`] only after a majority has it on disk.
    pub(super) async fn accept(
        &self,
        peer: &Peer,
        user: Option<&User>,
        transaction: Transaction,
    ) -> Reply {
        let id = format!("{:016x}", self.env.random.u64());
        let size = transaction.message.len();
        let reply = match self.prepare(peer, user, &id, &transaction) {
            Ok(message) => self.deliver(&transaction, message).await,
            Err(reply) => reply,
        };
        let sender = transaction.sender().map(ToString::to_string).unwrap_or_default();
        let recipients: Vec<_> =
            transaction.recipients.iter().take(10).map(|r| r.address.to_string()).collect();
        let count = transaction.recipients.len();
        let name = user.map(|user| &user.name);
        tracing::info!(target: "mail", id, ?sender, ?recipients, count, size, from = %peer.address, user = ?name,
            helo = ?peer.helo, code = reply.code(), "message {}", if reply.is_error() { "refused" } else { "accepted" });
        let outcome = if reply.is_error() { "refused" } else { "accepted" };
        metrics::counter!("posthouse_smtp_messages_total", "outcome" => outcome).increment(1);
        reply
    }

    /// The message as it is stored.
    fn prepare(
        &self,
        peer: &Peer,
        user: Option<&User>,
        id: &str,
        transaction: &Transaction,
    ) -> Result<Vec<u8>, Reply> {
        let at = self.env.clock.now();
        let sender = transaction.sender().map(ToString::to_string);
        let recipient = match transaction.recipients.as_slice() {
            [only] => Some(only.address.to_string()),
            _ => None,
        };
        let trace = Trace {
            helo: peer.helo.clone(),
            address: user.is_none().then_some(peer.address),
            host: self.host.clone(),
            with: with(transaction.mail.parameters.utf8, peer, user.is_some()),
            tls: peer.tls.clone(),
            id: id.to_owned(),
            recipient,
            at,
        };
        let envelope_sender = sender.clone().unwrap_or_default();
        let Some(user) = user else {
            return Ok(with_trace(&envelope_sender, &trace, &transaction.message));
        };
        let done = complete(&transaction.message, sender.as_deref(), &self.host, id, at)?;
        let foreign = done.claimed.iter().find(|a| !self.directory.may_send_as(user.account, a));
        if let Some(foreign) = foreign {
            tracing::info!(target: "security", user = ?user.name, claimed = ?foreign, "From or Sender of somebody else");
            return Err(Reply::FromNotYours);
        }
        Ok(with_trace(&envelope_sender, &trace, &done.message))
    }

    async fn deliver(&self, transaction: &Transaction, message: Vec<u8>) -> Reply {
        let mut plan = Plan::of(transaction);
        if plan.len() > MAX_TARGETS {
            return Reply::TooManyRecipients;
        }
        let parameters = &transaction.mail.parameters;
        let envelope = Envelope {
            sender: transaction.sender().map(ToString::to_string).unwrap_or_default(),
            envelope_id: parameters.envelope_id.clone(),
            return_full: parameters.return_full,
            eight_bit: parameters.body == BodyType::EightBitMime || !message.is_ascii(),
            utf8: parameters.utf8,
        };
        let message = Message(Bytes::from(message));
        let delivery = DeliveryId(self.env.random.u128());
        let stores = self.stores.patient(PATIENCE);
        let mut excluded = BTreeSet::new();
        let mut reply = Reply::StoreUnavailable;
        for _ in 0..MAX_ROUNDS {
            let Some(store) = self.choose(&plan, &excluded) else { return reply };
            let Some(share) = self.share(&plan, store) else { return reply };
            let nothing_relayed = share.relay.is_empty();
            let request = Request::DeliverOnce {
                delivery,
                envelope: envelope.clone(),
                local: share.local(),
                relay: share.relay,
                message: message.clone(),
            };
            match stores.request_in(store, request).await {
                Ok(Response::Accepted { .. }) => return Reply::Accepted,
                Ok(Response::Refused(Refusal::NoSuchMailbox(_))) => {
                    let mailboxes = share.local.into_keys();
                    if let Err(error) = create_mailboxes(&stores, &self.directory, mailboxes).await
                    {
                        return unavailable(&error);
                    }
                }
                Ok(Response::Refused(Refusal::OverQuota(full))) => {
                    if !self.set_aside(&mut plan, &full) {
                        return Reply::MailboxFull;
                    }
                }
                Ok(Response::Refused(
                    Refusal::Moving(mailbox) | Refusal::Moved { mailbox, .. },
                )) => {
                    if !self.put_aside(&mut plan, mailbox) {
                        return Reply::StoreUnavailable;
                    }
                }
                Ok(other) => {
                    tracing::error!(target: "error", ?other, "the store refused a message");
                    return Reply::StoreUnavailable;
                }
                // certainly not done there, or done for mailboxes that get it once by any way
                Err(error @ (StoreError::OutOfReach(_) | StoreError::Unavailable(_)))
                    if nothing_relayed || matches!(error, StoreError::OutOfReach(_)) =>
                {
                    reply = unavailable(&error);
                    excluded.insert(store);
                }
                Err(error) => return unavailable(&error),
            }
        }
        reply
    }

    /// The store that takes responsibility: the recipients' if it is one; else one that is led here or can be reached.
    fn choose(&self, plan: &Plan, excluded: &BTreeSet<GroupId>) -> Option<GroupId> {
        let targets: BTreeSet<GroupId> =
            plan.local.keys().map(|mailbox| self.stores.store_of(*mailbox)).collect();
        let one = targets.first().copied().filter(|_| targets.len() == 1);
        let led = self.stores.led_here();
        let all = self.stores.all();
        let answers = |store: &GroupId| self.stores.answers(*store);
        let in_order = one
            .filter(answers)
            .into_iter()
            .chain(led.iter().copied().filter(|store| targets.contains(store)))
            .chain(led.iter().copied())
            .chain(targets.iter().copied().filter(answers))
            .chain(all.iter().copied().filter(answers))
            .chain(all.iter().copied());
        in_order.into_iter().find(|store| !excluded.contains(store))
    }

    /// What `store` is asked to take: its mailboxes, and everybody else into its spool. `None` if somebody has no address
    /// to be spooled for.
    fn share(&self, plan: &Plan, store: GroupId) -> Option<Plan> {
        let mut share = Plan { local: BTreeMap::new(), ..plan.clone() };
        for (mailbox, asked) in &plan.local {
            if self.stores.store_of(*mailbox) == store {
                share.local.insert(*mailbox, asked.clone());
            } else {
                share.relay(self.spooled(*mailbox, asked.1)?);
            }
        }
        Some(share)
    }

    /// A mailbox as a recipient in the spool.
    fn spooled(&self, mailbox: MailboxId, notify: u8) -> Option<RelayRecipient> {
        let account = self.directory.account(AccountId(mailbox.0));
        let address = account.and_then(|account| self.directory.address_of(&account));
        let address = address.filter(|address| parse_remote(address).is_some())?;
        Some(RelayRecipient { address, original: None, notify: notify & !SUCCESS })
    }

    /// Moves full mailboxes to the spool, so that one full member does not keep a message from a group: it is tried again
    /// until there is room or it is given up with a report. False when nobody else is left.
    fn set_aside(&self, plan: &mut Plan, full: &[MailboxId]) -> bool {
        let full: BTreeSet<&MailboxId> = full.iter().collect();
        if plan.relay.is_empty() && plan.local.keys().all(|mailbox| full.contains(mailbox)) {
            return false;
        }
        full.into_iter().all(|mailbox| self.put_aside(plan, *mailbox))
    }

    /// False if the mailbox has no address to be spooled for.
    fn put_aside(&self, plan: &mut Plan, mailbox: MailboxId) -> bool {
        let Some((_, notify)) = plan.local.get(&mailbox) else { return true };
        let Some(recipient) = self.spooled(mailbox, *notify) else { return false };
        plan.local.remove(&mailbox);
        plan.relay(recipient);
        true
    }
}

fn with(utf8: bool, peer: &Peer, signed_on: bool) -> &'static str {
    match (utf8, peer.extended, peer.tls.is_some(), signed_on) {
        (false, false, ..) => "SMTP",
        (false, true, false, false) => "ESMTP",
        (false, true, true, false) => "ESMTPS",
        (false, true, false, true) => "ESMTPA",
        (false, true, true, true) => "ESMTPSA",
        (true, _, false, false) => "UTF8SMTP",
        (true, _, true, false) => "UTF8SMTPS",
        (true, _, false, true) => "UTF8SMTPA",
        (true, _, true, true) => "UTF8SMTPSA",
    }
}
