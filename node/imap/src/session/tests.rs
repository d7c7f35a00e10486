//! Sessions without IO: a folder in memory, output in a vector.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use posthouse_store::{Flags, Folder, FolderUse, Item, MailboxId, UidSet};
use proptest::prelude::*;

use super::*;
use crate::codec::{Frame, Framer, Limits, Ranges, parse};

/// One folder that a second client changes behind the session's back.
#[derive(Default)]
struct Fake(Mutex<State>);

#[derive(Default)]
struct State {
    items: BTreeMap<u32, (u64, Flags)>,
    gone: Vec<(u32, u64)>,
    uid_next: u32,
    modseq: u64,
    /// What was asked, by the first word of its Debug form.
    asked: Vec<String>,
}

impl State {
    fn item(&self, uid: u32) -> Option<Item> {
        let (modseq, flags) = self.items.get(&uid)?.clone();
        let body = posthouse_store::BodyHash([0; 32]);
        let received = Timestamp(0);
        Some(Item { uid, modseq, flags, received, size: 10, body, structure: None })
    }

    fn append(&mut self) {
        self.modseq += 1;
        self.uid_next = self.uid_next.max(1);
        self.items.insert(self.uid_next, (self.modseq, Flags::default()));
        self.uid_next += 1;
    }

    fn remove(&mut self, at: usize) {
        let Some(uid) = self.items.keys().nth(at).copied() else { return };
        self.modseq += 1;
        self.items.remove(&uid);
        self.gone.push((uid, self.modseq));
    }

    fn flag(&mut self, uids: &Ranges, bit: u8) -> Vec<Item> {
        self.modseq += 1;
        let modseq = self.modseq;
        for (_, item) in self.items.iter_mut().filter(|(uid, _)| uids.contains(**uid)) {
            item.0 = modseq;
            item.1.system ^= bit;
        }
        uids.iter().filter_map(|uid| self.item(uid)).collect()
    }

    fn folder(&self) -> Folder {
        Folder {
            id: FolderId(7),
            name: "INBOX".into(),
            purpose: FolderUse::Inbox,
            subscribed: true,
            uid_validity: 1,
            uid_next: self.uid_next.max(1),
            highest_modseq: self.modseq,
            exists: self.items.len() as u32,
            unseen: 0,
            deleted: 0,
            size: 0,
        }
    }

    fn uids(&self) -> UidSet {
        self.items.keys().copied().collect::<Ranges>().into()
    }

    fn answer(&mut self, request: Request) -> Response {
        let name = format!("{request:?}");
        self.asked.push(name.split(' ').next().unwrap_or_default().to_owned());
        match request {
            Request::Folder { .. } => Response::Folder(self.folder()),
            Request::Uids { .. } => Response::Uids { uids: self.uids(), modseq: self.modseq },
            Request::Changes { since, .. } => {
                let changed = self.items.iter().filter(|(_, item)| item.0 > since);
                let changed = changed.filter_map(|(uid, _)| self.item(*uid)).collect();
                let gone = self.gone.iter().filter(|(_, modseq)| *modseq > since);
                let vanished = gone.map(|(uid, _)| *uid).collect::<Ranges>().into();
                Response::Changes { changed, vanished, modseq: self.modseq }
            }
            Request::Items { uids, .. } => {
                let uids = Ranges::from(uids);
                let items = uids.iter().filter_map(|uid| self.item(uid)).collect();
                Response::Items { items, more: false }
            }
            Request::SetFlags { uids, flags, .. } => {
                let changed = self.flag(&uids.into(), flags.system);
                Response::Flagged { changed, conflicting: UidSet::default() }
            }
            _ => Response::Done,
        }
    }
}

impl Port for &Fake {
    async fn call(&self, request: Request) -> Result<Response, StoreError> {
        Ok(self.0.lock().answer(request))
    }

    fn now(&self) -> Timestamp {
        Timestamp(0)
    }
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

struct Lab<'a> {
    session: Session<&'a Fake>,
    out: Out<Vec<u8>>,
}

