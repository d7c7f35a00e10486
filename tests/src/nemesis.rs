//! What breaks a cluster: one fault after the other, chosen and timed by a seed.
//!
//! A fault begins, lasts for a while under load, and ends; a minority of the nodes is hit at most, unless the kind says
//! otherwise. Everything is mended between rounds, so that a round's history can be judged.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::{
    cluster::{TestCluster, wait},
    load::Load,
    relay::Link,
};

pub mod disk;

use disk::Disk;

/// Kinds of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// kill -9 of a node, and its start.
    Kill,
    /// kill -9 of the leader of a store.
    KillLeader,
    /// A planned stop, and the start.
    Stop,
    /// SIGSTOP of a node longer than any lease, and SIGCONT.
    Pause,
    /// SIGSTOP of the leader of a store, and SIGCONT.
    PauseLeader,
    /// All links of a node dark.
    Partition,
    /// What one node sends to the others does not arrive.
    OneWay,
    /// Two nodes do not see each other, a third one sees both.
    Bridge,
    /// A node's packets are dropped, clients' too: a host that is gone without a word.
    HostLost,
    /// Packets from one node to another are dropped.
    PacketsOneWay,
    /// Links are cut one by one and mended in another order.
    Swizzle,
    /// All links slow and uneven.
    Delay,
    /// Pieces wait for retransmission.
    Loss,
    /// Links of a node narrow.
    Narrow,
    /// Connections between nodes broken again and again.
    Reset,
    /// The disk of a node full.
    DiskFull,
    /// The disk of a node read-only, then writable again and the node started anew.
    ReadOnly,
    /// A sync of a node fails with EIO.
    SyncError,
    /// A node's clock ahead or back, up to a year.
    Clock,
    /// All nodes killed at once, and started.
    KillAll,
    /// All nodes stopped and started, one after the other.
    Rolling,
    /// Bytes flipped in the bodies of a node that is down, and its start.
    FlipBody,
}

impl Fault {
    /// All kinds.
    pub const ALL: &[Self] = &[
        Self::Kill,
        Self::KillLeader,
        Self::Stop,
        Self::Pause,
        Self::PauseLeader,
        Self::Partition,
        Self::OneWay,
        Self::Bridge,
        Self::HostLost,
        Self::PacketsOneWay,
        Self::Swizzle,
        Self::Delay,
        Self::Loss,
        Self::Narrow,
        Self::Reset,
        Self::DiskFull,
        Self::ReadOnly,
        Self::SyncError,
        Self::Clock,
        Self::KillAll,
        Self::Rolling,
        Self::FlipBody,
    ];

    /// Whether it is about links only: something else can break at the same time.
    pub fn is_about_links(self) -> bool {
        use Fault::{Bridge, Delay, Loss, Narrow, OneWay, Partition};
        matches!(self, Partition | OneWay | Bridge | Delay | Loss | Narrow)
    }
}

/// Numbers from a seed.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// The same seed throws the same numbers.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d)
    }

    /// Below `end`, which is not 0.
    pub fn below(&mut self, end: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % end
    }

    /// One of some.
    pub fn pick<T: Copy>(&mut self, some: &[T]) -> T {
        some[self.below(some.len())]
    }

    /// In another order.
    pub fn shuffle<T>(&mut self, some: &mut [T]) {
        for at in (1..some.len()).rev() {
            some.swap(at, self.below(at + 1));
        }
    }

    fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.below((to - from) as usize) as u64)
    }
}

/// Breaks a cluster.
pub struct Nemesis<'a> {
    /// The cluster.
    pub cluster: &'a mut TestCluster,
    /// The clients, which are told where nodes are after a start.
    pub load: &'a Load,
    /// File systems of the nodes, by number from 1; empty if they have none.
    pub disks: &'a mut [Disk],
    /// Nodes whose clock can be moved, and the file with its offset.
    pub clocks: &'a [(usize, PathBuf)],
    /// Chance.
    pub dice: Dice,
}

