//! From answers to a domain: one agreed command makes everything or nothing.

use std::sync::Arc;

use posthouse_auth::Authenticator;
use posthouse_cluster::{
    Timestamp,
    env::{BoxFuture, Environment},
};
use posthouse_directory::{
    Account, AccountId, Actor, AliasInfo, Change, ChangeError, Directory, Domain, DomainId,
    GroupInfo, Kind, NodeInfo, Origin, Person, Rights, SourceId, SourceKind, SourceSpec, SourceTls,
    State, StoreId, StoreInfo, User, fresh_id,
};
use posthouse_store::{MailboxId, Quota, Request, Stores};

use crate::{Answers, DirectoryAnswers, GroupAnswers, Password, Problem, Tls, UserAnswers};

/// What a set-up node consists of.
#[derive(Clone)]
pub struct Parts {
    /// Who is in the domain.
    pub directory: Directory,
    /// How they prove it.
    pub auth: Authenticator,
    /// What is kept.
    pub stores: Stores,
    /// What was handed in.
    pub env: Environment,
    /// Number of this node.
    pub node: u64,
}

/// Opens this node's parts as a new cluster of one. Called once answers are known to be good; calling it
/// again returns the same parts.
pub trait Opener: Send + Sync + 'static {
    /// Opens them for a node that clients reach as `host`.
    fn open(&self, host: &str, site: &str) -> BoxFuture<Result<Parts, String>>;
}

/// A password that was generated, to be shown once.
#[derive(Clone, Debug)]
pub struct Generated {
    /// Address that it belongs to.
    pub address: String,
    /// The password.
    pub password: Password,
}

/// What set-up made.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Passwords that were generated.
    pub generated: Vec<Generated>,
    /// Things that did not work and can be done later, in words.
    pub warnings: Vec<String>,
}

/// Why nothing was set up.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Some answers cannot be used.
    #[error("{}", .0.iter().map(|p| format!("{}: {}", p.field, p.message)).collect::<Vec<_>>().join("; "))]
    Invalid(Vec<Problem>),
    /// The node is set up already. It stays as it is.
    #[error("this node is set up already; nothing was changed")]
    AlreadySetUp,
    /// The data folder could not be opened.
    #[error("the node's data cannot be opened: {0}")]
    Open(String),
    /// The directory refused.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// The cluster did not take this node, or was not reached.
    #[error("{0}")]
    Join(String),
    /// A file that the answers name cannot be used.
    #[error("{0}")]
    File(String),
}

/// Sets the node up.
pub async fn apply(answers: &Answers, opener: &dyn Opener) -> Result<Outcome, ApplyError> {
    let problems = answers.problems();
    if !problems.is_empty() {
        return Err(ApplyError::Invalid(problems));
    }
    if answers.join.is_some() {
        return Err(ApplyError::Join(
            "these answers join a cluster; no domain was made".to_owned(),
        ));
    }
    let keytab = read_keytab(answers.directory.as_ref()).await?;
    let parts = opener.open(&answers.host, answers.site()).await.map_err(ApplyError::Open)?;
    if parts.directory.is_set_up() {
        return Err(ApplyError::AlreadySetUp);
    }
    let mut builder = Builder::new(&parts);
    builder.add_all(answers).await;
    let Builder { changes, outcome, users, .. } = builder;
    let mut outcome = outcome;
    let actor = || Actor::System("set-up".to_owned());
    parts.directory.change(actor(), Change::All(changes)).await?;
    for user in users {
        let request =
            Request::CreateMailbox { mailbox: MailboxId(user.0), quota: Quota::default() };
        if let Err(error) = parts.stores.request(request).await {
            outcome.warnings.push(format!("a mailbox will be made later: {error}"));
        }
    }
    if let Some(keytab) = keytab
        && let Err(error) = parts.auth.put_keytab(actor(), &keytab).await
    {
        outcome.warnings.push(format!("the keytab was not taken: {error}"));
    }
    Ok(outcome)
}

async fn read_keytab(directory: Option<&DirectoryAnswers>) -> Result<Option<Vec<u8>>, ApplyError> {
    let Some(path) = directory.and_then(|d| d.keytab_file.as_ref()) else { return Ok(None) };
    let read = tokio::fs::read(path).await;
    read.map(Some).map_err(|e| ApplyError::File(format!("{} cannot be read: {e}", path.display())))
}

struct Builder<'a> {
    parts: &'a Parts,
    now: Timestamp,
    domain: DomainId,
    changes: Vec<Change>,
    users: Vec<AccountId>,
    by_name: std::collections::HashMap<String, AccountId>,
    outcome: Outcome,
}

impl<'a> Builder<'a> {
    fn new(parts: &'a Parts) -> Self {
        Self {
            parts,
            now: parts.env.clock.now(),
            domain: DomainId(fresh_id()),
            changes: Vec::new(),
            users: Vec::new(),
            by_name: std::collections::HashMap::new(),
            outcome: Outcome::default(),
        }
    }

