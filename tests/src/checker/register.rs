//! Registers: flags of one message, one setting. Every write has a value of its own within its register.
//!
//! [`linearizable`] tells whether there is an order in which each operation takes effect at one instant of its time and
//! each read finds the last write. As no value is written twice, zones of values are enough (Gibbons and Korach 1997).

use std::collections::{BTreeMap, HashMap};

use super::{Kind, Verdict};
use crate::ledger::{Op, Outcome, Record};

/// Registers with this prefix may be read late on any node, but on no node backwards while it runs, and not before what
/// that node itself acknowledged: settings, which every node reads from its own copy. One that was started anew and is cut
/// off cannot know how much of its log the others have agreed on.
pub const LOCAL_READS: &str = "setting:";

/// Value of a register that was never written.
pub const EMPTY: u64 = 0;

/// A write or a read of one register. The end of a write with an unknown outcome is [`u64::MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// When it began.
    pub begin: u64,
    /// When it ended.
    pub end: u64,
    /// What was written, or read.
    pub value: u64,
    /// Whether it is a write.
    pub write: bool,
    /// Whether its outcome is known.
    pub known: bool,
    /// On which node.
    pub node: usize,
}

/// Steps of one register, as far as they say anything.
pub fn steps(history: &[Record], name: &str) -> Vec<Step> {
    let step = |record: &Record| {
        let (write, value, known) = match (&record.op, &record.outcome) {
            (Op::Write { register, value }, outcome) if register == name => match outcome {
                Outcome::Done => (true, *value, true),
                // a temporary error may come after the command was sent on: it may take effect
                Outcome::Temporary(_) | Outcome::Unknown(_) => (true, *value, false),
                _ => return None,
            },
            (Op::Read { register }, Outcome::Value(value)) if register == name => {
                (false, *value, true)
            }
            _ => return None,
        };
        let end = if known { record.end } else { u64::MAX };
        Some(Step { begin: record.begin, end, value, write, known, node: record.node })
    };
    let mut steps: Vec<_> = history.iter().filter_map(step).collect();
    steps.sort_by_key(|step| step.begin);
    steps
}

pub(super) fn judge(history: &[Record], verdict: &mut Verdict) {
    let mut names = BTreeMap::new();
    for record in history {
        if let Op::Write { register, .. } | Op::Read { register } = &record.op {
            *names.entry(register.as_str()).or_insert(0_u64) += 1;
        }
    }
    for (name, operations) in names {
        verdict.registers.0 += operations;
        verdict.registers.1 += 1;
        let mut steps = steps(history, name);
        if name.starts_with(LOCAL_READS) {
            if let Some(text) = backwards(&steps, &starts(history)) {
                verdict.break_promise(Kind::Monotonicity, format!("{name}: {text}"));
            }
            steps.retain(|step| step.write);
        }
        if let Some((one, other)) = unexplained(&steps) {
            steps.retain(|step| step.value == one || step.value == other);
            let text = format!("no order explains {one} and {other} of {name}:{}", show(&steps));
            verdict.break_promise(Kind::Linearizability, text);
        }
    }
}

fn show(steps: &[Step]) -> String {
    let one = |step: &Step| {
        let what = if step.write { "wrote" } else { "read" };
        let end = if step.known { step.end / 1000 } else { 0 };
        format!(" [{}-{end} µs node {} {what} {}]", step.begin / 1000, step.node, step.value)
    };
    steps.iter().map(one).collect()
}

/// Whether there is an order of all steps that explains every read.
pub fn linearizable(steps: &[Step]) -> bool {
    unexplained(steps).is_none()
}

/// Two values of which no order explains both, or one that was read before it was written; none if there is an order.
fn unexplained(steps: &[Step]) -> Option<(u64, u64)> {
    let mut zones: BTreeMap<u64, Zone> = BTreeMap::new();
    zones.insert(EMPTY, Zone { written: Some(0), first_end: 0, last_begin: 0 });
    for step in steps {
        let zone = zones.entry(step.value).or_insert(Zone::NONE);
        if step.write {
            zone.written = Some(step.begin);
        }
        zone.first_end = zone.first_end.min(step.end);
        zone.last_begin = zone.last_begin.max(step.begin);
    }
    // A value of an unknown outcome that nobody read need never have been there.
    zones.retain(|_, zone| zone.first_end != u64::MAX);
    let early = |zone: &Zone| zone.written.is_none_or(|begin| begin > zone.first_end);
    if let Some((value, _)) = zones.iter().find(|(_, zone)| early(zone)) {
        return Some((*value, *value));
    }
    // From the first end to the last begin the value was certainly there, and no other.
    let mut sure: Vec<_> = zones.iter().filter(|(_, z)| z.first_end < z.last_begin).collect();
    sure.sort_by_key(|(_, zone)| zone.first_end);
    if let Some(pair) = sure.windows(2).find(|pair| pair[0].1.last_begin > pair[1].1.first_end) {
        return Some((*pair[0].0, *pair[1].0));
    }
    // All others need an instant outside of these.
    zones.iter().filter(|(_, zone)| zone.first_end >= zone.last_begin).find_map(|(value, zone)| {
        let covers =
            |sure: &Zone| sure.first_end < zone.last_begin && zone.first_end < sure.last_begin;
        let (other, _) = sure.iter().find(|(_, sure)| covers(sure))?;
        Some((**other, *value))
    })
}

/// The steps that have one value.
struct Zone {
    written: Option<u64>,
    first_end: u64,
    last_begin: u64,
}

impl Zone {
    const NONE: Self = Self { written: None, first_end: u64::MAX, last_begin: 0 };
}

/// What a node showed later than something newer, by its own reads and acknowledged writes.
fn backwards(steps: &[Step], starts: &[(usize, u64)]) -> Option<String> {
    let writes: Vec<_> = steps.iter().filter(|step| step.write).collect();
    let of: HashMap<u64, &Step> = writes.iter().map(|step| (step.value, *step)).collect();
    for read in steps.iter().filter(|step| !step.write) {
        let Some(seen) = of.get(&read.value) else {
            if read.value == EMPTY && !earlier(steps, starts, read).any(|step| step.value != EMPTY)
            {
                continue;
            }
            return Some(format!("node {} read {} out of nowhere", read.node, read.value));
        };
        if seen.begin > read.end {
            return Some(format!("node {} read {} before it was written", read.node, read.value));
        }
        // certainly replaced before what the node knew already
        let newer = earlier(steps, starts, read)
            .filter_map(|step| of.get(&step.value))
            .find(|known| seen.known && known.begin > seen.end && known.value != seen.value);
        if let Some(newer) = newer {
            let text = "after it had known";
            return Some(format!("node {} read {} {text} {}", read.node, read.value, newer.value));
        }
    }
    None
}

/// What the node of `read` had read or acknowledged before it, since it was started.
fn earlier<'a>(
    steps: &'a [Step],
    starts: &[(usize, u64)],
    read: &'a Step,
) -> impl Iterator<Item = &'a Step> {
    let before = starts.iter().filter(|(node, at)| *node == read.node && *at <= read.begin);
    let since = before.map(|(_, at)| *at).max().unwrap_or(0);
    steps.iter().filter(move |step| {
        step.node == read.node && step.known && step.end < read.begin && step.begin >= since
    })
}

/// Which node was started anew, and when.
fn starts(history: &[Record]) -> Vec<(usize, u64)> {
    let start = |record: &&Record| record.op == Op::Start;
    history.iter().filter(start).map(|record| (record.node, record.begin)).collect()
}
