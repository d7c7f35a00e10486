//! How fast the index is with many people: `cargo run --release -p posthouse-directory --example directory_rate
//! [PEOPLE]`.

use std::time::{Duration, Instant};

use posthouse_cluster::{Environment, Node, NodeId, NodeOptions, Timestamp};
use posthouse_directory::{
    Account, AccountId, Actor, Change, Directory, DirectoryOptions, Domain, DomainId, Kind,
    Listing, Origin, Person, PersonQuery, State, User, fresh_id,
};

/// Accounts of one command.
const BATCH: usize = 1_000;
const FIRST: [&str; 10] =
    ["Anna", "Bob", "Carla", "Dieter", "Emine", "Farid", "Greta", "Hugo", "Ines", "Jürgen"];
const LAST: [&str; 10] =
    ["Smith", "Müller", "Okafor", "Nowak", "Rossi", "Tanaka", "García", "Dupont", "Kaya", "Jensen"];

fn person(domain: DomainId, number: usize) -> Account {
    let first = FIRST[number % 10];
    let last = LAST[number / 10 % 10];
    Account {
        id: AccountId(fresh_id()),
        domain,
        name: format!("user{number}"),
        display_name: format!("{first} {last} {number}"),
        addresses: vec![format!("p{number}.mail")],
        origin: Origin::Local,
        state: State::Enabled,
        published: true,
        description: String::new(),
        kind: Kind::User(User {
            person: Person {
                given_name: first.into(),
                surname: last.into(),
                phone: format!("+49 30 {number:07}"),
                ..Person::default()
            },
            principals: vec![format!("user{number}@AD.EXAMPLE.TEST")],
            ..User::default()
        }),
        created: Timestamp(0),
        changed: Timestamp(0),
    }
}

/// Median of some runs.
fn measured(mut run: impl FnMut() -> usize) -> (Duration, usize) {
    let mut times = Vec::new();
    let mut found = 0;
    for _ in 0..21 {
        let start = Instant::now();
        found = run();
        times.push(start.elapsed());
    }
    times.sort();
    (times[times.len() / 2], found)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let people: usize = std::env::args().nth(1).map_or(Ok(100_000), |n| n.parse())?;
    let folder = tempfile::tempdir()?;
    let node = || NodeOptions::alone(NodeId(1), folder.path().join("log"));
    let options = || DirectoryOptions { folder: folder.path().join("directory"), bootstrap: true };
    let actor = || Actor::System("measurement".into());
    let domain = DomainId(fresh_id());

    let first = Node::open(Environment::real(), node()).await?;
    let directory = Directory::open(&first, options()).await?;
    let start = Instant::now();
    directory
        .change(
            actor(),
            Change::PutDomain(Domain {
                id: domain,
                name: "example.test".into(),
                aliases: Vec::new(),
                primary: true,
                description: String::new(),
            }),
        )
        .await?;
    for from in (0..people).step_by(BATCH) {
        let batch = (from..people.min(from + BATCH))
            .map(|number| Change::PutAccount(Box::new(person(domain, number))));
        directory.change(actor(), Change::All(batch.collect())).await?;
    }
    println!("written   {people} people in {:?}", start.elapsed());
    first.shutdown().await?;
    drop((directory, first));

    let second = Node::open(Environment::real(), node()).await?;
    let start = Instant::now();
    let directory = Directory::open(&second, options()).await?;
    println!("opened    index built in {:?}", start.elapsed());

    for text in ["user7777", "müller 4", "mail@example", "0077777", "nobody has this", "e"] {
        let query = PersonQuery { contains_any: vec![text.into()], ..PersonQuery::default() };
        let (time, found) = measured(|| {
            let mut found = 0;
            directory.people(&query, &mut |_| {
                found += 1;
                found < 500
            });
            found
        });
        println!("search    {text:?}: {found} shown, {time:?}");
    }
    for address in ["user4711@example.test", "p99.mail@example.test", "nobody@example.test"] {
        let (time, found) = measured(|| directory.resolve(address).targets.len());
        println!("resolve   {address}: {found} target, {time:?}");
    }
    let (time, _) = measured(|| usize::from(directory.login("user4711").is_some()));
    println!("login     user4711: {time:?}");
    let listing = Listing { offset: people / 2, limit: 100, ..Listing::default() };
    let (time, found) = measured(|| directory.list(&listing).0.len());
    println!("list      page of {found} in the middle: {time:?}");
    second.shutdown().await?;
    Ok(())
}
