use super::{
    register::{EMPTY, LOCAL_READS, Step, linearizable, steps},
    *,
};

fn record(client: u32, node: usize, begin: u64, end: u64, op: Op, outcome: Outcome) -> Record {
    Record { client, node, begin, end, op, outcome }
}

fn deliver(id: &str, begin: u64, end: u64, outcome: Outcome) -> Record {
    record(1, 1, begin, end, Op::Deliver { mailbox: "anna".into(), id: id.into() }, outcome)
}

fn append(id: &str, begin: u64, end: u64, uid: u32) -> Record {
    let op = Op::Append { mailbox: "anna".into(), id: id.into() };
    record(2, 1, begin, end, op, Outcome::Placed(7, uid))
}

fn expunge(uid: u32, begin: u64, end: u64) -> Record {
    record(3, 2, begin, end, Op::Expunge { mailbox: "anna".into(), uid }, Outcome::Done)
}

fn view(next: u32, modseq: u64, messages: &[(u32, &str)]) -> View {
    let messages = messages.iter().map(|(uid, id)| (*uid, (*id).to_owned())).collect();
    View { validity: 7, next, modseq, messages }
}

fn list(client: u32, begin: u64, end: u64, from: u32, view: View) -> Record {
    record(client, 3, begin, end, Op::List { mailbox: "anna".into(), from }, Outcome::Seen(view))
}

fn unknown() -> Outcome {
    Outcome::Unknown("broke".into())
}

/// Kinds of what is wrong with a history, without repetition.
fn wrong(history: &[Record], last: View) -> Vec<Kind> {
    let mut history = history.to_vec();
    history.sort_by_key(|record| record.begin);
    let verdict = judge(&history, &[("anna".to_owned(), last)].into(), &[]);
    let kinds: BTreeSet<Kind> = verdict.violations.iter().map(|found| found.kind).collect();
    kinds.into_iter().collect()
}

#[test]
fn histories_that_may_happen_are_accepted() {
    let one = || deliver("one", 10, 20, Outcome::Done);
    let two = || append("two", 30, 40, 2);
    let both = || view(3, 9, &[(1, "one"), (2, "two")]);
    let cases: Vec<(&str, Vec<Record>, View)> = vec![
        ("everything is there", vec![one(), two()], both()),
        (
            "an unknown outcome is there",
            vec![one(), two(), deliver("three", 5, 50, unknown())],
            view(4, 9, &[(1, "one"), (2, "two"), (3, "three")]),
        ),
        (
            "an unknown outcome is not there",
            vec![one(), two(), deliver("three", 5, 50, unknown())],
            both(),
        ),
        (
            "a message that was refused for now came nevertheless",
            vec![one(), two(), deliver("three", 5, 50, Outcome::Temporary("451".into()))],
            view(4, 9, &[(1, "one"), (2, "two"), (3, "three")]),
        ),
        (
            "what was expunged is gone",
            vec![one(), two(), expunge(2, 50, 60)],
            view(3, 9, &[(1, "one")]),
        ),
        (
            "expunged while it is read",
            vec![one(), two(), expunge(2, 50, 60), list(4, 55, 70, 1, both())],
            view(3, 9, &[(1, "one")]),
        ),
        (
            "read while it is accepted",
            vec![one(), two(), list(4, 15, 25, 1, view(1, 1, &[]))],
            both(),
        ),
        (
            "a delivered message waits elsewhere for a while",
            vec![one(), two(), list(4, 41, 45, 2, view(3, 8, &[(2, "two")]))],
            both(),
        ),
        (
            "read in pieces",
            vec![
                one(),
                two(),
                list(4, 21, 25, 1, view(2, 5, &[(1, "one")])),
                list(4, 41, 45, 2, view(3, 8, &[(2, "two")])),
            ],
            both(),
        ),
        (
            "numbers go back between reads at the same time",
            vec![
                one(),
                two(),
                list(4, 21, 28, 1, view(2, 5, &[(1, "one")])),
                list(5, 22, 29, 1, view(2, 4, &[(1, "one")])),
            ],
            both(),
        ),
    ];
    for (name, history, last) in cases {
        assert_eq!(wrong(&history, last), [], "{name}");
    }
}

