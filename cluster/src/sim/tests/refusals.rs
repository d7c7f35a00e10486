//! What a group answers when the disk under it is full or fails.

use std::io::ErrorKind;

use super::*;

#[test]
fn a_full_disk_refuses_proposals_serves_reads_and_recovers() {
    let disk = SimDisk::new(1);
    disk.set_capacity(16 * LOG.segment);
    in_process(async {
        // the reserve keeps the state machine, which is on the same disk, from failing first
        let log = LogOptions { min_free: 3 * LOG.segment, ..LOG };
        let (node, groups) = start_with(&disk, 1, log).await.unwrap();
        let command = || Bytes::from(vec![1; 200]);
        // something else fills the disk
        let used = 16 * LOG.segment - free(&disk);
        disk.set_capacity(used + 6 * LOG.segment);
        let refused = loop {
            // never purged: the log grows until there is no room for another segment
            match groups[0].propose(command()).await {
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        let full = matches!(&refused, ProposeError::Storage(why) if why.contains("full"));
        assert!(full, "{refused}");
        groups[0].read_barrier().await.unwrap();
        assert_eq!(groups[0].status().failed, None, "it is not broken");
        disk.set_capacity(1 << 20);
        while groups[0].propose(command()).await.is_err() {
            tokio::task::yield_now().await;
        }
        groups[1].propose(command()).await.unwrap();
        node.shutdown().await.unwrap();
    });
}

fn free(disk: &SimDisk) -> u64 {
    crate::env::Disk::free_space(disk, &PathBuf::from("/log")).unwrap()
}

#[test]
fn a_log_that_fails_stops_all_groups_and_is_well_after_a_restart() {
    let disk = SimDisk::new(1);
    in_process(async {
        let (node, groups) = start(&disk, 1).await.unwrap();
        groups[0].propose(Bytes::from_static(b"good")).await.unwrap();
        disk.fail_at(disk.operations() + 2, ErrorKind::Other);
        let lost = groups[0].propose(Bytes::from_static(b"lost")).await;
        assert!(matches!(lost, Err(ProposeError::Storage(_))), "{lost:?}");
        for group in &groups {
            let refused = group.propose(Bytes::from_static(b"later")).await;
            assert!(matches!(refused, Err(ProposeError::Storage(_))), "{refused:?}");
            assert!(group.status().failed.is_some());
        }
        assert!(node.shutdown().await.is_err(), "a stop must not look clean");
    });
    let disk = disk.crash(Crash::Power);
    in_process(async {
        let (node, groups) = start(&disk, 1).await.unwrap();
        groups[0].propose(Bytes::from_static(b"again")).await.unwrap();
        node.shutdown().await.unwrap();
    });
    let content = Journal::open(&disk, &folder(0)).unwrap().content;
    let commands: Vec<_> = content.entries.into_iter().map(|(_, bytes)| bytes).collect();
    assert_eq!(commands.first().map(Vec::as_slice), Some(&b"good"[..]));
    assert_eq!(commands.last().map(Vec::as_slice), Some(&b"again"[..]));
}
