//! The whole program as an administrator and strangers meet it.
#![allow(clippy::unwrap_used)] // a test fails by panicking

use std::{
    collections::{BTreeSet, HashMap},
    fs,
    net::TcpStream,
    path::Path,
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use posthouse_tests::{
    node::{NodeOptions, PASSWORD, TestNode, was_killed},
    wire::{Imap, Lines, Smtp},
};

fn message(id: &str) -> String {
    format!(
        "From: <sender@remote.example>\r\nMessage-ID: <{id}>\r\nSubject: {id}\r\n\r\ntext of {id}"
    )
}

fn imap(node: &TestNode, user: &str) -> Imap {
    Imap::sign_on(node.port("imaps"), &node.ca(), user, PASSWORD).unwrap()
}

#[test]
fn the_self_check_passes_and_leaves_nothing_behind() {
    let node = TestNode::start().unwrap();
    let output = node.command(["check"]).unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(text.matches("[ok  ]").count(), 4, "{text}");
    let users = node.json(["user", "list"]).unwrap();
    assert_eq!(users["total"], 4, "{users}");
}

#[test]
fn a_stopped_node_goes_on_with_what_was_there() {
    let mut node = TestNode::start().unwrap();
    let reply = Smtp::connect(node.port("smtp"))
        .unwrap()
        .deliver("team@example.test", &message("one"))
        .unwrap();
    assert!(reply.starts_with("250"), "{reply}");
    assert!(node.stop().unwrap().success());
    node.spawn().unwrap();
    for user in ["anna", "bob", "chen"] {
        assert_eq!(imap(&node, user).message_ids("INBOX").unwrap(), ["one"], "{user}");
    }
}

#[test]
fn a_folder_in_use_is_refused_with_the_cause() {
    let node = TestNode::start().unwrap();
    let output = Command::new(posthouse_tests::node::program())
        .args(["run", "--listen", "free", "--data"])
        .arg(node.data())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    assert!(text.contains("in use"), "{text}");
}

#[test]
fn setting_up_twice_is_refused_and_changes_nothing() {
    let mut node = TestNode::start().unwrap();
    node.stop().unwrap();
    let output = Command::new(posthouse_tests::node::program())
        .args(["setup", "--answers"])
        .arg(node.scratch().join("answers.toml"))
        .arg("--data")
        .arg(node.data())
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("set up already"));
    node.spawn().unwrap();
    assert_eq!(node.json(["user", "list"]).unwrap()["total"], 4);
}

/// Delivers with several clients until told to stop; returns the ids that were acknowledged.
fn deliver_until(
    node: &TestNode,
    stop: &Arc<AtomicBool>,
    round: usize,
) -> Vec<std::thread::JoinHandle<Vec<String>>> {
    let address = node.port("smtp");
    (0..4)
        .map(|client| {
            let stop = stop.clone();
            std::thread::spawn(move || {
                let mut acknowledged = Vec::new();
                let Ok(mut smtp) = Smtp::connect(address) else { return acknowledged };
                for number in 0.. {
                    if stop.load(Ordering::SeqCst) {
                        break;
                    }
                    let id = format!("{round}-{client}-{number}");
                    match smtp.deliver("anna@example.test", &message(&id)) {
                        Ok(reply) if reply.starts_with("250") => acknowledged.push(id),
                        _ => break,
                    }
                }
                acknowledged
            })
        })
        .collect()
}

#[test]
fn nothing_acknowledged_is_lost_or_doubled_when_the_program_is_killed() {
    let mut node = TestNode::start().unwrap();
    let mut acknowledged = Vec::new();
    for round in 0..8 {
        let stop = Arc::new(AtomicBool::new(false));
        let clients = deliver_until(&node, &stop, round);
        std::thread::sleep(Duration::from_millis(40 + 35 * round as u64));
        assert!(was_killed(node.kill().unwrap()));
        stop.store(true, Ordering::SeqCst);
        for client in clients {
            acknowledged.extend(client.join().unwrap());
        }
        node.spawn().unwrap();
    }
    let mut times: HashMap<String, usize> = HashMap::new();
    for id in imap(&node, "anna").message_ids("INBOX").unwrap() {
        *times.entry(id).or_default() += 1;
    }
    assert!(acknowledged.len() > 50, "only {} messages were acknowledged", acknowledged.len());
    for id in &acknowledged {
        assert_eq!(times.get(id), Some(&1), "{id}");
    }
    let doubled: Vec<_> = times.iter().filter(|(_, times)| **times > 1).collect();
    assert!(doubled.is_empty(), "{doubled:?}");
}

