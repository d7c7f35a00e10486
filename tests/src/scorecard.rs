//! What a run of faults found, kept from round to round so that a run can be resumed, and printed as the table of
//! docs/reliability.md.

use std::{collections::BTreeMap, fmt::Write, fs, path::Path};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::{
    checker::{Kind, Verdict, Violation},
    nemesis::Fault,
};

/// Sums over all rounds.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Scorecard {
    /// First seed of the run.
    pub seed: u64,
    /// Rounds that were judged; the next one has this number.
    pub rounds: u64,
    /// Faults by kind.
    pub faults: BTreeMap<Fault, u64>,
    /// Seconds of load.
    pub seconds: f64,
    /// Operations.
    pub operations: u64,
    /// Messages acknowledged.
    pub acknowledged: u64,
    /// Messages without a known outcome, and how many of them were there.
    pub unknown: (u64, u64),
    /// Messages refused for now, and how many of them were there.
    pub refused: (u64, u64),
    /// Operations with a temporary error, a permanent one, and without an answer.
    pub errors: (u64, u64, u64),
    /// Register operations, and registers.
    pub registers: (u64, u64),
    /// Longest time without an acknowledged delivery of each round, in milliseconds.
    pub gaps: Vec<u64>,
    /// Time until the cluster was whole after each round, in milliseconds.
    pub healing: Vec<u64>,
    /// Everything that must not happen, with the seed of its round.
    pub violations: Vec<(u64, Violation)>,
    /// Faults that could not be injected, and why.
    pub failures: Vec<String>,
}

impl Scorecard {
    /// One that was kept, or a new one with a seed.
    pub fn load(path: &Path, seed: u64) -> Self {
        let kept = fs::read_to_string(path).ok().and_then(|text| serde_json::from_str(&text).ok());
        kept.filter(|kept: &Self| kept.seed == seed)
            .unwrap_or_else(|| Self { seed, ..Self::default() })
    }

    /// Keeps it.
    pub fn save(&self, path: &Path) -> Result<()> {
        let new = path.with_extension("new");
        fs::write(&new, serde_json::to_string_pretty(self)?)?;
        Ok(fs::rename(new, path)?)
    }

    /// Adds a round.
    pub fn add(&mut self, seed: u64, faults: &[Fault], seconds: f64, verdict: Verdict) {
        self.rounds += 1;
        self.seconds += seconds;
        for fault in faults {
            *self.faults.entry(*fault).or_default() += 1;
        }
        self.operations += verdict.operations;
        self.acknowledged += verdict.acknowledged;
        add(&mut self.unknown, verdict.unknown);
        add(&mut self.refused, verdict.refused);
        add(&mut self.registers, verdict.registers);
        self.errors.0 += verdict.errors.0;
        self.errors.1 += verdict.errors.1;
        self.errors.2 += verdict.errors.2;
        self.violations.extend(verdict.violations.into_iter().map(|found| (seed, found)));
    }

    /// Faults in all.
    pub fn total(&self) -> u64 {
        self.faults.values().sum()
    }

    fn count(&self, kind: Kind) -> usize {
        self.violations.iter().filter(|(_, found)| found.kind == kind).count()
    }

    /// The tables, in Markdown.
    pub fn markdown(&self) -> String {
        let mut text = String::from("| fault | injected |\n| --- | ---: |\n");
        for (fault, count) in &self.faults {
            let name = serde_json::to_string(fault).unwrap_or_default();
            let _ = writeln!(text, "| {} | {count} |", name.trim_matches('"').replace('_', " "));
        }
        let _ = writeln!(text, "| **all** | **{}** |", self.total());
        text += "\n| figure | value |\n| --- | ---: |\n";
        let percent =
            |part: u64| format!("{:.2} %", 100.0 * part as f64 / self.operations.max(1) as f64);
        let rows = [
            (
                "seed, rounds, minutes of load",
                format!("{}, {}, {:.0}", self.seed, self.rounds, self.seconds / 60.0),
            ),
            ("operations", self.operations.to_string()),
            ("messages acknowledged", self.acknowledged.to_string()),
            ("acknowledged messages lost", self.count(Kind::Lost).to_string()),
            ("messages doubled", self.count(Kind::Duplicated).to_string()),
            ("messages that nobody sent, or not as sent", self.count(Kind::Phantom).to_string()),
            (
                "without a known outcome; of these delivered",
                format!("{}; {}", self.unknown.0, self.unknown.1),
            ),
            (
                "refused for now; of these delivered nevertheless",
                format!("{}; {}", self.refused.0, self.refused.1),
            ),
            ("UIDs reused or going back, UIDVALIDITY changed", self.count(Kind::Uid).to_string()),
            ("reads that missed something acknowledged", self.count(Kind::Stale).to_string()),
            ("expunged messages that came back", self.count(Kind::Resurrected).to_string()),
            (
                "registers; operations on them",
                format!("{}; {}", self.registers.1, self.registers.0),
            ),
            ("registers without a linear order", self.count(Kind::Linearizability).to_string()),
            ("settings that went back on a node", self.count(Kind::Monotonicity).to_string()),
            (
                "longest time without an accepted message, by round: p50, p99, max",
                spread(&self.gaps),
            ),
            ("whole again after a round: p50, p99, max", spread(&self.healing)),
            ("operations with a temporary error", percent(self.errors.0)),
            ("operations with a permanent error", percent(self.errors.1)),
            ("operations without an answer", percent(self.errors.2)),
        ];
        for (name, value) in rows {
            let _ = writeln!(text, "| {name} | {value} |");
        }
        text
    }

