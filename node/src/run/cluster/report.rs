//! What this node tells the directory of itself, when it starts and when that changes.

use std::{sync::Arc, time::Duration};

use posthouse_directory::{Actor, Change, ChangeError, NodeInfo};

use super::Cluster;

/// How often it is looked whether the directory is right.
const INTERVAL: Duration = Duration::from_secs(1);
/// Pause after the directory could not be changed.
const RETRY: Duration = Duration::from_secs(3);

/// Runs until it is dropped.
pub(super) async fn run(cluster: Arc<Cluster>) {
    let clock = cluster.parts.env.clock.clone();
    loop {
        let pause = match cluster.report().await {
            Ok(()) => INTERVAL,
            Err(error) => {
                tracing::debug!(target: "debug", %error, "this node cannot tell the directory about itself yet");
                RETRY
            }
        };
        clock.sleep(pause).await;
    }
}

impl Cluster {
    async fn report(&self) -> Result<(), ChangeError> {
        let Some(info) = self.own_info() else { return Ok(()) };
        let Some(own) = self.own_peer() else { return Ok(()) };
        if !info.is_member() || is_current(&info, &own.addresses, &own.key, self.config.level()) {
            return Ok(());
        }
        let report = Change::NodeReport {
            id: self.parts.node,
            links: own.addresses,
            key: Some(own.key.to_vec()),
            version: super::super::VERSION.to_owned(),
            level: self.config.level(),
        };
        self.parts.directory.change(Actor::System("start of the node".into()), report).await
    }
}

fn is_current(info: &NodeInfo, links: &[String], key: &[u8], level: u32) -> bool {
    info.links == links
        && info.key == key
        && info.version == super::super::VERSION
        && info.level == level
}