impl<'a> Lab<'a> {
    fn new(fake: &'a Fake) -> Self {
        let mut session = Session::new(fake, Facts::default());
        session.capabilities().tls = true;
        Self { session, out: Out::new(Vec::new()) }
    }

    fn signed_on(fake: &'a Fake) -> Self {
        let mut lab = Self::new(fake);
        lab.session.signed_on(MailboxId(uuid::Uuid::from_u128(1)));
        lab
    }

    fn command(&mut self, line: &str) -> (Flow, String) {
        let mut framer = Framer::default();
        framer.input().extend_from_slice(format!("a {line}\r\n").as_bytes());
        let Frame::Command(raw) = framer.next(Limits::after(1 << 20)) else { panic!("{line}") };
        let tagged = parse(&raw).unwrap_or_else(|bad| panic!("{line}: {bad:?}"));
        self.session.touch();
        let flow = wait(async {
            let flow = self.session.run(tagged, &mut self.out).await.unwrap();
            self.out.flush().await.unwrap();
            flow
        });
        let text = String::from_utf8(std::mem::take(&mut self.out.wire)).unwrap();
        (flow, text)
    }

    fn answer(&mut self, line: &str) -> String {
        self.command(line).1
    }
}

#[test]
fn command_order_rfc9051_section_3() {
    for (lines, last) in [
        (&["CAPABILITY"][..], "a OK"),
        (&["NOOP"], "a OK"),
        (&["SELECT INBOX"], "a BAD"),
        (&["IDLE"], "a BAD"),
        (&["FETCH 1 FLAGS"], "a BAD"),
        (&["APPEND INBOX {1+}\r\nx"], "a BAD"),
        (&["ENABLE CONDSTORE"], "a BAD"),
        (&["STARTTLS"], "a BAD"), // already under TLS
        (&["LOGOUT"], "a OK"),
        (&["!", "LOGIN a b"], "a BAD"),
        (&["!", "AUTHENTICATE PLAIN"], "a BAD"),
        (&["!", "FETCH 1 FLAGS"], "a BAD"),
        (&["!", "CLOSE"], "a BAD"),
        (&["!", "SELECT INBOX"], "a OK [READ-WRITE]"),
        (&["!", "EXAMINE INBOX"], "a OK [READ-ONLY]"),
        (&["!", "EXAMINE INBOX", "STORE 1 FLAGS (\\Seen)"], "a NO [READ-ONLY]"),
        (&["!", "EXAMINE INBOX", "EXPUNGE"], "a NO [READ-ONLY]"),
        (&["!", "EXAMINE INBOX", "MOVE 1 x"], "a NO [READ-ONLY]"),
        (&["!", "SELECT INBOX", "UNSELECT"], "a OK"),
        (&["!", "SELECT INBOX", "UNSELECT", "CHECK"], "a BAD"),
        (&["!", "SELECT INBOX", "SELECT \"&\"", "CHECK"], "a BAD"), // a failed SELECT deselects
        (&["!", "SELECT INBOX (QRESYNC (1 1))"], "a BAD"),
        (&["!", "COMPRESS DEFLATE", "COMPRESS DEFLATE"], "a NO [COMPRESSIONACTIVE]"),
    ] {
        let fake = Fake::default();
        fake.0.lock().append();
        let mut lab = if lines[0] == "!" { Lab::signed_on(&fake) } else { Lab::new(&fake) };
        let mut seen = String::new();
        for line in lines.iter().filter(|line| **line != "!") {
            seen = lab.answer(line);
        }
        let line = seen.lines().last().unwrap_or_default();
        assert!(line.starts_with(last), "{lines:?}: {line}");
    }
}

#[test]
fn without_tls_a_password_is_refused_and_never_handed_on() {
    let fake = Fake::default();
    let mut lab = Lab::new(&fake);
    lab.session.capabilities().tls = false;
    let (flow, text) = lab.command("LOGIN ada secret");
    assert!(matches!(flow, Flow::Next) && text.starts_with("a NO [PRIVACYREQUIRED]"), "{text}");
    assert!(matches!(lab.command("STARTTLS").0, Flow::StartTls));
}

