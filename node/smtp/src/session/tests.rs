use posthouse_directory::AccountId;
use uuid::Uuid;

use super::*;

const ANNA: AccountId = AccountId(Uuid::from_u128(1));

fn settings(mode: Mode) -> Settings {
    Settings {
        host: "mail.example.test".into(),
        mode,
        tls_available: true,
        tls: mode == Mode::SubmissionTls,
        limits: Limits { message: 1000, recipients: 3, hops: 5 },
        mechanisms: if mode == Mode::SubmissionTls { vec!["PLAIN", "LOGIN"] } else { Vec::new() },
    }
}

/// Answers like a directory that knows anna and ben at example.test and lets anna send as herself.
fn answer(session: &mut Session, action: Action, messages: &mut Vec<Transaction>) {
    let answer = match action {
        Action::SignOn(auth) if auth.initial.as_deref() == Some(b"\0anna\0good") => {
            Answer::SignOn(SignOn::Done(User { account: ANNA, name: "anna".into() }, Vec::new()))
        }
        Action::SignOn(Auth { initial: None, .. }) => {
            Answer::SignOn(SignOn::Challenge(b"?".to_vec()))
        }
        Action::SignOn(_) | Action::Sasl(_) => Answer::SignOn(SignOn::Failed(Reply::SignOnFailed)),
        Action::CheckSender(address) if address.to_string() == "anna@example.test" => {
            Answer::Checked(Reply::SenderOk)
        }
        Action::CheckSender(_) => Answer::Checked(Reply::SenderNotYours),
        Action::Resolve(rcpt, _) => {
            let address = rcpt.path.address;
            let known = ["anna", "ben"].contains(&address.local());
            Answer::Resolved(match address.domain() {
                "example.test" if known => {
                    Ok(Recipient { address, original: None, notify: 6, targets: vec![] })
                }
                "example.test" => Err(Reply::NoSuchMailbox),
                _ => Err(Reply::RelayDenied),
            })
        }
        Action::Accept(transaction) => {
            messages.push(*transaction);
            Answer::Checked(Reply::Accepted)
        }
        Action::CancelSignOn | Action::StartTls | Action::Close => return,
    };
    session.answer(answer);
}

struct Run {
    output: String,
    messages: Vec<Transaction>,
    closed: bool,
}

/// Sends `input` in pieces of `step` bytes.
fn run(mode: Mode, input: &[u8], step: usize) -> Run {
    let mut session = Session::new(settings(mode));
    let mut run = Run { output: String::new(), messages: Vec::new(), closed: false };
    for piece in input.chunks(step) {
        session.receive(piece);
        while let Some(action) = session.advance() {
            if action == Action::Close {
                run.closed = true;
                break;
            }
            if action == Action::StartTls {
                session.tls_started(vec!["PLAIN"]);
                continue;
            }
            answer(&mut session, action, &mut run.messages);
        }
        if run.closed {
            break;
        }
    }
    run.output = String::from_utf8(session.take_output()).unwrap();
    run
}

fn lines(lines: &[&str]) -> Vec<u8> {
    lines.iter().flat_map(|line| [line.as_bytes(), b"\r\n"].concat()).collect()
}

fn last_code(run: &Run) -> u16 {
    run.output.lines().last().unwrap()[..3].parse().unwrap()
}

const EHLO: &str = "EHLO x.test";
const FROM: &str = "MAIL FROM:<a@x.test>";
const TO: &str = "RCPT TO:<anna@example.test>";

#[test]
fn command_order_rfc5321_section_4_1_4() {
    for (commands, code) in [
        (&[FROM][..], 503),
        (&[EHLO, FROM], 250),
        (&["HELO x.test", FROM], 250),
        (&[EHLO, TO], 503),
        (&[EHLO, FROM, FROM], 503),
        (&[EHLO, FROM, "DATA"], 503),
        (&[EHLO, FROM, TO, "DATA"], 354),
        (&[EHLO, FROM, TO, EHLO, "DATA"], 503), // EHLO resets
        (&[EHLO, FROM, TO, "RSET", "DATA"], 503),
        (&[EHLO, FROM, TO, "BDAT 2", "", "DATA"], 503),
        (&[EHLO, FROM, TO, "BDAT 2", "", "BDAT 0 LAST"], 250),
        (&[EHLO, FROM, TO, "BDAT 2", "", "RCPT TO:<ben@example.test>"], 503),
        (&[EHLO, "BDAT 2 LAST", ""], 503),
        (&[EHLO, FROM, "BDAT 2 LAST", ""], 503),
        (&[EHLO, FROM, TO, "BDAT 2 LAST", "", "BDAT 0 LAST"], 503),
        (&[EHLO, FROM, TO, "DATA", "hi", "."], 250),
        (&[EHLO, FROM, TO, "DATA", "hi", ".", TO], 503),
        (&[EHLO, FROM, TO, "STARTTLS"], 503),
        (&[EHLO, "STARTTLS"], 220),
        (&["STARTTLS"], 220),
        (&["NOOP", "VRFY anna"], 252),
        (&["EXPN all"], 502),
        (&["HELP"], 214),
        (&["RSET", "QUIT"], 221),
        (&[EHLO, "AUTH PLAIN AGFubmEAZ29vZA=="], 502), // nobody signs on at port 25
        (&[EHLO, "MAIL FROM:<a@x.test> SIZE=1001"], 552),
        (&[EHLO, FROM, "RCPT TO:<nobody@example.test>"], 550),
        (&[EHLO, FROM, "RCPT TO:<a@elsewhere.test>"], 550),
    ] {
        assert_eq!(last_code(&run(Mode::Transfer, &lines(commands), 4096)), code, "{commands:?}");
    }
}