impl Nemesis<'_> {
    /// Injects one fault, from its begin to its end; what was done, for the report.
    pub fn inject(&mut self, fault: Fault) -> Result<String> {
        let node = 1 + self.dice.below(self.cluster.count());
        let other = 1 + (node + self.dice.below(self.cluster.count() - 1)) % self.cluster.count();
        match fault {
            Fault::Kill => self.kill(node),
            Fault::KillLeader => {
                let node = self.leader();
                self.kill(node)
            }
            Fault::Stop => self.stop(node),
            Fault::Pause => self.pause(node),
            Fault::PauseLeader => {
                let node = self.leader();
                self.pause(node)
            }
            Fault::Partition
            | Fault::OneWay
            | Fault::Bridge
            | Fault::Delay
            | Fault::Loss
            | Fault::Narrow => {
                let text = self.begin(fault)?;
                self.rest(600, 1800);
                self.mend()?;
                Ok(text)
            }
            Fault::HostLost | Fault::PacketsOneWay => self.packets(fault, node, other),
            Fault::Swizzle => self.swizzle(),
            Fault::Reset => self.reset(node),
            Fault::DiskFull => self.disk_full(node),
            Fault::ReadOnly => self.read_only(node),
            Fault::SyncError => self.sync_error(node),
            Fault::Clock => self.clock(),
            Fault::KillAll => self.kill_all(),
            Fault::Rolling => self.rolling(),
            Fault::FlipBody => self.flip(node),
        }
    }

    fn rest(&mut self, from: u64, to: u64) {
        let time = self.dice.millis(from, to);
        std::thread::sleep(time);
    }

    /// Who leads the store of the mailboxes, as somebody says; any node if nobody does.
    fn leader(&mut self) -> usize {
        let asked = self.dice.pick(&self.cluster.running());
        let leader = self.cluster.leader(asked, 1).ok().flatten();
        leader.filter(|leader| self.cluster.node(*leader).is_running()).unwrap_or(asked)
    }

    fn start(&mut self, node: usize) -> Result<()> {
        self.cluster.restart(node)?;
        self.load.refresh(self.cluster);
        Ok(())
    }

    fn kill(&mut self, node: usize) -> Result<String> {
        self.cluster.kill(node)?;
        self.load.refresh(self.cluster);
        self.rest(50, 900);
        self.start(node)?;
        self.rest(100, 400);
        Ok(format!("killed node {node}"))
    }

    fn stop(&mut self, node: usize) -> Result<String> {
        self.cluster.stop(node)?;
        self.load.refresh(self.cluster);
        self.rest(50, 400);
        self.start(node)?;
        self.rest(100, 400);
        Ok(format!("stopped node {node}"))
    }

    fn pause(&mut self, node: usize) -> Result<String> {
        self.cluster.pause(node, true)?;
        self.rest(300, 1800);
        self.cluster.pause(node, false)?;
        self.rest(100, 400);
        Ok(format!("paused node {node}"))
    }

    /// Makes links worse until [`Nemesis::mend`].
    pub fn begin(&mut self, fault: Fault) -> Result<String> {
        let count = self.cluster.count();
        let node = 1 + self.dice.below(count);
        let others: Vec<_> = (1..=count).filter(|other| *other != node).collect();
        let other = self.dice.pick(&others);
        let (delay, jitter) = (self.dice.millis(10, 150), self.dice.millis(1, 100));
        let relay = &self.cluster.relay;
        let all = |link: Link| {
            for one in 1..=count {
                (1..one).for_each(|other| relay.set_both(one, other, link));
            }
        };
        let links = |link: Link| others.iter().for_each(|to| relay.set_both(node, *to, link));
        Ok(match fault {
            Fault::Partition => {
                links(Link::DARK);
                format!("node {node} cut off")
            }
            Fault::OneWay => {
                others.iter().for_each(|to| relay.set(node, *to, Link::DARK));
                format!("nothing from node {node} arrives")
            }
            Fault::Bridge => {
                relay.set_both(node, other, Link::DARK);
                format!("nodes {node} and {other} do not see each other")
            }
            Fault::Delay => {
                all(Link::slow(delay, jitter));
                format!("all links take {} ms and more", delay.as_millis())
            }
            Fault::Loss => {
                all(Link { stall: 0.05, ..Link::default() });
                "all links lossy".to_owned()
            }
            Fault::Narrow => {
                links(Link { rate: 200_000, ..Link::default() });
                format!("links of node {node} narrow")
            }
            _ => bail!("{fault:?} is not about links"),
        })
    }

    /// All links are good again.
    pub fn mend(&mut self) -> Result<()> {
        self.cluster.heal()?;
        self.rest(100, 400);
        Ok(())
    }

    fn packets(&mut self, fault: Fault, node: usize, other: usize) -> Result<String> {
        let hosts = self.cluster.hosts.as_ref().context("there are no hosts")?;
        let text = if fault == Fault::HostLost {
            hosts.lose(node)?;
            format!("host {node} is lost")
        } else {
            hosts.block(node, other)?;
            format!("packets from host {node} to {other} are dropped")
        };
        self.rest(600, 1800);
        self.mend()?;
        Ok(text)
    }

    fn swizzle(&mut self) -> Result<String> {
        let count = self.cluster.count();
        let mut links: Vec<_> =
            (1..=count).flat_map(|one| (1..one).map(move |other| (one, other))).collect();
        for link in [Link::DARK, Link::default()] {
            self.dice.shuffle(&mut links);
            for (one, other) in &links {
                self.cluster.relay.set_both(*one, *other, link);
                self.rest(20, 250);
            }
        }
        self.mend()?;
        Ok("links cut and mended one by one".to_owned())
    }

    fn reset(&mut self, node: usize) -> Result<String> {
        for _ in 0..5 {
            for other in (1..=self.cluster.count()).filter(|other| *other != node) {
                self.cluster.relay.reset(node, other);
            }
            self.rest(20, 150);
        }
        Ok(format!("connections of node {node} reset"))
    }

    fn disk(&mut self, node: usize) -> Result<&mut Disk> {
        self.disks.get_mut(node - 1).context("nodes have no disks of their own")
    }

    fn disk_full(&mut self, node: usize) -> Result<String> {
        let before = self.cluster.node(node).log().len();
        self.disk(node)?.fill()?;
        self.rest(500, 1500);
        self.disk(node)?.free()?;
        self.rest(200, 600);
        let log = self.cluster.node(node).log();
        let mut text = format!("disk of node {node} full");
        // what the database could not write is final for the process, as a failed sync is
        if log.get(before..).is_some_and(|new| new.contains("applies nothing more")) {
            self.end(node)?;
            self.start(node)?;
            self.rest(100, 400);
            text += ", which had to be started anew";
        }
        Ok(text)
    }

    fn read_only(&mut self, node: usize) -> Result<String> {
        self.disk(node)?.freeze_writes(true)?;
        self.rest(400, 1200);
        // a log that could not be written is final for the process
        self.end(node)?;
        self.disk(node)?.freeze_writes(false)?;
        self.start(node)?;
        self.rest(100, 400);
        Ok(format!("disk of node {node} read-only"))
    }

    /// Kills a node unless it has ended by itself.
    fn end(&mut self, node: usize) -> Result<()> {
        self.cluster.kill(node)?;
        self.load.refresh(self.cluster);
        Ok(())
    }

    fn sync_error(&mut self, node: usize) -> Result<String> {
        let when = 1 + self.dice.below(20);
        let mut strace = inject(self.cluster.node(node).pid(), when)?;
        self.rest(500, 1200);
        // ends with the node, or is told to
        let _ = nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(strace.id() as i32),
            nix::sys::signal::Signal::SIGTERM,
        );
        let _ = strace.wait();
        self.end(node)?;
        self.start(node)?;
        self.rest(100, 400);
        Ok(format!("sync {when} of node {node} failed"))
    }

    fn clock(&mut self) -> Result<String> {
        ensure!(!self.clocks.is_empty(), "clocks cannot be moved");
        let (node, file) = self.clocks[self.dice.below(self.clocks.len())].clone();
        let offset: &str = self.dice.pick(&["+1h", "-1h", "+1y", "-3d", "+47", "-9"]);
        fs::write(&file, offset)?;
        self.rest(1100, 1800);
        fs::write(&file, "+0")?;
        self.rest(200, 600);
        Ok(format!("clock of node {node} {offset}"))
    }

    fn kill_all(&mut self) -> Result<String> {
        for node in 1..=self.cluster.count() {
            self.cluster.kill(node)?;
        }
        self.load.refresh(self.cluster);
        for node in 1..=self.cluster.count() {
            self.cluster.restart(node)?;
        }
        self.load.refresh(self.cluster);
        self.rest(200, 600);
        Ok("all nodes killed".to_owned())
    }

    fn rolling(&mut self) -> Result<String> {
        for node in 1..=self.cluster.count() {
            self.cluster.stop(node)?;
            self.load.refresh(self.cluster);
            self.start(node)?;
            self.rest(200, 500);
        }
        Ok("all nodes stopped and started in turn".to_owned())
    }

    fn flip(&mut self, node: usize) -> Result<String> {
        self.end(node)?;
        let flipped = flip_body(self.cluster.node(node).data(), &mut self.dice)?;
        let flipped = flipped.map_or("nothing".to_owned(), |path| path.display().to_string());
        self.start(node)?;
        self.rest(100, 400);
        Ok(format!("a bit of {flipped} of node {node} flipped"))
    }

    /// Everything runs and is connected again.
    pub fn mend_all(&mut self) -> Result<()> {
        self.cluster.heal()?;
        for (_, file) in self.clocks {
            fs::write(file, "+0")?;
        }
        for disk in &mut *self.disks {
            disk.freeze_writes(false)?;
            disk.free()?;
        }
        for node in 1..=self.cluster.count() {
            if self.cluster.node(node).is_running() {
                let _ = self.cluster.pause(node, false);
            } else {
                self.cluster.restart(node)?;
            }
        }
        self.load.refresh(self.cluster);
        Ok(())
    }
}

