//! Mapping from a real Active Directory: accounts come, change, move and go; the controller goes and comes back.
//!
//! Needs root: see `tests/lab/README.md`.
#![allow(clippy::unwrap_used)]
// futures within futures, down to the consensus library
#![recursion_limit = "256"]

use std::{path::Path, sync::Arc};

use anyhow::{Context, Result, ensure};
use posthouse_cluster::{Environment, Node, NodeId, NodeOptions};
use posthouse_directory::{
    Account, Actor, Change, Directory, DirectoryOptions, Domain, DomainId, Kind, SourceId,
    SourceKind, SourceSpec, SourceTls, State, StoreId, StoreInfo, Target, fresh_id,
};
use posthouse_sources::{SourceError, SourceStatus, Syncer, SyncerOptions, plan, preview};
use posthouse_tests::lab::{self, AdLab, AdminOp};
use serde_json::json;

mod cutting_proxy {
    //! Stands between a client and a controller and closes after so many bytes of answers.
    use std::sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    };

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
    };

    pub(crate) struct Proxy {
        pub(crate) port: u16,
        /// Bytes of answers that pass, over all connections.
        pub(crate) left: Arc<AtomicU64>,
    }

    pub(crate) async fn start(target: String) -> anyhow::Result<Proxy> {
        let listener = TcpListener::bind("0.0.0.0:0").await?;
        let port = listener.local_addr()?.port();
        let left = Arc::new(AtomicU64::new(u64::MAX));
        let shared = left.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(relay(client, target.clone(), shared.clone()));
            }
        });
        Ok(Proxy { port, left })
    }

    async fn relay(client: TcpStream, target: String, left: Arc<AtomicU64>) -> anyhow::Result<()> {
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = TcpStream::connect(target).await?.into_split();
        tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
        let mut buffer = [0; 1_024];
        loop {
            let count = from_server.read(&mut buffer).await?;
            let allowed = left
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |l| {
                    Some(l.saturating_sub(count as u64))
                })
                .unwrap_or_default();
            let pass = count.min(usize::try_from(allowed).unwrap_or(usize::MAX));
            to_client.write_all(buffer.get(..pass).unwrap_or_default()).await?;
            if pass < count || count == 0 {
                return Ok(());
            }
        }
    }
}

/// A directory in this process, with the lab's domain as its source.
struct Office {
    lab: AdLab,
    directory: Directory,
    syncer: Syncer,
    source: SourceId,
    _node: Node,
    _folder: tempfile::TempDir,
}

fn reader_password(lab: &AdLab) -> String {
    lab.account("posthouse-read").password.clone()
}

fn spec(lab: &AdLab, domain: DomainId) -> SourceSpec {
    SourceSpec {
        id: SourceId(fresh_id()),
        name: "office".into(),
        kind: SourceKind::ActiveDirectory,
        domain,
        directory_domain: lab.dns_domain.clone(),
        controllers: Vec::new(),
        tls: SourceTls::Ldaps,
        ca: std::fs::read_to_string(&lab.ca).unwrap(),
        bind_name: format!("posthouse-read@{}", lab.dns_domain),
        bind_secret: Vec::new(),
        base: String::new(),
        user_filter: String::new(),
        removal_threshold_percent: 10,
        // Tests read when they want.
        enabled: false,
        watermark: None,
        problem: String::new(),
    }
}

async fn open(folder: &Path) -> Result<(Node, Directory)> {
    let options = NodeOptions::alone(NodeId(1), folder.join("log"));
    let node = Node::open(Environment::real(), options).await?;
    let options = DirectoryOptions { folder: folder.join("directory"), bootstrap: true };
    let directory = Directory::open(&node, options).await?;
    Ok((node, directory))
}

fn actor() -> Actor {
    Actor::System("test".into())
}

