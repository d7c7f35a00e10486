//! Hosts of our own: a network namespace for each node, on a bridge that this process owns, with packet filters that
//! drop what shall not arrive.
//!
//! Only the network is separate: a node sees the same files as everybody, so that a test can fill or freeze its disk.
//! Needs root, iproute2 and nftables. What an earlier process left behind is removed first.

use std::{
    collections::BTreeSet,
    fs::File,
    io::Write,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
};

use anyhow::{Context, Result, bail, ensure};
use nix::sched::{CloneFlags, setns};

/// Begin of the names of all our links and namespaces; the process id follows.
const PREFIX: &str = "phf";
/// Mark of the relay's own connections, which are not redirected to it again.
const MARK: u32 = 0x77;
/// Where each host's relay to another node listens: this and the node's number.
const RELAY_PORT: u16 = 5000;

/// The networks that one process has made.
static MADE: AtomicU8 = AtomicU8::new(0);

/// A bridge and some hosts, numbered from 1. Dropped: all of it goes.
pub struct Hosts {
    tag: String,
    subnet: [u8; 3],
    count: usize,
    nodes_port: u16,
    drops: Mutex<BTreeSet<Drop>>,
}

/// A rule in the filter of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Drop {
    /// What comes from this host.
    From(usize, usize),
    /// Everything, both ways.
    All(usize),
}

impl Drop {
    fn host(self) -> usize {
        match self {
            Self::From(_, to) => to,
            Self::All(host) => host,
        }
    }
}

