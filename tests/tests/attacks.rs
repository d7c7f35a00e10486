//! Attacks on the whole program, and the table of all of them: docs/attacks.md.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use posthouse_tests::{
    node::{NodeOptions, PASSWORD, TestNode},
    wire::{Imap, Lines, Smtp},
};
use serde_json::{Value, json};

/// Attacks on what a node of today has.
const REQUIRED: &[u32] = &[
    1, 2, 3, 4, 5, 6, 8, 9, 11, 13, 19, 20, 21, 22, 23, 27, 28, 29, 30, 32, 35, 36, 37, 38, 39, 40,
    41, 42, 43, 44, 45, 46, 48, 50,
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The tests that the table names for each attack, as `file::name`.
fn named_tests(table: &str) -> BTreeMap<u32, Vec<(String, String)>> {
    let mut named: BTreeMap<u32, Vec<_>> = BTreeMap::new();
    for row in table.lines().filter_map(|line| line.strip_prefix("| A")) {
        let (number, rest) = row.split_once('|').unwrap();
        let tests = rest.split('`').filter_map(|text| text.split_once(".rs::"));
        let tests = tests.map(|(file, test)| (format!("{file}.rs"), test.to_owned()));
        // The heading begins with an A, too.
        if let Ok(number) = number.trim().parse() {
            named.entry(number).or_default().extend(tests);
        }
    }
    named
}

/// Whether the file has a test function of this name.
fn has_test(text: &str, name: &str) -> bool {
    let Some(at) = text.find(&format!("fn {name}(")) else { return false };
    let before = &text[..at];
    let attributes = &before[before.rfind("\n}").unwrap_or(0)..];
    attributes.contains("#[test]") || attributes.contains("#[tokio::test")
}

#[test]
fn every_attack_in_the_table_has_tests_that_exist() {
    let named = named_tests(&fs::read_to_string(root().join("docs/attacks.md")).unwrap());
    for attack in REQUIRED {
        assert!(named.get(attack).is_some_and(|tests| !tests.is_empty()), "A{attack} has no test");
    }
    for (attack, tests) in named {
        for (file, test) in tests {
            let text = fs::read_to_string(root().join(&file));
            let text = text.unwrap_or_else(|error| panic!("A{attack}: {file}: {error}"));
            assert!(has_test(&text, &test), "A{attack}: {file} has no test {test}");
        }
    }
}

#[test]
fn a_missing_or_renamed_test_would_be_found() {
    let table = "| A7 | x | `a.rs::there`, `b.rs::gone` |\n| A8 | none |\n";
    let named = named_tests(table);
    assert_eq!(named[&7], [("a.rs".into(), "there".into()), ("b.rs".into(), "gone".into())]);
    assert!(named[&8].is_empty());
    let text = "#[test]\nfn there() {\n}\n\nfn helper() {}\n";
    assert!(has_test(text, "there") && !has_test(text, "helper") && !has_test(text, "gone"));
}

fn message(id: &str) -> String {
    format!(
        "From: <sender@remote.example>\r\nMessage-ID: <{id}>\r\nSubject: {id}\r\n\r\ntext of {id}"
    )
}

fn imap(node: &TestNode, user: &str) -> Imap {
    Imap::sign_on(node.port("imaps"), &node.ca(), user, PASSWORD).unwrap()
}

/// One request of HTTP; head and body of the answer.
fn http(node: &TestNode, method: &str, path: &str, cookie: &str, body: &Value) -> String {
    let body = body.to_string();
    let mut lines = Lines::tls(node.port("admin"), &node.ca()).unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-Posthouse-Request: 1\r\n\
         Cookie: {cookie}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    lines.send(head.as_bytes()).unwrap();
    let mut answer = String::new();
    while let Ok(line) = lines.line() {
        answer += &line;
        answer.push('\n');
    }
    answer
}

fn cookie(answer: &str) -> String {
    let line = answer.lines().find(|line| line.to_lowercase().starts_with("set-cookie:"));
    let value = line.unwrap_or_else(|| panic!("no cookie: {answer}")).split_once(':').unwrap().1;
    value.trim().split(';').next().unwrap().to_owned()
}

fn ldapsearch(node: &TestNode, service: &str, options: &[&str]) -> Output {
    let scheme = if service == "ldaps" { "ldaps" } else { "ldap" };
    Command::new("ldapsearch")
        .env("LDAPTLS_CACERT", node.ca())
        .env("LDAPRC", "none")
        .args(["-LLL", "-x", "-b", "", "-H"])
        .arg(format!("{scheme}://127.0.0.1:{}", node.port(service).port()))
        .args(options)
        .args(["(mail=*)", "mail"])
        .output()
        .expect("ldapsearch starts: install ldap-utils")
}

/// A4
#[test]
fn a_password_is_neither_invited_nor_taken_before_tls() {
    let node = TestNode::start().unwrap();
    let mut clear = Imap(Lines::plain(node.port("imap")).unwrap());
    let greeting = clear.0.line().unwrap();
    assert!(greeting.starts_with("* OK"), "never PREAUTH: {greeting}");
    let offered = clear.ok("CAPABILITY").unwrap().join("\n");
    assert!(offered.contains("LOGINDISABLED") && !offered.contains("AUTH=PLAIN"), "{offered}");
    let answer = clear.command(&format!("LOGIN anna {PASSWORD}")).unwrap();
    assert!(!answer.last().unwrap().starts_with("t OK"), "{answer:?}");

    for service in ["smtp", "submission"] {
        let mut smtp = Smtp::connect(node.port(service)).unwrap();
        // \0anna\0 and the right password
        let reply = smtp.command("AUTH PLAIN AGFubmEAQ29ycmVjdC1Ib3JzZS05LUJhdHRlcnk=").unwrap();
        assert!(reply.starts_with('5'), "{service}: {reply}");
    }
    let who = ["-D", "anna@example.test", "-w", PASSWORD];
    let output = ldapsearch(&node, "ldap", &who);
    assert_eq!(output.status.code(), Some(13), "confidentialityRequired: {output:?}");

    // The same password is good under TLS: it was not refused for itself.
    imap(&node, "anna");
    assert_eq!(ldapsearch(&node, "ldaps", &who).status.code(), Some(0));
}

/// A8
#[test]
fn control_characters_in_names_and_addresses_make_no_header_and_no_line() {
    let node = TestNode::start().unwrap();
    for (line, good) in [
        ("MAIL FROM:<a\rb@remote.example>", false),
        ("MAIL FROM:<a\0b@remote.example>", false),
        ("MAIL FROM:<\"a\x01b\"@remote.example>", false),
        ("MAIL FROM:<\u{e9}@remote.example>", false),
        ("MAIL FROM:<a@remote.example> X=\x7f", false),
        ("MAIL FROM:<a@remote.example>", true),
        ("RCPT TO:<anna\r@example.test>", false),
        ("RCPT TO:<anna\0@example.test>", false),
        ("RCPT TO:<anna@example.test>", true),
    ] {
        let mut smtp = Smtp::connect(node.port("smtp")).unwrap();
        if line.starts_with("RCPT") {
            smtp.command("MAIL FROM:<a@remote.example>").unwrap();
        }
        let reply = smtp.command(line).unwrap();
        let code = if good { '2' } else { '5' };
        assert!(reply.starts_with(code), "{line:?}: {reply}");
    }
    let mut smtp = Smtp(Lines::plain(node.port("smtp")).unwrap());
    smtp.reply().unwrap();
    smtp.command("EHLO evil.example\tX-Evil:\x0b1").unwrap();
    smtp.command("HELO evil.example (x) by trusted.example").unwrap();
    smtp.command("EHLO client.example").unwrap();
    assert!(smtp.deliver("anna@example.test", &message("one")).unwrap().starts_with("250"));
    let mut reader = imap(&node, "anna");
    reader.ok("SELECT INBOX").unwrap();
    let mail = reader.ok("FETCH 1 BODY.PEEK[]").unwrap().join("\n");
    let (head, body) = mail.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("Received:") && !head.contains("X-Evil") && !head.contains("trusted"));
    assert!(!head.replace("\r\n", "").replace('\t', "").contains(char::is_control), "{head:?}");
    assert!(body.starts_with("text of one"), "one block of headers: {mail}");

    let admin = json!({"name": "admin", "password": PASSWORD});
    let session = cookie(&http(&node, "POST", "/api/v1/session", "", &admin));
    for field in ["name", "display_name"] {
        for text in ["a\r\nBcc: x@x.test", "a\nb", "a\0b", "a\x1b[2J"] {
            let mut user = json!({"name": "eve"});
            user[field] = json!(text);
            let answer = http(&node, "POST", "/api/v1/users", &session, &user);
            assert!(answer.starts_with("HTTP/1.1 422"), "{field} {text:?}: {answer}");
        }
    }
}