impl Office {
    async fn open(lab: AdLab, adjust: impl FnOnce(&mut SourceSpec)) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let (node, directory) = open(folder.path()).await?;
        let domain = Domain {
            id: DomainId(fresh_id()),
            name: "example.test".into(),
            aliases: Vec::new(),
            primary: true,
            description: String::new(),
        };
        let mut spec = spec(&lab, domain.id);
        adjust(&mut spec);
        let source = spec.id;
        let store =
            StoreInfo { id: StoreId(2), home: 1, replicas: vec![1], ..StoreInfo::default() };
        directory
            .change(
                actor(),
                Change::All(vec![
                    Change::PutDomain(domain),
                    Change::PutStore(store),
                    Change::PutSource(Box::new(spec)),
                ]),
            )
            .await?;
        let password = reader_password(&lab);
        let unseal: posthouse_sources::Unseal = Arc::new(move |_| Some(password.clone()));
        let syncer = Syncer::start(directory.clone(), SyncerOptions { node: NodeId(1), unseal });
        Ok(Self { lab, directory, syncer, source, _node: node, _folder: folder })
    }

    async fn sync(&self) -> Result<SourceStatus> {
        self.syncer.sync_now(self.source).await.map_err(anyhow::Error::msg)
    }

    async fn admin(&self, operations: &[AdminOp]) -> Result<SourceStatus> {
        self.lab.admin(operations).await?;
        self.sync().await
    }

    fn spec(&self) -> Arc<SourceSpec> {
        self.directory.sources().into_iter().find(|s| s.id == self.source).unwrap()
    }

    async fn put_spec(&self, adjust: impl FnOnce(&mut SourceSpec)) -> Result<()> {
        let mut spec = self.spec().as_ref().clone();
        adjust(&mut spec);
        Ok(self.directory.change(actor(), Change::PutSource(Box::new(spec))).await?)
    }

    /// A mapped user by sAMAccountName.
    fn user(&self, name: &str) -> Result<Arc<Account>> {
        self.directory.login(&format!("EXAMPLE\\{name}")).with_context(|| format!("no user {name}"))
    }

    fn group(&self, name: &str) -> Result<Arc<Account>> {
        self.directory
            .accounts_of(self.source)
            .into_iter()
            .find(|a| a.name == name && matches!(a.kind, Kind::Group(_)))
            .with_context(|| format!("no group {name}"))
    }

    fn enabled(&self) -> usize {
        let accounts = self.directory.accounts_of(self.source);
        accounts.iter().filter(|a| a.state == State::Enabled).count()
    }

    fn recipients(&self, address: &str) -> usize {
        self.directory.resolve(address).targets.len()
    }
}

fn members(group: &Account) -> usize {
    match &group.kind {
        Kind::Group(group) => group.members.len(),
        _ => 0,
    }
}

fn name(name: &str) -> String {
    name.to_owned()
}

fn gone() -> State {
    State::Disabled(plan::GONE_THERE.into())
}

#[test]
fn everybody_of_the_domain_is_mapped() {
    lab::run(|lab| async move {
        let office = Office::open(lab, |_| {}).await?;
        let status = office.sync().await?;
        ensure!(status.full && status.problem.is_empty(), "{status:?}");

        let alice = office.user("alice")?;
        let user = alice.user().context("user")?;
        assert_eq!(office.directory.address_of(&alice).as_deref(), Some("alice@example.test"));
        assert_eq!(user.person.title, "Engineer");
        assert_eq!(user.person.mobile, "+49 170 1112233");
        assert_eq!(user.person.postal_address, "Lindenweg 1\n10115 Berlin\nGermany");
        assert_eq!(user.store, Some(StoreId(2)));
        let photo = office.directory.photo(alice.id).await?.context("photo")?;
        assert!(photo.starts_with(&[0xff, 0xd8]), "a JPEG");
        for (way, who) in [
            ("alice@AD.EXAMPLE.TEST", "alice"),
            ("heidi@AD.EXAMPLE.TEST", "heidi"),
            ("heidi\\@corp.example.test@AD.EXAMPLE.TEST", "heidi"),
            ("zoë@AD.EXAMPLE.TEST", "zoë"),
        ] {
            let found = office.directory.principal(way).with_context(|| name(way))?;
            assert_eq!(found.id, office.user(who)?.id, "{way}");
        }
        assert!(office.directory.principal("alice@CORP.EXAMPLE.TEST").is_none());
        for (address, who) in [
            ("a.adler@example.test", "alice"),
            ("bob@example.test", "bob"),
            ("carol.clark@example.test", "carol"),
            ("carol@example.test", "carol"),
            ("zoe@example.test", "zoë"),
        ] {
            let targets = office.directory.resolve(address).targets;
            assert_eq!(targets, [Target::Mailbox(office.user(who)?.id)], "{address}");
        }
        assert_eq!(office.user("disabled")?.state, State::Disabled(plan::DISABLED_THERE.into()));
        assert!(office.user("expired")?.user().and_then(|u| u.expires).is_some());
        assert!(office.user("alice")?.user().is_some_and(|u| u.expires.is_none()));
        assert!(office.user("krbtgt").is_err() && office.user("dc1$").is_err());
        // alice, bob, and by way of nested groups carol, heidi, juergen
        assert_eq!(office.recipients("staff@example.test"), 5);
        // bob, and Clara elsewhere
        assert_eq!(office.recipients("sales@example.test"), 2);
        assert_eq!(members(&*office.group("ring-a")?), 2);

        let before = office.directory.accounts_of(office.source);
        office.put_spec(|s| s.watermark = None).await?;
        let again = office.sync().await?;
        assert!(again.full && again.changed == 0, "{again:?}");
        let after = office.directory.accounts_of(office.source);
        assert_eq!(before.len(), after.len());
        Ok(())
    });
}

