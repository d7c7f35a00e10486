//! A state machine without a cluster, and short ways to make things for it.

use std::sync::Arc;

use bytes::Bytes;
use posthouse_cluster::{Applied, Command, StateMachine, Timestamp};
use tempfile::TempDir;
use uuid::Uuid;

use crate::{
    Account, AccountId, Actor, AliasInfo, Change, ChangeOutcome, ChangeRefusal, Domain, DomainId,
    GroupInfo, Kind, Origin, Proposal, Rights, SourceId, SourceKind, SourceSpec, SourceTls, State,
    Target, User,
    live::Live,
    machine::{DirectoryMachine, decode_answer},
};

pub(crate) const DOMAIN: DomainId = DomainId(Uuid::from_u128(1));
pub(crate) const OTHER: DomainId = DomainId(Uuid::from_u128(2));
pub(crate) const SOURCE: SourceId = SourceId(Uuid::from_u128(3));

pub(crate) fn id(number: u128) -> AccountId {
    AccountId(Uuid::from_u128(number))
}

/// A machine in a folder of its own.
pub(crate) struct Lab {
    pub(crate) folder: TempDir,
    pub(crate) live: Arc<Live>,
    pub(crate) machine: DirectoryMachine,
    pub(crate) index: u64,
    pub(crate) log: Vec<Bytes>,
}

impl Lab {
    /// With nothing in it.
    pub(crate) fn empty() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let live = Arc::new(Live::new());
        let machine = DirectoryMachine::open(folder.path(), live.clone()).unwrap();
        Self { folder, live, machine, index: 0, log: Vec::new() }
    }

    /// With the primary domain `example.test`, also called `example.org`, and `other.test`.
    pub(crate) fn new() -> Self {
        let mut lab = Self::empty();
        lab.ok(Change::PutDomain(domain(DOMAIN, "example.test", &["example.org"])));
        lab.ok(Change::PutDomain(domain(OTHER, "other.test", &[])));
        lab
    }

    pub(crate) fn command(&self, id: u128, at: u64, change: Change) -> Bytes {
        let actor = Actor::System("test".into());
        let proposal = Proposal { id, at: Timestamp(at), actor, change };
        postcard::to_allocvec(&proposal).unwrap().into()
    }

    pub(crate) fn apply(&mut self, data: Bytes) -> Result<ChangeOutcome, ChangeRefusal> {
        self.index += 1;
        self.log.push(data.clone());
        let applied = Applied { index: self.index, opaque: vec![7] };
        let command = Command { index: self.index, data };
        let answers = self.machine.apply(&[command], &applied).unwrap();
        decode_answer(&answers[0]).unwrap()
    }

    pub(crate) fn run(&mut self, change: Change) -> Result<ChangeOutcome, ChangeRefusal> {
        let number = u128::from(self.index) + 1;
        let command = self.command(number, 1_000 * (self.index + 1), change);
        self.apply(command)
    }

    pub(crate) fn ok(&mut self, change: Change) -> ChangeOutcome {
        self.run(change).unwrap()
    }

    pub(crate) fn put(&mut self, account: Account) -> AccountId {
        let id = account.id;
        self.ok(Change::PutAccount(Box::new(account)));
        id
    }

    pub(crate) fn account(&self, id: AccountId) -> Account {
        (**self.live.index.read().account(id).unwrap()).clone()
    }

    /// Names of the mailboxes and addresses that mail goes to, sorted.
    pub(crate) fn targets(&self, address: &str) -> Vec<String> {
        let index = self.live.index.read();
        let mut names: Vec<String> = index
            .resolve(address)
            .targets
            .into_iter()
            .map(|target| match target {
                Target::Mailbox(id) => index.account(id).unwrap().name.clone(),
                Target::Remote(address) => address,
            })
            .collect();
        names.sort();
        names
    }
}

pub(crate) fn domain(id: DomainId, name: &str, aliases: &[&str]) -> Domain {
    Domain {
        id,
        name: name.into(),
        aliases: aliases.iter().map(|a| (*a).into()).collect(),
        primary: id == DOMAIN,
        description: String::new(),
    }
}

pub(crate) fn account(number: u128, name: &str, kind: Kind) -> Account {
    Account {
        id: id(number),
        domain: DOMAIN,
        name: name.into(),
        display_name: String::new(),
        addresses: Vec::new(),
        origin: Origin::Local,
        state: State::Enabled,
        published: true,
        description: String::new(),
        kind,
        created: Timestamp(0),
        changed: Timestamp(0),
    }
}

pub(crate) fn user(number: u128, name: &str, addresses: &[&str]) -> Account {
    let mut account = account(number, name, Kind::User(User::default()));
    account.addresses = addresses.iter().map(|a| (*a).into()).collect();
    account
}

pub(crate) fn admin(number: u128, name: &str) -> Account {
    account(number, name, Kind::User(User { rights: Rights::Full, ..User::default() }))
}

pub(crate) fn group(number: u128, name: &str, addresses: &[&str], members: &[u128]) -> Account {
    let members = members.iter().map(|m| id(*m)).collect();
    let mut account =
        account(number, name, Kind::Group(GroupInfo { members, rights: Rights::None }));
    account.addresses = addresses.iter().map(|a| (*a).into()).collect();
    account
}

pub(crate) fn alias(number: u128, name: &str, targets: &[&str]) -> Account {
    let targets = targets.iter().map(|t| (*t).into()).collect();
    account(number, name, Kind::Alias(AliasInfo { targets }))
}

/// The same account, as its source has it.
pub(crate) fn mapped(mut account: Account, key: u8) -> Account {
    let dn = format!("cn={}", account.name);
    account.origin = Origin::Mapped { source: SOURCE, key: vec![key], dn };
    account
}

pub(crate) fn source() -> SourceSpec {
    SourceSpec {
        id: SOURCE,
        name: "AD".into(),
        kind: SourceKind::ActiveDirectory,
        domain: DOMAIN,
        directory_domain: "ad.example.test".into(),
        controllers: Vec::new(),
        tls: SourceTls::Ldaps,
        ca: String::new(),
        bind_name: "reader@ad.example.test".into(),
        bind_secret: Vec::new(),
        base: String::new(),
        user_filter: String::new(),
        removal_threshold_percent: 10,
        enabled: true,
        watermark: None,
        problem: String::new(),
    }
}
