//! What belongs to one peer.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use super::{Inner, Peer, channel::Channel, dial::Dialer, measure::Measure};
use crate::{NodeId, network::Class};

const CLASSES: [Class; 3] = [Class::Raft, Class::Request, Class::Bulk];

/// See the module.
pub(super) struct PeerLinks {
    pub(super) node: NodeId,
    addresses: Mutex<Vec<String>>,
    channels: [Arc<Channel>; 3],
    pub(super) measure: Arc<Mutex<Measure>>,
    /// The level that it says it knows; zero: not known.
    pub(super) level: AtomicU32,
    /// Tries to connect at once, per class.
    pub(super) redial: [Notify; 3],
    end: watch::Sender<bool>,
}

impl PeerLinks {
    /// Begins to connect to a peer.
    pub(super) fn start(inner: &Arc<Inner>, peer: &Peer) -> Arc<Self> {
        let links = Arc::new(Self {
            node: peer.node,
            addresses: Mutex::new(peer.addresses.clone()),
            channels: CLASSES.map(|class| Arc::new(Channel::new(peer.node, class))),
            measure: Arc::new(Mutex::new(Measure::new(peer.node, inner.env.clock.monotonic()))),
            level: AtomicU32::new(0),
            redial: [const { Notify::const_new() }; 3],
            end: watch::Sender::new(false),
        });
        for class in CLASSES {
            let (inner, peer) = (Arc::clone(inner), Arc::clone(&links));
            let dialer = Dialer { inner, peer, class, end: links.end.subscribe() };
            let spawner = Arc::clone(&dialer.inner.env.spawner);
            spawner.spawn("dial", Box::pin(dialer.run()));
        }
        links
    }

    pub(super) fn channel(&self, class: Class) -> &Arc<Channel> {
        let [raft, request, bulk] = &self.channels;
        match class {
            Class::Raft => raft,
            Class::Request => request,
            Class::Bulk => bulk,
        }
    }

    pub(super) fn addresses(&self) -> Vec<String> {
        self.addresses.lock().clone()
    }

    /// Other addresses count from the next attempt on, which comes at once if they are new.
    pub(super) fn set_addresses(&self, addresses: &[String]) {
        let mut current = self.addresses.lock();
        if *current != addresses {
            *current = addresses.to_vec();
            drop(current);
            self.try_now();
        }
    }

    /// Connects at once where it waits to try again.
    pub(super) fn try_now(&self) {
        for redial in &self.redial {
            redial.notify_waiters();
        }
    }

    pub(super) fn level(&self) -> Option<u32> {
        Some(self.level.load(Ordering::Relaxed)).filter(|level| *level > 0)
    }

    #[cfg(test)]
    pub(super) fn is_up(&self) -> bool {
        self.channels.iter().all(|channel| channel.is_up())
    }

    /// Ends all connections to it.
    pub(super) fn stop(&self) {
        self.end.send_replace(true);
    }
}
