//! Sign-on with a real domain controller: tickets, passwords, and why they are refused.

use std::{net::IpAddr, process::Stdio};

use anyhow::{Context, Result, bail};
use base64::{Engine, engine::general_purpose::STANDARD};
use posthouse_auth::{AuthOptions, Authenticator, Identity, Origin, Reason, Service, Step};
use posthouse_cluster::{Environment, Node, NodeId, NodeOptions, Timestamp};
use posthouse_directory::{
    Account, AccountId, Actor, Change, Directory, DirectoryOptions, Domain, DomainId, Kind,
    Origin as AccountOrigin, SettingChange, SourceId, SourceKind, SourceSpec, SourceTls, State,
    User, fresh_id, key,
};
use posthouse_tests::lab::{self, AdLab, AdminOp};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, Command},
};

/// A node with users of the lab mapped, and the lab's keytab in use.
struct Site {
    auth: Authenticator,
    directory: Directory,
    domain: DomainId,
    source: SourceSpec,
    _node: Node,
    _folder: tempfile::TempDir,
}

fn actor() -> Actor {
    Actor::System("test".into())
}

async fn site(lab: &AdLab) -> Result<Site> {
    let folder = tempfile::tempdir()?;
    let options = NodeOptions::alone(NodeId(1), folder.path().join("log"));
    let node = Node::open(Environment::real(), options).await?;
    let options = DirectoryOptions { folder: folder.path().join("directory"), bootstrap: true };
    let directory = Directory::open(&node, options).await?;
    let domain = DomainId(fresh_id());
    let name = "example.test".to_owned();
    let put = Domain { id: domain, name, aliases: vec![], primary: true, description: "".into() };
    directory.change(actor(), Change::PutDomain(put)).await?;
    let source = SourceSpec {
        id: SourceId(fresh_id()),
        name: "lab".into(),
        kind: SourceKind::ActiveDirectory,
        domain,
        directory_domain: lab.dns_domain.clone(),
        controllers: vec![lab.dc_host.clone()],
        tls: SourceTls::Ldaps,
        ca: std::fs::read_to_string(&lab.ca)?,
        bind_name: "posthouse-read@ad.example.test".into(),
        bind_secret: Vec::new(),
        base: String::new(),
        user_filter: String::new(),
        removal_threshold_percent: 20,
        enabled: true,
        watermark: None,
        problem: String::new(),
    };
    directory.change(actor(), Change::PutSource(Box::new(source.clone()))).await?;
    let options = AuthOptions { folder: folder.path().join("auth"), host: lab.mail_host.clone() };
    let auth = Authenticator::open(directory.clone(), options).await.map_err(anyhow::Error::msg)?;
    auth.put_keytab(actor(), &std::fs::read(&lab.keytab)?).await.map_err(anyhow::Error::msg)?;
    Ok(Site { auth, directory, domain, source, _node: node, _folder: folder })
}

impl Site {
    async fn map(&self, lab: &AdLab, name: &str) -> Result<Account> {
        let known = lab.account(name);
        let account = Account {
            id: AccountId(fresh_id()),
            domain: self.domain,
            name: name.into(),
            display_name: name.into(),
            addresses: vec![],
            origin: AccountOrigin::Mapped {
                source: self.source.id,
                key: name.as_bytes().to_vec(),
                dn: known.dn.clone(),
            },
            state: State::Enabled,
            published: true,
            description: String::new(),
            kind: Kind::User(User {
                principals: vec![format!("{name}@{}", lab.realm)],
                login_names: vec![known.upn.to_lowercase(), format!("{}\\{name}", lab.netbios)],
                ..User::default()
            }),
            created: Timestamp(0),
            changed: Timestamp(0),
        };
        self.put(&account).await?;
        Ok(account)
    }

    async fn put(&self, account: &Account) -> Result<()> {
        let change = Change::PutAccount(Box::new(account.clone()));
        Ok(self.directory.change(actor(), change).await?)
    }

    async fn put_source(&mut self, edit: impl FnOnce(&mut SourceSpec)) -> Result<()> {
        edit(&mut self.source);
        let change = Change::PutSource(Box::new(self.source.clone()));
        Ok(self.directory.change(actor(), change).await?)
    }

