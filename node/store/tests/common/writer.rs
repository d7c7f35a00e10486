//! The child process: writers that say on standard output what they begin and what was acknowledged.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use posthouse_cluster::Timestamp;
use posthouse_store::{Flags, Message, NewItem, Quota, Request, Response, Store};

use super::{Action, Op, WRITERS, disk, mailbox, open};

/// Where the child works; if it is not set, there is nothing to do.
pub(crate) const FOLDER: &str = "POSTHOUSE_TEST_FOLDER";
/// Operations that were not acknowledged the last time, separated by `;`.
pub(crate) const PENDING: &str = "POSTHOUSE_TEST_PENDING";
/// Number of the next operation of each writer.
pub(crate) const NEXT: &str = "POSTHOUSE_TEST_NEXT";
/// Milliseconds between two operations of a writer.
pub(crate) const PAUSE: &str = "POSTHOUSE_TEST_PAUSE";
/// Instead of writing as ever: put so many items into the first INBOX, a thousand at a time.
pub(crate) const FILL: &str = "POSTHOUSE_TEST_FILL";
/// Line that says that writing begins, or that filling is done.
const READY: &str = "READY";

/// What a child said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Ready,
    Begun(Op),
    /// With the uid that it got, 0 if none.
    Done(Op, u32),
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // a parent that is gone will kill us anyway
    let _ = writeln!(out, "\n{line}");
    let _ = out.flush();
}

/// Runs the child's part if this process is one.
pub(crate) fn run_if_child() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(work(Path::new(&folder)));
}

async fn work(folder: &Path) {
    let (_node, store) = open(disk::environment(), folder).await.unwrap();
    for writer in 0..WRITERS {
        let request = Request::CreateMailbox { mailbox: mailbox(writer), quota: Quota::default() };
        store.request(request).await.unwrap();
    }
    let pending = std::env::var(PENDING).unwrap_or_default();
    for op in pending.split(';').filter_map(Op::parse) {
        act(&store, op).await;
    }
    let number = |name| std::env::var(name).ok().and_then(|text: String| text.parse().ok());
    let next: u64 = number(NEXT).unwrap_or(1);
    let pause = Duration::from_millis(number(PAUSE).unwrap_or(0));
    if let Some(items) = number(FILL) {
        fill(&store, items).await;
        say(READY);
        std::future::pending::<()>().await;
    }
    say(READY);
    let writers =
        (0..WRITERS).map(|writer| tokio::spawn(write(store.clone(), writer, next, pause)));
    futures_util::future::join_all(writers).await;
}

async fn write(store: Store, writer: u64, next: u64, pause: Duration) {
    let mut own = Vec::new();
    for number in next.. {
        let action = match number % 8 {
            1 => Action::Large,
            3 => Action::Deliver,
            5 => own.last().map_or(Action::Small, |uid| Action::Flag(*uid)),
            7 => own.pop().map_or(Action::Small, Action::Move),
            _ if writer == 0 && number % 61 == 0 => Action::Checkpoint,
            _ => Action::Small,
        };
        let uid = act(&store, Op { writer, number, action }).await;
        if uid > 0 {
            own.push(uid);
        }
        tokio::time::sleep(pause).await;
    }
}

async fn fill(store: &Store, items: u64) {
    for thousand in 0..items / 1000 {
        let messages = (0..1000).map(|number| {
            let op = Op { writer: 0, number: thousand * 1000 + number, action: Action::Small };
            let message = Message(op.message().into());
            NewItem { message, flags: Flags::default(), received: Timestamp(op.number) }
        });
        let request = Request::Append {
            mailbox: mailbox(0),
            folder: "INBOX".into(),
            messages: messages.collect(),
        };
        match store.request(request).await {
            Ok(Response::Appended { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// Does it and says so before and after; returns the uid of a message in the own INBOX.
async fn act(store: &Store, op: Op) -> u32 {
    if op.action == Action::Checkpoint {
        store.group().checkpoint().await.unwrap();
        return 0;
    }
    say(&format!("BEGIN {op}"));
    let uid = match store.call(op.call()).await {
        Ok(Response::Appended { uids, .. }) => uids[0],
        Ok(Response::Copied { .. } | Response::Flagged { .. } | Response::Accepted { .. }) => 0,
        other => panic!("{op}: {other:?}"),
    };
    say(&format!("DONE {uid} {op}"));
    uid
}

/// Starts a child that works in `folder`, as the test called `test` of this binary.
pub(crate) fn spawn(test: &str, folder: &Path, variables: &[(&str, String)]) -> (Child, Lines) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]);
    command.env(FOLDER, folder).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.envs(variables.iter().map(|(name, value)| (name, value)));
    let mut child = command.spawn().unwrap();
    let (out, errors) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let (sender, lines) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(out).lines().map_while(Result::ok) {
            if let Some(said) = parse(&line)
                && sender.send(said).is_err()
            {
                break;
            }
        }
    });
    let (sender, errors_kept) = mpsc::channel();
    std::thread::spawn(move || {
        let _ = sender.send(std::io::read_to_string(errors).unwrap_or_default());
    });
    (child, Lines { lines, errors: errors_kept })
}

fn parse(line: &str) -> Option<Said> {
    if line == READY {
        return Some(Said::Ready);
    }
    if let Some(op) = line.strip_prefix("BEGIN ") {
        return Some(Said::Begun(Op::parse(op)?));
    }
    let (uid, op) = line.strip_prefix("DONE ")?.split_once(' ')?;
    Some(Said::Done(Op::parse(op)?, uid.parse().ok()?))
}

/// What a child says.
pub(crate) struct Lines {
    lines: mpsc::Receiver<Said>,
    errors: mpsc::Receiver<String>,
}

impl Lines {
    /// What was said so far, up to now or to `until` if that has not come yet.
    pub(crate) fn until_ready(&self) -> Vec<Said> {
        let deadline = Instant::now() + Duration::from_secs(120);
        let mut said = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(Said::Ready) => return said,
                Ok(line) => said.push(line),
                Err(_) => return said,
            }
        }
    }

    /// What is there now.
    pub(crate) fn so_far(&self) -> Vec<Said> {
        self.lines.try_iter().filter(|said| *said != Said::Ready).collect()
    }

    /// Everything to the end of a child that has been killed.
    pub(crate) fn rest(&self) -> Vec<Said> {
        self.lines.iter().filter(|said| *said != Said::Ready).collect()
    }

    /// What it wrote on standard error, once it has ended.
    pub(crate) fn errors(&self) -> String {
        self.errors.recv_timeout(Duration::from_secs(5)).unwrap_or_default()
    }
}
