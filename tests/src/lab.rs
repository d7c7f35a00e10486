//! A real Active Directory on this machine: a Samba domain controller and a host for the server under test, in
//! network namespaces of their own. The work is done by the scripts in `tests/lab`, see the README there.
//!
//! ```no_run
//! posthouse_tests::lab::run(|lab| async move {
//!     let ccache = lab.kinit("alice").await?;
//!     let status = lab.exec("mail", "klist").env("KRB5CCNAME", ccache).status().await?;
//!     assert!(status.success());
//!     Ok(())
//! });
//! ```

use std::{
    collections::BTreeMap,
    fs::File,
    future::Future,
    io::{BufRead, BufReader},
    ops::Deref,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;

/// An account of the lab's directory.
#[derive(Clone, Debug, Deserialize)]
pub struct LabAccount {
    /// Password.
    pub password: String,
    /// Distinguished name when the lab was made.
    pub dn: String,
    /// userPrincipalName.
    pub upn: String,
}

/// Names, addresses and files of a lab (its `lab.json`).
#[derive(Clone, Debug, Deserialize)]
pub struct LabInfo {
    /// Folder of the lab.
    pub folder: PathBuf,
    /// Kerberos realm.
    pub realm: String,
    /// DNS name of the directory's domain.
    pub dns_domain: String,
    /// NetBIOS name of the domain.
    pub netbios: String,
    /// Default naming context.
    pub base_dn: String,
    /// Host name of the controller.
    pub dc_host: String,
    /// Its address.
    pub dc_ip: String,
    /// Name of the second address of the controller, which stands for a second controller.
    pub dc2_host: String,
    /// That address.
    pub dc2_ip: String,
    /// An address in the same network where nobody answers.
    pub dead_ip: String,
    /// Host name whose service principals the directory has.
    pub mail_host: String,
    /// Its address.
    pub mail_ip: String,
    /// Password of `Administrator`.
    pub admin_password: String,
    /// Certificate authority of the controller (PEM).
    pub ca: PathBuf,
    /// A certificate authority that signed nothing here.
    pub other_ca: PathBuf,
    /// krb5.conf, for use outside of the lab's hosts; inside it is `/etc/krb5.conf`.
    pub krb5_conf: PathBuf,
    /// Keytab of the service principals of `mail_host`.
    pub keytab: PathBuf,
    /// The same before the last change of the service's password: an older key version.
    pub old_keytab: PathBuf,
    /// Keytab of another service.
    pub other_keytab: PathBuf,
    /// Accounts by sAMAccountName.
    pub accounts: BTreeMap<String, LabAccount>,
}

/// An operation on the running directory; those of one call are one transaction. Accounts are named by sAMAccountName,
/// `ou` is relative to the domain (`OU=Berlin`).
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "op", rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum AdminOp {
    AddUser {
        name: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        password: Option<String>,
        attributes: serde_json::Value,
    },
    AddContact {
        name: String,
        attributes: serde_json::Value,
    },
    AddGroup {
        name: String,
        members: Vec<String>,
        attributes: serde_json::Value,
    },
    /// Users `prefix0001` … in `OU=Bulk`, made members of `group`.
    AddMany {
        prefix: String,
        count: u32,
        #[serde(skip_serializing_if = "Option::is_none")]
        group: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        mail_domain: Option<String>,
    },
    AddMembers {
        group: String,
        members: Vec<String>,
    },
    RemoveMembers {
        group: String,
        members: Vec<String>,
    },
    /// Replaces attributes; null removes one.
    Modify {
        name: String,
        attributes: serde_json::Value,
    },
    /// New sAMAccountName, UPN and CN.
    Rename {
        name: String,
        new_name: String,
    },
    Move {
        name: String,
        ou: String,
    },
    Disable {
        name: String,
    },
    Enable {
        name: String,
    },
    Delete {
        name: String,
    },
    SetPassword {
        name: String,
        password: String,
    },
    AddOu {
        name: String,
    },
}

/// A running lab. Dropping it ends every process of it and removes its folder.
#[derive(Debug)]
pub struct AdLab {
    info: LabInfo,
    holder: Child,
    _folder: tempfile::TempDir,
}

impl Deref for AdLab {
    type Target = LabInfo;

    fn deref(&self) -> &LabInfo {
        &self.info
    }
}

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("lab")
}

/// Where provisioned controllers are kept between tests.
fn cache() -> PathBuf {
    std::env::var_os("LAB_CACHE").map_or_else(
        || {
            std::env::var_os("CARGO_TARGET_DIR")
                .map_or_else(
                    || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"),
                    PathBuf::from,
                )
                .join("lab-cache")
        },
        PathBuf::from,
    )
}

impl AdLab {
    /// Starts a lab. Needs root and the packages of `tests/lab/packages.txt`.
    pub async fn start() -> Result<Self> {
        tokio::task::spawn_blocking(Self::start_blocking).await?
    }