#[test]
fn submission_order() {
    let good = "AUTH PLAIN AGFubmEAZ29vZA==";
    let own = "MAIL FROM:<anna@example.test>";
    for (mode, commands, code) in [
        (Mode::SubmissionTls, &[EHLO, FROM][..], 530),
        (Mode::SubmissionTls, &[EHLO, good], 235),
        (Mode::SubmissionTls, &["HELO x.test", good], 503),
        (Mode::SubmissionTls, &[EHLO, good, good], 503),
        (Mode::SubmissionTls, &[EHLO, good, own], 250),
        (Mode::SubmissionTls, &[EHLO, good, "MAIL FROM:<>"], 250),
        (Mode::SubmissionTls, &[EHLO, good, "MAIL FROM:<ben@example.test>"], 553),
        (Mode::SubmissionTls, &[EHLO, "AUTH PLAIN AGFubmEAYmFk"], 535),
        (Mode::SubmissionTls, &[EHLO, "AUTH PLAIN ="], 535),
        (Mode::SubmissionTls, &[EHLO, "AUTH PLAIN"], 334),
        (Mode::SubmissionTls, &[EHLO, "AUTH PLAIN", "*"], 501),
        (Mode::SubmissionTls, &[EHLO, "AUTH PLAIN", "%"], 501),
        (Mode::SubmissionTls, &[EHLO, "AUTH NTLM"], 504),
        (Mode::SubmissionTls, &[EHLO, "STARTTLS"], 503),
        (Mode::Submission, &[EHLO, FROM], 530),
        (Mode::Submission, &[EHLO, good], 530), // no password without TLS
    ] {
        assert_eq!(last_code(&run(mode, &lines(commands), 4096)), code, "{mode:?} {commands:?}");
    }
}

#[test]
fn passwords_are_offered_only_under_tls() {
    assert!(!run(Mode::Submission, &lines(&[EHLO]), 99).output.contains("AUTH"));
    assert!(run(Mode::SubmissionTls, &lines(&[EHLO]), 99).output.contains("AUTH PLAIN LOGIN"));
    let mut session = Session::new(settings(Mode::Submission));
    session.receive(b"STARTTLS\r\n");
    assert_eq!(session.advance(), Some(Action::StartTls));
    session.tls_started(vec!["PLAIN"]);
    session.receive(b"EHLO x.test\r\n");
    assert_eq!(session.advance(), None);
    let output = String::from_utf8(session.take_output()).unwrap();
    assert!(output.contains("AUTH PLAIN") && !output.ends_with("STARTTLS\r\n"), "{output}");
}

#[test]
fn plaintext_behind_starttls_closes_the_connection() {
    for injected in ["EHLO x.test\r\n", "N", "\r\n"] {
        let mut session = Session::new(settings(Mode::Transfer));
        session.receive(format!("STARTTLS\r\n{injected}").as_bytes());
        assert_eq!(session.advance(), Some(Action::Close), "{injected:?}");
        let output = String::from_utf8(session.take_output()).unwrap();
        assert!(output.ends_with("STARTTLS before the answer\r\n"), "{output}");
    }
}

#[test]
fn starttls_forgets_what_was_said_before() {
    let mut session = Session::new(settings(Mode::Transfer));
    session.receive(b"EHLO before.test\r\nSTARTTLS\r\n");
    assert_eq!(session.advance(), Some(Action::StartTls));
    session.receive(b"NOOP\r\n"); // read in the meantime: must be dropped
    session.tls_started(Vec::new());
    session.take_output();
    session.receive(b"MAIL FROM:<a@x.test>\r\n");
    assert_eq!(session.advance(), None);
    assert_eq!(session.take_output(), b"503 5.5.1 command out of order\r\n");
}

#[test]
fn a_pipelined_conversation_ends_the_same_however_it_is_cut() {
    let input = lines(&[
        EHLO,
        FROM,
        TO,
        "RCPT TO:<ben@example.test>",
        "DATA",
        "Subject: a",
        "",
        "..dot",
        ".",
        FROM,
        TO,
        "BDAT 3",
    ]);
    let input = [&input[..], b"a\r\nBDAT 4 LAST\r\nb.\r\nQUIT\r\n"].concat();
    let whole = run(Mode::Transfer, &input, input.len());
    assert!(whole.closed);
    assert_eq!(whole.messages[0].message, b"Subject: a\r\n\r\n.dot\r\n");
    assert_eq!(whole.messages[1].message, b"a\r\nb.\r\n");
    for step in 1..40 {
        let run = run(Mode::Transfer, &input, step);
        assert_eq!((&run.output, &run.messages), (&whole.output, &whole.messages), "{step}");
    }
}

