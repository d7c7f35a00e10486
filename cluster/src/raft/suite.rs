//! openraft's conformance suite for log and state machine, against ours on real files; and the way of
//! a snapshot from one node into another.

use std::sync::Arc;

use bytes::Bytes;
use openraft::{
    StorageError,
    storage::Snapshot,
    testing::log::{StoreBuilder, Suite},
    type_config::TypeConfigExt,
};

use super::{
    Types,
    machine::{Handle, RaftMachine, SnapshotData},
    snapshot::Copy,
    storage::{FileReader, RaftLog},
};
use crate::{
    Environment, GroupId, GroupSpec,
    common::{self, Ledger},
    log::{LogOptions, SegmentedLog},
};

struct Builder;

impl StoreBuilder<Types, RaftLog, RaftMachine, tempfile::TempDir> for Builder {
    async fn build(
        &self,
    ) -> Result<(tempfile::TempDir, RaftLog, RaftMachine), StorageError<Types>> {
        let folder = tempfile::tempdir().unwrap();
        let env = Environment::real();
        let options = LogOptions { segment: 64 << 10, min_free: 0, cache: 256 };
        let engine = SegmentedLog::open(&env, &folder.path().join("log"), options).unwrap();
        let files = FileReader::start(&env, "log-reader").unwrap();
        let log = RaftLog { engine: Arc::new(engine), group: GroupId(3), files };
        let machine = Box::new(Ledger::open(&folder.path().join("ledger")));
        let handle = Handle::start(&env, "suite", machine, folder.path().join("copies")).unwrap();
        let machine = RaftMachine::open(handle).await.unwrap();
        Ok((folder, log, machine))
    }
}

#[test]
fn log_and_state_machine_conform() {
    Types::run(Suite::test_all(Builder)).unwrap();
}

#[tokio::test]
async fn a_snapshot_carries_the_whole_state_to_another_node() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let node = common::open(from.path()).await;
    let group = common::start(&node, from.path(), 4).await;
    for word in ["one", "two", "three"] {
        group.propose(Bytes::from_static(word.as_bytes())).await.unwrap();
    }
    let built = from.path().join("copy");
    std::fs::create_dir(&built).unwrap();
    let into = built.clone();
    group.inner.machine.run(move |machine| machine.snapshot(&into)).await.unwrap();
    group.checkpoint().await.unwrap();
    let meta = group.inner.raft().get_snapshot().await.unwrap().unwrap().meta;

    // the other node waits to be joined, and knows nothing
    let other = common::open(to.path()).await;
    let ledger = common::ledger_path(to.path(), 4);
    let spec = GroupSpec { id: GroupId(4), name: "group-4".into(), bootstrap: false };
    let joined = other.start_group(spec, Box::new(Ledger::open(&ledger))).await.unwrap();
    assert!(joined.propose(Bytes::new()).await.is_err(), "nobody leads here");
    let vote = openraft::Vote::new_committed(group.status().term, 1);
    let env = Environment::real().disk;
    let snapshot =
        Snapshot { meta, snapshot: SnapshotData::Copy(Copy { folder: built.clone(), disk: env }) };
    joined.inner.raft().install_full_snapshot(vote, snapshot).await.unwrap();

    let left = std::fs::read_dir(&built).unwrap().count();
    assert_eq!(left, 0, "the copy is removed once it is installed");
    assert_eq!(joined.status().applied, group.status().applied);
    other.shutdown().await.unwrap();
    node.shutdown().await.unwrap();
    let expected = common::content(&common::ledger_path(from.path(), 4));
    assert_eq!(common::content(&ledger), expected);
    assert_eq!(expected.len(), 3);
}