    async fn set(&self, name: &str, value: &str) -> Result<()> {
        let change = SettingChange { name: name.into(), value: Some(value.into()) };
        Ok(self.directory.change(actor(), Change::Set(change)).await?)
    }

    async fn password(&self, name: &str, password: &str) -> Result<Identity, Reason> {
        self.auth.password(name, password, &origin(Service::Imap)).await
    }

    /// Everything that `auth explain` would say of the newest failure.
    fn explanation(&self) -> String {
        let newest = self.auth.failures(None, 1).into_iter().next();
        newest.map(|f| [f.findings, f.remedies].concat().join(" ")).unwrap_or_default()
    }
}

fn origin(service: Service) -> Origin {
    let address = IpAddr::from([10, 77, 0, 1]);
    Origin { service, address, tls: true, channel_binding: None }
}

/// A client program and the lines that it speaks.
struct Client {
    child: Child,
    lines: tokio::io::Lines<BufReader<tokio::process::ChildStdout>>,
}

impl Client {
    fn start(mut command: Command, arguments: &[&str]) -> Result<Self> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tools/gss-client.py");
        let mut child = command
            .arg(script)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let lines = BufReader::new(child.stdout.take().context("stdout")?).lines();
        Ok(Self { child, lines })
    }

    async fn hear(&mut self) -> Result<Vec<u8>> {
        let line = self.lines.next_line().await?.context("the client said nothing")?;
        Ok(STANDARD.decode(line.trim().trim_matches('.'))?)
    }

    async fn say(&mut self, token: &[u8]) -> Result<()> {
        let line = format!("{}\n", STANDARD.encode(token));
        let line = if token.is_empty() { ".\n".to_owned() } else { line };
        Ok(self.child.stdin.as_mut().context("stdin")?.write_all(line.as_bytes()).await?)
    }
}

fn python(lab: &AdLab, ccache: &str) -> Command {
    let mut command = lab.exec("mail", "/usr/bin/python3");
    command.env("KRB5CCNAME", ccache);
    command
}

/// One whole exchange between the client program and our side.
async fn exchange(
    site: &Site,
    mechanism: &str,
    origin: Origin,
    mut client: Client,
) -> Result<Result<Identity, Reason>> {
    let mut exchange = match site.auth.start(mechanism, origin) {
        Ok(exchange) => exchange,
        Err(reason) => return Ok(Err(reason)),
    };
    for _ in 0..6 {
        let token = client.hear().await?;
        match exchange.step(&token).await {
            Step::Challenge(token) => client.say(&token).await?,
            Step::Done { identity, .. } => return Ok(Ok(identity)),
            Step::Failed(reason) => return Ok(Err(reason)),
        }
    }
    bail!("the exchange does not end")
}

#[test]
fn a_ticket_signs_on_by_every_mechanism_as_its_user_only() {
    lab::run(|lab| async move {
        let site = site(&lab).await?;
        for name in ["alice", "bob", "heidi"] {
            site.map(&lab, name).await?;
        }
        let alice = lab.kinit("alice").await?;
        let heidi = lab.kinit_with("heidi@corp.example.test", "Heidi-Pass-2026").await?;
        let refused = |what: &str| Err(Reason::NotAuthorized(what.to_owned()));
        for (mechanism, service, ccache, arguments, expected) in [
            ("GSSAPI", Service::Imap, &alice, &["krb5", "imap@", "--sasl", ""][..], Ok("alice")),
            ("GSSAPI", Service::Imap, &alice, &["krb5", "imap@", "--sasl", "alice"], Ok("alice")),
            (
                "GSSAPI",
                Service::Submission,
                &alice,
                &["krb5", "smtp@", "--sasl", "alice@AD.EXAMPLE.TEST"],
                Ok("alice"),
            ),
            ("GSSAPI", Service::Ldap, &alice, &["krb5", "ldap@", "--sasl", "bob"], refused("bob")),
            ("GSS-SPNEGO", Service::Imap, &alice, &["spnego", "imap@"], Ok("alice")),
            ("GSS-SPNEGO", Service::Ldap, &alice, &["spnego", "ldap@", "--mutual"], Ok("alice")),
            ("Negotiate", Service::Http, &alice, &["spnego", "HTTP@", "--mutual"], Ok("alice")),
            ("Negotiate", Service::Http, &alice, &["krb5", "HTTP@"], Ok("alice")),
            ("GSSAPI", Service::Imap, &heidi, &["krb5", "imap@", "--sasl", ""], Ok("heidi")),
        ] {
            let service_at_host = format!("{}{}", arguments[1], lab.mail_host);
            let mut arguments = arguments.to_vec();
            arguments[1] = &service_at_host;
            let client = Client::start(python(&lab, ccache), &arguments)?;
            let got = exchange(&site, mechanism, origin(service), client).await?;
            let got = got.as_ref().map(|i| i.account.name.as_str()).map_err(Clone::clone);
            assert_eq!(got, expected, "{mechanism} {arguments:?}: {}", site.explanation());
        }
        Ok(())
    });
}

