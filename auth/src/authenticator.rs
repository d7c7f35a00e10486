//! The one entry for all protocols.

use std::{
    net::IpAddr,
    sync::{Arc, Weak},
};

use posthouse_cluster::Environment;
use posthouse_directory::{
    AccountId, Actor, Change, ChangeError, Directory, PasswordVerifier, Update,
};
use tokio::sync::broadcast::{self, error::RecvError};
use zeroize::Zeroizing;

use crate::{
    AuthOptions, Exchange, FailureRecord, Identity, MECHANISMS, Mechanism, MechanismSpec, Origin,
    Reason,
    failures::escaped,
    identity::usable,
    inner::{Failure, Inner, Tuning},
    lockout::Subject,
    password::{self, Claim, text::Password},
    people::People,
    sessions::Session,
};

/// Answers every protocol in the same way. Cheap to clone.
#[derive(Clone)]
pub struct Authenticator {
    pub(crate) inner: Arc<Inner>,
}

impl Authenticator {
    /// Opens the vault and prepares the keytab, if there is one. Follows the directory's updates.
    pub async fn open(directory: Directory, options: AuthOptions) -> Result<Self, String> {
        Self::over(Arc::new(directory), options, Tuning::default()).await
    }

    pub(crate) async fn over(
        people: Arc<dyn People>,
        options: AuthOptions,
        tuning: Tuning,
    ) -> Result<Self, String> {
        let clock = Environment::real().clock;
        // Argon2 for the dummy verifier and reading the key take a moment.
        let opened =
            tokio::task::spawn_blocking(move || Inner::open(people, options, tuning, clock));
        let inner = Arc::new(opened.await.map_err(|e| e.to_string())??);
        let updates = inner.people.updates();
        inner.follow_keytab().await;
        tokio::spawn(follow(Arc::downgrade(&inner), updates));
        Ok(Self { inner })
    }

