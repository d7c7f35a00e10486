//! `make faults`: three real nodes in network namespaces, with disks of their own, are broken again and again while clients
//! use them; each round's history is judged. Resumed by its seed.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use posthouse_tests::{
    checker::judge,
    cluster::{ClusterOptions, TestCluster},
    ledger::{Op, longest_gap},
    load::{Load, LoadOptions, empty, last_views},
    nemesis::{
        Dice, Fault, Nemesis,
        disk::{self, Disk},
        moved_clock,
    },
    netns,
    scorecard::{Scorecard, replace_between},
};

/// Faults of a round; its history is judged as a whole.
const FAULTS_A_ROUND: usize = 22;
/// The node whose clock can be moved: a library in between costs time, and may have faults of its own.
const FAKED: usize = 3;
/// Size of a node's disk in megabytes.
const DISK: u64 = 800;

fn number(name: &str, usual: u64) -> Result<u64> {
    match std::env::var(name) {
        Ok(text) => text.parse().with_context(|| format!("{name}={text} is not a number")),
        Err(_) => Ok(usual),
    }
}

fn main() -> std::process::ExitCode {
    match command() {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}

fn command() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["run", folder] => run(Path::new(folder)),
        ["report", folder, file] => report(Path::new(folder), Path::new(file)),
        _ => {
            bail!("usage: faults run FOLDER | report FOLDER FILE; FAULTS, FAULTS_SEED, FAULTS_ONLY")
        }
    }
}

/// Marks in docs/reliability.md that the report stands between.
const MARKS: (&str, &str) = ("<!-- faults: begin -->", "<!-- faults: end -->");

fn report(folder: &Path, file: &Path) -> Result<()> {
    let card = Scorecard::load(&folder.join("run.json"), number("FAULTS_SEED", 1)?);
    ensure!(card.rounds > 0, "nothing has run in {}", folder.display());
    let text = fs::read_to_string(file)?;
    let mut new = card.markdown();
    if !card.findings().is_empty() {
        new += &format!("\nFound:\n\n```text\n{}```\n", card.findings());
    }
    let text = replace_between(&text, MARKS.0, MARKS.1, &new)
        .with_context(|| format!("{} has no place for the report", file.display()))?;
    Ok(fs::write(file, text)?)
}

/// What a cluster of the run stands on.
struct Ground {
    folder: tempfile::TempDir,
    disks: Vec<Disk>,
    clocks: Vec<(usize, PathBuf)>,
}

impl Ground {
    fn new(parent: &Path) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix(RUN).tempdir_in(parent)?;
        let (mut disks, mut clocks) = (Vec::new(), Vec::new());
        for number in 1..=3 {
            let place = folder.path().join(format!("node-{number}"));
            disks.push(Disk::new(&place, DISK)?);
            if number == FAKED {
                let clock = place.join("clock");
                fs::write(&clock, "+0")?;
                clocks.push((number, clock));
            }
        }
        Ok(Self { folder, disks, clocks })
    }

    fn options(&self) -> ClusterOptions {
        let mut options = ClusterOptions::nodes(3);
        options.namespaces = true;
        options.data = self.disks.iter().map(|disk| disk.path().join("data")).collect();
        options.wrappers = vec![vec![]; 3];
        options.wrappers[FAKED - 1] = moved_clock(&self.clocks[0].1);
        options
    }
}

fn run(folder: &Path) -> Result<()> {
    netns::possible()?;
    fs::create_dir_all(folder)?;
    sweep(folder)?;
    let (wanted, seed) = (number("FAULTS", 1000)?, number("FAULTS_SEED", 1)?);
    let kinds = kinds()?;
    let path = folder.join("run.json");
    let mut card = Scorecard::load(&path, seed);
    if card.rounds > 0 {
        println!("Seed {seed} is resumed after {} faults", card.total());
    }
    while card.total() < wanted {
        // a fresh cluster now and then, and after something that left it unusable
        let mut ground = Ground::new(folder)?;
        let mut cluster = TestCluster::with(ground.options())?;
        for _ in 0..ROUNDS_A_CLUSTER {
            if card.total() >= wanted {
                break;
            }
            let done = round(&mut cluster, &mut ground, &mut card, &kinds, seed);
            card.save(&path)?;
            if let Err(error) = done {
                let text = format!("round {} of seed {seed}: {error:#}", card.rounds);
                println!("{text}\n{}", cluster.logs());
                card.failures.push(text);
                card.rounds += 1;
                card.save(&path)?;
                ensure!(card.failures.len() < 20, "too many rounds could not be ended");
                break;
            }
        }
        keep_logs(folder, &cluster, &card)?;
        drop(cluster);
        drop(ground);
    }
    println!("\n{}", card.markdown());
    ensure!(card.violations.is_empty() && card.failures.is_empty(), "\n{}", card.findings());
    Ok(())
}

