//! Checks before set-up: each says what it found and, where something is wrong, what to do.

use std::{
    fs,
    io::Write,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use serde::Serialize;

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckOutcome {
    /// Good.
    Ok,
    /// Set-up can go on; something will not work as it should.
    Warning,
    /// Set-up cannot go on.
    Failed,
}

/// One check.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// Short name: `clock`, `disk`, `port 25`.
    pub name: String,
    /// How it came out.
    pub outcome: CheckOutcome,
    /// What was found.
    pub detail: String,
    /// What to do; empty where all is well.
    pub remedy: String,
}

impl Check {
    fn new(name: &str, outcome: CheckOutcome, detail: String, remedy: &str) -> Self {
        Self { name: name.to_owned(), outcome, detail, remedy: remedy.to_owned() }
    }
}

/// Runs the checks of one node.
#[derive(Clone, Debug)]
pub struct Checker {
    /// Data folder.
    pub data: PathBuf,
    /// Addresses that services will listen on, with their names. Those that this process holds already are left out.
    pub listen: Vec<(String, SocketAddr)>,
}

/// Free space that a node needs to start with.
const MIN_FREE_BYTES: u64 = 1 << 30;
/// A sync slower than this makes every acknowledgement slow.
const SLOW_SYNC: Duration = Duration::from_millis(50);
/// No correct clock shows less: this version did not exist before.
const BUILT_AFTER: u64 = 1_790_000_000;
const DNS_PATIENCE: Duration = Duration::from_secs(4);

impl Checker {
    /// All checks. `host` and `domain` may be empty while they are not known yet.
    pub async fn run(&self, host: &str, domain: &str) -> Vec<Check> {
        let this = self.clone();
        let local = tokio::task::spawn_blocking(move || {
            let mut checks = vec![clock(), this.disk()];
            checks.extend(this.ports());
            checks
        });
        let mut checks = local.await.unwrap_or_default();
        checks.push(dns(host, domain).await);
        checks
    }

    fn disk(&self) -> Check {
        match measure(&self.data) {
            Err(error) => Check::new(
                "disk",
                CheckOutcome::Failed,
                format!("{} cannot be written: {error}", self.data.display()),
                "choose a folder on a writable disk that belongs to the user that Posthouse runs as",
            ),
            Ok((free, _)) if free < MIN_FREE_BYTES => Check::new(
                "disk",
                CheckOutcome::Failed,
                format!("only {} MiB are free", free >> 20),
                "free some space or choose another data folder; at least 1 GiB is needed to start",
            ),
            Ok((free, sync)) if sync > SLOW_SYNC => Check::new(
                "disk",
                CheckOutcome::Warning,
                format!("{} GiB free; a sync takes {} ms", free >> 30, sync.as_millis()),
                "every acknowledged message waits for a sync: a solid-state disk makes mail faster",
            ),
            Ok((free, sync)) => Check::new(
                "disk",
                CheckOutcome::Ok,
                format!("{} GiB free; a sync takes {:.1} ms", free >> 30, sync.as_secs_f64() * 1e3),
                "",
            ),
        }
    }

    fn ports(&self) -> Vec<Check> {
        self.listen.iter().map(|(name, address)| port(name, *address)).collect()
    }
}

fn port(service: &str, address: SocketAddr) -> Check {
    let name = format!("port {}", address.port());
    match TcpListener::bind(address) {
        Ok(_) => {
            Check::new(&name, CheckOutcome::Ok, format!("{service} can listen on {address}"), "")
        }
        Err(error) => {
            let remedy = match error.kind() {
                std::io::ErrorKind::AddrInUse => {
                    "another program listens there: stop it, or move the port in node.toml"
                }
                std::io::ErrorKind::PermissionDenied => {
                    "ports below 1024 need the capability CAP_NET_BIND_SERVICE (the systemd unit has it), or move the port in node.toml"
                }
                _ => "correct the address in node.toml",
            };
            Check::new(
                &name,
                CheckOutcome::Failed,
                format!("{service} cannot listen on {address}: {error}"),
                remedy,
            )
        }
    }
}

