//! Commands as types. Names are those of RFC 9051 §9 and the RFCs of the extensions.

use bytes::Bytes;
use posthouse_cluster::Timestamp;
use posthouse_store::{FlagChange, FolderUse};

use super::SequenceSet;

/// A command with its tag.
#[derive(Clone, Debug, PartialEq)]
pub struct Tagged {
    /// The tag.
    pub tag: String,
    /// The command.
    pub command: Command,
}

/// A client command. Mailbox names are as sent: modified UTF-7 or UTF-8.
#[derive(Clone, PartialEq)]
#[allow(missing_docs)] // the variants and fields are the RFC's
pub enum Command {
    Capability,
    Noop,
    Logout,
    StartTls,
    /// RFC 4959: with an initial response, still in base64 (`=` is the empty one).
    Authenticate {
        mechanism: String,
        initial: Option<Vec<u8>>,
    },
    Login {
        user: String,
        password: String,
    },
    /// RFC 5161.
    Enable(Vec<String>),
    /// RFC 2971. The fields are not kept.
    Id,
    Namespace,
    Select(Select),
    Create {
        mailbox: String,
        purpose: FolderUse,
    },
    Delete {
        mailbox: String,
    },
    Rename {
        from: String,
        to: String,
    },
    Subscribe {
        mailbox: String,
    },
    Unsubscribe {
        mailbox: String,
    },
    List(List),
    Lsub {
        reference: String,
        pattern: String,
    },
    Status {
        mailbox: String,
        items: Vec<StatusItem>,
    },
    /// RFC 9208.
    GetQuota {
        root: String,
    },
    GetQuotaRoot {
        mailbox: String,
    },
    Append {
        mailbox: String,
        flags: Vec<String>,
        date: Option<Timestamp>,
        message: Bytes,
    },
    Idle,
    /// RFC 4978.
    Compress,
    Check,
    Close,
    Unselect,
    /// With a set: UID EXPUNGE (RFC 4315).
    Expunge {
        uids: Option<SequenceSet>,
    },
    Search {
        uid: bool,
        search: Search,
    },
    Fetch {
        uid: bool,
        set: SequenceSet,
        fetch: Fetch,
    },
    Store {
        uid: bool,
        set: SequenceSet,
        store: StoreFlags,
    },
    Copy {
        uid: bool,
        set: SequenceSet,
        mailbox: String,
    },
    Move {
        uid: bool,
        set: SequenceSet,
        mailbox: String,
    },
}

impl std::fmt::Debug for Command {
    /// Only the kind of command: arguments may be secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl Command {
    /// Its name, for logs and metrics.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Capability => "CAPABILITY",
            Self::Noop => "NOOP",
            Self::Logout => "LOGOUT",
            Self::StartTls => "STARTTLS",
            Self::Authenticate { .. } => "AUTHENTICATE",
            Self::Login { .. } => "LOGIN",
            Self::Enable(_) => "ENABLE",
            Self::Id => "ID",
            Self::Namespace => "NAMESPACE",
            Self::Select(select) if select.read_only => "EXAMINE",
            Self::Select(_) => "SELECT",
            Self::Create { .. } => "CREATE",
            Self::Delete { .. } => "DELETE",
            Self::Rename { .. } => "RENAME",
            Self::Subscribe { .. } => "SUBSCRIBE",
            Self::Unsubscribe { .. } => "UNSUBSCRIBE",
            Self::List(_) => "LIST",
            Self::Lsub { .. } => "LSUB",
            Self::Status { .. } => "STATUS",
            Self::GetQuota { .. } => "GETQUOTA",
            Self::GetQuotaRoot { .. } => "GETQUOTAROOT",
            Self::Append { .. } => "APPEND",
            Self::Idle => "IDLE",
            Self::Compress => "COMPRESS",
            Self::Check => "CHECK",
            Self::Close => "CLOSE",
            Self::Unselect => "UNSELECT",
            Self::Expunge { .. } => "EXPUNGE",
            Self::Search { .. } => "SEARCH",
            Self::Fetch { .. } => "FETCH",
            Self::Store { .. } => "STORE",
            Self::Copy { .. } => "COPY",
            Self::Move { .. } => "MOVE",
        }
    }
}

