//! Entries of the fuzzer. Panics where a promise does not hold.

use std::{collections::BTreeSet, sync::OnceLock};

use bytes::BytesMut;
use ldap3_proto::proto::{
    LdapDerefAliases, LdapFilter, LdapMsg, LdapOp, LdapSearchRequest, LdapSearchScope,
};
use posthouse_cluster::{Environment, Node, NodeId, NodeOptions, Timestamp};
use posthouse_directory::{
    Account, AccountId, Actor, Change, Directory, DirectoryOptions, Domain, DomainId, GroupInfo,
    Kind, Origin, Person, PersonQuery, State, User, fresh_id,
};

use crate::{
    codec::{MAX_MESSAGE, MAX_MESSAGE_UNBOUND, Request, decode, encode},
    search::Query,
    tree::{Entry, Fixed, Tree},
};

/// Takes any bytes as what a client sends. Every request takes bytes away, none is larger than allowed, and what
/// was decoded is decoded the same once it is encoded again.
pub fn messages(data: &[u8]) {
    let mut buffer = BytesMut::from(data);
    loop {
        let before = buffer.len();
        let Ok(Some(request)) = decode(&mut buffer, MAX_MESSAGE_UNBOUND) else { return };
        let taken = before - buffer.len();
        assert!((1..=MAX_MESSAGE_UNBOUND).contains(&taken));
        assert!(request.id > 0);
        again(request);
    }
}

fn again(request: Request) {
    let Some(op) = request.op else { return };
    // these have one form in types and bytes
    if !matches!(op, LdapOp::SearchRequest(_) | LdapOp::DelRequest(_) | LdapOp::UnbindRequest) {
        return;
    }
    let mut bytes = BytesMut::new();
    encode(LdapMsg::new(request.id, op.clone()), &mut bytes);
    let decoded = decode(&mut bytes, MAX_MESSAGE);
    assert_eq!(decoded.map(|request| request.and_then(|request| request.op)), Ok(Some(op)));
}

/// Takes any bytes as a search filter in BER. Whom the index narrows the search down to must be everybody whom the
/// filter matches, and nobody else.
pub fn filter(data: &[u8]) {
    let Some(filter) = wrapped(data) else { return };
    let directory = directory();
    let tree = Tree::new(directory);
    let root = Fixed { dn: String::new(), attributes: Vec::new() };
    let Ok(query) = Query::new(&request(filter), tree.clone(), root) else { return };
    let mut wanted = BTreeSet::new();
    directory.people(&PersonQuery::default(), &mut |entry| {
        let entry = Entry::Person(entry.clone());
        if query.matches(&entry) {
            wanted.insert(entry.dn(&tree));
        }
        true
    });
    let found = query.run(usize::MAX, &|| false).entries;
    let people = found.iter().filter(|entry| matches!(entry, Entry::Person(_)));
    let found: BTreeSet<String> = people.map(|entry| entry.dn(&tree)).collect();
    assert_eq!(found, wanted);
}

/// The filter of a search request that has it.
fn wrapped(data: &[u8]) -> Option<LdapFilter> {
    let mut search = b"\x04\0\x0a\x01\x02\x0a\x01\0\x02\x01\0\x02\x01\0\x01\x01\0".to_vec();
    search.extend_from_slice(data);
    search.extend_from_slice(b"\x30\0");
    let operation = element(0x63, &search);
    let message = element(0x30, &[b"\x02\x01\x01", &operation[..]].concat());
    let decoded = decode(&mut BytesMut::from(&message[..]), MAX_MESSAGE);
    match decoded.ok()??.op? {
        LdapOp::SearchRequest(request) => Some(request.filter),
        _ => None,
    }
}

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap_or(u32::MAX).to_be_bytes();
    [&[tag, 0x84], &length[..], content].concat()
}

fn request(filter: LdapFilter) -> LdapSearchRequest {
    LdapSearchRequest {
        base: String::new(),
        scope: LdapSearchScope::Subtree,
        aliases: LdapDerefAliases::Never,
        sizelimit: 0,
        timelimit: 0,
        typesonly: false,
        filter,
        attrs: Vec::new(),
    }
}

