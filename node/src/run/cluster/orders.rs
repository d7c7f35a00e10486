//! What an administrator orders: first what it means, then doing it.

use posthouse_cluster::{GroupId, NodeId, placement};
use posthouse_directory::{
    AccountId, Actor, Change, MailboxMove, MoveState, NodeInfo, NodeState, StoreId, StoreInfo,
};
use posthouse_http::{ClusterError, ClusterOrder, ClusterPlan, NewInvite};
use uuid::Uuid;

use super::{Cluster, control::changed, status::Question};

impl Cluster {
    /// What the order means as things are.
    pub(super) async fn plan(&self, order: &ClusterOrder) -> Result<ClusterPlan, ClusterError> {
        self.ask_all().await;
        let mut plan = ClusterPlan::default();
        match order {
            ClusterOrder::Remove { node, force } => {
                self.plan_remove(*node, *force, &mut plan).await?
            }
            ClusterOrder::Leave => self.plan_leave(&mut plan).await?,
            ClusterOrder::Replace { node } => {
                self.plan_remove(*node, false, &mut plan).await?;
                if self.is_reachable(*node) {
                    plan.refuses.push(format!(
                        "node {node} answers: only a dead node is replaced; let a living one leave (`posthouse cluster leave` on it)"
                    ));
                }
                plan.steps.push("an invite is made for the node that takes its place".into());
            }
            ClusterOrder::SetSite { node, site } => {
                let info = self.member(*node)?;
                if site.trim().is_empty() {
                    plan.refuses.push("a site has a name".into());
                }
                plan.steps
                    .push(format!("node {node} ({}) stands in site {site} from now on", info.host));
                plan.steps.push("replicas and votes move over the next minutes where that makes them better spread".into());
            }
            ClusterOrder::RotateAuthority { finish } => self.plan_rotation(*finish, &mut plan)?,
            ClusterOrder::Promote { store, node } => {
                self.plan_promotion(*store, *node, &mut plan).await?
            }
            ClusterOrder::MoveMailbox { account, store } => {
                self.plan_move(*account, *store, &mut plan)?
            }
            ClusterOrder::CancelMove { id } => {
                let wanted =
                    self.parts.directory.moves().into_iter().find(|m| m.id == id.as_u128());
                let wanted = wanted.ok_or_else(|| ClusterError::NotFound("move".into()))?;
                if wanted.state.is_final() {
                    plan.refuses.push("the move has ended already".into());
                }
                plan.steps
                    .push("what was copied is thrown away; the mailbox stays where it is".into());
            }
            ClusterOrder::Drain { node } => self.plan_drain(*node, &mut plan).await?,
            ClusterOrder::SetReplicas { store, replicas } => {
                let info = self.store_info(*store)?;
                if *replicas < 1 || *replicas > u32::from(StoreInfo::MAX_WANTED) {
                    plan.refuses
                        .push(format!("a store has 1 to {} replicas", StoreInfo::MAX_WANTED));
                }
                plan.steps.push(format!(
                    "store {store} gets {replicas} replicas instead of {}, as far as there are nodes",
                    info.wanted
                ));
            }
            ClusterOrder::Transfer { store, node } => {
                let info = self.store_info(*store)?;
                if !info.replicas.contains(node) {
                    plan.refuses.push(format!("node {node} has no replica of store {store}"));
                }
                plan.steps.push(format!("node {node} leads store {store}; sessions go on"));
                if info.home != *node {
                    plan.warnings.push(format!(
                        "the home of store {store} is node {}: leadership returns there when it is healthy",
                        info.home
                    ));
                }
            }
        }
        if let Err(reason) = self.writable()
            && !matches!(order, ClusterOrder::Promote { .. } | ClusterOrder::Transfer { .. })
        {
            plan.refuses.push(reason);
        }
        Ok(plan)
    }