    /// Mechanism names to offer now to a connection like `origin`, strongest first.
    pub fn offered(&self, origin: &Origin) -> Vec<&'static str> {
        MECHANISMS.iter().filter(|spec| self.offers(spec, origin)).map(|spec| spec.name).collect()
    }

    fn offers(&self, spec: &MechanismSpec, origin: &Origin) -> bool {
        spec.services.contains(&origin.service)
            && (origin.tls || !spec.needs_tls)
            && (!spec.needs_keytab || self.inner.has_keytab())
    }

    /// Starts a SASL exchange (or HTTP Negotiate) by mechanism name, any case. [`Reason::NotAvailable`] if it is not offered.
    pub fn start(&self, mechanism: &str, origin: Origin) -> Result<Exchange, Reason> {
        let named = MECHANISMS.iter().find(|spec| spec.name.eq_ignore_ascii_case(mechanism));
        match named {
            Some(spec) if self.offers(spec, &origin) => {
                Ok(Exchange::new(self.inner.clone(), spec.mechanism, origin))
            }
            _ => {
                let reason = Reason::NotAvailable(escaped(mechanism));
                let mechanism = named.map_or(Mechanism::Password, |spec| spec.mechanism);
                Err(self.inner.refused(Failure::new(reason, "", None), mechanism, &origin))
            }
        }
    }

    /// Verifies a password that the protocol itself brought (IMAP LOGIN, LDAP simple bind, HTTP form). Equal time and
    /// equal [`Reason::public`] for unknown user and wrong password. Refused without TLS.
    pub async fn password(
        &self,
        name: &str,
        password: &str,
        origin: &Origin,
    ) -> Result<Identity, Reason> {
        if !origin.tls {
            let reason = Reason::NotAvailable("a password without TLS".to_owned());
            let failure = Failure::new(reason, name, None);
            return Err(self.inner.refused(failure, Mechanism::Password, origin));
        }
        let claim = Claim {
            mechanism: Mechanism::Password,
            origin: origin.clone(),
            name: name.to_owned(),
            password: Password::new(password),
            authzid: String::new(),
        };
        password::check(self.inner.clone(), claim).await
    }

    /// Checks again that an identity of a running session may go on (enabled, not expired).
    pub fn still_valid(&self, account: AccountId) -> bool {
        let account = self.inner.people.account(account);
        account.is_some_and(|account| usable(&account, self.inner.now()).is_ok())
    }

    /// Makes a verifier for a new local password: argon2id, on the blocking pool. Waits as long as there is too much to do.
    pub async fn hash_password(&self, password: &str) -> PasswordVerifier {
        self.inner.local.hash(password).await
    }

    /// Makes a web session for a signed-on identity: an opaque token, replicated by its hash. Where the directory cannot
    /// be written, because this side of the cluster has no majority, the session is kept on this node only.
    pub async fn create_session(&self, identity: &Identity) -> Result<String, Reason> {
        let session = Session::of(&identity.account, identity.mechanism);
        let made = self.inner.sessions.create(&session, self.inner.now()).await;
        made.map_err(|error| Reason::DirectoryDown(error.to_string()))
    }

    /// The identity behind a web session token. Looks at the account again, so that a disabled one is signed out, and one whose
    /// password was changed since.
    pub fn session(&self, token: &str) -> Option<Identity> {
        let session = self.inner.sessions.find(token, self.inner.now())?;
        let account = self.inner.people.account(session.account)?;
        if !session.is_current(&account) {
            return None;
        }
        self.inner.identity(account, session.mechanism).ok()
    }

    /// Ends a web session.
    pub async fn end_session(&self, token: &str) {
        if let Err(error) = self.inner.sessions.end(token, self.inner.now()).await {
            tracing::warn!(target: "warning", %error, "a web session has ended on this node only");
        }
    }

    /// Stores a keytab (encrypted, replicated) and takes it into use. The error says what is wrong with it.
    pub async fn put_keytab(&self, actor: Actor, keytab: &[u8]) -> Result<Vec<String>, String> {
        let entries = self.inner.keytabs.put(&self.inner.vault, actor, keytab).await?;
        self.inner.follow_keytab().await;
        if self.inner.has_keytab() {
            Ok(entries)
        } else {
            Err("the keytab is stored, but the Kerberos library refuses it; see the log".to_owned())
        }
    }

    /// Entries of the present keytab: principal, kvno, enctype, in words.
    pub fn keytab(&self) -> Vec<String> {
        self.inner.keytabs.list()
    }

    /// Encrypts a secret for the replicated directory with a key that stays in the node's folder.
    pub fn seal(&self, context: &str, secret: &[u8]) -> Vec<u8> {
        self.inner.vault.seal(context, secret)
    }

    /// Decrypts what [`Authenticator::seal`] made.
    pub fn unseal(&self, context: &str, ciphertext: &[u8]) -> Option<Vec<u8>> {
        self.inner.vault.unseal(context, ciphertext).map(|secret| secret.to_vec())
    }

    /// Seals a secret and puts it into the replicated directory under a name, such as `cluster.authority`.
    pub async fn put_secret(
        &self,
        actor: Actor,
        name: &str,
        secret: &[u8],
    ) -> Result<(), ChangeError> {
        let ciphertext = self.inner.vault.seal(name, secret);
        let change = Change::PutSecret { name: name.to_owned(), ciphertext };
        self.inner.people.change(actor, change).await
    }

    /// The secret of that name. `None` if there is none, or if it was sealed with another key (which is logged).
    pub fn secret(&self, name: &str) -> Option<Zeroizing<Vec<u8>>> {
        let ciphertext = self.inner.people.secret(name)?;
        let secret = self.inner.vault.unseal(name, &ciphertext);
        if secret.is_none() {
            tracing::error!(target: "error", name, "a secret was sealed with another vault key");
        }
        secret
    }

    /// The key that secrets are sealed with, for a node that joins (see [`crate::seed_vault`]). Every node has the same one;
    /// it may leave only through the authenticated, encrypted answer to a join.
    pub fn vault_key(&self) -> Zeroizing<Vec<u8>> {
        self.inner.vault.key()
    }

    /// The newest failures, newest first; only of `name` if given, whichever of its names the account tried.
    pub fn failures(&self, name: Option<&str>, limit: usize) -> Vec<FailureRecord> {
        let people = &self.inner.people;
        let who = |name: &str| people.login(name).or_else(|| people.principal(name)).map(|a| a.id);
        let account = name.and_then(who);
        let same = |tried: &str| account.is_some() && who(tried) == account;
        self.inner.failures.newest(name, limit, same)
    }

    /// Unlocks an account, or an address, that was locked out here.
    pub async fn unlock(&self, name: &str) {
        let subject = match name.parse::<IpAddr>() {
            Ok(address) => Some(Subject::network(address)),
            Err(_) => self.inner.people.login(name).map(|account| Subject::Account(account.id)),
        };
        if let Some(subject) = subject {
            let actor = Actor::System("lock-out".to_owned());
            self.inner.lockout.unlock(subject, actor, self.inner.now()).await;
        }
    }
}

/// Follows the directory until the authenticator is dropped.
async fn follow(inner: Weak<Inner>, mut updates: broadcast::Receiver<Update>) {
    loop {
        match updates.recv().await {
            Ok(Update::Configuration) | Err(RecvError::Lagged(_)) => match inner.upgrade() {
                Some(inner) => inner.follow_keytab().await,
                None => return,
            },
            Ok(_) => {}
            Err(RecvError::Closed) => return,
        }
    }
}