    async fn add_all(&mut self, answers: &Answers) {
        self.changes.push(Change::PutDomain(Domain {
            id: self.domain,
            name: answers.domain.to_ascii_lowercase(),
            aliases: Vec::new(),
            primary: true,
            description: String::new(),
        }));
        self.changes.push(Change::PutNode(NodeInfo {
            id: self.parts.node,
            host: answers.host.to_ascii_lowercase(),
            site: answers.site().to_owned(),
            ..NodeInfo::default()
        }));
        self.changes.push(Change::PutStore(StoreInfo {
            id: StoreId(1),
            home: self.parts.node,
            replicas: vec![self.parts.node],
            ..StoreInfo::default()
        }));
        self.add_user(&answers.administrator, Rights::Full, &answers.domain).await;
        for user in &answers.users {
            self.add_user(user, Rights::None, &answers.domain).await;
        }
        for group in &answers.groups {
            self.add_group(group);
        }
        for alias in &answers.aliases {
            let info = AliasInfo { targets: alias.targets.clone() };
            self.add_account(&alias.name, &alias.name, Vec::new(), Kind::Alias(info));
        }
        if let Some(directory) = &answers.directory {
            let spec = source_spec(directory, self.domain, &self.parts.auth);
            self.changes.push(Change::PutSource(Box::new(spec)));
        }
    }

    async fn add_user(&mut self, answers: &UserAnswers, rights: Rights, domain: &str) {
        let password = answers.password.clone().unwrap_or_else(|| {
            let password = Password::generate();
            let address = format!("{}@{domain}", answers.name);
            self.outcome.generated.push(Generated { address, password: password.clone() });
            password
        });
        let verifier = self.parts.auth.hash_password(password.expose()).await;
        let user = User {
            person: Person { phone: answers.phone.clone(), ..Person::default() },
            password: Some(verifier),
            rights,
            store: Some(StoreId(1)),
            ..User::default()
        };
        let shown = Some(&answers.display_name).filter(|name| !name.is_empty());
        let id = self.add_account(
            &answers.name,
            shown.unwrap_or(&answers.name),
            Vec::new(),
            Kind::User(user),
        );
        self.users.push(id);
    }

    fn add_group(&mut self, answers: &GroupAnswers) {
        let members = answers.members.iter().filter_map(|name| self.by_name.get(name).copied());
        let info = GroupInfo { members: members.collect(), rights: Rights::None };
        for name in answers.members.iter().filter(|name| !self.by_name.contains_key(*name)) {
            let warning = format!("group {}: there is no user {name}", answers.name);
            self.outcome.warnings.push(warning);
        }
        let addresses = answers.address.iter().cloned().collect();
        self.add_account(&answers.name, &answers.name, addresses, Kind::Group(info));
    }

    fn add_account(
        &mut self,
        name: &str,
        display_name: &str,
        addresses: Vec<String>,
        kind: Kind,
    ) -> AccountId {
        let id = AccountId(fresh_id());
        self.by_name.insert(name.to_owned(), id);
        self.changes.push(Change::PutAccount(Box::new(Account {
            id,
            domain: self.domain,
            name: name.to_owned(),
            display_name: display_name.to_owned(),
            addresses,
            origin: Origin::Local,
            state: State::Enabled,
            published: true,
            description: String::new(),
            kind,
            created: self.now,
            changed: self.now,
        })));
        id
    }
}

/// The source that these answers describe; the password is sealed by the node's vault.
pub fn source_spec(
    answers: &DirectoryAnswers,
    domain: DomainId,
    auth: &Authenticator,
) -> SourceSpec {
    let mut spec = unsealed_spec(answers, domain);
    let password = answers.bind_password.expose().as_bytes();
    spec.bind_secret = auth.seal(SourceSpec::SECRET_CONTEXT, password);
    spec
}

/// The same without the password, for trying it out.
pub(crate) fn unsealed_spec(answers: &DirectoryAnswers, domain: DomainId) -> SourceSpec {
    SourceSpec {
        id: SourceId(fresh_id()),
        name: answers.domain.clone(),
        kind: SourceKind::ActiveDirectory,
        domain,
        directory_domain: answers.domain.to_ascii_lowercase(),
        controllers: answers.controllers.clone(),
        tls: match answers.tls {
            Tls::Ldaps => SourceTls::Ldaps,
            Tls::StartTls => SourceTls::StartTls,
        },
        ca: answers.ca.clone(),
        bind_name: answers.bind_name.clone(),
        bind_secret: Vec::new(),
        base: answers.base.clone(),
        user_filter: answers.user_filter.clone(),
        removal_threshold_percent: 20,
        enabled: true,
        watermark: None,
        problem: String::new(),
    }
}

/// An opener that hands out parts that are open already.
impl Opener for Parts {
    fn open(&self, _host: &str, _site: &str) -> BoxFuture<Result<Parts, String>> {
        let parts = Arc::new(self.clone());
        Box::pin(async move { Ok(Parts::clone(&parts)) })
    }
}
