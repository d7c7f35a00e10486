//! The member's side.

use std::{net::SocketAddr, sync::Arc};

use tokio::net::TcpStream;

use super::Door;
use crate::Environment;

/// A joiner.
pub(crate) struct Knocked;

impl Knocked {
    pub(crate) async fn admit(self, _env: &Environment) {}
}

/// Hears.
pub(crate) async fn hear(
    _s: tokio_rustls::server::TlsStream<TcpStream>,
    _d: Arc<dyn Door>,
    _f: SocketAddr,
) -> Option<Knocked> {
    None
}