fn ip(words: &[&str]) -> Result<String> {
    let output = Command::new("ip").args(words).output().context("ip: install iproute2")?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "ip {}: {}", words.join(" "), error.trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether this process may make hosts; the reason if not.
pub fn possible() -> Result<()> {
    ensure!(nix::unistd::geteuid().is_root(), "network namespaces need root");
    for program in ["ip", "nft"] {
        let there = Command::new(program)
            .arg("-V")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok();
        ensure!(there, "{program} is missing: install iproute2 and nftables");
    }
    Ok(())
}

/// Removes what processes left behind that are gone.
fn sweep() -> Result<()> {
    let links = ip(&["-o", "link", "show"])?;
    let spaces = ip(&["netns", "list"])?;
    let dead = |name: &str| {
        let rest = name.strip_prefix(PREFIX)?;
        let pid: u32 = rest.split('x').next()?.parse().ok()?;
        (!PathBuf::from(format!("/proc/{pid}")).exists()).then(|| name.to_owned())
    };
    for name in spaces.split_whitespace().filter_map(dead) {
        let _ = ip(&["netns", "del", &name]);
    }
    for line in links.lines() {
        let name = line.split(": ").nth(1).and_then(|name| name.split('@').next()).and_then(dead);
        if let Some(name) = name {
            let _ = ip(&["link", "del", &name]);
        }
    }
    Ok(())
}

impl Hosts {
    /// Makes `count` hosts. Other nodes' port `nodes_port` is reached through the relay: [`Hosts::relay`].
    pub fn new(count: usize, nodes_port: u16) -> Result<Self> {
        possible()?;
        sweep()?;
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let pid = std::process::id();
        let subnet = [10, 128 + (pid >> 3 & 0x7f) as u8, ((pid & 7) as u8) << 5 | number & 31];
        let drops = Mutex::default();
        let hosts =
            Self { tag: format!("{PREFIX}{pid}x{number}"), subnet, count, nodes_port, drops };
        let bridge = hosts.bridge();
        ip(&["link", "add", &bridge, "type", "bridge"])?;
        ip(&["addr", "add", &format!("{}/24", hosts.ip(254)), "dev", &bridge])?;
        ip(&["link", "set", &bridge, "up"])?;
        for host in 1..=count {
            hosts.add(host)?;
        }
        Ok(hosts)
    }

    fn bridge(&self) -> String {
        format!("{}b", self.tag)
    }

    fn name(&self, host: usize) -> String {
        format!("{}n{host}", self.tag)
    }

    fn add(&self, host: usize) -> Result<()> {
        let (name, veth) = (self.name(host), format!("{}v{host}", self.tag));
        ip(&["netns", "add", &name])?;
        ip(&["link", "add", &veth, "type", "veth", "peer", "name", "eth0", "netns", &name])?;
        ip(&["link", "set", &veth, "master", &self.bridge(), "up"])?;
        ip(&["-n", &name, "addr", "add", &format!("{}/24", self.ip(host)), "dev", "eth0"])?;
        ip(&["-n", &name, "link", "set", "eth0", "up"])?;
        ip(&["-n", &name, "link", "set", "lo", "up"])?;
        let mut rules = String::from(
            "add table ip faults\n\
             add chain ip faults in { type filter hook input priority 0 ; policy accept ; }\n\
             add chain ip faults out { type filter hook output priority 0 ; policy accept ; }\n\
             add table ip relay\n\
             add chain ip relay out { type nat hook output priority -100 ; policy accept ; }\n",
        );
        for other in (1..=self.count).filter(|other| *other != host) {
            rules += &format!(
                "add rule ip relay out meta mark != {MARK} ip daddr {} tcp dport {} redirect to :{}\n",
                self.ip(other),
                self.nodes_port,
                RELAY_PORT + other as u16
            );
        }
        self.filter(host, &rules)
    }

    fn filter(&self, host: usize, rules: &str) -> Result<()> {
        let mut child = Command::new("ip")
            .args(["netns", "exec", &self.name(host), "nft", "-f", "-"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        child.stdin.take().context("no input")?.write_all(rules.as_bytes())?;
        let output = child.wait_with_output()?;
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "nft: {}", error.trim());
        Ok(())
    }

    /// Address of a host; 254 is this process.
    pub fn ip(&self, host: usize) -> Ipv4Addr {
        let [a, b, c] = self.subnet;
        Ipv4Addr::new(a, b, c, host as u8)
    }

    /// What to put before a program to run it there. The program keeps the process id.
    pub fn enter(&self, host: usize) -> Vec<String> {
        vec!["nsenter".into(), format!("--net=/run/netns/{}", self.name(host)), "--".into()]
    }

    /// Where connections of a host to node `to` arrive instead, and how the relay goes on from there.
    pub fn relay(&self, host: usize, to: usize) -> Result<(TcpListener, crate::relay::MakeSocket)> {
        let name = self.name(host);
        let listener = inside(&name, || {
            TcpListener::bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, RELAY_PORT + to as u16)))
        })??;
        let make = move || inside(&name, marked).map_err(std::io::Error::other)?;
        Ok((listener, Arc::new(make)))
    }

    /// What `from` sends is not received by `to` any more.
    pub fn block(&self, from: usize, to: usize) -> Result<()> {
        self.change(|drops| drops.insert(Drop::From(from, to)), to)
    }

    /// A host is lost without a word: nothing goes in or out, of nodes and of clients.
    pub fn lose(&self, host: usize) -> Result<()> {
        self.change(|drops| drops.insert(Drop::All(host)), host)
    }

    /// Packets arrive again.
    pub fn heal(&self) -> Result<()> {
        let all = std::mem::take(&mut *self.drops.lock().unwrap_or_else(PoisonError::into_inner));
        let hosts: BTreeSet<_> = all.into_iter().map(Drop::host).collect();
        hosts.into_iter().try_for_each(|host| self.change(|_| true, host))
    }

    fn change(&self, change: impl FnOnce(&mut BTreeSet<Drop>) -> bool, host: usize) -> Result<()> {
        let mut drops = self.drops.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut drops);
        let mut rules = String::from("flush chain ip faults in\nflush chain ip faults out\n");
        for drop in drops.iter().filter(|drop| drop.host() == host) {
            match drop {
                Drop::From(from, _) => {
                    let from = self.ip(*from);
                    rules += &format!("add rule ip faults in iifname eth0 ip saddr {from} drop\n");
                }
                Drop::All(_) => {
                    rules += "add rule ip faults in iifname eth0 drop\n\
                              add rule ip faults out oifname eth0 drop\n";
                }
            }
        }
        self.filter(host, &rules)
    }
}

