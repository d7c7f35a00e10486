//! Who tries out names: strangers that ask for too many unknown recipients are turned away for a while (F12.2-4, F12.2-5).

use std::{collections::HashMap, net::IpAddr, time::Duration};

use parking_lot::Mutex;

/// Unknown recipients from one address within [`WINDOW`] before it is turned away.
pub(crate) const MAX_UNKNOWN: u32 = 100;
/// Window, and how long an address is turned away at most.
const WINDOW: Duration = Duration::from_secs(3600);
/// Most addresses remembered.
const MAX_ADDRESSES: usize = 100_000;

#[derive(Debug, Default)]
pub(super) struct Harvest(Mutex<HashMap<IpAddr, (u32, Duration)>>);

impl Harvest {
    /// An unknown recipient was asked for. `now` is the monotonic clock.
    pub(super) fn note(&self, address: IpAddr, now: Duration) {
        if is_own_network(address) {
            return;
        }
        let mut counts = self.0.lock();
        if counts.len() >= MAX_ADDRESSES {
            counts.retain(|_, (_, start)| now.saturating_sub(*start) < WINDOW);
        }
        if counts.len() >= MAX_ADDRESSES {
            counts.clear();
        }
        let entry = counts.entry(address).or_insert((0, now));
        if now.saturating_sub(entry.1) >= WINDOW {
            *entry = (0, now);
        }
        entry.0 = entry.0.saturating_add(1);
    }

    /// Whether the address is turned away now.
    pub(super) fn is_blocked(&self, address: IpAddr, now: Duration) -> bool {
        let counts = self.0.lock();
        counts.get(&address).is_some_and(|(count, start)| {
            *count >= MAX_UNKNOWN && now.saturating_sub(*start) < WINDOW
        })
    }
}

/// Loopback, private and link-local addresses: the company's own devices.
fn is_own_network(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_who_tries_names_is_turned_away_for_an_hour() {
        let harvest = Harvest::default();
        let [stranger, own]: [IpAddr; 2] =
            ["192.0.2.1".parse().unwrap(), "192.168.1.1".parse().unwrap()];
        let start = Duration::from_secs(10);
        for _ in 0..MAX_UNKNOWN {
            assert!(!harvest.is_blocked(stranger, start));
            harvest.note(stranger, start);
            harvest.note(own, start);
        }
        assert!(harvest.is_blocked(stranger, start));
        assert!(!harvest.is_blocked(own, start));
        assert!(!harvest.is_blocked(stranger, start + WINDOW));
    }
}
