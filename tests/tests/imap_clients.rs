//! Real mail programs against a real node: mbsync, mutt, neomutt, curl, Python's imaplib.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use posthouse_tests::node::{PASSWORD, TestNode};

/// Messages that mbsync carries there and back.
const MESSAGES: usize = 10_000;
/// No program takes longer.
const PATIENCE: &str = "240";

fn clients() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients")
}

/// Runs a program; it is ended when it takes too long.
fn run(program: &str, arguments: &[&str]) -> Result<Output> {
    let output = Command::new("timeout")
        .arg(PATIENCE)
        .arg(program)
        .args(arguments)
        .env("TERM", "xterm")
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("{program} cannot be run: see tests/lab/packages.txt"))?;
    ensure!(
        output.status.success(),
        "{program} ended with {}:\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(output)
}

/// A message of a few lines; every one is different.
fn message(number: usize) -> String {
    let body = format!("line of {number}\n").repeat(number % 4);
    format!(
        "From: anna@example.test\nSubject: message {number}\nMessage-ID: <m{number}@example.test>\n\
         Date: Tue, 24 Nov 2026 10:00:00 +0000\n\n{body}"
    )
}

/// Maildir flags (D draft, F flagged, R answered, S seen), in order, all combinations.
fn flags(number: usize) -> String {
    let flags = "DFRS".chars().enumerate().filter(|(bit, _)| number >> bit & 1 == 1);
    flags.map(|(_, flag)| flag).collect()
}

fn fill(maildir: &Path) -> Result<()> {
    for folder in ["cur", "new", "tmp"] {
        fs::create_dir_all(maildir.join(folder))?;
    }
    for number in 0..MESSAGES {
        let name = format!("1790000000.{number}.host:2,{}", flags(number));
        fs::write(maildir.join("cur").join(name), message(number))?;
    }
    Ok(())
}

/// Flags and bytes of all messages by Message-ID; mbsync's own header field left out.
fn contents(maildir: &Path) -> Result<BTreeMap<String, (String, String)>> {
    let mut all = BTreeMap::new();
    for folder in ["cur", "new"] {
        for entry in fs::read_dir(maildir.join(folder))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let flags = name.split_once(":2,").map(|(_, flags)| flags.to_owned());
            let text = fs::read_to_string(entry.path())?;
            let kept = text.split_inclusive('\n').filter(|line| !line.starts_with("X-TUID: "));
            let text: String = kept.collect();
            let id = text.split("Message-ID: ").nth(1).and_then(|rest| rest.lines().next());
            let id = id.context("a message has lost its Message-ID")?.to_owned();
            let before = all.insert(id.clone(), (flags.unwrap_or_default(), text));
            ensure!(before.is_none(), "{id} is there twice");
        }
    }
    Ok(all)
}

fn mbsync(node: &TestNode, side: &str) -> Result<PathBuf> {
    let folder = node.scratch().join(side);
    fs::create_dir_all(&folder)?;
    let (inbox, rc) = (folder.join("INBOX"), folder.join("mbsyncrc"));
    let text = format!(
        "FSync no\n\nIMAPAccount node\nHost 127.0.0.1\nPort {}\nUser anna\nPass {PASSWORD}\n\
         SSLType IMAPS\nCertificateFile {}\nAuthMechs PLAIN\n\nIMAPStore far\nAccount node\n\n\
         MaildirStore near\nPath {}/\nInbox {}\n\nChannel all\nFar :far:\nNear :near:\n\
         Patterns INBOX\nCreate Both\nExpunge None\nSync All\nSyncState *\nCopyArrivalDate yes\n",
        node.port("imaps").port(),
        // the node's own certificate: its name is not that of the loopback address
        node.data().join("tls/cert.pem").display(),
        folder.display(),
        inbox.display(),
    );
    fs::write(&rc, text)?;
    run("mbsync", &["-q", "-c", &rc.display().to_string(), "-a"])?;
    Ok(inbox)
}

