//! A directory in memory, and an authenticator over it, for tests.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use parking_lot::Mutex;
use posthouse_cluster::{Timestamp, env::BoxFuture};
use posthouse_directory::{
    Account, AccountId, Actor, Change, ChangeError, DomainId, Kind, Origin as AccountOrigin,
    PasswordVerifier, Rights, SourceId, SourceSpec, State, Update, User, fresh_id, key,
};
use tokio::sync::broadcast;

use crate::{
    AuthOptions, Authenticator, Origin, Service, inner::Tuning, password::Cost, people::People,
};

type Ephemerals = HashMap<(String, Vec<u8>), (Arc<Vec<u8>>, Timestamp)>;

/// Everything is public so that a test says what it needs.
pub(crate) struct Fake {
    pub(crate) accounts: Mutex<Vec<Arc<Account>>>,
    pub(crate) settings: Mutex<HashMap<&'static str, u64>>,
    pub(crate) secrets: Mutex<HashMap<String, Arc<Vec<u8>>>>,
    pub(crate) ephemerals: Mutex<Ephemerals>,
    pub(crate) sources: Mutex<Vec<Arc<SourceSpec>>>,
    pub(crate) writes: Mutex<usize>,
    /// There is no majority.
    down: AtomicBool,
    /// Changes are never answered.
    silent: AtomicBool,
    updates: broadcast::Sender<Update>,
}

impl Fake {
    pub(crate) fn new() -> Arc<Self> {
        let settings = HashMap::from([
            (key::LOCKOUT_ACCOUNT, 10),
            (key::LOCKOUT_ADDRESS, 50),
            (key::LOCKOUT_SECONDS, 300),
            (key::WEB_SESSION, 3600),
        ]);
        Arc::new(Self {
            accounts: Mutex::default(),
            settings: Mutex::new(settings),
            secrets: Mutex::default(),
            ephemerals: Mutex::default(),
            sources: Mutex::default(),
            writes: Mutex::default(),
            down: AtomicBool::new(false),
            silent: AtomicBool::new(false),
            updates: broadcast::channel(16).0,
        })
    }

    pub(crate) fn put(&self, account: Account) {
        let mut accounts = self.accounts.lock();
        accounts.retain(|old| old.id != account.id);
        accounts.push(Arc::new(account));
    }

    pub(crate) fn set(&self, key: &'static str, value: u64) {
        self.settings.lock().insert(key, value);
    }

    pub(crate) fn set_down(&self, down: bool) {
        self.down.store(down, SeqCst);
    }

    pub(crate) fn set_silent(&self, silent: bool) {
        self.silent.store(silent, SeqCst);
    }

    fn apply(&self, change: Change) {
        match change {
            Change::All(changes) => changes.into_iter().for_each(|change| self.apply(change)),
            Change::PutEphemeral { space, key, value, expires, .. } => {
                let mut ephemerals = self.ephemerals.lock();
                match value {
                    Some(value) => {
                        ephemerals.insert((space, key), (Arc::new(value), expires));
                    }
                    None => {
                        ephemerals.remove(&(space, key));
                    }
                }
            }
            Change::PutSecret { name, ciphertext } => {
                self.secrets.lock().insert(name, Arc::new(ciphertext));
                let _ = self.updates.send(Update::Configuration);
            }
            other => panic!("not faked: {other:?}"),
        }
    }
}

impl People for Fake {
    fn login(&self, name: &str) -> Option<Arc<Account>> {
        let name = name.to_lowercase();
        let fits = |account: &&Arc<Account>| {
            account.name == name
                || account.user().is_some_and(|user| user.login_names.contains(&name))
        };
        self.accounts.lock().iter().find(fits).cloned()
    }

    fn principal(&self, principal: &str) -> Option<Arc<Account>> {
        let has = |account: &&Arc<Account>| {
            let user = account.user();
            user.is_some_and(|u| u.principals.iter().any(|p| p.eq_ignore_ascii_case(principal)))
        };
        self.accounts.lock().iter().find(has).cloned()
    }

    fn account(&self, id: AccountId) -> Option<Arc<Account>> {
        self.accounts.lock().iter().find(|account| account.id == id).cloned()
    }

