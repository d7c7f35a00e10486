//! What `tests/tools/bench-cluster` needs of real nodes: a cluster to aim at, gaps when one goes, copies and moves.
//! Prints one JSON object.

use std::{
    io::Read,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use posthouse_tests::{
    cluster::{ClusterOptions, TestCluster, wait},
    ledger::Outcome,
    load::{Endpoint, append, message},
};
use serde_json::{Value, json};

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(120);

fn main() -> std::process::ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["hold", users, password] => hold(users, password),
        ["failover", rounds] => failover(rounds),
        ["idle", seconds] => idle(seconds),
        ["copies", megabytes] => copies(megabytes),
        _ => Err(anyhow::anyhow!(
            "usage: bench-cluster-client hold USERS PASSWORD | failover ROUNDS | idle SECONDS | copies MEGABYTES"
        )),
    };
    match done {
        Ok(value) => {
            println!("{value}");
            std::process::ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}

/// Three nodes that stay until standard input ends; says first where they are.
fn hold(users: &str, password: &str) -> Result<Value> {
    let users: usize = users.parse()?;
    let mut options = ClusterOptions::nodes(3);
    for number in 0..users {
        options.more_answers +=
            &format!("[[users]]\nname = 'user{number}'\npassword = '{password}'\n");
    }
    let cluster = TestCluster::with(options)?;
    let port = |name: &str| -> Vec<u16> {
        (1..=3).map(|number| cluster.node(number).port(name).port()).collect()
    };
    let pids: Vec<u32> = (1..=3).map(|number| cluster.node(number).pid()).collect();
    println!("{}", json!({ "smtp": port("smtp"), "imaps": port("imaps"), "pids": pids }));
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(json!({}))
}

/// When each prober was last answered, and the longest it waited since the last look.
#[derive(Default)]
struct Gaps {
    accepted: Vec<Instant>,
    session: Duration,
}

/// A client of one node that delivers without a pause, or reads a mailbox without one.
fn probe(endpoint: &Endpoint, reads: bool, gaps: &Mutex<Gaps>, stop: &AtomicBool, tag: &str) {
    let mut number = 0;
    let mut last = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        let mut work = || -> Result<()> {
            if reads {
                let mut imap = endpoint.imap("anna", PATIENCE)?;
                while !stop.load(Ordering::Relaxed) {
                    imap.ok("EXAMINE INBOX")?;
                    noted(gaps, &mut last, false);
                    std::thread::sleep(Duration::from_millis(2));
                }
                return Ok(());
            }
            let mut smtp = endpoint.smtp(PATIENCE)?;
            while !stop.load(Ordering::Relaxed) {
                number += 1;
                let id = format!("{tag}-{number}");
                let reply = smtp.deliver("anna@example.test", &message(&id))?;
                ensure!(reply.starts_with("250"), "{reply}");
                noted(gaps, &mut last, true);
                std::thread::sleep(Duration::from_millis(2));
            }
            Ok(())
        };
        if work().is_err() {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn noted(gaps: &Mutex<Gaps>, last: &mut Instant, accepted: bool) {
    let now = Instant::now();
    let mut gaps = gaps.lock().unwrap_or_else(PoisonError::into_inner);
    gaps.session = gaps.session.max(now - *last);
    if accepted {
        gaps.accepted.push(now);
    }
    *last = now;
}

/// Ways to lose the leader of a store.
const WAYS: [&str; 3] = ["leader killed", "host lost without a word", "planned stop"];

fn failover(rounds: &str) -> Result<Value> {
    let rounds: usize = rounds.parse()?;
    let mut options = ClusterOptions::nodes(3);
    options.namespaces = true;
    let mut cluster = TestCluster::with(options)?;
    let mut found = serde_json::Map::new();
    for way in WAYS {
        let (mut accepted, mut sessions) = (Vec::new(), Vec::new());
        for round in 0..rounds {
            let (gap, session) = one_failover(&mut cluster, way, round)
                .with_context(|| format!("{way}, round {round}\n{}", cluster.logs()))?;
            eprintln!("{way}: {} ms, session {} ms", gap.as_millis(), session.as_millis());
            accepted.push(gap.as_millis() as u64);
            sessions.push(session.as_millis() as u64);
        }
        found.insert(way.to_owned(), json!({ "accepted": accepted, "session": sessions }));
    }
    Ok(found.into())
}

/// Longest time without an accepted message while the leader goes, and longest wait of a session on another node.
fn one_failover(
    cluster: &mut TestCluster,
    way: &str,
    round: usize,
) -> Result<(Duration, Duration)> {
    cluster.wait_until_whole()?;
    let leader = cluster.wait_for_leader(1, 1, |_| true)?;
    let others: Vec<_> = (1..=3).filter(|number| *number != leader).collect();
    let gaps = Arc::new(Mutex::new(Gaps::default()));
    let stop = Arc::new(AtomicBool::new(false));
    let mut threads = Vec::new();
    for (position, number) in others.iter().enumerate() {
        for reads in [false, true] {
            let endpoint = Endpoint::of(cluster, *number)?;
            let (gaps, stop) = (gaps.clone(), stop.clone());
            let tag = format!("{}-{round}-{position}", way.replace(' ', "-"));
            threads.push(std::thread::spawn(move || probe(&endpoint, reads, &gaps, &stop, &tag)));
        }
    }
    wait(PATIENCE, || {
        let count = gaps.lock().unwrap_or_else(PoisonError::into_inner).accepted.len();
        ensure!(count > 20, "the clients do not work");
        Ok(())
    })?;
    std::thread::sleep(Duration::from_millis(300));
    *gaps.lock().unwrap_or_else(PoisonError::into_inner) = Gaps::default();
    let begin = Instant::now();
    match way {
        "leader killed" => cluster.kill(leader)?,
        "planned stop" => cluster.stop(leader)?,
        _ => cluster.hosts.as_ref().context("no hosts")?.lose(leader)?,
    }
    std::thread::sleep(Duration::from_secs(3));
    stop.store(true, Ordering::Relaxed);
    for thread in threads {
        let _ = thread.join();
    }
    let gaps = std::mem::take(&mut *gaps.lock().unwrap_or_else(PoisonError::into_inner));
    let mut ends = gaps.accepted;
    ends.push(begin);
    ends.sort_unstable();
    let longest = ends.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default();
    cluster.heal()?;
    if !cluster.node(leader).is_running() {
        cluster.restart(leader)?;
    }
    Ok((longest, gaps.session))
}

/// Processor time of a process so far.
fn processor_time(pid: u32) -> Result<Duration> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, rest) = text.rsplit_once(')').context("no stat")?;
    let fields: Vec<_> = rest.split_whitespace().collect();
    let ticks: u64 = [11, 12].iter().filter_map(|at| fields.get(*at)?.parse::<u64>().ok()).sum();
    Ok(Duration::from_millis(ticks * 10))
}

fn resident(pid: u32) -> Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = text.lines().find(|line| line.starts_with("VmRSS")).context("no VmRSS")?;
    Ok(line.split_whitespace().nth(1).context("no number")?.parse::<u64>()? / 1024)
}

