//! Tables of the domain database, and how objects become rows.
//!
//! An object is one row: its key columns, and the object itself as a version byte and postcard. A new shape of an
//! object gets a new version byte; old ones stay readable.

use posthouse_cluster::{MachineError, sqlite::Migration};
use serde::{Serialize, de::DeserializeOwned};

/// An object that is kept as a row.
pub(crate) trait Row: Serialize + DeserializeOwned {
    /// Version of the shape that is written now.
    const VERSION: u8 = 1;

    /// Reads an older shape; `None` if that version is unknown.
    fn older(version: u8, data: &[u8]) -> Option<postcard::Result<Self>> {
        let _ = (version, data);
        None
    }
}

impl Row for crate::Account {}
impl Row for crate::AuditEntry {}
impl Row for crate::Domain {}
impl Row for crate::Invite {}
impl Row for crate::MailboxMove {}
impl Row for crate::SourceSpec {}

impl Row for crate::NodeInfo {
    const VERSION: u8 = 2;

    fn older(version: u8, data: &[u8]) -> Option<postcard::Result<Self>> {
        (version == 1).then(|| postcard::from_bytes::<crate::NodeInfoV1>(data).map(Self::from))
    }
}

impl Row for crate::StoreInfo {
    const VERSION: u8 = 2;

    fn older(version: u8, data: &[u8]) -> Option<postcard::Result<Self>> {
        (version == 1).then(|| postcard::from_bytes::<crate::StoreInfoV1>(data).map(Self::from))
    }
}

/// The schema, step by step. Never change a step that was released: add one.
pub(crate) const MIGRATIONS: &[Migration] = &["
    create table domain (id blob primary key, data blob not null) without rowid;
    create table domain_name (name text primary key, domain blob not null) without rowid;
    create table account (
        id blob primary key, domain blob not null, kind integer not null, rights integer not null,
        source blob, source_key blob, data blob not null
    ) without rowid;
    create index account_domain on account (domain);
    create index account_rights on account (rights) where rights = 3;
    create unique index account_source on account (source, source_key) where source is not null;
    create table photo (account blob primary key, jpeg blob not null) without rowid;
    create table claim (space integer, key text, account blob not null, primary key (space, key)) without rowid;
    create index claim_account on claim (account);
    create table member (member blob, grp blob, primary key (member, grp)) without rowid;
    create index member_group on member (grp);
    create table kept (account blob, address text, primary key (account, address)) without rowid;
    create table degraded (account blob primary key, data blob not null) without rowid;
    create table setting (name text primary key, value text not null) without rowid;
    create table source (id blob primary key, data blob not null) without rowid;
    create table node (id integer primary key, data blob not null);
    create table store (id integer primary key, data blob not null);
    create table secret (name text primary key, ciphertext blob not null) without rowid;
    create table ephemeral (
        space text, key blob, value blob not null, expires integer not null, primary key (space, key)
    ) without rowid;
    create index ephemeral_expires on ephemeral (expires, space, key);
    create table ephemeral_count (space text primary key, number integer not null) without rowid;
    create table audit (sequence integer primary key, data blob not null);
    create table done (sequence integer primary key, id blob not null unique, answer blob not null);
", "
    create table fact (name text primary key, value blob not null) without rowid;
    create table invite (id blob primary key, data blob not null) without rowid;
    create table move (
        id blob primary key, account blob not null, open integer not null, changed integer not null,
        data blob not null
    ) without rowid;
    create unique index move_open on move (account) where open = 1;
    create index move_finished on move (changed, id) where open = 0;
    create table mailbox (account blob primary key, store integer not null) without rowid;
    create table mailbox_count (store integer primary key, number integer not null);
"];

/// An object as bytes of a row.
pub(crate) fn encode<T: Row>(value: &T) -> Result<Vec<u8>, MachineError> {
    postcard::to_extend(value, vec![T::VERSION])
        .map_err(|e| MachineError::Corrupt(format!("object cannot be written: {e}")))
}

/// An object from the bytes of a row of `table`.
pub(crate) fn decode<T: Row>(table: &str, row: &[u8]) -> Result<T, MachineError> {
    let corrupt = |what: String| MachineError::Corrupt(format!("row of table {table}: {what}"));
    let Some((&version, data)) = row.split_first() else { return Err(corrupt("empty".into())) };
    let read = match version == T::VERSION {
        true => Some(postcard::from_bytes(data)),
        false => T::older(version, data),
    };
    read.ok_or_else(|| corrupt(format!("version {version} is unknown")))?
        .map_err(|e| corrupt(e.to_string()))
}