    /// Does it. Its plan had no objection.
    pub(super) async fn carry_out(
        &self,
        actor: Actor,
        order: ClusterOrder,
    ) -> Result<Option<NewInvite>, ClusterError> {
        let change = match order {
            ClusterOrder::Remove { node, force } => Change::RemoveNode { id: node, force },
            ClusterOrder::Leave => {
                self.mark_leaving()
                    .map_err(|error| ClusterError::Unavailable(format!("{error:#}")))?;
                Change::SetNodeState { node: self.parts.node, state: NodeState::Draining }
            }
            ClusterOrder::Replace { node } => {
                let remove = Change::RemoveNode { id: node, force: false };
                self.parts.directory.change(actor.clone(), remove).await.map_err(changed)?;
                return self.replacement_invite(actor).await.map(Some);
            }
            ClusterOrder::SetSite { node, site } => Change::SetSite { node, site },
            ClusterOrder::RotateAuthority { finish } => {
                let done = match finish {
                    false => self.begin_rotation(actor).await,
                    true => self.finish_rotation(actor).await,
                };
                return done
                    .map(|()| None)
                    .map_err(|e| ClusterError::Unavailable(format!("{e:#}")));
            }
            ClusterOrder::Promote { store, node } => {
                self.promote(GroupId(store), node).await?;
                return Ok(None);
            }
            ClusterOrder::MoveMailbox { account, store } => {
                let id = AccountId(account);
                let from = self.parts.directory.store_of(id);
                let from = from.ok_or_else(|| ClusterError::NotFound("user".into()))?;
                Change::PutMove(MailboxMove {
                    id: Uuid::new_v4().as_u128(),
                    account: id,
                    from,
                    to: StoreId(store),
                    state: MoveState::Queued,
                    created: self.parts.env.clock.now(),
                    changed: self.parts.env.clock.now(),
                    by: actor.clone(),
                })
            }
            ClusterOrder::CancelMove { id } => {
                Change::MoveState { id: id.as_u128(), state: MoveState::Cancelling }
            }
            ClusterOrder::Drain { node } => {
                Change::SetNodeState { node, state: NodeState::Draining }
            }
            ClusterOrder::SetReplicas { store, replicas } => {
                let wanted = u8::try_from(replicas).unwrap_or(StoreInfo::MAX_WANTED);
                Change::PutStore(StoreInfo { wanted, ..self.store_info(store)? })
            }
            ClusterOrder::Transfer { store, node } => {
                self.hand_over(GroupId(store), node).await?;
                return Ok(None);
            }
        };
        self.parts.directory.change(actor, change).await.map_err(changed)?;
        Ok(None)
    }

    /// Lets another node lead a store, whoever leads it now.
    pub(super) async fn hand_over(&self, group: GroupId, node: u64) -> Result<(), ClusterError> {
        let local = self.parts.stores.store(group);
        if let Some(store) = local.filter(posthouse_store::Store::leads) {
            let handed = store.group().transfer(NodeId(node)).await;
            return handed.map_err(|error| ClusterError::Unavailable(error.to_string()));
        }
        let status = self.view().await;
        let leader = status.stores.iter().find(|s| s.id == group.0).and_then(|s| s.leader);
        let none = || ClusterError::Unavailable(format!("nobody leads store {} now", group.0));
        let question = Question::Transfer { group, to: NodeId(node) };
        let asked = self.ask(leader.ok_or_else(none)?, &question).await;
        asked.map(drop).map_err(|error| ClusterError::Unavailable(error.to_string()))
    }

    async fn promote(&self, group: GroupId, node: u64) -> Result<(), ClusterError> {
        let done = if node == self.parts.node {
            self.promote_here(group).await
        } else {
            let asked = self.ask(node, &Question::Promote { group }).await;
            asked.map(|text| String::from_utf8_lossy(&text).into_owned()).map_err(|e| e.to_string())
        };
        let text = done.map_err(ClusterError::Unavailable)?;
        tracing::warn!(target: "warning", store = group.0, node, "a learner was promoted: {text}");
        Ok(())
    }

    /// Makes this node the only voter of a store that has lost its majority.
    pub(super) async fn promote_here(&self, group: GroupId) -> Result<String, String> {
        let gone = || "this node has no replica of the store".to_owned();
        let store = self.parts.stores.remove(group).ok_or_else(gone)?;
        if store.group().status().quorum {
            self.parts.stores.add(store);
            return Err(format!("store {} has a majority: there is nothing to promote", group.0));
        }
        // it is opened again as the directory says
        drop(store);
        let forced = self.node.force_members(group).await.map_err(|error| error.to_string())?;
        Ok(format!(
            "store {} goes on from entry {}; what was acknowledged behind it is missing, and of {} entries before it \
             nobody knows whether a majority had them",
            group.0, forced.last_index, forced.uncertain
        ))
    }

    pub(super) fn member(&self, node: u64) -> Result<NodeInfo, ClusterError> {
        let nodes = self.parts.directory.nodes().into_iter();
        let found = nodes.filter(NodeInfo::is_member).find(|known| known.id == node);
        found.ok_or_else(|| ClusterError::NotFound(format!("node {node}")))
    }

    fn store_info(&self, store: u64) -> Result<StoreInfo, ClusterError> {
        let found = self.parts.directory.stores().into_iter().find(|info| info.id.0 == store);
        found.ok_or_else(|| ClusterError::NotFound(format!("store {store}")))
    }

    fn plan_move(
        &self,
        account: Uuid,
        store: u64,
        plan: &mut ClusterPlan,
    ) -> Result<(), ClusterError> {
        let id = AccountId(account);
        let not_found = || ClusterError::NotFound("user".into());
        let user = self.parts.directory.account(id).ok_or_else(not_found)?;
        let from = self.parts.directory.store_of(id).ok_or_else(not_found)?;
        let to = self.store_info(store)?;
        if from == to.id {
            plan.refuses.push(format!("the mailbox of {} is in store {store} already", user.name));
        }
        if to.retired {
            plan.refuses.push(format!("store {store} is being given up"));
        }
        plan.steps.push(format!(
            "the mailbox of {} is copied from store {} to store {store} while it is used, and then switched within a second",
            user.name, from.0
        ));
        Ok(())
    }

