//! One node with real files.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::time::{Duration, Instant};

use bytes::Bytes;
use common::{Ledger, content, ledger_path, open, options, start};
use posthouse_cluster::{Environment, GroupId, GroupSpec, Node, OpenError, ProposeError};

fn count(answer: &Bytes) -> u64 {
    u64::from_le_bytes(answer[..].try_into().unwrap())
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_restart_in_order_and_once() {
    let folder = tempfile::tempdir().unwrap();
    let node = open(folder.path()).await;
    let group = start(&node, folder.path(), 0).await;
    for i in 0..50u64 {
        let answer = group.propose(Bytes::copy_from_slice(&i.to_le_bytes())).await.unwrap();
        assert_eq!(count(&answer), i + 1);
    }
    group.read_barrier().await.unwrap();
    node.shutdown().await.unwrap();
    let node = open(folder.path()).await;
    let started = Instant::now();
    let group = start(&node, folder.path(), 0).await;
    assert!(started.elapsed() < Duration::from_secs(2), "took {:?}", started.elapsed());
    let answer = group.propose(Bytes::from_static(b"more")).await.unwrap();
    assert_eq!(count(&answer), 51);
    node.shutdown().await.unwrap();
    let content = content(&ledger_path(folder.path(), 0));
    let expected = (0..50u64).map(|i| i.to_le_bytes().to_vec()).chain([b"more".to_vec()]);
    assert_eq!(content, expected.collect::<Vec<_>>());
}

#[tokio::test]
async fn a_new_group_leads_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let node = open(folder.path()).await;
    let started = Instant::now();
    let group = start(&node, folder.path(), 0).await;
    let took = started.elapsed();
    // some 50 ms; the bound is for a machine that does much else
    assert!(took < Duration::from_secs(2), "took {took:?}");
    let status = group.status();
    assert_eq!((status.leader, status.failed), (Some(node.id()), None));
    node.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_second_process_cannot_use_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let node = open(folder.path()).await;
    let second = Node::open(Environment::real(), options(folder.path())).await;
    assert!(matches!(second, Err(OpenError::InUse(_))));
    node.shutdown().await.unwrap();
    open(folder.path()).await.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_command_that_is_too_large_is_refused_and_the_largest_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let node = open(folder.path()).await;
    let group = start(&node, folder.path(), 0).await;
    let size = posthouse_cluster::Group::MAX_COMMAND;
    let refused = group.propose(Bytes::from(vec![1; size + 1])).await;
    assert!(matches!(refused, Err(ProposeError::TooLarge(n)) if n == size + 1));
    group.propose(Bytes::from(vec![1; size])).await.unwrap();
    node.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_answers_everything_that_was_proposed() {
    let folder = tempfile::tempdir().unwrap();
    let node = open(folder.path()).await;
    let group = start(&node, folder.path(), 0).await;
    let proposers: Vec<_> = (0..64u64)
        .map(|i| {
            let group = group.clone();
            tokio::spawn(async move {
                let mut done = 0u64;
                while let Ok(answer) = group.propose(Bytes::copy_from_slice(&i.to_le_bytes())).await
                {
                    assert!(count(&answer) > 0);
                    done += 1;
                }
                let last = group.propose(Bytes::new()).await;
                assert!(matches!(last, Err(ProposeError::Stopping)), "{last:?}");
                done
            })
        })
        .collect();
    group.read_barrier().await.unwrap();
    while group.status().applied < 200 {
        tokio::task::yield_now().await;
    }
    node.shutdown().await.unwrap();
    let mut acknowledged = 0;
    for proposer in proposers {
        acknowledged += proposer.await.unwrap();
    }
    assert_eq!(content(&ledger_path(folder.path(), 0)).len() as u64, acknowledged);
}

#[tokio::test]
async fn a_checkpoint_purges_the_log_behind_it() {
    let folder = tempfile::tempdir().unwrap();
    let node = open(folder.path()).await;
    let group = start(&node, folder.path(), 0).await;
    for _ in 0..10 {
        group.propose(Bytes::from_static(b"x")).await.unwrap();
    }
    group.checkpoint().await.unwrap();
    let status = group.status();
    assert_eq!(status.checkpoint, status.applied);
    group.checkpoint().await.unwrap();
    node.shutdown().await.unwrap();
    let node = open(folder.path()).await;
    let group = start(&node, folder.path(), 0).await;
    group.propose(Bytes::from_static(b"y")).await.unwrap();
    node.shutdown().await.unwrap();
    assert_eq!(content(&ledger_path(folder.path(), 0)).len(), 11);
}

#[tokio::test]
async fn a_node_that_does_not_lead_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let node = open(folder.path()).await;
    let spec = GroupSpec { id: GroupId(1), name: "waits".into(), bootstrap: false };
    let machine = Ledger::open(&ledger_path(folder.path(), 1));
    let group = node.start_group(spec, Box::new(machine)).await.unwrap();
    let refused = group.propose(Bytes::from_static(b"x")).await;
    assert!(matches!(refused, Err(ProposeError::NotLeader { leader: None })), "{refused:?}");
    let refused = group.read_barrier().await;
    assert!(matches!(refused, Err(ProposeError::NotLeader { leader: None })), "{refused:?}");
    node.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_state_machine_that_fails_stops_the_acknowledgements_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let node = open(folder.path()).await;
    let group = start(&node, folder.path(), 0).await;
    let healthy = start(&node, folder.path(), 1).await;
    group.propose(Bytes::from_static(b"good")).await.unwrap();
    let refused = group.propose(Bytes::from_static(common::POISON)).await;
    assert!(matches!(&refused, Err(ProposeError::Storage(why)) if why.contains("poison")));
    let refused = group.propose(Bytes::from_static(b"later")).await;
    assert!(matches!(refused, Err(ProposeError::Storage(_))), "{refused:?}");
    assert!(group.status().failed.is_some_and(|why| why.contains("poison")));
    healthy.propose(Bytes::from_static(b"other group")).await.unwrap();
    node.shutdown().await.unwrap();
}

#[tokio::test]
async fn log_and_state_machine_that_do_not_belong_together_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let node = open(folder.path()).await;
    let group = start(&node, folder.path(), 0).await;
    group.propose(Bytes::from_static(b"x")).await.unwrap();
    node.shutdown().await.unwrap();
    let start_again = async || {
        let node = open(folder.path()).await;
        let machine = Ledger::open(&ledger_path(folder.path(), 0));
        let spec = GroupSpec { id: GroupId(0), name: "group".into(), bootstrap: true };
        let started = node.start_group(spec, Box::new(machine)).await.map(drop);
        node.shutdown().await.unwrap();
        started
    };
    start_again().await.unwrap();
    let (log, aside) = (folder.path().join("log"), folder.path().join("aside"));
    std::fs::rename(&log, &aside).unwrap();
    let refused = start_again().await;
    assert!(matches!(&refused, Err(OpenError::Damaged(_))), "no log: {refused:?}");
    std::fs::remove_dir_all(&log).unwrap();
    std::fs::rename(&aside, &log).unwrap();
    std::fs::remove_file(ledger_path(folder.path(), 0)).unwrap();
    let refused = start_again().await;
    assert!(matches!(&refused, Err(OpenError::Damaged(_))), "no state: {refused:?}");
}
