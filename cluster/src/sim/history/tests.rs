//! Histories that are known to be good or bad.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha12Rng;

use super::*;

/// Client, call, return (0: never), and `w` or `r` with a value (0: never set).
type Row = (u64, u64, u64, char, u64);

fn history(rows: &[Row]) -> History<&'static str, u64> {
    let mut history = History::default();
    for &(client, called, returned, kind, value) in rows {
        let action = match kind {
            'w' => Action::Write(value),
            _ => Action::Read((value > 0).then_some(value)),
        };
        let returned = (returned > 0).then_some(returned);
        history.record("x", Operation { client, called, returned, action });
    }
    history
}

#[test]
fn what_one_thing_after_the_other_can_show_is_accepted() {
    let good: &[(&str, &[Row])] = &[
        ("nothing", &[]),
        ("never set", &[(1, 1, 2, 'r', 0)]),
        (
            "one after the other",
            &[(1, 1, 2, 'w', 1), (2, 3, 4, 'r', 1), (1, 5, 6, 'w', 2), (2, 7, 8, 'r', 2)],
        ),
        ("a read beside a write sees the old", &[(1, 1, 10, 'w', 1), (2, 2, 3, 'r', 0)]),
        ("a read beside a write sees the new", &[(1, 1, 10, 'w', 1), (2, 2, 3, 'r', 1)]),
        (
            "two writes at once, in the order of the later reads",
            &[(1, 1, 10, 'w', 1), (2, 2, 9, 'w', 2), (3, 11, 12, 'r', 1), (3, 13, 14, 'r', 1)],
        ),
        ("no answer, seen later", &[(1, 1, 0, 'w', 1), (2, 50, 51, 'r', 0), (2, 60, 61, 'r', 1)]),
        ("no answer, never seen", &[(1, 1, 0, 'w', 1), (2, 50, 51, 'r', 0), (2, 60, 61, 'r', 0)]),
        (
            "no answer, takes effect after a later write",
            &[(1, 1, 0, 'w', 1), (2, 2, 3, 'w', 2), (3, 4, 5, 'r', 2), (3, 6, 7, 'r', 1)],
        ),
        ("at the same instant counts as beside", &[(1, 1, 5, 'w', 1), (2, 5, 6, 'r', 0)]),
    ];
    for (name, rows) in good {
        assert_eq!(history(rows).check(), Ok(()), "{name}");
    }
}

#[test]
fn what_one_thing_after_the_other_cannot_show_is_found() {
    let bad: &[(&str, &[Row])] = &[
        ("a stale read", &[(1, 1, 2, 'w', 1), (1, 3, 4, 'w', 2), (2, 5, 6, 'r', 1)]),
        ("a lost write", &[(1, 1, 2, 'w', 1), (2, 3, 4, 'r', 0)]),
        ("a value that nobody wrote", &[(1, 1, 2, 'w', 1), (2, 3, 4, 'r', 7)]),
        ("read before it was written", &[(2, 1, 2, 'r', 1), (1, 3, 4, 'w', 1)]),
        (
            "new, then old again beside the write",
            &[(1, 1, 20, 'w', 1), (2, 2, 3, 'r', 1), (3, 4, 5, 'r', 0)],
        ),
        (
            "two readers see two writes in different orders",
            &[
                (1, 1, 10, 'w', 1),
                (2, 1, 10, 'w', 2),
                (3, 2, 3, 'r', 1),
                (3, 4, 5, 'r', 2),
                (4, 6, 7, 'r', 1),
                (4, 8, 9, 'r', 2),
            ],
        ),
        (
            "a write without an answer happens twice",
            &[
                (1, 1, 0, 'w', 1),
                (3, 2, 3, 'r', 1),
                (2, 4, 5, 'w', 2),
                (3, 6, 7, 'r', 2),
                (3, 8, 9, 'r', 1),
            ],
        ),
    ];
    for (name, rows) in bad {
        let found = history(rows).check();
        assert!(matches!(found, Err(Anomaly::Impossible { .. })), "{name}: {found:?}");
    }
}

/// Many clients of a real register; the instant of each operation lies between call and return.
fn real(seed: u64, operations: usize) -> Vec<Row> {
    let mut random = ChaCha12Rng::seed_from_u64(seed);
    let mut instants: Vec<(u64, Row)> = Vec::new();
    let mut free = [0u64; 5];
    for number in 1..=operations as u64 {
        let client = random.random_range(0..free.len());
        let called = free[client] + random.random_range(1..30);
        let instant = called + random.random_range(1..30);
        let returned = instant + random.random_range(1..30);
        free[client] = returned;
        let kind = if random.random_bool(0.5) { 'w' } else { 'r' };
        let returned = if kind == 'w' && random.random_bool(0.05) { 0 } else { returned };
        instants.push((instant, (client as u64, called, returned, kind, number)));
    }
    instants.sort_unstable();
    let mut value = 0;
    for (_, row) in &mut instants {
        match row.3 {
            'w' => value = row.4,
            _ => row.4 = value,
        }
    }
    instants.into_iter().map(|(_, row)| row).collect()
}

#[test]
fn histories_of_a_real_register_are_accepted_and_a_changed_answer_is_found() {
    let mut found = 0;
    for seed in 0..40 {
        let mut rows = real(seed, 400);
        assert_eq!(history(&rows).check(), Ok(()), "seed {seed}");
        // an old answer instead of the one it was, far from its time
        let last = rows.iter().rposition(|row| row.3 == 'r' && row.4 > 300);
        let Some(last) = last else { continue };
        rows[last].4 = rows.iter().find(|row| row.3 == 'w' && row.2 > 0).unwrap().4;
        let verdict = history(&rows).check();
        found += u32::from(matches!(verdict, Err(Anomaly::Impossible { .. })));
    }
    assert!(found >= 38, "only {found} of 40 were found");
}

#[test]
fn lost_doubled_and_invented_deliveries_are_told_apart() {
    let mut deliveries = Deliveries::default();
    for id in 1..=4 {
        deliveries.offer(id);
    }
    deliveries.acknowledge(1);
    deliveries.acknowledge(2);
    assert!(deliveries.check([1, 2]).is_nothing(), "what had no answer may be missing");
    assert!(deliveries.check([1, 2, 3]).is_nothing(), "or there");
    let wrong = deliveries.check([1, 3, 3, 9]);
    assert_eq!(wrong, Wrong { lost: vec![2], doubled: vec![3], phantoms: vec![9] });
}
