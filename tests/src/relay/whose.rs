//! Which node opened a connection on loopback: the kernel knows which process has the socket.

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
};

/// Process ids of nodes by their number; those of nodes that do not run are left out.
#[derive(Clone, Debug, Default)]
pub struct Pids(Arc<Mutex<Vec<(usize, u32)>>>);

impl Pids {
    /// Node `node` is process `pid` from now on; 0 is none.
    pub fn set(&self, node: usize, pid: u32) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|(other, _)| *other != node);
        if pid != 0 {
            all.push((node, pid));
        }
    }

    /// The node that has the socket at `address`, connected to `to`.
    pub(super) fn owner(&self, address: SocketAddr, to: SocketAddr) -> Option<usize> {
        let (address, to) = (hex(address)?, hex(to)?);
        let table = fs::read_to_string("/proc/net/tcp").ok()?;
        let inode = table.lines().find_map(|line| {
            let fields: Vec<_> = line.split_whitespace().collect();
            (*fields.get(1)? == address && *fields.get(2)? == to).then(|| fields.get(9).copied())?
        })?;
        let wanted = format!("socket:[{inode}]");
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        all.into_iter().find(|(_, pid)| has(*pid, &wanted)).map(|(node, _)| node)
    }
}

fn has(pid: u32, socket: &str) -> bool {
    let Ok(open) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    open.flatten()
        .any(|entry| fs::read_link(entry.path()).is_ok_and(|link| link.to_str() == Some(socket)))
}

/// As in `/proc/net/tcp`: the address as a number of this machine, and the port.
fn hex(address: SocketAddr) -> Option<String> {
    let IpAddr::V4(ip) = address.ip() else { return None };
    Some(format!("{:08X}:{:04X}", u32::from_le_bytes(ip.octets()), address.port()))
}
