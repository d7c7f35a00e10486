//! The address book with many people and nothing else, for `make bench`.
//! Usage: bench-address-book FOLDER PEOPLE PASSWORD READY-FILE

use std::{path::Path, sync::Arc};

use anyhow::{Context, Result, anyhow};
use posthouse_auth::{AuthOptions, Authenticator, Gate, ServerTls};
use posthouse_cluster::{Environment, Node, NodeId, NodeOptions};
use posthouse_directory::{
    Account, AccountId, Actor, Change, Directory, DirectoryOptions, Domain, DomainId, Kind, Origin,
    Person, State, User, fresh_id,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Accounts of one change.
const BATCH: usize = 500;

#[tokio::main]
async fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [folder, people, password, ready] = words.as_slice() else {
        return Err(anyhow!("usage: bench-address-book FOLDER PEOPLE PASSWORD READY-FILE"));
    };
    let folder = Path::new(folder).join("address-book");
    let env = Environment::real();
    let options = NodeOptions::alone(NodeId(1), folder.join("log"));
    let node = Node::open(env.clone(), options).await?;
    let options = DirectoryOptions { folder: folder.join("domain"), bootstrap: true };
    let directory = Directory::open(&node, options).await?;
    let host = "mail.example.test".to_owned();
    let options = AuthOptions { folder: folder.join("auth"), host: host.clone() };
    let auth = Authenticator::open(directory.clone(), options).await.map_err(|e| anyhow!(e))?;
    fill(&directory, &auth, people.parse()?, password, &env).await?;
    let tls = certificate()?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    let context = posthouse_addressbook::Context::new(directory, auth, tls, Gate::new());
    std::fs::write(ready, serde_json::json!({ "port": port }).to_string())?;
    let stop = CancellationToken::new();
    posthouse_addressbook::serve(
        listener,
        posthouse_addressbook::Mode::Tls,
        Arc::new(context),
        stop,
    )
    .await;
    Ok(())
}

fn certificate() -> Result<ServerTls> {
    let key = rcgen::KeyPair::generate()?;
    let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()])?;
    let pem = params.self_signed(&key)?.pem();
    ServerTls::new(pem.as_bytes(), key.serialize_pem().as_bytes()).context("no certificate")
}

async fn fill(
    directory: &Directory,
    auth: &Authenticator,
    people: usize,
    password: &str,
    env: &Environment,
) -> Result<()> {
    let actor = || Actor::System("benchmark".to_owned());
    let now = env.clock.now();
    let domain = DomainId(fresh_id());
    let account = |name: String, display_name: String, person: Person, user: User| Account {
        id: AccountId(fresh_id()),
        domain,
        name,
        display_name,
        addresses: Vec::new(),
        origin: Origin::Local,
        state: State::Enabled,
        published: true,
        description: String::new(),
        kind: Kind::User(User { person, ..user }),
        created: now,
        changed: now,
    };
    let admin = User { password: Some(auth.hash_password(password).await), ..User::default() };
    let put = |account| Change::PutAccount(Box::new(account));
    let mut changes = vec![
        Change::PutDomain(Domain {
            id: domain,
            name: "example.test".to_owned(),
            aliases: Vec::new(),
            primary: true,
            description: String::new(),
        }),
        put(account("admin".to_owned(), "Administrator".to_owned(), Person::default(), admin)),
    ];
    for number in 0..people {
        let person = Person {
            surname: format!("Family{}", number % 5000),
            phone: format!("+49 30 {number}"),
            ..Person::default()
        };
        changes.push(put(account(
            format!("person{number}"),
            format!("Person {number}"),
            person,
            User::default(),
        )));
        if changes.len() >= BATCH {
            directory.change(actor(), Change::All(std::mem::take(&mut changes))).await?;
        }
    }
    directory.change(actor(), Change::All(changes)).await?;
    Ok(())
}