/// A few people, for the whole run.
fn directory() -> &'static Directory {
    static PEOPLE: OnceLock<Directory> = OnceLock::new();
    PEOPLE.get_or_init(|| {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let directory = runtime.block_on(people());
        // reading needs none, and what runs beside a target only confuses the fuzzer
        runtime.shutdown_background();
        directory
    })
}

async fn people() -> Directory {
    let folder = std::env::temp_dir().join(format!("posthouse-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("directory")).expect("a folder");
    let options = NodeOptions::alone(NodeId(1), folder.join("log"));
    let node = Node::open(Environment::real(), options).await.expect("a node");
    let options = DirectoryOptions { folder: folder.join("directory"), bootstrap: true };
    let directory = Directory::open(&node, options).await.expect("a directory");
    let domain = Domain {
        id: DomainId(fresh_id()),
        name: "example.test".into(),
        aliases: Vec::new(),
        primary: true,
        description: String::new(),
    };
    let mut changes = vec![];
    for (number, name) in ["anna", "bert", "Ünal", "a b", "sales"].iter().enumerate() {
        changes.push(Change::PutAccount(Box::new(account(domain.id, number, name))));
    }
    changes.insert(0, Change::PutDomain(domain));
    let actor = Actor::System("fuzz".into());
    directory.change(actor, Change::All(changes)).await.expect("people");
    let _ = std::fs::remove_dir_all(folder);
    directory
}

fn account(domain: DomainId, number: usize, name: &str) -> Account {
    let person = Person {
        given_name: name.into(),
        surname: format!("van {name}"),
        phone: format!("+49 30 {number}"),
        title: "Dr.  X".into(),
        ..Person::default()
    };
    let kind = match number % 3 {
        0 => Kind::User(User { person, ..User::default() }),
        1 => Kind::Contact(person),
        _ => Kind::Group(GroupInfo::default()),
    };
    Account {
        id: AccountId(fresh_id()),
        domain,
        name: format!("name{number}"),
        display_name: name.into(),
        addresses: vec![format!("n.{number}@example.test")],
        origin: Origin::Local,
        state: State::Enabled,
        published: true,
        description: String::new(),
        kind,
        created: Timestamp(0),
        changed: Timestamp(0),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn piece(tag: u8, text: &str) -> Vec<u8> {
        [&[tag, text.len() as u8], text.as_bytes()].concat()
    }

    fn item(tag: u8, parts: &[Vec<u8>]) -> Vec<u8> {
        let content = parts.concat();
        [&[tag, content.len() as u8], &content[..]].concat()
    }

    #[test]
    fn filters_in_ber_are_read_as_they_stand() {
        let equal = item(0xA3, &[piece(0x04, "cn"), piece(0x04, "anna")]);
        assert_eq!(wrapped(&equal), Some(LdapFilter::Equality("cn".into(), "anna".into())));
        assert_eq!(wrapped(b"\x87\x02"), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

        /// Filters with some bytes changed, cut or doubled.
        #[test]
        fn mutated_filters_find_whom_they_match_or_are_refused_but_never_panic(
            which in 0usize..4,
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0u8..3), 0..6),
        ) {
            let cn = || piece(0x04, "cn");
            let substrings = item(0x30, &[piece(0x80, "an"), piece(0x81, "n"), piece(0x82, "a")]);
            let mut bytes = [
                item(0xA3, &[cn(), piece(0x04, "anna")]),
                item(0xA4, &[cn(), substrings]),
                item(0xA0, &[piece(0x87, "mail"), item(0xA2, &[item(0xA8, &[cn(), piece(0x04, "b")])])]),
                item(0xA9, &[piece(0x81, "2.5.13.2"), piece(0x82, "cn"), piece(0x83, "a  b")]),
            ][which].clone();
            for (at, value, kind) in changes {
                if bytes.is_empty() { break }
                let at = at.index(bytes.len());
                match kind {
                    0 => bytes[at] = value,
                    1 => _ = bytes.remove(at),
                    _ => bytes.insert(at, value),
                }
            }
            filter(&bytes);
        }
    }
}
