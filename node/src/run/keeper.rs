//! Every user has a mailbox: made when the directory learns of the user, and kept to the user's quota, by the node that
//! leads the mailbox's store.

use std::{collections::HashSet, sync::Arc, time::Duration};

use posthouse_cluster::GroupId;
use posthouse_directory::{Account, AccountId, Listing, Update, key};
use posthouse_provisioning::Parts;
use posthouse_store::{MailboxId, Quota, Request, Response, StoreError};
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

/// Pause after the store refused to make a mailbox, and between looks at which stores are led here.
const RETRY: Duration = Duration::from_secs(5);
const PAGE: usize = 1000;

/// Runs until `stop`.
pub(super) async fn run(parts: Parts, stop: CancellationToken) {
    let mut updates = parts.directory.updates();
    let mut pending: HashSet<AccountId> = HashSet::new();
    let mut led: Vec<GroupId> = Vec::new();
    loop {
        let now = parts.stores.led_here();
        if now.iter().any(|store| !led.contains(store)) {
            // who led before may not have got to everybody
            pending.extend(everybody(&parts).iter().map(|account| account.id));
        }
        led = now;
        make(&parts, &led, &mut pending).await;
        let update = tokio::select! {
            () = stop.cancelled() => return,
            () = parts.env.clock.sleep(RETRY) => continue,
            update = updates.recv() => update,
        };
        match update {
            Ok(Update::Account(id)) => {
                pending.insert(id);
                while let Ok(Update::Account(id)) = updates.try_recv() {
                    pending.insert(id);
                }
            }
            // The default quota may have changed, or updates were missed: look at everybody.
            Ok(Update::Configuration) | Err(RecvError::Lagged(_)) => {
                pending.extend(everybody(&parts).iter().map(|account| account.id));
            }
            Ok(Update::Ephemeral(_) | Update::Moves) => {}
            Err(RecvError::Closed) => return,
        }
    }
}

/// Makes the mailboxes of `pending` that are in these stores; what could not be done stays in it.
async fn make(parts: &Parts, led: &[GroupId], pending: &mut HashSet<AccountId>) {
    let ids: Vec<_> = pending.iter().copied().collect();
    for id in ids {
        let mailbox = MailboxId(id.0);
        let account = parts.directory.account(id).filter(|account| account.user().is_some());
        if let Some(account) = account
            && led.contains(&parts.stores.store_of(mailbox))
            && let Err(error) = keep(parts, mailbox, quota(parts, &account)).await
        {
            tracing::warn!(target: "warning", %error, "a mailbox could not be made; it is tried again");
            return;
        }
        pending.remove(&id);
    }
}

/// Makes the mailbox or changes its quota, where that is needed: reading first keeps a start from writing
/// once for every user.
async fn keep(parts: &Parts, mailbox: MailboxId, quota: Quota) -> Result<(), StoreError> {
    match parts.stores.request(Request::Quota { mailbox }).await? {
        Response::Quota { quota: present, .. } if present == quota => Ok(()),
        _ => parts.stores.request(Request::CreateMailbox { mailbox, quota }).await.map(drop),
    }
}

fn quota(parts: &Parts, account: &Account) -> Quota {
    let default = Some(parts.directory.integer(key::QUOTA_BYTES)).filter(|bytes| *bytes > 0);
    let user = account.user();
    Quota {
        bytes: user.and_then(|user| user.quota_bytes).or(default),
        items: user.and_then(|user| user.quota_items),
    }
}

fn everybody(parts: &Parts) -> Vec<Arc<Account>> {
    let mut all = Vec::new();
    loop {
        let listing =
            Listing { kind: Some("user"), offset: all.len(), limit: PAGE, ..Listing::default() };
        let (page, total) = parts.directory.list(&listing);
        let done = page.is_empty();
        all.extend(page);
        if done || all.len() >= total {
            return all;
        }
    }
}
