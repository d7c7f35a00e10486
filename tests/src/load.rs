//! Clients that use a cluster by SMTP, IMAP and the admin API while it is being broken, and take down what they did and
//! saw. Bounded: a fixed number of clients, each with a pause after every operation.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use rustls::ClientConfig;

use crate::{
    cluster::{TestCluster, wait},
    ledger::{Ledger, Op, Outcome, Record, View},
    node::PASSWORD,
    wire::{Imap, Lines, Smtp, tls_config},
};

mod clients;
mod content;
mod mailbox;
mod web;

pub use content::{body, message};
pub use mailbox::{append, view};
pub use web::Web;

/// Setting that the clients change: nothing of what they do depends on it.
pub const SETTING: &str = "ldap.size_limit";
/// Value of the setting that stands for an empty register.
pub const SETTING_EMPTY: u64 = 10;

/// Where a node is reached by clients.
#[derive(Clone)]
pub struct Endpoint {
    smtp: SocketAddr,
    imaps: SocketAddr,
    admin: SocketAddr,
    tls: Arc<ClientConfig>,
}

impl Endpoint {
    /// That of a node.
    pub fn of(cluster: &TestCluster, number: usize) -> Result<Self> {
        let node = cluster.node(number);
        let port = |name: &str| {
            node.ports.get(name).copied().with_context(|| format!("node {number} has no {name}"))
        };
        Ok(Self {
            smtp: port("smtp")?,
            imaps: port("imaps")?,
            admin: port("admin")?,
            tls: tls_config(&node.ca())?,
        })
    }

    /// An SMTP client.
    pub fn smtp(&self, patience: Duration) -> Result<Smtp> {
        Smtp::greet(Lines::plain_within(self.smtp, patience)?)
    }

    /// An IMAP client that is signed on.
    pub fn imap(&self, user: &str, patience: Duration) -> Result<Imap> {
        Imap::enter(Lines::tls_within(self.imaps, &self.tls, patience)?, user, PASSWORD)
    }

    /// An administrator's client that is signed on.
    pub fn web(&self, patience: Duration) -> Result<Web> {
        Web::sign_on(self.admin, self.tls.clone(), patience)
    }
}

/// Who does how much.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// Users whose mailboxes are used.
    pub mailboxes: Vec<String>,
    /// Clients that send by SMTP.
    pub senders: usize,
    /// Clients that append by IMAP, and expunge some of it.
    pub appenders: usize,
    /// Clients that read the mailboxes.
    pub readers: usize,
    /// Clients that set and read flags of one message.
    pub flaggers: usize,
    /// Clients that set and read one setting.
    pub settings: usize,
    /// What each client rests after an operation.
    pub rest: Duration,
    /// How long a client waits for an answer.
    pub patience: Duration,
    /// Every so many messages are larger than what travels inside of the log; 0: none.
    pub large_every: u64,
    /// Put before all Message-IDs.
    pub tag: String,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self {
            mailboxes: ["anna", "bob", "chen"].map(str::to_owned).to_vec(),
            senders: 3,
            appenders: 2,
            readers: 2,
            flaggers: 2,
            settings: 2,
            rest: Duration::from_millis(15),
            patience: Duration::from_secs(5),
            large_every: 8,
            tag: "m".to_owned(),
        }
    }
}

/// What all clients share.
struct Shared {
    options: LoadOptions,
    ledger: Ledger,
    nodes: RwLock<Vec<Option<Endpoint>>>,
    stop: AtomicBool,
    number: AtomicU64,
    register: Mutex<Option<Register>>,
    /// Process of each node when it was looked at last.
    pids: Mutex<BTreeMap<usize, u32>>,
}

/// A message whose flags are a register.
#[derive(Clone)]
struct Register {
    uid: u32,
    name: String,
    written: u64,
}

impl Shared {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn next(&self) -> u64 {
        self.number.fetch_add(1, Ordering::Relaxed)
    }

    /// Endpoint of a node, if it runs as far as anybody knows.
    fn endpoint(&self, node: usize) -> Option<Endpoint> {
        let nodes = self.nodes.read().unwrap_or_else(PoisonError::into_inner);
        nodes.get(node - 1).cloned().flatten()
    }