fn clock() -> Check {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let shown = time::OffsetDateTime::from_unix_timestamp(now as i64)
        .map_or_else(|_| now.to_string(), |at| at.to_string());
    if now < BUILT_AFTER {
        return Check::new(
            "clock",
            CheckOutcome::Failed,
            format!("it shows {shown}, which lies before this version was built"),
            "set the clock or let it be set by NTP; Kerberos refuses differences above 5 minutes",
        );
    }
    let synchronized = Path::new("/run/systemd/timesync/synchronized").exists()
        || Path::new("/run/chrony/chronyd.pid").exists();
    if synchronized {
        Check::new("clock", CheckOutcome::Ok, format!("it shows {shown} and is kept by NTP"), "")
    } else {
        Check::new(
            "clock",
            CheckOutcome::Warning,
            format!("it shows {shown}; nothing was found that keeps it right"),
            "turn on NTP (systemd-timesyncd or chrony); Kerberos refuses differences above 5 minutes",
        )
    }
}

async fn dns(host: &str, domain: &str) -> Check {
    if host.is_empty() {
        return Check::new(
            "dns",
            CheckOutcome::Warning,
            "no host name was given yet".into(),
            "give the host name first",
        );
    }
    let Ok(resolver) = hickory_resolver::TokioResolver::builder_tokio().and_then(|b| b.build())
    else {
        return Check::new(
            "dns",
            CheckOutcome::Warning,
            "this machine has no DNS server".into(),
            "name a DNS server in the network settings",
        );
    };
    let look = async {
        let address = resolver.lookup_ip(format!("{host}.")).await;
        let mail = resolver.mx_lookup(format!("{domain}.")).await;
        (address.map(|found| found.iter().next()), mail.is_ok())
    };
    match tokio::time::timeout(DNS_PATIENCE, look).await {
        Ok((Ok(Some(address)), true)) => Check::new(
            "dns",
            CheckOutcome::Ok,
            format!("{host} is {address}, and {domain} has an MX record"),
            "",
        ),
        Ok((Ok(Some(address)), false)) => Check::new(
            "dns",
            CheckOutcome::Warning,
            format!("{host} is {address}, but {domain} has no MX record"),
            "add an MX record that names this host, or mail from outside will not find it",
        ),
        Ok(_) => Check::new(
            "dns",
            CheckOutcome::Warning,
            format!("{host} has no address in DNS"),
            "add an A or AAAA record for the host name; clients and Kerberos need it",
        ),
        Err(_) => Check::new(
            "dns",
            CheckOutcome::Warning,
            "the DNS server does not answer".into(),
            "check the DNS server in the network settings",
        ),
    }
}

/// Free bytes, and how long a sync of a small write takes (median of nine).
fn measure(folder: &Path) -> std::io::Result<(u64, Duration)> {
    fs::create_dir_all(folder)?;
    let path = folder.join(".disk-check");
    let mut file = fs::File::create(&path)?;
    let mut times = Vec::new();
    for _ in 0..9 {
        let start = Instant::now();
        file.write_all(&[0; 4096])?;
        file.sync_data()?;
        times.push(start.elapsed());
    }
    drop(file);
    fs::remove_file(&path)?;
    times.sort();
    let stat = nix::sys::statvfs::statvfs(folder)?;
    Ok((stat.blocks_available() as u64 * stat.fragment_size() as u64, times[4]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_taken_port_fails_with_the_remedy() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let checker = Checker {
            data: folder.path().to_owned(),
            listen: vec![("imap".into(), taken.local_addr().unwrap())],
        };
        let checks = checker.run("", "").await;
        let failed: Vec<_> = checks.iter().filter(|c| c.outcome == CheckOutcome::Failed).collect();
        assert_eq!(failed.len(), 1, "{checks:?}");
        assert!(failed[0].remedy.contains("another program"));
    }

    #[test]
    fn a_folder_that_cannot_be_made_fails_the_disk_check() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let check = Checker { data: file.join("below"), listen: vec![] }.disk();
        assert_eq!(check.outcome, CheckOutcome::Failed);
        assert!(!check.remedy.is_empty());
    }
}
