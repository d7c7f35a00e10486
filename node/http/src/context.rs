//! What the listener needs from the rest of the node.

mod cluster;
mod cluster_types;

use std::{path::PathBuf, sync::Arc};

use posthouse_auth::Authenticator;
use posthouse_cluster::{Environment, GroupStatus, Timestamp, env::BoxFuture};
use posthouse_directory::{Directory, SourceId, SourceSpec};
use posthouse_store::Stores;
use serde::Serialize;
use utoipa::ToSchema;

pub use cluster::{ClusterControl, ClusterError, ClusterResult, NoCluster};
pub use cluster_types::{
    AuthorityView, ClusterLink, ClusterNode, ClusterNodeState, ClusterOrder, ClusterOutcome,
    ClusterPlan, ClusterReplica, ClusterStatus, ClusterStore, DomainGroupView, InviteState,
    InviteView, MoveState, MoveView, NewInvite, PlannedAction,
};

use crate::LocalToken;

/// What the listener needs from the rest of the node; made once at start-up.
pub struct Context {
    /// Who is in the domain.
    pub directory: Directory,
    /// Sign-on.
    pub auth: Authenticator,
    /// Mailboxes and spool.
    pub stores: Stores,
    /// Clock, disk, randomness.
    pub env: Environment,
    /// Host name of this node, as clients know it.
    pub host: String,
    /// Version of the program.
    pub version: String,
    /// Folder whose free space the status shows.
    pub data_folder: PathBuf,
    /// When the node started.
    pub started: Timestamp,
    /// Lets the command line of this machine in.
    pub token: LocalToken,
    /// Reading of external directories.
    pub sources: Arc<dyn SourceControl>,
    /// Nodes, stores, invites, moves.
    pub cluster: Arc<dyn ClusterControl>,
    /// State of all groups of this node.
    pub groups: Arc<dyn Fn() -> Vec<GroupStatus> + Send + Sync>,
    /// Prometheus text.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// Whether the node can serve; the error says why not.
    pub ready: Arc<dyn Fn() -> Result<(), String> + Send + Sync>,
}

/// What can be done with a source besides changing its settings.
pub trait SourceControl: Send + Sync {
    /// Reads the source as `spec` describes it and says what would be mapped; writes nothing. The
    /// error is for the administrator.
    fn preview(
        &self,
        spec: SourceSpec,
        password: String,
    ) -> BoxFuture<Result<SourcePreview, String>>;
    /// Reads the source now.
    fn sync(&self, id: SourceId) -> BoxFuture<Result<SourceReport, String>>;
    /// Agrees once that more accounts than the threshold have left, and reads the source now.
    fn confirm_removals(&self, id: SourceId) -> BoxFuture<Result<SourceReport, String>>;
}

/// What a source would bring.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct SourcePreview {
    /// The controller that answered.
    pub controller: String,
    /// Users that would be mapped.
    pub users: usize,
    /// Groups.
    pub groups: usize,
    /// Contacts.
    pub contacts: usize,
    /// At most [`SourcePreview::SAMPLE`] of them.
    pub sample: Vec<SourcePreviewEntry>,
    /// What stands out, one sentence each.
    pub warnings: Vec<String>,
}

impl SourcePreview {
    /// Most entries in the sample.
    pub const SAMPLE: usize = 50;
}

/// One account that a source would bring.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct SourcePreviewEntry {
    /// `user`, `group` or `contact`.
    pub kind: String,
    /// Login name or group name.
    pub name: String,
    /// How it is shown.
    pub display_name: String,
    /// Its address.
    pub mail: String,
    /// Empty when enabled, else why it would be disabled.
    pub state: String,
}

/// What a reading of a source did.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct SourceReport {
    /// Accounts made or changed.
    pub changed: usize,
    /// Accounts disabled because they are gone or disabled there.
    pub disabled: usize,
    /// Accounts that are gone and more than the threshold allows: they stay until that is confirmed. 0: none.
    pub withheld: usize,
    /// What the administrator should know, one sentence each.
    pub notes: Vec<String>,
}
