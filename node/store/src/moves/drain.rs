//! Emptying a store: where its mailboxes go.

use posthouse_cluster::GroupId;

use crate::MailboxId;

/// A mailbox with its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Which.
    pub mailbox: MailboxId,
    /// Its size in bytes.
    pub bytes: u64,
}

/// Spreads mailboxes over other stores so that these come out about equally full: the largest first,
/// each to the store that has least then. `stores` come with the bytes that they hold. Empty if there is no store.
pub fn drain(mut held: Vec<Held>, stores: &[(GroupId, u64)]) -> Vec<(MailboxId, GroupId)> {
    let mut stores = stores.to_vec();
    held.sort_by_key(|one| (std::cmp::Reverse(one.bytes), one.mailbox));
    held.into_iter()
        .filter_map(|one| {
            let target = stores.iter_mut().min_by_key(|(id, bytes)| (*bytes, *id))?;
            // an empty mailbox counts as well, or all of them would go to one store
            target.1 = target.1.saturating_add(one.bytes.max(1));
            Some((one.mailbox, target.0))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn held(sizes: &[u64]) -> Vec<Held> {
        let one = |(number, bytes): (usize, &u64)| Held {
            mailbox: MailboxId(Uuid::from_u128(number as u128)),
            bytes: *bytes,
        };
        sizes.iter().enumerate().map(one).collect()
    }

    #[test]
    fn a_drained_store_leaves_the_others_about_equally_full() {
        for (sizes, stores, expected) in [
            (&[5, 9, 1, 4, 4][..], &[(2, 0), (3, 0)][..], &[12, 11][..]),
            (&[10, 10], &[(2, 100), (3, 0)], &[100, 20]),
            (&[0, 0, 0, 0], &[(2, 0), (3, 0)], &[2, 2]),
            (&[7], &[], &[]),
        ] {
            let stores: Vec<_> = stores.iter().map(|(id, bytes)| (GroupId(*id), *bytes)).collect();
            let plan = drain(held(sizes), &stores);
            assert_eq!(plan.len(), if stores.is_empty() { 0 } else { sizes.len() });
            let all = held(sizes);
            let full: Vec<u64> = stores
                .iter()
                .map(|(id, bytes)| {
                    let mine = plan.iter().filter(|(_, to)| to == id);
                    let sum = mine.map(|(mailbox, _)| {
                        all.iter().find(|one| one.mailbox == *mailbox).unwrap().bytes.max(1)
                    });
                    bytes + sum.sum::<u64>()
                })
                .collect();
            assert_eq!(full, expected, "{sizes:?}");
        }
    }
}
