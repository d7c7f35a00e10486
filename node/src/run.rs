//! `posthouse run`: set-up mode, then the services, until the node is told to stop.

mod caretaker;
mod cluster;
mod keeper;
mod metrics;
mod services;
mod sources;
mod wait;

use std::{collections::BTreeMap, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail};
use posthouse_auth::{Gate, ServerTls};
use posthouse_cluster::network::Network;
use posthouse_provisioning::{Answers, Checker, apply, web};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    certificates,
    cli::RunArguments,
    cli::setup as output,
    config::{self, Layout, NodeConfig, Port, write_file},
    join::FolderJoiner,
    start::{LazyOpen, Open, SetupOpener, open},
};

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// How often a node that joined looks whether the directory is there.
const COPY_LOOK: Duration = Duration::from_millis(50);
/// How long a start waits for the majority.
const CATCH_UP: Duration = Duration::from_secs(5);
/// How often it says that it still waits.
const COPY_TELL: Duration = Duration::from_secs(10);

/// Listeners that are bound before anything else, so that a taken port is noticed first.
pub(crate) type Listeners = Vec<(Port, TcpListener)>;

pub(crate) async fn run(data: &Path, arguments: &RunArguments) -> Result<()> {
    let layout = Layout::create(data)?;
    let mut config = NodeConfig::load(&layout.data)?;
    if let Some(profile) = arguments.listen {
        config.profile = profile;
    }
    let stop = CancellationToken::new();
    wait::stop_on_signal(stop.clone());
    let tls = certificates::prepare(&layout.tls(), &config.host)?;
    let metrics = metrics::install()?;
    let mut opened = match config.host.is_empty() {
        true => None,
        false => Some(open(&layout, &config).await?),
    };
    let is_set_up = opened
        .as_ref()
        .is_some_and(|open| open.identity.trust.joined || open.parts.directory.is_set_up());
    if !is_set_up {
        let lazy = LazyOpen::new(layout.clone(), config.clone(), opened.take());
        if !set_up(&layout, &config, &tls, arguments, &lazy, &stop).await? {
            return close(lazy.take().await).await;
        }
        let profile = config.profile;
        config = NodeConfig { profile, ..NodeConfig::load(&layout.data)? };
        certificates::reload(&layout.tls(), &config.host, &tls)?;
        opened = lazy.take().await;
    }
    let open = match opened {
        Some(open) => open,
        // it joined a cluster
        None => open(&layout, &config).await?,
    };
    if !first_copy(&open, &stop).await {
        return close(Some(open)).await;
    }
    catch_up(&open).await;
    let listeners = bind(&config).await;
    let outcome = match listeners {
        Ok(listeners) => {
            services::run(
                services::Node { layout: &layout, config: &config, tls, open: &open, metrics },
                listeners,
                stop,
            )
            .await
        }
        Err(error) => Err(error),
    };
    let closed = close(Some(open)).await;
    // Nobody shall take the addresses of a stopped node for those of a running one.
    let _ = std::fs::remove_file(layout.addresses());
    match outcome {
        // a close that failed is what the new start is for
        Ok(services::End::Anew) => Err(start_anew()),
        outcome => outcome.map(drop).and(closed),
    }
}

/// Replaces this process by a new one of the same program with the same arguments; returns only if that fails.
fn start_anew() -> anyhow::Error {
    use std::os::unix::process::CommandExt;
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => return error.into(),
    };
    let error = std::process::Command::new(program).args(std::env::args_os().skip(1)).exec();
    anyhow::Error::from(error).context("the program cannot be started anew")
}

/// Waits until a node that joined has the directory. False: told to stop before.
async fn first_copy(open: &Open, stop: &CancellationToken) -> bool {
    let directory = &open.parts.directory;
    if directory.is_set_up() {
        return true;
    }
    println!("This node has joined and waits for its copy of the directory.");
    wait::tell_ready("waiting for the directory");
    let mut told = Duration::ZERO;
    while !directory.is_set_up() {
        tokio::select! {
            () = stop.cancelled() => return false,
            () = open.parts.env.clock.sleep(COPY_LOOK) => told += COPY_LOOK,
        }
        if told >= COPY_TELL {
            told = Duration::ZERO;
            let problems: Vec<_> =
                open.links.peers().into_iter().filter_map(|peer| peer.problem).collect();
            tracing::warn!(target: "warning", problems = problems.join("; "), "still waiting for the directory");
        }
    }
    true
}

/// Waits until the directory here has what was agreed on before the start: what this node has shown before it was
/// stopped or died must not go back. Without a majority it serves what it has.
async fn catch_up(open: &Open) {
    let clock = &open.parts.env.clock;
    let current = async {
        while open.parts.directory.group().read_barrier().await.is_err() {
            clock.sleep(COPY_LOOK).await;
        }
    };
    tokio::select! {
        () = current => {}
        () = clock.sleep(CATCH_UP) => {
            tracing::warn!(target: "warning", "no majority answers: serving from this node's own copy of the directory, which may be behind");
        }
    }
}

async fn close(open: Option<Open>) -> Result<()> {
    match open {
        Some(open) => {
            let stopped = open.node.shutdown().await.context("the node did not stop cleanly");
            open.links.stop().await;
            stopped
        }
        None => Ok(()),
    }
}

