//! Any bytes as a command of a store that has something in it.

use std::cell::RefCell;

use bytes::Bytes;
use posthouse_cluster::{MachineError, Timestamp};
use rusqlite::Connection;
use uuid::Uuid;

use super::{answer, moving};
use crate::{
    Call, Envelope, FlagChange, Flags, FolderId, FolderUse, LocalRecipient, MailboxId, Message,
    NewItem, Quota, RelayRecipient, Report, Request, RequestId, SpoolId, SpoolOutcome, UidSet,
    command::{Command, decode_answer},
    prepare::prepare,
    schema::MIGRATIONS,
};

const ANNA: MailboxId = MailboxId(Uuid::from_u128(1));
const BERT: MailboxId = MailboxId(Uuid::from_u128(2));

/// Counts that must agree; each query finds rows where they do not.
const INVARIANTS: &[&str] = &[
    "SELECT 1 FROM folders f WHERE
        items <> (SELECT count(*) FROM items WHERE folder = f.id)
        OR size <> (SELECT total(size) FROM items WHERE folder = f.id)
        OR unseen <> (SELECT count(*) FROM items WHERE folder = f.id AND flags & 1 = 0)
        OR deleted <> (SELECT count(*) FROM items WHERE folder = f.id AND flags & 8 <> 0)
        OR uid_next <= (SELECT coalesce(max(uid), 0) FROM items WHERE folder = f.id)",
    "SELECT 1 FROM mailboxes m WHERE
        used_items <> (SELECT total(items) FROM folders WHERE mailbox = m.id)
        OR used_bytes <> (SELECT total(size) FROM folders WHERE mailbox = m.id)",
    "SELECT 1 FROM bodies b WHERE refs <> (SELECT count(*) FROM items WHERE body = b.id)
        + (SELECT count(*) FROM spool WHERE body = b.id)",
    "SELECT 1 FROM items WHERE body NOT IN (SELECT id FROM bodies)",
    "SELECT 1 FROM items WHERE folder NOT IN (SELECT id FROM folders)",
    "SELECT 1 FROM folders WHERE mailbox NOT IN (SELECT id FROM mailboxes)",
    "SELECT 1 FROM spool WHERE body NOT IN (SELECT id FROM bodies)",
];

thread_local! {
    static STORE: RefCell<Connection> = RefCell::new(furnished().expect("an empty database in memory"));
}

/// Applies the command and takes it back.
pub(crate) fn command(data: &[u8]) {
    if let Ok(command) = Command::decode(data) {
        let encoded = command.encode().expect("what was decoded can be encoded");
        let again = Command::decode(&encoded).and_then(|command| command.encode());
        assert_eq!(again, Ok(encoded));
    }
    STORE.with_borrow_mut(|store| {
        let transaction = store.transaction().expect("a transaction");
        let mut events = Vec::new();
        let first = answer(&transaction, &mut events, &mut Vec::new(), data)
            .expect("a command never fails");
        decode_answer(&first).expect("an answer can be read");
        if Command::decode(data).is_ok() {
            let again = answer(&transaction, &mut events, &mut Vec::new(), data)
                .expect("nor when it comes again");
            assert_eq!(first, again, "an answer is remembered");
        }
        check(&transaction, "the store");
    });
}

/// Panics where counts do not agree.
pub(crate) fn check(store: &Connection, name: &str) {
    for sql in INVARIANTS {
        let mut statement = store.prepare_cached(sql).expect("a query");
        assert!(!statement.exists([]).expect("a result"), "{name}: {sql}");
    }
}

/// A database with what [`furniture`] puts there.
fn furnished() -> Result<Connection, MachineError> {
    let connection = Connection::open_in_memory()?;
    connection.execute_batch(&MIGRATIONS.concat())?;
    for data in furniture() {
        answer(&connection, &mut Vec::new(), &mut Vec::new(), &data)?;
    }
    Ok(connection)
}

/// Two mailboxes with folders and items, a message in the spool, and moves under way.
fn furniture() -> Vec<Bytes> {
    let drafts = || "Drafts".to_owned();
    let mut requests = vec![
        Request::CreateMailbox { mailbox: ANNA, quota: Quota::default() },
        Request::CreateMailbox { mailbox: BERT, quota: Quota { bytes: Some(100), items: Some(3) } },
        Request::CreateFolder { mailbox: ANNA, name: "a/b".into(), purpose: FolderUse::None },
        append(ANNA, "INBOX", &["one", "two", "three"]),
        append(ANNA, &drafts(), &["one"]),
        append(BERT, "INBOX", &["two"]),
        deliver(),
    ];
    requests.extend(moving::fuzz::furniture(BERT));
    encoded(requests)
}

