//! Tables of a store's database. Columns that are read together stand together; what is big or seldom
//! read (structures, small bodies) has a table of its own, so that scans over items stay short.

/// Steps of the schema; never edited once released, only added to.
pub(crate) const MIGRATIONS: &[&str] = &[STEP_1, STEP_2, STEP_3];

const STEP_1: &str = "
CREATE TABLE counters (
    name    TEXT PRIMARY KEY,
    value   INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE mailboxes (
    id              INTEGER PRIMARY KEY,
    uuid            BLOB NOT NULL UNIQUE,
    quota_bytes     INTEGER,
    quota_items     INTEGER,
    used_bytes      INTEGER NOT NULL DEFAULT 0,
    used_items      INTEGER NOT NULL DEFAULT 0,
    modseq          INTEGER NOT NULL DEFAULT 0,
    next_validity   INTEGER NOT NULL
);

-- what must outlive a removed mailbox, should one of the same id come again
CREATE TABLE removed_mailboxes (
    uuid            BLOB PRIMARY KEY,
    next_validity   INTEGER NOT NULL,
    modseq          INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE folders (
    id              INTEGER PRIMARY KEY,
    mailbox         INTEGER NOT NULL,
    name            TEXT NOT NULL,
    purpose         INTEGER NOT NULL,
    subscribed      INTEGER NOT NULL,
    uid_validity    INTEGER NOT NULL,
    uid_next        INTEGER NOT NULL DEFAULT 1,
    modseq          INTEGER NOT NULL,
    items           INTEGER NOT NULL DEFAULT 0,
    unseen          INTEGER NOT NULL DEFAULT 0,
    deleted         INTEGER NOT NULL DEFAULT 0,
    size            INTEGER NOT NULL DEFAULT 0,
    -- tombstones with a modseq up to this are forgotten
    horizon         INTEGER NOT NULL DEFAULT 0,
    tombstones      INTEGER NOT NULL DEFAULT 0,
    UNIQUE (mailbox, name)
);

CREATE TABLE items (
    folder      INTEGER NOT NULL,
    uid         INTEGER NOT NULL,
    modseq      INTEGER NOT NULL,
    flags       INTEGER NOT NULL,
    size        INTEGER NOT NULL,
    received    INTEGER NOT NULL,
    sent        INTEGER,
    body        INTEGER NOT NULL,
    keywords    TEXT,
    PRIMARY KEY (folder, uid)
) WITHOUT ROWID;
CREATE INDEX items_by_modseq ON items (folder, modseq);
CREATE INDEX items_unseen ON items (folder, uid) WHERE flags & 1 = 0;
CREATE INDEX items_deleted ON items (folder, uid) WHERE flags & 8 <> 0;

CREATE TABLE tombstones (
    folder      INTEGER NOT NULL,
    modseq      INTEGER NOT NULL,
    first       INTEGER NOT NULL,
    last        INTEGER NOT NULL,
    PRIMARY KEY (folder, modseq, first)
) WITHOUT ROWID;

CREATE TABLE bodies (
    id          INTEGER PRIMARY KEY,
    hash        BLOB NOT NULL UNIQUE,
    size        INTEGER NOT NULL,
    refs        INTEGER NOT NULL,
    inline      INTEGER NOT NULL
);
CREATE TABLE structures (
    body        INTEGER PRIMARY KEY,
    bytes       BLOB NOT NULL
);
CREATE TABLE small_bodies (
    body        INTEGER PRIMARY KEY,
    bytes       BLOB NOT NULL
);
-- who may read a body, and through how many items
CREATE TABLE mailbox_bodies (
    body        INTEGER NOT NULL,
    mailbox     INTEGER NOT NULL,
    refs        INTEGER NOT NULL,
    PRIMARY KEY (body, mailbox)
) WITHOUT ROWID;

CREATE TABLE spool (
    id          INTEGER PRIMARY KEY,
    accepted    INTEGER NOT NULL,
    due         INTEGER NOT NULL,
    body        INTEGER NOT NULL,
    envelope    BLOB NOT NULL,
    recipients  BLOB NOT NULL
);
CREATE INDEX spool_by_due ON spool (due);

CREATE TABLE requests (
    number      INTEGER PRIMARY KEY,
    id          BLOB NOT NULL UNIQUE,
    answer      BLOB NOT NULL
);
";

/// Moves of mailboxes between stores.
const STEP_2: &str = "
ALTER TABLE mailboxes ADD COLUMN frozen INTEGER NOT NULL DEFAULT 0;
-- the mailbox that a request was about, if it was one
ALTER TABLE requests ADD COLUMN mailbox BLOB;

CREATE TABLE departures (
    id          BLOB PRIMARY KEY,
    mailbox     BLOB NOT NULL,
    target      INTEGER NOT NULL,
    state       INTEGER NOT NULL,
    changed     INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX departures_by_mailbox ON departures (mailbox, state);

CREATE TABLE arrivals (
    id          BLOB PRIMARY KEY,
    mailbox     BLOB NOT NULL,
    source      INTEGER NOT NULL,
    state       INTEGER NOT NULL,
    changed     INTEGER NOT NULL,
    -- number of the last portion
    step        INTEGER NOT NULL DEFAULT 0,
    answers     INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX arrivals_by_mailbox ON arrivals (mailbox, state);

-- up to where a folder of an arriving mailbox has come
CREATE TABLE arriving_folders (
    folder          INTEGER PRIMARY KEY,
    modseq          INTEGER NOT NULL DEFAULT 0,
    uid             INTEGER NOT NULL DEFAULT 0,
    buried_modseq   INTEGER NOT NULL DEFAULT 0,
    buried_uid      INTEGER NOT NULL DEFAULT 0
);
";

/// Deliveries that take effect once.
const STEP_3: &str = "
ALTER TABLE spool ADD COLUMN delivery BLOB;

-- an empty mailbox: what went into the spool
CREATE TABLE deliveries (
    mailbox     BLOB NOT NULL,
    delivery    BLOB NOT NULL,
    day         INTEGER NOT NULL,
    PRIMARY KEY (mailbox, delivery)
) WITHOUT ROWID;
CREATE INDEX deliveries_by_day ON deliveries (day);

-- days on which there were deliveries, by the time of the commands
CREATE TABLE days (
    day         INTEGER PRIMARY KEY,
    date        INTEGER NOT NULL
);
";
