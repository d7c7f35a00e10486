//! Recipients in the spool whose domain is ours: mailboxes of other stores, mailboxes that were full, or whose delivery
//! is to be reported, or domains that became ours since. They never go through MX.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use futures_util::future::join_all;
use posthouse_cluster::GroupId;
use posthouse_directory::Target;
use posthouse_store::{
    DeliveryId, LocalRecipient, MailboxId, Message, Refusal, RelayRecipient, Request, Response,
    SpoolEntry, SpoolRecipient, StoreError,
};

use super::{
    SenderContext,
    entry::Results,
    outcome::{Failure, Outcome},
};
use crate::serve::{create_mailboxes, parse_remote};

/// Rounds of making mailboxes and leaving out those that cannot take the message now.
const MAX_ROUNDS: u32 = 6;
/// How long another store is waited for; the entry comes again soon.
const PATIENCE: Duration = Duration::from_secs(4);

/// Where a recipient leads.
struct Route<'a> {
    state: &'a SpoolRecipient,
    mailboxes: Vec<MailboxId>,
    relay: Vec<RelayRecipient>,
}

/// What became of each mailbox; those that are not named have the message.
type Refused = HashMap<MailboxId, Outcome>;

impl SenderContext {
    /// Delivers to recipients of ours, each store's in one request. The id of the delivery is the same for each attempt
    /// and each way, so that a crash before the outcome is recorded does not deliver twice.
    pub(super) async fn deliver_here<'a>(
        &self,
        store: GroupId,
        entry: &SpoolEntry,
        states: Vec<&'a SpoolRecipient>,
        message: &Message,
    ) -> Results<'a> {
        let delivery =
            entry.delivery.unwrap_or_else(|| derived(&format!("{} {}", store.0, entry.id.0)));
        let (mut routes, mut results) = (Vec::new(), Vec::new());
        let mut by_store: BTreeMap<GroupId, BTreeMap<MailboxId, String>> = BTreeMap::new();
        for state in states {
            match self.route(state) {
                Ok(route) => {
                    for mailbox in &route.mailboxes {
                        let of_store = by_store.entry(self.stores.store_of(*mailbox)).or_default();
                        of_store.insert(*mailbox, state.recipient.address.clone());
                    }
                    routes.push(route);
                }
                Err(failure) => results.push((state, Outcome::Failed(failure))),
            }
        }
        let hand_overs = by_store.into_iter().map(|(target, mailboxes)| {
            self.hand_over(target, (delivery, entry), mailboxes, message)
        });
        let refused: Refused = join_all(hand_overs).await.into_iter().flatten().collect();
        for route in routes {
            let outcome = route.mailboxes.iter().find_map(|mailbox| refused.get(mailbox).cloned());
            let outcome = match outcome {
                Some(outcome) => outcome,
                None => self.forward(store, (delivery, entry), &route, message).await,
            };
            results.push((route.state, outcome));
        }
        results
    }

    fn route<'a>(&self, state: &'a SpoolRecipient) -> Result<Route<'a>, Failure> {
        let given = &state.recipient;
        let resolution = self.directory.resolve(&given.address);
        if resolution.limit.is_some() {
            return Err(Failure::own("5.4.6", "the address leads round in circles"));
        }
        let mut route = Route { state, mailboxes: Vec::new(), relay: Vec::new() };
        for target in resolution.targets {
            match target {
                Target::Mailbox(account) => route.mailboxes.push(MailboxId(account.0)),
                Target::Remote(address) if parse_remote(&address).is_some() => {
                    route.relay.push(RelayRecipient { address, ..given.clone() });
                }
                Target::Remote(_) => {}
            }
        }
        if route.mailboxes.is_empty() && route.relay.is_empty() {
            return Err(Failure::own("5.1.1", "there is no such mailbox"));
        }
        Ok(route)
    }

    /// Delivers to mailboxes of one store.
    async fn hand_over(
        &self,
        target: GroupId,
        (delivery, entry): (DeliveryId, &SpoolEntry),
        mut mailboxes: BTreeMap<MailboxId, String>,
        message: &Message,
    ) -> Refused {
        let mut refused = Refused::new();
        let stores = self.stores.patient(PATIENCE);
        for _ in 0..MAX_ROUNDS {
            if mailboxes.is_empty() {
                return refused;
            }
            let local = mailboxes
                .iter()
                .map(|(mailbox, address)| LocalRecipient {
                    mailbox: *mailbox,
                    address: address.clone(),
                })
                .collect();
            let request = Request::DeliverOnce {
                delivery,
                envelope: entry.envelope.clone(),
                local,
                relay: Vec::new(),
                message: message.clone(),
            };
            let mut leave_out = |mailbox: MailboxId, outcome: Outcome| {
                mailboxes.remove(&mailbox);
                refused.insert(mailbox, outcome);
            };
            match stores.request_in(target, request).await {
                Ok(Response::Accepted { .. }) => return refused,
                Ok(Response::Refused(Refusal::NoSuchMailbox(_))) => {
                    let all = mailboxes.keys().copied();
                    if let Err(error) = create_mailboxes(&stores, &self.directory, all).await {
                        refused.extend(mailboxes.into_keys().map(|m| (m, out_of_reach(&error))));
                        return refused;
                    }
                }
                Ok(Response::Refused(Refusal::OverQuota(full))) => {
                    let failure = Failure::own("4.2.2", "the mailbox is full");
                    for mailbox in full {
                        leave_out(mailbox, Outcome::Deferred(failure.clone()));
                    }
                }
                Ok(Response::Refused(
                    refusal @ (Refusal::Moving(mailbox) | Refusal::Moved { mailbox, .. }),
                )) => {
                    let failure = Failure::own("4.3.0", refusal.to_string());
                    leave_out(mailbox, Outcome::Waiting(failure));
                }
                Ok(other) => {
                    tracing::error!(target: "error", ?other, "the store refused a message");
                    let failure = Failure::own("4.3.0", "the store refused the message");
                    let outcome = Outcome::Deferred(failure);
                    refused.extend(mailboxes.into_keys().map(|m| (m, outcome.clone())));
                    return refused;
                }
                Err(error) => {
                    refused.extend(mailboxes.into_keys().map(|m| (m, out_of_reach(&error))));
                    return refused;
                }
            }
        }
        let failure = Failure::own("4.3.0", "the mailbox cannot be made");
        refused.extend(mailboxes.into_keys().map(|m| (m, Outcome::Deferred(failure.clone()))));
        refused
    }

    /// An address of ours that leads outside: a new entry of the same spool.
    async fn forward(
        &self,
        store: GroupId,
        (delivery, entry): (DeliveryId, &SpoolEntry),
        route: &Route<'_>,
        message: &Message,
    ) -> Outcome {
        if route.relay.is_empty() {
            return Outcome::Delivered;
        }
        let address = &route.state.recipient.address;
        let request = Request::DeliverOnce {
            delivery: derived(&format!("{:032x} {address}", delivery.0)),
            envelope: entry.envelope.clone(),
            local: Vec::new(),
            relay: route.relay.clone(),
            message: message.clone(),
        };
        match self.stores.request_in(store, request).await {
            Ok(Response::Accepted { .. }) => Outcome::Delivered,
            Ok(other) => {
                tracing::error!(target: "error", ?other, "the store refused a message");
                Outcome::Deferred(Failure::own("4.3.0", "the store refused the message"))
            }
            Err(error) => out_of_reach(&error),
        }
    }
}

fn out_of_reach(error: &StoreError) -> Outcome {
    let failure = Failure::own("4.3.0", error.to_string());
    match error {
        StoreError::Unavailable(_) | StoreError::OutOfReach(_) => Outcome::Waiting(failure),
        StoreError::Storage(_) | StoreError::Damaged(_) => Outcome::Deferred(failure),
    }
}

/// The same for the same text, whichever run of the program asks: FNV-1a, 128 bits.
fn derived(text: &str) -> DeliveryId {
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    const BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    DeliveryId(text.bytes().fold(BASIS, |hash, byte| (hash ^ u128::from(byte)).wrapping_mul(PRIME)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_derived_from_the_same_is_the_same() {
        assert_eq!(derived("1 7"), derived("1 7"));
        for other in ["1 8", "2 7", "17", ""] {
            assert_ne!(derived("1 7"), derived(other));
        }
    }
}
