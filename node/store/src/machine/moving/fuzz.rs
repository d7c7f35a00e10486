//! Commands of moves for the fuzzer to begin with.

use bytes::Bytes;
use posthouse_cluster::{GroupId, Timestamp};
use uuid::Uuid;

use crate::{
    BodyHash, DeliveryId, Flags, Folder, FolderId, FolderState, FolderUse, MailboxId, MailboxState,
    Message, MoveId, MoveStep, MovedItem, Portion, Position, Request, RequestId, UidSet,
};

const CARL: MailboxId = MailboxId(Uuid::from_u128(3));
const LEAVING: MoveId = MoveId(7 << 64);
const ARRIVING: MoveId = MoveId(8 << 64);
const FOLDER: FolderId = FolderId(1 << 33);
const BODY: &[u8] = b"Subject: moved\r\n\r\nmoved";

/// A mailbox that leaves, and one that has arrived in part.
pub(crate) fn furniture(leaves: MailboxId) -> Vec<Request> {
    let folder = Folder {
        id: FOLDER,
        name: "INBOX".into(),
        purpose: FolderUse::Inbox,
        subscribed: true,
        uid_validity: 4,
        uid_next: 9,
        highest_modseq: 20,
        exists: 1,
        unseen: 1,
        deleted: 0,
        size: BODY.len() as u64,
    };
    let folders = Portion::Folders(vec![FolderState { folder, horizon: 2, tombstones: 1 }]);
    let steps = [
        MoveStep::Leave { mailbox: leaves, id: LEAVING, to: GroupId(2) },
        MoveStep::Arrive { mailbox: CARL, id: ARRIVING, from: GroupId(3) },
        MoveStep::Import { id: ARRIVING, step: 1, parts: vec![folders, items(&[3, 4])] },
    ];
    steps.into_iter().map(Request::Moving).collect()
}

fn items(uids: &[u32]) -> Portion {
    let item = |uid: &u32| MovedItem {
        uid: *uid,
        modseq: 11,
        flags: Flags { system: Flags::FLAGGED, keywords: vec!["$Junk".into()] },
        received: Timestamp(5),
        sent: None,
        size: BODY.len() as u32,
        body: BodyHash(*blake3::hash(BODY).as_bytes()),
    };
    let until = Position { modseq: 11, uid: 4 };
    let messages = vec![Message(Bytes::from_static(BODY))];
    Portion::Items { folder: FOLDER, items: uids.iter().map(item).collect(), until, messages }
}

/// Changes of what [`furniture`] put there.
pub(crate) fn seeds() -> Vec<Request> {
    let (folder, until) = (FOLDER, Position { modseq: 12, uid: 3 });
    let portions = vec![
        items(&[4, 5]),
        Portion::Tombstones { folder, ranges: vec![(12, 3, 3), (13, 1, 2)], until },
        Portion::Retain { folder, uids: UidSet(vec![(5, 5)]), horizon: 12 },
        Portion::Answers { answers: vec![(RequestId(9), Bytes::from_static(&[0]))], until: 4 },
        Portion::Deliveries { deliveries: vec![DeliveryId(5)] },
        Portion::Mailbox(MailboxState { modseq: 30, next_validity: 9, ..MailboxState::default() }),
        Portion::FoldersGone(vec![folder]),
    ];
    let mut steps: Vec<_> = portions
        .into_iter()
        .map(|part| MoveStep::Import { id: ARRIVING, step: 2, parts: vec![part] })
        .collect();
    steps.extend([
        MoveStep::Freeze { id: LEAVING, since: 0, items: 100, bytes: 10_000 },
        MoveStep::Abandon { id: LEAVING },
        MoveStep::Drop { id: ARRIVING },
        MoveStep::Activate { id: ARRIVING },
    ]);
    steps.into_iter().map(Request::Moving).collect()
}
