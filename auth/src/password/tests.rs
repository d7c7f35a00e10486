//! Passwords through the public entry: who gets in, what strangers see, lock-out.

use std::time::{Duration, Instant};

use posthouse_cluster::Timestamp;
use posthouse_directory::{Account, Kind, State, key};

use crate::{
    Authenticator, Identity, Reason, Service, Step,
    fake::{Fake, authenticator, origin, tuned, user},
};

async fn with_ada() -> (std::sync::Arc<Fake>, Authenticator, tempfile::TempDir) {
    let fake = Fake::new();
    let (auth, folder) = authenticator(fake.clone()).await;
    fake.put(user("ada", Some(auth.hash_password("correct horse").await)));
    (fake, auth, folder)
}

async fn sign_on(auth: &Authenticator, name: &str, password: &str) -> Result<Identity, Reason> {
    auth.password(name, password, &origin(Service::Imap, true)).await
}

fn edit(fake: &Fake, change: impl FnOnce(&mut Account)) {
    let mut account = Account::clone(&fake.accounts.lock()[0]);
    change(&mut account);
    fake.put(account);
}

#[tokio::test]
async fn passwords_are_refused_for_the_right_reason_and_with_the_same_text() {
    let (_fake, auth, _folder) = with_ada().await;
    let long = "x".repeat(2_000);
    for (name, password, reason, text) in [
        ("ada", "wrong", Reason::WrongPassword, "sign-on failed"),
        ("ada", "", Reason::WrongPassword, "sign-on failed"),
        ("bob", "correct horse", Reason::UnknownUser, "sign-on failed"),
        ("*", "correct horse", Reason::UnknownUser, "sign-on failed"),
        ("ada)(uid=*", "correct horse", Reason::UnknownUser, "sign-on failed"),
        ("", "x", Reason::Malformed("the name is empty or too long".into()), "malformed sign-on"),
        ("ada\0", "x", Reason::Malformed("the name holds NUL".into()), "malformed sign-on"),
        ("ada", "x\0", Reason::Malformed("the password holds NUL".into()), "malformed sign-on"),
        ("ada", &long, Reason::Malformed("the password is too long".into()), "malformed sign-on"),
    ] {
        let got = sign_on(&auth, name, password).await.unwrap_err();
        assert_eq!((got.public(), got), (text, reason), "{name:?}");
    }
    assert!(sign_on(&auth, "ADA", "correct horse").await.is_ok());
}

#[tokio::test]
async fn a_disabled_or_expired_account_says_so_only_to_the_log() {
    let (fake, auth, _folder) = with_ada().await;
    edit(&fake, |a| a.state = State::Disabled("by administrator".into()));
    let disabled = Reason::Disabled("by administrator".into());
    assert_eq!(sign_on(&auth, "ada", "correct horse").await.unwrap_err(), disabled);
    assert_eq!(sign_on(&auth, "ada", "wrong").await.unwrap_err(), Reason::WrongPassword);
    edit(&fake, |a| {
        a.state = State::Enabled;
        let Kind::User(user) = &mut a.kind else { return };
        user.expires = Some(Timestamp(1));
    });
    let reason = sign_on(&auth, "ada", "correct horse").await.unwrap_err();
    assert_eq!((reason.public(), reason), ("sign-on failed", Reason::Expired));
}

#[tokio::test]
async fn no_password_is_taken_without_tls() {
    let (_fake, auth, _folder) = with_ada().await;
    let origin = origin(Service::Imap, false);
    assert!(auth.offered(&origin).is_empty());
    let refused = auth.password("ada", "correct horse", &origin).await.unwrap_err();
    assert!(matches!(refused, Reason::NotAvailable(_)));
    for mechanism in ["PLAIN", "LOGIN", "GSSAPI", "NTLM", ""] {
        assert!(auth.start(mechanism, origin.clone()).is_err(), "{mechanism}");
    }
}

