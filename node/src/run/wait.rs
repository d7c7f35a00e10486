//! Signals in, state out to systemd.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Cancels `stop` at SIGINT or SIGTERM. The second signal ends the process at once: everything that was
/// acknowledged is on disk anyway.
pub(super) fn stop_on_signal(stop: CancellationToken) {
    let signals = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
    let (Ok(mut interrupt), Ok(mut terminate)) = signals else {
        tracing::error!(target: "error", "signals cannot be caught; the node is stopped by kill only");
        return;
    };
    tokio::spawn(async move {
        let mut next = async || {
            tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
        };
        next().await;
        tracing::info!(target: "operation", "stopping");
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
        stop.cancel();
        next().await;
        std::process::exit(130);
    });
}

/// SIGHUP: look at the certificate files again.
pub(super) fn reload_signal() -> std::io::Result<tokio::signal::unix::Signal> {
    signal(SignalKind::hangup())
}

/// Tells systemd that the node serves.
pub(super) fn tell_ready(status: &str) {
    let _ =
        sd_notify::notify(&[sd_notify::NotifyState::Ready, sd_notify::NotifyState::Status(status)]);
}
