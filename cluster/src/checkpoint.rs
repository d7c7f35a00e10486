//! When a group's state machine is made durable and the log behind it is let go.

use std::{
    pin::pin,
    sync::{Arc, Weak, atomic::Ordering},
    time::Duration,
};

use futures_util::future::{Either, select};
use openraft::{async_runtime::WatchReceiver, errors::Fatal};

use crate::{
    Group, ProposeError,
    group::Inner,
    raft::{LogId, Raft, Types},
};

/// Entries after which a checkpoint is due.
const ENTRIES: u64 = 10_000;
/// Bytes of commands after which a checkpoint is due. Bounds what a restart replays.
const BYTES: u64 = 16 << 20;
/// Age of the oldest entry after which a checkpoint is due, so that a quiet group does not keep old
/// segments of the log from being used again.
const AGE: Duration = Duration::from_secs(30);
/// Entries behind a checkpoint that a group with several members keeps at most.
const KEEP: u64 = 50_000;
/// For how long the log may hold more than it should because a member is behind.
const HELD_UP: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 10 });
/// How often that is looked at.
const INTERVAL: Duration = Duration::from_millis(250);
/// How long a checkpoint may take.
const TIMEOUT: Duration = Duration::from_secs(120);

fn position(log_id: Option<&LogId>) -> u64 {
    log_id.map_or(0, |log_id| log_id.index + 1)
}

/// Makes what is applied now durable, then purges the log behind it.
pub(crate) async fn run(group: &Arc<Inner>) -> Result<(), ProposeError> {
    let handle = Group { inner: group.clone() };
    let fatal = |fatal: Fatal<Types>| handle.fatal(&fatal);
    let raft = group.raft();
    let mut metrics = raft.metrics();
    let target = position(metrics.borrow_watched().last_applied.as_ref());
    let deadline = group.env.clock.monotonic() + TIMEOUT;
    // the checkpoint that was there when one was asked for: a build that was under way then does not
    // count, and the question was not heard
    let (mut asked, mut purge) = (None, None);
    loop {
        let now = metrics.borrow_watched().clone();
        now.running_state.map_err(fatal)?;
        let reached = position(now.snapshot.as_ref());
        if reached >= target {
            let upto = *purge.get_or_insert_with(|| purge_before(group).min(target));
            // a leader's purge waits for members that are behind: that is nobody's business here
            if position(now.purged.as_ref()) >= upto || !alone(group) {
                return purge_log(&raft, upto).await.map_err(fatal);
            }
            purge_log(&raft, upto).await.map_err(fatal)?;
        } else if asked != Some(reached) {
            asked = Some(reached);
            raft.trigger().snapshot().await.map_err(fatal)?;
        }
        if group.env.clock.monotonic() > deadline {
            return Err(ProposeError::Unavailable);
        }
        let nap = group.env.clock.sleep(INTERVAL);
        match select(pin!(metrics.changed()), nap).await {
            Either::Left((Ok(()), _)) => {}
            Either::Left((Err(_), _)) => return Err(ProposeError::Stopping),
            Either::Right(((), _)) => asked = None,
        }
    }
}

async fn purge_log(raft: &Raft, before: u64) -> Result<(), Fatal<Types>> {
    match before.checked_sub(1) {
        Some(last) => raft.trigger().purge_log(last).await,
        None => Ok(()),
    }
}

/// Whether there is nobody who could need the log.
fn alone(group: &Inner) -> bool {
    let raft = group.raft();
    let members = raft.server_metrics().borrow_watched().membership_config.clone();
    members.nodes().count() <= 1
}

/// Index before which the log may go. What is kept lets a member that was away for minutes catch up
/// without a copy of everything; the log's segments bound it for all groups together.
fn purge_before(group: &Inner) -> u64 {
    if alone(group) || group.engine.pinning().contains(&group.spec.id) || group.engine.is_full() {
        return u64::MAX;
    }
    group.applied.borrow().next.saturating_sub(KEEP)
}

/// Checkpoints `group` whenever one is due, until it stops.
pub(crate) fn watch(group: &Group) {
    let (env, weak) = (group.inner.env.clone(), Arc::downgrade(&group.inner));
    env.spawner.spawn("checkpoint", Box::pin(watch_loop(weak)));
}

async fn watch_loop(group: Weak<Inner>) {
    let (mut dirty_since, mut pinned_since) = (None, None);
    loop {
        let Some(inner) = group.upgrade() else { return };
        if inner.waiting.is_closed() {
            return;
        }
        let now = inner.env.clock.monotonic();
        let entries = inner.machine.load.entries.load(Ordering::Relaxed);
        let bytes = inner.machine.load.bytes.load(Ordering::Relaxed);
        dirty_since = if entries == 0 { None } else { dirty_since.or(Some(now)) };
        let old = dirty_since.is_some_and(|since| now.saturating_sub(since) >= AGE);
        let pinning = inner.engine.pinning().contains(&inner.spec.id);
        pinned_since = if pinning { pinned_since.or(Some(now)) } else { None };
        if pinned_since.is_some_and(|since| now.saturating_sub(since) >= HELD_UP) {
            pinned_since = None;
            crate::group::release(&Group { inner: inner.clone() }).await;
        }
        if old || pinning || entries >= ENTRIES || bytes >= BYTES {
            dirty_since = None;
            if let Err(error) = run(&inner).await {
                let group = &inner.spec.name;
                tracing::warn!(target: "warning", %error, group, "checkpoint failed");
                if inner.machine.failure().or_else(|| inner.engine.failed()).is_some() {
                    return;
                }
            }
        }
        let clock = inner.env.clock.clone();
        drop(inner);
        clock.sleep(INTERVAL).await;
    }
}
