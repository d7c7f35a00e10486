//! Where a recipient leads: the directory's answer, and whether there is room.

use std::{net::IpAddr, time::Duration};

use posthouse_directory::{AccountId, Directory, Listing, Rights, Target, key};
use posthouse_store::{MailboxId, Quota, Refusal, Request, Response, StoreError, Stores};

use super::Context;
use crate::{
    codec::{Address, RcptTo, Reply},
    session::{Mode, Recipient},
};

/// Most accounts looked at to find who administers, for mail to postmaster.
const MAX_POSTMASTER_SCAN: usize = 1000;

/// How long a store is asked whether there is room.
const PATIENCE: Duration = Duration::from_secs(1);

impl Context {
    /// Answers RCPT.
    pub(super) async fn recipient(
        &self,
        mode: Mode,
        from: IpAddr,
        rcpt: RcptTo,
        size: u64,
    ) -> Result<Recipient, Reply> {
        let now = self.env.clock.monotonic();
        if !mode.is_submission() && self.harvest.is_blocked(from, now) {
            return Err(Reply::TooManyUnknown);
        }
        let result = self.resolve(mode, rcpt, size).await;
        if !mode.is_submission() && result == Err(Reply::NoSuchMailbox) {
            metrics::counter!("posthouse_smtp_unknown_recipients_total").increment(1);
            self.harvest.note(from, now);
        }
        result
    }

    async fn resolve(&self, mode: Mode, rcpt: RcptTo, size: u64) -> Result<Recipient, Reply> {
        let mut address = rcpt.path.address;
        if rcpt.bare_postmaster {
            let primary = self.directory.domains().first().map(|domain| domain.name.clone());
            address = Address::postmaster(&primary.ok_or(Reply::NoSuchMailbox)?);
        }
        let targets = self.targets(mode, &address)?;
        if let [Target::Mailbox(account)] = targets.as_slice() {
            self.check_room(*account, size).await?;
        }
        let (notify, original) = (rcpt.parameters.notify, rcpt.parameters.original);
        Ok(Recipient { address, original, notify, targets })
    }

    fn targets(&self, mode: Mode, address: &Address) -> Result<Vec<Target>, Reply> {
        if address.is_quoted() {
            // no account has such a name, and `"a@b"@ours` must not be taken apart by anybody
            return match (is_local(&self.directory, address.domain()), mode.is_submission()) {
                (true, _) => Err(Reply::NoSuchMailbox),
                (false, true) => Ok(vec![Target::Remote(address.to_string())]),
                (false, false) => Err(Reply::RelayDenied),
            };
        }
        let resolution = self.directory.resolve(&address.to_string());
        if !resolution.local_domain {
            return if mode.is_submission() {
                Ok(vec![Target::Remote(address.to_string())])
            } else {
                Err(Reply::RelayDenied)
            };
        }
        if let Some(limit) = &resolution.limit {
            tracing::warn!(target: "warning", ?limit, address = %address, "recipient cannot be resolved");
            return Err(Reply::Loop);
        }
        let mut targets = resolution.targets;
        targets.retain(|target| match target {
            Target::Mailbox(_) => true,
            Target::Remote(text) => parse_remote(text).is_some(),
        });
        if targets.is_empty() && address.local().eq_ignore_ascii_case("postmaster") {
            targets = self.administrators();
        }
        if targets.is_empty() { Err(Reply::NoSuchMailbox) } else { Ok(targets) }
    }

    /// RFC 5321 §4.5.1: there is always a postmaster.
    fn administrators(&self) -> Vec<Target> {
        let listing =
            Listing { kind: Some("user"), limit: MAX_POSTMASTER_SCAN, ..Listing::default() };
        let (users, _) = self.directory.list(&listing);
        let full = |id: &AccountId| self.directory.rights(*id) == Rights::Full;
        users.iter().map(|user| user.id).filter(full).map(Target::Mailbox).collect()
    }

    /// Refuses when the mailbox is full or would be with a message of the announced size.
    async fn check_room(&self, account: AccountId, size: u64) -> Result<(), Reply> {
        let mailbox = MailboxId(account.0);
        if !self.stores.answers(self.stores.store_of(mailbox)) {
            // the message waits in the spool; whether there is room shows when it is handed over
            return Ok(());
        }
        let wanted = mailbox_quota(&self.directory, account);
        let stores = self.stores.patient(PATIENCE);
        match stores.request(Request::Quota { mailbox }).await {
            Ok(Response::Quota { usage, quota }) => {
                if quota != wanted {
                    let request = Request::CreateMailbox { mailbox, quota: wanted };
                    stores.request(request).await.map_err(|e| unavailable(&e))?;
                }
                let bytes =
                    wanted.bytes.is_some_and(|max| usage.bytes.saturating_add(size.max(1)) > max);
                let items = wanted.items.is_some_and(|max| usage.items >= max);
                if bytes || items { Err(Reply::MailboxFull) } else { Ok(()) }
            }
            Ok(Response::Refused(
                Refusal::NoSuchMailbox(_) | Refusal::Moving(_) | Refusal::Moved { .. },
            ))
            | Err(StoreError::Unavailable(_) | StoreError::OutOfReach(_)) => Ok(()),
            Ok(_) => Err(Reply::StoreUnavailable),
            Err(error) => Err(unavailable(&error)),
        }
    }
}

/// The reply to a store that has no answer.
pub(super) fn unavailable(error: &StoreError) -> Reply {
    tracing::error!(target: "error", %error, "mail cannot be taken");
    match error {
        StoreError::Storage(_) => Reply::DiskFull,
        StoreError::Unavailable(_) | StoreError::OutOfReach(_) | StoreError::Damaged(_) => {
            Reply::StoreUnavailable
        }
    }
}

/// Limits of an account's mailbox: its own, or the default.
pub(crate) fn mailbox_quota(directory: &Directory, account: AccountId) -> Quota {
    let account = directory.account(account);
    let user = account.as_ref().and_then(|account| account.user());
    let default = Some(directory.integer(key::QUOTA_BYTES)).filter(|bytes| *bytes > 0);
    Quota {
        bytes: user.and_then(|user| user.quota_bytes).or(default),
        items: user.and_then(|user| user.quota_items),
    }
}

/// Makes mailboxes that do not exist yet.
pub(crate) async fn create_mailboxes(
    stores: &Stores,
    directory: &Directory,
    mailboxes: impl Iterator<Item = MailboxId>,
) -> Result<(), StoreError> {
    for mailbox in mailboxes {
        let quota = mailbox_quota(directory, AccountId(mailbox.0));
        stores.request(Request::CreateMailbox { mailbox, quota }).await?;
    }
    Ok(())
}

/// An address that an alias names; a malformed one is left out and logged.
pub(crate) fn parse_remote(text: &str) -> Option<Address> {
    let address = Address::parse(text).map(|path| path.address);
    if address.is_none() {
        tracing::warn!(target: "warning", address = ?text, "an alias names an address that cannot be used");
    }
    address
}

pub(crate) fn is_local(directory: &Directory, domain: &str) -> bool {
    directory
        .domains()
        .iter()
        .any(|known| known.name == domain || known.aliases.iter().any(|a| a == domain))
}
