//! A group without a majority, brought back by decision of an administrator.

use std::{collections::BTreeSet, time::Duration};

use openraft::{
    BasicNode, EntryPayload, LogState, RaftLogReader, entry::RaftEntry, storage::RaftLogStorage,
    vote::leader_id_adv::LeaderId,
};

use super::Node;
use crate::{
    GroupId, NodeId,
    raft::{Entry, LogId, Proposal, Vote, codec, storage::RaftLog},
};

/// What may be missing after [`Node::force_members`].
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Forced {
    /// Last entry that is on the disk of this node. What others acknowledged behind it is lost.
    pub last_index: u64,
    /// Last entry of which this node knew that a majority had it.
    pub committed: u64,
    /// Entries between both: they count from now on, whether anybody acknowledged them or not.
    pub uncertain: u64,
    /// How long ago this node heard from a leader, `None` if not since its process began.
    pub last_contact: Option<Duration>,
    /// Who was in the group until now, this node left out.
    pub others: BTreeSet<NodeId>,
}

/// Why [`Node::force_members`] did nothing.
#[derive(Debug, thiserror::Error)]
pub enum ForceError {
    /// It runs and has a leader: change the members there.
    #[error("the group has a leader, {0}: nothing needs to be forced")]
    HasLeader(NodeId),
    /// Nothing of the group is on the disk of this node.
    #[error("nothing of group {} is on this node", .0.0)]
    Nothing(GroupId),
    /// A file could not be read or written.
    #[error("storage failed: {0}")]
    Storage(String),
}

impl From<std::io::Error> for ForceError {
    fn from(error: std::io::Error) -> Self {
        Self::Storage(error.to_string())
    }
}

impl Node {
    /// What [`Self::force_members`] would say. Changes nothing.
    pub async fn would_force(&self, id: GroupId) -> Result<Forced, ForceError> {
        let mut log = self.log_of(id);
        let last = log.get_log_state().await?.last_log_id;
        let Some(last) = last else { return Err(ForceError::Nothing(id)) };
        let committed = log.read_committed().await?.map_or(0, |log_id| log_id.index);
        let (mut last_contact, mut others) = (None, BTreeSet::new());
        if let Some(group) = self.group(id) {
            let state = group.look();
            if let Some(leader) = state.leader.filter(|_| state.quorum) {
                return Err(ForceError::HasLeader(leader));
            }
            last_contact = group.last_contact();
            others = &state.members.voters | &state.members.learners;
            others.remove(&self.id());
        }
        let uncertain = last.index.saturating_sub(committed);
        Ok(Forced { last_index: last.index, committed, uncertain, last_contact, others })
    }

    /// Makes this node the only member of a group, as its voter, with what is on its disk. For a group
    /// that lost its majority for good, and for a learner whose voter is lost.
    ///
    /// What others acknowledged and this node does not have is lost, and members that come back with
    /// the old state must forget the group ([`Self::forget_group`]) before they are added again: they
    /// would go on as another group of the same name. The group is stopped; start it afterwards.
    pub async fn force_members(&self, id: GroupId) -> Result<Forced, ForceError> {
        let forced = self.would_force(id).await?;
        self.stop_group(id).await.map_err(|error| ForceError::Storage(error.to_string()))?;
        let mut log = self.log_of(id);
        log.flushed().await?;
        let LogState { last_log_id, .. } = log.get_log_state().await?;
        let Some(last) = last_log_id else { return Err(ForceError::Nothing(id)) };
        let voted = log.read_vote().await?.map_or(0, |vote| vote.leader_id.term);
        let term = voted.max(last.leader_id.term) + 1;
        let leader_id = LeaderId { term, node_id: self.id().0 };
        // nobody else can have led in this term: this node never voted in it
        log.save_vote(&Vote { leader_id, committed: false }).await?;
        self.append_sole_voter(&log, LogId::new(leader_id, last.index + 1)).await?;
        let group = id.0;
        tracing::warn!(target: "warning", group, ?forced, "this node was made the only member of a group");
        Ok(forced)
    }

    async fn append_sole_voter(&self, log: &RaftLog, log_id: LogId) -> Result<(), ForceError> {
        let me = self.id().0;
        let nodes = std::collections::BTreeMap::from([(me, BasicNode::new(""))]);
        let members = openraft::Membership::new(vec![BTreeSet::from([me])], nodes)
            .map_err(|error| ForceError::Storage(error.to_string()))?;
        let payload: EntryPayload<Proposal, u64, BasicNode> = EntryPayload::Membership(members);
        let entry = Entry { log_id, payload };
        let bytes = codec::encode_entry(&entry)?;
        let (done, written) = tokio::sync::oneshot::channel();
        let done = Box::new(move |outcome| drop(done.send(outcome)));
        let storage = |error: &dyn std::fmt::Display| ForceError::Storage(error.to_string());
        let records = vec![(entry.index(), bytes)];
        log.engine.append(log.group, records, done).map_err(|error| storage(&error))?;
        let written = written.await.map_err(|error| storage(&error))?;
        written.map_err(|error| storage(&error))
    }

    fn log_of(&self, group: GroupId) -> RaftLog {
        RaftLog { engine: self.inner.engine.clone(), group, files: self.inner.files.clone() }
    }
}
