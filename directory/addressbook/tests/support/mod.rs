//! An address book on a node of its own, with people in it.
#![allow(dead_code, clippy::unwrap_used)]

use std::{net::SocketAddr, sync::Arc};

use posthouse_addressbook::{Context, Mode, Patience, serve};
use posthouse_auth::{AuthOptions, Authenticator, Gate, ServerTls};
use posthouse_cluster::{Environment, Node, NodeId, NodeOptions, Timestamp};
use posthouse_directory::{
    Account, AccountId, Actor, Change, Directory, DirectoryOptions, Domain, DomainId, GroupInfo,
    Kind, Origin, Person, SettingChange, State, User, fresh_id,
};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub(crate) const PASSWORD: &str = "correct horse battery";

pub(crate) struct Book {
    pub(crate) folder: TempDir,
    pub(crate) directory: Directory,
    pub(crate) authenticator: Authenticator,
    pub(crate) domain: DomainId,
    pub(crate) plain: SocketAddr,
    pub(crate) tls: SocketAddr,
    pub(crate) ca: String,
    pub(crate) stop: CancellationToken,
    pub(crate) node: Node,
    pub(crate) gate: Gate,
}

pub(crate) fn actor() -> Actor {
    Actor::System("test".into())
}

pub(crate) fn account(domain: DomainId, name: &str, shown: &str, kind: Kind) -> Account {
    Account {
        id: AccountId(fresh_id()),
        domain,
        name: name.into(),
        display_name: shown.into(),
        addresses: Vec::new(),
        origin: Origin::Local,
        state: State::Enabled,
        published: true,
        description: "secret remark".into(),
        kind,
        created: Timestamp(0),
        changed: Timestamp(0),
    }
}

/// A certificate authority and TLS for this machine.
fn certificates() -> (String, ServerTls) {
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, "Test CA");
    let key = rcgen::KeyPair::generate().unwrap();
    let ca = params.self_signed(&key).unwrap().pem();
    let issuer = rcgen::Issuer::new(params, key);
    let leaf = rcgen::KeyPair::generate().unwrap();
    let params =
        rcgen::CertificateParams::new(vec!["localhost".into(), "127.0.0.1".into()]).unwrap();
    let chain = params.signed_by(&leaf, &issuer).unwrap().pem();
    let tls = ServerTls::new(chain.as_bytes(), leaf.serialize_pem().as_bytes()).unwrap();
    (ca, tls)
}

impl Book {
    pub(crate) async fn open() -> Self {
        Self::with_patience(Patience::default()).await
    }

    pub(crate) async fn with_patience(patience: Patience) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = NodeOptions::alone(NodeId(1), folder.path().join("log"));
        let node = Node::open(Environment::real(), options).await.unwrap();
        let options = DirectoryOptions { folder: folder.path().join("directory"), bootstrap: true };
        let directory = Directory::open(&node, options).await.unwrap();
        let domain = DomainId(fresh_id());
        let other = DomainId(fresh_id());
        for (id, name, primary) in [(domain, "example.test", true), (other, "other.test", false)] {
            let aliases = Vec::new();
            let description = String::new();
            let domain = Domain { id, name: name.into(), aliases, primary, description };
            directory.change(actor(), Change::PutDomain(domain)).await.unwrap();
        }
        let options =
            AuthOptions { folder: folder.path().join("auth"), host: "mail.example.test".into() };
        let authenticator = Authenticator::open(directory.clone(), options).await.unwrap();
        let (ca, tls) = certificates();
        let gate = Gate::new();
        let context = Context::new(directory.clone(), authenticator.clone(), tls, gate.clone());
        let context = Arc::new(context.with_patience(patience));
        let stop = CancellationToken::new();
        let mut addresses = Vec::new();
        for mode in [Mode::StartTls, Mode::Tls] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            addresses.push(listener.local_addr().unwrap());
            tokio::spawn(serve(listener, mode, context.clone(), stop.clone()));
        }
        let (plain, tls) = (addresses[0], addresses[1]);
        let book =
            Self { folder, directory, authenticator, domain, plain, tls, ca, stop, node, gate };
        book.people(other).await;
        book
    }

    pub(crate) async fn put(&self, account: Account) -> AccountId {
        let id = account.id;
        self.directory.change(actor(), Change::PutAccount(Box::new(account))).await.unwrap();
        id
    }

    pub(crate) async fn set(&self, name: &str, value: &str) {
        let change = SettingChange { name: name.into(), value: Some(value.into()) };
        self.directory.change(actor(), Change::Set(change)).await.unwrap();
    }

    async fn people(&self, other: DomainId) {
        let verifier = self.authenticator.hash_password(PASSWORD).await;
        let person = |given: &str, surname: &str, phone: &str| Person {
            given_name: given.into(),
            surname: surname.into(),
            phone: phone.into(),
            ..Person::default()
        };
        let user = |person| Kind::User(User { person, ..User::default() });
        let mut anna = account(
            self.domain,
            "anna",
            "Anna Müller",
            user(Person {
                title: "Head of Tests".into(),
                department: "Quality".into(),
                company: "Example".into(),
                mobile: "+49 170 99-88".into(),
                postal_address: "Main $treet 1\n12345 Town".into(),
                photo: Some(b"\xFF\xD8photo".to_vec()),
                ..person("Anna", "Müller", "+49 30 123-4567")
            }),
        );
        anna.addresses = vec!["a.mueller".into()];
        if let Kind::User(user) = &mut anna.kind {
            user.password = Some(verifier);
        }
        let anna = self.put(anna).await;
        let bob = account(self.domain, "bob", "Bob Smith-Jones", user(person("Bob", "", "")));
        let bob = self.put(bob).await;
        self.put(account(other, "anna", "Anna Other", user(person("Anna", "Other", "")))).await;
        let mut pat = account(
            self.domain,
            "pat, partner",
            "Pat, Partner+Co",
            Kind::Contact(person("Pat", "Partner", "")),
        );
        pat.addresses = vec!["pat@remote.test".into()];
        let pat = self.put(pat).await;
        let mut team = account(
            self.domain,
            "team",
            "The Team",
            Kind::Group(GroupInfo { members: vec![anna, bob, pat], ..GroupInfo::default() }),
        );
        team.addresses = vec!["team".into()];
        self.put(team).await;
        let mut hidden = account(self.domain, "hidden", "Hidden Person", user(Person::default()));
        hidden.published = false;
        self.put(hidden).await;
        let mut gone = account(self.domain, "gone", "Gone Person", user(Person::default()));
        gone.state = State::Disabled("test".into());
        self.put(gone).await;
    }
}
