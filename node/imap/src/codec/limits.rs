//! Every length, depth and count that a client controls, in one table.

use std::time::Duration;

/// Longest command line in bytes before sign-on.
pub const LINE_BEFORE: usize = 8 * 1024;
/// Longest literal in bytes before sign-on, under TLS. Without TLS there are none.
pub const LITERAL_BEFORE: usize = 4 * 1024;
/// Longest command text in bytes (without literals) after sign-on.
pub const LINE_AFTER: usize = 64 * 1024;
/// Longest literal in bytes after sign-on, other than the message of APPEND.
pub const LITERAL_AFTER: usize = 64 * 1024;
/// Most literals in one command.
pub const LITERALS: usize = 32;
/// Longest SASL message in bytes, decoded.
pub const SASL: usize = 64 * 1024;
/// Longest SASL line in bytes, in base64, with room for the AUTHENTICATE command.
pub const SASL_LINE: usize = SASL / 3 * 4 + 256;
/// Longest tag in bytes.
pub const TAG: usize = 64;
/// Deepest nesting of search keys.
pub const SEARCH_DEPTH: usize = 64;
/// Most search keys in one command.
pub const SEARCH_KEYS: usize = 256;
/// Most items, flags, patterns or fields in one list.
pub const LIST_ITEMS: usize = 1_000;
/// Most patterns of one LIST command.
pub const PATTERNS: usize = 32;
/// Characters of patterns times characters of mailbox names that one LIST compares.
pub const LIST_WORK: usize = 50_000_000;
/// Longest LIST pattern or mailbox name in bytes, as sent.
pub const NAME: usize = 4 * 1024;
/// Deepest part number in a section.
pub const PART_DEPTH: usize = 100;
/// Failed sign-ons on one connection before it is closed.
pub const FAILED_SIGN_ONS: u32 = 5;
/// Commands that make no sense, one after the other, before the connection is closed.
pub const BAD_COMMANDS: u32 = 20;
/// A command line before sign-on, a TLS handshake and a SASL answer must be complete by then.
pub const WAIT_BEFORE: Duration = Duration::from_secs(60);
/// A connection must be signed on by then.
pub const SIGN_ON: Duration = Duration::from_secs(300);
/// A client that has begun a command must send something by then.
pub const WAIT_WITHIN: Duration = Duration::from_secs(60);
/// A client must take [`WRITE_CHUNK`] bytes by then.
pub const WAIT_WRITE: Duration = Duration::from_secs(60);
/// Output is handed to the network in pieces of this size in bytes.
pub const WRITE_CHUNK: usize = 64 * 1024;
/// Bytes of literals above [`LITERAL_AFTER`] that all connections together may hold in memory.
pub const APPEND_MEMORY: usize = 512 << 20;
/// How long a connection waits for its client. Tests have less patience.
#[derive(Clone, Copy, Debug)]
pub struct Waits {
    /// [`WAIT_BEFORE`].
    pub before: Duration,
    /// [`SIGN_ON`].
    pub sign_on: Duration,
    /// [`WAIT_WITHIN`].
    pub within: Duration,
    /// [`WAIT_WRITE`].
    pub write: Duration,
}

impl Waits {
    /// Those of the table.
    pub const STANDARD: Self =
        Self { before: WAIT_BEFORE, sign_on: SIGN_ON, within: WAIT_WITHIN, write: WAIT_WRITE };
}

/// A literal waits so long for that memory before it is refused.
pub const WAIT_MEMORY: Duration = Duration::from_secs(30);

/// One row of the table of limits.
#[derive(Clone, Copy, Debug)]
pub struct LimitSpec {
    /// What is limited, with its unit.
    pub what: &'static str,
    /// The limit.
    pub value: u64,
    /// What happens beyond it.
    pub beyond: &'static str,
}

const fn row(what: &'static str, value: u64, beyond: &'static str) -> LimitSpec {
    LimitSpec { what, value, beyond }
}

/// All limits, for the guide.
pub const LIMITS: &[LimitSpec] = &[
    row("command line before sign-on, bytes", LINE_BEFORE as u64, "BAD, then BYE"),
    row(
        "literal before sign-on under TLS, bytes (none without TLS)",
        LITERAL_BEFORE as u64,
        "refused before it is sent; BYE if not synchronizing",
    ),
    row("command text after sign-on, bytes", LINE_AFTER as u64, "BAD, then BYE"),
    row(
        "literal after sign-on other than a message, bytes",
        LITERAL_AFTER as u64,
        "refused before it is sent; BYE if not synchronizing",
    ),
    row("literals in one command", LITERALS as u64, "BAD, then BYE"),
    row("SASL message, bytes", SASL as u64, "BAD, then BYE"),
    row("tag, bytes", TAG as u64, "BAD"),
    row("nesting of search keys", SEARCH_DEPTH as u64, "BAD"),
    row("search keys in one command", SEARCH_KEYS as u64, "BAD"),
    row("elements of one list", LIST_ITEMS as u64, "BAD"),
    row("patterns of one LIST", PATTERNS as u64, "BAD"),
    row("characters of patterns × of names in one LIST", LIST_WORK as u64, "NO [LIMIT]"),
    row("mailbox name as sent, bytes", NAME as u64, "BAD"),
    row("depth of a part number", PART_DEPTH as u64, "BAD"),
    row("failed sign-ons on one connection", FAILED_SIGN_ONS as u64, "BYE"),
    row("bad commands in a row", BAD_COMMANDS as u64, "BYE"),
    row(
        "command line, handshake, SASL answer before sign-on, seconds",
        WAIT_BEFORE.as_secs(),
        "connection closed",
    ),
    row("time until sign-on, seconds", SIGN_ON.as_secs(), "BYE"),
    row("silence within a command, seconds", WAIT_WITHIN.as_secs(), "connection closed"),
    row("time to take 64 KiB of output, seconds", WAIT_WRITE.as_secs(), "connection closed"),
    row(
        "memory for large messages being appended, all connections, bytes",
        APPEND_MEMORY as u64,
        "waits, then NO [LIMIT] or BYE",
    ),
];

/// The limits that apply to a command in the present state of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Command text.
    pub line: usize,
    /// A literal.
    pub literal: usize,
    /// The message of APPEND.
    pub message: usize,
}

impl Limits {
    /// Before TLS: no literals, so that no secret is read.
    pub const CLEAR: Self = Self { line: LINE_BEFORE, literal: 0, message: 0 };
    /// Under TLS, before sign-on.
    pub const BEFORE: Self = Self { line: LINE_BEFORE, literal: LITERAL_BEFORE, message: 0 };

    /// After sign-on.
    pub const fn after(message: usize) -> Self {
        Self { line: LINE_AFTER, literal: LITERAL_AFTER, message }
    }
}