#[test]
fn changes_of_people_and_groups_arrive_one_by_one() {
    lab::run(|lab| async move {
        let office = Office::open(lab, |s| s.tls = SourceTls::StartTls).await?;
        office.sync().await?;
        let bob = office.user("bob")?;
        let dave = office.user("dave")?;

        let status = office
            .admin(&[
                AdminOp::AddUser {
                    name: name("nina"),
                    password: None,
                    attributes: json!({"mail": "nina@example.test"}),
                },
                AdminOp::AddMembers { group: name("staff"), members: vec![name("nina")] },
            ])
            .await?;
        assert!(!status.full, "{status:?}");
        assert_eq!(office.recipients("nina@example.test"), 1);
        assert_eq!(office.recipients("staff@example.test"), 6);

        office.admin(&[AdminOp::Rename { name: name("bob"), new_name: name("robert") }]).await?;
        let robert = office.user("robert")?;
        assert_eq!((robert.id, robert.name.as_str()), (bob.id, "robert"));
        assert_eq!(office.directory.resolve("bob@example.test").targets, [Target::Mailbox(bob.id)]);
        assert_eq!(
            office.directory.resolve("robert@example.test").targets,
            [Target::Mailbox(bob.id)]
        );
        assert_eq!(office.recipients("staff@example.test"), 6);
        assert!(office.directory.principal("bob@AD.EXAMPLE.TEST").is_none());

        office
            .admin(&[
                AdminOp::AddOu { name: name("Vienna") },
                AdminOp::Move { name: name("dave"), ou: name("OU=Vienna") },
            ])
            .await?;
        let moved = office.user("dave")?;
        assert_eq!((moved.id, &moved.state), (dave.id, &State::Enabled));
        assert!(format!("{:?}", moved.origin).contains("OU=Vienna"), "{:?}", moved.origin);

        office.admin(&[AdminOp::Disable { name: name("dave") }]).await?;
        assert_eq!(office.user("dave")?.state, State::Disabled(plan::DISABLED_THERE.into()));
        office.admin(&[AdminOp::Enable { name: name("dave") }]).await?;
        assert_eq!(office.user("dave")?.state, State::Enabled);

        office
            .admin(&[
                AdminOp::RemoveMembers { group: name("developers"), members: vec![name("carol")] },
                AdminOp::Modify {
                    name: name("alice"),
                    attributes: json!({"mobile": "+49 1", "thumbnailPhoto": null}),
                },
            ])
            .await?;
        assert_eq!(office.recipients("staff@example.test"), 5);
        let alice = office.user("alice")?;
        assert_eq!(alice.user().map(|u| u.person.mobile.as_str()), Some("+49 1"));
        assert_eq!(office.directory.photo(alice.id).await?, None);

        let quiet = office.sync().await?;
        assert_eq!((quiet.changed, quiet.disabled), (0, 0));
        Ok(())
    });
}

