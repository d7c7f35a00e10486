//! The main job: a user of a real Active Directory signs on to a whole node with a ticket or a password, gets
//! mail, sends mail, and finds colleagues, with clients as they are in use.
#![allow(clippy::unwrap_used)] // a test fails by panicking

use std::{
    path::PathBuf,
    process::Output,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use posthouse_tests::{
    lab::{self, AdLab, AdminOp},
    node::{NodeOptions, TestNode},
    wire::Smtp,
};
use tokio::process::Command;

const HOST: &str = "mail.example.test";
const PATIENCE: Duration = Duration::from_secs(30);

/// A node on the well-known ports of the lab's mail host, with the lab's directory mapped and its keytab in use.
fn node(lab: &AdLab, options: NodeOptions) -> Result<TestNode> {
    let reader = lab.account("posthouse-read");
    let more_answers = format!(
        "[directory]\ndomain = '{}'\ncontrollers = ['{}']\nca_file = '{}'\nbind_name = '{}'\nbind_password = '{}'\n\
         keytab_file = '{}'\n",
        lab.dns_domain,
        lab.dc_host,
        lab.ca.display(),
        reader.upn,
        reader.password,
        lab.keytab.display()
    );
    TestNode::with(NodeOptions { more_answers, listen: Some("standard"), ..options })
}

async fn wait_for<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return Ok(found);
        }
        ensure!(Instant::now() < deadline, "{what} does not happen");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn mapped(node: &TestNode, name: &str) -> Result<()> {
    let mapped = async || {
        let users = node.json(["user", "list", name]).ok()?;
        users["items"].as_array()?.iter().any(|user| user["mapped"] == true).then_some(())
    };
    wait_for(&format!("mapping of {name}"), mapped).await.with_context(|| node.log())
}

fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Runs a client and returns what it printed.
async fn client(command: &mut Command) -> Result<String> {
    let output = tokio::time::timeout(PATIENCE, command.kill_on_drop(true).output());
    let output = output.await.with_context(|| format!("{command:?} does not end"))??;
    Ok(text(&output))
}

async fn client_with_input(command: &mut Command, input: &str) -> Result<String> {
    use std::process::Stdio;
    use tokio::io::AsyncWriteExt;
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn()?;
    let mut stdin = child.stdin.take().context("no stdin")?;
    stdin.write_all(input.as_bytes()).await?;
    drop(stdin);
    let output = tokio::time::timeout(PATIENCE, child.wait_with_output());
    Ok(text(&output.await.with_context(|| format!("{command:?} does not end"))??))
}

struct World {
    node: TestNode,
    lab: AdLab,
    ccache: String,
}

impl World {
    async fn start(lab: AdLab) -> Result<Self> {
        let node = node(&lab, NodeOptions::default())?;
        mapped(&node, "alice").await?;
        let ccache = lab.kinit("alice").await?;
        Ok(Self { node, lab, ccache })
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("KRB5CCNAME", &self.ccache).env("LDAPTLS_CACERT", self.node.ca());
        command.env("HOME", self.node.scratch());
        command
    }

    fn ca(&self) -> String {
        self.node.ca().display().to_string()
    }

    fn file(&self, name: &str, content: &str) -> Result<PathBuf> {
        use std::os::unix::fs::PermissionsExt;
        let path = self.node.scratch().join(name);
        std::fs::write(&path, content)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        Ok(path)
    }

    async fn imap_clients(&self) -> Result<()> {
        let reply = Smtp::connect(self.node.port("smtp"))?.deliver(
            "alice@example.test",
            "Subject: to-alice\r\nMessage-ID: <first>\r\n\r\nhello alice",
        )?;
        ensure!(reply.starts_with("250"), "{reply}");
        let url = format!("imaps://{HOST}/INBOX;MAILINDEX=1");
        let mut curl = self.command("curl");
        curl.args(["-sS", "--cacert", &self.ca(), "--login-options", "AUTH=GSSAPI"]);
        let printed = client(curl.args(["-u", "alice@AD.EXAMPLE.TEST:", &url])).await?;
        ensure!(printed.contains("hello alice"), "curl by ticket: {printed}");
        let password = &self.lab.account("alice").password;
        let mut curl = self.command("curl");
        curl.args(["-sS", "--cacert", &self.ca(), "--login-options", "AUTH=PLAIN"]);
        curl.args(["-u", &format!("alice@example.test:{password}"), &url]);
        let printed = client(&mut curl).await?;
        ensure!(printed.contains("hello alice"), "curl by password: {printed}");
        for mechanism in ["GSSAPI", "GSS-SPNEGO"] {
            let mut imtest = self.command("/usr/lib/cyrus/bin/imtest");
            // In clear: under TLS imtest binds to the channel by tls-unique, which TLS 1.3 no longer has.
            // No SASL layer (-l 0): with GSS-SPNEGO Cyrus would take one without asking the server.
            imtest.args(["-l", "0", "-m", mechanism, "-u", "alice", "-a", "alice", HOST]);
            let printed = client_with_input(&mut imtest, ". LOGOUT\r\n").await?;
            ensure!(
                printed.contains("Authenticated."),
                "imtest {mechanism}: {printed}\n{}",
                self.node.log()
            );
        }
        let local = self.node.scratch().join("alice");
        std::fs::create_dir_all(&local)?;
        let config = format!(
            "IMAPAccount ours\nHost {HOST}\nUser alice\nAuthMechs GSSAPI\nSSLType IMAPS\nCertificateFile {}\n\n\
             IMAPStore far\nAccount ours\n\nMaildirStore near\nPath {}/\nInbox {}/INBOX\n\n\
             Channel mail\nFar :far:\nNear :near:\nPatterns INBOX\nCreate Near\nSync Pull\n",
            self.ca(),
            local.display(),
            local.display()
        );
        let config = self.file("mbsyncrc", &config)?;
        let printed = client(self.command("mbsync").arg("-c").arg(config).arg("mail")).await?;
        let fetched = std::fs::read_dir(local.join("INBOX/new")).map(Iterator::count).unwrap_or(0)
            + std::fs::read_dir(local.join("INBOX/cur")).map(Iterator::count).unwrap_or(0);
        ensure!(fetched == 1, "mbsync by ticket: {printed}");
        Ok(())
    }

