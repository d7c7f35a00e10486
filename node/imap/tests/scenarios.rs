//! Whole sessions over TLS against a real store, directory and sign-on.

mod support;

use std::time::{Duration, Instant};

use support::{PASSWORD, PATIENCE, Server};

const MESSAGE: &[u8] = b"From: Ada <ada@example.test>\r\nTo: bob@example.test\r\n\
Subject: hello\r\nMessage-ID: <1@example.test>\r\nDate: Tue, 24 Nov 2026 10:00:00 +0000\r\n\
Content-Type: multipart/mixed; boundary=b\r\nMIME-Version: 1.0\r\n\r\npreamble\r\n--b\r\n\
Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\naGVsbG8gd29ybGQ=\r\n\
--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\ninner text\r\n--b--\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_appended_fetched_in_parts_flagged_copied_moved_and_expunged() {
    let server = Server::start().await;
    let mut c = server.sign_on("ada").await;
    let appended = c.append("INBOX", MESSAGE).await;
    assert!(appended.ok() && appended.has("[APPENDUID "), "{appended}");
    let selected = c.command("SELECT inbox").await;
    assert!(
        selected.ok() && selected.has("* 1 EXISTS") && selected.has("[READ-WRITE]"),
        "{selected}"
    );
    let uid_validity = selected.0.split("UIDVALIDITY ").nth(1).unwrap().split(']').next().unwrap();
    assert!(appended.has(&format!("[APPENDUID {uid_validity} 1]")), "{appended}");

    for (command, expected) in [
        ("FETCH 1 (UID RFC822.SIZE FLAGS)", format!("* 1 FETCH (UID 1 RFC822.SIZE {} FLAGS ())", MESSAGE.len())),
        ("FETCH 1 ENVELOPE", "* 1 FETCH (ENVELOPE (\"Tue, 24 Nov 2026 10:00:00 +0000\" \"hello\" ((\"Ada\" NIL \"ada\" \"example.test\")) ((\"Ada\" NIL \"ada\" \"example.test\")) ((\"Ada\" NIL \"ada\" \"example.test\")) ((NIL NIL \"bob\" \"example.test\")) NIL NIL NIL \"<1@example.test>\"))".into()),
        ("FETCH 1 BODY", "* 1 FETCH (BODY ((\"text\" \"plain\" (\"charset\" \"utf-8\") NIL NIL \"base64\" 16 1)".into()),
        ("FETCH 1 BODY.PEEK[1]", "* 1 FETCH (BODY[1] {16}\r\naGVsbG8gd29ybGQ=)".into()),
        ("FETCH 1 BODY.PEEK[1.MIME]", "* 1 FETCH (BODY[1.MIME] {78}".into()),
        ("FETCH 1 BINARY.PEEK[1]", "* 1 FETCH (BINARY[1] {11}\r\nhello world)".into()),
        ("FETCH 1 BINARY.SIZE[1]", "* 1 FETCH (BINARY.SIZE[1] 11)".into()),
        ("FETCH 1 BODY.PEEK[2.HEADER.FIELDS (Subject)]", "* 1 FETCH (BODY[2.HEADER.FIELDS (Subject)] {18}\r\nSubject: inner\r\n\r\n)".into()),
        ("FETCH 1 BODY.PEEK[2.TEXT]", "* 1 FETCH (BODY[2.TEXT] {10}\r\ninner text)".into()),
        ("FETCH 1 BODY.PEEK[7]", "* 1 FETCH (BODY[7] NIL)".into()),
        ("FETCH 1 BODY.PEEK[]<5.3>", "* 1 FETCH (BODY[]<5> {3}\r\n Ad)".into()),
        ("FETCH 1 BODY.PEEK[HEADER.FIELDS (SUBJECT)]", "* 1 FETCH (BODY[HEADER.FIELDS (SUBJECT)] {18}\r\nSubject: hello\r\n\r\n)".into()),
        ("SEARCH SUBJECT hello", "* SEARCH 1\r\n".into()),
        ("SEARCH RETURN (MIN MAX COUNT) UNSEEN", " MIN 1 MAX 1 COUNT 1\r\n".into()),
        ("UID SEARCH SEEN", "* SEARCH\r\n".into()),
        // reading it sets \Seen
        ("FETCH 1 BODY[TEXT]", " FLAGS (\\Seen))".into()),
        ("UID SEARCH SEEN", "* SEARCH 1\r\n".into()),
        ("STORE 1 +FLAGS ($Work \\Flagged)", "* 1 FETCH (UID 1 FLAGS (\\Flagged \\Seen $Work))".into()),
        ("STORE 1 -FLAGS.SILENT (\\Flagged)", "t".into()),
        ("FETCH 1 FLAGS", "* 1 FETCH (FLAGS (\\Seen $Work))".into()),
        ("CREATE \"Entw&APw-rfe/x\"", "OK done".into()),
        ("LIST \"\" \"Entw*\"", "* LIST (\\HasChildren) \"/\" \"Entw&APw-rfe\"".into()),
        ("LIST (SPECIAL-USE) \"\" *", "\\Sent) \"/\" \"Sent\"".into()),
        ("COPY 1 nowhere", "NO [TRYCREATE]".into()),
        ("COPY 1 \"Entw&APw-rfe\"", "OK [COPYUID ".into()),
        ("STATUS \"Entw&APw-rfe\" (MESSAGES UIDNEXT SIZE)", format!("(MESSAGES 1 UIDNEXT 2 SIZE {})", MESSAGE.len())),
        ("MOVE 1 Trash", "* 1 EXPUNGE".into()),
        ("SELECT Trash", "* 1 EXISTS".into()),
        ("STORE 1 +FLAGS (\\Deleted)", "\\Deleted".into()),
        ("EXPUNGE", "* 1 EXPUNGE".into()),
        ("FETCH 1 FLAGS", "BAD".into()),
        ("NOOP", "OK".into()),
        ("DELETE INBOX", "NO [CANNOT]".into()),
        ("DELETE \"Entw&APw-rfe\"", "NO [HASCHILDREN]".into()),
        ("GETQUOTAROOT INBOX", "* QUOTAROOT \"INBOX\" \"\"".into()),
        ("ENABLE IMAP4rev2", "* ENABLED IMAP4rev2".into()),
        ("LIST \"\" \"Entw*\"", "\"Entw\u{fc}rfe/x\"".into()),
        ("ID NIL", "\"support-url\" \"https://mail.example.test/source\"".into()),
        ("LOGOUT", "* BYE".into()),
    ] {
        let answer = c.command(command).await;
        assert!(answer.has(&expected), "{command}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_wakes_within_100_ms_of_a_delivery() {
    let server = Server::start().await;
    let mut c = server.sign_on("ada").await;
    assert!(c.command("SELECT INBOX").await.ok());
    c.send(b"i IDLE\r\n").await;
    assert_eq!(c.line().await.as_deref(), Some("+ idling"));
    let mut slowest = Duration::ZERO;
    for count in 1..=20 {
        server.deliver(server.ada, MESSAGE).await;
        let delivered = Instant::now();
        assert_eq!(c.line().await, Some(format!("* {count} EXISTS")));
        slowest = slowest.max(delivered.elapsed());
    }
    println!("slowest wake of 20: {slowest:?}");
    assert!(slowest < Duration::from_millis(100), "{slowest:?}");
    c.send(b"DONE\r\n").await;
    assert!(c.answer("i").await.ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_sessions_changes_are_told_only_when_they_may_be() {
    let server = Server::start().await;
    let (mut a, mut b) = (server.sign_on("ada").await, server.sign_on("ada").await);
    for _ in 0..5 {
        server.deliver(server.ada, MESSAGE).await;
    }
    assert!(a.command("SELECT INBOX").await.has("* 5 EXISTS"));
    assert!(b.command("SELECT INBOX").await.has("* 5 EXISTS"));
    assert!(b.command("STORE 2,4 +FLAGS.SILENT (\\Deleted)").await.ok());
    assert!(b.command("EXPUNGE").await.has("* 4 EXPUNGE\r\n* 2 EXPUNGE"));
    server.deliver(server.ada, MESSAGE).await;
    // numbers stay while the client counts by them
    let fetched = a.command("FETCH 5 UID").await;
    assert!(fetched.has("* 5 FETCH (UID 5)") && !fetched.has("EXPUNGE"), "{fetched}");
    let gone = a.command("FETCH 2 UID").await;
    assert!(gone.ok() && !gone.has("FETCH ("), "{gone}");
    let told = a.command("NOOP").await;
    assert!(told.has("* 4 EXPUNGE\r\n* 2 EXPUNGE\r\n* 4 EXISTS"), "{told}");
    assert!(a.command("FETCH 4 UID").await.has("* 4 FETCH (UID 6)"));
    // flags too, and without telling whoever changed them
    let own = b.command("STORE 1 +FLAGS.SILENT (\\Flagged)").await;
    assert!(own.ok() && !own.has("FETCH"), "{own}");
    assert!(!b.command("NOOP").await.has("* 1 FETCH"));
    assert!(a.command("NOOP").await.has("* 1 FETCH (UID 1 FLAGS (\\Flagged))"));
}

#[tokio::test(flavor = "multi_thread")]
async fn condstore_and_qresync_rfc7162() {
    let server = Server::start().await;
    let mut a = server.sign_on("ada").await;
    for _ in 0..4 {
        server.deliver(server.ada, MESSAGE).await;
    }
    let selected = a.command("SELECT INBOX (CONDSTORE)").await;
    let number = |after: &str| -> u64 {
        let rest = selected.0.split(after).nth(1).unwrap();
        rest.split(']').next().unwrap().parse().unwrap()
    };
    let (modseq, validity) = (number("HIGHESTMODSEQ "), number("UIDVALIDITY "));
    let stored = a.command("STORE 1 +FLAGS.SILENT (\\Seen)").await;
    assert!(stored.has("* 1 FETCH (UID 1 MODSEQ ("), "{stored}");
    let conflict =
        a.command(&format!("STORE 1:2 (UNCHANGEDSINCE {modseq}) +FLAGS (\\Flagged)")).await;
    assert!(
        conflict.ok() && conflict.has("[MODIFIED 1]") && conflict.has("* 2 FETCH"),
        "{conflict}"
    );
    let changed = a.command(&format!("FETCH 1:* FLAGS (CHANGEDSINCE {modseq})")).await;
    assert!(
        changed.has("* 1 FETCH") && changed.has("* 2 FETCH") && !changed.has("* 3 FETCH"),
        "{changed}"
    );
    assert!(a.command("SEARCH MODSEQ 1").await.has("(MODSEQ "));
    a.command("UID STORE 3 +FLAGS (\\Deleted)").await;
    assert!(a.command("UID EXPUNGE 3").await.has("* 3 EXPUNGE"));

    let mut b = server.sign_on("ada").await;
    let resync = format!("SELECT INBOX (QRESYNC ({validity} {modseq}))");
    assert!(!b.command(&resync).await.ok());
    assert!(b.command("ENABLE QRESYNC").await.has("* ENABLED QRESYNC"));
    let caught_up = b.command(&resync).await;
    assert!(caught_up.ok() && caught_up.has("* VANISHED (EARLIER) 3"), "{caught_up}");
    assert!(caught_up.has("* 1 FETCH (UID 1 FLAGS (\\Seen)"), "{caught_up}");
    a.command("UID STORE 1 +FLAGS (\\Deleted)").await;
    a.command("EXPUNGE").await;
    assert!(b.command("NOOP").await.has("* VANISHED 1\r\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_select_of_a_large_folder_reads_only_its_counters() {
    let server = Server::start().await;
    let mut c = server.sign_on("ada").await;
    // more for a measurement: the bound stays the same
    let count = std::env::var("MESSAGES").ok().and_then(|n| n.parse().ok()).unwrap_or(20_000);
    server.fill(server.ada, "Archive", count).await;
    let started = Instant::now();
    let selected = c.command("SELECT Archive").await;
    let select = started.elapsed();
    assert!(selected.has(&format!("* {count} EXISTS")), "{selected}");
    let started = Instant::now();
    assert!(c.command(&format!("FETCH {count} UID")).await.has(&format!("(UID {count})")));
    println!("{count} messages: SELECT {select:?}, first FETCH {:?}", started.elapsed());
    assert!(select < Duration::from_millis(200), "{select:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn more_messages_than_the_store_changes_at_once_are_copied_flagged_and_expunged() {
    let server = Server::start().await;
    let (mut a, mut b) = (server.sign_on("ada").await, server.sign_on("ada").await);
    let count = posthouse_store::Request::MAX_CHANGED + 500;
    server.fill(server.ada, "Archive", count).await;
    assert!(a.command("SELECT Archive").await.ok());
    assert!(b.command("SELECT Archive").await.ok());
    let copied = a.command("COPY 1:* Trash").await;
    assert!(copied.has(&format!(" 1:{count} 1:{count}] done")), "{copied}");
    assert!(a.command("STORE 1:* +FLAGS.SILENT (\\Deleted)").await.ok());
    let flagged = b.command("NOOP").await;
    assert_eq!(flagged.0.lines().filter(|line| line.contains("\\Deleted")).count(), count);
    let expunged = a.command("EXPUNGE").await;
    assert_eq!(expunged.0.lines().filter(|line| line.ends_with(" EXPUNGE")).count(), count);
    server.fill(server.ada, "Archive", 1).await;
    let told = b.command("NOOP").await;
    assert!(told.has("* 1 EXPUNGE\r\n* 1 EXISTS"), "{}", told.last());
}

#[tokio::test(flavor = "multi_thread")]
async fn large_structures_are_told_of_every_message() {
    let server = Server::start().await;
    let mut c = server.sign_on("ada").await;
    let addresses = "\"A name that is long enough to add up\" <a@b.example>, ".repeat(4_000);
    let message = format!("From: x@y.z\r\nTo: {addresses}x@y.z\r\n\r\nbody\r\n");
    for _ in 0..40 {
        server.deliver(server.ada, message.as_bytes()).await;
    }
    assert!(c.command("SELECT INBOX").await.ok());
    let answer = c.command("FETCH 1:* ENVELOPE").await;
    let told = answer.0.lines().filter(|line| line.starts_with("* ")).count();
    assert!(answer.ok() && told == 40, "{told} of 40 in {} bytes", answer.0.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_on_is_under_tls_only_and_compression_works_after_it() {
    let server = Server::start().await;
    let mut c = server.connect_clear().await;
    assert!(c.greeting.contains("LOGINDISABLED") && !c.greeting.contains("AUTH=PLAIN"));
    assert!(c.greeting.starts_with("* OK"), "{}", c.greeting);
    for refused in
        [format!("LOGIN ada \"{PASSWORD}\""), "AUTHENTICATE PLAIN".into(), "LOGIN {3}".into()]
    {
        let answer = c.command(&refused).await;
        assert!(answer.has("NO [PRIVACYREQUIRED]") && !answer.has("+ "), "{answer}");
    }
    assert!(c.command("SELECT INBOX").await.has(" BAD "));
    assert!(c.command("STARTTLS").await.ok());
    let mut c = server.upgrade(c).await;
    assert!(!c.command("CAPABILITY").await.has("LOGINDISABLED"));
    let wrong = c.command("LOGIN ada wrong").await;
    let unknown = c.command("LOGIN nobody wrong").await;
    assert_eq!(wrong.last().split_once(' ').unwrap().1, unknown.last().split_once(' ').unwrap().1);
    c.send(b"s AUTHENTICATE PLAIN\r\n").await;
    assert_eq!(c.line().await.as_deref(), Some("+ "));
    c.send(b"*\r\n").await;
    assert!(c.answer("s").await.has("s BAD"));
    use base64::Engine as _;
    let plain = base64::engine::general_purpose::STANDARD.encode(format!("\0ada\0{PASSWORD}"));
    let answer = c.command(&format!("AUTHENTICATE PLAIN {plain}")).await;
    assert!(answer.ok() && answer.has("COMPRESS=DEFLATE"), "{answer}");
    assert!(c.command("COMPRESS DEFLATE").await.ok());
    // raw deflate both ways
    let mut squeeze = flate2::Compress::new(flate2::Compression::default(), false);
    let mut out = Vec::with_capacity(1024);
    squeeze.compress_vec(b"z NOOP\r\n", &mut out, flate2::FlushCompress::Sync).unwrap();
    c.send(&out).await;
    let mut chunk = [0; 256];
    let read = tokio::io::AsyncReadExt::read(&mut c.stream, &mut chunk);
    let count = tokio::time::timeout(PATIENCE, read).await.unwrap().unwrap();
    let mut plain = Vec::with_capacity(1024);
    flate2::Decompress::new(false)
        .decompress_vec(&chunk[..count], &mut plain, flate2::FlushDecompress::Sync)
        .unwrap();
    assert_eq!(plain, b"z OK done\r\n");
}
