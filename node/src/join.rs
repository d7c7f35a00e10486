//! `posthouse join CODE`, and the same from an answers file or the wizard: this folder becomes a node of a
//! cluster. What a member answers is written so that a crash leaves a node that has joined, or one that can
//! knock again with the same code and gets the same answer.

use std::{net::SocketAddr, path::Path};

use anyhow::{Context, Result, bail};
use clap::Args;
use posthouse_cluster::{
    Environment,
    env::BoxFuture,
    join::{Admission, InviteCode, JoinRequest, knock},
};
use posthouse_provisioning::{JoinOutcome, Joiner};

use crate::{
    config::{Layout, NodeConfig, Port, Profile},
    identity::{self, Trust},
};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// How to join.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  posthouse cluster invite                                 on a node of the cluster: prints the code
  posthouse join CODE --data /var/lib/posthouse            on the new node, before its first start
  posthouse join CODE --host mail2.example.test --site munich --address 10.1.0.2:4041")]
pub(crate) struct JoinArguments {
    /// The code that `posthouse cluster invite` printed.
    code: String,
    /// Host name of this node; the machine's name if left out.
    #[arg(long)]
    host: Option<String>,
    /// Site that it stands in; the inviting node's if left out.
    #[arg(long)]
    site: Option<String>,
    /// Address (`host:port`) under which other nodes reach it; can be given several times.
    #[arg(long = "address")]
    addresses: Vec<String>,
    /// Ports that the node will use; see `posthouse run --help`.
    #[arg(long, value_enum)]
    listen: Option<Profile>,
    /// This is a member that was away while the cluster's authority was replaced: get a new certificate, keep
    /// everything else.
    #[arg(long, conflicts_with_all = ["host", "site", "addresses", "listen"])]
    again: bool,
}

/// What to join with.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    /// The code.
    pub(crate) code: String,
    /// Host name.
    pub(crate) host: String,
    /// Site; empty: that of the node that answers.
    pub(crate) site: String,
    /// Addresses under which other nodes reach it; empty: found out.
    pub(crate) addresses: Vec<String>,
}

/// What came of it.
#[derive(Clone, Debug, serde::Serialize)]
pub(crate) struct Joined {
    /// Name of the cluster.
    pub(crate) cluster: String,
    /// Number of this node.
    pub(crate) node: u64,
}

/// `posthouse join`.
pub(crate) async fn command(data: &Path, arguments: JoinArguments, json: bool) -> Result<()> {
    let layout = Layout::create(data)?;
    let mut config = NodeConfig::load(&layout.data)?;
    if arguments.again {
        return again(&layout, &config, &arguments.code, json).await;
    }
    config.profile = arguments.listen.unwrap_or(config.profile);
    let host =
        arguments.host.or_else(machine_name).context("say --host: the machine has no name")?;
    let (site, addresses) = (arguments.site.unwrap_or_default(), arguments.addresses);
    let joined =
        join(&layout, &config, Wish { code: arguments.code, host, site, addresses }).await?;
    tell(&joined, &layout, json)
}

/// Joins for the wizard and the answers file.
pub(crate) struct FolderJoiner {
    /// The folder that becomes a node.
    pub(crate) layout: Layout,
    /// Its `node.toml` so far.
    pub(crate) config: NodeConfig,
}

impl Joiner for FolderJoiner {
    fn join(
        &self,
        code: String,
        host: String,
        site: String,
        addresses: Vec<String>,
    ) -> BoxFuture<Result<JoinOutcome, String>> {
        let (layout, config) = (self.layout.clone(), self.config.clone());
        Box::pin(async move {
            let joined = join(&layout, &config, Wish { code, host, site, addresses }).await;
            let joined = joined.map_err(|error| format!("{error:#}"))?;
            Ok(JoinOutcome { cluster: joined.cluster, node: joined.node })
        })
    }
}

/// Gets a member that is not running back in.
async fn again(layout: &Layout, config: &NodeConfig, code: &str, json: bool) -> Result<()> {
    if config.host.is_empty() {
        bail!("{} is not that of a member: join without --again", layout.data.display());
    }
    let folder = layout.links();
    let Some(trust) = Trust::load(&folder)? else { bail!("this node was never part of a cluster") };
    let admission = ask(config, code, None, &folder).await?;
    if admission.node.0 != config.id {
        bail!("the cluster takes this node for {}; nothing was changed", admission.node);
    }
    let (certificate, authorities) = (admission.certificate.clone(), admission.authorities.clone());
    Trust { certificate, authorities, peers: admission.peers, ..trust }.save(&folder)?;
    tell(&Joined { cluster: admission.cluster, node: config.id }, layout, json)
}

fn tell(joined: &Joined, layout: &Layout, json: bool) -> Result<()> {
    if json {
        println!("{}", serde_json::to_string(joined)?);
    } else {
        println!("This is node {} of {} now.", joined.node, joined.cluster);
        println!("Start it: posthouse run --data {}", layout.data.display());
    }
    Ok(())
}

/// The machine's own name.
pub(crate) fn machine_name() -> Option<String> {
    nix::unistd::gethostname().ok()?.into_string().ok().filter(|name| !name.is_empty())
}

/// Makes the folder that of a new node of the cluster that made the code.
pub(crate) async fn join(layout: &Layout, config: &NodeConfig, wish: Wish) -> Result<Joined> {
    if !config.host.is_empty() {
        bail!(
            "{} belongs to a node that is set up already; nothing was changed. To join, start with an empty data folder",
            layout.data.display()
        );
    }
    let host = wish.host.to_ascii_lowercase();
    let config = NodeConfig { host, ..config.clone() };
    let config = match wish.addresses.is_empty() {
        true => config,
        false => NodeConfig { advertise: wish.addresses, ..config },
    };
    let config = with_fixed_port(config)?;
    let site = Some(wish.site).filter(|site| !site.is_empty());
    let config = NodeConfig { site: site.clone().unwrap_or(config.site), ..config };
    let admission = ask(&config, &wish.code, site, &layout.links()).await?;
    settle(layout, config, &admission)?;
    Ok(Joined { cluster: admission.cluster, node: admission.node.0 })
}

