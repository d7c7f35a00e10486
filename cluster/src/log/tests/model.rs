//! The log against a model: random operations, crashes and reopenings from a seed.

use std::collections::BTreeMap;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha12Rng;

use super::*;

#[derive(Clone, Default, Debug, PartialEq)]
struct Model {
    first: u64,
    entries: Vec<Bytes>,
    vote: Option<Bytes>,
}

fn check(log: &SegmentedLog, models: &BTreeMap<u64, Model>, what: &str) {
    for (group, model) in models {
        let (group, state) = (GroupId(*group), log.state(GroupId(*group)));
        assert_eq!(state.first, model.first, "{what}, group {group:?}");
        assert_eq!(state.vote, model.vote, "{what}, group {group:?}");
        assert_eq!(read(log, group), model.entries, "{what}, group {group:?}");
    }
}

async fn run(seed: u64) {
    let mut random = ChaCha12Rng::seed_from_u64(seed);
    let mut disk = SimDisk::new(seed);
    let mut log = open(&disk);
    let mut models: BTreeMap<u64, Model> = (0..3).map(|group| (group, Model::default())).collect();
    for step in 0..150u64 {
        let group = random.random_range(0..3);
        let Some(model) = models.get_mut(&group) else { continue };
        let next = model.first + model.entries.len() as u64;
        let (done, result) = waiting();
        match random.random_range(0..10) {
            0..=5 => {
                let count = random.random_range(1..6);
                let new: Vec<_> = (0..count)
                    .map(|i| Bytes::from(vec![random.random::<u8>(); (step + i) as usize % 150]))
                    .collect();
                let records = (next..).zip(new.iter().cloned()).collect();
                log.append(GroupId(group), records, done).unwrap();
                model.entries.extend(new);
            }
            6 => {
                let keep = random.random_range(0..=model.entries.len());
                log.truncate(GroupId(group), model.first + keep as u64, done).unwrap();
                model.entries.truncate(keep);
            }
            7 => {
                let drop = random.random_range(0..=model.entries.len());
                model.first += drop as u64;
                model.entries.drain(..drop);
                log.purge(GroupId(group), model.first, Bytes::new(), done).unwrap();
            }
            8 => {
                let vote = Bytes::copy_from_slice(&step.to_le_bytes());
                log.save_vote(GroupId(group), vote.clone(), done).unwrap();
                model.vote = Some(vote);
            }
            _ => {
                let how = if random.random() { Crash::Power } else { Crash::Process };
                if random.random_bool(0.3) {
                    close(log).await;
                }
                disk = disk.crash(how);
                log = open(&disk);
                check(&log, &models, &format!("seed {seed} step {step} {how:?}"));
                continue;
            }
        }
        result.await.unwrap().unwrap();
    }
    check(&log, &models, &format!("seed {seed} at the end"));
}

#[tokio::test]
async fn random_operations_and_crashes_agree_with_the_model() {
    for seed in crate::sim::seeds(40) {
        run(seed).await;
    }
}
