//! Admitting new nodes: what joining needs from the directory.

use std::{net::SocketAddr, sync::Arc};

use posthouse_cluster::{
    NodeId,
    authority::{VALIDITY, public_key_hash},
    env::BoxFuture,
    join::{Admission, Door, InviteId, JoinRefusal, JoinRequest, SecretVerifier},
};
use posthouse_directory::{Actor, Change, ChangeError, ChangeRefusal, JoinInfo, Joined, StoreId};

use super::Cluster;

/// Port of other nodes where a new node does not say another one.
const NODE_PORT: u16 = 4041;

/// The door of this node.
pub(super) struct NodeDoor(pub(super) Arc<Cluster>);

impl Door for NodeDoor {
    fn verifier(&self, invite: &InviteId) -> Option<SecretVerifier> {
        let invites = self.0.parts.directory.invites();
        let known = invites.into_iter().find(|known| known.id == *invite)?;
        Some(SecretVerifier(known.verifier.try_into().ok()?))
    }

    fn admit(
        &self,
        invite: InviteId,
        request: JoinRequest,
        from: SocketAddr,
    ) -> BoxFuture<Result<Admission, JoinRefusal>> {
        let cluster = self.0.clone();
        Box::pin(async move { cluster.admit(invite, request, from).await })
    }
}

impl Cluster {
    async fn admit(
        &self,
        invite: InviteId,
        request: JoinRequest,
        from: SocketAddr,
    ) -> Result<Admission, JoinRefusal> {
        let directory = &self.parts.directory;
        let needs = directory.level();
        if request.level < needs {
            return Err(JoinRefusal::Level { needs });
        }
        let own = directory.nodes().into_iter().find(|node| node.id == self.parts.node);
        let site = request.site.clone().or(own.map(|own| own.site)).unwrap_or_default();
        let info = JoinInfo {
            invite,
            key: public_key_hash(&request.public_key).to_vec(),
            host: request.host.clone(),
            site,
            links: links_of(&request, from),
            version: request.version.clone(),
            level: request.level,
        };
        let actor = Actor::System(format!("join of {}", request.host));
        let outcome = directory.change_outcome(actor, Change::Join(Box::new(info))).await;
        let joined = match outcome.map(|outcome| outcome.joined) {
            Ok(Some(joined)) => joined,
            Err(ChangeError::Refused(ChangeRefusal::KeyTaken(node))) => {
                return self.readmit(invite, node, &request).await;
            }
            Ok(None) => return Err(JoinRefusal::NotNow("the directory gave no number".into())),
            Err(error) => return Err(refusal(error)),
        };
        tracing::info!(target: "security", node = joined.node, host = request.host, %from, "a node joined");
        let admission = self.admission(joined, &request);
        // who knocks again gets the same number
        admission.map_err(|error| JoinRefusal::NotNow(format!("{error:#}")))
    }

    /// A member that was away while the authority was replaced knocks with its own key: it gets what it missed. The
    /// invite is spent.
    async fn readmit(
        &self,
        invite: InviteId,
        node: u64,
        request: &JoinRequest,
    ) -> Result<Admission, JoinRefusal> {
        let invalid = |text: String| JoinRefusal::Invalid(text);
        let nodes = self.parts.directory.nodes();
        let known = nodes.into_iter().find(|known| known.id == node && known.is_member());
        let known = known.ok_or_else(|| {
            invalid(format!(
                "node {node} was removed from the cluster; join with an empty data folder"
            ))
        })?;
        if !known.host.eq_ignore_ascii_case(&request.host) {
            return Err(invalid(format!(
                "the key is that of node {node}, which is {}",
                known.host
            )));
        }
        let actor = Actor::System(format!("return of node {node}"));
        let spent = self.parts.directory.change(actor, Change::RevokeInvite(invite)).await;
        spent.map_err(refusal)?;
        tracing::info!(target: "security", node, "a member that was away got a new certificate");
        let joined = Joined { node, store: StoreId(0) };
        self.admission(joined, request).map_err(|error| JoinRefusal::NotNow(format!("{error:#}")))
    }

    fn admission(&self, joined: Joined, request: &JoinRequest) -> anyhow::Result<Admission> {
        let authorities = self.authorities()?;
        let node = NodeId(joined.node);
        let now = self.parts.env.clock.now();
        let certificate = authorities.newest().certify(&request.public_key, node, now, VALIDITY)?;
        self.meet();
        let mut peers = self.known_peers();
        peers.retain(|peer| peer.node != node);
        peers.extend(self.own_peer());
        Ok(Admission {
            node,
            store: joined.store.0,
            cluster: self.parts.directory.cluster_name(),
            certificate,
            authorities: authorities.certificates(),
            vault_key: self.parts.auth.vault_key(),
            peers,
            level: self.parts.directory.level(),
        })
    }
}

/// Where the new node is reached: what it says, or where it knocks from.
fn links_of(request: &JoinRequest, from: SocketAddr) -> Vec<String> {
    match request.addresses.is_empty() {
        true => vec![SocketAddr::new(from.ip(), NODE_PORT).to_string()],
        false => request.addresses.clone(),
    }
}

fn refusal(error: ChangeError) -> JoinRefusal {
    match error {
        ChangeError::Refused(refusal) => match refusal {
            ChangeRefusal::InviteUnknown => JoinRefusal::Unknown,
            ChangeRefusal::InviteUsed(_) => JoinRefusal::Used,
            ChangeRefusal::InviteExpired => JoinRefusal::Expired,
            ChangeRefusal::InviteRevoked => JoinRefusal::Revoked,
            other => JoinRefusal::Invalid(other.to_string()),
        },
        other => JoinRefusal::NotNow(other.to_string()),
    }
}
