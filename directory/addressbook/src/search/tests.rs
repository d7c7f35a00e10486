//! What the index narrows down must never lose somebody whom the filter matches.

use ldap3_proto::proto::{LdapDerefAliases, LdapFilter, LdapSubstringFilter};
use posthouse_cluster::{Environment, Node, NodeId, NodeOptions, Timestamp};
use posthouse_directory::{
    Account, AccountId, Actor, Change, Directory, DirectoryOptions, Domain, DomainId, GroupInfo,
    Origin, Person, State, User, fresh_id,
};
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

use super::*;

const TEXTS: [&str; 12] = [
    "anna",
    "Anna  Bell",
    "bell-anna",
    "ÄNNA",
    "b",
    "+49 30 1",
    "49-301",
    "anna@example.test",
    "an",
    "a b",
    " ",
    "ll a",
];

fn account(domain: DomainId, number: usize) -> Account {
    let text = |at: usize| TEXTS[(number * 7 + at * 5) % TEXTS.len()].to_owned();
    let person = Person {
        given_name: text(1),
        surname: if number.is_multiple_of(3) { String::new() } else { text(2) },
        phone: text(3),
        mobile: text(4),
        title: text(5),
        ..Person::default()
    };
    let kind = match number % 5 {
        0 => Kind::Group(GroupInfo::default()),
        1 => Kind::Contact(person),
        _ => Kind::User(User { person, ..User::default() }),
    };
    Account {
        id: AccountId(fresh_id()),
        domain,
        name: format!("name{number}"),
        display_name: if number.is_multiple_of(4) { String::new() } else { text(0) },
        addresses: match number % 5 {
            1 => vec![format!("An.{number}@Remote.test"), format!("an.{number}@example.test")],
            _ => vec![format!("an.{number}@example.test")],
        },
        origin: Origin::Local,
        state: State::Enabled,
        published: true,
        description: String::new(),
        kind,
        created: Timestamp(0),
        changed: Timestamp(0),
    }
}

fn filters() -> impl Strategy<Value = LdapFilter> {
    let name = prop::sample::select(vec![
        "cn",
        "sn",
        "givenName",
        "displayName",
        "mail",
        "uid",
        "telephoneNumber",
        "mobile",
        "title",
        "unknown",
    ]);
    let value = prop_oneof![
        prop::sample::select(TEXTS.to_vec()).prop_map(str::to_owned),
        prop::sample::select(vec![
            "name7",
            "name10@other.test",
            "ame1",
            "an.5@example.test",
            "AN.11@remote.test",
            "an.16@example.test",
            ""
        ])
        .prop_map(str::to_owned),
    ];
    let piece = prop::option::of(value.clone());
    let item = prop_oneof![
        (name.clone(), value.clone()).prop_map(|(n, v)| LdapFilter::Equality(n.into(), v)),
        (name.clone(), value.clone()).prop_map(|(n, v)| LdapFilter::Approx(n.into(), v)),
        (name.clone(), value.clone()).prop_map(|(n, v)| LdapFilter::GreaterOrEqual(n.into(), v)),
        name.clone().prop_map(|n| LdapFilter::Present(n.into())),
        (name, piece.clone(), prop::collection::vec(value, 0..2), piece).prop_map(
            |(n, initial, any, final_)| {
                LdapFilter::Substring(n.into(), LdapSubstringFilter { initial, any, final_ })
            }
        ),
    ];
    item.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(LdapFilter::And),
            prop::collection::vec(inner.clone(), 0..3).prop_map(LdapFilter::Or),
            inner.prop_map(|f| LdapFilter::Not(Box::new(f))),
        ]
    })
}

fn request(filter: LdapFilter) -> LdapSearchRequest {
    LdapSearchRequest {
        base: String::new(),
        scope: Scope::Subtree,
        aliases: LdapDerefAliases::Never,
        sizelimit: 0,
        timelimit: 0,
        typesonly: false,
        filter,
        attrs: Vec::new(),
    }
}

async fn people(folder: &std::path::Path) -> (Node, Directory) {
    let options = NodeOptions::alone(NodeId(1), folder.join("log"));
    let node = Node::open(Environment::real(), options).await.unwrap();
    let options = DirectoryOptions { folder: folder.join("directory"), bootstrap: true };
    let directory = Directory::open(&node, options).await.unwrap();
    let actor = || Actor::System("test".into());
    let mut changes = Vec::new();
    let mut ids = Vec::new();
    for (name, primary) in [("example.test", true), ("other.test", false)] {
        let id = DomainId(fresh_id());
        ids.push(id);
        changes.push(Change::PutDomain(Domain {
            id,
            name: name.into(),
            aliases: Vec::new(),
            primary,
            description: String::new(),
        }));
    }
    for number in 0..60 {
        changes.push(Change::PutAccount(Box::new(account(ids[number / 10 % 2], number))));
    }
    directory.change(actor(), Change::All(changes)).await.unwrap();
    (node, directory)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn narrowing_down_loses_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let (_node, directory) = people(folder.path()).await;
    let tree = Tree::new(&directory);
    let root = Fixed { dn: String::new(), attributes: Vec::new() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let strategy = filters();
    let (mut narrowed, mut matched) = (0, 0);
    for _ in 0..1_500 {
        let filter = strategy.new_tree(&mut runner).unwrap().current();
        let query = Query::new(&request(filter.clone()), tree.clone(), root.clone()).unwrap();
        let mut want = std::collections::BTreeSet::new();
        directory.people(&PersonQuery::default(), &mut |entry| {
            let person = Entry::Person(entry.clone());
            if query.filter.matches(&person, &tree) == Some(true) {
                want.insert(person.dn(&tree));
            }
            true
        });
        let found = query.run(usize::MAX, &|| false);
        let people = found.entries.iter().filter(|e| matches!(e, Entry::Person(_)));
        let found: std::collections::BTreeSet<_> = people.map(|e| e.dn(&tree)).collect();
        assert_eq!(found, want, "{filter:?} {:?}", query.filter.needles());
        narrowed += usize::from(query.filter.needles().is_some());
        matched += usize::from(!want.is_empty());
    }
    assert!(narrowed > 200 && matched > 300, "{narrowed} narrowed, {matched} matched somebody");
}
