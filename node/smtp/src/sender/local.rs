//! Recipients in the spool whose domain is ours: mailboxes that were full, or whose delivery is to be reported, or
//! domains that became ours since. They never go through MX.

use posthouse_directory::Target;
use posthouse_store::{
    Call, LocalRecipient, MailboxId, Message, Refusal, RelayRecipient, Request, RequestId,
    Response, SpoolEntry, SpoolRecipient,
};

use super::{
    SenderContext,
    outcome::{Failure, Outcome},
};
use crate::serve::{create_mailboxes, parse_remote};

/// Rounds of making mailboxes.
const MAX_ROUNDS: u32 = 2;

impl SenderContext {
    /// Delivers to a recipient of ours. The request's id is made from entry, recipient and number of the attempt, so
    /// that a crash before the outcome is recorded does not deliver twice.
    pub(super) async fn deliver_here(
        &self,
        entry: &SpoolEntry,
        state: &SpoolRecipient,
        message: &Message,
    ) -> Outcome {
        let given = &state.recipient;
        let resolution = self.directory.resolve(&given.address);
        if resolution.limit.is_some() {
            return Outcome::Failed(Failure::own("5.4.6", "the address leads round in circles"));
        }
        let (mut local, mut relay) = (Vec::new(), Vec::new());
        for target in resolution.targets {
            match target {
                Target::Mailbox(account) => local.push(LocalRecipient {
                    mailbox: MailboxId(account.0),
                    address: given.address.clone(),
                }),
                Target::Remote(address) if parse_remote(&address).is_some() => {
                    relay.push(RelayRecipient { address, ..given.clone() });
                }
                Target::Remote(_) => {}
            }
        }
        if local.is_empty() && relay.is_empty() {
            return Outcome::Failed(Failure::own("5.1.1", "there is no such mailbox"));
        }
        for round in 0..MAX_ROUNDS {
            let request = Request::Deliver {
                envelope: entry.envelope.clone(),
                local: local.clone(),
                relay: relay.clone(),
                message: message.clone(),
            };
            let id = request_id(entry.id.0, &given.address, state.attempts, round);
            let call = Call { id, at: self.env.clock.now(), request };
            match self.stores.call(call).await {
                Ok(Response::Accepted { .. }) => return Outcome::Delivered,
                Ok(Response::Refused(Refusal::NoSuchMailbox(_))) => {
                    let mailboxes = local.iter().map(|recipient| recipient.mailbox);
                    if let Err(error) =
                        create_mailboxes(&self.stores, &self.directory, mailboxes).await
                    {
                        return Outcome::Deferred(Failure::own("4.3.0", error.to_string()));
                    }
                }
                Ok(Response::Refused(Refusal::OverQuota(_))) => {
                    return Outcome::Deferred(Failure::own("4.2.2", "the mailbox is full"));
                }
                Ok(other) => {
                    tracing::error!(target: "error", ?other, "the store refused a message");
                    return Outcome::Deferred(Failure::own(
                        "4.3.0",
                        "the store refused the message",
                    ));
                }
                Err(error) => return Outcome::Deferred(Failure::own("4.3.0", error.to_string())),
            }
        }
        Outcome::Deferred(Failure::own("4.3.0", "the mailbox cannot be made"))
    }
}

/// The same for the same attempt, whichever run of the program makes it: FNV-1a, 128 bits.
fn request_id(entry: u64, address: &str, attempts: u32, round: u32) -> RequestId {
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    const BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    let number = format!("spool {entry} {attempts} {round} ");
    let bytes = number.bytes().chain(address.bytes());
    RequestId(bytes.fold(BASIS, |hash, byte| (hash ^ u128::from(byte)).wrapping_mul(PRIME)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_has_one_id_and_another_attempt_another() {
        let id = request_id(7, "a@x.test", 0, 0);
        assert_eq!(id, request_id(7, "a@x.test", 0, 0));
        for other in [
            request_id(8, "a@x.test", 0, 0),
            request_id(7, "b@x.test", 0, 0),
            request_id(7, "a@x.test", 1, 0),
            request_id(7, "a@x.test", 0, 1),
        ] {
            assert_ne!(id, other);
        }
    }
}
