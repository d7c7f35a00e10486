//! `node.toml`: what differs from node to node. Everything else is in the replicated settings.

use std::{
    fs,
    io::Write,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use posthouse_cluster::LEVEL;
use serde::{Deserialize, Serialize};

/// File name in the data folder.
pub(crate) const FILE: &str = "node.toml";
/// Folder of key and certificates of the links between nodes.
const LINKS: &str = "links";

/// A service that listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Port {
    /// Receiving from other servers.
    Smtp,
    /// Submission with TLS from the start.
    Submissions,
    /// Submission with STARTTLS.
    Submission,
    /// IMAP with STARTTLS.
    Imap,
    /// IMAP with TLS from the start.
    Imaps,
    /// Address book with StartTLS.
    Ldap,
    /// Address book with TLS from the start.
    Ldaps,
    /// Sends browsers to HTTPS.
    Http,
    /// Pages.
    Https,
    /// Administration and set-up.
    Admin,
    /// Other nodes of the cluster.
    Nodes,
}

/// The one table of ports: service, name, number on an appliance, number above which loopback ports lie.
const PORTS: &[(Port, &str, u16, u16)] = &[
    (Port::Smtp, "smtp", 25, 2525),
    (Port::Submissions, "submissions", 465, 2465),
    (Port::Submission, "submission", 587, 2587),
    (Port::Imap, "imap", 143, 2143),
    (Port::Imaps, "imaps", 993, 2993),
    (Port::Ldap, "ldap", 389, 2389),
    (Port::Ldaps, "ldaps", 636, 2636),
    (Port::Http, "http", 80, 2080),
    (Port::Https, "https", 443, 2443),
    (Port::Admin, "admin", 4040, 4040),
    (Port::Nodes, "nodes", 4041, 4041),
];

impl Port {
    /// Its name in `node.toml` and in output.
    pub(crate) fn name(self) -> &'static str {
        PORTS.iter().find(|row| row.0 == self).map_or("", |row| row.1)
    }
}

/// Where services listen when `node.toml` does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Profile {
    /// The well-known ports on all addresses.
    #[default]
    Standard,
    /// Unprivileged ports on 127.0.0.1, for a trial.
    Loopback,
    /// Free ports on 127.0.0.1, for tests; see `addresses.json` in the data folder.
    Free,
}

/// What differs from node to node.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NodeConfig {
    /// Number of this node in the cluster.
    #[serde(default = "first_node")]
    pub(crate) id: u64,
    /// Host name as clients know it. Empty until set-up.
    #[serde(default)]
    pub(crate) host: String,
    /// Site that the node stands in.
    #[serde(default = "main_site")]
    pub(crate) site: String,
    /// Which ports where nothing else is said.
    #[serde(default)]
    pub(crate) profile: Profile,
    /// Addresses of single services; an empty list turns a service off.
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub(crate) listen: std::collections::BTreeMap<Port, Vec<SocketAddr>>,
    /// Addresses (`host:port`) under which other nodes reach this one; left out: the host name and the
    /// addresses that it listens on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) advertise: Vec<String>,
    /// Highest level of commands that this node takes part in, to try an update or to hold it back: as an older
    /// program does. Left out: what the program knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) max_level: Option<u32>,
    /// DNS server to ask for mail exchangers; left out: the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) dns: Option<SocketAddr>,
}

fn first_node() -> u64 {
    1
}

fn main_site() -> String {
    "main".to_owned()
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            id: first_node(),
            host: String::new(),
            site: main_site(),
            profile: Profile::Standard,
            listen: std::collections::BTreeMap::new(),
            advertise: Vec::new(),
            max_level: None,
            dns: None,
        }
    }
}

impl NodeConfig {
    /// Reads the file of a data folder; defaults where there is none.
    pub(crate) fn load(data: &Path) -> Result<Self> {
        let path = data.join(FILE);
        match fs::read_to_string(&path) {
            Ok(text) => {
                toml::from_str(&text).with_context(|| format!("{} cannot be used", path.display()))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("{} cannot be read", path.display())),
        }
    }

    /// Writes the file: the old one or the new one is there after a crash.
    pub(crate) fn save(&self, data: &Path) -> Result<()> {
        write_file(&data.join(FILE), toml::to_string_pretty(self)?.as_bytes(), false)
    }

