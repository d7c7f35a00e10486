//! Live connections, so that those which are not believed any more can be renewed or cut.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use rustls::pki_types::CertificateDer;
use tokio::sync::Notify;

use super::{
    connection::Control,
    trust::{Trust, Verdict},
};
use crate::{NodeId, network::Class};

/// How long a connection whose certificate counts no more may go on while a new one is made.
pub(crate) const GRACE: Duration = Duration::from_secs(10);
/// Most connections of a class that one node may have open to this one; the oldest is cut.
const MAX_ACCEPTED: usize = 4;

/// One live connection.
pub(crate) struct Live {
    pub(crate) node: NodeId,
    pub(crate) class: Class,
    /// What the other side showed.
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) control: Arc<Control>,
    /// Asks for a new connection in its place; nothing when the other side made this one.
    pub(crate) renew: Option<Arc<Notify>>,
    /// Since when its certificate does not count.
    pub(crate) doubted: Option<Duration>,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Registry {
    next: AtomicU64,
    live: Mutex<BTreeMap<u64, Live>>,
}

impl Registry {
    /// A number for a connection.
    pub(crate) fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn add(&self, number: u64, live: Live) {
        let mut all = self.live.lock();
        if live.renew.is_none() {
            let same = all.values().filter(|other| {
                other.renew.is_none() && other.node == live.node && other.class == live.class
            });
            let same: Vec<_> = same.map(|other| Arc::clone(&other.control)).collect();
            if let Some(surplus) = (same.len() + 1).checked_sub(MAX_ACCEPTED) {
                for control in same.iter().take(surplus) {
                    control.cut("too many connections of one node");
                }
            }
        }
        all.insert(number, live);
    }

    pub(crate) fn remove(&self, number: u64) {
        self.live.lock().remove(&number);
    }

    /// Judges all connections again.
    pub(crate) fn check(&self, trust: &Trust, now: Duration) {
        let mut all = self.live.lock();
        for live in all.values_mut() {
            match trust.judge(&live.certificate) {
                Ok(_) => live.doubted = None,
                Err(Verdict::Certificate(problem)) => {
                    let since = *live.doubted.get_or_insert(now);
                    if let Some(renew) = &live.renew {
                        renew.notify_one();
                    }
                    if now.saturating_sub(since) >= GRACE {
                        live.control.cut(&problem.to_string());
                    }
                }
                Err(verdict) => live.control.cut(&verdict.to_string()),
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.live.lock().is_empty()
    }

    /// Whether some go on only because a new one may replace them in time.
    pub(crate) fn has_doubts(&self) -> bool {
        self.live.lock().values().any(|live| live.doubted.is_some())
    }

    /// Renews all connections that this node made.
    pub(crate) fn renew(&self) {
        for live in self.live.lock().values() {
            if let Some(renew) = &live.renew {
                renew.notify_one();
            }
        }
    }

    /// Cuts the connections that this node made to `node`, all or but one class.
    pub(crate) fn cut(&self, node: NodeId, but: Option<Class>, why: &str) {
        for live in self.live.lock().values() {
            if live.node == node && live.renew.is_some() && Some(live.class) != but {
                live.control.cut(why);
            }
        }
    }

    /// Cuts everything.
    pub(crate) fn cut_all(&self, why: &str) {
        for live in self.live.lock().values() {
            live.control.cut(why);
        }
    }
}

#[cfg(test)]
impl Registry {
    pub(super) fn len(&self) -> usize {
        self.live.lock().len()
    }

    pub(super) fn rests_on(
        &self,
        authorities: &[&[u8]],
        accepted: bool,
        now: crate::Timestamp,
    ) -> bool {
        let mut roots = rustls::RootCertStore::empty();
        for authority in authorities {
            roots.add(authority.to_vec().into()).unwrap();
        }
        let all = self.live.lock();
        let mut asked = all.values().filter(|live| !accepted || live.renew.is_none());
        asked.all(|live| crate::authority::identify(&live.certificate, &roots, now).is_ok())
    }
}
