//! A cluster that does nothing and remembers what it was asked to do.

use std::{sync::Mutex, time::Duration};

use posthouse_directory::Actor;
use posthouse_http::{
    ClusterControl, ClusterOrder, ClusterOutcome, ClusterPlan, ClusterResult, ClusterStatus,
    InviteView, MoveView, NewInvite, NoCluster,
};
use uuid::Uuid;

#[derive(Default)]
pub struct FakeCluster {
    /// What it answers.
    pub answers: Mutex<NoCluster>,
    /// What it was asked to do, dry runs left out.
    pub orders: Mutex<Vec<ClusterOrder>>,
}

impl FakeCluster {
    fn now(&self) -> NoCluster {
        self.answers.lock().unwrap().clone()
    }

    pub fn read_only(&self, reason: Option<&str>) {
        self.answers.lock().unwrap().read_only = reason.map(str::to_owned);
    }

    pub fn plan(&self, plan: ClusterPlan) {
        self.answers.lock().unwrap().plan = plan;
    }
}

impl ClusterControl for FakeCluster {
    fn writable(&self) -> Result<(), String> {
        self.now().writable()
    }

    fn status(&self) -> ClusterResult<ClusterStatus> {
        self.now().status()
    }

    fn invite(
        &self,
        actor: Actor,
        host: Option<String>,
        lifetime: Duration,
    ) -> ClusterResult<NewInvite> {
        self.now().invite(actor, host, lifetime)
    }

    fn invites(&self) -> ClusterResult<Vec<InviteView>> {
        self.now().invites()
    }

    fn revoke_invite(&self, actor: Actor, id: Uuid) -> ClusterResult<()> {
        self.now().revoke_invite(actor, id)
    }

    fn moves(&self) -> ClusterResult<Vec<MoveView>> {
        self.now().moves()
    }

    fn order(
        &self,
        actor: Actor,
        order: ClusterOrder,
        dry_run: bool,
    ) -> ClusterResult<ClusterOutcome> {
        if !dry_run {
            self.orders.lock().unwrap().push(order.clone());
        }
        self.now().order(actor, order, dry_run)
    }
}
