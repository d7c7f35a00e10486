//! Bodies to the replicas, before the command that names them is proposed.

use std::collections::BTreeSet;

use bytes::Bytes;
use futures_util::{StreamExt, stream::FuturesUnordered};
use posthouse_cluster::{NodeId, Timestamp};
use tokio::sync::oneshot;

use super::Store;
use crate::{BodyHash, StoreError};

impl Store {
    /// Puts bodies on the disks of all replicas at the same time; returns when each is on those of a
    /// majority of the voters, this node's included. The others go on in the background.
    pub(super) async fn stage(
        &self,
        staged: Vec<(BodyHash, Bytes)>,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        if staged.is_empty() {
            return Ok(());
        }
        let members = self.inner.group.members();
        let me = self.inner.node;
        let peers: Vec<NodeId> =
            members.voters.union(&members.learners).copied().filter(|node| *node != me).collect();
        let each = staged.into_iter().map(|body| self.stage_one(body, at, &members.voters, &peers));
        futures_util::future::try_join_all(each).await.map(drop)
    }

    async fn stage_one(
        &self,
        (hash, body): (BodyHash, Bytes),
        at: Timestamp,
        voters: &BTreeSet<NodeId>,
        peers: &[NodeId],
    ) -> Result<(), StoreError> {
        let mut elsewhere: FuturesUnordered<_> = peers
            .iter()
            .map(|node| {
                let done = self.stage_at(*node, (hash, body.clone()), at);
                let votes = voters.contains(node);
                async move { votes && done.await.unwrap_or(false) }
            })
            .collect();
        self.inner.bodies.put(hash, body, at).await?;
        // a leader that does not vote does not exist; then it counts for nothing
        let mut have = usize::from(voters.contains(&self.inner.node));
        let needed = voters.len() / 2 + 1;
        while have < needed {
            match elsewhere.next().await {
                Some(stored) => have += usize::from(stored),
                None => {
                    let text = format!("{have} of {needed} replicas have the message on disk");
                    return Err(StoreError::Unavailable(text));
                }
            }
        }
        Ok(())
    }

    /// Sends a body to one replica, whether or not anybody waits for the outcome.
    fn stage_at(
        &self,
        node: NodeId,
        body: (BodyHash, Bytes),
        at: Timestamp,
    ) -> oneshot::Receiver<bool> {
        let (done, outcome) = oneshot::channel();
        if self.inner.peers.is_lost(node) {
            // it fetches what it misses when it is back
            let _ = done.send(false);
            return outcome;
        }
        let (peers, id) = (self.inner.peers.clone(), self.inner.id);
        let send = async move {
            let stored = peers.stage(node, id, body, at).await;
            if let Err(error) = &stored {
                metrics::counter!("posthouse_store_unstaged_bodies_total").increment(1);
                tracing::debug!(target: "debug", store = id.0, %error, "a body was not sent");
            }
            // enough others may have it already
            let _ = done.send(stored.is_ok());
        };
        self.inner.env.spawner.spawn("store-stage", Box::pin(send));
        outcome
    }
}
