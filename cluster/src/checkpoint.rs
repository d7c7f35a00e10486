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
    raft::{LogId, Types},
};

/// Entries after which a checkpoint is due.
const ENTRIES: u64 = 10_000;
/// Bytes of commands after which a checkpoint is due. Bounds what a restart replays.
const BYTES: u64 = 16 << 20;
/// Age of the oldest entry after which a checkpoint is due, so that a quiet group does not keep old
/// segments of the log from being used again.
const AGE: Duration = Duration::from_secs(30);
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
    let mut asked = None;
    loop {
        let now = metrics.borrow_watched().clone();
        now.running_state.map_err(fatal)?;
        if position(now.purged.as_ref()) >= target {
            return Ok(());
        }
        let reached = position(now.snapshot.as_ref());
        if reached < target && asked != Some(reached) {
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

/// Checkpoints `group` whenever one is due, until it stops.
pub(crate) fn watch(group: &Group) {
    let (env, weak) = (group.inner.env.clone(), Arc::downgrade(&group.inner));
    env.spawner.spawn("checkpoint", Box::pin(watch_loop(weak)));
}

async fn watch_loop(group: Weak<Inner>) {
    let mut dirty_since = None;
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
        let pinning = entries > 0 && inner.engine.pinning().contains(&inner.spec.id);
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