    /// What was found, for a person; empty if nothing was.
    pub fn findings(&self) -> String {
        let mut text = String::new();
        for (seed, found) in self.violations.iter().take(30) {
            let _ = writeln!(text, "seed {seed}: {:?}: {}", found.kind, found.text);
        }
        for failure in self.failures.iter().take(30) {
            let _ = writeln!(text, "{}", failure.lines().next().unwrap_or_default());
        }
        text
    }
}

fn add(sum: &mut (u64, u64), more: (u64, u64)) {
    sum.0 += more.0;
    sum.1 += more.1;
}

/// Median, 99th percentile and maximum of milliseconds, in seconds.
pub fn spread(millis: &[u64]) -> String {
    let mut sorted = millis.to_vec();
    sorted.sort_unstable();
    let at = |part: f64| {
        let last = sorted.len().saturating_sub(1);
        sorted.get((last as f64 * part).round() as usize).copied().unwrap_or(0) as f64 / 1000.0
    };
    format!("{:.2} s, {:.2} s, {:.2} s", at(0.5), at(0.99), at(1.0))
}

/// Puts a text between two marks of a file, instead of what stood there.
pub fn replace_between(text: &str, begin: &str, end: &str, new: &str) -> Option<String> {
    let from = text.find(begin)? + begin.len();
    let to = from + text[from..].find(end)?;
    Some(format!("{}\n\n{}\n\n{}", &text[..from], new.trim(), &text[to..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_resumed_with_the_same_seed_and_begun_anew_with_another() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.json");
        let mut card = Scorecard::load(&path, 7);
        let found = Violation { kind: Kind::Lost, text: "m-1".into() };
        let verdict = Verdict { acknowledged: 5, violations: vec![found], ..Verdict::default() };
        card.add(70, &[Fault::Kill, Fault::Kill, Fault::Pause], 2.0, verdict);
        card.save(&path).unwrap();
        let resumed = Scorecard::load(&path, 7);
        assert_eq!((resumed.rounds, resumed.total(), resumed.acknowledged), (1, 3, 5));
        assert!(resumed.markdown().contains("| acknowledged messages lost | 1 |"));
        assert!(resumed.markdown().contains("| kill | 2 |"));
        assert!(resumed.findings().contains("seed 70: Lost: m-1"));
        assert_eq!(Scorecard::load(&path, 8).rounds, 0);
    }

    #[test]
    fn a_report_replaces_what_stood_between_its_marks() {
        let text = "a\n<!-- b -->\nold\n<!-- e -->\nz\n";
        let new = replace_between(text, "<!-- b -->", "<!-- e -->", "new").unwrap();
        assert_eq!(new, "a\n<!-- b -->\n\nnew\n\n<!-- e -->\nz\n");
        assert_eq!(replace_between("nothing", "<!-- b -->", "<!-- e -->", "new"), None);
    }

    #[test]
    fn spreads_are_taken_from_the_sorted_values() {
        let millis: Vec<u64> = (1..=100).rev().map(|n| n * 10).collect();
        assert_eq!(spread(&millis), "0.51 s, 0.99 s, 1.00 s");
        assert_eq!(spread(&[]), "0.00 s, 0.00 s, 0.00 s");
    }
}
