//! What an IMAP client sends, as a stream: see [`posthouse_imap::codec::fuzz_command`].
#![no_main]

const SEEDS: &[&str] = &[
    "a LOGIN {4+}\r\nanna \"pass\\\"word\"\r\n",
    "b SELECT INBOX (CONDSTORE QRESYNC (1 2 1:5 (1,2 3:4)))\r\n",
    "c UID FETCH 1:*,$ (FLAGS BODY.PEEK[1.2.HEADER.FIELDS (TO CC)]<0.100> BINARY.SIZE[1]) (CHANGEDSINCE 7)\r\n",
    "d UID SEARCH RETURN (MIN COUNT SAVE) CHARSET UTF-8 OR (FROM a NOT SEEN) SINCE 1-Feb-2026 LARGER 9\r\n",
    "e APPEND box (\\Seen $x) \" 1-Feb-2026 10:00:00 +0100\" UTF8 (~{3+}\r\nabc)\r\n",
    "f LIST (SUBSCRIBED) \"\" (\"a/%\" *) RETURN (CHILDREN STATUS (MESSAGES SIZE))\r\n",
    "g STORE 1,3:5 (UNCHANGEDSINCE 3) +FLAGS.SILENT (\\Deleted)\r\n",
    "h IDLE\r\nDONE\r\ni AUTHENTICATE PLAIN =\r\nj RENAME &AOQ- {1}\r\nb\r\n",
];

libfuzzer_sys::fuzz_target!(init: posthouse_fuzz::seed(SEEDS), |data: &[u8]| posthouse_imap::codec::fuzz_command(data));
