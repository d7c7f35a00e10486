//! What the API may ask of the cluster.

use std::{sync::Arc, time::Duration};

use posthouse_cluster::{join::InviteCode, network::Network};
use posthouse_directory::{Actor, Change, ChangeError, Invite, key};
use posthouse_http::{
    ClusterControl, ClusterError, ClusterOrder, ClusterOutcome, ClusterResult, ClusterStatus,
    InviteState, InviteView, MoveView, NewInvite,
};
use uuid::Uuid;

use super::Cluster;

/// Nodes whose addresses are in a code: enough that one of them answers.
const NODES_IN_CODE: usize = 3;
/// Addresses in a code: it is typed by people.
const ADDRESSES_IN_CODE: usize = 4;
/// Shortest life of an invite.
const SHORTEST: Duration = Duration::from_secs(60);

/// The handle that the API gets.
pub(in crate::run) struct Control(pub(super) Arc<Cluster>);

impl Cluster {
    /// The handle for the API.
    pub(in crate::run) fn control(self: &Arc<Self>) -> Arc<dyn ClusterControl> {
        Arc::new(Control(self.clone()))
    }

    /// Whether settings can be changed; the error says why not.
    pub(super) fn writable(&self) -> Result<(), String> {
        self.parts.directory.read_only_reason().map_or(Ok(()), Err)
    }

    async fn make_invite(
        &self,
        actor: Actor,
        host: Option<String>,
        lifetime: Duration,
    ) -> Result<NewInvite, ClusterError> {
        let authorities =
            self.authorities().map_err(|error| ClusterError::Unavailable(format!("{error:#}")))?;
        let random = &self.parts.env.random;
        let (mut id, mut secret) = ([0; 16], [0; 16]);
        random.fill(&mut id);
        random.fill(&mut secret);
        let addresses = self.addresses_for_code();
        if addresses.is_empty() {
            return Err(ClusterError::Refused(
                "no address is known under which this node can be reached: set `advertise` in node.toml".into(),
            ));
        }
        let shown = self.shown_fingerprint(&authorities);
        let code = InviteCode::new(addresses.clone(), &shown, id, secret);
        let now = self.parts.env.clock.now();
        let expires = now.after(lifetime.clamp(SHORTEST, NewInvite::LONGEST));
        let invite = Invite {
            id,
            verifier: code.verifier().0.to_vec(),
            created: now,
            expires,
            by: actor.clone(),
            host: host.map(|host| host.to_ascii_lowercase()),
            used: None,
            revoked: false,
        };
        self.parts.directory.change(actor, Change::PutInvite(invite)).await.map_err(changed)?;
        let id = Uuid::from_bytes(id);
        Ok(NewInvite { id, code: code.to_string(), expires: expires.0, addresses })
    }

    /// This node's addresses first, then those of others that answer.
    fn addresses_for_code(&self) -> Vec<String> {
        let peers = self.links.peers();
        let answers = |id: u64| peers.iter().any(|peer| peer.node.0 == id && peer.reachable);
        let mut nodes = self.parts.directory.nodes();
        nodes.retain(|n| n.is_member() && (n.id == self.parts.node || answers(n.id)));
        nodes.sort_by_key(|node| node.id != self.parts.node);
        let mut own: Vec<_> = nodes.iter().take(NODES_IN_CODE).map(|n| n.links.iter()).collect();
        // one of each in turn
        let mut all: Vec<String> = Vec::new();
        while all.len() < ADDRESSES_IN_CODE {
            let before = all.len();
            all.extend(own.iter_mut().filter_map(Iterator::next).cloned());
            if all.len() == before {
                break;
            }
        }
        all.truncate(ADDRESSES_IN_CODE);
        all
    }

    fn invite_views(&self) -> Vec<InviteView> {
        let now = self.parts.env.clock.now();
        let view = |invite: Invite| InviteView {
            id: Uuid::from_bytes(invite.id),
            host: invite.host.clone().unwrap_or_default(),
            created: invite.created.0,
            expires: invite.expires.0,
            state: match (&invite.used, invite.revoked) {
                (Some(_), _) => InviteState::Used,
                (None, true) => InviteState::Revoked,
                (None, false) if invite.expires <= now => InviteState::Expired,
                (None, false) => InviteState::Open,
            },
            node: invite.used.map(|used| used.node),
        };
        let mut all: Vec<_> = self.parts.directory.invites().into_iter().map(view).collect();
        all.sort_by_key(|invite| std::cmp::Reverse(invite.created));
        all
    }
}

/// A refused or failed change, for the API.
pub(super) fn changed(error: ChangeError) -> ClusterError {
    match error {
        ChangeError::Refused(refusal) => ClusterError::Refused(refusal.to_string()),
        other => ClusterError::Unavailable(other.to_string()),
    }
}

impl ClusterControl for Control {
    fn writable(&self) -> Result<(), String> {
        self.0.writable()
    }

    fn status(&self) -> ClusterResult<ClusterStatus> {
        let cluster = self.0.clone();
        Box::pin(async move { Ok(cluster.view().await) })
    }

    fn invite(
        &self,
        actor: Actor,
        host: Option<String>,
        lifetime: Duration,
    ) -> ClusterResult<NewInvite> {
        let cluster = self.0.clone();
        Box::pin(async move { cluster.make_invite(actor, host, lifetime).await })
    }

    fn invites(&self) -> ClusterResult<Vec<InviteView>> {
        let cluster = self.0.clone();
        Box::pin(async move { Ok(cluster.invite_views()) })
    }

    fn revoke_invite(&self, actor: Actor, id: Uuid) -> ClusterResult<()> {
        let cluster = self.0.clone();
        Box::pin(async move {
            let id = id.into_bytes();
            if !cluster.parts.directory.invites().iter().any(|invite| invite.id == id) {
                return Err(ClusterError::NotFound("invite".into()));
            }
            let change = Change::RevokeInvite(id);
            cluster.parts.directory.change(actor, change).await.map_err(changed)
        })
    }

    fn moves(&self) -> ClusterResult<Vec<MoveView>> {
        let cluster = self.0.clone();
        Box::pin(async move { Ok(cluster.all_moves().await) })
    }

    fn order(
        &self,
        actor: Actor,
        order: ClusterOrder,
        dry_run: bool,
    ) -> ClusterResult<ClusterOutcome> {
        let cluster = self.0.clone();
        Box::pin(async move {
            let plan = cluster.plan(&order).await?;
            if dry_run || !plan.refuses.is_empty() {
                return Ok(ClusterOutcome { plan, done: false, invite: None });
            }
            let invite = cluster.carry_out(actor, order).await?;
            Ok(ClusterOutcome { plan, done: true, invite })
        })
    }
}

impl Cluster {
    /// An invite for whoever replaces a node.
    pub(super) async fn replacement_invite(&self, actor: Actor) -> Result<NewInvite, ClusterError> {
        let minutes = self.parts.directory.integer(key::CLUSTER_INVITE_MINUTES);
        self.make_invite(actor, None, Duration::from_secs(minutes * 60)).await
    }
}
