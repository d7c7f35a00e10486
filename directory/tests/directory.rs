//! The directory on a real node with a real log.
#![allow(clippy::unwrap_used)]

use std::{path::Path, time::Duration};

use posthouse_cluster::{Environment, Node, NodeId, NodeOptions, Timestamp};
use posthouse_directory::{
    Account, AccountId, Actor, Change, ChangeError, ChangeRefusal, Directory, DirectoryOptions,
    Domain, DomainId, Kind, Listing, NodeInfo, Origin, Person, PersonQuery, Rights, SettingChange,
    State, StoreId, StoreInfo, Target, Update, User, fresh_id, key,
};

async fn open(folder: &Path) -> (Node, Directory) {
    let options = NodeOptions::alone(NodeId(1), folder.join("log"));
    let node = Node::open(Environment::real(), options).await.unwrap();
    let options = DirectoryOptions { folder: folder.join("directory"), bootstrap: true };
    let directory = Directory::open(&node, options).await.unwrap();
    (node, directory)
}

fn actor() -> Actor {
    Actor::System("test".into())
}

fn user(domain: DomainId, name: &str) -> Account {
    Account {
        id: AccountId(fresh_id()),
        domain,
        name: name.into(),
        display_name: format!("{name} of the test"),
        addresses: Vec::new(),
        origin: Origin::Local,
        state: State::Enabled,
        published: true,
        description: String::new(),
        kind: Kind::User(User::default()),
        created: Timestamp(0),
        changed: Timestamp(0),
    }
}

fn put(account: &Account) -> Change {
    Change::PutAccount(Box::new(account.clone()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_changed_is_seen_at_once_and_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (node, directory) = open(folder.path()).await;
    assert!(!directory.is_set_up());
    let domain = DomainId(fresh_id());
    let mut updates = directory.updates();
    directory
        .change(
            actor(),
            Change::PutDomain(Domain {
                id: domain,
                name: "Example.test".into(),
                aliases: vec!["example.org".into()],
                primary: true,
                description: String::new(),
            }),
        )
        .await
        .unwrap();
    assert_eq!(updates.recv().await, Ok(Update::Configuration));
    assert!(directory.is_set_up());
    let mut anna = user(domain, "anna");
    anna.kind = Kind::User(User {
        rights: Rights::Full,
        person: Person { photo: Some(b"\xFF\xD8jpeg".to_vec()), ..Person::default() },
        ..User::default()
    });
    directory.change(actor(), put(&anna)).await.unwrap();
    assert_eq!(updates.recv().await, Ok(Update::Account(anna.id)));
    let refused = directory.change(actor(), put(&user(domain, "ANNA"))).await;
    assert!(
        matches!(refused, Err(ChangeError::Refused(ChangeRefusal::AddressTaken { .. }))),
        "{refused:?}"
    );
    let setting = SettingChange { name: key::LDAP_SIZE_LIMIT.into(), value: Some("77".into()) };
    let store = StoreInfo { id: StoreId(1), home: 1, replicas: vec![1], ..Default::default() };
    let host = NodeInfo {
        id: 1,
        host: "mail.example.test".into(),
        site: "here".into(),
        ..NodeInfo::default()
    };
    for change in [Change::Set(setting), Change::PutStore(store), Change::PutNode(host)] {
        directory.change(actor(), change).await.unwrap();
    }
    let secret = Change::PutSecret { name: "keytab".into(), ciphertext: vec![1, 2, 3] };
    directory.change(actor(), secret).await.unwrap();
    let far = directory.environment().clock.now().after(Duration::from_secs(3_600));
    let ephemeral = Change::PutEphemeral {
        space: "session".into(),
        key: vec![5],
        value: Some(vec![6]),
        expires: far,
        only_new: false,
    };
    directory.change(actor(), ephemeral).await.unwrap();
    check(&directory, &anna).await;
    let lines = directory.audit(None, 100).await.unwrap();
    node.shutdown().await.unwrap();
    drop((node, directory));

    let (node, directory) = open(folder.path()).await;
    check(&directory, &anna).await;
    assert_eq!(directory.audit(None, 100).await.unwrap(), lines);
    directory.change(actor(), put(&user(domain, "bob"))).await.unwrap();
    assert!(directory.login("bob").is_some());
    node.shutdown().await.unwrap();
}

async fn check(directory: &Directory, anna: &Account) {
    let found = directory.login("Anna").unwrap();
    assert_eq!(found.id, anna.id);
    assert_eq!(found.user().unwrap().person.photo, None, "photos are read on their own");
    assert_eq!(directory.photo(anna.id).await.unwrap().as_deref(), Some(&b"\xFF\xD8jpeg"[..]));
    assert_eq!(directory.resolve("anna@example.org").targets, [Target::Mailbox(anna.id)]);
    assert_eq!(directory.address_of(&found).as_deref(), Some("anna@example.test"));
    assert_eq!(directory.rights(anna.id), Rights::Full);
    assert_eq!(directory.integer(key::LDAP_SIZE_LIMIT), 77);
    assert_eq!(directory.integer(key::SMTP_MAX_RECIPIENTS), 500);
    assert_eq!(directory.stores()[0].id, StoreId(1));
    assert_eq!(directory.nodes()[0].host, "mail.example.test");
    assert_eq!(directory.secret("keytab").unwrap().as_slice(), [1, 2, 3]);
    assert_eq!(directory.ephemeral("session", &[5]).unwrap().as_slice(), [6]);
    assert_eq!(directory.domain_named("EXAMPLE.org").unwrap().name, "example.test");
    let listing = Listing { contains: "of the".into(), limit: 10, ..Listing::default() };
    assert_eq!(directory.list(&listing).1, 1);
    let mut people = Vec::new();
    let query = PersonQuery { contains_any: vec!["ANNA@".into()], ..PersonQuery::default() };
    directory.people(&query, &mut |entry| {
        people.push(entry.mail.clone());
        true
    });
    assert_eq!(people, ["anna@example.test"]);
}