impl std::ops::Drop for Hosts {
    fn drop(&mut self) {
        for host in 1..=self.count {
            let _ = ip(&["netns", "del", &self.name(host)]);
        }
        let _ = ip(&["link", "del", &self.bridge()]);
    }
}

/// Runs something on a thread of its own whose network is that of a namespace. What it opens stays there.
fn inside<T: Send>(name: &str, act: impl FnOnce() -> T + Send) -> Result<T> {
    let file = File::open(format!("/run/netns/{name}")).context("the namespace is gone")?;
    std::thread::scope(|scope| {
        let entered = scope.spawn(move || {
            setns(&file, CloneFlags::CLONE_NEWNET)?;
            anyhow::Ok(act())
        });
        entered.join().unwrap_or_else(|_| bail!("the thread in the namespace panicked"))
    })
}

/// A socket that the filter takes for the relay's.
fn marked() -> std::io::Result<TcpStream> {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, setsockopt, socket, sockopt::Mark};
    let flags = SockFlag::SOCK_CLOEXEC;
    let made = socket(AddressFamily::Inet, SockType::Stream, flags, None)?;
    setsockopt(&made, Mark, &MARK)?;
    Ok(TcpStream::from(made))
}

#[cfg(test)]
mod tests {
    use std::{io::Read, time::Duration};

    use super::*;
    use crate::relay::{Link, Relay, Source};

    const PORT: u16 = 4041;

    /// What host 2 says to a client of host 1.
    fn hello(hosts: &Hosts) -> Result<String> {
        let address = SocketAddr::from((hosts.ip(2), PORT));
        inside(&hosts.name(1), || {
            let mut stream = TcpStream::connect_timeout(&address, Duration::from_millis(300))?;
            stream.set_read_timeout(Some(Duration::from_millis(300)))?;
            let mut text = String::new();
            stream.read_to_string(&mut text)?;
            anyhow::Ok(text)
        })?
    }

    #[test]
    fn packets_between_hosts_pass_the_relay_and_are_dropped_as_told() {
        if let Err(reason) = possible() {
            eprintln!("left out: {reason}");
            return;
        }
        let hosts = Hosts::new(2, PORT).unwrap();
        let server = inside(&hosts.name(2), || TcpListener::bind(("0.0.0.0", PORT))).unwrap();
        let server = server.unwrap();
        std::thread::spawn(move || {
            for mut stream in server.incoming().flatten() {
                let _ = stream.write_all(b"hello");
            }
        });
        assert!(hello(&hosts).is_err(), "there is no relay yet");
        let relay = Relay::new().unwrap();
        let (listener, socket) = hosts.relay(1, 2).unwrap();
        let target = SocketAddr::from((hosts.ip(2), PORT));
        relay.serve(listener, Source::Node(1), 2, target, Some(socket)).unwrap();
        assert_eq!(hello(&hosts).unwrap(), "hello");
        relay.set(1, 2, Link::DARK);
        assert!(hello(&hosts).is_err(), "the relay is dark");
        relay.heal();
        for way in [(1, 2), (2, 1)] {
            hosts.block(way.0, way.1).unwrap();
            assert!(hello(&hosts).is_err(), "{way:?} is dropped");
            hosts.heal().unwrap();
            assert_eq!(hello(&hosts).unwrap(), "hello");
        }
        hosts.lose(2).unwrap();
        assert!(TcpStream::connect_timeout(&target, Duration::from_millis(300)).is_err());
        hosts.heal().unwrap();
        TcpStream::connect_timeout(&target, Duration::from_secs(5)).unwrap();
    }
}
