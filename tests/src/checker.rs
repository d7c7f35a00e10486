//! Judges a history: what was acknowledged is there once, numbers never go back, nobody reads what is older than what
//! somebody was told before.
//!
//! The checks believe the clients' times only as far as a monotonic clock goes: an operation takes effect at one
//! instant between its begin and its end, or, with an unknown outcome, at any time after its begin or never.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use crate::ledger::{Op, Outcome, Record, View};

pub mod register;
#[cfg(test)]
mod tests;

/// Something that must never happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// Which promise was broken.
    pub kind: Kind,
    /// What happened, for a person.
    pub text: String,
}

/// Promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// An acknowledged message is gone.
    Lost,
    /// A message is there more than once.
    Duplicated,
    /// A message that nobody sent, or whose content is not what was sent.
    Phantom,
    /// UID given twice, or UIDNEXT, UIDVALIDITY, HIGHESTMODSEQ going back, or appended messages out of order.
    Uid,
    /// A reader missed what was appended or seen by somebody before it began to read.
    Stale,
    /// An expunged message came back.
    Resurrected,
    /// A register had a value that no order of the writes explains.
    Linearizability,
    /// A node showed an older value of a register after a newer one.
    Monotonicity,
}

/// What was counted and found.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Verdict {
    /// Operations in the history.
    pub operations: u64,
    /// Messages acknowledged.
    pub acknowledged: u64,
    /// Messages without a known outcome, and how many of them are there.
    pub unknown: (u64, u64),
    /// Messages refused with a temporary error, and how many of them are there nevertheless: allowed, but a sender will
    /// send them again.
    pub refused: (u64, u64),
    /// Operations that ended with a temporary, a permanent and without an answer.
    pub errors: (u64, u64, u64),
    /// Register operations that were judged, and registers.
    pub registers: (u64, u64),
    /// Broken promises.
    pub violations: Vec<Violation>,
}

impl Verdict {
    fn break_promise(&mut self, kind: Kind, text: String) {
        self.violations.push(Violation { kind, text });
    }

    /// How many broken promises of a kind.
    pub fn count(&self, kind: Kind) -> usize {
        self.violations.iter().filter(|violation| violation.kind == kind).count()
    }
}

/// Judges a history. `last` has the mailboxes as they are in the end, whole, and after everything was mended;
/// `damaged` has the Message-IDs whose content was not what was sent.
pub fn judge(history: &[Record], last: &BTreeMap<String, View>, damaged: &[String]) -> Verdict {
    let mut verdict = Verdict { operations: history.len() as u64, ..Verdict::default() };
    for record in history {
        match &record.outcome {
            Outcome::Temporary(_) => verdict.errors.0 += 1,
            Outcome::Permanent(_) => verdict.errors.1 += 1,
            Outcome::Unknown(_) => verdict.errors.2 += 1,
            _ => {}
        }
    }
    for id in damaged {
        verdict.break_promise(Kind::Phantom, format!("{id} is not what was sent"));
    }
    let expunges = Expunges::of(history);
    messages(history, last, &expunges, &mut verdict);
    for (mailbox, view) in last {
        numbers(mailbox, history, view, &mut verdict);
        readers(mailbox, history, &expunges, &mut verdict);
    }
    register::judge(history, &mut verdict);
    verdict
}

/// What was tried to expunge: `(mailbox, uid)` to the end of the acknowledged operation, none if its outcome is not known.
struct Expunges(HashMap<(String, u32), Option<u64>>);

impl Expunges {
    fn of(history: &[Record]) -> Self {
        let mut all = HashMap::new();
        for record in history {
            if let Op::Expunge { mailbox, uid } = &record.op {
                let done = record.outcome.is_done().then_some(record.end);
                let entry = all.entry((mailbox.clone(), *uid)).or_insert(done);
                *entry = entry.or(done);
            }
        }
        Self(all)
    }
}

fn sent(op: &Op) -> Option<(&str, &str)> {
    match op {
        Op::Deliver { mailbox, id } | Op::Append { mailbox, id } => Some((mailbox, id)),
        _ => None,
    }
}

/// Everything that was listed anywhere, at any time: Message-IDs to the UIDs that they had.
fn seen(
    history: &[Record],
    last: &BTreeMap<String, View>,
) -> HashMap<(String, String), BTreeSet<u32>> {
    let mut all: HashMap<_, BTreeSet<u32>> = HashMap::new();
    let lists = history.iter().filter_map(|record| match (&record.op, &record.outcome) {
        (Op::List { mailbox, .. }, Outcome::Seen(view)) => Some((mailbox, view)),
        _ => None,
    });
    for (mailbox, view) in lists.chain(last) {
        for (uid, id) in &view.messages {
            all.entry((mailbox.clone(), id.clone())).or_default().insert(*uid);
        }
    }
    all
}

