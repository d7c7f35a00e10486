//! Same commands, same state: on two machines, after a restart, and through a snapshot.

use std::sync::Arc;

use posthouse_cluster::StateMachine;
use proptest::prelude::*;
use rusqlite::{Connection, types::ValueRef};

use crate::{
    Change, Rights, State, SyncBatch,
    live::Live,
    machine::DirectoryMachine,
    testing::{Lab, SOURCE, admin, alias, group, id, mapped, source, user},
};

/// Every row of every table, in order of all its columns.
fn dump(db: &Connection) -> String {
    let mut out = String::new();
    let sql = "select name from sqlite_master where type = 'table' order by name";
    let mut tables = db.prepare(sql).unwrap();
    let tables: Vec<String> =
        tables.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    for table in tables {
        let mut statement = db.prepare(&format!("select * from {table}")).unwrap();
        let columns = statement.column_count();
        let mut found = statement.query([]).unwrap();
        let mut lines = Vec::new();
        while let Some(row) = found.next().unwrap() {
            let cells: Vec<String> = (0..columns)
                .map(|c| match row.get_ref(c).unwrap() {
                    ValueRef::Blob(blob) => format!("{blob:02x?}"),
                    other => format!("{other:?}"),
                })
                .collect();
            lines.push(cells.join("|"));
        }
        lines.sort();
        out += &format!("== {table}\n{}\n", lines.join("\n"));
    }
    out
}

/// What can be seen of an index from outside.
fn seen(live: &Live) -> String {
    let index = live.index.read();
    let mut out: Vec<String> = index.in_order().map(|entry| format!("{entry:?}")).collect();
    for name in ["anna", "bob", "carl", "dora", "team", "info", "x"] {
        out.push(format!("{:?}", index.resolve(&format!("{name}@example.test"))));
        out.push(format!("{:?}", index.login(name).map(|a| a.id)));
        let mut found: Vec<_> =
            index.containing(&[name.into()]).iter().map(|e| e.account.id).collect();
        found.sort();
        out.push(format!("{found:?}"));
    }
    for number in 10..16 {
        out.push(format!("{:?}", index.rights(id(number))));
    }
    out.join("\n")
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let name = prop::sample::select(vec!["anna", "bob", "carl", "dora", "team", "info", "in*"]);
    let number = 10u128..16;
    let rights = prop::sample::select(vec![Rights::None, Rights::ReadOnly, Rights::Full]);
    let put = |account| Change::PutAccount(Box::new(account));
    let upsert = |account| {
        Change::Sync(Box::new(SyncBatch {
            source: SOURCE,
            upserts: vec![account],
            disables: vec![(id(12), "no longer in the directory".into())],
            watermark: Some(vec![1]),
            problem: Some(String::new()),
        }))
    };
    let change = prop_oneof![
        4 => (number.clone(), name.clone(), name.clone())
            .prop_map(move |(n, a, b)| put(user(n, a, &[b]))),
        2 => (number.clone(), name.clone()).prop_map(move |(n, a)| put(admin(n, a))),
        2 => (number.clone(), name.clone(), number.clone(), number.clone())
            .prop_map(move |(n, a, x, y)| put(group(n, a, &[a], &[x, y]))),
        2 => (number.clone(), name.clone(), name.clone())
            .prop_map(move |(n, a, b)| put(alias(n, a, &[b, a]))),
        3 => (number.clone(), name.clone(), name.clone())
            .prop_map(move |(n, a, b)| upsert(mapped(user(n + 100, a, &[b]), n as u8))),
        1 => number.clone().prop_map(|n| Change::RemoveAccount(id(n))),
        1 => number.clone().prop_map(|n| Change::SetState {
            account: id(n), state: State::Disabled("test".into())
        }),
        1 => (number, rights).prop_map(|(n, rights)| Change::SetRights { account: id(n), rights }),
    ];
    prop::collection::vec(change, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn the_same_commands_give_the_same_state_everywhere(changes in changes()) {
        let mut lab = Lab::new();
        lab.ok(Change::PutSource(Box::new(source())));
        let answers: Vec<_> = changes.into_iter().map(|change| lab.run(change)).collect();
        let state = dump(lab.machine.db.connection());
        let shown = seen(&lab.live);

        let mut twin = Lab::empty();
        let log = lab.log.clone();
        let repeated: Vec<_> = log.into_iter().map(|data| twin.apply(data)).skip(3).collect();
        prop_assert_eq!(answers, repeated);
        prop_assert_eq!(&state, &dump(twin.machine.db.connection()));
        prop_assert_eq!(&shown, &seen(&twin.live));

        // a restart builds the index anew
        let Lab { folder, machine, .. } = twin;
        drop(machine);
        let live = Arc::new(Live::new());
        let mut machine = DirectoryMachine::open(folder.path(), live.clone()).unwrap();
        prop_assert_eq!(&state, &dump(machine.db.connection()));
        prop_assert_eq!(&shown, &seen(&live));

        // a snapshot on another node
        let copy = tempfile::tempdir().unwrap();
        machine.snapshot(copy.path()).unwrap();
        let mut third = Lab::new();
        third.put(user(90, "stale", &[]));
        third.machine.install(copy.path()).unwrap();
        prop_assert_eq!(&state, &dump(third.machine.db.connection()));
        prop_assert_eq!(&shown, &seen(&third.live));
    }
}