#[test]
fn tickets_are_refused_for_the_right_reason_with_an_explanation() {
    lab::run(|lab| async move {
        let site = site(&lab).await?;
        let mut alice = site.map(&lab, "alice").await?;
        let ccache = lab.kinit("alice").await?;
        let stranger = lab.kinit("dave").await?;
        let old = std::fs::read(&lab.old_keytab)?;
        let other = std::fs::read(&lab.other_keytab)?;
        let good = std::fs::read(&lab.keytab)?;
        for (what, keytab, ccache, service, label, says) in [
            (
                "other service",
                &good,
                &ccache,
                "HTTP@mail.example.test",
                "wrong_service",
                "another service",
            ),
            (
                "other host",
                &good,
                &ccache,
                "imap@other.example.test",
                "wrong_service",
                "another host",
            ),
            ("old keytab", &old, &ccache, "imap@mail.example.test", "no_key", "keytab is older"),
            ("other keytab", &other, &ccache, "imap@mail.example.test", "no_key", "no key under"),
            (
                "stranger",
                &good,
                &stranger,
                "imap@mail.example.test",
                "not_mapped",
                "no user of ours",
            ),
        ] {
            site.auth.put_keytab(actor(), keytab).await.map_err(anyhow::Error::msg)?;
            let client = Client::start(python(&lab, ccache), &["spnego", service])?;
            let got = exchange(&site, "GSS-SPNEGO", origin(Service::Imap), client).await?;
            let reason = got.err().with_context(|| format!("{what} was accepted"))?;
            println!("{what}: {reason} | {}", site.explanation());
            assert_eq!(reason.label(), label, "{what}: {reason}");
            assert_eq!(reason.public(), "sign-on failed");
            assert!(site.explanation().contains(says), "{what}: {}", site.explanation());
        }
        for (state, expires, label) in [
            (State::Disabled("in the directory".into()), None, "disabled"),
            (State::Enabled, Some(Timestamp(1)), "expired"),
        ] {
            alice.state = state;
            if let Kind::User(user) = &mut alice.kind {
                user.expires = expires;
            }
            site.put(&alice).await?;
            let arguments = ["spnego", "imap@mail.example.test"];
            let client = Client::start(python(&lab, &ccache), &arguments)?;
            let got = exchange(&site, "GSS-SPNEGO", origin(Service::Imap), client).await?;
            assert_eq!(got.err().map(|reason| reason.label()), Some(label));
        }
        Ok(())
    });
}

