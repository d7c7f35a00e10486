//! Nodes, invitations, levels and stores.

use posthouse_cluster::{LEVEL, StateMachine, Timestamp};

use crate::{
    Change, ChangeRefusal, Invite, JoinInfo, Joined, Kind, NodeInfo, NodeState, SettingChange,
    StoreId, StoreInfo, Update, User, key,
    live::Live,
    machine::DirectoryMachine,
    testing::{Lab, id, user},
};

const MINUTE: u64 = 60_000;

/// A cluster of level 2 of node 1 with store 1.
pub(super) fn cluster() -> Lab {
    let mut lab = Lab::new();
    lab.ok(Change::PutNode(node(1, "one.example.test", "a")));
    lab.ok(Change::PutStore(store(1, 1, &[1])));
    lab.ok(Change::SetLevel(2));
    lab
}

pub(super) fn node(id: u64, host: &str, site: &str) -> NodeInfo {
    let (host, site) = (host.into(), site.into());
    NodeInfo { id, host, site, level: 2, key: vec![id as u8; 32], ..NodeInfo::default() }
}

pub(super) fn store(id: u64, home: u64, replicas: &[u64]) -> StoreInfo {
    StoreInfo { id: StoreId(id), home, replicas: replicas.to_vec(), ..StoreInfo::default() }
}

fn invite(number: u8, expires: u64, host: Option<&str>) -> Change {
    Change::PutInvite(Invite {
        id: [number; 16],
        verifier: vec![9; 32],
        created: Timestamp(0),
        expires: Timestamp(expires),
        by: crate::Actor::System("test".into()),
        host: host.map(Into::into),
        used: None,
        revoked: false,
    })
}

fn joining(number: u8, key: u8, host: &str) -> JoinInfo {
    JoinInfo {
        invite: [number; 16],
        key: vec![key; 32],
        host: host.into(),
        site: "a".into(),
        links: vec!["two.example.test:4041".into()],
        version: "0.1.0".into(),
        level: 2,
    }
}

fn join(lab: &mut Lab, info: JoinInfo) -> Result<Option<Joined>, ChangeRefusal> {
    lab.run(Change::Join(Box::new(info))).map(|outcome| outcome.joined)
}

fn joined(node: u64, store: u64) -> Option<Joined> {
    Some(Joined { node, store: StoreId(store) })
}

