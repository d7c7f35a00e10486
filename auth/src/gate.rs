//! How many connections a service takes, in all and from one address.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
};

use parking_lot::Mutex;

/// Why a connection is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The service has as many connections as it takes.
    #[error("too many connections")]
    Full,
    /// This address has as many connections as one address may have.
    #[error("too many connections from this address")]
    AddressFull,
}

#[derive(Default)]
struct Counts {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// Counts the connections of one service. Cheap to clone; clones share the counts.
#[derive(Clone, Default)]
pub struct Gate(Arc<Mutex<Counts>>);

/// A place at the gate; given back when dropped.
pub struct Pass {
    gate: Gate,
    address: IpAddr,
}

impl Gate {
    /// A gate without connections.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a place for a connection from `address`, if there are fewer than `total` in all and fewer than
    /// `per_address` from there. An IPv6 /64 counts as one address.
    pub fn enter(&self, address: IpAddr, total: u64, per_address: u64) -> Result<Pass, Refused> {
        let address = network(address);
        let mut counts = self.0.lock();
        if counts.total as u64 >= total {
            return Err(Refused::Full);
        }
        let used = counts.by_address.get(&address).copied().unwrap_or(0);
        if used as u64 >= per_address {
            return Err(Refused::AddressFull);
        }
        counts.by_address.insert(address, used + 1);
        counts.total += 1;
        Ok(Pass { gate: self.clone(), address })
    }

    /// Connections now.
    pub fn connections(&self) -> usize {
        self.0.lock().total
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut counts = self.gate.0.lock();
        counts.total -= 1;
        if let Some(used) = counts.by_address.get_mut(&self.address) {
            *used -= 1;
            if *used == 0 {
                counts.by_address.remove(&self.address);
            }
        }
    }
}

pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let mut octets = v6.octets();
            octets[8..].fill(0);
            IpAddr::V6(Ipv6Addr::from(octets))
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_gate_opens_again_when_a_connection_ends() {
        let gate = Gate::new();
        let [a, b]: [IpAddr; 2] = ["192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap()];
        let first = gate.enter(a, 3, 2).unwrap();
        let _second = gate.enter(a, 3, 2).unwrap();
        assert_eq!(gate.enter(a, 3, 2).err(), Some(Refused::AddressFull));
        let _third = gate.enter(b, 3, 2).unwrap();
        assert_eq!(gate.enter(b, 3, 2).err(), Some(Refused::Full));
        drop(first);
        assert!(gate.enter(a, 3, 2).is_ok());
    }

    #[test]
    fn one_ipv6_network_is_one_address_and_mapped_ipv4_is_ipv4() {
        let gate = Gate::new();
        for (first, second) in [("2001:db8::1", "2001:db8::2:3"), ("::ffff:192.0.2.1", "192.0.2.1")]
        {
            let _pass = gate.enter(first.parse().unwrap(), 9, 1).unwrap();
            assert!(gate.enter(second.parse().unwrap(), 9, 1).is_err(), "{first} {second}");
        }
    }
}