#[test]
fn a_ticket_from_before_a_new_password_and_one_with_rc4_are_explained() {
    lab::run(|lab| async move {
        let site = site(&lab).await?;
        site.map(&lab, "alice").await?;
        let arguments = ["spnego", "imap@mail.example.test"];
        let old = lab.kinit("alice").await?;
        let client = Client::start(python(&lab, &old), &arguments)?;
        exchange(&site, "GSS-SPNEGO", origin(Service::Imap), client).await??;

        let name = "posthouse-mail".to_owned();
        let password = "Another-Pass-2026".to_owned();
        lab.admin(&[AdminOp::SetPassword { name: name.clone(), password }]).await?;
        let file = lab.folder.join("keytabs/new.keytab");
        let mut export = lab.exec("dc1", "samba-tool");
        export.args(["domain", "exportkeytab", "--principal=imap/mail.example.test"]).arg(&file);
        let exported = export.output().await?;
        assert!(exported.status.success(), "{exported:?}");
        let keytab = std::fs::read(&file)?;
        site.auth.put_keytab(actor(), &keytab).await.map_err(anyhow::Error::msg)?;
        refused_saying(&site, &lab, &old, "older than the keytab").await?;

        let attributes = serde_json::json!({"msDS-SupportedEncryptionTypes": "4"});
        lab.admin(&[AdminOp::Modify { name, attributes }]).await?;
        let weak = lab.kinit_with("alice@AD.EXAMPLE.TEST", "Alice-Pass-2026").await?;
        refused_saying(&site, &lab, &weak, "RC4").await
    });
}

async fn refused_saying(site: &Site, lab: &AdLab, ccache: &str, says: &str) -> Result<()> {
    let client = Client::start(python(lab, ccache), &["spnego", "imap@mail.example.test"])?;
    let got = exchange(site, "GSS-SPNEGO", origin(Service::Imap), client).await?;
    assert!(matches!(got, Err(Reason::NoKey(_))), "{got:?}");
    assert!(site.explanation().contains(says), "{}", site.explanation());
    Ok(())
}

#[test]
fn a_skewed_clock_a_replay_and_foreign_channel_bindings_are_refused() {
    lab::run(|lab| async move {
        let site = site(&lab).await?;
        site.map(&lab, "alice").await?;
        let ccache = lab.kinit("alice").await?;
        let arguments = ["spnego", "imap@mail.example.test"];
        // A first, good sign-on also puts the service ticket into the cache.
        let mut client = Client::start(python(&lab, &ccache), &arguments)?;
        let token = client.hear().await?;
        let mut first = site.auth.start("GSS-SPNEGO", origin(Service::Imap))?;
        assert!(matches!(first.step(&token).await, Step::Done { .. }));
        let mut again = site.auth.start("GSS-SPNEGO", origin(Service::Imap))?;
        let replayed = again.step(&token).await;
        assert!(matches!(replayed, Step::Failed(Reason::Replay)), "{replayed:?}");

        let mut skewed = lab.exec("mail", "faketime");
        skewed.args(["-f", "+10m", "/usr/bin/python3"]).env("KRB5CCNAME", &ccache);
        skewed.env("DONT_FAKE_MONOTONIC", "1");
        let client = Client::start(skewed, &arguments)?;
        let got = exchange(&site, "GSS-SPNEGO", origin(Service::Imap), client).await?;
        assert!(matches!(got, Err(Reason::ClockSkew(_))), "{got:?}");
        assert!(site.explanation().contains("time server"));

        for (sent, accepted) in [(Some("aa"), true), (None, true), (Some("bb"), false)] {
            let mut arguments = arguments.to_vec();
            arguments.extend(sent.iter().flat_map(|hex| ["--bindings", *hex]));
            let client = Client::start(python(&lab, &ccache), &arguments)?;
            let mut origin = origin(Service::Imap);
            origin.channel_binding = Some(vec![0xaa]);
            let got = exchange(&site, "GSS-SPNEGO", origin, client).await?;
            match got {
                Ok(_) => assert!(accepted, "{sent:?}"),
                Err(reason) => assert_eq!((accepted, reason), (false, Reason::ChannelBinding)),
            }
        }
        for token in [&b"NTLMSSP\0\x01\0\0\0"[..], b"", b"\x60\x02\x01\x00", b"GET / HTTP/1.1"] {
            let mut exchange = site.auth.start("Negotiate", origin(Service::Http))?;
            assert!(matches!(exchange.step(token).await, Step::Failed(_)));
        }
        Ok(())
    });
}