fn messages(
    history: &[Record],
    last: &BTreeMap<String, View>,
    expunges: &Expunges,
    verdict: &mut Verdict,
) {
    let seen = seen(history, last);
    let mut known = BTreeSet::new();
    for record in history {
        let Some((mailbox, id)) = sent(&record.op) else { continue };
        known.insert(id);
        let key = (mailbox.to_owned(), id.to_owned());
        let mut uids = seen.get(&key).cloned().unwrap_or_default();
        if let Outcome::Placed(_, uid) = record.outcome {
            uids.insert(uid);
        }
        let there = last
            .get(mailbox)
            .map_or(0, |view| view.messages.values().filter(|other| *other == id).count());
        let expunged = uids.iter().any(|uid| expunges.0.contains_key(&(mailbox.to_owned(), *uid)));
        if uids.len() > 1 {
            verdict.break_promise(Kind::Duplicated, format!("{id} in {mailbox} has UIDs {uids:?}"));
        }
        match &record.outcome {
            Outcome::Done | Outcome::Placed(..) => {
                verdict.acknowledged += 1;
                if there == 0 && !expunged {
                    let text =
                        format!("{id} to {mailbox} by node {} at {}", record.node, record.end);
                    verdict.break_promise(Kind::Lost, text);
                }
            }
            Outcome::Unknown(_) => {
                verdict.unknown.0 += 1;
                verdict.unknown.1 += u64::from(!uids.is_empty());
            }
            Outcome::Temporary(_) => {
                verdict.refused.0 += 1;
                verdict.refused.1 += u64::from(!uids.is_empty());
            }
            Outcome::Permanent(text) if !uids.is_empty() => {
                let text = format!("{id} was refused for good ({text}) and is there");
                verdict.break_promise(Kind::Phantom, text);
            }
            _ => {}
        }
    }
    for (mailbox, id) in seen.keys() {
        if !known.contains(id.as_str()) {
            verdict
                .break_promise(Kind::Phantom, format!("nobody sent {id}, which is in {mailbox}"));
        }
    }
}

/// A state of a mailbox with the time in which it was looked at.
type Look<'a> = (u64, u64, &'a View);

fn looks<'a>(mailbox: &str, history: &'a [Record]) -> Vec<Look<'a>> {
    history
        .iter()
        .filter_map(|record| match (&record.op, &record.outcome) {
            (Op::List { mailbox: of, .. }, Outcome::Seen(view)) if of == mailbox => {
                Some((record.begin, record.end, view))
            }
            _ => None,
        })
        .collect()
}