/// Unmounts and removes what a run left behind that was killed.
fn sweep(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder)?.flatten() {
        if !entry.file_name().to_string_lossy().starts_with(RUN) {
            continue;
        }
        for number in 1..=3 {
            disk::unmount(&entry.path().join(format!("node-{number}")));
        }
        fs::remove_dir_all(entry.path())?;
    }
    Ok(())
}

/// Begin of the names of folders of a run.
const RUN: &str = "run-";

/// Rounds until the next fresh cluster.
const ROUNDS_A_CLUSTER: usize = 10;

/// Keeps the logs of a cluster with violations.
fn keep_logs(folder: &Path, cluster: &TestCluster, card: &Scorecard) -> Result<()> {
    if card.violations.is_empty() && card.failures.is_empty() {
        return Ok(());
    }
    for number in 1..=cluster.count() {
        let name = format!("node-{number}-round-{}.log", card.rounds);
        fs::write(folder.join(name), cluster.node(number).log())?;
    }
    Ok(())
}

/// The kinds that are wanted: `FAULTS_ONLY=kill,pause`.
fn kinds() -> Result<Vec<Fault>> {
    let Ok(text) = std::env::var("FAULTS_ONLY") else { return Ok(Fault::ALL.to_vec()) };
    text.split(',')
        .map(|name| {
            serde_json::from_value(serde_json::Value::String(name.to_owned()))
                .with_context(|| format!("{name} is no kind of fault"))
        })
        .collect()
}

/// Some faults under load, then everything is mended and judged.
fn round(
    cluster: &mut TestCluster,
    ground: &mut Ground,
    card: &mut Scorecard,
    kinds: &[Fault],
    seed: u64,
) -> Result<()> {
    let round = card.rounds;
    let mut dice = Dice::new(seed.wrapping_mul(1_000_003) + round);
    let options = LoadOptions { tag: format!("s{seed}r{round}"), ..LoadOptions::default() };
    let load = Load::start(cluster, options.clone())?;
    let begin = Instant::now();
    let mut faults: Vec<Fault> = Vec::new();
    // each kind in turn, from another one in each round, so that all get their share
    let first = (round as usize * FAULTS_A_ROUND) % kinds.len();
    let mut chosen: Vec<Fault> =
        (0..FAULTS_A_ROUND).map(|at| kinds[(first + at) % kinds.len()]).collect();
    dice.shuffle(&mut chosen);
    let mut nemesis =
        Nemesis { cluster, load: &load, disks: &mut ground.disks, clocks: &ground.clocks, dice };
    // While links are bad something else breaks too.
    let (mut links, others): (Vec<_>, Vec<_>) =
        chosen.into_iter().partition(|fault| fault.is_about_links());
    for fault in others {
        let below = links.pop();
        let at = load.ledger().now() / 1_000_000;
        let begun = below.map(|fault| nemesis.begin(fault)).transpose()?;
        let text = nemesis.inject(fault).with_context(|| format!("{fault:?}"))?;
        println!(
            "  {at:>6} ms: {text}{}",
            begun.map_or(String::new(), |text| format!(", while {text}"))
        );
        nemesis.mend()?;
        faults.extend(below);
        faults.push(fault);
    }
    for fault in links {
        let text = nemesis.inject(fault)?;
        println!("  {:>6} ms: {text}", load.ledger().now() / 1_000_000);
        faults.push(fault);
    }
    nemesis.mend_all()?;
    let seconds = begin.elapsed().as_secs_f64();
    let healing = Instant::now();
    load.wait_for(20, Duration::from_secs(60)).context("nothing works after mending")?;
    let history = load.finish();
    cluster.wait_until_whole()?;
    card.healing.push(healing.elapsed().as_millis() as u64);
    let (last, damaged) = last_views(cluster, 1 + round as usize % 3, &options.mailboxes)?;
    let verdict = judge(&history, &last, &damaged);
    let gap = longest_gap(&history, 0, |op| matches!(op, Op::Deliver { .. })).unwrap_or(0);
    card.gaps.push(gap / 1_000_000);
    for found in &verdict.violations {
        println!("  {:?}: {}", found.kind, found.text);
    }
    let (acknowledged, wrong) = (verdict.acknowledged, verdict.violations.len());
    if wrong > 0 {
        let lines: Vec<String> = history
            .iter()
            .map(|record| serde_json::to_string(record).unwrap_or_default())
            .collect();
        let path = ground.folder.path().parent().context("no folder")?;
        fs::write(path.join(format!("history-{round}.jsonl")), lines.join("\n"))?;
    }
    card.add(round, &faults, seconds, verdict);
    println!(
        "round {round}: {} faults, {acknowledged} messages acknowledged, longest gap {} ms, {wrong} violations",
        card.total(),
        gap / 1_000_000
    );
    empty(cluster, 1 + round as usize % 3, &options.mailboxes)
}
