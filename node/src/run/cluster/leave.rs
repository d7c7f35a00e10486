//! Leaving the cluster, and finding out that this node is no part of it any more.

use anyhow::{Context, Result};
use posthouse_cluster::{NodeId, network::Network, placement};
use posthouse_directory::{Actor, Change};

use super::Cluster;
use crate::config::write_file;

/// Says, across restarts, that an administrator let this node leave.
const MARK: &str = "leaving";

impl Cluster {
    /// From now on this node goes as soon as nothing is left on it.
    pub(super) fn mark_leaving(&self) -> Result<()> {
        write_file(&self.layout.links().join(MARK), b"", false).context("leaving was not noted")
    }

    /// Goes, if that was asked for and nothing is left here.
    pub(super) async fn try_to_leave(&self) {
        if !self.layout.links().join(MARK).exists() {
            return;
        }
        let view = self.world().await;
        match placement::can_leave(&view, NodeId(self.parts.node)) {
            Ok(()) => {
                let change = Change::RemoveNode { id: self.parts.node, force: false };
                let actor = Actor::System("this node leaves".into());
                if let Err(error) = self.parts.directory.change(actor, change).await {
                    tracing::warn!(target: "warning", %error, "this node cannot leave yet");
                }
            }
            Err(waits_for) => {
                tracing::info!(target: "operation", waits_for = waits_for.join(" "), "this node leaves");
            }
        }
    }

    /// Whether this node was removed.
    pub(super) fn is_out(&self) -> bool {
        let removed = self.links.removed() || self.own_info().is_some_and(|info| !info.is_member());
        if removed {
            tracing::error!(target: "error", "this node was removed from the cluster, for good: it stops. To join again, empty its data folder first");
        }
        removed
    }

    /// Whether another node answers.
    pub(super) fn is_reachable(&self, node: u64) -> bool {
        self.links.peers().iter().any(|peer| peer.node.0 == node && peer.reachable)
    }
}
