//! The services of a node that is set up: started together, watched, stopped together.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result, bail};
use metrics_exporter_prometheus::PrometheusHandle;
use posthouse_auth::{Gate, ServerTls};
use posthouse_cluster::GroupStatus;
use posthouse_directory::key;
use posthouse_http::{ConnectionLimits, LocalToken, ServeOptions};
use posthouse_provisioning::Parts;
use tokio::{net::TcpListener, task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{Listeners, VERSION, caretaker, cluster, keeper, sources, wait};
use crate::{
    certificates,
    config::{Layout, NodeConfig, Port},
    start::Open,
};

/// How long services may take to end their connections.
const DRAIN: Duration = Duration::from_secs(10);
/// How often certificate files and the state of the groups are looked at.
const WATCH: Duration = Duration::from_secs(5);
/// Where the source of this program can be had (AGPL-3.0 §13): the pages lead there.
const SOURCE: &str = "see the Source link of the web pages";
/// What SQLite and the system say when a disk is full.
const FULL: [&str; 2] = ["disk is full", "No space left"];
/// Free bytes with which a node starts anew after its disk was full: the log takes so much at once.
const ROOM: u64 = 256 << 20;
/// How often the node's own certificate is renewed where it is about to expire.
const RENEWAL: Duration = Duration::from_secs(24 * 3600);
/// Connections to the set-up pages.
pub(super) const SETUP_LIMITS: ConnectionLimits = ConnectionLimits { total: 200, per_address: 50 };

/// What services are made from.
pub(super) struct Node<'a> {
    pub(super) layout: &'a Layout,
    pub(super) config: &'a NodeConfig,
    pub(super) tls: ServerTls,
    pub(super) open: &'a Open,
    pub(super) metrics: PrometheusHandle,
}

/// HTTP options with fixed limits.
pub(super) fn http_options(
    tls: Option<ServerTls>,
    gate: Gate,
    limits: ConnectionLimits,
) -> ServeOptions {
    ServeOptions { tls, gate, limits: Arc::new(move || limits) }
}

/// How services ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Told to.
    Stopped,
    /// The disk was full when a database had to be written, and has room again: everything that was agreed on is
    /// in the log, and a new start applies it.
    Anew,
}

/// Runs all services until `stop`, or until one of them fails.
pub(super) async fn run(
    node: Node<'_>,
    listeners: Listeners,
    stop: CancellationToken,
) -> Result<End> {
    let parts = node.open.parts.clone();
    let mut tasks = JoinSet::new();
    let sources = sources::Sources::start(&parts);
    let cluster =
        cluster::Cluster::new(node.open, node.layout, node.config, sources.clone(), stop.clone());
    let sources = Arc::new(cluster::ClusterSources { own: sources, cluster: cluster.clone() });
    let starter = Starter::new(&node, &parts, sources, cluster.control(), stop.clone())?;
    // Only now: the command line that finds these addresses needs the token, too.
    super::publish(node.layout, &listeners, Some(node.open.links.local_addr()))?;
    let mut shown = Vec::new();
    for (port, listener) in listeners {
        shown.push(format!("{} {}", port.name(), listener.local_addr()?));
        starter.start(port, listener, &mut tasks);
    }
    tasks.spawn(named("keeper", keeper::run(parts.clone(), stop.clone())));
    tasks.spawn(named("caretaker", caretaker::run(parts.clone(), stop.clone())));
    cluster.start(&mut tasks, &stop);
    starter.start_sender(&mut tasks);
    tracing::info!(target: "operation", host = node.config.host, version = VERSION, listening = shown.join(", "), "serving");
    wait::tell_ready("serving");
    let outcome = tokio::select! {
        () = stop.cancelled() => Ok(End::Stopped),
        ended = tasks.join_next() => match ended {
            Some(Ok((name, outcome))) => {
                outcome.with_context(|| format!("{name} ended")).map(|()| End::Stopped)
            }
            Some(Err(error)) => Err(error).context("a service failed"),
            None => bail!("no service is turned on in node.toml"),
        },
        () = watch(&node, &parts) => Ok(End::Anew),
    };
    stop.cancel();
    let drained = timeout(DRAIN, async { while tasks.join_next().await.is_some() {} }).await;
    if drained.is_err() {
        tracing::warn!(target: "warning", "some connections did not end in time and were cut");
    }
    outcome
}