#[test]
fn who_leaves_is_disabled_and_kept_but_a_mass_departure_waits_for_the_administrator() {
    lab::run(|lab| async move {
        let office = Office::open(lab, |_| {}).await?;
        office
            .lab
            .admin(&[AdminOp::AddMany {
                prefix: name("u"),
                count: 40,
                group: None,
                mail_domain: None,
            }])
            .await?;
        office.sync().await?;
        let all = office.enabled();
        let heidi = office.user("heidi")?;

        office.admin(&[AdminOp::Delete { name: name("heidi") }]).await?;
        // The account for reading sees no tombstones: a list of all keys tells, which a full reading is too.
        office.put_spec(|s| s.watermark = None).await?;
        office.sync().await?;
        assert_eq!(office.directory.account(heidi.id).map(|a| a.state.clone()), Some(gone()));
        assert_eq!(office.recipients("heidi@example.test"), 1, "mail is still taken");

        let leave: Vec<_> =
            (1..=20).map(|n| AdminOp::Delete { name: format!("u{n:04}") }).collect();
        office.lab.admin(&leave).await?;
        office.put_spec(|s| s.watermark = None).await?;
        let status = office.sync().await?;
        assert_eq!(status.disabled, 0);
        let withheld = status.withheld.context("withheld")?;
        assert_eq!(withheld.missing, 20);
        assert!(office.spec().problem.contains("20 of"), "{}", office.spec().problem);
        assert_eq!(office.enabled(), all - 1);
        // and again, without anything new in the directory
        assert_eq!(office.sync().await?.withheld, Some(withheld));

        let confirmed =
            office.syncer.confirm_removals(office.source).await.map_err(anyhow::Error::msg)?;
        assert_eq!((confirmed.disabled, confirmed.withheld), (20, None));
        assert_eq!(office.enabled(), all - 21);
        assert_eq!(office.spec().problem, "");

        // A filter that fits nobody, a base without anybody: no reason to disable everybody.
        for adjust in [
            (|s: &mut SourceSpec| s.user_filter = "(department=nowhere)".into())
                as fn(&mut SourceSpec),
            |s| {
                s.user_filter = String::new();
                s.base = "OU=Domain Controllers,DC=ad,DC=example,DC=test".into();
            },
        ] {
            office.put_spec(adjust).await?;
            let status = office.sync().await?;
            assert!(status.full && status.withheld.is_some() && status.disabled == 0, "{status:?}");
            assert_eq!(office.enabled(), all - 21);
        }
        Ok(())
    });
}

#[test]
fn a_group_of_five_thousand_is_complete() {
    lab::run(|lab| async move {
        let office = Office::open(lab, |_| {}).await?;
        office.sync().await?;
        let started = std::time::Instant::now();
        office
            .lab
            .admin(&[
                AdminOp::AddGroup {
                    name: name("everyone"),
                    members: Vec::new(),
                    attributes: json!({"mail": "everyone@example.test"}),
                },
                AdminOp::AddMany {
                    prefix: name("u"),
                    count: 5_000,
                    group: Some(name("everyone")),
                    mail_domain: Some(name("example.test")),
                },
            ])
            .await?;
        let made = started.elapsed();
        let status = office.sync().await?;
        eprintln!("made in {made:?}, read in {:?}", status.took);
        assert!(!status.full);
        assert_eq!(members(&*office.group("everyone")?), 5_000);
        assert_eq!(office.recipients("everyone@example.test"), 5_000);

        office.put_spec(|s| s.watermark = None).await?;
        let status = office.sync().await?;
        eprintln!("read again in full in {:?}", status.took);
        assert!(status.full && status.changed == 0, "{status:?}");

        let lost = vec![name("u0001"), name("u4999")];
        office.admin(&[AdminOp::RemoveMembers { group: name("everyone"), members: lost }]).await?;
        assert_eq!(members(&*office.group("everyone")?), 4_998);
        Ok(())
    });
}

#[test]
fn nobody_notices_when_the_controller_is_away_and_all_is_caught_up_when_it_is_back() {
    lab::run(|lab| async move {
        let office = Office::open(lab, |_| {}).await?;
        office.sync().await?;
        let all = office.enabled();
        office.lab.dc_stop().await?;
        let refused = office.sync().await.err().context("the controller is away")?;
        assert!(refused.to_string().contains("Check"), "{refused}");
        assert_eq!(office.enabled(), all);
        assert!(!office.spec().problem.is_empty());
        assert_eq!(office.recipients("alice@example.test"), 1);

        office.lab.admin(&[AdminOp::Disable { name: name("carol") }]).await?;
        office.lab.dc_start().await?;
        let status = office.sync().await?;
        assert!(!status.full && status.changed == 1, "{status:?}");
        assert_eq!(office.spec().problem, "");
        assert_eq!(office.user("carol")?.state, State::Disabled(plan::DISABLED_THERE.into()));
        Ok(())
    });
}

