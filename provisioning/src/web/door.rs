//! Who may use the set-up pages: one browser that knows the code.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rand::Rng;
use subtle::ConstantTimeEq;

/// How long the browser that is inside may be silent before another one may come in.
const PATIENCE: Duration = Duration::from_secs(30 * 60);
/// Wrong codes before a pause.
const FREE_ATTEMPTS: u32 = 5;
/// The first pause; each further wrong code doubles it.
const FIRST_PAUSE: Duration = Duration::from_secs(30);
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// What a code brings.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Knock {
    /// Come in with this token.
    Open(String),
    /// Wrong code.
    Wrong,
    /// Right code, but another browser is inside.
    InUse,
    /// Too many wrong codes; so many seconds to wait.
    Wait(u64),
}

struct Inner {
    inside: Option<(String, Instant)>,
    wrong: u32,
    blocked_until: Option<Instant>,
}

/// The door of the set-up pages.
pub(super) struct Door {
    code: String,
    now: Box<dyn Fn() -> Instant + Send + Sync>,
    inner: Mutex<Inner>,
}

impl Door {
    pub(super) fn new(code: String, now: Box<dyn Fn() -> Instant + Send + Sync>) -> Self {
        let inner = Inner { inside: None, wrong: 0, blocked_until: None };
        Self { code: normalized(&code), now, inner: Mutex::new(inner) }
    }

    /// Tries a code; `token` is what the browser has from before, if anything.
    pub(super) fn knock(&self, code: &str, token: Option<&str>) -> Knock {
        let now = (self.now)();
        let mut inner = self.inner.lock();
        if let Some(until) = inner.blocked_until.filter(|until| *until > now) {
            return Knock::Wait((until - now).as_secs() + 1);
        }
        let given = normalized(code);
        if !same(&given, &self.code) {
            inner.wrong += 1;
            if inner.wrong >= FREE_ATTEMPTS {
                let doublings = (inner.wrong - FREE_ATTEMPTS).min(10);
                inner.blocked_until =
                    Some(now + (FIRST_PAUSE * 2u32.pow(doublings)).min(LONGEST_PAUSE));
            }
            return Knock::Wrong;
        }
        let other = inner.inside.as_ref().is_some_and(|(inside, seen)| {
            Some(inside.as_str()) != token && now.duration_since(*seen) < PATIENCE
        });
        if other {
            return Knock::InUse;
        }
        let fresh: String = {
            let bytes: [u8; 32] = rand::rng().random();
            bytes.iter().map(|byte| format!("{byte:02x}")).collect()
        };
        inner.inside = Some((fresh.clone(), now));
        inner.wrong = 0;
        Knock::Open(fresh)
    }

    /// Whether this is the token of the browser inside; it then counts as active.
    pub(super) fn is_inside(&self, token: &str) -> bool {
        let now = (self.now)();
        let mut inner = self.inner.lock();
        let Some((inside, seen)) = inner.inside.as_mut() else { return false };
        let same = same(inside, token);
        let fresh = now.duration_since(*seen) < PATIENCE;
        if same && fresh {
            *seen = now;
        }
        same && fresh
    }

    /// Seconds until the next code is looked at.
    pub(super) fn wait(&self) -> Option<u64> {
        let now = (self.now)();
        let until = self.inner.lock().blocked_until.filter(|until| *until > now)?;
        Some((until - now).as_secs() + 1)
    }
}

/// Compares without telling by its time where two texts differ.
fn same(a: &str, b: &str) -> bool {
    a.as_bytes().ct_eq(b.as_bytes()).into()
}

fn normalized(code: &str) -> String {
    code.chars()
        .filter(char::is_ascii_alphanumeric)
        .take(64)
        .collect::<String>()
        .to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn door() -> (Door, Arc<Mutex<Instant>>) {
        let time = Arc::new(Mutex::new(Instant::now()));
        let clock = time.clone();
        (Door::new("abcd-efgh-jkmn".into(), Box::new(move || *clock.lock())), time)
    }

    #[test]
    fn spelling_of_the_code_does_not_matter_but_its_letters_do() {
        for (code, opens) in [
            ("ABCD EFGH JKMN", true),
            ("abcdefghjkmn", true),
            ("abcd-efgh-jkmm", false),
            ("", false),
        ] {
            let (door, _) = door();
            assert_eq!(matches!(door.knock(code, None), Knock::Open(_)), opens, "{code:?}");
        }
    }

    #[test]
    fn a_second_browser_is_kept_out_until_the_first_is_silent_for_half_an_hour() {
        let (door, time) = door();
        let Knock::Open(first) = door.knock("abcdefghjkmn", None) else { panic!() };
        assert_eq!(door.knock("abcdefghjkmn", None), Knock::InUse);
        assert!(door.is_inside(&first));
        *time.lock() += PATIENCE;
        let Knock::Open(second) = door.knock("abcdefghjkmn", None) else { panic!() };
        assert!(!door.is_inside(&first));
        assert!(door.is_inside(&second));
    }

    #[test]
    fn wrong_codes_lead_to_growing_pauses_in_which_the_right_one_does_not_open() {
        let (door, time) = door();
        for _ in 0..FREE_ATTEMPTS {
            assert_eq!(door.knock("wrong", None), Knock::Wrong);
        }
        assert!(matches!(door.knock("abcdefghjkmn", None), Knock::Wait(_)));
        *time.lock() += FIRST_PAUSE;
        assert_eq!(door.knock("wrong", None), Knock::Wrong);
        *time.lock() += FIRST_PAUSE;
        assert!(matches!(door.knock("abcdefghjkmn", None), Knock::Wait(_)));
        *time.lock() += FIRST_PAUSE;
        assert!(matches!(door.knock("abcdefghjkmn", None), Knock::Open(_)));
    }
}
