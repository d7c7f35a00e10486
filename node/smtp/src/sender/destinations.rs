//! How many connections a destination gets, and which destinations do not answer at the moment.

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::outcome::Failure;

/// Most connections at a time in all.
pub(crate) const MAX_TOTAL: usize = 32;
/// Most connections at a time to one domain.
pub(crate) const MAX_PER_DOMAIN: usize = 4;
/// How long a domain whose hosts could not be reached is left alone. What is due for it in the meantime is deferred
/// without waiting for the same time-out again.
const DEAD: Duration = Duration::from_secs(60);
/// Domains remembered before idle ones are forgotten.
const MAX_DOMAINS: usize = 10_000;

struct Destination {
    permits: Arc<Semaphore>,
    dead: Option<(Duration, Failure)>,
}

pub(super) struct Destinations {
    total: Arc<Semaphore>,
    domains: Mutex<HashMap<String, Destination>>,
}

/// A place for one connection; given back when dropped.
pub(super) struct Place {
    _domain: OwnedSemaphorePermit,
    _total: OwnedSemaphorePermit,
}

impl Default for Destinations {
    fn default() -> Self {
        Self { total: Arc::new(Semaphore::new(MAX_TOTAL)), domains: Mutex::default() }
    }
}

impl Destinations {
    /// Waits for a place; or why the domain is left alone at the moment. `now` is the monotonic clock.
    pub(super) async fn place(
        &self,
        domain: &str,
        now: impl Fn() -> Duration,
    ) -> Result<Place, Failure> {
        let permits = self.permits(domain, now())?;
        let own = permits.acquire_owned().await;
        // it may have been found dead while this one waited
        self.permits(domain, now())?;
        let total = self.total.clone().acquire_owned().await;
        match (own, total) {
            (Ok(domain), Ok(total)) => Ok(Place { _domain: domain, _total: total }),
            _ => Err(Failure::own("4.3.2", "the service is stopping")),
        }
    }

    fn permits(&self, domain: &str, now: Duration) -> Result<Arc<Semaphore>, Failure> {
        let mut domains = self.domains.lock();
        if domains.len() >= MAX_DOMAINS {
            domains.retain(|_, known| known.permits.available_permits() < MAX_PER_DOMAIN);
        }
        let known = domains.entry(domain.to_owned()).or_insert_with(|| Destination {
            permits: Arc::new(Semaphore::new(MAX_PER_DOMAIN)),
            dead: None,
        });
        match &known.dead {
            Some((until, failure)) if now < *until => Err(failure.clone()),
            _ => Ok(known.permits.clone()),
        }
    }

    /// No host of the domain could be reached.
    pub(super) fn dead(&self, domain: &str, now: Duration, failure: &Failure) {
        if let Some(known) = self.domains.lock().get_mut(domain) {
            known.dead = Some((now + DEAD, failure.clone()));
        }
    }

    /// The domain is tried again at once: an administrator said so, or it answered.
    pub(super) fn alive(&self, domain: &str) {
        if let Some(known) = self.domains.lock().get_mut(domain) {
            known.dead = None;
        }
    }
}
