//! Where mailboxes and stores are.

use posthouse_cluster::{GroupId, NodeId};

use crate::MailboxId;

/// Where mailboxes and stores are: the directory's answers, from memory. Must not block.
pub trait Locate: Send + Sync + 'static {
    /// The store of a mailbox; of one that nobody knows, the store in which it would be made.
    fn store_of(&self, mailbox: MailboxId) -> GroupId;
    /// Nodes that have a replica of the store, its home first.
    fn replicas(&self, store: GroupId) -> Vec<NodeId>;
    /// All stores, ascending.
    fn stores(&self) -> Vec<GroupId>;
    /// The agreed level of the cluster: what is newer is not proposed.
    fn level(&self) -> u32;
}

/// One store that has everything.
pub(super) struct Only(pub(super) GroupId);

impl Locate for Only {
    fn store_of(&self, _: MailboxId) -> GroupId {
        self.0
    }

    fn replicas(&self, _: GroupId) -> Vec<NodeId> {
        Vec::new()
    }

    fn stores(&self) -> Vec<GroupId> {
        vec![self.0]
    }

    fn level(&self) -> u32 {
        u32::MAX
    }
}
