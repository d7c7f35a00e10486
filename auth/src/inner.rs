//! What all sign-ons of a node share.

use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::Duration,
};

use posthouse_cluster::{Timestamp, env::Clock};
use posthouse_directory::Account;
use tokio::sync::Semaphore;

use crate::{
    AuthOptions, FailureRecord, Identity, Mechanism, Origin, Reason,
    explain::{self, Explanation},
    failures::{Failures, escaped},
    identity::usable,
    keytab::Keytabs,
    lockout::{Lockout, Subject},
    password::{Cost, Local, ldap::Binder},
    people::People,
    pool::Pool,
    sessions::Sessions,
    vault::Vault,
};

/// Every refused password is answered after at least this long, whatever was looked at: unknown users, wrong passwords
/// and lock-outs look the same from outside.
const FAILURE_FLOOR: Duration = Duration::from_millis(300);
/// Passwords of one account that are checked at the same time; otherwise many guesses at once would outrun the lock-out.
const CONCURRENT_GUESSES: usize = 3;
/// Most Kerberos sign-ons that wait for a thread; one takes less than a millisecond.
const MAX_WAITING: usize = 1_024;
/// Passwords that are proven by a KDC at the same time, and that wait.
const KDC_CALLS: usize = 8;
const MAX_KDC_WAITING: usize = 64;
/// Accounts are spread over so many queues.
const QUEUES: usize = 1_024;

/// What tests make smaller.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tuning {
    pub(crate) cost: Cost,
    pub(crate) floor: Duration,
}

impl Default for Tuning {
    fn default() -> Self {
        Self { cost: Cost::default(), floor: FAILURE_FLOOR }
    }
}

/// A failed sign-on before it is recorded.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) reason: Reason,
    /// Name or principal, if known.
    pub(crate) name: String,
    /// Whose account it would have been.
    pub(crate) account: Option<Arc<Account>>,
    pub(crate) explanation: Explanation,
}

impl Failure {
    /// Explained by its reason alone.
    pub(crate) fn new(reason: Reason, name: &str, account: Option<Arc<Account>>) -> Self {
        let explanation = explain::reason(&reason);
        Self { reason, name: name.to_owned(), account, explanation }
    }
}

pub(crate) struct Inner {
    pub(crate) people: Arc<dyn People>,
    pub(crate) options: AuthOptions,
    pub(crate) tuning: Tuning,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) vault: Vault,
    pub(crate) local: Local,
    pub(crate) lockout: Lockout,
    pub(crate) sessions: Sessions,
    pub(crate) failures: Failures,
    pub(crate) keytabs: Keytabs,
    /// For calls of the Kerberos library that only compute.
    pub(crate) kerberos: Pool,
    /// For those that wait for a KDC, so that a silent one keeps nobody else waiting.
    pub(crate) kdc: Pool,
    pub(crate) binder: Binder,
    queues: Vec<Semaphore>,
    random: RandomState,
}

impl Inner {
    pub(crate) fn open(
        people: Arc<dyn People>,
        options: AuthOptions,
        tuning: Tuning,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, String> {
        Ok(Self {
            vault: Vault::open(&options.folder)?,
            local: Local::new(tuning.cost)?,
            lockout: Lockout::new(people.clone()),
            sessions: Sessions::new(people.clone()),
            failures: Failures::default(),
            keytabs: Keytabs::new(people.clone(), options.folder.clone()),
            kerberos: Pool::per_core(MAX_WAITING),
            kdc: Pool::new(KDC_CALLS, MAX_KDC_WAITING),
            binder: Binder::default(),
            queues: (0..QUEUES).map(|_| Semaphore::new(CONCURRENT_GUESSES)).collect(),
            random: RandomState::new(),
            people,
            options,
            tuning,
            clock,
        })
    }

    pub(crate) fn has_keytab(&self) -> bool {
        self.keytabs.acceptor().is_some()
    }

    /// Takes the directory's keytab into use, on a blocking thread.
    pub(crate) async fn follow_keytab(self: &Arc<Self>) {
        let inner = self.clone();
        let _ = tokio::task::spawn_blocking(move || inner.keytabs.follow(&inner.vault)).await;
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The queue that guesses at this account, or at this name that nobody has, wait in.
    pub(crate) fn queue(&self, name: &str, account: Option<&Account>) -> Option<&Semaphore> {
        let hash = match account {
            Some(account) => self.random.hash_one(account.id),
            None => self.random.hash_one(name.to_lowercase()),
        };
        self.queues.get(hash as usize % QUEUES)
    }

    /// The identity of a proven account, if it may be used.
    pub(crate) fn identity(
        &self,
        account: Arc<Account>,
        mechanism: Mechanism,
    ) -> Result<Identity, Reason> {
        usable(&account, self.now())?;
        let rights = self.people.rights(account.id);
        Ok(Identity { account, mechanism, rights })
    }

    /// Logs and counts a sign-on.
    pub(crate) fn accepted(&self, identity: &Identity, origin: &Origin) {
        let mechanism = identity.mechanism.name();
        metrics::counter!("posthouse_auth_accepted_total", "mechanism" => mechanism).increment(1);
        tracing::info!(
            target: "security", service = origin.service.kerberos_name(), address = %origin.address,
            mechanism, name = %escaped(&identity.account.name), "signed on"
        );
    }

    /// Logs, counts and records a refusal; locks out after too many guesses.
    pub(crate) fn refused(
        &self,
        failure: Failure,
        mechanism: Mechanism,
        origin: &Origin,
    ) -> Reason {
        let Failure { reason, name, account, explanation } = failure;
        let now = self.now();
        if reason.is_guess() {
            if let Some(account) = &account
                && self.lockout.fail(Subject::Account(account.id), now)
            {
                tracing::warn!(target: "security", name = %escaped(&account.name), "account locked out");
            }
            if self.lockout.fail(Subject::network(origin.address), now) {
                tracing::warn!(target: "security", address = %origin.address, "address locked out");
            }
        }
        let service = origin.service.kerberos_name();
        let (mechanism, name) = (mechanism.name(), escaped(&name));
        metrics::counter!(
            "posthouse_auth_refused_total", "mechanism" => mechanism, "reason" => reason.label()
        )
        .increment(1);
        tracing::warn!(
            target: "security", service, address = %origin.address, mechanism, name = %name,
            reason = %escaped(&reason.to_string()), "sign-on refused"
        );
        self.failures.push(FailureRecord {
            at: now,
            service: service.to_owned(),
            address: origin.address,
            mechanism: mechanism.to_owned(),
            name,
            reason: reason.clone(),
            findings: explanation.findings,
            remedies: explanation.remedies,
        });
        reason
    }
}
