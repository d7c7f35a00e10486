//! One check of one password, whoever it belongs to.

use std::sync::Arc;

use posthouse_directory::{Account, Origin as AccountOrigin, State};
use tokio::time::Instant;

use crate::{
    Identity, Mechanism, Origin, Reason,
    inner::{Failure, Inner},
    lockout::Subject,
    password::{
        mapped,
        text::{Password, check_name},
    },
};

/// A name and a password, as a mechanism brought them.
#[derive(Clone)]
pub(crate) struct Claim {
    pub(crate) mechanism: Mechanism,
    pub(crate) origin: Origin,
    pub(crate) name: String,
    pub(crate) password: Result<Password, Reason>,
    /// Whom to act as; empty: the same.
    pub(crate) authzid: String,
}

/// Checks, counts, logs and records. Goes on to the end when the client hangs up: an attempt that was made counts.
pub(crate) async fn check(inner: Arc<Inner>, claim: Claim) -> Result<Identity, Reason> {
    let task = tokio::spawn(async move {
        let started = Instant::now();
        let result = verify(&inner, &claim).await;
        match result {
            Ok(identity) => {
                inner.lockout.succeed(identity.account.id);
                inner.accepted(&identity, &claim.origin);
                Ok(identity)
            }
            Err(failure) => {
                let reason = inner.refused(failure, claim.mechanism, &claim.origin);
                tokio::time::sleep_until(started + inner.tuning.floor).await;
                Err(reason)
            }
        }
    });
    task.await.unwrap_or(Err(Reason::Busy))
}

async fn verify(inner: &Inner, claim: &Claim) -> Result<Identity, Failure> {
    let early = |reason| Failure::new(reason, &claim.name, None);
    check_name(&claim.name).map_err(early)?;
    if inner.lockout.is_locked(Subject::network(claim.origin.address), inner.now()) {
        return Err(early(Reason::LockedOut("too many failures from this address".to_owned())));
    }
    let account = inner.people.login(&claim.name).filter(|account| account.user().is_some());
    let failed = |reason| Failure::new(reason, &claim.name, account.clone());
    let password = claim.password.as_ref().map_err(|reason| failed(reason.clone()))?;
    let _place = match inner.queue(&claim.name, account.as_deref()) {
        Some(queue) => Some(queue.acquire().await.map_err(|_| failed(Reason::Busy))?),
        None => None,
    };
    let proven = prove(inner, account.clone(), password).await.map_err(failed)?;
    let identity = inner.identity(proven, claim.mechanism).map_err(failed)?;
    if !claim.authzid.is_empty() {
        let other = inner.people.login(&claim.authzid).map(|account| account.id);
        if other != Some(identity.account.id) {
            return Err(failed(Reason::NotAuthorized(claim.authzid.clone())));
        }
    }
    Ok(identity)
}

/// The account, once the password has proven it.
async fn prove(
    inner: &Inner,
    account: Option<Arc<Account>>,
    password: &Password,
) -> Result<Arc<Account>, Reason> {
    let Some(account) = account else {
        return Err(in_vain(inner, password, Reason::UnknownUser).await);
    };
    if inner.lockout.is_locked(Subject::Account(account.id), inner.now()) {
        let reason = Reason::LockedOut("too many failures for this account".to_owned());
        return Err(in_vain(inner, password, reason).await);
    }
    match (&account.origin, &account.state) {
        (AccountOrigin::Local, _) => {
            let verifier = account.user().and_then(|user| user.password.as_ref());
            match inner.local.verify(verifier, password).await {
                Ok(true) => Ok(account),
                Ok(false) => Err(Reason::WrongPassword),
                Err(_) => Err(Reason::Busy),
            }
        }
        // Not worth a failure at the domain controller.
        (AccountOrigin::Mapped { .. }, State::Disabled(cause)) => {
            Err(in_vain(inner, password, Reason::Disabled(cause.clone())).await)
        }
        (AccountOrigin::Mapped { .. }, State::Enabled) => {
            match mapped::verify(inner, &account, password).await {
                Ok(()) => Ok(account),
                // An unknown user costs this much, too, however busy the node is.
                Err(reason) if reason.is_guess() => Err(in_vain(inner, password, reason).await),
                Err(reason) => Err(reason),
            }
        }
    }
}

/// Takes as long as a verification that fails.
async fn in_vain(inner: &Inner, password: &Password, reason: Reason) -> Reason {
    match inner.local.verify(None, password).await {
        Ok(_) => reason,
        Err(_) => Reason::Busy,
    }
}
