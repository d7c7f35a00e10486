//! Options of the sockets.

use nix::sys::socket::{setsockopt, sockopt::TcpUserTimeout};
use tokio::net::TcpStream;

use super::Timing;

/// Bytes that the other host does not acknowledge break a connection after this many times the silence.
const UNACKNOWLEDGED: u32 = 4;

/// No delay for small frames, and a bound for bytes that the other host does not acknowledge.
pub(super) fn prepare(tcp: &TcpStream, timing: &Timing) {
    if let Err(error) = tcp.set_nodelay(true) {
        tracing::debug!(target: "debug", %error, "TCP_NODELAY");
    }
    let timeout = (timing.silence * UNACKNOWLEDGED).as_millis().min(u128::from(u32::MAX)) as u32;
    if let Err(error) = setsockopt(tcp, TcpUserTimeout, &timeout) {
        tracing::debug!(target: "debug", %error, "TCP_USER_TIMEOUT");
    }
}
