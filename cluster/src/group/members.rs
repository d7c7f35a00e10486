//! Who is in a group: changes, by its leader.

use std::collections::{BTreeMap, BTreeSet};

use openraft::{
    BasicNode, ChangeMembers,
    async_runtime::WatchReceiver,
    errors::{ChangeMembershipError, ClientWriteError, RaftError},
};

use super::{Group, ProposeError};
use crate::{NodeId, raft::Types};

/// Why the members did not change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MemberError {
    /// Another node leads, or nobody does. Try there.
    #[error("this node does not lead the group")]
    NotLeader {
        /// The leader, where known.
        leader: Option<NodeId>,
    },
    /// Another change is under way. Try again later.
    #[error("another change of the members is under way")]
    InProgress,
    /// No majority answered in time: the change may or may not take effect. Look and try again.
    #[error("the group has no majority at the moment")]
    Unavailable,
    /// The node must be a learner (or voter) first.
    #[error("{0} is no member of the group")]
    NoMember(NodeId),
    /// Only voters can lead.
    #[error("{0} is no voter of the group")]
    NoVoter(NodeId),
    /// A group needs a voter.
    #[error("a group needs at least one voter")]
    LastVoter,
    /// The node did not take over in time. Somebody leads or will.
    #[error("{0} did not take over the leadership in time")]
    NotTaken(NodeId),
    /// The disk of this node failed or is full.
    #[error("storage failed: {0}")]
    Storage(String),
    /// The node is stopping.
    #[error("the node is stopping")]
    Stopping,
}

impl From<ProposeError> for MemberError {
    fn from(error: ProposeError) -> Self {
        match error {
            ProposeError::NotLeader { leader } => Self::NotLeader { leader },
            ProposeError::Unavailable => Self::Unavailable,
            ProposeError::Storage(reason) => Self::Storage(reason),
            ProposeError::TooLarge(size) => Self::Storage(format!("{size} bytes are too large")),
            ProposeError::Stopping => Self::Stopping,
        }
    }
}

type Change = ChangeMembers<u64, BasicNode>;

impl Group {
    /// Makes `node` a learner: it gets the log from now on and has no vote. Nothing happens if it is a
    /// member already. The group must have been started there (without `bootstrap`).
    pub async fn add_learner(&self, node: NodeId) -> Result<(), MemberError> {
        if self.must_lead()?.contains(node) {
            return Ok(());
        }
        self.change(ChangeMembers::AddNodes(BTreeMap::from([(node.0, BasicNode::new(""))]))).await
    }

    /// Makes exactly these nodes the voters; all must be members. Who voted until now stays a
    /// learner. A leader that is not among them hands the leadership over.
    pub async fn set_voters(&self, voters: BTreeSet<NodeId>) -> Result<(), MemberError> {
        let members = self.must_lead()?;
        if voters.is_empty() {
            return Err(MemberError::LastVoter);
        }
        if let Some(stranger) = voters.iter().find(|node| !members.contains(**node)) {
            return Err(MemberError::NoMember(*stranger));
        }
        let me = self.inner.node;
        if members.voters.contains(&me) && !voters.contains(&me) {
            self.hand_over_among(&voters).await?;
        }
        self.change(ChangeMembers::ReplaceAllVoters(voters.iter().map(|node| node.0).collect()))
            .await
    }

    /// Takes `node` out of the group, whatever it is. Nothing happens if it is no member.
    pub async fn remove_member(&self, node: NodeId) -> Result<(), MemberError> {
        let members = self.must_lead()?;
        if !members.contains(node) {
            return Ok(());
        }
        if members.voters.contains(&node) {
            let mut voters = members.voters;
            voters.remove(&node);
            self.set_voters(voters).await?;
        }
        self.change(ChangeMembers::RemoveNodes(BTreeSet::from([node.0]))).await
    }

