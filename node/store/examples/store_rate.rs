//! How many deliveries and fetches a store does per second: `store_rate FOLDER [SECONDS]`.
//!
//! Deliveries of 20 KiB by 16 writers, each to one of 16 mailboxes; then 16 sessions select, change a flag
//! of one message, and fetch bodies. FOLDER must be empty or missing. Prints one line of JSON.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use posthouse_cluster::{Environment, GroupId, Node, NodeId, NodeOptions};
use posthouse_store::{
    DeliveryId, Envelope, FlagChange, Flags, Item, LocalRecipient, MailboxId, Message, Parts,
    Quota, Request, Response, Store, StoreOptions, Stores, UidSet,
};
use uuid::Uuid;

/// Writers, readers and mailboxes.
const SESSIONS: u128 = 16;
/// Length of a message in bytes.
const SIZE: usize = 20 * 1024;

/// An odd number that makes consecutive ids far from each other.
const SPREAD: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().ok_or("usage: store_rate FOLDER [SECONDS]")?);
    let seconds = arguments.next().map_or(Ok(5), |text| text.parse())?;
    let options = NodeOptions::alone(NodeId(1), folder.join("log"));
    let node = Node::open(Environment::real(), options).await?;
    let (group, folder) = (GroupId(1), folder.join("store"));
    let options = StoreOptions { group, folder, bootstrap: true, readers: 4 };
    // the way that protocols take
    let store = Stores::single(Store::open(&node, options).await?);
    for session in 0..SESSIONS {
        let mailbox = MailboxId(Uuid::from_u128(session));
        store.request(Request::CreateMailbox { mailbox, quota: Quota::default() }).await?;
    }
    let time = Duration::from_secs(seconds);
    let writing = store.clone();
    let deliveries =
        measure(time, move |session, number| deliver(writing.clone(), session, number)).await?;
    let mut items = Vec::new();
    for session in 0..SESSIONS {
        items.push(list(&store, session).await?);
    }
    let items = Arc::new(items);
    let reading = store.clone();
    let selects = measure(time, move |session, _| select(reading.clone(), session)).await?;
    let (marking, marked) = (store.clone(), items.clone());
    let flags = measure(time, move |session, number| {
        mark(marking.clone(), marked.clone(), session, number)
    })
    .await?;
    let fetches = measure(time, move |session, number| {
        let (store, items) = (store.clone(), items.clone());
        async move {
            let items = items.get(session as usize).ok_or("no such session")?;
            let item =
                items.get(number as usize % items.len().max(1)).ok_or("nothing delivered")?;
            let mailbox = MailboxId(Uuid::from_u128(session));
            match store.request(Request::Body { mailbox, body: item.body }).await? {
                Response::Body(_) => Ok(()),
                other => Err(format!("{other:?}").into()),
            }
        }
    })
    .await?;
    println!(
        "{{\"deliveries_per_second\":{deliveries:.0},\"selects_per_second\":{selects:.0},\
         \"flag_changes_per_second\":{flags:.0},\"fetches_per_second\":{fetches:.0}}}"
    );
    node.shutdown().await?;
    Ok(())
}

/// Lets all sessions do one thing after the other for a while; how many per second.
async fn measure<F, T>(time: Duration, act: F) -> Result<f64, Failure>
where
    F: Fn(u128, u64) -> T + Clone + Send + Sync + 'static,
    T: Future<Output = Result<(), Failure>> + Send,
{
    let done = Arc::new(AtomicU64::new(0));
    let started = Instant::now();
    let mut sessions = tokio::task::JoinSet::new();
    for session in 0..SESSIONS {
        let (act, done) = (act.clone(), done.clone());
        sessions.spawn(async move {
            let mut number = 0;
            while started.elapsed() < time {
                act(session, number).await?;
                number += 1;
                done.fetch_add(1, Ordering::Relaxed);
            }
            Ok::<_, Failure>(())
        });
    }
    while let Some(ended) = sessions.join_next().await {
        ended??;
    }
    Ok(done.load(Ordering::Relaxed) as f64 / started.elapsed().as_secs_f64())
}

async fn deliver(store: Stores, session: u128, number: u64) -> Result<(), Failure> {
    let mut text = format!(
        "From: Ada <ada@example.test>\r\nTo: bob@example.test\r\nSubject: {session}/{number}\r\n\
         Date: Mon, 2 Nov 2026 10:00:00 +0000\r\nMessage-ID: <{session}.{number}@example.test>\r\n\r\n"
    );
    while text.len() < SIZE {
        text.push_str("A line of text as it stands in many a message, of usual length.\r\n");
    }
    let mailbox = MailboxId(Uuid::from_u128(session));
    let envelope = Envelope {
        sender: "ada@example.test".into(),
        envelope_id: None,
        return_full: false,
        eight_bit: false,
        utf8: false,
    };
    let local = vec![LocalRecipient { mailbox, address: "bob@example.test".into() }];
    let message = Message(text.into_bytes().into());
    // spread like random ones
    let delivery = DeliveryId(((session << 64) | u128::from(number)).wrapping_mul(SPREAD));
    let relay = Vec::new();
    match store.request(Request::DeliverOnce { delivery, envelope, local, relay, message }).await? {
        Response::Accepted { .. } => Ok(()),
        other => Err(format!("{other:?}").into()),
    }
}

/// What SELECT asks for.
async fn select(store: Stores, session: u128) -> Result<(), Failure> {
    let mailbox = MailboxId(Uuid::from_u128(session));
    let inbox = Request::Folder { mailbox, name: "INBOX".into() };
    let Response::Folder(inbox) = store.request(inbox).await? else {
        return Err("no INBOX".into());
    };
    match store.request(Request::Uids { mailbox, folder: inbox.id }).await? {
        Response::Uids { .. } => Ok(()),
        other => Err(format!("{other:?}").into()),
    }
}

/// What STORE of one message asks for.
async fn mark(
    store: Stores,
    items: Arc<Vec<Vec<Item>>>,
    session: u128,
    number: u64,
) -> Result<(), Failure> {
    let items = items.get(session as usize).ok_or("no such session")?;
    let item = items.get(number as usize % items.len().max(1)).ok_or("nothing delivered")?;
    let mailbox = MailboxId(Uuid::from_u128(session));
    let inbox = Request::Folder { mailbox, name: "INBOX".into() };
    let Response::Folder(inbox) = store.request(inbox).await? else {
        return Err("no INBOX".into());
    };
    let change = match (number / items.len().max(1) as u64) % 2 {
        0 => FlagChange::Add,
        _ => FlagChange::Remove,
    };
    let request = Request::SetFlags {
        mailbox,
        folder: inbox.id,
        uids: UidSet(vec![(item.uid, item.uid)]),
        change,
        flags: Flags { system: Flags::SEEN, keywords: Vec::new() },
        unchanged_since: None,
    };
    match store.request(request).await? {
        Response::Flagged { .. } => Ok(()),
        other => Err(format!("{other:?}").into()),
    }
}

async fn list(store: &Stores, session: u128) -> Result<Vec<Item>, Failure> {
    let mailbox = MailboxId(Uuid::from_u128(session));
    let inbox = Request::Folder { mailbox, name: "INBOX".into() };
    let Response::Folder(inbox) = store.request(inbox).await? else {
        return Err("no INBOX".into());
    };
    let (folder, uids, parts) = (inbox.id, UidSet(vec![(1, u32::MAX)]), Parts::default());
    match store.request(Request::Items { mailbox, folder, uids, parts, changed_since: 0 }).await? {
        Response::Items { items, .. } => Ok(items),
        other => Err(format!("{other:?}").into()),
    }
}