/// A20
#[test]
fn names_with_wildcards_or_filter_characters_sign_nobody_on() {
    let node = TestNode::start().unwrap();
    for name in ["*", "ann*", "anna)(uid=*", "anna)(|(cn=*", "\\61nna", "uid=*", "anna,cn=*"] {
        let mut client = Imap(Lines::tls(node.port("imaps"), &node.ca()).unwrap());
        client.0.line().unwrap();
        let quoted = name.replace('\\', "\\\\");
        let answer = client.command(&format!("LOGIN \"{quoted}\" {PASSWORD}")).unwrap();
        assert!(answer.last().unwrap().starts_with("t NO"), "IMAP {name}: {answer:?}");
        let output = ldapsearch(&node, "ldaps", &["-D", name, "-w", PASSWORD]);
        assert!(matches!(output.status.code(), Some(34 | 49)), "LDAP {name}: {output:?}");
        assert!(output.stdout.is_empty(), "LDAP {name}");
        let form = json!({"name": name, "password": PASSWORD});
        let answer = http(&node, "POST", "/api/v1/session", "", &form);
        assert!(answer.starts_with("HTTP/1.1 401"), "HTTP {name}: {answer}");
    }
    // Searches are escaped on our side, too: a text is found as it stands, or not at all.
    let found = node.json(["user", "list", "*"]).unwrap();
    assert_eq!(found["total"], 0, "{found}");
}