/// The other nodes are told a port before this one runs: one that is free now is kept where none was chosen.
fn with_fixed_port(mut config: NodeConfig) -> Result<NodeConfig> {
    let open = |(port, address): &(Port, SocketAddr)| *port == Port::Nodes && address.port() == 0;
    if let Some((_, address)) = config.addresses().into_iter().find(open) {
        let free = std::net::TcpListener::bind(address).context("no port is free")?.local_addr()?;
        config.listen.insert(Port::Nodes, vec![free]);
    }
    Ok(config)
}

/// Knocks.
async fn ask(
    config: &NodeConfig,
    code: &str,
    site: Option<String>,
    links: &Path,
) -> Result<Admission> {
    let code: InviteCode = code.parse()?;
    let key = identity::key(links)?;
    let request = JoinRequest {
        host: config.host.clone(),
        site,
        addresses: advertised(config, None),
        version: VERSION.to_owned(),
        level: config.level(),
        public_key: Vec::new(),
    };
    Ok(knock(&Environment::real(), &code, request, &key).await?)
}

/// Writes what the cluster answered; `node.toml` last, since with it the node counts as set up.
fn settle(layout: &Layout, config: NodeConfig, admission: &Admission) -> Result<()> {
    posthouse_auth::seed_vault(&layout.auth(), &admission.vault_key)
        .map_err(|error| anyhow::anyhow!("the cluster's secrets cannot be kept: {error}"))?;
    let trust = Trust {
        certificate: admission.certificate.clone(),
        authorities: admission.authorities.clone(),
        peers: admission.peers.clone(),
        joined: true,
    };
    trust.save(&layout.links())?;
    NodeConfig { id: admission.node.0, ..config }.save(&layout.data)
}

/// Addresses under which other nodes are told to reach this one. `bound`: where it really listens.
pub(crate) fn advertised(config: &NodeConfig, bound: Option<SocketAddr>) -> Vec<String> {
    if !config.advertise.is_empty() {
        return config.advertise.clone();
    }
    let configured =
        config.addresses().into_iter().find(|(port, _)| *port == Port::Nodes).map(|(_, at)| at);
    let Some(configured) = configured else { return Vec::new() };
    let at = bound.unwrap_or(configured);
    if !at.ip().is_unspecified() {
        // a port that is not chosen yet cannot be told; the node reports it when it runs
        return if at.port() == 0 { Vec::new() } else { vec![at.to_string()] };
    }
    let mut all = own_addresses(at.port());
    all.push(format!("{}:{}", config.host, at.port()));
    all
}

/// Addresses of the machine's interfaces.
fn own_addresses(port: u16) -> Vec<String> {
    let Ok(interfaces) = nix::ifaddrs::getifaddrs() else { return Vec::new() };
    let address = |interface: nix::ifaddrs::InterfaceAddress| {
        let address = interface.address?;
        let v4 = address.as_sockaddr_in().map(|v4| SocketAddr::from((v4.ip(), port)));
        let v6 = address.as_sockaddr_in6().map(|v6| SocketAddr::from((v6.ip(), port)));
        v4.or(v6).filter(|found| match found.ip() {
            std::net::IpAddr::V4(ip) => !ip.is_loopback() && !ip.is_link_local(),
            std::net::IpAddr::V6(ip) => !ip.is_loopback() && !ip.is_unicast_link_local(),
        })
    };
    interfaces.filter_map(address).map(|found| found.to_string()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_nodes_are_told_what_is_configured_or_where_it_listens() {
        let mut config = NodeConfig { host: "b.example.test".into(), ..NodeConfig::default() };
        let at = |text: &str| Some(text.parse().unwrap());
        assert!(advertised(&config, at("[::]:4041")).contains(&"b.example.test:4041".to_owned()));
        assert_eq!(advertised(&config, at("127.0.0.1:7000")), ["127.0.0.1:7000"]);
        config.profile = Profile::Free;
        assert!(advertised(&config, None).is_empty());
        config.advertise = vec!["10.0.0.1:1".into()];
        assert_eq!(advertised(&config, at("127.0.0.1:7000")), ["10.0.0.1:1"]);
    }

    #[test]
    fn a_node_with_free_ports_keeps_one_for_other_nodes() {
        let config = NodeConfig { profile: Profile::Free, ..NodeConfig::default() };
        let fixed = with_fixed_port(config).unwrap();
        let told = advertised(&fixed, None);
        assert!(told.len() == 1 && !told[0].ends_with(":0"), "{told:?}");
        assert_eq!(advertised(&with_fixed_port(fixed).unwrap(), None), told);
    }

    #[tokio::test]
    async fn a_node_that_is_set_up_does_not_join_and_a_wrong_code_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::create(folder.path()).unwrap();
        let wish = Wish {
            code: "nonsense".into(),
            host: "b".into(),
            site: String::new(),
            addresses: Vec::new(),
        };
        let error = join(&layout, &NodeConfig::default(), wish.clone()).await.unwrap_err();
        assert!(!folder.path().join("node.toml").exists(), "{error:#}");
        let config = NodeConfig { host: "a".into(), ..NodeConfig::default() };
        let error = join(&layout, &config, wish).await.unwrap_err();
        assert!(error.to_string().contains("set up already"), "{error:#}");
    }
}