/// Ports that a process listens on, from /proc.
fn listening(pid: u32) -> BTreeSet<u16> {
    let sockets: BTreeSet<String> = fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok()?.to_str().map(str::to_owned))
        .filter_map(|link| link.strip_prefix("socket:[")?.strip_suffix(']').map(str::to_owned))
        .collect();
    let mut ports = BTreeSet::new();
    for table in ["tcp", "tcp6", "udp", "udp6"] {
        for line in fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap().lines().skip(1)
        {
            let fields: Vec<_> = line.split_whitespace().collect();
            // 0A is LISTEN; a UDP socket that is only asked with is connected (01)
            let open = if table.starts_with("tcp") { fields[3] == "0A" } else { fields[3] == "07" };
            if open && sockets.contains(fields[9]) {
                ports.insert(
                    u16::from_str_radix(fields[1].rsplit(':').next().unwrap(), 16).unwrap(),
                );
            }
        }
    }
    ports
}

#[test]
fn only_the_documented_ports_are_open_before_and_after_set_up() {
    let waiting =
        TestNode::with(NodeOptions { no_answers: true, ..NodeOptions::default() }).unwrap();
    assert_eq!(listening(waiting.pid()), [waiting.port("admin").port()].into());
    let node = TestNode::start().unwrap();
    let documented: BTreeSet<u16> = node.ports.values().map(|address| address.port()).collect();
    assert_eq!(documented.len(), 11);
    assert_eq!(listening(node.pid()), documented);
}

#[test]
fn a_new_node_has_no_account_to_guess() {
    let waiting =
        TestNode::with(NodeOptions { no_answers: true, ..NodeOptions::default() }).unwrap();
    let log = waiting.wait_for_log(&["give this code"]).unwrap();
    let code = log.rsplit(' ').next().unwrap();
    assert_eq!(code.len(), 14, "{log}");
    let other = TestNode::with(NodeOptions { no_answers: true, ..NodeOptions::default() }).unwrap();
    let other = other.wait_for_log(&["give this code"]).unwrap();
    assert_ne!(other.rsplit(' ').next().unwrap(), code, "every node has a code of its own");
}

const CANARY: &str = "canary-Secret-7351";

#[test]
fn passwords_and_control_characters_do_not_reach_the_log() {
    let options = NodeOptions {
        environment: vec![("POSTHOUSE_LOG".into(), "trace".into())],
        ..NodeOptions::default()
    };
    let node = TestNode::with(options).unwrap();
    let mut imap = Imap(Lines::tls(node.port("imaps"), &node.ca()).unwrap());
    imap.0.line().unwrap();
    for name in ["anna", "nobody", "\"an\x1b[2Jna\""] {
        let answer = imap.command(&format!("LOGIN {name} {CANARY}")).unwrap();
        assert!(
            answer.last().unwrap().starts_with("t NO")
                || answer.last().unwrap().starts_with("t BAD")
        );
    }
    let mut smtp = Smtp::connect(node.port("smtp")).unwrap();
    for line in [
        "EHLO \x1b]0;evil\x07",
        "MAIL FROM:<a\x1b[31m@remote.example>",
        "RCPT TO:<\x00x@example.test>",
    ] {
        smtp.command(line).unwrap();
    }
    let output = node.command(["user", "add", "eve", "--generate-password", "--json"]).unwrap();
    let made: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let generated = made["password"].as_str().unwrap().to_owned();
    let log = node.log();
    assert!(
        log.contains("sign-on failed") || log.contains("wrong"),
        "the failures are logged: {log}"
    );
    for secret in [CANARY, PASSWORD, &generated] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
    assert!(!log.contains('\x1b') && !log.contains('\x07') && !log.contains('\0'));
}

#[test]
fn clients_that_never_finish_do_not_keep_others_from_being_served() {
    let node = TestNode::start().unwrap();
    let mut idle = Vec::new();
    for name in ["smtp", "submission", "imap", "imaps", "ldap", "ldaps", "https", "admin"] {
        for _ in 0..40 {
            let mut stream = TcpStream::connect(node.port(name)).unwrap();
            std::io::Write::write_all(&mut stream, b"E").unwrap();
            idle.push(stream);
        }
    }
    let begin = Instant::now();
    let output = node.command(["check"]).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(begin.elapsed() < Duration::from_secs(15), "{:?}", begin.elapsed());
    let memory = fs::read_to_string(format!("/proc/{}/status", node.pid())).unwrap();
    let resident = memory.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    let kilobytes: u64 = resident.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(kilobytes < 500_000, "{resident}");
}