#[test]
fn mbsync_carries_ten_thousand_messages_there_and_back_with_exact_bytes_and_flags() -> Result<()> {
    let node = TestNode::start()?;
    let first = node.scratch().join("first/INBOX");
    fill(&first)?;
    let started = Instant::now();
    mbsync(&node, "first")?;
    let there = started.elapsed();
    let second = mbsync(&node, "second")?;
    println!("{MESSAGES} messages: there {there:?}, back {:?}", started.elapsed() - there);
    let (sent, got) = (contents(&first)?, contents(&second)?);
    ensure!(sent.len() == MESSAGES && got.len() == MESSAGES, "{} {}", sent.len(), got.len());
    for (number, id) in (0..MESSAGES).map(|n| (n, format!("<m{n}@example.test>"))) {
        let expected = (flags(number), message(number));
        ensure!(got.get(&id) == Some(&expected), "{id}: {:?} for {expected:?}", got.get(&id));
    }
    // and a change of flags on one side arrives on the other
    let changed = fs::read_dir(first.join("cur"))?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .find(|name| name.starts_with("1790000000.16.host"))
        .context("message 16 is gone")?;
    let (name, _) = changed.split_once(":2,").context("no flags")?;
    fs::rename(first.join("cur").join(&changed), first.join("cur").join(format!("{name}:2,FS")))?;
    mbsync(&node, "first")?;
    mbsync(&node, "second")?;
    let got = contents(&second)?;
    ensure!(got["<m16@example.test>"].0 == "FS", "{:?}", got["<m16@example.test>"].0);
    Ok(())
}

#[test]
fn python_imaplib_works_through_a_day() -> Result<()> {
    let node = TestNode::start()?;
    let script = clients().join("imap_scenario.py").display().to_string();
    let (port, ca) = (node.port("imaps").port().to_string(), node.ca().display().to_string());
    let output = run("python3", &[&script, "127.0.0.1", &port, "anna", PASSWORD, &ca])?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    print!("{text}");
    ensure!(text.trim_end().ends_with("ok"), "{text}");
    Ok(())
}

/// Puts messages into a folder by curl, which is a client too.
fn append(node: &TestNode, folder: &str, count: usize) -> Result<()> {
    let url = format!("imaps://127.0.0.1:{}/{folder}", node.port("imaps").port());
    let user = format!("anna:{PASSWORD}");
    for number in 0..count {
        let file = node.scratch().join("message");
        fs::write(&file, message(number).replace('\n', "\r\n"))?;
        let file = file.display().to_string();
        run("curl", &["-sS", "-k", "--user", &user, "-T", &file, &url])?;
    }
    Ok(())
}

#[test]
fn curl_appends_lists_searches_and_fetches() -> Result<()> {
    let node = TestNode::start()?;
    append(&node, "Archive", 3)?;
    let base = format!("imaps://localhost:{}/", node.port("imaps").port());
    let (user, archive) = (format!("anna:{PASSWORD}"), format!("{base}Archive"));
    for (url, request, expected) in [
        (base.as_str(), None, "\"Archive\""),
        (base.as_str(), Some("STATUS Archive (MESSAGES UNSEEN)"), "MESSAGES 3"),
        (&format!("{archive}?SUBJECT%20%22message%201%22"), None, "* SEARCH 2"),
        (&format!("{archive};UID=3"), None, "line of 2\r\nline of 2\r\n"),
        (&format!("{archive};UID=1;SECTION=HEADER.FIELDS%20(SUBJECT)"), None, "message 0"),
    ] {
        let mut arguments = vec!["-sS", "-k", "--user", &user, url];
        arguments.extend(request.iter().flat_map(|request| ["-X", *request]));
        let output = run("curl", &arguments)?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(text.contains(expected), "{url} {request:?}: {text}");
    }
    Ok(())
}

/// Opens the folder in a terminal program and has it pipe every message into a file.
fn read_with(program: &str) -> Result<()> {
    let node = TestNode::start()?;
    append(&node, "Archive", 20)?;
    let (rc, out) = (node.scratch().join("rc"), node.scratch().join("out"));
    let port = node.port("imaps").port();
    let text = format!(
        "set folder=\"imaps://localhost:{port}/\"\nset spoolfile=\"imaps://localhost:{port}/Archive\"\n\
         set imap_user=anna\nset imap_pass=\"{PASSWORD}\"\nset ssl_verify_host=no\n\
         set certificate_file=\"{}\"\nset ssl_force_tls=yes\nset header_cache=\"\"\nset wait_key=no\n\
         set pipe_decode=yes\nset quit=yes\n\
         push \"<tag-pattern>~A<enter><tag-prefix><pipe-message>cat >> {}<enter><exit>\"\n",
        node.ca().display(),
        out.display(),
    );
    fs::write(&rc, text)?;
    // a terminal, because these programs insist on one
    let spawn = format!("import pty; pty.spawn(['{program}', '-F', '{}'])", rc.display());
    run("python3", &["-c", &spawn])?;
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let text = fs::read_to_string(&out).unwrap_or_default();
        let found = (0..20).filter(|n| text.lines().any(|l| l == format!("Subject: message {n}")));
        let found = found.count();
        if found == 20 {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "{program} read {found} of 20 messages:\n{text}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn mutt_reads_every_message() -> Result<()> {
    read_with("mutt")
}

#[test]
fn neomutt_reads_every_message() -> Result<()> {
    read_with("neomutt")
}
