//! Makes this node what the directory says that it is: peers, authorities, replicas of stores.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use posthouse_cluster::GroupId;
use posthouse_directory::{StoreInfo, Update, key};
use tokio::sync::broadcast::error::RecvError;

use super::Cluster;
use crate::start::open_store;

/// How often it is looked at although nothing was heard.
const INTERVAL: Duration = Duration::from_secs(1);

/// Runs until it is dropped.
pub(super) async fn run(cluster: Arc<Cluster>) {
    let mut updates = cluster.parts.directory.updates();
    let clock = cluster.parts.env.clock.clone();
    loop {
        cluster.meet();
        if let Err(error) = cluster.follow_authority() {
            tracing::error!(target: "error", "certificates between nodes: {error:#}");
        }
        cluster.follow_stores().await;
        let rate = cluster.parts.directory.integer(key::CLUSTER_RESEED_RATE);
        cluster.node.set_snapshot_rate(if rate == 0 { u64::MAX } else { rate });
        let tick = clock.sleep(INTERVAL);
        tokio::pin!(tick);
        loop {
            tokio::select! {
                () = &mut tick => break,
                update = updates.recv() => match update {
                    Ok(Update::Configuration) | Err(RecvError::Lagged(_)) => break,
                    Ok(_) => {}
                    Err(RecvError::Closed) => return,
                },
            }
        }
    }
}

impl Cluster {
    async fn follow_stores(&self) {
        let me = self.parts.node;
        let stores = self.parts.directory.stores();
        let mine: Vec<&StoreInfo> = stores.iter().filter(|s| s.replicas.contains(&me)).collect();
        for info in &mine {
            if self.parts.stores.store(GroupId(info.id.0)).is_none() {
                match open_store(&self.node, &self.layout, info).await {
                    Ok(store) => {
                        tracing::info!(target: "operation", store = info.id.0, "this node has a replica of the store now");
                        self.parts.stores.add(store);
                    }
                    Err(error) => {
                        tracing::error!(target: "error", store = info.id.0, "a replica cannot be opened: {error:#}");
                    }
                }
            }
        }
        let mine: BTreeSet<u64> = mine.iter().map(|info| info.id.0).collect();
        for store in self.parts.stores.local() {
            let id = store.id();
            if !mine.contains(&id.0) && self.is_let_go(id, &stores) {
                self.let_go(id).await;
            }
        }
    }

    /// Whether the group of a store goes on without this node: its leader says so, or the directory has forgotten it.
    fn is_let_go(&self, store: GroupId, stores: &[StoreInfo]) -> bool {
        let Some(info) = stores.iter().find(|info| info.id.0 == store.0) else {
            // An empty directory is one that is not here yet.
            return !stores.is_empty();
        };
        info.replicas.iter().any(|node| {
            let status = self.heard(*node);
            let group = status.and_then(|s| s.groups.into_iter().find(|group| group.id == store));
            group.is_some_and(|group| {
                let listed = group.members.iter().any(|member| member.node.0 == self.parts.node);
                !group.members.is_empty() && group.quorum && !listed
            })
        })
    }

    /// Gives up this node's replica of a store and the room that it takes.
    async fn let_go(&self, store: GroupId) {
        self.parts.stores.remove(store);
        if let Err(error) = self.node.forget_group(store).await {
            tracing::error!(target: "error", store = store.0, %error, "a replica cannot be given up");
            return;
        }
        let folder = self.layout.store(store.0);
        let removed = tokio::task::spawn_blocking(move || std::fs::remove_dir_all(folder)).await;
        match removed {
            Ok(Err(error)) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(target: "warning", store = store.0, %error, "files of a replica are left over");
            }
            _ => {
                tracing::info!(target: "operation", store = store.0, "this node has no replica of the store any more")
            }
        }
    }
}