/// A small file system of its own, so that it can be full.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn new(megabytes: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let size = format!("size={megabytes}m");
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(folder.path())
            .status()
            .unwrap();
        assert!(status.success(), "mounting a tmpfs needs root");
        Self(folder)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_defers_mail_keeps_what_was_there_and_recovers() {
    let disk = SmallDisk::new(700);
    let data = disk.path().join("data");
    let node = TestNode::with(NodeOptions { data: Some(data), ..NodeOptions::default() }).unwrap();
    let deliver = |id: &str| {
        Smtp::connect(node.port("smtp"))
            .unwrap()
            .deliver("anna@example.test", &message(id))
            .unwrap()
    };
    assert!(deliver("before").starts_with("250"));
    let ballast = disk.path().join("ballast");
    // fills what is left; the copy fails at the end, as it should
    let _ = Command::new("cp")
        .arg("/dev/zero")
        .arg(&ballast)
        .stderr(std::process::Stdio::null())
        .status();
    let deadline = Instant::now() + Duration::from_secs(30);
    let refused = loop {
        let reply = deliver("while full");
        if reply.starts_with('4') || Instant::now() > deadline {
            break reply;
        }
    };
    assert!(refused.starts_with("452") || refused.starts_with("451"), "{refused}");
    assert!(imap(&node, "anna").message_ids("INBOX").unwrap().contains(&"before".to_owned()));
    node.wait_for_log(&["full"]).unwrap();
    fs::remove_file(&ballast).unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let reply = deliver("after");
        if reply.starts_with("250") {
            break;
        }
        assert!(Instant::now() < deadline, "it does not recover: {reply}\n{}", node.log());
        std::thread::sleep(Duration::from_millis(100));
    }
    let ids = imap(&node, "anna").message_ids("INBOX").unwrap();
    assert!(ids.contains(&"after".to_owned()), "{ids:?}");
}

/// Flips a bit in the middle of the first place where `needle` stands in a file below `folder`; the file's name.
fn spoil(folder: &Path, needle: &[u8]) -> Option<String> {
    for entry in fs::read_dir(folder).ok()? {
        let path = entry.ok()?.path();
        if path.is_dir() {
            if let Some(found) = spoil(&path, needle) {
                return Some(found);
            }
            continue;
        }
        let mut bytes = fs::read(&path).ok()?;
        if let Some(at) = bytes.windows(needle.len()).position(|window| window == needle) {
            bytes[at + needle.len() / 2] ^= 1;
            fs::write(&path, bytes).ok()?;
            return Some(path.display().to_string());
        }
    }
    None
}

#[test]
fn a_flipped_bit_in_a_body_is_found_and_never_served() {
    let mut node = TestNode::start().unwrap();
    let large = format!(
        "{}\r\n{}NEEDLE-IN-THE-BODY\r\n",
        message("large"),
        "0123456789abcdef\r\n".repeat(4000)
    );
    let reply =
        Smtp::connect(node.port("smtp")).unwrap().deliver("anna@example.test", &large).unwrap();
    assert!(reply.starts_with("250"), "{reply}");
    node.stop().unwrap();
    let spoiled =
        spoil(&node.data().join("store-1"), b"NEEDLE-IN-THE-BODY").expect("the body is on disk");
    node.spawn().unwrap();
    let mut imap = imap(&node, "anna");
    imap.ok("SELECT INBOX").unwrap();
    let answer = imap.command("FETCH 1 BODY.PEEK[]").unwrap();
    let text = answer.join("\n");
    assert!(
        !text.contains("NEEDLE") && !text.contains("IN-THE-BODY"),
        "a damaged body was served from {spoiled}"
    );
    assert!(answer.last().unwrap().starts_with("t NO"), "{:?}", answer.last());
    node.wait_for_log(&["damaged"]).unwrap();
    let reply = Smtp::connect(node.port("smtp"))
        .unwrap()
        .deliver("anna@example.test", &message("next"))
        .unwrap();
    assert!(reply.starts_with("250"), "{reply}");
}

#[test]
fn a_log_that_is_damaged_before_its_end_is_refused_with_the_place() {
    let mut node = TestNode::start().unwrap();
    let mut smtp = Smtp::connect(node.port("smtp")).unwrap();
    for number in 0..20 {
        let reply =
            smtp.deliver("anna@example.test", &message(&format!("NEEDLE-{number:04}"))).unwrap();
        assert!(reply.starts_with("250"), "{reply}");
    }
    // killed, so that the log is still needed
    node.kill().unwrap();
    spoil(&node.data().join("log"), b"NEEDLE-0003").expect("the message is in the log");
    let error = node.spawn().unwrap_err().to_string();
    assert!(error.contains("damaged") && error.contains("offset"), "{error}");
}

#[test]
fn every_answer_to_a_stranger_is_the_same_for_known_and_unknown_names() {
    let node = TestNode::start().unwrap();
    let answers = Mutex::new(BTreeSet::new());
    for name in ["anna", "nobody"] {
        let mut imap = Imap(Lines::tls(node.port("imaps"), &node.ca()).unwrap());
        imap.0.line().unwrap();
        let answer = imap.command(&format!("LOGIN {name} wrong-password-1")).unwrap();
        answers.lock().unwrap().insert(answer.join("\n"));
    }
    assert_eq!(answers.lock().unwrap().len(), 1, "{answers:?}");
}