/// Commands that change what [`furniture`] put there: for the fuzzer to begin with.
pub(crate) fn seeds() -> Vec<Bytes> {
    let (inbox, uids) = (FolderId(1), || UidSet(vec![(1, 2)]));
    let message = || Message(Bytes::from_static(b"Subject: r\r\n\r\nreport"));
    let flags = Flags { system: Flags::DELETED, keywords: vec!["$Junk".into()] };
    let change = FlagChange::Add;
    let deferred = SpoolOutcome::Deferred { error: "450 later".into(), delay_reported: true };
    let local = vec![LocalRecipient { mailbox: ANNA, address: "a@x.test".into() }];
    let report = Report { local, relay: vec![relay("c@y.test")], message: message() };
    let mut requests = vec![
        append(ANNA, "INBOX", &["new", "newer"]),
        deliver(),
        Request::SetFlags {
            mailbox: ANNA,
            folder: inbox,
            uids: uids(),
            change,
            flags,
            unchanged_since: Some(9),
        },
        Request::Copy { mailbox: ANNA, folder: inbox, uids: uids(), to: "a/b".into() },
        Request::Move { mailbox: ANNA, folder: inbox, uids: uids(), to: "Drafts".into() },
        Request::Expunge { mailbox: ANNA, folder: inbox, uids: Some(uids()) },
        Request::RenameFolder { mailbox: ANNA, from: "a".into(), to: "c".into() },
        Request::RemoveFolder { mailbox: ANNA, name: "a/b".into() },
        Request::Subscribe { mailbox: ANNA, name: "a/b".into(), subscribed: false },
        Request::RemoveMailbox { mailbox: ANNA },
        Request::SpoolRetry { id: None },
        Request::SpoolRemove { id: SpoolId(1) },
    ];
    requests.push(Request::SpoolUpdate {
        id: SpoolId(1),
        outcomes: vec![("b@y.test".into(), SpoolOutcome::Done), ("c@y.test".into(), deferred)],
        due: Timestamp(9),
        report: Some(Box::new(report)),
    });
    requests.extend(moving::fuzz::seeds());
    // ids that furniture does not have
    encoded(requests).into_iter().map(|bytes| renumbered(&bytes)).collect()
}

fn renumbered(data: &[u8]) -> Bytes {
    let command = Command::decode(data).map(|mut command| {
        command.call.id.0 += 1_000;
        command.encode()
    });
    command.and_then(|encoded| encoded).unwrap_or_default()
}

fn encoded(requests: Vec<Request>) -> Vec<Bytes> {
    let calls = requests.into_iter().zip(1..).map(|(request, number)| Call {
        id: RequestId(number),
        at: Timestamp(7),
        request,
    });
    calls.filter_map(|call| prepare(call).ok()).map(|prepared| prepared.command).collect()
}

fn append(mailbox: MailboxId, folder: &str, texts: &[&str]) -> Request {
    let new = |text: &&str| NewItem {
        message: Message(Bytes::from(format!("Subject: {text}\r\n\r\n{text}"))),
        flags: Flags::default(),
        received: Timestamp(5),
    };
    Request::Append { mailbox, folder: folder.into(), messages: texts.iter().map(new).collect() }
}

fn relay(address: &str) -> RelayRecipient {
    RelayRecipient { address: address.into(), original: None, notify: 6 }
}

fn deliver() -> Request {
    let envelope = Envelope {
        sender: "s@x.test".into(),
        envelope_id: None,
        return_full: false,
        eight_bit: false,
        utf8: false,
    };
    Request::Deliver {
        envelope,
        local: vec![LocalRecipient { mailbox: ANNA, address: "a@x.test".into() }],
        relay: vec![relay("b@y.test"), relay("c@y.test")],
        message: Message(Bytes::from_static(b"Subject: d\r\n\r\ndelivered")),
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng, rngs::StdRng};

    use super::*;

    #[test]
    fn mutated_commands_are_answered_and_leave_every_count_right() {
        let seeds = seeds();
        assert_eq!(seeds.len(), 24);
        let mut random = StdRng::seed_from_u64(31);
        let mut decoded = 0;
        for round in 0..3_000 {
            let mut bytes = seeds[round % seeds.len()].to_vec();
            for _ in 0..random.random_range(0..4) {
                let at = random.random_range(0..bytes.len());
                match random.random_range(0..4) {
                    0 => bytes[at] = random.random(),
                    1 => bytes.insert(at, random.random()),
                    2 => bytes[at] ^= 1 << random.random_range(0..8),
                    _ => bytes.truncate(at.max(1)),
                }
            }
            decoded += usize::from(Command::decode(&bytes).is_ok());
            command(&bytes);
        }
        assert!(decoded > 500, "{decoded}");
    }

    #[test]
    fn every_seed_is_a_command_that_is_not_refused() {
        for seed in seeds() {
            let mut store = furnished().unwrap();
            let transaction = store.transaction().unwrap();
            let answered = answer(&transaction, &mut Vec::new(), &mut Vec::new(), &seed).unwrap();
            let answered = decode_answer(&answered).unwrap();
            assert!(!matches!(answered, crate::Response::Refused(_)), "{answered:?}");
        }
    }
}