#[test]
fn the_next_controller_is_asked_when_one_does_not_answer() {
    lab::run(|lab| async move {
        let dead = format!("127.0.0.1:{}", free_port()?);
        let (first, second) = (lab.dc_host.clone(), lab.dc2_host.clone());
        let office =
            Office::open(lab, |s| s.controllers = vec![dead, second.clone(), first]).await?;
        let status = office.sync().await?;
        assert_eq!(status.controller, format!("{second}:636"));
        // The one that answered is asked first from now on.
        office.put_spec(|s| s.controllers.reverse()).await?;
        assert_eq!(office.sync().await?.controller, format!("{second}:636"));
        Ok(())
    });
}

fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

#[test]
fn an_answer_that_breaks_off_changes_nothing() {
    lab::run(|lab| async move {
        let proxy = cutting_proxy::start(format!("{}:636", lab.dc_ip)).await?;
        // The certificate is for this name; the hosts file of the lab leads it to the proxy.
        let hosts = std::fs::read_to_string("/etc/hosts")?;
        std::fs::write("/etc/hosts", hosts.replace(&lab.dc2_ip, &lab.mail_ip))?;
        let controller = format!("{}:{}", lab.dc2_host, proxy.port);
        let office = Office::open(lab, |s| s.controllers = vec![controller]).await?;
        office
            .lab
            .admin(&[AdminOp::AddMany {
                prefix: name("u"),
                count: 300,
                group: None,
                mail_domain: None,
            }])
            .await?;
        office.sync().await?;
        let all = office.enabled();
        ensure!(all > 300, "{all}");
        let mark = office.spec().watermark.clone();
        let mut broken = 0;
        for bytes in [0, 500, 3_000, 6_000, 12_000, 30_000, 60_000, 100_000, 150_000] {
            office.put_spec(|s| s.watermark = None).await?;
            proxy.left.store(bytes, std::sync::atomic::Ordering::SeqCst);
            match office.sync().await {
                Ok(_) => {}
                Err(error) => {
                    broken += 1;
                    assert_eq!(office.spec().watermark, None, "after {bytes} bytes: {error}");
                }
            }
            assert_eq!(office.enabled(), all, "after {bytes} bytes");
        }
        ensure!(broken >= 6, "only {broken} answers broke off");
        proxy.left.store(u64::MAX, std::sync::atomic::Ordering::SeqCst);
        office.put_spec(|s| s.watermark = None).await?;
        let status = office.sync().await?;
        assert!(status.full && status.changed == 0 && status.problem.is_empty(), "{status:?}");
        assert!(office.spec().watermark.is_some() && mark.is_some());
        Ok(())
    });
}

#[test]
fn an_enabled_source_is_read_by_itself_and_again_when_it_is_corrected() {
    lab::run(|lab| async move {
        let office = Office::open(lab, |s| {
            s.enabled = true;
            s.base = "OU=Nowhere,DC=ad,DC=example,DC=test".into();
        })
        .await?;
        wait_until("the problem is told", || office.spec().problem.contains("OU=Nowhere")).await?;
        office.put_spec(|s| s.base = String::new()).await?;
        wait_until("alice is mapped", || office.user("alice").is_ok()).await?;
        wait_until("the problem is over", || office.spec().problem.is_empty()).await?;
        let interval = posthouse_directory::SettingChange {
            name: posthouse_directory::key::SOURCE_INTERVAL.into(),
            value: Some("5".into()),
        };
        office.directory.change(actor(), Change::Set(interval)).await?;
        office.sync().await?;
        office.lab.admin(&[AdminOp::Disable { name: name("alice") }]).await?;
        let disabled = || office.user("alice").is_ok_and(|a| a.state != State::Enabled);
        wait_until("alice is disabled", disabled).await?;
        Ok(())
    });
}

