//! Connections whose other side is not known yet: few, and strangers push out only each other.

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
};

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// Most of them. Each may hold about 64 KiB.
pub(crate) const MAX_UNKNOWN: usize = 256;
/// Most of them from one address (IPv6: from one /64).
pub(crate) const MAX_OF_ADDRESS: usize = 64;

/// See the module. When it is full, the oldest has to go: whoever is known soon has long gone through.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    waiting: BTreeMap<u64, (IpAddr, oneshot::Sender<()>)>,
    counts: HashMap<IpAddr, usize>,
}

/// A place in the gate, until it is dropped.
#[derive(Debug)]
pub(crate) struct Pass {
    gate: Arc<Gate>,
    number: u64,
    /// Completes when the place is needed for somebody else.
    pub(crate) pushed_out: oneshot::Receiver<()>,
}

impl Gate {
    /// Lets a connection from `address` in.
    pub(crate) fn enter(self: &Arc<Self>, address: IpAddr) -> Pass {
        let address = network(address);
        let (sender, pushed_out) = oneshot::channel();
        let mut state = self.state.lock();
        let full = state.waiting.len() >= MAX_UNKNOWN;
        let greedy = state.counts.get(&address).is_some_and(|count| *count >= MAX_OF_ADDRESS);
        if full || greedy {
            let mut candidates = state.waiting.iter();
            let oldest = candidates.find(|(_, (of, _))| !greedy || *of == address);
            if let Some(number) = oldest.map(|(number, _)| *number) {
                state.leave(number);
            }
        }
        let number = state.next;
        state.next += 1;
        state.waiting.insert(number, (address, sender));
        *state.counts.entry(address).or_default() += 1;
        Pass { gate: Arc::clone(self), number, pushed_out }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.state.lock().waiting.len()
    }
}

impl State {
    fn leave(&mut self, number: u64) {
        let Some((address, _)) = self.waiting.remove(&number) else { return };
        if let Some(count) = self.counts.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&address);
            }
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.gate.state.lock().leave(self.number);
    }
}

/// What counts as one address.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from(u128::from(v6) >> 64 << 64).into(),
        v4 => v4,
    }
}
