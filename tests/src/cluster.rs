//! A cluster of real nodes: processes that joined each other by code, with a relay on every link between them.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::PathBuf,
    sync::atomic::{AtomicU8, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::{
    netns::Hosts,
    node::{NodeOptions, TestNode},
    relay::{Link, Pids, Relay, Source},
};

/// Where nodes listen for each other.
const NODES_PORT: u16 = 4041;
/// Where they do behind a relay on loopback, which has the port above.
const HIDDEN_PORT: u16 = 4042;

/// Longest wait for a cluster to become whole.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Clusters of this process: each has loopback addresses of its own.
static MADE: AtomicU8 = AtomicU8::new(0);

/// How to start a cluster.
#[derive(Clone, Debug, Default)]
pub struct ClusterOptions {
    /// Site of each node; as many as there are nodes.
    pub sites: Vec<String>,
    /// A network namespace for each node instead of loopback (needs root).
    pub namespaces: bool,
    /// Where each node keeps its data; temporary folders if left out.
    pub data: Vec<PathBuf>,
    /// Environment of all nodes.
    pub environment: Vec<(String, String)>,
    /// Put before the program of each node; none if left out.
    pub wrappers: Vec<Vec<String>>,
    /// Text to append to the answers of the first node.
    pub more_answers: String,
    /// Lines to begin `node.toml` of all nodes with.
    pub more_node_toml: String,
}

impl ClusterOptions {
    /// So many nodes in one site.
    pub fn nodes(count: usize) -> Self {
        Self { sites: vec!["main".to_owned(); count], ..Self::default() }
    }
}

/// Nodes, numbered from 1 as they joined, with links that can be made bad.
pub struct TestCluster {
    nodes: Vec<TestNode>,
    options: ClusterOptions,
    /// Links between nodes, by their numbers.
    pub relay: Relay,
    /// The namespaces, if there are any.
    pub hosts: Option<Hosts>,
    pids: Pids,
    loopback: [u8; 2],
    /// Nodes that have relays in front of them.
    connected: usize,
}

impl TestCluster {
    /// `count` nodes in one site, joined one after the other and whole.
    pub fn start(count: usize) -> Result<Self> {
        Self::with(ClusterOptions::nodes(count))
    }

    /// A cluster as `options` say, whole.
    pub fn with(options: ClusterOptions) -> Result<Self> {
        let pid = std::process::id();
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        // 127.0 is everybody's
        let loopback = [64 | (pid >> 5 & 0x3f) as u8, ((pid & 31) as u8) << 3 | number & 7];
        let hosts = options
            .namespaces
            .then(|| Hosts::new(options.sites.len().max(MOST_NODES), NODES_PORT))
            .transpose()?;
        let (relay, pids) = (Relay::new()?, Pids::default());
        let sites = options.sites.clone();
        let mut cluster =
            Self { nodes: Vec::new(), options, relay, hosts, pids, loopback, connected: 0 };
        for site in sites {
            cluster.add(&site)?;
        }
        cluster.wait_until_whole()?;
        Ok(cluster)
    }

    /// Host name of a node.
    pub fn host(number: usize) -> String {
        format!("n{number}.example.test")
    }

    /// Address of a node.
    fn ip(&self, number: usize) -> Ipv4Addr {
        match &self.hosts {
            Some(hosts) => hosts.ip(number),
            None => Ipv4Addr::new(127, self.loopback[0], self.loopback[1], number as u8),
        }
    }

    /// Invites a node and lets it join. The first one makes the domain.
    pub fn add(&mut self, site: &str) -> Result<usize> {
        let join = match self.nodes.iter().position(TestNode::is_running) {
            Some(member) => Some(self.invite(member + 1)?),
            None => None,
        };
        self.add_with(site, join)
    }

    /// Makes a code.
    pub fn invite(&self, member: usize) -> Result<String> {
        // a node that has just begun is not listed with its addresses yet
        let made = wait(PATIENCE, || self.node(member).json(["cluster", "invite"]))?;
        Ok(made["code"].as_str().context("no code")?.to_owned())
    }

    /// Lets a node join with a code; without one it makes the domain.
    pub fn add_with(&mut self, site: &str, join: Option<String>) -> Result<usize> {
        let number = self.nodes.len() + 1;
        let options = self.node_options(number, site, join)?;
        if self.connected < number {
            self.connect(number)?;
            self.connected = number;
        }
        let node = TestNode::with(options).with_context(|| format!("node {number}"))?;
        self.nodes.push(node);
        self.started(number);
        Ok(number)
    }

    /// How a node starts.
    pub fn node_options(
        &self,
        number: usize,
        site: &str,
        join: Option<String>,
    ) -> Result<NodeOptions> {
        let link = format!("{}:{NODES_PORT}", self.ip(number));
        let (profile, listen) = match &self.hosts {
            Some(_) => ("standard", format!("0.0.0.0:{NODES_PORT}")),
            None => ("free", format!("{}:{HIDDEN_PORT}", self.ip(number))),
        };
        let enter = self.hosts.as_ref().map(|hosts| hosts.enter(number)).unwrap_or_default();
        let more = &self.options.more_node_toml;
        Ok(NodeOptions {
            enter,
            wrapper: self.options.wrappers.get(number - 1).cloned().unwrap_or_default(),
            environment: self.options.environment.clone(),
            node_toml: Some(format!(
                "{more}profile = '{profile}'\nadvertise = ['{link}']\n[listen]\nnodes = ['{listen}']\n"
            )),
            data: self.options.data.get(number - 1).cloned(),
            listen: Some(profile),
            host: Some(Self::host(number)),
            site: Some(site.to_owned()),
            more_answers: if join.is_none() {
                self.options.more_answers.clone()
            } else {
                String::new()
            },
            link: join.is_some().then_some(link),
            join,
            ..NodeOptions::default()
        })
    }

    /// Puts relays in front of a node.
    fn connect(&self, number: usize) -> Result<()> {
        let Some(hosts) = &self.hosts else {
            let listener = TcpListener::bind((self.ip(number), NODES_PORT))?;
            let target = SocketAddr::from((self.ip(number), HIDDEN_PORT));
            return self.relay.serve(
                listener,
                Source::Process(self.pids.clone()),
                number,
                target,
                None,
            );
        };
        for other in 1..number {
            for (from, to) in [(number, other), (other, number)] {
                let (listener, socket) = hosts.relay(from, to)?;
                let target = SocketAddr::from((hosts.ip(to), NODES_PORT));
                self.relay.serve(listener, Source::Node(from), to, target, Some(socket))?;
            }
        }
        Ok(())
    }

    fn started(&mut self, number: usize) {
        let ip = self.hosts.as_ref().map(|hosts| hosts.ip(number));
        let node = &mut self.nodes[number - 1];
        self.pids.set(number, node.pid());
        for address in node.ports.values_mut() {
            if let Some(ip) = ip {
                address.set_ip(ip.into());
            }
        }
        // What it opened before anybody knew its process is taken for a stranger's: it has to open that anew.
        for other in 1..=self.nodes.len() {
            self.relay.reset_strangers(other);
        }
    }

    /// How many nodes there are, running or not.
    pub fn count(&self) -> usize {
        self.nodes.len()
    }

    /// A node.
    pub fn node(&self, number: usize) -> &TestNode {
        &self.nodes[number - 1]
    }

    /// A node, to change how it starts.
    pub fn node_mut(&mut self, number: usize) -> &mut TestNode {
        &mut self.nodes[number - 1]
    }

    /// Numbers of the nodes that run.
    pub fn running(&self) -> Vec<usize> {
        (1..=self.count()).filter(|number| self.node(*number).is_running()).collect()
    }

    /// Kills a node as kill -9 does.
    pub fn kill(&mut self, number: usize) -> Result<()> {
        self.pids.set(number, 0);
        self.node_mut(number).kill().map(|_| ())
    }

    /// Stops a node as systemd does, and waits.
    pub fn stop(&mut self, number: usize) -> Result<()> {
        let status = self.node_mut(number).stop()?;
        self.pids.set(number, 0);
        ensure!(status.success(), "node {number} ended with {status}");
        Ok(())
    }

    /// Starts a node again.
    pub fn restart(&mut self, number: usize) -> Result<()> {
        self.node_mut(number).spawn().with_context(|| format!("node {number}"))?;
        self.started(number);
        Ok(())
    }

    /// Freezes a node's process, or lets it go on.
    pub fn pause(&self, number: usize, paused: bool) -> Result<()> {
        self.node(number).send(if paused { Signal::SIGSTOP } else { Signal::SIGCONT })
    }

    /// Cuts all links between `these` nodes and the others; nobody is told.
    pub fn cut(&self, these: &[usize]) {
        for one in these {
            for other in (1..=self.count()).filter(|other| !these.contains(other)) {
                self.relay.set_both(*one, other, Link::DARK);
            }
        }
    }

    /// All links are good again, and packets arrive.
    pub fn heal(&self) -> Result<()> {
        self.relay.heal();
        self.hosts.as_ref().map_or(Ok(()), Hosts::heal)
    }

    /// What a node says about the cluster.
    pub fn status(&self, number: usize) -> Result<Value> {
        self.node(number).json(["cluster", "status"])
    }

    /// Who leads a store, or the domain group (0), as a node says.
    pub fn leader(&self, number: usize, group: u64) -> Result<Option<usize>> {
        let status = self.status(number)?;
        let leader = if group == 0 {
            status["domain_group"]["leader"].as_u64()
        } else {
            let stores = status["stores"].as_array().map(Vec::as_slice).unwrap_or_default();
            let store = stores.iter().find(|store| store["id"].as_u64() == Some(group));
            store.and_then(|store| store["leader"].as_u64())
        };
        Ok(leader.map(|leader| leader as usize))
    }

    /// Waits until there is a leader, as node `number` says, that `wanted` accepts.
    pub fn wait_for_leader(
        &self,
        number: usize,
        group: u64,
        wanted: impl Fn(usize) -> bool,
    ) -> Result<usize> {
        wait(PATIENCE, || {
            let leader = self.leader(number, group)?;
            leader.filter(|leader| wanted(*leader)).with_context(|| format!("leader: {leader:?}"))
        })
    }

    /// Waits until all running nodes say that every group has its voters, and every replica has everything.
    pub fn wait_until_whole(&self) -> Result<()> {
        for number in self.running() {
            wait(PATIENCE, || match self.missing(number)? {
                problems if problems.is_empty() => Ok(()),
                problems => bail!("node {number} says: {}", problems.join(", ")),
            })
            .with_context(|| format!("the cluster does not become whole:\n{}", self.logs()))?;
        }
        Ok(())
    }

    /// Waits until no message waits in a spool any more.
    pub fn wait_until_delivered(&self) -> Result<()> {
        let asked = *self.running().first().context("no node runs")?;
        wait(PATIENCE, || {
            let queue = self.node(asked).json(["queue", "list"])?;
            let waits = queue.as_array().context("no list")?.len();
            if waits > 0 {
                self.node(asked).command(["queue", "retry"])?;
                std::thread::sleep(Duration::from_millis(300));
                bail!("{waits} messages wait: {}", queue[0]);
            }
            Ok(())
        })
    }

    /// What is missing in the eyes of a node.
    fn missing(&self, number: usize) -> Result<Vec<String>> {
        let status = self.status(number)?;
        let running = self.running().len();
        let mut problems = Vec::new();
        let domain = &status["domain_group"];
        if domain["quorum"] != true {
            problems.push("the domain group has no majority".to_owned());
        }
        let voters = domain["voters"].as_array().map_or(0, Vec::len);
        if voters < running.min(5) - usize::from(running.is_multiple_of(2) && running < 5) {
            problems.push(format!("the domain group has {voters} voters"));
        }
        let stores = status["stores"].as_array().map(Vec::as_slice).unwrap_or_default();
        if stores.is_empty() {
            problems.push("there are no stores".to_owned());
        }
        for store in stores {
            let name = &store["id"];
            let replicas = store["replicas"].as_array().map(Vec::as_slice).unwrap_or_default();
            if store["quorum"] != true || store["leader"].is_null() {
                problems.push(format!("store {name} is not led"));
            }
            if (replicas.len() as u64) < store["wanted"].as_u64().unwrap_or(1).min(running as u64) {
                problems.push(format!("store {name} has {} replicas", replicas.len()));
            }
            let voters = replicas.iter().filter(|replica| replica["voter"] == true).count();
            if replicas.len() > 2
                && voters + usize::from(replicas.len().is_multiple_of(2)) < replicas.len()
            {
                problems.push(format!("store {name} has {voters} voters"));
            }
            for replica in replicas.iter().filter(|replica| replica["complete"] != true) {
                problems.push(format!("store {name} is not complete on node {}", replica["node"]));
            }
        }
        Ok(problems)
    }

    /// The last lines of all nodes' logs.
    pub fn logs(&self) -> String {
        let last = |number: usize| {
            let log = self.node(number).log();
            let lines: Vec<_> = log.lines().collect();
            let last = &lines[lines.len().saturating_sub(25)..];
            format!("-- node {number}\n{}\n", last.join("\n"))
        };
        (1..=self.count()).map(last).collect()
    }
}

/// Hosts that are made so that more nodes can join.
const MOST_NODES: usize = 5;

/// Tries until it works; the last error if it does not in time.
pub fn wait<T>(patience: Duration, mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    let deadline = Instant::now() + patience;
    loop {
        match attempt() {
            Ok(done) => return Ok(done),
            Err(error) if Instant::now() >= deadline => return Err(error),
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}