    fn plan_rotation(&self, finish: bool, plan: &mut ClusterPlan) -> Result<(), ClusterError> {
        let present = self.authorities();
        let present = present.map_err(|error| ClusterError::Unavailable(format!("{error:#}")))?;
        match (finish, present.is_rotating()) {
            (false, true) => plan.refuses.push("the authority is being replaced already".into()),
            (false, false) => plan.steps.extend([
                "a new authority is made; all nodes trust both".to_owned(),
                "when all nodes trust it, each gets a certificate of the new one".to_owned(),
                "when all have it, the old one is not trusted any more; that happens by itself"
                    .to_owned(),
            ]),
            (true, false) => plan.refuses.push("the authority is not being replaced".into()),
            (true, true) => {
                plan.steps.push("the old authority is not trusted any more".into());
                let late = self.late_nodes(&present);
                for node in late {
                    plan.warnings.push(format!(
                        "node {node} has no certificate of the new authority yet: it is shut out until `posthouse join --again CODE` is run on it"
                    ));
                }
            }
        }
        Ok(())
    }

    async fn plan_remove(
        &self,
        node: u64,
        force: bool,
        plan: &mut ClusterPlan,
    ) -> Result<(), ClusterError> {
        let info = self.member(node)?;
        if node == self.parts.node {
            plan.refuses
                .push("a node does not remove itself: use `posthouse cluster leave`".into());
        }
        plan.steps.push(format!(
            "node {node} ({}) is refused by all others from now on, for good",
            info.host
        ));
        let (lost, steps) = self.effects_of_loss(node).await;
        plan.steps.extend(steps);
        match force {
            true => plan.warnings.extend(lost),
            false => plan.refuses.extend(lost),
        }
        Ok(())
    }

    async fn plan_leave(&self, plan: &mut ClusterPlan) -> Result<(), ClusterError> {
        self.plan_drain(self.parts.node, plan).await?;
        plan.steps.push(
            "when nothing is left on it, this node is removed for good and stops serving".into(),
        );
        Ok(())
    }

    async fn plan_drain(&self, node: u64, plan: &mut ClusterPlan) -> Result<(), ClusterError> {
        let info = self.member(node)?;
        let others = self.parts.directory.nodes().into_iter();
        let others = others.filter(|n| n.id != node && n.state == NodeState::Active).count();
        if others == 0 {
            plan.refuses.push("there is no other node that could take what it has".into());
        }
        plan.steps.push(format!("node {node} ({}) gets nothing new", info.host));
        for store in self.parts.directory.stores() {
            if store.replicas.contains(&node) {
                plan.steps.push(format!(
                    "the replica of store {} moves to another node, which gets a whole copy first",
                    store.id.0
                ));
            }
            if store.home == node {
                plan.steps.push(format!("store {} gets another home", store.id.0));
            }
        }
        Ok(())
    }

    async fn plan_promotion(
        &self,
        store: u64,
        node: u64,
        plan: &mut ClusterPlan,
    ) -> Result<(), ClusterError> {
        let view = self.view().await;
        let found = view.stores.iter().find(|s| s.id == store);
        let found = found.ok_or_else(|| ClusterError::NotFound(format!("store {store}")))?;
        if found.quorum {
            plan.refuses.push(format!("store {store} has a majority: there is nothing to promote"));
        }
        if !self.store_info(store)?.replicas.contains(&node) {
            plan.refuses.push(format!("node {node} has no replica of store {store}"));
        }
        for other in self.store_info(store)?.replicas.iter().filter(|other| *other != &node) {
            plan.refuses.push(format!(
                "node {other} may come back with its own copy of store {store}: remove it first (posthouse cluster remove {other} --force)"
            ));
        }
        plan.steps.push(format!(
            "node {node} becomes the only voter of store {store} and takes mail again"
        ));
        plan.warnings.push(
            "what the lost replicas had acknowledged and this one had not received is missing: the log says from which entry on".into(),
        );
        Ok(())
    }

    /// What speaks against removing a node, and what the others do then.
    async fn effects_of_loss(&self, node: u64) -> (Vec<String>, Vec<String>) {
        let view = self.world().await;
        let against = placement::can_remove(&view, NodeId(node)).err().unwrap_or_default();
        let mut steps = Vec::new();
        if view.domain.voters.contains(&NodeId(node)) {
            steps.push("another node takes its vote on the directory".to_owned());
        }
        for store in view.stores.iter().filter(|store| store.replicas.contains(&NodeId(node))) {
            let id = store.id.0;
            steps.push(format!(
                "store {id} gets a replica on another node instead, if there is one"
            ));
            if store.home == NodeId(node) {
                steps.push(format!("store {id} gets another home"));
            }
        }
        (against, steps)
    }
}