/// SELECT and EXAMINE.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Select {
    pub mailbox: String,
    pub read_only: bool,
    /// RFC 7162 §3.1.8.
    pub condstore: bool,
    pub qresync: Option<Qresync>,
}

/// RFC 7162 §3.2.5. The sequence match data is not needed: expunged uids are remembered here.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Qresync {
    pub uid_validity: u32,
    pub modseq: u64,
    pub known: Option<SequenceSet>,
}

/// LIST (RFC 5258, 5819, 6154).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct List {
    pub reference: String,
    pub patterns: Vec<String>,
    pub only_subscribed: bool,
    pub recursive_match: bool,
    pub only_special_use: bool,
    pub return_subscribed: bool,
    pub return_status: Option<Vec<StatusItem>>,
}

/// Items of STATUS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum StatusItem {
    Messages,
    Recent,
    UidNext,
    UidValidity,
    Unseen,
    Deleted,
    Size,
    HighestModSeq,
    AppendLimit,
}

impl StatusItem {
    /// All of them with their names.
    pub const ALL: &[(Self, &str)] = &[
        (Self::Messages, "MESSAGES"),
        (Self::Recent, "RECENT"),
        (Self::UidNext, "UIDNEXT"),
        (Self::UidValidity, "UIDVALIDITY"),
        (Self::Unseen, "UNSEEN"),
        (Self::Deleted, "DELETED"),
        (Self::Size, "SIZE"),
        (Self::HighestModSeq, "HIGHESTMODSEQ"),
        (Self::AppendLimit, "APPENDLIMIT"),
    ];
}

/// FETCH.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Fetch {
    pub items: Vec<FetchItem>,
    pub changed_since: Option<u64>,
    pub vanished: bool,
}

/// Bytes `offset` to `offset + length` of a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Partial {
    pub offset: u32,
    pub length: u32,
}

/// One thing to fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum FetchItem {
    Envelope,
    Flags,
    InternalDate,
    Rfc822,
    Rfc822Header,
    Rfc822Text,
    Rfc822Size,
    /// BODY without a section.
    Body,
    BodyStructure,
    Uid,
    ModSeq,
    Section {
        section: Section,
        partial: Option<Partial>,
        peek: bool,
    },
    /// RFC 3516.
    Binary {
        part: Vec<u32>,
        partial: Option<Partial>,
        peek: bool,
    },
    BinarySize {
        part: Vec<u32>,
    },
}

/// What is between the brackets of BODY\[…].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Section {
    pub part: Vec<u32>,
    pub text: SectionText,
}

/// RFC 9051 `section-text`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum SectionText {
    #[default]
    All,
    Header,
    HeaderFields {
        names: Vec<String>,
        not: bool,
    },
    Text,
    Mime,
}

/// STORE.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct StoreFlags {
    pub change: FlagChange,
    pub silent: bool,
    pub flags: Vec<String>,
    pub unchanged_since: Option<u64>,
}

/// SEARCH.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Search {
    /// `None`: no RETURN.
    pub options: Option<SearchOptions>,
    pub key: SearchKey,
    /// A MODSEQ key was used.
    pub uses_modseq: bool,
}

/// RETURN (RFC 4731, 5182).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct SearchOptions {
    pub min: bool,
    pub max: bool,
    pub all: bool,
    pub count: bool,
    pub save: bool,
}

/// RFC 9051 `search-key`, reduced to few forms.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum SearchKey {
    All,
    And(Vec<SearchKey>),
    Or(Box<SearchKey>, Box<SearchKey>),
    Not(Box<SearchKey>),
    Sequence(SequenceSet),
    Uid(SequenceSet),
    System(u8),
    Keyword(String),
    Header(String, String),
    Body(String),
    Text(String),
    Larger(u32),
    Smaller(u32),
    ReceivedSince(Timestamp),
    ReceivedBefore(Timestamp),
    SentSince(Timestamp),
    SentBefore(Timestamp),
    ModSeq(u64),
}
