//! SMTP with clients, next hops and a DNS server that others wrote: swaks, smtplib, msmtp, smtp-source, smtp-sink, dnsmasq.
#![allow(clippy::unwrap_used)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use posthouse_tests::node::{NodeOptions, PASSWORD, TestNode};

const PATIENCE: Duration = Duration::from_secs(30);

/// A process that ends with the test.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn spawn(command: &mut Command) -> Daemon {
    Daemon(
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap(),
    )
}

fn wait_until<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// [`wait_until`] with the log of the node where it is in vain. What was deferred because the machine is busy is
/// tried again now and then: the schedule is not what these tests are about.
fn wait_at<T>(node: &TestNode, what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    for round in 1.. {
        if let Some(found) = probe() {
            return found;
        }
        if round % 200 == 0 {
            assert!(node.command(["queue", "retry"]).unwrap().status.success());
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}:\n{}", node.log());
        std::thread::sleep(Duration::from_millis(20));
    }
    unreachable!("the loop has no end")
}

/// A port that is free on 127.0.0.2 and 127.0.0.3, for next hops.
fn remote_port() -> u16 {
    loop {
        let first = TcpListener::bind("127.0.0.2:0").unwrap();
        let port = first.local_addr().unwrap().port();
        if TcpListener::bind(("127.0.0.3", port)).is_ok() {
            return port;
        }
    }
}

/// dnsmasq that knows only what it is told; the rest of `test` does not exist.
fn dns(records: &[&str]) -> (Daemon, SocketAddr) {
    let address = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut command = Command::new("dnsmasq");
    command.args([
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--no-resolv",
        "--no-hosts",
        "--bind-interfaces",
    ]);
    command.args(["--listen-address=127.0.0.1", "--local=/test/", "--pid-file="]);
    command.arg(format!("--port={}", address.port())).args(records);
    let daemon = spawn(&mut command);
    wait_until("dnsmasq", || TcpStream::connect(address).ok());
    (daemon, address)
}

/// smtp-sink on `address`; each message that it takes becomes a file in `folder`.
fn sink(address: &str, port: u16, folder: &Path, options: &[&str]) -> Daemon {
    fs::create_dir_all(folder).unwrap();
    fs::set_permissions(folder, fs::Permissions::from_mode(0o777)).unwrap();
    let mut command = Command::new("smtp-sink");
    if nix::unistd::geteuid().is_root() {
        command.args(["-u", "nobody", "-R"]).arg(folder);
    } else {
        command.current_dir(folder);
    }
    let daemon =
        spawn(command.args(["-d", "m"]).args(options).arg(format!("{address}:{port}")).arg("100"));
    wait_until("smtp-sink", || TcpStream::connect((address, port)).ok());
    daemon
}

fn captured(folder: &Path) -> Vec<String> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    files
        .iter()
        .map(|file| String::from_utf8_lossy(&fs::read(file).unwrap()).into_owned())
        .collect()
}

fn succeed(command: &mut Command) -> String {
    let output = run(command);
    let text = text(&output);
    assert!(output.status.success(), "{command:?}: {text}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn run(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn client_script(node: &TestNode, what: &str, port: &str, user: &str) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/smtp_scenario.py");
    let port = node.port(port).port().to_string();
    let mut command = Command::new("python3");
    command.arg(script).args([
        what,
        "--port",
        &port,
        "--user",
        user,
        "--password",
        PASSWORD,
        "--ca",
    ]);
    succeed(command.arg(node.ca()))
}

fn count(node: &TestNode, user: &str) -> usize {
    client_script(node, "count", "imaps", user).trim().parse().unwrap()
}

fn last(node: &TestNode, user: &str) -> String {
    client_script(node, "last", "imaps", user)
}

fn swaks(node: &TestNode, port: &str, options: &[&str]) -> Output {
    let mut command = Command::new("swaks");
    command.args([
        "--server",
        &node.port(port).to_string(),
        "--helo",
        "client.test",
        "--timeout",
        "20",
    ]);
    run(command.args(options))
}

/// A node that finds next hops by `records` and sends to `port`.
fn node_with_dns(records: &[&str], port: u16) -> (TestNode, Daemon) {
    let (daemon, address) = dns(records);
    let node_toml = Some(format!("dns = '{address}'\n"));
    let node = TestNode::with(NodeOptions { node_toml, ..NodeOptions::default() }).unwrap();
    node.json(["setting", "set", "smtp.remote_port", &port.to_string()]).unwrap();
    (node, daemon)
}

