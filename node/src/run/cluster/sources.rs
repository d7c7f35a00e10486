//! Readings of external directories that an administrator asks for: they are done by the node that leads the domain
//! group, whichever was asked.

use std::sync::Arc;

use posthouse_cluster::env::BoxFuture;
use posthouse_directory::{SourceId, SourceSpec};
use posthouse_http::{SourceControl, SourcePreview, SourceReport};
use serde::{Deserialize, Serialize};

use super::{Cluster, status::Question};

/// How long the leader may take to read a source for another node.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(300);

/// [`SourceReport`] on its way between nodes.
#[derive(Debug, Serialize, Deserialize)]
struct Report {
    changed: usize,
    disabled: usize,
    withheld: usize,
    notes: Vec<String>,
}

/// The sources of the cluster, for the API of this node.
pub(in crate::run) struct ClusterSources {
    /// This node's own readers.
    pub(in crate::run) own: Arc<dyn SourceControl>,
    /// The way to the others.
    pub(in crate::run) cluster: Arc<Cluster>,
}

impl ClusterSources {
    fn read(&self, id: SourceId, confirm: bool) -> BoxFuture<Result<SourceReport, String>> {
        let leader = self.cluster.parts.directory.leader().map(|node| node.0);
        match leader {
            Some(leader) if leader != self.cluster.parts.node => {
                let cluster = self.cluster.clone();
                Box::pin(async move { cluster.ask_to_read(leader, id, confirm).await })
            }
            _ if confirm => self.own.confirm_removals(id),
            _ => self.own.sync(id),
        }
    }
}

impl SourceControl for ClusterSources {
    fn preview(
        &self,
        spec: SourceSpec,
        password: String,
    ) -> BoxFuture<Result<SourcePreview, String>> {
        self.own.preview(spec, password)
    }

    fn sync(&self, id: SourceId) -> BoxFuture<Result<SourceReport, String>> {
        self.read(id, false)
    }

    fn confirm_removals(&self, id: SourceId) -> BoxFuture<Result<SourceReport, String>> {
        self.read(id, true)
    }
}

impl Cluster {
    async fn ask_to_read(
        &self,
        leader: u64,
        id: SourceId,
        confirm: bool,
    ) -> Result<SourceReport, String> {
        let question = Question::ReadSource { id, confirm };
        let answer = self.ask_within(leader, &question, PATIENCE).await;
        let answer = answer.map_err(|error| error.to_string())?;
        let Report { changed, disabled, withheld, notes } =
            serde_json::from_slice(&answer).map_err(|error| error.to_string())?;
        Ok(SourceReport { changed, disabled, withheld, notes })
    }

    /// Reads a source here for another node.
    pub(super) async fn read_source(&self, id: SourceId, confirm: bool) -> Result<Vec<u8>, String> {
        let read = match confirm {
            true => self.sources.confirm_removals(id),
            false => self.sources.sync(id),
        };
        let SourceReport { changed, disabled, withheld, notes } = read.await?;
        let report = Report { changed, disabled, withheld, notes };
        serde_json::to_vec(&report).map_err(|error| error.to_string())
    }
}
