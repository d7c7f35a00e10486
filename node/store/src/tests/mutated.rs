//! Commands that were damaged on their way.

use rand::{Rng, SeedableRng, rngs::StdRng};

use super::*;
use crate::command::Command;

fn samples() -> Vec<Bytes> {
    let append = Request::Append {
        mailbox: ADA,
        folder: "INBOX".into(),
        messages: vec![new_item(b"Subject: x\r\n\r\nbody", 1, &["k"])],
    };
    let set_flags = Request::SetFlags {
        mailbox: ADA,
        folder: FolderId(1),
        uids: UidSet(vec![(1, 5)]),
        change: crate::FlagChange::Add,
        flags: flags(8, &["$Junk"]),
        unchanged_since: Some(9),
    };
    let requests = [append, set_flags, deliver(vec![local(ADA)], vec![relay("a@x")], "hello")];
    let calls = requests.into_iter().enumerate().map(|(number, request)| Call {
        id: RequestId(number as u128 + 1000),
        at: Timestamp(7),
        request,
    });
    calls.filter_map(|call| prepare(call).ok()).map(|prepared| prepared.command).collect()
}

#[test]
fn a_damaged_command_never_stops_the_state_machine() {
    let mut bench = Bench::with_ada();
    let samples = samples();
    assert_eq!(samples.len(), 3);
    let mut random = StdRng::seed_from_u64(3);
    for _ in 0..200 {
        let batch: Vec<Bytes> = (0..50)
            .map(|_| {
                let mut bytes = samples[random.random_range(0..samples.len())].to_vec();
                for _ in 0..random.random_range(1..6) {
                    let at = random.random_range(0..bytes.len());
                    match random.random_range(0..3) {
                        0 => bytes[at] = random.random(),
                        1 => bytes.insert(at, random.random()),
                        _ => bytes.truncate(at.max(1)),
                    }
                }
                bytes.into()
            })
            .collect();
        assert_eq!(bench.apply(batch).len(), 50);
    }
    bench.append(ADA, "INBOX", &["still here"]);
}

#[test]
fn every_cut_of_a_command_is_noticed() {
    for sample in samples() {
        assert!(Command::decode(&sample).is_ok());
        for length in 0..sample.len() {
            assert!(Command::decode(&sample[..length]).is_err(), "{length} of {}", sample.len());
        }
    }
}
