//! What can be seen and done in the cluster: handed in by the node, used by API, pages and command line.

use std::time::Duration;

use posthouse_cluster::{Timestamp, env::BoxFuture};
use posthouse_directory::{Actor, fresh_id};
use uuid::Uuid;

use super::cluster_types::{
    ClusterOrder, ClusterOutcome, ClusterPlan, ClusterStatus, InviteView, MoveView, NewInvite,
};

/// Why something of the cluster was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClusterError {
    /// It would lose data, or makes no sense as things are; nothing was changed. The text says why and what to do.
    #[error("{0}")]
    Refused(String),
    /// Not now: no majority, or a node that is needed does not answer. May be repeated.
    #[error("{0}")]
    Unavailable(String),
    /// There is no such node, store, invite, move or account.
    #[error("there is no such {0}")]
    NotFound(String),
}

/// What comes back from the cluster.
pub type ClusterResult<T> = BoxFuture<Result<T, ClusterError>>;

/// The cluster as administrators see and steer it. Answers of every node are the same, whoever leads.
pub trait ClusterControl: Send + Sync {
    /// Whether settings can be changed at this moment; the error says why not, as the rest of a sentence: `this node
    /// reaches no majority of the cluster (node 2 cannot be reached)`. Asked before every change and by every page: answers at once, from memory.
    fn writable(&self) -> Result<(), String>;

    /// The whole state. Asks the other nodes, waits at most two seconds for each and leaves unknown what none answered.
    fn status(&self) -> ClusterResult<ClusterStatus>;

    /// Makes an invite for one node. `host`: only a node of this name may use it. `lifetime` is bounded by
    /// [`NewInvite::LONGEST`].
    fn invite(
        &self,
        actor: Actor,
        host: Option<String>,
        lifetime: Duration,
    ) -> ClusterResult<NewInvite>;

    /// Invites that were made, newest first, used and expired ones of the last days too.
    fn invites(&self) -> ClusterResult<Vec<InviteView>>;

    /// Makes an invite worthless at once.
    fn revoke_invite(&self, actor: Actor, id: Uuid) -> ClusterResult<()>;

    /// Moves of mailboxes: the running and waiting ones first, then the last ended ones.
    fn moves(&self) -> ClusterResult<Vec<MoveView>>;

    /// What an order would do (`dry_run`), or does it. A plan with [`ClusterPlan::refuses`] is not carried out and is
    /// answered as it is, not as an error. What takes long (moves, re-seeding) has begun when this returns.
    fn order(
        &self,
        actor: Actor,
        order: ClusterOrder,
        dry_run: bool,
    ) -> ClusterResult<ClusterOutcome>;
}

/// One node without a cluster around it, for tests.
#[derive(Clone, Debug, Default)]
pub struct NoCluster {
    /// What [`ClusterControl::status`] answers.
    pub status: ClusterStatus,
    /// Why settings cannot be changed; `None`: they can.
    pub read_only: Option<String>,
    /// What [`ClusterControl::order`] answers, done or not.
    pub plan: ClusterPlan,
}

fn ready<T: Send + 'static>(value: Result<T, ClusterError>) -> ClusterResult<T> {
    Box::pin(std::future::ready(value))
}

impl ClusterControl for NoCluster {
    fn writable(&self) -> Result<(), String> {
        self.read_only.clone().map_or(Ok(()), Err)
    }

    fn status(&self) -> ClusterResult<ClusterStatus> {
        let writable = self.writable();
        ready(Ok(ClusterStatus {
            settings_writable: writable.is_ok(),
            read_only_reason: writable.err().unwrap_or_default(),
            ..self.status.clone()
        }))
    }

    fn invite(&self, _: Actor, _: Option<String>, lifetime: Duration) -> ClusterResult<NewInvite> {
        ready(Ok(NewInvite {
            id: fresh_id(),
            code: "TEST".to_owned(),
            expires: Timestamp(0).after(lifetime).0,
            addresses: vec!["127.0.0.1:4041".to_owned()],
        }))
    }

    fn invites(&self) -> ClusterResult<Vec<InviteView>> {
        ready(Ok(Vec::new()))
    }

    fn revoke_invite(&self, _: Actor, _: Uuid) -> ClusterResult<()> {
        ready(Err(ClusterError::NotFound("invite".to_owned())))
    }

    fn moves(&self) -> ClusterResult<Vec<MoveView>> {
        ready(Ok(Vec::new()))
    }

    fn order(&self, _: Actor, _: ClusterOrder, dry_run: bool) -> ClusterResult<ClusterOutcome> {
        let done = !dry_run && self.plan.refuses.is_empty();
        ready(Ok(ClusterOutcome { plan: self.plan.clone(), done, invite: None }))
    }
}