async fn wait_until(what: &str, holds: impl Fn() -> bool) -> Result<()> {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(40);
    while !holds() {
        ensure!(std::time::Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    Ok(())
}

#[test]
fn a_local_account_keeps_its_name() {
    lab::run(|lab| async move {
        let office = Office::open(lab, |_| {}).await?;
        let local = Account {
            id: posthouse_directory::AccountId(fresh_id()),
            domain: office.spec().domain,
            name: name("alice"),
            display_name: name("The local one"),
            addresses: Vec::new(),
            origin: posthouse_directory::Origin::Local,
            state: State::Enabled,
            published: true,
            description: String::new(),
            kind: Kind::User(Default::default()),
            created: posthouse_cluster::Timestamp(0),
            changed: posthouse_cluster::Timestamp(0),
        };
        office.directory.change(actor(), Change::PutAccount(Box::new(local.clone()))).await?;
        office.sync().await?;
        assert_eq!(
            office.directory.resolve("alice@example.test").targets,
            [Target::Mailbox(local.id)]
        );
        assert!(matches!(office.user("alice")?.state, State::Disabled(_)));
        assert_eq!(office.recipients("bob@example.test"), 1);
        office.directory.change(actor(), Change::RemoveAccount(local.id)).await?;
        office.put_spec(|s| s.watermark = None).await?;
        office.sync().await?;
        assert_eq!(office.user("alice")?.state, State::Enabled);
        Ok(())
    });
}

#[test]
fn a_preview_shows_what_would_come_or_says_what_to_do() {
    lab::run(|lab| async move {
        let password = reader_password(&lab);
        let good = spec(&lab, DomainId(fresh_id()));
        let shown = preview(&good, "example.test", &password).await?;
        assert_eq!(shown.netbios, "EXAMPLE");
        assert_eq!(shown.counts.get("contacts"), Some(&1));
        assert_eq!(shown.counts.get("users"), Some(&16), "{:?}", shown.counts);
        let bob = shown.entries.iter().find(|e| e.name == "bob").context("bob")?;
        assert_eq!((bob.kind, bob.mail.as_str()), ("user", "bob@example.test"));

        let closed = free_port()?;
        let other_ca = std::fs::read_to_string(&lab.other_ca)?;
        let (dc, ip) = (lab.dc_host.clone(), lab.dc_ip.clone());
        type Adjust = Box<dyn Fn(&mut SourceSpec) -> Option<&'static str>>;
        let cases: Vec<(&str, Adjust)> = vec![
            ("name or the password", Box::new(|_| Some("wrong"))),
            ("name or the password", Box::new(|_| Some(""))),
            (
                "name or the password",
                Box::new(|s| {
                    s.bind_name = "nobody@ad.example.test".into();
                    None
                }),
            ),
            (
                "it is disabled",
                Box::new(|s| {
                    s.bind_name = "disabled@ad.example.test".into();
                    Some("Doris-Pass-2026")
                }),
            ),
            (
                "password has expired",
                Box::new(|s| {
                    s.bind_name = "oldpass@ad.example.test".into();
                    Some("Olga-Pass-2026")
                }),
            ),
            (
                "locked out",
                Box::new(|s| {
                    s.bind_name = "locked@ad.example.test".into();
                    Some("Luke-Pass-2026")
                }),
            ),
            (
                "not from a trusted authority",
                Box::new(move |s| {
                    s.ca = other_ca.clone();
                    None
                }),
            ),
            (
                "not from a trusted authority",
                Box::new(|s| {
                    s.ca = String::new();
                    None
                }),
            ),
            (
                "not a PEM certificate",
                Box::new(|s| {
                    s.ca = "hello".into();
                    None
                }),
            ),
            (
                "is for another name",
                Box::new(move |s| {
                    s.controllers = vec![ip.clone()];
                    None
                }),
            ),
            (
                "was not found",
                Box::new(|s| {
                    s.controllers = vec!["nowhere.ad.example.test".into()];
                    None
                }),
            ),
            (
                "no domain controllers of",
                Box::new(|s| {
                    s.directory_domain = "nowhere.test".into();
                    None
                }),
            ),
            (
                "does not answer",
                Box::new(move |s| {
                    s.controllers = vec![format!("127.0.0.1:{closed}")];
                    None
                }),
            ),
            (
                "no TLS",
                Box::new(move |s| {
                    s.controllers = vec![format!("{dc}:389")];
                    None
                }),
            ),
            (
                "is not an LDAP filter",
                Box::new(|s| {
                    s.user_filter = "(mail=*))(".into();
                    None
                }),
            ),
            (
                "does not exist in the directory",
                Box::new(|s| {
                    s.base = "OU=Nowhere,DC=ad,DC=example,DC=test".into();
                    None
                }),
            ),
        ];
        for (want, adjust) in cases {
            let mut spec = good.clone();
            let password = adjust(&mut spec).map_or_else(|| password.clone(), name);
            let error: SourceError = match preview(&spec, "example.test", &password).await {
                Err(error) => error,
                Ok(shown) => anyhow::bail!("{want}: {shown:?}"),
            };
            assert!(error.to_string().contains(want), "{want}: {error}");
            assert!(!error.remedy().is_empty());
        }
        Ok(())
    });
}
