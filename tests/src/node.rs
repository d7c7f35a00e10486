//! A real node: the program, started on free loopback ports in a folder of its own.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    net::SocketAddr,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

/// Longest wait for a node to serve or to stop.
const PATIENCE: Duration = Duration::from_secs(30);

/// Password of all users of a [`TestNode`].
pub const PASSWORD: &str = "Correct-Horse-9-Battery";

/// Users of a [`TestNode`]: `admin` is a full administrator.
pub const USERS: &[&str] = &["admin", "anna", "bob", "chen"];

/// The program under test, built beside the test, or beside the program that tests it.
pub fn program() -> PathBuf {
    let exe = std::env::current_exe().unwrap_or_default();
    let mut places = exe.ancestors().skip(1).take(2).map(|folder| folder.join("posthouse"));
    places.find(|program| program.is_file()).unwrap_or_else(|| PathBuf::from("posthouse"))
}

/// How to start a node.
#[derive(Clone, Debug, Default)]
pub struct NodeOptions {
    /// Put before the program: `faketime -f +10m`, `lab-exec mail`, for instance.
    pub wrapper: Vec<String>,
    /// Put before all of that and before the command line: where both run.
    pub enter: Vec<String>,
    /// Environment variables.
    pub environment: Vec<(String, String)>,
    /// Text to append to the answers file.
    pub more_answers: String,
    /// Text of `node.toml` to start with.
    pub node_toml: Option<String>,
    /// Where to keep the data; a fresh temporary folder if left out.
    pub data: Option<PathBuf>,
    /// `--listen`; `free` if left out.
    pub listen: Option<&'static str>,
    /// Start without answers: the node waits for set-up.
    pub no_answers: bool,
    /// Host name; `mail.example.test` if left out.
    pub host: Option<String>,
    /// Site; the usual one if left out.
    pub site: Option<String>,
    /// Code of an invite: the node joins a cluster.
    pub join: Option<String>,
    /// Address (`host:port`) under which other nodes reach it; only with `join`.
    pub link: Option<String>,
}

/// A running node. Dropped: killed, and its folder removed.
pub struct TestNode {
    child: Option<Child>,
    folder: tempfile::TempDir,
    data: PathBuf,
    options: NodeOptions,
    /// Where each service listens, by its name in `node.toml`.
    pub ports: BTreeMap<String, SocketAddr>,
}

impl TestNode {
    /// A node with [`USERS`], group `team` (all but admin), alias `info*` → anna, bob, in `example.test`.
    pub fn start() -> Result<Self> {
        Self::with(NodeOptions::default())
    }

