//! Random requests, compared with a model that does the same in the plainest way.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::{FlagChange, FolderUse, ModSeq, Quota, Usage};

const NAMES: [&str; 3] = ["INBOX", "Archive", "new"];

#[derive(Clone, Debug)]
enum Do {
    Create,
    Remove,
    Append { folder: usize, size: usize, flags: u8 },
    Deliver { size: usize },
    Flag { folder: usize, uids: (Uid, Uid), change: FlagChange, flags: u8, word: bool, since: bool },
    Copy { from: usize, uids: (Uid, Uid), to: usize },
    Move { from: usize, uids: (Uid, Uid), to: usize },
    Expunge { folder: usize, uids: Option<(Uid, Uid)> },
    Restart,
}

fn steps() -> impl Strategy<Value = Do> {
    let folder = || 0..NAMES.len();
    let uids = || (1..12_u32, 0..6_u32).prop_map(|(first, more)| (first, first + more));
    let change =
        prop_oneof![Just(FlagChange::Add), Just(FlagChange::Remove), Just(FlagChange::Replace)];
    prop_oneof![
        2 => Just(Do::Create),
        1 => Just(Do::Remove),
        6 => (folder(), 0..40_000_usize, 0..32_u8)
            .prop_map(|(folder, size, flags)| Do::Append { folder, size, flags }),
        3 => (0..300_usize).prop_map(|size| Do::Deliver { size }),
        6 => (folder(), uids(), change, 0..32_u8, any::<bool>(), any::<bool>()).prop_map(
            |(folder, uids, change, flags, word, since)| Do::Flag {
                folder, uids, change, flags, word, since
            }
        ),
        3 => (folder(), uids(), folder()).prop_map(|(from, uids, to)| Do::Copy { from, uids, to }),
        3 => (folder(), uids(), folder()).prop_map(|(from, uids, to)| Do::Move { from, uids, to }),
        4 => (folder(), proptest::option::of(uids()))
            .prop_map(|(folder, uids)| Do::Expunge { folder, uids }),
        1 => Just(Do::Restart),
    ]
}

#[derive(Clone, Debug, PartialEq)]
struct Kept {
    modseq: ModSeq,
    system: u8,
    word: bool,
    size: u64,
}

#[derive(Clone, Debug, Default)]
struct Place {
    uid_next: Uid,
    modseq: ModSeq,
    items: BTreeMap<Uid, Kept>,
    gone: Vec<(Uid, ModSeq)>,
}

#[derive(Clone, Debug, Default)]
struct Model {
    modseq: ModSeq,
    places: BTreeMap<&'static str, Place>,
}

impl Model {
    fn new() -> Self {
        let place = Place { uid_next: 1, modseq: 1, ..Place::default() };
        let places = [("INBOX", place.clone()), ("Archive", place)].into();
        Self { modseq: 1, places }
    }

    fn add(&mut self, name: &str, mut kept: Kept) {
        let place = self.places.get_mut(name).unwrap();
        kept.modseq = self.modseq;
        place.modseq = self.modseq;
        place.items.insert(place.uid_next, kept);
        place.uid_next += 1;
    }

    fn take(&mut self, name: &str, uid: Uid) -> Kept {
        let place = self.places.get_mut(name).unwrap();
        place.modseq = self.modseq;
        place.gone.push((uid, self.modseq));
        place.items.remove(&uid).unwrap()
    }

    fn uids(&self, name: &str, uids: (Uid, Uid)) -> Vec<Uid> {
        self.places[name].items.range(uids.0..=uids.1).map(|(uid, _)| *uid).collect()
    }