#[test]
fn a_smuggled_message_is_never_accepted() {
    let smuggled = "MAIL FROM:<admin@example.test>\r\nRCPT TO:<ben@example.test>\r\nDATA\r\nSubject: smuggled\r\n\r\nx";
    let real_end = "\r\n.\r\nQUIT\r\n";
    for end in [
        "\n.\n",
        "\n.\r\n",
        "\r.\r\n",
        "\r\n.\n",
        "\r\n.\r",
        "\r.\r",
        "\n.\r",
        "\r.\n",
        "\r\r\n.\r\n",
        "\r\n.\r\r\n",
        "\n\n.\n",
        "\r\n\n.\r\n",
    ] {
        let start = lines(&[EHLO, FROM, TO, "DATA", "Subject: a", ""]);
        let input =
            [&start[..], b"hello", end.as_bytes(), smuggled.as_bytes(), real_end.as_bytes()]
                .concat();
        for step in 1..=input.len() {
            let run = run(Mode::Transfer, &input, step);
            let senders: Vec<_> =
                run.messages.iter().map(|m| m.sender().unwrap().to_string()).collect();
            // "\r\r\n.\r\n" ends DATA by the letter, so what follows are commands of this client, not of another
            assert!(!senders.contains(&"a@x.test".into()), "{end:?} {senders:?}");
            if !end.ends_with("\r\n.\r\n") {
                assert!(run.messages.is_empty(), "{end:?} {senders:?}");
            }
            assert!(run.output.contains("554 5.6.0 message has a CR or LF on its own"), "{end:?}");
        }
        let body = format!("hello{end}{smuggled}");
        let chunk = format!("BDAT {} LAST\r\n{body}QUIT\r\n", body.len());
        let input = [&lines(&[EHLO, FROM, TO])[..], chunk.as_bytes()].concat();
        for step in 1..=input.len() {
            let run = run(Mode::Transfer, &input, step);
            assert!(run.messages.is_empty() && run.output.contains("\r\n554 5.6.0"), "{end:?}");
            assert_eq!(last_code(&run), 221);
        }
    }
}

#[test]
fn peers_run_into_bounds() {
    let many = |line: &str, n: usize| [lines(&[EHLO, FROM]), lines(&vec![line; n])].concat();
    for (name, input, code) in [
        ("errors", many("FOO", 30), 421),
        ("idle commands", many("NOOP", 300), 421),
        ("unknown recipients", many("RCPT TO:<x@example.test>", 30), 421),
        ("line", [b"NOOP ", &[b'x'; 3000][..]].concat(), 500),
        ("bare LF", b"NOOP\nQUIT\r\n".to_vec(), 521),
        ("huge chunk", lines(&[EHLO, FROM, TO, "BDAT 5000 LAST"]), 552),
        ("bad chunk", lines(&[EHLO, FROM, TO, "BDAT x"]), 501),
        ("sign-ons", vec![], 421),
    ] {
        let run = if name == "sign-ons" {
            let input = lines(&[&[EHLO][..], &["AUTH PLAIN AGFubmEAYmFk"; 5]].concat());
            run(Mode::SubmissionTls, &input, 4096)
        } else {
            run(Mode::Transfer, &input, 4096)
        };
        assert!(run.closed, "{name}");
        assert_eq!(last_code(&run), code, "{name}");
    }
}

#[test]
fn too_large_and_looping_messages_are_refused_and_the_session_goes_on() {
    let received = "Received: by a.test; now";
    for (body, code) in [
        (lines(&[&"x".repeat(2000)]), 552),
        (lines(&[received; 6]), 554),
        (lines(&[received; 5]), 250),
        (b"a\0b\r\n".to_vec(), 554),
    ] {
        let start = lines(&[EHLO, FROM, TO, "DATA"]);
        let run = run(Mode::Transfer, &[&start[..], &body, b".\r\n"].concat(), 4096);
        assert_eq!(last_code(&run), code);
        assert!(!run.closed);
    }
    let four = ["RCPT TO:<a1@example.test>", TO, TO, TO];
    let run = run(Mode::Transfer, &[lines(&[EHLO, FROM]), lines(&four)].concat(), 99);
    assert_eq!(last_code(&run), 250, "the same recipient twice counts once");
}

#[test]
fn a_client_that_waits_behind_a_broken_end_is_told_soon() {
    let mut session = Session::new(settings(Mode::Transfer));
    session.receive(&lines(&[EHLO, FROM, TO, "DATA"]));
    let mut messages = Vec::new();
    while let Some(action) = session.advance() {
        answer(&mut session, action, &mut messages);
    }
    assert_eq!(session.expects(), Expects::Data);
    session.receive(b"a\n.\n");
    assert_eq!(session.advance(), None);
    assert_eq!(session.expects(), Expects::BrokenData);
    session.timed_out();
    assert!(session.take_output().ends_with(b"554 5.6.0 message has a CR or LF on its own\r\n"));
    assert_eq!(session.advance(), Some(Action::Close));
}