/// A server with TLS that answers every bind in the same way and counts what it gets to read.
struct FakeController {
    address: SocketAddr,
    ca: String,
    heard: mpsc::Receiver<Vec<u8>>,
}

impl FakeController {
    fn start(bind_answer: Vec<u8>) -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let key = rustls::pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key.into())
            .unwrap();
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (send, heard) = mpsc::channel();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let connection = rustls::ServerConnection::new(config.clone()).unwrap();
                let mut tls = rustls::StreamOwned::new(connection, stream);
                let mut bytes = vec![0; 4096];
                let length = tls.read(&mut bytes).unwrap_or(0);
                bytes.truncate(length);
                let _ = tls.write_all(&bind_answer);
                let _ = tls.flush();
                if send.send(bytes).is_err() {
                    return;
                }
            }
        });
        Self { address, ca: made.cert.pem(), heard }
    }

    fn controller(&self) -> String {
        format!("localhost:{}", self.address.port())
    }
}

const BIND_CANARY: &str = "canary-Bind-Secret-4410";

fn preview(node: &TestNode, source: &Value) -> String {
    let path = node.scratch().join("source.toml");
    let text: String = source
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, value)| format!("{name} = {}\n", serde_json::to_string(value).unwrap()))
        .collect();
    fs::write(&path, text).unwrap();
    let output = node.command(["source", "add", "--dry-run", path.to_str().unwrap()]).unwrap();
    fs::remove_file(path).unwrap();
    assert!(!output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A22
#[test]
fn a_false_controller_never_hears_the_password_and_no_referral_is_followed_with_it() {
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    elsewhere.set_nonblocking(true).unwrap();
    let url = format!("ldap://127.0.0.1:{}", elsewhere.local_addr().unwrap().port());
    // BindResponse, result 10 (referral), with the URL of another server (RFC 4511 §4.1.9)
    let referral = [&[0x04, url.len() as u8][..], url.as_bytes()].concat();
    let result = [&[0x0a, 1, 10, 4, 0, 4, 0, 0xa3, referral.len() as u8][..], &referral].concat();
    let op = [&[2, 1, 1, 0x61, result.len() as u8][..], &result].concat();
    let answer = [&[0x30, op.len() as u8][..], &op].concat();

    let node = TestNode::start().unwrap();
    let (asked, other) = (FakeController::start(answer), FakeController::start(Vec::new()));
    let source = |controller: String, tls: &str, ca: &str| {
        json!({
            "name": "AD", "directory_domain": "ad.example.test", "controllers": [controller],
            "bind_name": "reader@ad.example.test", "bind_password": BIND_CANARY, "tls": tls, "ca": ca,
        })
    };
    for ca in [other.ca.as_str(), ""] {
        let error = preview(&node, &source(asked.controller(), "ldaps", ca));
        assert!(error.contains("trusted"), "{error}");
        let heard = asked.heard.recv_timeout(Duration::from_secs(10)).unwrap();
        assert_eq!(heard, b"", "a controller with a strange certificate heard something");
    }
    // With a good certificate the password is said, and the referral is not followed.
    let error = preview(&node, &source(asked.controller(), "ldaps", &asked.ca));
    let heard = asked.heard.recv_timeout(Duration::from_secs(10)).unwrap();
    assert!(String::from_utf8_lossy(&heard).contains(BIND_CANARY), "the test hears passwords");
    assert!(error.contains("10") && !error.contains(BIND_CANARY), "{error}");
    assert!(elsewhere.accept().is_err(), "the referral was followed");

    // Somebody who says that there is no TLS here hears nothing in the clear.
    let stripping = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = stripping.local_addr().unwrap().port();
    let heard = std::thread::spawn(move || {
        let (mut stream, _) = stripping.accept().unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut all = vec![0; 4096];
        let length = stream.read(&mut all).unwrap();
        all.truncate(length);
        // ExtendedResponse, protocolError
        stream.write_all(&[0x30, 12, 2, 1, 1, 0x78, 7, 0x0a, 1, 2, 4, 0, 4, 0]).unwrap();
        let _ = stream.read_to_end(&mut all);
        all
    });
    preview(&node, &source(format!("localhost:{port}"), "start_tls", &asked.ca));
    let heard = heard.join().unwrap();
    assert!(!heard.is_empty() && !String::from_utf8_lossy(&heard).contains(BIND_CANARY));
}

/// A23
#[test]
fn who_is_disabled_is_out_of_open_connections_and_sessions() {
    let node = TestNode::start().unwrap();
    let mut idle = imap(&node, "anna");
    idle.ok("SELECT INBOX").unwrap();
    idle.0.send(b"i IDLE\r\n").unwrap();
    assert!(idle.0.line().unwrap().starts_with('+'));
    let anna = json!({"name": "anna", "password": PASSWORD});
    let session = cookie(&http(&node, "POST", "/api/v1/session", "", &anna));
    let who = |session: &str| http(&node, "GET", "/api/v1/session", session, &Value::Null);
    assert!(who(&session).starts_with("HTTP/1.1 200"));

    assert!(node.command(["user", "disable", "anna"]).unwrap().status.success());
    let begin = Instant::now();
    assert!(who(&session).starts_with("HTTP/1.1 401"), "the web session has ended");
    let line = idle.0.line().unwrap();
    assert!(line.starts_with("* BYE"), "{line}");
    assert!(begin.elapsed() < Duration::from_secs(15), "{:?}", begin.elapsed());
    assert!(Imap::sign_on(node.port("imaps"), &node.ca(), "anna", PASSWORD).is_err());
    let answer = http(&node, "POST", "/api/v1/session", "", &anna);
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    let reply =
        Smtp::connect(node.port("smtp")).unwrap().deliver("anna@example.test", &message("m"));
    assert!(reply.unwrap().starts_with("250"), "mail is kept for whoever comes back");
}

/// A35
#[test]
fn after_a_restart_of_the_set_up_neither_the_old_code_nor_the_old_cookie_opens_it() {
    let mut node =
        TestNode::with(NodeOptions { no_answers: true, ..NodeOptions::default() }).unwrap();
    let line = node.wait_for_log(&["give this code"]).unwrap();
    let code = line.rsplit(' ').next().unwrap().to_owned();
    let give = |node: &TestNode, cookie: &str, code: &str| {
        http(node, "POST", "/api/v1/setup/code", cookie, &json!({ "code": code }))
    };
    let opened = give(&node, "", &code);
    assert!(opened.starts_with("HTTP/1.1 204"), "{opened}");
    let inside = cookie(&opened);
    let second = give(&node, "", &code);
    assert!(second.starts_with("HTTP/1.1 409"), "one browser only: {second}");
    let stage = |node: &TestNode| http(node, "GET", "/api/v1/setup", &inside, &Value::Null);
    assert!(stage(&node).contains("\"stage\":\"form\""), "{}", stage(&node));

    node.kill().unwrap();
    node.spawn().unwrap();
    assert!(stage(&node).contains("\"stage\":\"code\""), "{}", stage(&node));
    let answer = give(&node, &inside, &code);
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    for path in ["/api/v1/users", "/api/v1/session", "/metrics"] {
        let answer = http(&node, "GET", path, &inside, &Value::Null);
        assert!(
            !answer.starts_with("HTTP/1.1 200") || answer.contains("<html"),
            "{path}: {answer}"
        );
    }
}

/// Files below a folder that hold `needle`.
fn files_with(folder: &Path, needle: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_with(&path, needle));
        } else if fs::read(&path).is_ok_and(|bytes| {
            bytes.windows(needle.len()).any(|window| window == needle.as_bytes())
        }) {
            found.push(path);
        }
    }
    found
}