#[test]
fn every_broken_promise_is_found() {
    let one = || deliver("one", 10, 20, Outcome::Done);
    let two = || append("two", 30, 40, 2);
    let both = || view(3, 9, &[(1, "one"), (2, "two")]);
    let cases: Vec<(&str, Vec<Record>, View, Vec<Kind>)> = vec![
        ("a message is gone", vec![one(), two()], view(3, 9, &[(2, "two")]), vec![Kind::Lost]),
        (
            "an appended message is gone",
            vec![one(), two()],
            view(3, 9, &[(1, "one")]),
            vec![Kind::Lost],
        ),
        (
            "a message is there twice",
            vec![one(), two()],
            view(4, 9, &[(1, "one"), (2, "two"), (3, "one")]),
            vec![Kind::Duplicated],
        ),
        (
            "an unknown outcome is there twice",
            vec![deliver("one", 10, 20, unknown())],
            view(4, 9, &[(1, "one"), (3, "one")]),
            vec![Kind::Duplicated],
        ),
        (
            "a message was twice for a while",
            vec![
                one(),
                two(),
                list(4, 50, 60, 1, view(4, 9, &[(1, "one"), (2, "two"), (3, "one")])),
            ],
            view(4, 9, &[(1, "one"), (2, "two")]),
            vec![Kind::Duplicated],
        ),
        (
            "nobody sent it",
            vec![one()],
            view(4, 9, &[(1, "one"), (3, "strange")]),
            vec![Kind::Phantom],
        ),
        (
            "it was refused",
            vec![deliver("one", 1, 2, Outcome::Permanent("550".into()))],
            view(4, 9, &[(1, "one")]),
            vec![Kind::Phantom],
        ),
        (
            "UIDVALIDITY changed",
            vec![one(), list(4, 50, 60, 1, View { validity: 8, ..view(2, 9, &[(1, "one")]) })],
            view(2, 9, &[(1, "one")]),
            vec![Kind::Uid],
        ),
        (
            "UIDNEXT went back",
            vec![
                one(),
                list(4, 50, 60, 1, view(5, 9, &[(1, "one")])),
                list(4, 70, 80, 2, view(4, 9, &[])),
            ],
            view(5, 9, &[(1, "one")]),
            vec![Kind::Uid],
        ),
        (
            "HIGHESTMODSEQ went back in the end",
            vec![one(), list(4, 50, 60, 1, view(2, 10, &[(1, "one")]))],
            view(2, 9, &[(1, "one")]),
            vec![Kind::Uid],
        ),
        (
            "a UID was given twice",
            vec![one(), two(), expunge(2, 50, 60), append("three", 70, 80, 2)],
            view(3, 9, &[(1, "one")]),
            vec![Kind::Uid],
        ),
        (
            "a UID below UIDNEXT",
            vec![one(), list(4, 50, 60, 1, view(5, 9, &[(1, "one")])), append("two", 70, 80, 3)],
            view(5, 9, &[(1, "one"), (3, "two")]),
            vec![Kind::Uid],
        ),
        (
            "a reader missed it",
            vec![one(), two(), list(4, 41, 45, 1, view(3, 9, &[(1, "one")]))],
            both(),
            vec![Kind::Stale],
        ),
        (
            "a reader missed what another one had seen",
            vec![
                one(),
                list(4, 21, 25, 1, view(2, 5, &[(1, "one")])),
                list(5, 26, 30, 1, view(2, 5, &[])),
            ],
            view(2, 9, &[(1, "one")]),
            vec![Kind::Stale],
        ),
        (
            "a reader missed what another one had seen",
            vec![
                one(),
                list(4, 21, 25, 1, view(2, 5, &[(1, "one")])),
                list(5, 26, 30, 1, view(2, 5, &[])),
            ],
            view(2, 9, &[(1, "one")]),
            vec![Kind::Stale],
        ),
        (
            "a reader missed it in its second piece",
            vec![
                one(),
                two(),
                list(4, 21, 25, 1, view(2, 5, &[(1, "one")])),
                list(4, 41, 45, 2, view(3, 9, &[])),
            ],
            both(),
            vec![Kind::Stale],
        ),
        (
            "an expunged message came back",
            vec![one(), two(), expunge(2, 50, 60), list(4, 70, 80, 1, both())],
            view(3, 9, &[(1, "one")]),
            vec![Kind::Resurrected],
        ),
    ];
    for (name, history, last, kinds) in cases {
        assert_eq!(wrong(&history, last), kinds, "{name}");
    }
    let verdict = judge(
        &[one()],
        &[("anna".to_owned(), view(2, 1, &[(1, "one")]))].into(),
        &["one".to_owned()],
    );
    assert_eq!(verdict.count(Kind::Phantom), 1, "a body that is not what was sent");
}