    fn must_lead(&self) -> Result<super::Members, MemberError> {
        let raft = self.inner.raft();
        if raft.is_leader() {
            return Ok(self.members());
        }
        Err(MemberError::NotLeader { leader: self.leader() })
    }

    /// Before this node stops being a voter another one leads, and does the rest.
    async fn hand_over_among(&self, among: &BTreeSet<NodeId>) -> Result<(), MemberError> {
        let Some(to) = self.most_caught_up(among) else { return Err(MemberError::LastVoter) };
        self.transfer(to).await?;
        Err(MemberError::NotLeader { leader: Some(to) })
    }

    async fn change(&self, change: Change) -> Result<(), MemberError> {
        let raft = self.inner.raft();
        // those who lose their vote stay learners; a removed learner goes
        let changed = self.in_time(raft.change_membership(change, true)).await?;
        match changed {
            Ok(_) => Ok(()),
            Err(error) => Err(self.change_error(error)),
        }
    }

    fn change_error(&self, error: RaftError<Types, ClientWriteError<Types>>) -> MemberError {
        let change = match error {
            RaftError::APIError(ClientWriteError::ChangeMembershipError(change)) => change,
            other => return self.write_error(other).into(),
        };
        match change {
            ChangeMembershipError::InProgress(_)
            | ChangeMembershipError::UncommittedLeaderLog(_) => MemberError::InProgress,
            ChangeMembershipError::EmptyMembership(_) => MemberError::LastVoter,
            ChangeMembershipError::LearnerNotFound(missing) => {
                MemberError::NoMember(NodeId(missing.node_id))
            }
            // not from what is asked for here; the next try begins with another look
            ChangeMembershipError::UnsupportedMembershipTransition(_)
            | ChangeMembershipError::NodeMetadataChanged(_) => MemberError::InProgress,
        }
    }

    /// The voter among `nodes`, this one left out, that has most of the log and answers.
    pub(crate) fn most_caught_up(&self, nodes: &BTreeSet<NodeId>) -> Option<NodeId> {
        let lease = self.inner.timing.read().lease();
        let fit = self.status().members.into_iter().filter(|member| {
            member.voter
                && member.node != self.inner.node
                && nodes.contains(&member.node)
                && member.heard_ago.is_some_and(|ago| ago < lease)
        });
        fit.max_by_key(|member| member.matched).map(|member| member.node)
    }

    /// Hands the leadership to `to`, which must be a voter, and returns once it leads. What was
    /// accepted before is answered; what comes meanwhile is refused with [`ProposeError::NotLeader`].
    pub async fn transfer(&self, to: NodeId) -> Result<(), MemberError> {
        let members = self.must_lead()?;
        if to == self.inner.node {
            return Ok(());
        }
        if !members.voters.contains(&to) {
            return Err(MemberError::NoVoter(to));
        }
        self.transfer_to(to).await
    }

    async fn transfer_to(&self, to: NodeId) -> Result<(), MemberError> {
        let inner = &self.inner;
        let raft = inner.raft();
        let mut metrics = raft.server_metrics();
        let term = raft.metrics().borrow_watched().current_term;
        // before anybody can vote for the other: what is read here from now on may be old
        inner.yielded.store(term, std::sync::atomic::Ordering::SeqCst);
        raft.trigger().transfer_leader(to.0).await.map_err(|fatal| self.fatal(&fatal))?;
        let taken = async {
            loop {
                let (leader, now) = {
                    let server = metrics.borrow_watched();
                    (server.current_leader, server.vote.leader_id.term)
                };
                if now > term && leader.is_some() {
                    return Ok(leader == Some(to.0));
                }
                if metrics.changed().await.is_err() {
                    return Err(MemberError::Stopping);
                }
            }
        };
        let patience = inner.timing.read().failover();
        let waited = self.within(patience, taken).await;
        match waited {
            Some(Ok(true)) => Ok(()),
            Some(Err(error)) => Err(error),
            Some(Ok(false)) | None => Err(MemberError::NotTaken(to)),
        }
    }
}