    fn rights(&self, id: AccountId) -> Rights {
        self.account(id).and_then(|a| a.user().map(|u| u.rights)).unwrap_or_default()
    }

    fn sources(&self) -> Vec<Arc<SourceSpec>> {
        self.sources.lock().clone()
    }

    fn integer(&self, key: &str) -> u64 {
        self.settings.lock().get(key).copied().unwrap_or(0)
    }

    fn flag(&self, key: &str) -> bool {
        self.integer(key) != 0
    }

    fn secret(&self, name: &str) -> Option<Arc<Vec<u8>>> {
        self.secrets.lock().get(name).cloned()
    }

    fn ephemeral(&self, space: &str, key: &[u8]) -> Option<Arc<Vec<u8>>> {
        let now = posthouse_cluster::Environment::real().clock.now();
        let ephemerals = self.ephemerals.lock();
        let (value, expires) = ephemerals.get(&(space.to_owned(), key.to_vec()))?;
        (*expires > now).then(|| value.clone())
    }

    fn change(&self, _: Actor, change: Change) -> BoxFuture<Result<(), ChangeError>> {
        *self.writes.lock() += 1;
        if self.silent.load(SeqCst) {
            return Box::pin(std::future::pending());
        }
        if self.down.load(SeqCst) {
            return Box::pin(async { Err(ChangeError::NoMajority(String::new())) });
        }
        self.apply(change);
        Box::pin(async { Ok(()) })
    }

    fn can_change(&self) -> bool {
        !self.down.load(SeqCst)
    }

    fn updates(&self) -> broadcast::Receiver<Update> {
        self.updates.subscribe()
    }
}

/// An authenticator with cheap argon2id over `fake`. The folder lives as long as the second part.
pub(crate) async fn authenticator(fake: Arc<Fake>) -> (Authenticator, tempfile::TempDir) {
    tuned(fake, 64, Duration::from_millis(1)).await
}

/// As [`authenticator`], on another node that has joined and got the key of `first`'s vault.
pub(crate) async fn joined(
    fake: Arc<Fake>,
    first: &Authenticator,
) -> (Authenticator, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    crate::seed_vault(folder.path(), &first.vault_key()).unwrap();
    open(fake, folder, 64, Duration::from_millis(1)).await
}

/// With argon2id of so many KiB, and such a least time of a refusal.
pub(crate) async fn tuned(
    fake: Arc<Fake>,
    memory_kib: u32,
    floor: Duration,
) -> (Authenticator, tempfile::TempDir) {
    open(fake, tempfile::tempdir().unwrap(), memory_kib, floor).await
}

async fn open(
    fake: Arc<Fake>,
    folder: tempfile::TempDir,
    memory_kib: u32,
    floor: Duration,
) -> (Authenticator, tempfile::TempDir) {
    let options =
        AuthOptions { folder: folder.path().to_owned(), host: "mail.example.test".to_owned() };
    let tuning = Tuning { cost: Cost { memory_kib, passes: 1 }, floor };
    (Authenticator::over(fake, options, tuning).await.unwrap(), folder)
}

pub(crate) fn user(name: &str, password: Option<PasswordVerifier>) -> Account {
    Account {
        id: AccountId(fresh_id()),
        domain: DomainId(fresh_id()),
        name: name.to_owned(),
        display_name: String::new(),
        addresses: Vec::new(),
        origin: AccountOrigin::Local,
        state: State::Enabled,
        published: true,
        description: String::new(),
        kind: Kind::User(User { password, ..User::default() }),
        created: Timestamp(0),
        changed: Timestamp(0),
    }
}

/// A user of a source that is `principal`.
pub(crate) fn mapped(name: &str, source: SourceId, principal: &str) -> Account {
    let mut account = user(name, None);
    account.origin =
        AccountOrigin::Mapped { source, key: name.as_bytes().to_vec(), dn: format!("CN={name}") };
    if let Kind::User(user) = &mut account.kind {
        user.principals.push(principal.to_owned());
    }
    account
}

pub(crate) fn origin(service: Service, tls: bool) -> Origin {
    let address = IpAddr::from([192, 0, 2, 1]);
    Origin { service, address, tls, channel_binding: None }
}