fn write(node: usize, begin: u64, end: u64, value: u64, outcome: Outcome) -> Record {
    record(node as u32, node, begin, end, Op::Write { register: "x".into(), value }, outcome)
}

fn read(node: usize, begin: u64, end: u64, value: u64) -> Record {
    record(node as u32, node, begin, end, Op::Read { register: "x".into() }, Outcome::Value(value))
}

fn done(node: usize, begin: u64, end: u64, value: u64) -> Record {
    write(node, begin, end, value, Outcome::Done)
}

/// Whether a register may have had this history; with reads of one copy, whether its nodes may have.
fn registers(history: &[Record]) -> (bool, bool) {
    let mut history = history.to_vec();
    history.sort_by_key(|record| record.begin);
    let strict = judge(&history, &BTreeMap::new(), &[]).violations.is_empty();
    for record in &mut history {
        if let Op::Write { register, .. } | Op::Read { register } = &mut record.op {
            *register = format!("{LOCAL_READS}{register}");
        }
    }
    (strict, judge(&history, &BTreeMap::new(), &[]).violations.is_empty())
}

#[test]
fn registers_are_judged_by_what_some_order_explains() {
    for (name, history, expected) in [
        ("nothing", vec![], (true, true)),
        ("one after the other", vec![done(1, 1, 2, 5), read(2, 3, 4, 5)], (true, true)),
        ("empty before", vec![read(1, 1, 2, 0), done(1, 3, 4, 5)], (true, true)),
        ("empty after", vec![done(1, 1, 2, 5), read(1, 3, 4, 0)], (false, false)),
        ("empty after, on another node", vec![done(1, 1, 2, 5), read(2, 3, 4, 0)], (false, true)),
        (
            "read while it is written",
            vec![done(1, 1, 9, 5), read(2, 2, 3, 5), read(2, 4, 5, 5)],
            (true, true),
        ),
        (
            "back while it is written",
            vec![done(1, 1, 9, 5), read(2, 2, 3, 5), read(2, 4, 5, 0)],
            (false, false),
        ),
        (
            "back on another node",
            vec![done(1, 1, 9, 5), read(2, 2, 3, 5), read(3, 4, 5, 0)],
            (false, true),
        ),
        (
            "two at once, either order",
            vec![done(1, 1, 9, 5), done(2, 1, 9, 6), read(3, 10, 11, 5)],
            (true, true),
        ),
        (
            "two at once, and both orders",
            vec![done(1, 1, 9, 5), done(2, 1, 9, 6), read(3, 10, 11, 5), read(3, 12, 13, 6)],
            (false, true),
        ),
        ("replaced", vec![done(1, 1, 2, 5), done(1, 3, 4, 6), read(2, 5, 6, 5)], (false, true)),
        (
            "replaced, and known to the node",
            vec![done(1, 1, 2, 5), done(1, 3, 4, 6), read(2, 5, 6, 6), read(2, 7, 8, 5)],
            (false, false),
        ),
        (
            "replaced, known, and started anew",
            vec![
                done(1, 1, 2, 5),
                done(1, 3, 4, 6),
                read(2, 5, 6, 6),
                record(0, 2, 7, 7, Op::Start, Outcome::Done),
                read(2, 8, 9, 5),
            ],
            (false, true),
        ),
        (
            "unknown took effect late",
            vec![write(1, 1, 2, 5, unknown()), read(2, 3, 4, 0), read(2, 5, 6, 5)],
            (true, true),
        ),
        (
            "unknown took effect once",
            vec![
                write(1, 1, 2, 5, unknown()),
                read(2, 3, 4, 5),
                done(2, 5, 6, 7),
                read(2, 7, 8, 7),
                read(2, 9, 10, 5),
            ],
            (false, true),
        ),
        (
            "refused and there",
            vec![write(1, 1, 2, 5, Outcome::Permanent("no".into())), read(2, 3, 4, 5)],
            (false, false),
        ),
        ("out of nowhere", vec![done(1, 1, 2, 5), read(2, 3, 4, 6)], (false, false)),
        ("out of the future", vec![read(2, 1, 2, 5), done(1, 3, 4, 5)], (false, false)),
    ] {
        assert_eq!(registers(&history), expected, "{name}");
    }
}

