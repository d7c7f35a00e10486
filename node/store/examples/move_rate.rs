//! How fast a mailbox moves from one store to another, and how long it cannot be changed meanwhile:
//! `move_rate FOLDER [MIB] [MESSAGE_KIB]`.
//!
//! Two stores of one node on one disk. While the mailbox moves, a client delivers to it and flags in it all
//! the time. FOLDER must be empty or missing. Prints one line of JSON.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use posthouse_cluster::{
    Environment, GroupId, Node, NodeId, NodeOptions, env::BoxFuture, network::Alone,
};
use posthouse_store::{
    Driver, FlagChange, Flags, Folder, Ledger, Locate, MailboxId, Mark, MarkError, Message, MoveId,
    NewItem, Pace, Quota, Request, Response, Standing, Store, StoreOptions, Stores, UidSet, Wish,
};
use uuid::Uuid;

const MAILBOX: MailboxId = MailboxId(Uuid::from_u128(1));
const MOVE: MoveId = MoveId(1 << 100);

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A directory of one mailbox.
#[derive(Clone, Default)]
struct Directory(Arc<AtomicBool>);

impl Locate for Directory {
    fn store_of(&self, _: MailboxId) -> GroupId {
        GroupId(1 + u64::from(self.0.load(Ordering::SeqCst)))
    }

    fn replicas(&self, _: GroupId) -> Vec<NodeId> {
        vec![NodeId(1)]
    }

    fn stores(&self) -> Vec<GroupId> {
        vec![GroupId(1), GroupId(2)]
    }

    fn level(&self) -> u32 {
        posthouse_cluster::LEVEL
    }
}

impl Ledger for Directory {
    fn wishes(&self) -> Vec<Wish> {
        Vec::new()
    }

    fn standing(&self, _: MoveId) -> Standing {
        if self.0.load(Ordering::SeqCst) { Standing::Moved } else { Standing::Wanted }
    }

    fn mark(&self, id: MoveId, mark: Mark) -> BoxFuture<Result<Standing, MarkError>> {
        if mark == Mark::Moved {
            self.0.store(true, Ordering::SeqCst);
        }
        let standing = self.standing(id);
        Box::pin(async move { Ok(standing) })
    }
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().ok_or("usage: move_rate FOLDER [MIB] [KIB]")?);
    let mib: usize = arguments.next().map_or(Ok(1024), |text| text.parse())?;
    let kib: usize = arguments.next().map_or(Ok(75), |text| text.parse())?;
    let options = NodeOptions::alone(NodeId(1), folder.join("log"));
    let env = Environment::real();
    let node = Node::open(env.clone(), options).await?;
    let directory = Directory::default();
    let stores = Stores::new(env.clone(), Arc::new(Alone), Arc::new(directory.clone()));
    for number in [1, 2] {
        let folder = folder.join(format!("store-{number}"));
        let group = GroupId(number);
        let options = StoreOptions { group, folder, bootstrap: true, readers: 4 };
        stores.add(Store::open(&node, options).await?);
    }
    stores.request(Request::CreateMailbox { mailbox: MAILBOX, quota: Quota::default() }).await?;
    fill(&stores, mib, kib).await?;

    let stop = Arc::new(AtomicBool::new(false));
    let longest = Arc::new(AtomicU64::new(0));
    let client = tokio::spawn(work(stores.clone(), stop.clone(), longest.clone()));
    let wish = Wish { id: MOVE, mailbox: MAILBOX, from: GroupId(1), to: GroupId(2) };
    let driver = Driver::new(
        env,
        Arc::new(stores.clone()),
        Arc::new(directory),
        wish,
        Pace::default(),
        Arc::new(|| true),
    );
    let progress = driver.progress();
    let started = Instant::now();
    let clearing = Arc::new(AtomicU64::new(0));
    let watch = tokio::spawn(watch(progress.clone(), started, clearing.clone()));
    driver.drive().await?;
    watch.abort();
    stop.store(true, Ordering::SeqCst);
    let changes = client.await??;
    let copied = clearing.load(Ordering::SeqCst) as f64 / 1000.0;
    let frozen = progress.lock().frozen.unwrap_or_default();
    println!(
        "{{\"mib\":{mib},\"message_kib\":{kib},\"seconds_to_switch\":{copied:.1},\
         \"mib_per_second\":{:.1},\"seconds_with_clearing\":{:.1},\"frozen_ms\":{},\
         \"changes_meanwhile\":{changes},\"longest_change_ms\":{}}}",
        mib as f64 / copied.max(0.001),
        started.elapsed().as_secs_f64(),
        frozen.as_millis(),
        longest.load(Ordering::SeqCst)
    );
    node.shutdown().await?;
    Ok(())
}

/// Notes when the switch is done.
async fn watch(
    progress: Arc<parking_lot::Mutex<posthouse_store::Progress>>,
    started: Instant,
    clearing: Arc<AtomicU64>,
) {
    loop {
        if progress.lock().frozen.is_some() {
            clearing.store(started.elapsed().as_millis() as u64, Ordering::SeqCst);
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn message(number: usize, kib: usize) -> NewItem {
    let mut text = format!(
        "From: Ada <ada@example.test>\r\nTo: bob@example.test\r\nSubject: {number}\r\n\
         Message-ID: <{number}@example.test>\r\n\r\n"
    );
    while text.len() < kib * 1024 {
        text.push_str("A line of text as it stands in many a message, of usual length.\r\n");
    }
    let received = posthouse_cluster::Timestamp(1_700_000_000_000 + number as u64);
    NewItem { message: Message(text.into_bytes().into()), flags: Flags::default(), received }
}

async fn fill(stores: &Stores, mib: usize, kib: usize) -> Result<(), Failure> {
    let items = mib * 1024 / kib.max(1);
    for first in (0..items).step_by(50) {
        let messages = (first..items.min(first + 50)).map(|number| message(number, kib)).collect();
        let request = Request::Append { mailbox: MAILBOX, folder: "INBOX".into(), messages };
        match stores.request(request).await? {
            Response::Appended { .. } => {}
            other => return Err(format!("{other:?}").into()),
        }
    }
    Ok(())
}

/// Appends and flags until it is told to stop; how many changes that were.
async fn work(
    stores: Stores,
    stop: Arc<AtomicBool>,
    longest: Arc<AtomicU64>,
) -> Result<usize, Failure> {
    let inbox: Folder =
        match stores.request(Request::Folder { mailbox: MAILBOX, name: "INBOX".into() }).await? {
            Response::Folder(folder) => folder,
            other => return Err(format!("{other:?}").into()),
        };
    let mut number = 0;
    while !stop.load(Ordering::SeqCst) {
        number += 1;
        let request = if number % 2 == 0 {
            let messages = vec![message(1_000_000_000 + number, 4)];
            Request::Append { mailbox: MAILBOX, folder: "INBOX".into(), messages }
        } else {
            Request::SetFlags {
                mailbox: MAILBOX,
                folder: inbox.id,
                uids: UidSet::from_uids([number as u32]),
                change: FlagChange::Add,
                flags: Flags { system: Flags::SEEN, keywords: Vec::new() },
                unchanged_since: None,
            }
        };
        let began = Instant::now();
        match stores.request(request).await? {
            Response::Refused(refusal) => return Err(refusal.to_string().into()),
            _ => longest.fetch_max(began.elapsed().as_millis() as u64, Ordering::SeqCst),
        };
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(number)
}