    fn step(&mut self, step: &Do, since: ModSeq) {
        let there = |model: &Self, folder: usize| model.places.contains_key(NAMES[folder]);
        match *step {
            Do::Create if !there(self, 2) => {
                self.modseq += 1;
                let place = Place { uid_next: 1, modseq: self.modseq, ..Place::default() };
                self.places.insert("new", place);
            }
            Do::Remove if there(self, 2) => {
                self.modseq += 1;
                self.places.remove("new");
            }
            Do::Append { folder, size, flags } if there(self, folder) => {
                self.modseq += 1;
                let size = size as u64 + 20;
                self.add(NAMES[folder], Kept { modseq: 0, system: flags, word: false, size });
            }
            Do::Deliver { size } => {
                self.modseq += 1;
                let size = size as u64 + 20;
                self.add("INBOX", Kept { modseq: 0, system: 0, word: false, size });
            }
            Do::Flag { folder, uids, change, flags, word, since: conditional }
                if there(self, folder) =>
            {
                let modseq = self.modseq + 1;
                let mut any = false;
                let place = self.places.get_mut(NAMES[folder]).unwrap();
                for (_, kept) in place.items.range_mut(uids.0..=uids.1) {
                    if conditional && kept.modseq > since {
                        continue;
                    }
                    let (system, has) = match change {
                        FlagChange::Replace => (flags, word),
                        FlagChange::Add => (kept.system | flags, kept.word | word),
                        FlagChange::Remove => (kept.system & !flags, kept.word & !word),
                    };
                    if (system, has) != (kept.system, kept.word) {
                        (kept.system, kept.word, kept.modseq) = (system, has, modseq);
                        any = true;
                    }
                }
                if any {
                    place.modseq = modseq;
                    self.modseq = modseq;
                }
            }
            Do::Copy { from, uids, to } if there(self, from) && there(self, to) => {
                let chosen = self.uids(NAMES[from], uids);
                self.modseq += u64::from(!chosen.is_empty());
                for uid in chosen {
                    let kept = self.places[NAMES[from]].items[&uid].clone();
                    self.add(NAMES[to], kept);
                }
            }
            Do::Move { from, uids, to } if there(self, from) && there(self, to) => {
                let chosen = self.uids(NAMES[from], uids);
                self.modseq += u64::from(!chosen.is_empty());
                let taken: Vec<_> =
                    chosen.into_iter().map(|uid| self.take(NAMES[from], uid)).collect();
                for kept in taken {
                    self.add(NAMES[to], kept);
                }
            }
            Do::Expunge { folder, uids } if there(self, folder) => {
                let mut chosen = self.uids(NAMES[folder], uids.unwrap_or(ALL));
                let items = &self.places[NAMES[folder]].items;
                chosen.retain(|uid| items[uid].system & Flags::DELETED != 0);
                self.modseq += u64::from(!chosen.is_empty());
                for uid in chosen {
                    self.take(NAMES[folder], uid);
                }
            }
            _ => {}
        }
    }
}

/// The request of a step; `None` if the folder that it needs is not there.
fn request(
    step: &Do,
    ids: &BTreeMap<&str, FolderId>,
    since: ModSeq,
    number: usize,
) -> Option<Request> {
    let mailbox = ADA;
    let set = |uids: (Uid, Uid)| UidSet(vec![uids]);
    let text = |size: usize| format!("{number:020}{}", "x".repeat(size));
    Some(match *step {
        Do::Create => {
            Request::CreateFolder { mailbox, name: "new".into(), purpose: FolderUse::None }
        }
        Do::Remove => Request::RemoveFolder { mailbox, name: "new".into() },
        Do::Append { folder, size, flags: system } => Request::Append {
            mailbox,
            folder: NAMES[folder].into(),
            messages: vec![new_item(text(size).as_bytes(), system, &[])],
        },
        Do::Deliver { size } => deliver(vec![local(ADA)], vec![], &text(size)),
        Do::Flag { folder, uids, change, flags: system, word, since: conditional } => {
            Request::SetFlags {
                mailbox,
                folder: *ids.get(NAMES[folder])?,
                uids: set(uids),
                change,
                flags: flags(system, if word { &["Word"] } else { &[] }),
                unchanged_since: conditional.then_some(since),
            }
        }
        Do::Copy { from, uids, to } => Request::Copy {
            mailbox,
            folder: *ids.get(NAMES[from])?,
            uids: set(uids),
            to: NAMES[to].into(),
        },
        Do::Move { from, uids, to } => Request::Move {
            mailbox,
            folder: *ids.get(NAMES[from])?,
            uids: set(uids),
            to: NAMES[to].into(),
        },
        Do::Expunge { folder, uids } => {
            Request::Expunge { mailbox, folder: *ids.get(NAMES[folder])?, uids: uids.map(set) }
        }
        Do::Restart => return None,
    })
}