/// A register that several clients write and read at random, one step after the other, seen with wider times.
fn random_history(seed: u64, operations: u64) -> Vec<Record> {
    let mut state = seed;
    let mut random = move |below: u64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let (mut value, mut free) = (EMPTY, [0_u64; 4]);
    let mut history = Vec::new();
    for number in 1..=operations {
        let at = number * 100;
        let client = random(4) as usize;
        let (begin, end) =
            ((at - random(250).min(at)).max(free[client] + 1).min(at), at + random(250));
        free[client] = free[client].max(end);
        let takes_effect = random(2) == 0;
        match random(5) {
            0 | 1 => {
                value = number;
                history.push(done(client, begin, end, number));
            }
            2 => {
                if takes_effect {
                    value = number;
                }
                history.push(write(client, begin, end, number, unknown()));
            }
            _ => history.push(read(client, begin, end, value)),
        }
    }
    history
}

#[test]
fn random_histories_of_a_true_register_are_accepted_and_one_wrong_read_is_found() {
    let mut found = 0;
    for seed in 0..200 {
        let history = random_history(seed, 120);
        assert!(registers(&history).0, "seed {seed}");
        let mut wrong = history.clone();
        let at =
            wrong.iter().rposition(|record| matches!(record.outcome, Outcome::Value(_))).unwrap();
        // an acknowledged value that was replaced long before
        let before = wrong[at].begin.saturating_sub(4_000);
        let old =
            wrong.iter().rfind(|record| record.end < before && record.outcome == Outcome::Done);
        let Some(Op::Write { value, .. }) = old.map(|record| record.op.clone()) else { continue };
        wrong[at].outcome = Outcome::Value(value);
        assert!(!registers(&wrong).0, "seed {seed}");
        found += 1;
    }
    assert!(found > 150, "{found}");
}

/// The same question, answered by trying all orders.
fn some_order(steps: &[Step], left: u32, value: u64) -> bool {
    let is_left = |at: &usize| left & (1 << at) != 0;
    let ends = (0..steps.len()).filter(is_left).filter(|at| steps[*at].known);
    let Some(first_end) = ends.map(|at| steps[at].end).min() else { return true };
    (0..steps.len()).filter(is_left).any(|at| {
        let step = &steps[at];
        step.begin <= first_end
            && (step.write || step.value == value)
            && some_order(steps, left & !(1 << at), if step.write { step.value } else { value })
    })
}

#[test]
fn zones_of_values_say_the_same_as_trying_all_orders() {
    let mut answers = [0, 0];
    for seed in 0..3_000 {
        let mut history = random_history(seed, 9);
        // values of other operations, so that about half of the histories are wrong
        for (at, record) in history.iter_mut().enumerate() {
            if let Outcome::Value(value) = &mut record.outcome
                && (seed + at as u64).is_multiple_of(3)
            {
                *value = (*value + seed % 4).min(9);
            }
        }
        history.sort_by_key(|record| record.begin);
        let steps = steps(&history, "x");
        let expected = some_order(&steps, (1 << steps.len()) - 1, EMPTY);
        assert_eq!(linearizable(&steps), expected, "seed {seed}: {steps:?}");
        answers[usize::from(expected)] += 1;
    }
    assert!(answers.iter().all(|count| *count > 500), "{answers:?}");
}
