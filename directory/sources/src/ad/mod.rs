//! Active Directory: its attributes (MS-ADA1..3), and what it is asked.

mod codec;
mod entry;
mod query;

#[cfg(test)]
mod tests;

pub use codec::{ACCOUNT_DISABLE, MappedEntry, MappedKind, Skipped, Users, map};
pub use entry::{Entry, Values, guid_text, split_extended_dn};
pub(crate) use query::{
    ATTRIBUTES, MEMBER_STEP, PHOTO_ATTRIBUTES, accounts_filter, changed_since, extended_dn,
    groups_of_filter, guid_dn, photos_filter, show_deleted, tombstones_filter,
};