/// A36 and A48
#[test]
fn planted_secrets_are_in_no_file_log_line_or_answer() {
    const SIGN_ON: &str = "canary-Sign-On-9982";
    let options = NodeOptions {
        environment: vec![("POSTHOUSE_LOG".into(), "trace,ldap3_proto=trace,ldap3=trace".into())],
        ..NodeOptions::default()
    };
    let mut node = TestNode::with(options).unwrap();
    let source = node.scratch().join("source.toml");
    let text = format!(
        "name = 'AD'\ndirectory_domain = 'ad.example.test'\ncontrollers = ['127.0.0.1:9']\n\
         bind_name = 'reader@ad.example.test'\nbind_password = '{BIND_CANARY}'\n"
    );
    fs::write(&source, text).unwrap();
    let added = node.command(["source", "add", source.to_str().unwrap(), "--json"]).unwrap();
    fs::remove_file(&source).unwrap();
    assert!(added.status.success(), "{added:?}");
    for (who, password, code) in
        [("anna@example.test", PASSWORD, 0), ("anna@example.test", SIGN_ON, 49), ("x", SIGN_ON, 49)]
    {
        let output = ldapsearch(&node, "ldaps", &["-D", who, "-w", password]);
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        http(&node, "POST", "/api/v1/session", "", &json!({"name": who, "password": password}));
        let _ = Imap::sign_on(node.port("imaps"), &node.ca(), who, password);
    }
    let mut answers = String::from_utf8_lossy(&added.stdout).into_owned();
    for words in [
        &["source", "list"][..],
        &["user", "show", "anna"],
        &["user", "list"],
        &["auth", "explain"],
    ] {
        let output = node.command(words.iter().copied().chain(["--json"])).unwrap();
        assert!(output.status.success(), "{words:?}: {output:?}");
        answers += &String::from_utf8_lossy(&output.stdout);
    }
    let admin = cookie(&http(
        &node,
        "POST",
        "/api/v1/session",
        "",
        &json!({"name": "admin", "password": PASSWORD}),
    ));
    for path in ["sources", "settings", "audit", "failures", "users", "status"] {
        let answer = http(&node, "GET", &format!("/api/v1/{path}"), &admin, &Value::Null);
        assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
        answers += &answer;
    }
    node.stop().unwrap();
    let log = node.log();
    assert!(log.contains(" TRACE ") || log.contains("TRACE"), "the log is at its loudest");
    for secret in [PASSWORD, BIND_CANARY, SIGN_ON] {
        // As text, and as debug output shows bytes.
        let list = format!("{:?}", secret.as_bytes());
        let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
        for form in [secret, list.trim_matches(['[', ']']), &hex] {
            assert!(!log.contains(form), "{secret} is in the log as {form}");
            assert!(!answers.contains(form), "{secret} is in an answer as {form}");
        }
        assert_eq!(files_with(node.data(), secret), Vec::<PathBuf>::new(), "{secret}");
    }
    assert!(!files_with(node.data(), "anna").is_empty(), "the test finds what is there");
}