    async fn smtp_clients(&self) -> Result<()> {
        let config = format!(
            "account default\nhost {HOST}\nport 587\ntls on\ntls_starttls on\ntls_trust_file {}\nauth gssapi\n\
             user alice\nfrom alice@example.test\n",
            self.ca()
        );
        let config = self.file("msmtprc", &config)?;
        let mut msmtp = self.command("msmtp");
        msmtp.arg("-C").arg(config).arg("bob@example.test");
        let mail =
            "From: alice@example.test\nTo: bob@example.test\nSubject: by ticket\n\nhello bob\n";
        let printed = client_with_input(&mut msmtp, mail).await?;
        ensure!(printed.is_empty(), "msmtp by ticket: {printed}");
        for mechanism in ["GSSAPI", "GSS-SPNEGO"] {
            let mut smtptest = self.command("/usr/lib/cyrus/bin/smtptest");
            smtptest.args([
                "-l", "0", "-p", "587", "-m", mechanism, "-u", "alice", "-a", "alice", HOST,
            ]);
            let printed = client_with_input(&mut smtptest, "QUIT\r\n").await?;
            ensure!(printed.contains("Authenticated."), "smtptest {mechanism}: {printed}");
        }
        let mut msmtp = self.command("msmtp");
        msmtp.arg("-C").arg(self.node.scratch().join("msmtprc")).args([
            "-f",
            "bob@example.test",
            "carol@example.test",
        ]);
        let printed =
            client_with_input(&mut msmtp, "From: bob@example.test\nSubject: forged\n\nx\n").await?;
        ensure!(printed.contains("55"), "a foreign sender must be refused: {printed}");
        Ok(())
    }

    async fn ldap_clients(&self) -> Result<()> {
        for (mechanism, filter) in [
            ("GSSAPI", "(cn=*ob*)"),
            ("GSS-SPNEGO", "(mail=bo*)"),
            ("GSSAPI", "(telephoneNumber=*30*)"),
        ] {
            let mut search = self.command("ldapsearch");
            // Under TLS no second layer: with GSS-SPNEGO Cyrus would take one without asking.
            search.args(["-O", "maxssf=0"]);
            search.args([
                "-LLL",
                "-Q",
                "-Y",
                mechanism,
                "-ZZ",
                "-H",
                &format!("ldap://{HOST}"),
                "-b",
                "",
                filter,
                "mail",
            ]);
            let printed = client(&mut search).await?;
            ensure!(
                printed.contains("@example.test"),
                "ldapsearch {mechanism} {filter}: {printed}"
            );
        }
        let mut anonymous = self.command("ldapsearch");
        anonymous.args(["-LLL", "-x", "-ZZ", "-H", &format!("ldap://{HOST}"), "-b", "", "(cn=*)"]);
        let printed = client(&mut anonymous).await?;
        ensure!(!printed.contains("@example.test"), "anonymous search: {printed}");
        Ok(())
    }

    async fn web_clients(&self) -> Result<()> {
        let url = format!("https://{HOST}/api/v1/session/negotiate");
        let mut curl = self.command("curl");
        curl.args(["-sS", "--cacert", &self.ca(), "--negotiate", "-u", ":", "-i", &url]);
        let printed = client(&mut curl).await?;
        ensure!(
            printed.contains("HTTP/2 2") || printed.contains("HTTP/1.1 2"),
            "curl --negotiate: {printed}"
        );
        ensure!(printed.to_lowercase().contains("set-cookie"), "no session: {printed}");
        let profile = self.node.scratch().join("chromium");
        std::fs::create_dir_all(&profile)?;
        // Without this the first Negotiate challenge of a fresh profile fails: the library is loaded by it.
        let state = r#"{"net":{"received_http_auth_negotiate_headers":true}}"#;
        std::fs::write(profile.join("Local State"), state)?;
        let mut chromium = self.command("chromium");
        chromium
            .arg(format!("--user-data-dir={}", profile.display()))
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--no-first-run",
            ])
            .args([
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
            ])
            .args([
                "--ignore-certificate-errors",
                "--auth-server-allowlist=mail.example.test",
                "--dump-dom",
                &url,
            ]);
        let printed = client(&mut chromium).await?;
        ensure!(printed.contains("alice"), "Chromium by ticket: {printed}");
        Ok(())
    }
}