/// The greatest value that was known before each look began, by what `value` takes from the looks that had ended by then.
fn never_back<T: Copy + Ord + std::fmt::Display>(
    looks: &[Look<'_>],
    name: &str,
    mailbox: &str,
    value: impl Fn(&View) -> T,
    verdict: &mut Verdict,
) {
    let mut by_end: Vec<_> = looks.iter().collect();
    by_end.sort_by_key(|look| look.1);
    let (mut ended, mut greatest) = (by_end.into_iter().peekable(), None);
    for (begin, _, view) in looks {
        while let Some(look) = ended.next_if(|look| look.1 < *begin) {
            greatest = greatest.max(Some(value(look.2)));
        }
        if let Some(greatest) = greatest.filter(|greatest| value(view) < *greatest) {
            let text = format!("{name} of {mailbox} went from {greatest} to {}", value(view));
            verdict.break_promise(Kind::Uid, text);
        }
    }
}

fn numbers(mailbox: &str, history: &[Record], last: &View, verdict: &mut Verdict) {
    let mut looks = looks(mailbox, history);
    looks.push((u64::MAX, u64::MAX, last));
    let validities: BTreeSet<u32> = looks.iter().map(|look| look.2.validity).collect();
    if validities.len() > 1 {
        let text = format!("UIDVALIDITY of {mailbox} was {validities:?}");
        verdict.break_promise(Kind::Uid, text);
    }
    never_back(&looks, "UIDNEXT", mailbox, |view| view.next, verdict);
    never_back(&looks, "HIGHESTMODSEQ", mailbox, |view| view.modseq, verdict);

    let mut owner: HashMap<u32, String> = HashMap::new();
    let mut claim = |uid: u32, id: &str, verdict: &mut Verdict| {
        let before = owner.entry(uid).or_insert_with(|| id.to_owned());
        if before != id {
            let text = format!("UID {uid} of {mailbox} was {before} and {id}");
            verdict.break_promise(Kind::Uid, text);
        }
    };
    for (_, _, view) in &looks {
        for (uid, id) in &view.messages {
            claim(*uid, id, verdict);
        }
    }
    let mut appended: Vec<(u64, u64, u32)> = Vec::new();
    for record in history {
        if let (Op::Append { mailbox: of, id }, Outcome::Placed(validity, uid)) =
            (&record.op, &record.outcome)
            && of == mailbox
        {
            claim(*uid, id, verdict);
            appended.push((record.begin, record.end, *uid));
            if *validity != last.validity {
                let text = format!("{id} was put under UIDVALIDITY {validity} of {mailbox}");
                verdict.break_promise(Kind::Uid, text);
            }
        }
    }
    in_order(mailbox, &appended, &looks, verdict);
}

/// What was appended after something else, or after somebody saw UIDNEXT, has a UID not below.
fn in_order(
    mailbox: &str,
    appended: &[(u64, u64, u32)],
    looks: &[Look<'_>],
    verdict: &mut Verdict,
) {
    let mut floors: Vec<(u64, u32)> =
        appended.iter().map(|(_, end, uid)| (*end, uid + 1)).collect();
    floors.extend(looks.iter().map(|(_, end, view)| (*end, view.next)));
    floors.sort_unstable();
    let (mut floors, mut floor) = (floors.into_iter().peekable(), 0);
    let mut appended = appended.to_vec();
    appended.sort_unstable();
    for (begin, _, uid) in appended {
        while let Some((_, next)) = floors.next_if(|(end, _)| *end < begin) {
            floor = floor.max(next);
        }
        if uid < floor {
            let text = format!("UID {uid} of {mailbox} was given when UIDNEXT had been {floor}");
            verdict.break_promise(Kind::Uid, text);
        }
    }
}

/// Nobody misses what was known to be there before, nor sees what was expunged before.
fn readers(mailbox: &str, history: &[Record], expunges: &Expunges, verdict: &mut Verdict) {
    // What each client has seen so far of the mailbox: it asks for the new part only.
    let mut known: HashMap<u32, BTreeSet<&str>> = HashMap::new();
    // What was appended is there when it is acknowledged. What came by SMTP may wait in the spool of another store
    // first, but once somebody has seen it, it is there for everybody.
    let mut known_since: HashMap<&str, u64> = HashMap::new();
    for record in history {
        match (&record.op, &record.outcome) {
            (Op::Append { mailbox: of, id }, Outcome::Placed(..)) if of == mailbox => {
                let since = known_since.entry(id).or_insert(record.end);
                *since = record.end.min(*since);
            }
            (Op::List { mailbox: of, .. }, Outcome::Seen(view)) if of == mailbox => {
                for id in view.messages.values() {
                    let since = known_since.entry(id).or_insert(record.end);
                    *since = record.end.min(*since);
                }
            }
            _ => {}
        }
    }
    let mut acknowledged: Vec<(u64, &str)> =
        known_since.into_iter().map(|(id, since)| (since, id)).collect();
    acknowledged.sort_unstable();
    // A message that was expunged, or perhaps was, need not be seen.
    let mut gone: BTreeSet<&str> = BTreeSet::new();
    let expunged = |uid: u32| expunges.0.contains_key(&(mailbox.to_owned(), uid));
    for record in history {
        match (&record.op, &record.outcome) {
            (Op::List { mailbox: of, .. }, Outcome::Seen(view)) if of == mailbox => {
                let there = view.messages.iter().filter(|(uid, _)| expunged(**uid));
                gone.extend(there.map(|(_, id)| id.as_str()));
            }
            (Op::Append { mailbox: of, id }, Outcome::Placed(_, uid))
                if of == mailbox && expunged(*uid) =>
            {
                gone.insert(id);
            }
            _ => {}
        }
    }
    for record in history {
        let (Op::List { mailbox: of, .. }, Outcome::Seen(view)) = (&record.op, &record.outcome)
        else {
            continue;
        };
        if of != mailbox {
            continue;
        }
        let seen = known.entry(record.client).or_default();
        seen.extend(view.messages.values().map(String::as_str));
        for (end, id) in &acknowledged {
            if *end >= record.begin {
                break;
            }
            if !seen.contains(id) && !gone.contains(id) {
                let text = format!(
                    "client {} on node {} did not see {id} in {mailbox} at {} µs, known {} µs before",
                    record.client,
                    record.node,
                    record.begin / 1000,
                    (record.begin - end) / 1000
                );
                verdict.break_promise(Kind::Stale, text);
                // once is enough
                seen.insert(id);
            }
        }
        for (uid, id) in &view.messages {
            let end = expunges.0.get(&(mailbox.to_owned(), *uid)).copied().flatten();
            if end.is_some_and(|end| end < record.begin) {
                let text = format!("{id} (UID {uid}) is in {mailbox} again");
                verdict.break_promise(Kind::Resurrected, text);
            }
        }
    }
}