/// Sets the node up by answers file or by web page. False: told to stop before.
async fn set_up(
    layout: &Layout,
    config: &NodeConfig,
    tls: &ServerTls,
    arguments: &RunArguments,
    lazy: &Arc<LazyOpen>,
    stop: &CancellationToken,
) -> Result<bool> {
    let joiner = FolderJoiner { layout: layout.clone(), config: config.clone() };
    if let Some(answers) = answers(arguments)? {
        if answers.join.is_some() {
            let joined = posthouse_provisioning::join(&answers, &joiner).await?;
            tracing::info!(target: "config", cluster = joined.cluster, node = joined.node, "joined as the answers file says");
            println!("This is node {} of {} now.", joined.node, joined.cluster);
            return Ok(true);
        }
        let outcome = apply(&answers, &SetupOpener(lazy.clone())).await?;
        tracing::info!(target: "config", host = answers.host, "set up from the answers file");
        println!("{} is set up.", answers.host);
        output::show(&outcome);
        return Ok(true);
    }
    let code = web::WebSetup::generate_code();
    let host = nix::unistd::gethostname()
        .ok()
        .and_then(|name| name.into_string().ok())
        .unwrap_or_default();
    let opener = Arc::new(SetupOpener(lazy.clone()));
    let setup = web::WebSetup::new(code.clone(), checker(layout, config), opener, VERSION, host);
    setup.join_by(Arc::new(joiner));
    let addresses = config.addresses().into_iter().filter(|(port, _)| *port == Port::Admin);
    let listeners = bind_all(addresses.collect()).await?;
    publish(layout, &listeners, None)?;
    let Some(address) = listeners.first().and_then(|(_, listener)| listener.local_addr().ok())
    else {
        bail!("the admin port is turned off in node.toml: set the node up with `posthouse setup`");
    };
    println!("This node is not set up yet. Open  https://{address}/  and give this code:  {code}");
    println!(
        "Or set it up here: posthouse setup --data {} (stop this first).",
        layout.data.display()
    );
    wait::tell_ready("waiting for set-up");
    let pages = stop.child_token();
    let mut tasks = tokio::task::JoinSet::new();
    for (_, listener) in listeners {
        let router = posthouse_http::pages(web::router(setup.clone()));
        let options =
            services::http_options(Some(tls.clone()), Gate::new(), services::SETUP_LIMITS);
        tasks.spawn(posthouse_http::serve(listener, options, router, pages.clone()));
    }
    let done = tokio::select! {
        host = setup.finished() => {
            println!("{host} is set up.");
            true
        }
        () = stop.cancelled() => false,
    };
    // The answer to the last request still goes out: `serve` lets running requests end.
    pages.cancel();
    while tasks.join_next().await.is_some() {}
    Ok(done)
}

fn answers(arguments: &RunArguments) -> Result<Option<Answers>> {
    let from_systemd = || {
        let folder = std::env::var_os("CREDENTIALS_DIRECTORY")?;
        Some(Path::new(&folder).join("answers")).filter(|path| path.exists())
    };
    let path = arguments.answers.clone().or_else(from_systemd);
    path.map(|path| output::read(&path)).transpose()
}

/// The checks for a node of this layout and configuration.
pub(crate) fn checker(layout: &Layout, config: &NodeConfig) -> Checker {
    let named = |(port, address): (Port, SocketAddr)| (port.name().to_owned(), address);
    // what a running node uses itself
    let busy = |port: Port| matches!(port, Port::Admin);
    let listen =
        config.addresses().into_iter().filter(|(port, _)| !busy(*port)).map(named).collect();
    Checker { data: layout.data.clone(), listen }
}

async fn bind(config: &NodeConfig) -> Result<Listeners> {
    // the links have bound theirs
    bind_all(config.addresses().into_iter().filter(|(port, _)| *port != Port::Nodes).collect())
        .await
}

async fn bind_all(addresses: Vec<(Port, SocketAddr)>) -> Result<Listeners> {
    let mut listeners = Vec::new();
    for (port, address) in addresses {
        let listener = TcpListener::bind(address).await.with_context(|| {
            let name = port.name();
            format!(
                "{name} cannot listen on {address}: stop what uses that port, or move it in {} (or try --listen loopback)",
                config::FILE
            )
        })?;
        listeners.push((port, listener));
    }
    Ok(listeners)
}

/// Writes where the services and the links listen, for the command line and for people.
fn publish(layout: &Layout, listeners: &Listeners, links: Option<SocketAddr>) -> Result<()> {
    let mut addresses = BTreeMap::new();
    let mut bound: Vec<(Port, SocketAddr)> = Vec::new();
    for (port, listener) in listeners {
        bound.push((*port, listener.local_addr()?));
    }
    bound.extend(links.map(|address| (Port::Nodes, address)));
    for (port, mut address) in bound {
        if address.ip().is_unspecified() {
            address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
        }
        addresses.entry(port).or_insert(address);
    }
    write_file(&layout.addresses(), serde_json::to_string_pretty(&addresses)?.as_bytes(), false)
}