fn folders(bench: &mut Bench) -> BTreeMap<String, Folder> {
    match bench.request(Request::Folders { mailbox: ADA }) {
        Response::Folders(all) => all.into_iter().map(|one| (one.name.clone(), one)).collect(),
        other => panic!("{other:?}"),
    }
}

fn compare(bench: &mut Bench, model: &Model, past: &[ModSeq]) {
    let all = folders(bench);
    for (name, place) in &model.places {
        let folder = &all[*name];
        let expected = (
            place.uid_next,
            place.modseq,
            place.items.len() as u32,
            place.items.values().filter(|kept| kept.system & Flags::SEEN == 0).count() as u32,
            place.items.values().filter(|kept| kept.system & Flags::DELETED != 0).count() as u32,
            place.items.values().map(|kept| kept.size).sum::<u64>(),
        );
        let Folder { uid_next, highest_modseq, exists, unseen, deleted, size, .. } = *folder;
        assert_eq!((uid_next, highest_modseq, exists, unseen, deleted, size), expected, "{name}");
        let items: Vec<_> = bench.items(ADA, folder.id);
        let kept = |item: &Item| Kept {
            modseq: item.modseq,
            system: item.flags.system,
            word: !item.flags.keywords.is_empty(),
            size: u64::from(item.size),
        };
        let found: BTreeMap<Uid, Kept> = items.iter().map(|item| (item.uid, kept(item))).collect();
        assert_eq!(found, place.items, "{name}");
        assert_eq!(bench.uids(ADA, folder.id), place.items.keys().copied().collect::<Vec<_>>());
        for since in past {
            changes(bench, folder.id, place, *since);
        }
    }
    let usage = Usage {
        bytes: model
            .places
            .values()
            .flat_map(|place| place.items.values())
            .map(|one| one.size)
            .sum(),
        items: model.places.values().map(|place| place.items.len() as u64).sum(),
    };
    let answer = bench.request(Request::Quota { mailbox: ADA });
    assert_eq!(answer, Response::Quota { usage, quota: Quota::default() });
}

fn changes(bench: &mut Bench, folder: FolderId, place: &Place, since: ModSeq) {
    let answer = bench.request(Request::Changes { mailbox: ADA, folder, since });
    let Response::Changes { changed, vanished, modseq } = answer else { panic!("{answer:?}") };
    let newer = place.items.iter().filter(|(_, kept)| kept.modseq > since);
    let expected: Vec<Uid> = newer.map(|(uid, _)| *uid).collect();
    assert_eq!(changed.iter().map(|item| item.uid).collect::<Vec<_>>(), expected);
    let gone = place.gone.iter().filter(|(_, modseq)| *modseq > since).map(|(uid, _)| *uid);
    assert_eq!(vanished, UidSet::from_uids(gone));
    assert_eq!(modseq, place.modseq);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..Default::default() })]

    #[test]
    fn the_store_does_what_a_plain_model_does(steps in proptest::collection::vec(steps(), 1..40)) {
        let mut bench = Bench::with_ada();
        let mut model = Model::new();
        let mut past = vec![0];
        for (number, step) in steps.iter().enumerate() {
            let since = past[past.len() / 2];
            let known = folders(&mut bench);
            let ids = NAMES.iter().filter_map(|name| Some((*name, known.get(*name)?.id))).collect();
            if matches!(step, Do::Restart) {
                bench = bench.restart();
            } else if let Some(request) = request(step, &ids, since, number) {
                bench.request(request);
                model.step(step, since);
            }
            past.push(model.modseq);
        }
        past.dedup();
        compare(&mut bench, &model, &past);
        let into = tempfile::tempdir().unwrap();
        bench.machine.snapshot(into.path()).unwrap();
        let mut other = Bench::new();
        other.machine.install(into.path()).unwrap();
        compare(&mut other, &model, &past);
    }
}