    /// Highest level that this node takes part in.
    pub(crate) fn level(&self) -> u32 {
        self.max_level.map_or(LEVEL, |most| most.clamp(1, LEVEL))
    }

    /// Where each service listens.
    pub(crate) fn addresses(&self) -> Vec<(Port, SocketAddr)> {
        let mut all = Vec::new();
        for (port, _, standard, loopback) in PORTS {
            match (self.listen.get(port), self.profile) {
                (Some(listed), _) => all.extend(listed.iter().map(|address| (*port, *address))),
                (None, Profile::Standard) => {
                    all.push((*port, SocketAddr::from(([0; 16], *standard))));
                }
                (None, Profile::Loopback) => {
                    all.push((*port, SocketAddr::from(([127, 0, 0, 1], *loopback))));
                }
                (None, Profile::Free) => all.push((*port, SocketAddr::from(([127, 0, 0, 1], 0)))),
            }
        }
        all
    }
}

/// Folders and files of a node.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    /// The data folder.
    pub(crate) data: PathBuf,
}

impl Layout {
    /// Makes the data folder, readable only by its owner.
    pub(crate) fn create(data: &Path) -> Result<Self> {
        fs::create_dir_all(data).with_context(|| {
            format!(
                "the data folder {} cannot be made: choose one that is writable",
                data.display()
            )
        })?;
        let data = data.canonicalize()?;
        for folder in ["log", "domain", "auth", "tls", LINKS] {
            fs::create_dir_all(data.join(folder))?;
        }
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(&data, fs::Permissions::from_mode(0o700))
            .with_context(|| format!("{} does not belong to this user", data.display()))?;
        crate::format::check(&data)?;
        Ok(Self { data })
    }

    /// The layout of a folder that a node uses already.
    pub(crate) fn existing(data: &Path) -> Result<Self> {
        if !data.join("log").is_dir() {
            bail!("{} is not the data folder of a node: name it with --data", data.display());
        }
        Ok(Self { data: data.canonicalize()? })
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.data.join("log")
    }
    pub(crate) fn domain(&self) -> PathBuf {
        self.data.join("domain")
    }
    /// Folder of the store with this number.
    pub(crate) fn store(&self, number: u64) -> PathBuf {
        self.data.join(format!("store-{number}"))
    }
    /// What this node proves itself with to other nodes.
    pub(crate) fn links(&self) -> PathBuf {
        self.data.join(LINKS)
    }
    pub(crate) fn auth(&self) -> PathBuf {
        self.data.join("auth")
    }
    pub(crate) fn tls(&self) -> PathBuf {
        self.data.join("tls")
    }
    /// Where the services of the running node listen.
    pub(crate) fn addresses(&self) -> PathBuf {
        self.data.join("addresses.json")
    }
}

/// Writes a file whole or not at all, and syncs it and its folder. `private`: only the owner can read it.
pub(crate) fn write_file(path: &Path, content: &[u8], private: bool) -> Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let new = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        let mode = if private { 0o600 } else { 0o644 };
        let mut file =
            fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&new)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        fs::File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
    };
    write().with_context(|| format!("{} cannot be written", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_saved_is_loaded_and_single_services_can_be_moved_or_turned_off() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = NodeConfig { host: "mail.example.test".into(), ..NodeConfig::default() };
        config.listen.insert(Port::Smtp, vec![]);
        config.listen.insert(Port::Imap, vec!["127.0.0.1:1143".parse().unwrap()]);
        config.save(folder.path()).unwrap();
        let loaded = NodeConfig::load(folder.path()).unwrap();
        assert_eq!(loaded.host, "mail.example.test");
        let addresses = loaded.addresses();
        assert!(addresses.iter().all(|(port, _)| *port != Port::Smtp));
        assert!(addresses.contains(&(Port::Imap, "127.0.0.1:1143".parse().unwrap())));
        assert!(addresses.contains(&(Port::Imaps, "[::]:993".parse().unwrap())));
    }

    #[test]
    fn an_unknown_key_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE), "hots = 'x'").unwrap();
        let error = format!("{:#}", NodeConfig::load(folder.path()).unwrap_err());
        assert!(error.contains("hots"), "{error}");
    }
}
