//! Timings that follow the round trip between a group's voters.
//!
//! The consensus layer takes its timings once, so it is started anew when the class changes: the leader
//! hands over before.

use std::{
    collections::BTreeSet,
    sync::{Arc, Weak},
    time::Duration,
};

use openraft::{async_runtime::WatchReceiver, storage::RaftLogStorage};

use super::{Group, Inner};
use crate::{
    NodeId,
    network::Network,
    raft::{self, LogId, timing::Timing},
};

/// How often the round trip is looked at.
const LOOK: Duration = Duration::from_millis(if cfg!(test) { 400 } else { 5000 });

/// The slowest round trip to any of `voters` that answers, `None` if none is known; to anybody if there are
/// no voters yet.
pub(crate) fn round_trip(network: &dyn Network, voters: &BTreeSet<NodeId>) -> Option<Duration> {
    let peers = network.peers().into_iter();
    let answering =
        peers.filter(|peer| peer.reachable && (voters.is_empty() || voters.contains(&peer.node)));
    answering.filter_map(|peer| peer.round_trip).max()
}

/// Changes the group's timings when the round trip has changed, until the group ends.
pub(crate) fn follow_round_trips(group: &Group) {
    let (env, weak) = (group.inner.env.clone(), Arc::downgrade(&group.inner));
    env.spawner.spawn("group-pace", Box::pin(follow_loop(weak)));
}

async fn follow_loop(weak: Weak<Inner>) {
    let mut before = None;
    loop {
        let Some(inner) = weak.upgrade() else { return };
        if inner.waiting.is_closed() {
            return;
        }
        let group = Group { inner };
        let next = group.fitting();
        if let Some(timing) = next
            // to shorter times only when it stays so
            && (next == before || timing.round_trip > group.inner.timing.read().round_trip)
            && let Err(reason) = group.retime(timing).await
        {
            let group = &group.inner.spec.name;
            tracing::warn!(target: "warning", group, reason, "timings could not be changed");
        }
        before = next;
        group.inner.copies.expire().await;
        let clock = group.inner.env.clock.clone();
        drop(group);
        clock.sleep(LOOK).await;
    }
}

impl Group {
    /// Other timings that fit better, if so.
    fn fitting(&self) -> Option<Timing> {
        let inner = &self.inner;
        let voters = self.members().voters;
        if !voters.contains(&inner.node) || self.failure().is_some() {
            return None;
        }
        let measured = round_trip(inner.network.as_ref(), &voters)?;
        let now = *inner.timing.read();
        Some(now.next(measured)).filter(|next| *next != now)
    }

    /// Goes on with other timings.
    pub(crate) async fn retime(&self, timing: Timing) -> Result<(), String> {
        let inner = &self.inner;
        let old = inner.raft();
        if old.is_leader() {
            let voters = self.members().voters;
            // whoever nobody answers in time leads nobody either: the others elect
            if let Some(to) = self.most_caught_up(&voters)
                && let Err(error) = self.transfer(to).await
            {
                let group = &inner.spec.name;
                tracing::info!(target: "operation", group, %error, "not handed over");
            }
        }
        self.restart(timing, None).await?;
        let name = &inner.spec.name;
        tracing::info!(target: "operation", group = name, ?timing, "timings changed");
        Ok(())
    }

    /// Starts the consensus layer anew, with the log purged up to `purge`.
    async fn restart(&self, timing: Timing, purge: Option<LogId>) -> Result<(), String> {
        let inner = &self.inner;
        let old = inner.raft();
        let started = async {
            let _ = old.shutdown().await;
            inner.log.flushed().await.map_err(|error| error.to_string())?;
            if let Some(last) = purge {
                let purged = inner.log.clone().purge(last).await;
                purged.map_err(|error| error.to_string())?;
            }
            let machine = inner.raft_machine.lock().clone();
            let machine = machine.renewed().await.map_err(|error| error.to_string())?;
            *inner.raft_machine.lock() = machine.clone();
            let (peers, log) = (inner.peers(), inner.log.clone());
            let raft = raft::start(inner.node, &inner.spec.name, &timing, peers, log, machine);
            raft.await.map_err(|error| error.to_string())
        };
        let raft = started.await.inspect_err(|reason| inner.machine.fail(reason))?;
        *inner.started.write() = inner.env.clock.monotonic();
        *inner.timing.write() = timing;
        *inner.raft.write() = raft;
        Ok(())
    }
}

/// Lets a log go that only waits for members that are far behind: they get a copy. The consensus layer
/// of a leader purges nothing that it might still send to anybody, so another one leads from now on,
/// or this one begins anew if there is no other voter.
pub(crate) async fn release(group: &Group) {
    let raft = group.inner.raft();
    let voters = group.members().voters;
    if !raft.is_leader() {
        return;
    }
    let name = &group.inner.spec.name;
    tracing::info!(target: "operation", group = name, "the log is held up by a member that is behind");
    let done = if voters.len() > 1 {
        let Some(to) = group.most_caught_up(&voters) else { return };
        group.transfer(to).await.map_err(|error| error.to_string())
    } else {
        let last = raft.metrics().borrow_watched().snapshot;
        let timing = *group.inner.timing.read();
        match group.restart(timing, last).await {
            Ok(()) => group.inner.raft().trigger().elect(false).await.map_err(|e| e.to_string()),
            Err(reason) => Err(reason),
        }
    };
    if let Err(reason) = done {
        tracing::warn!(target: "warning", group = name, reason, "the log is still held up");
    }
}