#[test]
fn swaks_delivers_and_is_refused_as_it_should_be() {
    let node = TestNode::start().unwrap();
    let auth = ["--auth-user", "anna", "--auth-password", PASSWORD];
    let mail = ["--from", "anna@example.test", "--to", "bob@example.test"];
    let wrong = ["--auth-user", "anna", "--auth-password", "wrong"];
    // port, options, part of what swaks prints, delivered
    for (port, options, part, delivered) in [
        (
            "smtp",
            vec![&["--from", "a@x.test", "--to", "bob@example.test"][..]],
            "message accepted",
            true,
        ),
        (
            "smtp",
            vec![&["--from", "a@x.test", "--to", "bob@example.test", "--tls"]],
            "TLS started with cipher TLSv1.3",
            true,
        ),
        (
            "smtp",
            vec![&["--from", "<>", "--to", "bob@example.test", "--pipeline"]],
            "message accepted",
            true,
        ),
        ("smtp", vec![&["--from", "a@x.test", "--to", "nobody@example.test"]], "550 5.1.1", false),
        ("smtp", vec![&["--from", "a@x.test", "--to", "x@elsewhere.test"]], "550 5.7.1", false),
        (
            "smtp",
            vec![&["--from", "a@x.test", "--to", "x%elsewhere.test@example.test"]],
            "550 5.1.1",
            false,
        ),
        ("submission", vec![&mail], "530 5.7.0", false),
        ("submission", vec![&mail, &auth], "Host did not advertise authentication", false),
        ("submission", vec![&mail, &auth, &["--tls", "--auth", "PLAIN"]], "message accepted", true),
        ("submission", vec![&mail, &auth, &["--tls", "--auth", "LOGIN"]], "message accepted", true),
        ("submission", vec![&mail, &wrong, &["--tls", "--auth", "PLAIN"]], "535 5.7.8", false),
        (
            "submissions",
            vec![&mail, &auth, &["--tlsc", "--auth", "PLAIN"]],
            "message accepted",
            true,
        ),
        (
            "submissions",
            vec![&auth, &["--tlsc", "--from", "chen@example.test", "--to", "bob@example.test"]],
            "553 5.7.1",
            false,
        ),
        (
            "submissions",
            vec![&mail, &auth, &["--tlsc", "--h-From", "Chen <chen@example.test>"]],
            "550 5.7.1",
            false,
        ),
    ] {
        let before = count(&node, "bob");
        let options = options.concat();
        let output = swaks(&node, port, &options);
        let printed = text(&output);
        assert!(printed.contains(part), "{port} {options:?}: {printed}");
        assert_eq!(output.status.success(), delivered, "{port} {options:?}: {printed}");
        assert_eq!(count(&node, "bob"), before + usize::from(delivered), "{port} {options:?}");
    }
    let mut stream = TcpStream::connect(node.port("smtp")).unwrap();
    let evil = "EHLO \x1b[31mevil\r\nEHLO x.test\r\nMAIL FROM:<a\x1b[31m@x.test>\r\nMAIL FROM:<\"a b\"@x.test>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\n\r\nx\r\n.\r\nQUIT\r\n";
    stream.write_all(evil.as_bytes()).unwrap();
    let mut replies = String::new();
    stream.read_to_string(&mut replies).unwrap();
    let codes: Vec<&str> =
        replies.lines().filter(|line| line.get(3..4) == Some(" ")).map(|line| &line[..3]).collect();
    assert_eq!(codes, ["220", "501", "250", "501", "250", "250", "354", "250", "221"], "{replies}");
    let log = node.log();
    assert!(!log.contains("\x1b[31m"), "escape codes in the log");
    assert!(log.contains("anna") && !log.contains(PASSWORD), "no password in the log");
}

#[test]
fn smtplib_submits_and_reads_back() {
    let node = TestNode::start().unwrap();
    client_script(&node, "submit", "submission", "anna");
    assert_eq!((count(&node, "bob"), count(&node, "anna"), count(&node, "chen")), (2, 1, 0));
    let message = last(&node, "bob");
    assert!(message.contains("Grüße") && message.contains("Message-ID: <"), "{message}");
    assert!(
        message.contains("with UTF8SMTPSA (TLS1.3") && !message.contains("127.0.0.1"),
        "{message}"
    );
}