/// One line per case: mechanism, the client's messages, what the last step is.
#[tokio::test]
async fn sasl_exchanges_of_passwords() {
    let (fake, auth, _folder) = with_ada().await;
    fake.put(user("bob", None));
    for (mechanism, messages, outcome) in [
        ("plain", &["\0ada\0correct horse"][..], "done"),
        ("PLAIN", &["ada\0ada\0correct horse"], "done"),
        ("PLAIN", &["bob\0ada\0correct horse"], "may not act as bob"),
        ("PLAIN", &["nobody\0ada\0correct horse"], "may not act as nobody"),
        ("PLAIN", &["\0ada\0wrong"], "wrong name or password"),
        ("PLAIN", &["\0bob\0"], "wrong name or password"),
        ("PLAIN", &["ada"], "malformed"),
        ("PLAIN", &["\0ada\0wrong", "\0ada\0correct horse"], "malformed"), // one try an exchange
        ("LOGIN", &["ada"], "Password:"),
        ("login", &["ada", "correct horse"], "done"),
        ("LOGIN", &["ada", "wrong"], "wrong name or password"),
        ("LOGIN", &["", "wrong"], "malformed"),
        ("LOGIN", &["ada", "correct horse", "x"], "malformed"),
    ] {
        let mut exchange = auth.start(mechanism, origin(Service::Imap, true)).unwrap();
        let mut last = String::new();
        for message in messages {
            last = match exchange.step(message.as_bytes()).await {
                Step::Challenge(text) => String::from_utf8(text).unwrap(),
                Step::Done { identity, last: None } if identity.account.name == "ada" => {
                    "done".to_owned()
                }
                Step::Done { .. } => "somebody else".to_owned(),
                Step::Failed(reason) => reason.to_string(),
            };
        }
        assert!(last.contains(outcome), "{mechanism} {messages:?}: {last}");
    }
}

#[tokio::test]
async fn an_account_is_locked_out_after_failures_everywhere_until_unlocked() {
    let (fake, auth, _folder) = with_ada().await;
    fake.set(key::LOCKOUT_ACCOUNT, 3);
    let (other_node, _other) = authenticator(fake.clone()).await;
    for _ in 0..3 {
        assert_eq!(sign_on(&auth, "ada", "wrong").await.unwrap_err(), Reason::WrongPassword);
    }
    let reason = sign_on(&auth, "ada", "correct horse").await.unwrap_err();
    assert!(matches!(reason, Reason::LockedOut(_)));
    assert_eq!(reason.public(), Reason::WrongPassword.public());
    until(|| !fake.ephemerals.lock().is_empty()).await;
    assert!(matches!(
        sign_on(&other_node, "ada", "correct horse").await.unwrap_err(),
        Reason::LockedOut(_)
    ));
    other_node.unlock("ada").await;
    assert!(sign_on(&auth, "ada", "correct horse").await.is_ok());
    assert!(sign_on(&other_node, "ada", "correct horse").await.is_ok());
}

#[tokio::test]
async fn a_success_forgets_the_failures_of_the_account() {
    let (fake, auth, _folder) = with_ada().await;
    fake.set(key::LOCKOUT_ACCOUNT, 3);
    for _ in 0..4 {
        for _ in 0..2 {
            assert_eq!(sign_on(&auth, "ada", "wrong").await.unwrap_err(), Reason::WrongPassword);
        }
        assert!(sign_on(&auth, "ada", "correct horse").await.is_ok());
    }
}

#[tokio::test]
async fn an_address_that_sprays_names_is_locked_out_with_few_writes() {
    let (fake, auth, _folder) = with_ada().await;
    fake.set(key::LOCKOUT_ADDRESS, 20);
    for n in 0..60 {
        let _ = sign_on(&auth, &format!("user{n}"), "Winter2026").await;
    }
    let reason = sign_on(&auth, "ada", "correct horse").await.unwrap_err();
    assert!(matches!(reason, Reason::LockedOut(_)));
    assert!(*fake.writes.lock() <= 1);
    auth.unlock("192.0.2.1").await;
    assert!(sign_on(&auth, "ada", "correct horse").await.is_ok());
}

#[tokio::test]
async fn many_guesses_at_once_do_not_outrun_the_lockout() {
    let (fake, auth, _folder) = with_ada().await;
    fake.set(key::LOCKOUT_ACCOUNT, 5);
    let guesses = (0..40).map(|_| {
        let auth = auth.clone();
        tokio::spawn(async move { sign_on(&auth, "ada", "wrong").await.unwrap_err() })
    });
    let mut tried = 0;
    for guess in guesses.collect::<Vec<_>>() {
        tried += usize::from(guess.await.unwrap() == Reason::WrongPassword);
    }
    assert!((5..=7).contains(&tried), "{tried}");
}