#[test]
fn a_domain_user_with_a_ticket_has_mail_sign_on_and_the_address_book() {
    lab::run(|lab| async move {
        let world = World::start(lab).await?;
        world.imap_clients().await?;
        world.smtp_clients().await?;
        world.ldap_clients().await?;
        world.web_clients().await
    });
}

/// The newest explanation for a user, as the administrator sees it.
async fn explanation(node: &TestNode, name: &str) -> Result<String> {
    let look = async || {
        let output = node.command(["auth", "explain", name, "--limit", "1"]).ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.contains('→').then_some(text)
    };
    wait_for(&format!("an explanation for {name}"), look).await.with_context(|| node.log())
}

async fn imap_password(node: &TestNode, name: &str, password: &str) -> Result<String> {
    let user = format!("{name}@example.test:{password}");
    let mut curl = Command::new("curl");
    curl.args([
        "-sS",
        "--cacert",
        &node.ca().display().to_string(),
        "--login-options",
        "AUTH=PLAIN",
    ]);
    curl.args(["-u", &user, &format!("imaps://{HOST}/INBOX")]);
    client(&mut curl).await
}

#[test]
fn each_refused_sign_on_is_explained_to_the_administrator_only() {
    lab::run(|lab| async move {
        let node = node(&lab, NodeOptions::default())?;
        mapped(&node, "alice").await?;
        let right = |name: &str| lab.account(name).password.clone();
        let cases = [
            ("alice", "wrong-password-1".to_owned(), "password"),
            ("disabled", right("disabled"), "disabled"),
            ("expired", right("expired"), "expired"),
            ("oldpass", right("oldpass"), "password has expired"),
        ];
        let mut public = std::collections::BTreeSet::new();
        for (name, password, cause) in cases {
            public.insert(imap_password(&node, name, &password).await?);
            let explained = explanation(&node, name).await?;
            ensure!(explained.to_lowercase().contains(cause), "{name}: {explained}");
        }
        ensure!(public.len() == 1, "the client must not learn the cause: {public:?}");
        Ok(())
    });
}

#[test]
fn a_user_disabled_in_the_directory_is_signed_out_of_a_running_session() {
    lab::run(|lab| async move {
        let node = node(&lab, NodeOptions::default())?;
        mapped(&node, "alice").await?;
        node.json(["setting", "set", "sources.interval_seconds", "5"]).ok();
        let password = lab.account("alice").password.clone();
        let mut imap = posthouse_tests::wire::Imap(posthouse_tests::wire::Lines::tls(
            node.port("imaps"),
            &node.ca(),
        )?);
        imap.0.line()?;
        imap.ok(&format!("LOGIN alice {password}"))?;
        imap.ok("SELECT INBOX")?;
        imap.0.send(b"i IDLE\r\n")?;
        let idling = imap.0.line()?;
        ensure!(idling.starts_with('+'), "{idling}");
        lab.admin(&[AdminOp::Disable { name: "alice".into() }]).await?;
        let begin = Instant::now();
        node.json(["source", "sync", &lab.dns_domain])?;
        let bye = tokio::task::spawn_blocking(move || imap.0.line()).await??;
        ensure!(bye.starts_with("* BYE"), "{bye}");
        ensure!(begin.elapsed() < Duration::from_secs(60), "{:?}", begin.elapsed());
        Ok(())
    });
}

#[test]
fn a_clock_that_is_ten_minutes_off_is_named_as_the_cause() {
    lab::run(|lab| async move {
        let options = NodeOptions {
            wrapper: ["faketime", "-f", "+10m"].map(str::to_owned).to_vec(),
            environment: vec![("DONT_FAKE_MONOTONIC".into(), "1".into())],
            ..NodeOptions::default()
        };
        let node = node(&lab, options)?;
        mapped(&node, "alice").await?;
        let ccache = lab.kinit("alice").await?;
        let mut imtest = Command::new("/usr/lib/cyrus/bin/imtest");
        imtest.env("KRB5CCNAME", ccache).args(["-m", "GSSAPI", "-u", "alice", "-a", "alice", HOST]);
        let printed = client_with_input(&mut imtest, ". LOGOUT\r\n").await?;
        ensure!(!printed.contains("Authenticated."), "{printed}");
        let explained = explanation(&node, "last").await?;
        ensure!(explained.to_lowercase().contains("clock"), "{explained}");
        Ok(())
    });
}
