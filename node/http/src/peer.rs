//! The connection that a request came over.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};

use parking_lot::Mutex;
use posthouse_auth::{Exchange, Origin, Service};

/// The connection that a request came over; an extension of every request.
#[derive(Clone)]
pub struct Peer {
    /// The other end.
    pub remote: SocketAddr,
    /// Our end.
    pub local: SocketAddr,
    /// Whether it is under TLS.
    pub tls: bool,
    /// tls-server-end-point channel binding (RFC 5929).
    pub channel_binding: Option<Vec<u8>>,
    /// A Negotiate exchange that needs another leg; it belongs to the connection (RFC 4559 §6).
    pub(crate) negotiation: Arc<Mutex<Option<Exchange>>>,
}

impl Peer {
    /// A connection.
    pub fn new(
        remote: SocketAddr,
        local: SocketAddr,
        tls: bool,
        channel_binding: Option<Vec<u8>>,
    ) -> Self {
        Self { remote, local, tls, channel_binding, negotiation: Arc::default() }
    }

    /// For requests that came over no connection: nobody who is trusted.
    pub(crate) fn unknown() -> Self {
        let nowhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        Self::new(nowhere, nowhere, false, None)
    }

    /// The other end's address.
    pub fn address(&self) -> IpAddr {
        self.remote.ip().to_canonical()
    }

    /// Whether the other end is a process on this machine.
    pub fn is_this_machine(&self) -> bool {
        let address = self.address();
        address.is_loopback()
            || (!address.is_unspecified() && address == self.local.ip().to_canonical())
    }

    /// For the authenticator.
    pub(crate) fn origin(&self) -> Origin {
        Origin {
            service: Service::Http,
            address: self.address(),
            tls: self.tls,
            channel_binding: self.channel_binding.clone(),
        }
    }
}