    /// [`AdLab::start`] where there is no runtime yet.
    pub fn start_blocking() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("adlab").tempdir()?;
        let mut holder = std::process::Command::new(scripts().join("ad-up"))
            .arg("--hold")
            .arg(folder.path())
            .env("LAB_CACHE", cache())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(folder.path().join("up.log"))?)
            .spawn()
            .context("tests/lab/ad-up")?;
        let mut line = String::new();
        let stdout = holder.stdout.take().context("no stdout")?;
        BufReader::new(stdout).read_line(&mut line)?;
        if line.trim() != "ready" {
            let log = std::fs::read_to_string(folder.path().join("up.log")).unwrap_or_default();
            let _ = holder.kill();
            let _ = holder.wait();
            bail!("the lab did not come up: {log}");
        }
        let info = serde_json::from_slice(&std::fs::read(folder.path().join("lab.json"))?)?;
        Ok(Self { info, holder, _folder: folder })
    }

    /// An account by sAMAccountName.
    ///
    /// # Panics
    /// If the lab was not made with it.
    pub fn account(&self, name: &str) -> &LabAccount {
        self.accounts.get(name).unwrap_or_else(|| panic!("the lab has no account {name}"))
    }

    /// A command that will run in host `mail` or `dc1`. In `mail` its pid is the command's own. It ends when the handle
    /// of the running child is dropped.
    pub fn exec(
        &self,
        host: &str,
        command: impl AsRef<std::ffi::OsStr>,
    ) -> tokio::process::Command {
        let mut prepared = tokio::process::Command::new(scripts().join("lab-exec"));
        prepared
            .arg("-l")
            .arg(&self.folder)
            .arg(host)
            .arg(command)
            .env("KRB5CCNAME", self.ccache("default"))
            .kill_on_drop(true);
        prepared
    }

    fn ccache(&self, name: &str) -> String {
        format!("FILE:{}", self.folder.join("cc").join(name).display())
    }

    /// Gets a ticket for `user` with the password of the lab. Returns the value for `KRB5CCNAME`.
    pub async fn kinit(&self, user: &str) -> Result<String> {
        let account = self.account(user);
        self.kinit_with(&account.upn, &account.password).await
    }

    /// Gets a ticket with any principal (enterprise names allowed) and password.
    pub async fn kinit_with(&self, principal: &str, password: &str) -> Result<String> {
        let ccache = self.ccache(&principal.replace(['@', '/'], "-"));
        let mut kinit = self.exec("mail", "kinit");
        kinit.args(["-E", "-C", "-c", &ccache, principal]);
        let output = feed(kinit, format!("{password}\n").as_bytes()).await?;
        if !output.status.success() {
            bail!("kinit: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(ccache)
    }

    /// Changes the directory.
    pub async fn admin(&self, operations: &[AdminOp]) -> Result<()> {
        let command = self.exec("dc1", scripts().join("ad-admin"));
        let output = feed(command, &serde_json::to_vec(operations)?).await?;
        if !output.status.success() {
            bail!("ad-admin: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }

    /// Ends the controller: its addresses answer with resets.
    pub async fn dc_stop(&self) -> Result<()> {
        self.script("dc-stop").await
    }

    /// Starts the controller again and waits until it answers.
    pub async fn dc_start(&self) -> Result<()> {
        self.script("dc-start").await
    }

    /// Cuts the controller off (packets vanish) or connects it again.
    pub async fn dc_cut(&self, cut: bool) -> Result<()> {
        let state = if cut { "down" } else { "up" };
        let status = self.exec("dc1", "ip").args(["link", "set", "eth0", state]).status().await?;
        if !status.success() {
            bail!("ip link set eth0 {state}: {status}");
        }
        Ok(())
    }

    async fn script(&self, name: &str) -> Result<()> {
        let output = tokio::process::Command::new(scripts().join(name))
            .env("LAB", &self.folder)
            .stdin(Stdio::null())
            .output()
            .await?;
        if !output.status.success() {
            bail!("{name}: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }

    /// Moves the calling thread into host `mail`: its network and its `/etc`. Threads that it starts from now on are
    /// there too. Pid and file system are otherwise those of this process.
    pub fn enter(&self) -> Result<()> {
        enter(&self.folder)
    }
}

fn enter(folder: &Path) -> Result<()> {
    use nix::sched::{CloneFlags, setns, unshare};
    let pid = std::fs::read_to_string(folder.join("run/mail.pid"))?;
    let namespace = |kind| File::open(format!("/proc/{}/ns/{kind}", pid.trim()));
    let (network, mounts) = (namespace("net")?, namespace("mnt")?);
    let here = std::env::current_dir()?;
    // Only a thread that shares root and working folder with nobody may change its mounts.
    unshare(CloneFlags::CLONE_FS).context("unshare")?;
    setns(network, CloneFlags::CLONE_NEWNET).context("setns net")?;
    setns(mounts, CloneFlags::CLONE_NEWNS).context("setns mnt")?;
    std::env::set_current_dir(here)?;
    Ok(())
}

/// Runs a command with `input` on stdin.
async fn feed(mut command: tokio::process::Command, input: &[u8]) -> Result<std::process::Output> {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // A command that fails early does not read; its own message says why.
        let _ = stdin.write_all(input).await;
    }
    Ok(child.wait_with_output().await?)
}

/// Starts a lab and runs a test in it, on a runtime whose threads are all inside host `mail`.
///
/// # Panics
/// If the lab does not start or the test fails.
pub fn run<F, Fut>(test: F)
where
    F: FnOnce(AdLab) -> Fut + Send + 'static,
    Fut: Future<Output = Result<()>>,
{
    let lab = AdLab::start_blocking().unwrap_or_else(|e| panic!("{e:#}"));
    let folder = lab.folder.clone();
    let thread = std::thread::spawn(move || -> Result<()> {
        lab.enter()?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .on_thread_start(move || enter(&folder).unwrap_or_else(|e| panic!("{e:#}")))
            .build()?;
        runtime.block_on(test(lab))
    });
    match thread.join() {
        Ok(Ok(())) => {}
        Ok(Err(e)) => panic!("{e:#}"),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

impl Drop for AdLab {
    fn drop(&mut self) {
        // The end of its stdin ends the holder, and that ends everything else.
        drop(self.holder.stdin.take());
        let deadline = Instant::now() + Duration::from_secs(3);
        while Instant::now() < deadline {
            if matches!(self.holder.try_wait(), Ok(Some(_)) | Err(_)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