#[tokio::test]
async fn a_client_that_hangs_up_has_still_used_its_try() {
    let (fake, auth, _folder) = with_ada().await;
    fake.set(key::LOCKOUT_ACCOUNT, 3);
    for n in 1..=3 {
        let hasty = sign_on(&auth, "ada", "wrong");
        let _ = tokio::time::timeout(Duration::ZERO, hasty).await;
        until(|| auth.failures(Some("ada"), 10).len() == n).await;
    }
    let reason = sign_on(&auth, "ada", "correct horse").await.unwrap_err();
    assert!(matches!(reason, Reason::LockedOut(_)));
}

/// 1,000 tries each through the whole entry, interleaved, compared by their medians; without the floor, as a stranger would see
/// them on a node so busy that the floor is too low.
#[tokio::test]
async fn unknown_user_and_wrong_password_take_the_same_time() {
    let fake = Fake::new();
    let (auth, _folder) = tuned(fake.clone(), 512, Duration::ZERO).await;
    fake.put(user("ada", Some(auth.hash_password("correct horse").await)));
    fake.set(key::LOCKOUT_ACCOUNT, 1_000_000);
    fake.set(key::LOCKOUT_ADDRESS, 1_000_000);
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..1_000 {
        for (name, times) in ["ada", "bob"].iter().zip(&mut times) {
            let started = Instant::now();
            assert!(sign_on(&auth, name, "wrong").await.is_err());
            times.push(started.elapsed());
        }
    }
    let [known, unknown] = times.map(median);
    let ratio = known.as_secs_f64() / unknown.as_secs_f64();
    assert!((0.75..1.33).contains(&ratio), "known {known:?} unknown {unknown:?}");
}

#[tokio::test]
async fn a_refusal_never_comes_before_the_floor() {
    let (auth, _folder) = tuned(Fake::new(), 64, Duration::from_millis(60)).await;
    for (name, password) in [("nobody", "x"), ("nobody", ""), ("", "x")] {
        let started = Instant::now();
        assert!(sign_on(&auth, name, password).await.is_err());
        assert!(started.elapsed() >= Duration::from_millis(60), "{name:?} {password:?}");
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

async fn until(mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !done() {
        assert!(Instant::now() < deadline, "it did not happen");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_web_session_ends_with_the_account_and_on_every_node() {
    let (fake, auth, _folder) = with_ada().await;
    let (other_node, _other) = authenticator(fake.clone()).await;
    let identity = sign_on(&auth, "ada", "correct horse").await.unwrap();
    let token = auth.create_session(&identity).await.unwrap();
    assert!(token.len() >= 43);
    assert!(fake.ephemerals.lock().keys().all(|(_, key)| key != token.as_bytes()));
    assert_eq!(other_node.session(&token).unwrap().account.name, "ada");
    assert!(other_node.session(&token[1..]).is_none());
    edit(&fake, |a| a.state = State::Disabled("gone".into()));
    assert!(other_node.session(&token).is_none());
    assert!(!auth.still_valid(identity.account.id));
    edit(&fake, |a| a.state = State::Enabled);
    assert!(auth.session(&token).is_some() && auth.still_valid(identity.account.id));
    other_node.end_session(&token).await;
    assert!(auth.session(&token).is_none());
}

#[tokio::test]
async fn a_web_session_ends_with_the_password_that_it_began_with() {
    let (fake, auth, _folder) = with_ada().await;
    let identity = sign_on(&auth, "ada", "correct horse").await.unwrap();
    let token = auth.create_session(&identity).await.unwrap();
    edit(&fake, |a| a.display_name = "Countess".to_owned());
    assert!(auth.session(&token).is_some());
    let new = auth.hash_password("correct horse").await;
    edit(&fake, |a| {
        if let Kind::User(user) = &mut a.kind {
            user.password = Some(new.clone());
        }
    });
    assert!(auth.session(&token).is_none(), "even if the new one is the same");
}