/// What a node of three without work needs.
fn idle(seconds: &str) -> Result<Value> {
    let seconds: u64 = seconds.parse()?;
    let cluster = TestCluster::start(3)?;
    std::thread::sleep(Duration::from_secs(5));
    let pid = cluster.node(2).pid();
    let before = processor_time(pid)?;
    std::thread::sleep(Duration::from_secs(seconds));
    let used = processor_time(pid)? - before;
    Ok(json!({
        "percent of one processor": 100.0 * used.as_secs_f64() / seconds as f64,
        "resident MiB": resident(pid)?,
    }))
}

/// Text of one message of the mailbox that is copied and moved.
const MESSAGE: usize = 256 << 10;

/// A mailbox of so many megabytes: how fast a node that joins gets its copy, and how long a move takes.
fn copies(megabytes: &str) -> Result<Value> {
    let megabytes: usize = megabytes.parse()?;
    let mut cluster = TestCluster::start(3)?;
    let line = format!("{}\r\n", "0123456789abcdef".repeat(4));
    let begin = Instant::now();
    let mut imap = Endpoint::of(&cluster, 1)?.imap("anna", PATIENCE)?;
    for number in 0..(megabytes << 20) / MESSAGE {
        let id = format!("fill-{number}");
        let text = format!("{}\r\n{}", message(&id), line.repeat(MESSAGE / line.len()));
        match append(&mut imap, &text)? {
            Outcome::Placed(..) => {}
            other => bail!("{other:?}"),
        }
    }
    let filled = begin.elapsed();
    drop(imap);

    let begin = Instant::now();
    let made = cluster.node(1).json(["store", "move", "anna", "2", "--yes"])?;
    let moved = wait(PATIENCE * 10, || {
        let moves = cluster.node(1).json(["store", "moves"])?;
        let last = moves.as_array().and_then(|all| all.last()).context("no move")?.clone();
        ensure!(last["state"] == "done", "{last} {made}");
        Ok(begin.elapsed())
    })?;

    // a third copy of the store at home on node 2 has to go to the new node when node 3 is gone
    cluster.node(1).json(["store", "set-replicas", "2", "4", "--yes"])?;
    let begin = Instant::now();
    let number = cluster.add("main")?;
    let seeded = wait(PATIENCE * 10, || {
        let status = cluster.status(1)?;
        let stores = status["stores"].as_array().context("no stores")?;
        let two = stores.iter().find(|store| store["id"] == 2).context("no store 2")?;
        let replicas = two["replicas"].as_array().context("no replicas")?;
        let copy = replicas.iter().find(|copy| copy["node"] == number).context("no copy")?;
        ensure!(copy["complete"] == true, "{copy}");
        Ok(begin.elapsed())
    })?;
    let rate = |time: Duration| megabytes as f64 / time.as_secs_f64();
    Ok(json!({
        "appended MiB/s": rate(filled), "moved MiB/s": rate(moved), "seeded MiB/s": rate(seeded),
    }))
}