/// What is kept of a user.
fn of(lab: &Lab, number: u128) -> User {
    match lab.account(id(number)).kind {
        Kind::User(user) => user,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_invitation_lets_one_node_in() {
    let mut lab = cluster();
    let far = 1_000 * MINUTE;
    for (number, expires, host) in [
        (1, far, None),
        (2, 1, None),
        (3, far, None),
        (4, far, Some("Four.Example.Test")),
        (5, far, None),
    ] {
        lab.ok(invite(number, expires, host));
    }
    assert_eq!(lab.run(invite(1, far, None)).unwrap_err(), ChangeRefusal::Exists);
    lab.ok(Change::RevokeInvite([3; 16]));
    let two = "two.example.test";
    let old = JoinInfo { level: 1, ..joining(5, 55, "five.example.test") };
    for (info, outcome) in [
        (joining(99, 20, two), Err(ChangeRefusal::InviteUnknown)),
        (joining(2, 20, two), Err(ChangeRefusal::InviteExpired)),
        (joining(3, 20, two), Err(ChangeRefusal::InviteRevoked)),
        (joining(4, 20, two), Err(ChangeRefusal::InviteHost("four.example.test".into()))),
        (joining(1, 20, "no host"), Err(ChangeRefusal::BadName("no host".into()))),
        (joining(1, 1, two), Err(ChangeRefusal::KeyTaken(1))),
        (
            joining(1, 20, "ONE.example.test"),
            Err(ChangeRefusal::HostTaken { host: "one.example.test".into(), node: 1 }),
        ),
        (joining(1, 20, two), Ok(joined(2, 2))),
        // the answer got lost: asked again, answered again
        (joining(1, 20, two), Ok(joined(2, 2))),
        (joining(1, 21, two), Err(ChangeRefusal::InviteUsed(2))),
        (joining(4, 40, "four.example.test"), Ok(joined(3, 3))),
    ] {
        assert_eq!(join(&mut lab, info.clone()), outcome, "{info:?}");
    }
    assert!(matches!(join(&mut lab, old), Err(ChangeRefusal::BadLevel { level: 2, .. })));
    for change in [Change::RevokeInvite([1; 16]), Change::RevokeInvite([98; 16])] {
        assert!(lab.run(change).is_err());
    }
    let index = lab.live.index.read();
    let two = &index.configuration.nodes[1];
    assert_eq!((two.id, two.host.as_str(), two.state), (2, "two.example.test", NodeState::Active));
    assert_eq!(two.key, [20; 32]);
    assert!(two.joined.0 > 0);
    let stores = &index.configuration.stores;
    assert_eq!((stores[1].home, &stores[1].replicas[..], stores[1].wanted), (2, &[2][..], 3));
    let shown = format!("{:?}", index.configuration.invites);
    assert!(!shown.contains('9'), "the verifier is not shown: {shown}");
}

#[test]
fn stores_of_joined_nodes_get_the_replicas_that_the_settings_say() {
    let mut lab = cluster();
    let name = key::CLUSTER_REPLICAS.to_owned();
    lab.ok(Change::Set(SettingChange { name, value: Some("5".into()) }));
    lab.ok(invite(1, 1_000 * MINUTE, None));
    join(&mut lab, joining(1, 20, "two.example.test")).unwrap();
    assert_eq!(lab.live.index.read().configuration.stores[1].wanted, 5);
}

#[test]
fn open_invitations_are_bounded_and_old_ones_make_room() {
    let mut lab = cluster();
    let far = 1_000 * MINUTE;
    let invite_id = |number: u32| {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&number.to_be_bytes());
        id
    };
    let numbered = |number: u32, expires: u64| {
        let Change::PutInvite(mut invite) = invite(0, expires, None) else { unreachable!() };
        invite.id = invite_id(number);
        Change::PutInvite(invite)
    };
    lab.ok(Change::All((0..2).map(|number| numbered(number, 1)).collect()));
    lab.ok(Change::All((2..1_000).map(|number| numbered(number, far)).collect()));
    lab.ok(Change::All((1_000..1_002).map(|number| numbered(number, far)).collect()));
    assert_eq!(lab.live.index.read().configuration.invites.len(), 1_000);
    assert!(lab.run(numbered(1_002, far)).is_err());
    lab.ok(Change::RevokeInvite(invite_id(500)));
    lab.ok(numbered(1_002, far));
    assert_eq!(lab.live.index.read().configuration.invites.len(), 1_000);
}

#[test]
fn a_number_is_never_given_twice_and_a_removed_node_never_comes_back() {
    let mut lab = cluster();
    for number in 1..=4 {
        lab.ok(invite(number, 1_000 * MINUTE, None));
    }
    assert_eq!(join(&mut lab, joining(1, 20, "two.example.test")), Ok(joined(2, 2)));
    lab.ok(Change::RemoveNode { id: 2, force: false });
    lab.ok(Change::RemoveNode { id: 2, force: false });
    for change in [
        Change::NodeReport {
            id: 2,
            links: Vec::new(),
            key: None,
            version: String::new(),
            level: 2,
        },
        Change::PutNode(node(2, "two.example.test", "a")),
        Change::SetNodeState { node: 2, state: NodeState::Active },
        Change::SetSite { node: 2, site: "b".into() },
        Change::PutStore(store(1, 1, &[1, 2])),
    ] {
        assert_eq!(lab.run(change).unwrap_err(), ChangeRefusal::NodeRemoved(2));
    }
    // with its old invitation, with its old key
    assert_eq!(
        join(&mut lab, joining(1, 20, "two.example.test")),
        Err(ChangeRefusal::NodeRemoved(2))
    );
    assert_eq!(join(&mut lab, joining(2, 20, "two.example.test")), Err(ChangeRefusal::KeyTaken(2)));
    // the store went with it: empty, out of use, and its number is used up
    lab.ok(Change::RemoveStore(StoreId(2)));
    assert_eq!(join(&mut lab, joining(2, 22, "two.example.test")), Ok(joined(3, 3)));
    let index = lab.live.index.read();
    let removed = &index.configuration.nodes[1];
    assert_eq!((removed.id, removed.state), (2, NodeState::Removed));
    assert!(removed.removed.is_some());
}

#[test]
fn a_node_is_not_removed_with_the_only_replica_of_mailboxes_unless_forced() {
    let mut lab = cluster();
    lab.ok(Change::PutNode(node(2, "two.example.test", "a")));
    assert_eq!(
        lab.run(Change::RemoveNode { id: 9, force: true }).unwrap_err(),
        ChangeRefusal::NotFound("node 9".into())
    );
    lab.put(user(10, "anna", &[]));
    lab.ok(Change::PutStore(store(2, 2, &[2])));
    lab.put(user(11, "bob", &[]));
    assert_eq!(of(&lab, 11).store, Some(StoreId(2)));
    let refused = lab.run(Change::RemoveNode { id: 2, force: false }).unwrap_err();
    let ChangeRefusal::WouldLose(text) = refused else { panic!("{refused:?}") };
    assert!(
        text.contains("store 2 with 1 mailboxes") && text.contains("two.example.test"),
        "{text}"
    );

    // elsewhere too: the other one becomes the home
    lab.ok(Change::PutStore(store(2, 2, &[1, 2])));
    lab.ok(Change::RemoveNode { id: 2, force: false });
    let stores = lab.live.index.read().configuration.stores.clone();
    assert_eq!((stores[1].home, &stores[1].replicas[..]), (1, &[1][..]));
    assert_eq!(of(&lab, 11).store, Some(StoreId(2)), "nothing was lost");

    // forced: lost, and begun anew elsewhere
    lab.ok(Change::PutNode(node(3, "three.example.test", "a")));
    lab.ok(Change::PutStore(store(3, 3, &[3])));
    lab.put(user(12, "carl", &[]));
    assert_eq!(of(&lab, 12).store, Some(StoreId(3)));
    lab.ok(Change::RemoveNode { id: 3, force: true });
    assert_ne!(of(&lab, 12).store, Some(StoreId(3)));
    let stores = lab.live.index.read().configuration.stores.clone();
    assert!(stores[2].retired && stores[2].replicas.is_empty());
    assert_eq!(
        lab.run(Change::RemoveNode { id: 1, force: true }).unwrap_err(),
        ChangeRefusal::LastNode
    );
}

#[test]
fn a_node_is_emptied_only_if_another_one_is_active() {
    let mut lab = cluster();
    let drain = |node| Change::SetNodeState { node, state: NodeState::Draining };
    assert_eq!(lab.run(drain(1)).unwrap_err(), ChangeRefusal::LastNode);
    lab.ok(Change::PutNode(node(2, "two.example.test", "a")));
    lab.ok(drain(1));
    assert_eq!(lab.run(drain(2)).unwrap_err(), ChangeRefusal::LastNode);
    assert_eq!(
        lab.run(Change::RemoveNode { id: 2, force: true }).unwrap_err(),
        ChangeRefusal::LastNode,
        "only one that is being emptied would be left"
    );
    assert!(lab.run(Change::SetNodeState { node: 2, state: NodeState::Removed }).is_err());
    lab.ok(Change::SetNodeState { node: 1, state: NodeState::Active });
}

#[test]
fn levels_only_rise_and_only_when_all_members_know_them() {
    let mut lab = Lab::new();
    lab.ok(Change::PutNode(NodeInfo { level: 0, ..node(1, "one.example.test", "a") }));
    assert_eq!(lab.live.index.read().configuration.level, 1);
    assert_eq!(lab.live.index.read().configuration.cluster, None);
    // a node on its own knows what it proposes
    lab.ok(Change::SetLevel(2));
    assert_eq!(lab.live.index.read().configuration.level, 2);
    let id = lab.live.index.read().configuration.cluster;
    assert!(id.is_some());
    lab.ok(Change::SetLevel(2));
    lab.ok(Change::PutNode(node(2, "two.example.test", "a")));
    let report = |id, level| Change::NodeReport {
        id,
        links: vec!["[2001:db8::1]:4041".into()],
        key: None,
        version: "0.9".into(),
        level,
    };
    for (change, refused) in [
        (Change::SetLevel(1), "agreed already"),
        (Change::SetLevel(3), "node 1 (one.example.test) knows level 2, node 2"),
        (report(2, 1), "node 2 knows only level 1"),
    ] {
        let refusal = lab.run(change.clone()).unwrap_err().to_string();
        assert!(refusal.contains(refused), "{change:?}: {refusal}");
    }
    lab.ok(report(1, 3));
    let refusal = lab.run(Change::SetLevel(3)).unwrap_err().to_string();
    assert!(refusal.contains("node 2") && !refusal.contains("node 1"), "{refusal}");
    lab.ok(report(2, 3));
    lab.ok(Change::SetLevel(3));
    assert_eq!(lab.live.index.read().configuration.cluster, id, "the cluster keeps its number");

    // a program that does not know the agreed level does not start on it
    let newer = LEVEL + 1;
    lab.ok(report(1, newer));
    lab.ok(report(2, newer));
    lab.ok(Change::SetLevel(newer));
    let Lab { folder, machine, .. } = lab;
    drop(machine);
    let Err(error) = DirectoryMachine::open(folder.path(), std::sync::Arc::new(Live::new())) else {
        panic!("it started");
    };
    assert!(error.to_string().contains(&format!("level {newer}")), "{error}");
}

#[test]
fn what_a_node_says_of_itself_is_checked() {
    let mut lab = cluster();
    let report = |links: &[&str], key: Option<Vec<u8>>, version: &str| Change::NodeReport {
        id: 1,
        links: links.iter().map(|link| (*link).into()).collect(),
        key,
        version: version.into(),
        level: 2,
    };
    for (change, good) in [
        (report(&["one.example.test:4041", "192.0.2.1:4041"], None, "1.0"), true),
        (report(&["one.example.test"], None, "1.0"), false),
        (report(&["one.example.test:0"], None, "1.0"), false),
        (report(&[":4041"], None, "1.0"), false),
        (report(&["a\nb:4041"], None, "1.0"), false),
        (report(&["a:1"; 17], None, "1.0"), false),
        (report(&[], Some(vec![1; 31]), "1.0"), false),
        (report(&[], Some(vec![7; 32]), "1.0"), true),
        (report(&[], None, "1\u{7}"), false),
        (report(&[], None, &"x".repeat(256)), false),
    ] {
        assert_eq!(lab.run(change.clone()).is_ok(), good, "{change:?}");
    }
    let known = lab.live.index.read().configuration.nodes[0].clone();
    assert_eq!(known.key, [7; 32]);
    assert_eq!(known.host, "one.example.test", "a report says nothing of host and site");
    for site in ["", "  ", "a\tb", &"x".repeat(65)] {
        assert!(lab.run(Change::SetSite { node: 1, site: site.into() }).is_err(), "{site:?}");
    }
    lab.ok(Change::SetSite { node: 1, site: " Wien ".into() });
    assert_eq!(lab.live.index.read().configuration.nodes[0].site, "Wien");
}

#[test]
fn stores_are_checked() {
    let mut lab = cluster();
    lab.ok(Change::PutNode(node(2, "two.example.test", "a")));
    let wanted = |wanted| StoreInfo { wanted, ..store(1, 1, &[1]) };
    for (info, good) in [
        (store(1, 1, &[2, 1, 2]), true),
        (store(0, 1, &[1]), false),
        (store(1, 1, &[2]), false),
        (store(1, 1, &[1, 7]), false),
        (wanted(0), false),
        (wanted(5), true),
        (wanted(6), false),
    ] {
        assert_eq!(lab.run(Change::PutStore(info.clone())).is_ok(), good, "{info:?}");
    }
    let retire = lab.run(Change::RetireStore(StoreId(1))).unwrap_err().to_string();
    assert!(retire.contains("only one"), "{retire}");
    lab.put(user(10, "anna", &[]));
    lab.ok(Change::PutStore(store(2, 2, &[2])));
    lab.ok(Change::RetireStore(StoreId(1)));
    lab.put(user(11, "bob", &[]));
    lab.put(user(12, "carl", &[]));
    assert_eq!([of(&lab, 11).store, of(&lab, 12).store], [Some(StoreId(2)); 2]);
    for (change, why) in [
        (Change::RemoveStore(StoreId(2)), "retire it first"),
        (Change::RemoveStore(StoreId(1)), "still has 1 mailboxes"),
        (Change::RemoveStore(StoreId(9)), "no such store 9"),
        (Change::SetStore { account: id(11), store: StoreId(1) }, "out of use"),
    ] {
        let refusal = lab.run(change).unwrap_err().to_string();
        assert!(refusal.contains(why), "{refusal}");
    }
    lab.ok(Change::SetStore { account: id(10), store: StoreId(2) });
    lab.ok(Change::RemoveStore(StoreId(1)));
}

#[test]
fn new_mailboxes_go_where_the_fewest_are_and_stay_there() {
    let mut lab = cluster();
    lab.ok(Change::PutNode(node(2, "two.example.test", "b")));
    lab.ok(Change::PutStore(store(2, 2, &[2])));
    let in_site = |number, name: &str, site: &str| Change::PutAccountIn {
        account: Box::new(user(number, name, &[])),
        site: site.into(),
    };
    lab.put(user(10, "a", &[]));
    lab.put(user(11, "b", &[]));
    lab.put(user(12, "c", &[]));
    lab.ok(in_site(13, "d", "b"));
    let mut named = user(14, "e", &[]);
    if let Kind::User(user) = &mut named.kind {
        user.store = Some(StoreId(2));
    }
    lab.put(named);
    lab.ok(in_site(15, "f", "nowhere"));
    let stores =
        |lab: &Lab| -> Vec<u64> { (10..16).map(|n| of(lab, n).store.unwrap().0).collect() };
    assert_eq!(stores(&lab), [1, 2, 1, 2, 2, 1]);

    // whoever changes an account does not move its mailbox
    let mut changed = lab.account(id(10));
    changed.display_name = "Anna".into();
    if let Kind::User(user) = &mut changed.kind {
        user.store = Some(StoreId(2));
    }
    lab.put(changed);
    assert_eq!((stores(&lab)[0], lab.account(id(10)).display_name.as_str()), (1, "Anna"));

    lab.ok(Change::RemoveAccount(id(15)));
    lab.ok(Change::SetNodeState { node: 1, state: NodeState::Draining });
    lab.put(user(16, "g", &[]));
    assert_eq!(of(&lab, 16).store, Some(StoreId(2)), "not on a node that is being emptied");
}

#[test]
fn what_level_1_wrote_stays_readable() {
    let mut lab = Lab::new();
    // as a program of level 1 proposed them: number of the variant, then three fields
    let node = postcard::to_allocvec(&(13u8, 1u64, "Old.example.test", "here")).unwrap();
    let store = postcard::to_allocvec(&(14u8, 1u64, 1u64, vec![1u64])).unwrap();
    for (number, change) in [node, store].into_iter().enumerate() {
        let mut command = postcard::to_allocvec(&(number as u128 + 900, 5u64)).unwrap();
        command.extend(postcard::to_allocvec(&crate::Actor::System("set-up".into())).unwrap());
        command.extend(change);
        lab.apply(command.into()).unwrap();
    }
    lab.put(user(10, "anna", &[]));
    assert_eq!(of(&lab, 10).store, None, "as level 1 does it");

    // rows as a program of level 1 wrote them
    let rows = [
        ("node", postcard::to_extend(&(1u64, "old.example.test", "here"), vec![1]).unwrap()),
        ("store", postcard::to_extend(&(1u64, 1u64, vec![1u64]), vec![1]).unwrap()),
    ];
    let db = lab.machine.db.connection();
    for (table, row) in rows {
        let before: Vec<u8> =
            db.query_row(&format!("select data from {table}"), [], |row| row.get(0)).unwrap();
        assert_eq!(before[0], 2);
        db.execute(&format!("update {table} set data = ?"), [row]).unwrap();
    }
    db.execute_batch("delete from mailbox; delete from mailbox_count; delete from fact").unwrap();
    let Lab { folder, machine, .. } = lab;
    drop(machine);
    let live = std::sync::Arc::new(Live::new());
    let mut machine = DirectoryMachine::open(folder.path(), live.clone()).unwrap();
    {
        let index = live.index.read();
        let node = &index.configuration.nodes[0];
        assert_eq!(
            (node.id, node.host.as_str(), node.site.as_str()),
            (1, "old.example.test", "here")
        );
        assert_eq!((node.level, node.state), (1, NodeState::Active));
        assert_eq!(index.configuration.stores[0], super::cluster::store(1, 1, &[1]));
    }
    let sql = "select number from mailbox_count where store = 1";
    let counted: i64 = machine.db.connection().query_row(sql, [], |row| row.get(0)).unwrap();
    assert_eq!(counted, 1, "mailboxes of before are counted");
    assert!(machine.applied().unwrap().is_some());
}

#[test]
fn answers_of_level_1_stay_readable() {
    let old: Result<(Vec<crate::Collision>,), ChangeRefusal> = Ok((Vec::new(),));
    let bytes = postcard::to_allocvec(&old).unwrap();
    assert_eq!(crate::machine::decode_answer(&bytes).unwrap(), Ok(crate::ChangeOutcome::default()));
    let refused: Result<(), _> = Err(ChangeRefusal::Exists);
    let bytes = postcard::to_allocvec(&refused).unwrap();
    assert_eq!(crate::machine::decode_answer(&bytes).unwrap(), Err(ChangeRefusal::Exists));
}

#[test]
fn changes_keep_their_numbers_on_the_wire() {
    let number = |change: &Change| postcard::to_allocvec(change).unwrap()[0];
    for (expected, change) in [
        (0, Change::All(Vec::new())),
        (17, Change::Audit(String::new())),
        (18, Change::PutNode(NodeInfo::default())),
        (19, Change::PutStore(StoreInfo::default())),
        (20, invite(1, 1, None)),
        (22, Change::Join(Box::new(joining(1, 1, "x")))),
        (26, Change::RemoveNode { id: 1, force: false }),
        (27, Change::SetLevel(2)),
        (28, Change::SetStore { account: id(1), store: StoreId(1) }),
        (32, Change::MoveState { id: 1, state: crate::MoveState::Queued }),
    ] {
        assert_eq!(number(&change), expected, "{change:?}");
    }
}

#[test]
fn a_change_of_nodes_is_told() {
    let mut lab = cluster();
    let mut updates = lab.live.updates.subscribe();
    lab.ok(Change::SetSite { node: 1, site: "b".into() });
    assert_eq!(updates.try_recv(), Ok(Update::Configuration));
    lab.ok(Change::SetSite { node: 1, site: "b".into() });
    assert!(updates.try_recv().is_err(), "nothing changed");
}