/// Name to type, whose password, how it ends by LDAP bind and by Kerberos.
const PASSWORDS: &[(&str, &str, &str, &str)] = &[
    ("alice", "alice", "ok", "ok"),
    ("ALICE@example.test", "alice", "ok", "ok"),
    ("EXAMPLE\\alice", "alice", "ok", "ok"),
    ("heidi@corp.example.test", "heidi", "ok", "ok"),
    ("juergen", "juergen", "ok", "ok"),
    ("alice", "bob", "wrong_password", "wrong_password"),
    ("nobody", "bob", "unknown_user", "unknown_user"),
    ("disabled", "disabled", "disabled", "disabled"),
    ("expired", "expired", "expired", "disabled"),
    ("oldpass", "oldpass", "password_expired", "password_expired"),
    ("mustchange", "mustchange", "password_expired", "password_expired"),
    ("locked", "locked", "locked_out", "disabled"),
    ("smartcard", "smartcard", "wrong_password", "wrong_password"),
];

#[test]
fn passwords_are_verified_by_the_controller_with_its_reason() {
    lab::run(|lab| async move {
        let mut site = site(&lab).await?;
        let mut names: Vec<_> = PASSWORDS.iter().map(|(_, name, ..)| *name).collect();
        names.sort_unstable();
        names.dedup();
        for name in &names {
            site.map(&lab, name).await?;
        }
        // Three failures lock this one in the directory.
        for _ in 0..3 {
            let _ = site.password("locked", "wrong").await;
        }
        for by_kerberos in [false, true] {
            site.set(key::PASSWORD_BY_KERBEROS, &by_kerberos.to_string()).await?;
            for (name, whose, by_bind, by_ticket) in PASSWORDS {
                let password = &lab.account(whose).password;
                let got = site.password(name, password).await;
                let label = got.as_ref().map_or_else(|reason| reason.label(), |_| "ok");
                let expected = if by_kerberos { by_ticket } else { by_bind };
                assert_eq!(label, *expected, "{name}, by Kerberos: {by_kerberos}: {got:?}");
            }
        }
        // A KDC that gives tickets which our keytab cannot open proves nothing.
        site.auth
            .put_keytab(actor(), &std::fs::read(&lab.old_keytab)?)
            .await
            .map_err(anyhow::Error::msg)?;
        let alice = &lab.account("alice").password.clone();
        let got = site.password("alice", alice).await;
        assert!(matches!(got, Err(Reason::DirectoryDown(_))), "{got:?}");
        site.set(key::PASSWORD_BY_KERBEROS, "false").await?;

        // Failover, discovery, StartTLS, and what must not be believed.
        let ca = site.source.ca.clone();
        let other_ca = std::fs::read_to_string(&lab.other_ca)?;
        let (dc, dead) = (lab.dc_host.clone(), format!("{}:636", lab.dead_ip));
        for (what, controllers, tls, ca, label) in [
            ("failover", vec![dead.clone(), lab.dc2_host.clone()], SourceTls::Ldaps, &ca, "ok"),
            ("discovery", vec![], SourceTls::Ldaps, &ca, "ok"),
            ("StartTLS", vec![dc.clone()], SourceTls::StartTls, &ca, "ok"),
            ("other CA", vec![dc.clone()], SourceTls::Ldaps, &other_ca, "directory_down"),
            (
                "other CA, StartTLS",
                vec![dc.clone()],
                SourceTls::StartTls,
                &other_ca,
                "directory_down",
            ),
            ("by address", vec![lab.dc_ip.clone()], SourceTls::Ldaps, &ca, "directory_down"),
            ("all dead", vec![dead.clone(), dead], SourceTls::Ldaps, &ca, "directory_down"),
        ] {
            site.put_source(|source| {
                source.controllers = controllers;
                source.tls = tls;
                source.ca = ca.clone();
            })
            .await?;
            let started = std::time::Instant::now();
            let got = site.password("alice", alice).await;
            let got = got.map_or_else(|reason| reason, |_| Reason::Cancelled);
            let got_label = if got == Reason::Cancelled { "ok" } else { got.label() };
            assert_eq!(got_label, label, "{what}: {got}");
            assert!(started.elapsed().as_secs() < 6, "{what} took {:?}", started.elapsed());
        }
        Ok(())
    });
}