pub(super) type Ended = (&'static str, Result<()>);

async fn named(name: &'static str, task: impl Future<Output = ()>) -> Ended {
    task.await;
    (name, Ok(()))
}

/// Makes services from the node's parts.
struct Starter {
    smtp: Arc<posthouse_smtp::Context>,
    sender: Arc<posthouse_smtp::SenderContext>,
    imap: Arc<posthouse_imap::Context>,
    ldap: Arc<posthouse_addressbook::Context>,
    http: axum::Router,
    http_gate: Gate,
    parts: Parts,
    host: String,
    https_port: u16,
    tls: ServerTls,
    stop: CancellationToken,
}

impl Starter {
    fn start(&self, port: Port, listener: TcpListener, tasks: &mut JoinSet<Ended>) {
        let stop = self.stop.clone();
        let name = port.name();
        match port {
            Port::Smtp => self.smtp(listener, posthouse_smtp::session::Mode::Transfer, name, tasks),
            Port::Submission => {
                self.smtp(listener, posthouse_smtp::session::Mode::Submission, name, tasks)
            }
            Port::Submissions => {
                self.smtp(listener, posthouse_smtp::session::Mode::SubmissionTls, name, tasks)
            }
            Port::Imap => self.imap(listener, posthouse_imap::Mode::StartTls, name, tasks),
            Port::Imaps => self.imap(listener, posthouse_imap::Mode::Tls, name, tasks),
            Port::Ldap => self.ldap(listener, posthouse_addressbook::Mode::StartTls, name, tasks),
            Port::Ldaps => self.ldap(listener, posthouse_addressbook::Mode::Tls, name, tasks),
            Port::Http => {
                let router = posthouse_http::redirect_to_https(&self.host, self.https_port);
                let options = self.options(None);
                tasks.spawn(async move {
                    let outcome = posthouse_http::serve(listener, options, router, stop).await;
                    (name, outcome.map_err(Into::into))
                });
            }
            // the links listen there
            Port::Nodes => {}
            Port::Https | Port::Admin => {
                let (router, options) = (self.http.clone(), self.options(Some(self.tls.clone())));
                tasks.spawn(async move {
                    let outcome = posthouse_http::serve(listener, options, router, stop).await;
                    (name, outcome.map_err(Into::into))
                });
            }
        }
    }

    fn options(&self, tls: Option<ServerTls>) -> ServeOptions {
        let directory = self.parts.directory.clone();
        let limits = move || ConnectionLimits {
            total: directory.integer(key::SESSIONS_TOTAL),
            per_address: directory.integer(key::SESSIONS_PER_ADDRESS),
        };
        ServeOptions { tls, gate: self.http_gate.clone(), limits: Arc::new(limits) }
    }
}

impl Starter {
    fn new(
        node: &Node<'_>,
        parts: &Parts,
        sources: Arc<dyn posthouse_http::SourceControl>,
        cluster: Arc<dyn posthouse_http::ClusterControl>,
        stop: CancellationToken,
    ) -> Result<Self> {
        let Parts { directory, auth, stores, env, .. } = parts.clone();
        let (host, tls) = (node.config.host.clone(), node.tls.clone());
        let smtp = posthouse_smtp::Context::new(
            stores.clone(),
            directory.clone(),
            auth.clone(),
            tls.clone(),
            host.clone(),
            env.clone(),
        );
        let resolver = resolver(node.config)?;
        let sender = posthouse_smtp::SenderContext::new(
            stores.clone(),
            directory.clone(),
            resolver,
            host.clone(),
            env.clone(),
        )?;
        let imap = posthouse_imap::Context::new(posthouse_imap::Services {
            directory: directory.clone(),
            auth: auth.clone(),
            stores: stores.clone(),
            tls: tls.clone(),
            gate: Gate::new(),
            env: env.clone(),
            host: host.clone(),
            source: SOURCE.to_owned(),
        });
        let ldap = posthouse_addressbook::Context::new(
            directory.clone(),
            auth.clone(),
            tls.clone(),
            Gate::new(),
        );
        let token =
            LocalToken::create(&node.layout.data).context("the data folder cannot be written")?;
        let (metrics, groups) = (node.metrics.clone(), groups(parts));
        let ready = ready(groups.clone());
        let http = posthouse_http::Context {
            directory,
            auth,
            stores,
            host: host.clone(),
            version: VERSION.to_owned(),
            data_folder: node.layout.data.clone(),
            started: env.clock.now(),
            env,
            token,
            sources,
            cluster,
            groups,
            metrics: Arc::new(move || metrics.render()),
            ready,
        };
        Ok(Self {
            smtp: Arc::new(smtp),
            sender: Arc::new(sender),
            imap,
            ldap: Arc::new(ldap),
            http: posthouse_http::router(Arc::new(http)),
            http_gate: Gate::new(),
            parts: parts.clone(),
            host,
            https_port: https_port(node.config),
            tls,
            stop,
        })
    }

    fn smtp(
        &self,
        listener: TcpListener,
        mode: posthouse_smtp::session::Mode,
        name: &'static str,
        tasks: &mut JoinSet<Ended>,
    ) {
        tasks.spawn(named(
            name,
            posthouse_smtp::serve(listener, mode, self.smtp.clone(), self.stop.clone()),
        ));
    }
}

impl Starter {
    fn imap(
        &self,
        listener: TcpListener,
        mode: posthouse_imap::Mode,
        name: &'static str,
        tasks: &mut JoinSet<Ended>,
    ) {
        tasks.spawn(named(
            name,
            posthouse_imap::serve(listener, mode, self.imap.clone(), self.stop.clone()),
        ));
    }

    fn ldap(
        &self,
        listener: TcpListener,
        mode: posthouse_addressbook::Mode,
        name: &'static str,
        tasks: &mut JoinSet<Ended>,
    ) {
        let task =
            posthouse_addressbook::serve(listener, mode, self.ldap.clone(), self.stop.clone());
        tasks.spawn(named(name, task));
    }

    fn start_sender(&self, tasks: &mut JoinSet<Ended>) {
        tasks.spawn(named(
            "queue",
            posthouse_smtp::run_sender(self.sender.clone(), self.stop.clone()),
        ));
    }
}

/// Asks the DNS server of `node.toml`, or the system's.
fn resolver(config: &NodeConfig) -> Result<posthouse_smtp::Resolver> {
    let resolver = match config.dns {
        Some(server) => posthouse_smtp::Resolver::at(server),
        None => posthouse_smtp::Resolver::system(),
    };
    resolver.map_err(|error| anyhow::anyhow!("the DNS configuration cannot be used: {error}"))
}

/// State of all groups of this node.
fn groups(parts: &Parts) -> Arc<dyn Fn() -> Vec<GroupStatus> + Send + Sync> {
    let (directory, stores) = (parts.directory.clone(), parts.stores.clone());
    Arc::new(move || {
        let local = stores.local();
        let stores = local.iter().map(|store| store.group().status());
        std::iter::once(directory.status()).chain(stores).collect()
    })
}

/// Not ready: a group has no leader, or acknowledges nothing because of its disk.
fn ready(
    groups: Arc<dyn Fn() -> Vec<GroupStatus> + Send + Sync>,
) -> Arc<dyn Fn() -> Result<(), String> + Send + Sync> {
    Arc::new(move || {
        for group in groups() {
            if let Some(reason) = group.failed {
                return Err(format!("{} acknowledges nothing: {reason}", group.name));
            }
            if group.leader.is_none() {
                return Err(format!("{} has no leader", group.name));
            }
        }
        Ok(())
    })
}

/// Where browsers are sent: the pages' port, 443 where it is not fixed.
fn https_port(config: &NodeConfig) -> u16 {
    let https = config.addresses().into_iter().find(|(port, _)| *port == Port::Https);
    https.map_or(443, |(_, address)| address.port())
}

/// Whether a group stands still because the disk was full, and there is room again. A failed sync is another
/// matter: what it left behind is not known, and nothing is tried again by itself.
fn has_room_again(node: &Node<'_>, parts: &Parts) -> bool {
    let was_full = |status: GroupStatus| {
        status.failed.is_some_and(|why| FULL.iter().any(|part| why.contains(part)))
    };
    let free = || parts.env.disk.free_space(&node.layout.data).unwrap_or(0);
    groups(parts)().into_iter().any(was_full) && free() >= ROOM
}

/// Looks after certificate files and the health of the groups. Ends when the node should start anew.
async fn watch(node: &Node<'_>, parts: &Parts) {
    let Ok(mut hangup) = wait::reload_signal() else { return std::future::pending().await };
    let folder = node.layout.tls();
    let mut seen = certificates::custom_changed(&folder);
    let groups = groups(parts);
    let ready = ready(groups);
    let mut healthy = true;
    let mut looked = parts.env.clock.monotonic();
    loop {
        let asked = tokio::select! {
            _ = hangup.recv() => true,
            () = parts.env.clock.sleep(WATCH) => false,
        };
        let now = certificates::custom_changed(&folder);
        let due = parts.env.clock.monotonic().saturating_sub(looked) >= RENEWAL;
        if asked || due || now != seen {
            (seen, looked) = (now, parts.env.clock.monotonic());
            match certificates::reload(&folder, &node.config.host, &node.tls) {
                Ok(()) => tracing::info!(target: "config", "certificate loaded again"),
                Err(error) => tracing::error!(target: "error", "{error:#}"),
            }
        }
        match ready() {
            Ok(()) if !healthy => tracing::info!(target: "operation", "the node is ready again"),
            Err(reason) if healthy => {
                tracing::error!(target: "error", reason, "the node is not ready")
            }
            _ => {}
        }
        healthy = ready().is_ok();
        if !healthy && has_room_again(node, parts) {
            tracing::warn!(target: "warning", "the disk was full and has room again: starting anew");
            return;
        }
    }
}