#[test]
fn msmtp_submits_and_the_message_outlives_a_kill() {
    let mut node = TestNode::start().unwrap();
    let config = node.scratch().join("msmtprc");
    let (port, ca) = (node.port("submission").port(), node.ca());
    let text = format!(
        "account default\nhost 127.0.0.1\nport {port}\nfrom anna@example.test\nauth plain\nuser anna\npassword {PASSWORD}\n\
         tls on\ntls_starttls on\ntls_trust_file {}\ntls_host_override mail.example.test\n",
        ca.display()
    );
    fs::write(&config, text).unwrap();
    fs::set_permissions(&config, fs::Permissions::from_mode(0o600)).unwrap();
    let letter = node.scratch().join("letter");
    fs::write(
        &letter,
        "From: anna@example.test\nTo: team@example.test\nSubject: by msmtp\n\nhello\n",
    )
    .unwrap();
    let mut command = Command::new("msmtp");
    command.arg("-C").arg(&config).arg("team@example.test").stdin(fs::File::open(&letter).unwrap());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    node.kill().unwrap();
    node.spawn().unwrap();
    for name in ["anna", "bob", "chen"] {
        assert_eq!(count(&node, name), 1, "{name}");
        assert!(last(&node, name).contains("Subject: by msmtp"));
    }
}

#[test]
fn smtp_source_loads_and_nothing_is_lost() {
    let node = TestNode::start().unwrap();
    let start = Instant::now();
    let mut command = Command::new("smtp-source");
    command.args([
        "-s",
        "8",
        "-m",
        "400",
        "-l",
        "20000",
        "-f",
        "load@x.test",
        "-t",
        "bob@example.test",
    ]);
    succeed(command.arg(node.port("smtp").to_string()));
    println!("400 messages of 20 kB in {:?}", start.elapsed());
    assert_eq!(count(&node, "bob"), 400);
}

#[test]
fn smtp_sink_gets_what_was_submitted_and_no_bare_line_ending() {
    let port = remote_port();
    let records = [
        "--mx-host=partner.test,dead.partner.test,5",
        "--mx-host=partner.test,mx.partner.test,10",
        "--host-record=dead.partner.test,127.0.0.3",
        "--host-record=mx.partner.test,127.0.0.2",
    ];
    let (node, _dns) = node_with_dns(&records, port);
    let folder = node.scratch().join("sink");
    let _sink = sink("127.0.0.2", port, &folder, &[]);
    let mail = [
        "--tlsc",
        "--auth",
        "PLAIN",
        "--auth-user",
        "anna",
        "--auth-password",
        PASSWORD,
        "--from",
        "anna@example.test",
        "--to",
        "friend@partner.test,bob@example.test",
    ];
    let good = [&mail[..], &["--body", "first\\n.\\n..dots\\n"]].concat();
    let output = swaks(&node, "submissions", &good);
    assert!(output.status.success(), "{}", text(&output));
    // swaks sends a file as it is with --no-data-fixup: bare LF, then a message that would be smuggled
    let raw = node.scratch().join("raw");
    let smuggled = "From: anna@example.test\r\nSubject: a\r\n\r\nx\n.\nMAIL FROM:<admin@example.test>\r\nRCPT TO:<victim@partner.test>\r\nDATA\r\nSubject: smuggled\r\n\r\nx\r\n.\r\n";
    fs::write(&raw, smuggled).unwrap();
    let file = format!("@{}", raw.display());
    let bad = [&mail[..], &["--no-data-fixup", "--data", &file]].concat();
    let output = swaks(&node, "submissions", &bad);
    assert!(text(&output).contains("554 5.6.0"), "{}", text(&output));
    let files =
        wait_until("the message", || Some(captured(&folder)).filter(|files| !files.is_empty()));
    wait_until("an empty queue", || {
        node.json(["queue", "list"])
            .unwrap()
            .to_string()
            .find("partner.test")
            .is_none()
            .then_some(())
    });
    assert_eq!((files.len(), captured(&folder).len(), count(&node, "bob")), (1, 1, 1));
    assert!(
        files[0].contains("X-Rcpt-Args: <friend@partner.test>")
            && files[0].contains("first\n.\n..dots\n"),
        "{}",
        files[0]
    );
    assert!(
        !files[0].contains('\r')
            && !files[0].contains("smuggled")
            && !files[0].contains("Return-Path")
    );
}