    /// A node as `options` say.
    pub fn with(options: NodeOptions) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let data = options.data.clone().unwrap_or_else(|| folder.path().join("data"));
        fs::create_dir_all(&data)?;
        if let Some(text) = &options.node_toml {
            fs::write(data.join("node.toml"), text)?;
        }
        let mut node = Self { child: None, folder, data, options, ports: BTreeMap::new() };
        fs::write(node.answers(), node.answers_text())?;
        node.spawn()?;
        Ok(node)
    }

    fn answers(&self) -> PathBuf {
        self.folder.path().join("answers.toml")
    }

    fn answers_text(&self) -> String {
        let host = self.options.host.as_deref().unwrap_or("mail.example.test");
        let mut text = format!("host = '{host}'\n");
        for (name, value) in [("site", &self.options.site), ("join", &self.options.join)] {
            if let Some(value) = value {
                text += &format!("{name} = '{value}'\n");
            }
        }
        if self.options.join.is_some() {
            let links = self.options.link.iter().map(|link| format!("links = ['{link}']\n"));
            return text + &links.collect::<String>() + &self.options.more_answers;
        }
        text += "domain = 'example.test'\n";
        for name in USERS {
            let section = if *name == "admin" { "[administrator]" } else { "[[users]]" };
            text += &format!(
                "{section}\nname = '{name}'\ndisplay_name = '{} Example'\npassword = '{PASSWORD}'\n",
                name[..1].to_uppercase() + &name[1..]
            );
        }
        text += "[[groups]]\nname = 'team'\naddress = 'team'\nmembers = ['anna', 'bob', 'chen']\n";
        text += "[[aliases]]\nname = 'info*'\ntargets = ['anna', 'bob']\n";
        text + &self.options.more_answers
    }

    /// Starts the program again after [`TestNode::kill`] or [`TestNode::stop`], on the same data.
    pub fn spawn(&mut self) -> Result<()> {
        ensure!(self.child.is_none(), "the node runs already");
        let _ = fs::remove_file(self.data.join("addresses.json"));
        let program = program();
        ensure!(program.exists(), "{} is not built: cargo build -p posthouse", program.display());
        let mut words = [self.options.enter.clone(), self.options.wrapper.clone()].concat();
        words.push(program.display().to_string());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).arg("run").arg("--data").arg(&self.data);
        command.arg("--listen").arg(self.options.listen.unwrap_or("free"));
        if !self.options.no_answers && !self.is_set_up() {
            command.arg("--answers").arg(self.answers());
        }
        command.envs(self.options.environment.iter().map(|(k, v)| (k, v)));
        let log = fs::OpenOptions::new().create(true).append(true).open(self.log_path())?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.child = Some(command.spawn().with_context(|| format!("{words:?} cannot be started"))?);
        self.wait_until_serving()
    }

    fn is_set_up(&self) -> bool {
        fs::read_to_string(self.data.join("node.toml")).is_ok_and(|text| text.contains("host = "))
            && self.data.join("domain").read_dir().is_ok_and(|mut files| files.next().is_some())
    }

    fn wait_until_serving(&mut self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let wanted = if self.options.no_answers && !self.is_set_up() { 1 } else { 2 };
        loop {
            if let Some(status) =
                self.child.as_mut().and_then(|child| child.try_wait().ok().flatten())
            {
                self.child = None;
                bail!("the node ended with {status}:\n{}", self.log());
            }
            let text = fs::read_to_string(self.data.join("addresses.json")).unwrap_or_default();
            if let Ok(ports) = serde_json::from_str::<BTreeMap<String, SocketAddr>>(&text)
                && ports.len() >= wanted
            {
                self.ports = ports;
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "the node does not serve:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Reads again where the services listen: after set-up there are more.
    pub fn wait_for_services(&mut self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while self.ports.len() < 2 {
            ensure!(Instant::now() < deadline, "the node does not serve:\n{}", self.log());
            let text = fs::read_to_string(self.data.join("addresses.json")).unwrap_or_default();
            self.ports = serde_json::from_str(&text).unwrap_or_default();
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Where a service listens.
    pub fn port(&self, name: &str) -> SocketAddr {
        self.ports[name]
    }

    /// Data folder.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// A folder of this node's test for other files.
    pub fn scratch(&self) -> &Path {
        self.folder.path()
    }

    /// Certificate of the node's CA (PEM).
    pub fn ca(&self) -> PathBuf {
        self.data.join("tls/ca.pem")
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("node.log")
    }

    /// Everything that the node has printed so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// Whether it runs.
    pub fn is_running(&self) -> bool {
        self.child.is_some()
    }

    /// How the next start differs.
    pub fn options_mut(&mut self) -> &mut NodeOptions {
        &mut self.options
    }

    /// Sends a signal that the process survives.
    pub fn send(&self, signal: nix::sys::signal::Signal) -> Result<()> {
        ensure!(self.is_running(), "the node does not run");
        Ok(nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.pid() as i32), signal)?)
    }

    /// Waits until the log has a line that contains all of `parts`, and returns it.
    pub fn wait_for_log(&self, parts: &[&str]) -> Result<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let log = self.log();
            if let Some(line) =
                log.lines().find(|line| parts.iter().all(|part| line.contains(part)))
            {
                return Ok(line.to_owned());
            }
            ensure!(Instant::now() < deadline, "no line with {parts:?} in the log:\n{log}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Kills the node as kill -9 does.
    pub fn kill(&mut self) -> Result<ExitStatus> {
        self.signal(nix::sys::signal::Signal::SIGKILL)
    }

    /// Stops the node as systemd does, and waits.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        self.signal(nix::sys::signal::Signal::SIGTERM)
    }

    fn signal(&mut self, signal: nix::sys::signal::Signal) -> Result<ExitStatus> {
        let mut child = self.child.take().context("the node does not run")?;
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(child.id() as i32), signal)?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(status);
            }
            if Instant::now() >= deadline {
                child.kill()?;
                child.wait()?;
                bail!("the node did not stop:\n{}", self.log());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Runs the command line against this node.
    pub fn command<I, S>(&self, arguments: I) -> Result<Output>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        let mut words = self.options.enter.clone();
        words.push(program().display().to_string());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).args(arguments).arg("--data").arg(&self.data);
        Ok(command.stdin(Stdio::null()).output()?)
    }

    /// Runs the command line with `--json` and returns the answer.
    pub fn json<I, S>(&self, arguments: I) -> Result<serde_json::Value>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        let words: Vec<_> = arguments.into_iter().map(|word| word.as_ref().to_owned()).collect();
        let output =
            self.command(words.iter().map(AsRef::<OsStr>::as_ref).chain([OsStr::new("--json")]))?;
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "{words:?}: {errors}");
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}

/// Whether a process ended by SIGKILL.
pub fn was_killed(status: ExitStatus) -> bool {
    status.signal() == Some(9)
}

impl Drop for TestNode {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // The wrapper passes SIGTERM on; SIGKILL would leave the program behind.
            let pid = nix::unistd::Pid::from_raw(child.id() as i32);
            if !self.options.wrapper.is_empty() {
                let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
                let deadline = Instant::now() + Duration::from_secs(5);
                while Instant::now() < deadline
                    && child.try_wait().is_ok_and(|status| status.is_none())
                {
                    std::thread::sleep(Duration::from_millis(5));
                }
            }
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