/// Lets the next sync of every thread of a running node fail.
struct BadDisk(Child);

impl BadDisk {
    fn attach(pid: u32, report: &Path) -> Self {
        let child = Command::new("strace")
            .args(["-f", "-p", &pid.to_string(), "-e", "trace=fdatasync,fsync"])
            .args(["-e", "inject=fdatasync,fsync:error=EIO:when=1", "-o"])
            .arg(report)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("strace starts: install strace");
        let deadline = Instant::now() + Duration::from_secs(10);
        let traced = || {
            let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
            tasks.filter_map(|task| fs::read_to_string(task.path().join("status")).ok()).all(
                |status| {
                    status.lines().any(|line| {
                        line.strip_prefix("TracerPid:").is_some_and(|id| id.trim() != "0")
                    })
                },
            )
        };
        while !traced() {
            assert!(Instant::now() < deadline, "strace does not attach: it needs root");
            std::thread::sleep(Duration::from_millis(5));
        }
        Self(child)
    }

    fn detach(mut self) {
        let pid = nix::unistd::Pid::from_raw(self.0.id() as i32);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for BadDisk {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A44
#[test]
fn a_sync_that_failed_once_is_never_taken_for_done() {
    let mut node = TestNode::start().unwrap();
    let deliver = |node: &TestNode, id: &str| {
        let client = Smtp::connect(node.port("smtp"));
        client.and_then(|mut smtp| smtp.deliver("anna@example.test", &message(id)))
    };
    assert!(deliver(&node, "before").unwrap().starts_with("250"));
    let report = node.scratch().join("strace");
    let disk = BadDisk::attach(node.pid(), &report);
    let failed = deliver(&node, "while the disk fails");
    disk.detach();
    let injected = fs::read_to_string(&report).unwrap();
    assert!(injected.contains("EIO") && injected.contains("INJECTED"), "{injected}");
    if let Ok(reply) = &failed {
        assert!(reply.starts_with('4'), "no 250 without a sync: {reply}");
    }
    // The disk is fine again, but what the kernel threw away nobody knows: nothing more is taken until a restart.
    if let Ok(reply) = deliver(&node, "after it failed") {
        assert!(!reply.starts_with("250"), "{reply}\n{}", node.log());
    }
    assert!(
        node.log().to_lowercase().contains("i/o error") || node.log().contains("os error 5"),
        "{}",
        node.log()
    );
    let _ = node.kill();
    node.spawn().unwrap();
    assert!(deliver(&node, "restarted").unwrap().starts_with("250"));
    let ids = imap(&node, "anna").message_ids("INBOX").unwrap();
    let count = |id: &str| ids.iter().filter(|found| *found == id).count();
    assert_eq!((count("before"), count("restarted")), (1, 1), "{ids:?}");
    assert!(count("while the disk fails") <= 1, "{ids:?}");
}

/// A48
#[test]
fn a_line_of_the_log_cannot_be_forged_by_names_from_outside() {
    let node = TestNode::start().unwrap();
    let forged = "x\r\n2026-01-01T00:00:00Z  INFO security: signed on name=admin\x1b[2K";
    let form = json!({"name": forged, "password": "wrong"});
    http(&node, "POST", "/api/v1/session", "", &form);
    let mut smtp = Smtp::connect(node.port("smtp")).unwrap();
    smtp.command("MAIL FROM:<a@remote.example>").unwrap();
    smtp.command("RCPT TO:<\"x\x1b[2K\"@example.test>").unwrap();
    http(&node, "DELETE", "/api/v1/users/%0d%0aforged", "", &Value::Null);
    node.wait_for_log(&["sign-on refused"]).unwrap();
    let log = node.log();
    assert!(!log.lines().any(|line| line.starts_with("2026-01-01T")), "{log}");
    assert!(!log.lines().any(|line| line.starts_with("forged")) && !log.contains('\x1b'), "{log}");
}

/// A28
#[test]
fn guesses_by_all_protocols_count_together_and_lock_nobody_else_out() {
    let node = TestNode::start().unwrap();
    let tried = AtomicUsize::new(0);
    let guess = |service: &str| {
        let password = format!("wrong-{}", tried.fetch_add(1, Ordering::Relaxed));
        match service {
            "imaps" => {
                _ = Imap::sign_on(node.port("imaps"), &node.ca(), "anna", &password);
            }
            "ldaps" => _ = ldapsearch(&node, "ldaps", &["-D", "anna", "-w", &password]),
            _ => {
                let form = json!({"name": "anna", "password": password});
                http(&node, "POST", "/api/v1/session", "", &form);
            }
        }
    };
    for _ in 0..4 {
        for service in ["imaps", "ldaps", "admin"] {
            guess(service);
        }
    }
    let locked = Imap::sign_on(node.port("imaps"), &node.ca(), "anna", PASSWORD);
    assert!(locked.is_err(), "twelve guesses by three protocols lock the account");
    node.wait_for_log(&["account locked out", "anna"]).unwrap();
    imap(&node, "bob");
    assert!(node.command(["user", "unlock", "anna"]).unwrap().status.success());
    imap(&node, "anna");
}