/// What to put before a program so that its wall clock is moved by what stands in a file (`+1h`), and nothing else.
pub fn moved_clock(file: &Path) -> Vec<String> {
    let folder = format!("/usr/lib/{}-linux-gnu/faketime", std::env::consts::ARCH);
    let words = [
        "env".to_owned(),
        format!("LD_PRELOAD={folder}/libfaketime.so.1"),
        format!("FAKETIME_TIMESTAMP_FILE={}", file.display()),
        "FAKETIME_CACHE_DURATION=1".to_owned(),
        "FAKETIME_DONT_FAKE_MONOTONIC=1".to_owned(),
    ];
    words.to_vec()
}

/// Makes the `when`th sync of a process from now on fail.
fn inject(pid: u32, when: usize) -> Result<Child> {
    let rule = format!("inject=fsync,fdatasync,sync_file_range:error=EIO:when={when}");
    let child = Command::new("strace")
        .args(["-f", "-q", "-e", "trace=fsync,fdatasync,sync_file_range", "-e", &rule, "-p"])
        .arg(pid.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("strace is missing: install strace")?;
    let traced = || fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    wait(Duration::from_secs(10), || {
        let text = traced();
        ensure!(!text.is_empty() && !text.contains("TracerPid:\t0"), "strace does not attach");
        Ok(())
    })?;
    Ok(child)
}

/// Flips one bit in a file of bodies, if there is any.
fn flip_body(data: &Path, dice: &mut Dice) -> Result<Option<PathBuf>> {
    let mut files = Vec::new();
    for store in fs::read_dir(data)?.flatten() {
        let bodies = store.path().join("bodies");
        if let Ok(entries) = fs::read_dir(&bodies) {
            files.extend(entries.flatten().map(|entry| entry.path()));
        }
    }
    files.retain(|path| fs::metadata(path).is_ok_and(|of| of.is_file() && of.len() > 4096));
    files.sort();
    if files.is_empty() {
        return Ok(None);
    }
    let path = files.swap_remove(dice.below(files.len()));
    let mut bytes = fs::read(&path)?;
    // where something stands, not in what was allocated ahead
    let end = bytes.iter().rposition(|byte| *byte != 0).context("an empty file")?;
    let at = dice.below(end.max(1));
    bytes[at] ^= 1 << dice.below(8);
    fs::write(&path, bytes)?;
    Ok(Some(path.strip_prefix(data).unwrap_or(&path).to_owned()))
}