#[test]
fn a_select_reads_no_message_and_numbers_are_loaded_once_when_first_needed() {
    let fake = Fake::default();
    (0..1_000).for_each(|_| fake.0.lock().append());
    let mut lab = Lab::signed_on(&fake);
    assert!(lab.answer("SELECT INBOX").contains("* 1000 EXISTS"));
    lab.answer("NOOP");
    assert!(!fake.0.lock().asked.iter().any(|name| name == "Uids" || name == "Items"));
    for _ in 0..3 {
        assert!(lab.answer("FETCH 1000 UID").contains("* 1000 FETCH (UID 1000)"));
    }
    assert_eq!(fake.0.lock().asked.iter().filter(|name| *name == "Uids").count(), 1);
}

#[derive(Clone, Debug)]
enum Step {
    Append,
    Remove(usize),
    Flag(usize),
    Command(&'static str),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::Append),
        3 => (0usize..12).prop_map(Step::Remove),
        1 => (0usize..12).prop_map(Step::Flag),
        4 => prop::sample::select(vec![
            "NOOP", "FETCH 1:* UID", "UID FETCH 1:* UID", "STORE 1:2 +FLAGS (\\Flagged)",
            "FETCH 2 UID", "UID SEARCH ALL", "CHECK", "UID STORE * +FLAGS.SILENT (\\Seen)",
        ]).prop_map(Step::Command),
    ]
}

/// What a client knows: the uid of each number, where it has been told.
#[derive(Default)]
struct Client(Vec<Option<u32>>);

impl Client {
    fn read(&mut self, text: &str, counts: bool) {
        for line in text.lines() {
            let words: Vec<&str> = line.split([' ', '(', ')']).collect();
            let Some(Ok(number)) = words.get(1).map(|word| word.parse::<usize>()) else { continue };
            match words.get(2).copied() {
                Some("EXISTS") => {
                    assert!(number >= self.0.len(), "{line}: EXISTS never shrinks");
                    self.0.resize(number, None);
                }
                Some("EXPUNGE") => {
                    assert!(!counts, "{line}: an EXPUNGE while the client counts");
                    self.0.remove(number - 1);
                }
                Some("FETCH") => {
                    let at = words.iter().position(|word| *word == "UID").unwrap();
                    let uid: u32 = words[at + 1].parse().unwrap();
                    let known = &mut self.0[number - 1];
                    assert!(known.is_none_or(|before| before == uid), "{line}: was {known:?}");
                    *known = Some(uid);
                }
                _ => {}
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn a_client_that_follows_the_responses_always_knows_which_message_has_which_number(
        before in 0usize..10, steps in prop::collection::vec(step(), 0..40),
    ) {
        let fake = Fake::default();
        (0..before).for_each(|_| fake.0.lock().append());
        let mut lab = Lab::signed_on(&fake);
        let mut client = Client::default();
        client.read(&lab.answer("SELECT INBOX"), false);
        for step in steps {
            match step {
                Step::Append => fake.0.lock().append(),
                Step::Remove(at) => fake.0.lock().remove(at),
                Step::Flag(at) => {
                    let uid = fake.0.lock().items.keys().nth(at).copied().unwrap_or(1);
                    fake.0.lock().flag(&Ranges::span(uid, uid), Flags::ANSWERED);
                }
                Step::Command(line) => {
                    let counts = line.starts_with("FETCH") || line.starts_with("STORE");
                    let text = lab.answer(line);
                    prop_assert!(!text.contains("BYE"), "{}", text);
                    client.read(&text, counts);
                }
            }
        }
        client.read(&lab.answer("NOOP"), false);
        client.read(&lab.answer("FETCH 1:* UID"), true);
        let uids: Vec<_> = fake.0.lock().items.keys().map(|uid| Some(*uid)).collect();
        prop_assert_eq!(client.0, uids);
    }
}