    fn count(&self) -> usize {
        self.nodes.read().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// What a client does until it is told to stop.
type Work = fn(&Shared, clients::Place);

/// Clients at work. Dropped: they end.
pub struct Load {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    /// Starts the clients.
    pub fn start(cluster: &TestCluster, options: LoadOptions) -> Result<Self> {
        let shared = Arc::new(Shared {
            ledger: Ledger::new(None)?,
            nodes: RwLock::default(),
            stop: AtomicBool::new(false),
            number: AtomicU64::new(0),
            register: Mutex::default(),
            pids: Mutex::default(),
            options,
        });
        let mut load = Self { shared, threads: Vec::new() };
        load.refresh(cluster);
        if load.shared.options.settings > 0 {
            load.empty_setting(cluster)?;
        }
        let options = load.shared.options.clone();
        let kinds: [(usize, Work); 5] = [
            (options.senders, clients::send),
            (options.appenders, clients::append),
            (options.readers, clients::read),
            (options.flaggers, clients::flag),
            (options.settings, clients::set),
        ];
        for (count, work) in kinds {
            for number in 0..count {
                let shared = load.shared.clone();
                let client = load.threads.len() as u32 + 1;
                let place = clients::Place { client, number };
                load.threads.push(std::thread::spawn(move || work(&shared, place)));
            }
        }
        Ok(load)
    }

    /// Looks again where nodes are reached: after one was started or has ended.
    pub fn refresh(&self, cluster: &TestCluster) {
        let mut pids = self.shared.pids.lock().unwrap_or_else(PoisonError::into_inner);
        for number in cluster.running() {
            let pid = cluster.node(number).pid();
            if pids.insert(number, pid).is_some_and(|before| before != pid) {
                self.ledger().record(0, number, Op::Start, || Outcome::Done);
            }
        }
        let of = |number: usize| {
            let running = cluster.node(number).is_running();
            running.then(|| Endpoint::of(cluster, number).ok()).flatten()
        };
        let found = (1..=cluster.count()).map(of).collect();
        *self.shared.nodes.write().unwrap_or_else(PoisonError::into_inner) = found;
    }

    /// Sets the setting to what stands for empty, and waits until all nodes show it.
    fn empty_setting(&self, cluster: &TestCluster) -> Result<()> {
        let patience = Duration::from_secs(20);
        for (position, number) in cluster.running().into_iter().enumerate() {
            let web = wait(patience, || Endpoint::of(cluster, number)?.web(patience))?;
            wait(patience, || {
                if position == 0 {
                    let (status, text) = web.set(SETTING, SETTING_EMPTY)?;
                    ensure!(status == 200, "{status} {text}");
                }
                let value = web.setting(SETTING)?;
                ensure!(value == SETTING_EMPTY, "node {number} shows {value}");
                Ok(())
            })?;
        }
        Ok(())
    }

    /// The ledger.
    pub fn ledger(&self) -> &Ledger {
        &self.shared.ledger
    }

    /// Waits until so many more operations were acknowledged.
    pub fn wait_for(&self, more: usize, patience: Duration) -> Result<()> {
        let done = || self.ledger().history().iter().filter(|r| r.outcome.is_done()).count();
        let begin = done();
        wait(patience, || {
            let now = done() - begin;
            ensure!(now >= more, "{now} of {more} operations were acknowledged");
            std::thread::sleep(Duration::from_millis(20));
            Ok(())
        })
    }

    /// Ends the clients; what they did.
    pub fn finish(mut self) -> Vec<Record> {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
        self.shared.ledger.history()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// The mailboxes as they are when no message waits in a spool any more, as a node shows them, and the Message-IDs whose content is not what was sent.
pub fn last_views(
    cluster: &TestCluster,
    number: usize,
    mailboxes: &[String],
) -> Result<(BTreeMap<String, View>, Vec<String>)> {
    cluster.wait_until_delivered()?;
    let patience = Duration::from_secs(30);
    let (mut views, mut damaged) = (BTreeMap::new(), Vec::new());
    for mailbox in mailboxes {
        let mut imap = Endpoint::of(cluster, number)?.imap(mailbox, patience)?;
        let seen = view(&mut imap, 1)?;
        for (uid, id) in &seen.messages {
            let text = mailbox::text(&mut imap, *uid)?;
            if text.trim_end() != body(id).trim_end() {
                damaged.push(format!("{id} ({} bytes)", text.len()));
            }
        }
        views.insert(mailbox.clone(), seen);
    }
    Ok((views, damaged))
}

/// Removes everything from mailboxes, so that the next round begins with empty ones.
pub fn empty(cluster: &TestCluster, number: usize, mailboxes: &[String]) -> Result<()> {
    for mailbox in mailboxes {
        let mut imap = Endpoint::of(cluster, number)?.imap(mailbox, Duration::from_secs(60))?;
        imap.ok("SELECT INBOX")?;
        if imap.command("UID STORE 1:* +FLAGS.SILENT (\\Deleted)")?.is_empty() {
            bail!("no answer");
        }
        imap.ok("EXPUNGE")?;
    }
    Ok(())
}

/// Name of a register of flags.
fn register_name(mailbox: &str, uid: u32) -> String {
    format!("flags:{mailbox}:{uid}")
}

/// An operation whose refusal is one of the API or of IMAP.
fn refused(temporary: bool, text: String) -> Outcome {
    if temporary { Outcome::Temporary(text) } else { Outcome::Permanent(text) }
}

/// Name of the register that the setting is.
pub fn setting_register() -> String {
    format!("{}{SETTING}", crate::checker::register::LOCAL_READS)
}

/// A message to one mailbox; the outcome by the reply code.
fn deliver(smtp: &mut Smtp, mailbox: &str, text: &str) -> (Outcome, bool) {
    let begin = [
        "MAIL FROM:<sender@remote.example>".to_owned(),
        format!("RCPT TO:<{mailbox}@example.test>"),
        "DATA".to_owned(),
    ];
    for line in begin {
        match smtp.command(&line) {
            Ok(reply) if reply.starts_with(['2', '3']) => {}
            Ok(reply) => {
                let again = !reply.starts_with("421") && smtp.command("RSET").is_ok();
                return (refused(reply.starts_with('4'), reply), again);
            }
            // it had not even been sent
            Err(error) => return (Outcome::Temporary(format!("{error:#}")), false),
        }
    }
    match smtp.command(&format!("{}\r\n.", text.trim_end_matches("\r\n"))) {
        Ok(reply) if reply.starts_with('2') => (Outcome::Done, true),
        Ok(reply) => {
            let again = !reply.starts_with("421");
            (refused(reply.starts_with('4'), reply), again)
        }
        Err(error) => (Outcome::Unknown(format!("{error:#}")), false),
    }
}

/// Sends one message by a node and takes it down.
pub fn send_one(
    ledger: &Ledger,
    client: u32,
    node: usize,
    smtp: &mut Smtp,
    mailbox: &str,
    id: &str,
) -> (Outcome, bool) {
    let op = Op::Deliver { mailbox: mailbox.to_owned(), id: id.to_owned() };
    let mut again = true;
    let outcome = ledger.record(client, node, op, || {
        let (outcome, usable) = deliver(smtp, mailbox, &message(id));
        again = usable;
        outcome
    });
    (outcome, again)
}
