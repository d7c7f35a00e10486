//! Wakes the sessions that an event concerns, and only those.

use std::{
    collections::HashMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;
use posthouse_directory::Update;
use posthouse_store::{Event, FolderId, MailboxId};
use tokio::sync::{
    Notify,
    broadcast::{self, error::RecvError},
};

/// No folder has this number.
const NOTHING: u64 = u64::MAX;

/// What one session is told.
pub(crate) struct Signal {
    folder: AtomicU64,
    changed: AtomicBool,
    account: AtomicBool,
    notify: Notify,
}

/// All sessions by mailbox.
#[derive(Default)]
pub(crate) struct Hub(Mutex<HashMap<MailboxId, Vec<Arc<Signal>>>>);

/// A session's place in the hub; given up when dropped.
pub(crate) struct Watch {
    hub: Arc<Hub>,
    mailbox: MailboxId,
    signal: Arc<Signal>,
}

impl Hub {
    /// Starts following the events. Ends when the hub is dropped or its sources end.
    pub(crate) fn start(
        events: broadcast::Receiver<Event>,
        updates: broadcast::Receiver<Update>,
    ) -> Arc<Self> {
        let hub = Arc::new(Self::default());
        tokio::spawn(follow(Arc::downgrade(&hub), events, |hub, event| match event {
            Some(Event::Folder { mailbox, folder, .. }) => {
                hub.tell(Some(mailbox), |signal| {
                    let is_watched = signal.folder.load(Ordering::SeqCst) == folder.0;
                    is_watched.then(|| signal.changed.store(true, Ordering::SeqCst)).is_some()
                });
            }
            Some(Event::Folders { .. } | Event::Spool) => {}
            Some(Event::Missed) | None => hub.tell(None, |signal| {
                signal.changed.store(true, Ordering::SeqCst);
                true
            }),
        }));
        tokio::spawn(follow(Arc::downgrade(&hub), updates, |hub, update| {
            let whose = match update {
                Some(Update::Account(account)) => Some(MailboxId(account.0)),
                Some(Update::Ephemeral(_) | Update::Moves) => return,
                Some(Update::Configuration) | None => None,
            };
            hub.tell(whose, |signal| {
                signal.account.store(true, Ordering::SeqCst);
                true
            });
        }));
        hub
    }

    /// Watches a mailbox.
    pub(crate) fn watch(self: &Arc<Self>, mailbox: MailboxId) -> Watch {
        let signal = Arc::new(Signal {
            folder: AtomicU64::new(NOTHING),
            changed: AtomicBool::new(false),
            account: AtomicBool::new(true),
            notify: Notify::new(),
        });
        self.0.lock().entry(mailbox).or_default().push(signal.clone());
        Watch { hub: self.clone(), mailbox, signal }
    }

    fn tell(&self, whose: Option<MailboxId>, mark: impl Fn(&Signal) -> bool) {
        let sessions = self.0.lock();
        let concerned: Vec<&Arc<Signal>> = match whose {
            Some(mailbox) => sessions.get(&mailbox).into_iter().flatten().collect(),
            None => sessions.values().flatten().collect(),
        };
        for signal in concerned {
            if mark(signal) {
                signal.notify.notify_one();
            }
        }
    }
}

/// Hands over events; `None` when some were missed.
async fn follow<E: Clone>(
    hub: Weak<Hub>,
    mut events: broadcast::Receiver<E>,
    on_event: impl Fn(&Hub, Option<E>),
) {
    loop {
        let event = match events.recv().await {
            Ok(event) => Some(event),
            Err(RecvError::Lagged(_)) => None,
            Err(RecvError::Closed) => return,
        };
        match hub.upgrade() {
            Some(hub) => on_event(&hub, event),
            None => return,
        }
    }
}

impl Watch {
    /// Says which folder's changes are of interest.
    pub(crate) fn folder(&self, folder: Option<FolderId>) {
        self.signal.folder.store(folder.map_or(NOTHING, |folder| folder.0), Ordering::SeqCst);
    }

    /// Whether the folder may have changed since this was last asked.
    pub(crate) fn take_changed(&self) -> bool {
        self.signal.changed.swap(false, Ordering::SeqCst)
    }

    /// Whether the account may have changed since this was last asked.
    pub(crate) fn take_account(&self) -> bool {
        self.signal.account.swap(false, Ordering::SeqCst)
    }

    /// Returns when there may be something.
    pub(crate) async fn notified(&self) {
        self.signal.notify.notified().await;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut sessions = self.hub.0.lock();
        if let Some(signals) = sessions.get_mut(&self.mailbox) {
            signals.retain(|signal| !Arc::ptr_eq(signal, &self.signal));
            if signals.is_empty() {
                sessions.remove(&self.mailbox);
            }
        }
    }
}