#[test]
fn refusals_of_next_hops_come_back_as_reports_and_greylisting_does_not() {
    let port = remote_port();
    let records = [
        "--mx-host=hard.test,mx.hard.test,10",
        "--host-record=mx.hard.test,127.0.0.2",
        "--mx-host=grey.test,mx.grey.test,10",
        "--host-record=mx.grey.test,127.0.0.3",
        "--dns-rr=null.test,15,000000",
    ];
    let (mut node, _dns) = node_with_dns(&records, port);
    let (hard, grey) = (node.scratch().join("hard"), node.scratch().join("grey"));
    let _hard = sink("127.0.0.2", port, &hard, &["-f", "RCPT"]);
    let grey_now = sink("127.0.0.3", port, &grey, &["-r", "RCPT"]);
    let send = |node: &TestNode, to: &str| {
        let output = swaks(
            node,
            "submissions",
            &[
                "--tlsc",
                "--auth",
                "PLAIN",
                "--auth-user",
                "anna",
                "--auth-password",
                PASSWORD,
                "--from",
                "anna@example.test",
                "--to",
                to,
            ],
        );
        assert!(output.status.success(), "{}", text(&output));
    };
    for (number, (recipient, status)) in [
        ("gone@hard.test", "Status: 5."),
        ("a@null.test", "Status: 5.1.10"),
        ("a@nowhere.test", "Status: 5.1.2"),
    ]
    .into_iter()
    .enumerate()
    {
        send(&node, recipient);
        wait_at(&node, "a report", || (count(&node, "anna") > number).then_some(()));
        let report = last(&node, "anna");
        assert!(
            report.contains("Action: failed")
                && report.contains(status)
                && report.contains(recipient),
            "{report}"
        );
    }
    send(&node, "friend@grey.test");
    node.wait_for_log(&["deferred", "friend@grey.test"]).unwrap();
    drop(grey_now);
    node.kill().unwrap();
    node.spawn().unwrap();
    let _grey = sink("127.0.0.3", port, &grey, &[]);
    let queue = node.json(["queue", "list"]).unwrap().to_string();
    assert!(queue.contains("friend@grey.test"), "{queue}");
    assert!(node.command(["queue", "retry"]).unwrap().status.success());
    wait_at(&node, "the message", || (captured(&grey).len() == 1).then_some(()));
    assert_eq!(count(&node, "anna"), 3, "no report about what arrived");
}

/// Sends numbered messages over one connection until it breaks; numbers of those that were acknowledged.
fn send_until_it_breaks(address: SocketAddr, client: usize, round: usize) -> Vec<String> {
    let mut acknowledged = Vec::new();
    let Ok(stream) = TcpStream::connect(address) else { return acknowledged };
    let mut replies = BufReader::new(stream.try_clone().unwrap()).lines();
    let mut stream = stream;
    let mut say = |text: String| -> Option<String> {
        stream.write_all(text.as_bytes()).ok()?;
        replies.by_ref().map_while(Result::ok).find(|line| line.get(3..4) == Some(" "))
    };
    if say(String::new()).is_none() || say("EHLO x.test\r\n".into()).is_none() {
        return acknowledged;
    }
    for number in 0.. {
        let name = format!("{round}-{client}-{number}");
        let body = "x".repeat(if number % 3 == 0 { 30_000 } else { 300 });
        let body = body
            .as_bytes()
            .chunks(70)
            .map(|line| String::from_utf8_lossy(line).into_owned())
            .collect::<Vec<_>>()
            .join("\r\n");
        let steps = [
            "MAIL FROM:<load@x.test>\r\n".into(),
            "RCPT TO:<team@example.test>\r\n".into(),
            "DATA\r\n".into(),
            format!("Subject: n{name}\r\n\r\n{body}\r\n.\r\n"),
        ];
        let mut last = String::new();
        for step in steps {
            match say(step) {
                Some(reply) => last = reply,
                None => return acknowledged,
            }
        }
        if last.starts_with("250 ") {
            acknowledged.push(name);
        }
    }
    acknowledged
}

#[test]
fn kills_under_load_lose_and_double_nothing_that_was_acknowledged() {
    let mut node = TestNode::start().unwrap();
    let mut acknowledged = BTreeSet::new();
    for round in 0..4 {
        let address = node.port("smtp");
        let clients: Vec<_> = (0..4)
            .map(|client| std::thread::spawn(move || send_until_it_breaks(address, client, round)))
            .collect();
        std::thread::sleep(Duration::from_millis(300 + 170 * round as u64));
        node.kill().unwrap();
        for client in clients {
            acknowledged.extend(client.join().unwrap());
        }
        node.spawn().unwrap();
    }
    assert!(acknowledged.len() > 20, "only {} were acknowledged", acknowledged.len());
    println!("{} messages to 3 mailboxes acknowledged, 4 kills", acknowledged.len());
    for name in ["anna", "bob", "chen"] {
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        for subject in client_script(&node, "subjects", "imaps", name).lines() {
            *seen.entry(subject.trim_start_matches('n').to_owned()).or_default() += 1;
        }
        assert!(seen.values().all(|count| *count == 1), "{name}: {seen:?}");
        let lost: Vec<_> =
            acknowledged.iter().filter(|number| !seen.contains_key(*number)).collect();
        assert!(lost.is_empty(), "{name} lost {lost:?}");
    }
}
