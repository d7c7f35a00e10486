//! Looks after stored bodies while there is time: damaged ones are found before somebody needs them, and the
//! space of those that nothing names any more is given back.

use std::time::Duration;

use posthouse_provisioning::Parts;
use posthouse_store::Store;
use tokio_util::sync::CancellationToken;

/// First look after the start, when the node has settled.
const FIRST: Duration = Duration::from_secs(10 * 60);
/// Pause between two rounds.
const PAUSE: Duration = Duration::from_secs(24 * 3600);
/// Bytes that are verified in a second: leaves the disk to others.
const RATE: u64 = 8 << 20;

/// Runs until `stop`.
pub(super) async fn run(parts: Parts, stop: CancellationToken) {
    let mut pause = FIRST;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = parts.env.clock.sleep(pause) => {}
        }
        pause = PAUSE;
        tokio::select! {
            () = stop.cancelled() => return,
            () = look_after_all(&parts) => {}
        }
    }
}

async fn look_after_all(parts: &Parts) {
    for store in parts.stores.local() {
        look_after(&store).await;
    }
}

async fn look_after(store: &Store) {
    match store.scrub(Some(RATE)).await {
        Ok(scrub) => {
            metrics::gauge!("posthouse_bodies_damaged").set(scrub.damaged.len() as f64);
            metrics::gauge!("posthouse_bodies_missing").set(scrub.missing.len() as f64);
            for (body, reason) in &scrub.damaged {
                tracing::error!(target: "error", ?body, reason, "a stored body is damaged; restore it from a backup");
            }
            for body in &scrub.missing {
                tracing::error!(target: "error", ?body, "a stored body is missing; restore it from a backup");
            }
            tracing::info!(target: "operation", sound = scrub.sound, damaged = scrub.damaged.len(), missing = scrub.missing.len(), "stored bodies were verified");
        }
        Err(error) => {
            tracing::warn!(target: "warning", %error, "stored bodies could not be verified")
        }
    }
    match store.collect().await {
        Ok(collection) => {
            tracing::info!(target: "operation", bodies = collection.bodies, bytes = collection.bytes, "space was given back");
        }
        Err(error) => tracing::warn!(target: "warning", %error, "no space could be given back"),
    }
}
