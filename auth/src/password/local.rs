//! Passwords of local users: argon2id verifiers.

use std::time::Duration;

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher as _, PasswordVerifier as _, phc::PasswordHash},
};
use posthouse_directory::PasswordVerifier;
use zeroize::Zeroizing;

use crate::{
    password::text::{Password, prepare},
    pool::{Overloaded, Pool},
};

/// Most sign-ons that wait for a processor; about three seconds of work on two of them.
const MAX_WAITING: usize = 256;
/// Between two tries to get a place for a new verifier.
const PAUSE: Duration = Duration::from_millis(20);
/// A verifier that no password fits: not in PHC format.
const NOBODY: &str = "!";

/// What one verification costs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    pub(crate) memory_kib: u32,
    pub(crate) passes: u32,
}

impl Default for Cost {
    /// 19 MiB, two passes, one lane: OWASP's recommendation for argon2id; 15 to 40 ms.
    fn default() -> Self {
        Self { memory_kib: 19 * 1024, passes: 2 }
    }
}

/// Makes and checks verifiers on a bounded pool.
pub(crate) struct Local {
    pool: Pool,
    hasher: Argon2<'static>,
    /// What is checked when there is nobody to check, so that it takes the same time.
    dummy: String,
}

impl Local {
    pub(crate) fn new(cost: Cost) -> Result<Self, String> {
        let params = Params::new(cost.memory_kib, cost.passes, 1, None)
            .map_err(|e| format!("argon2 parameters: {e}"))?;
        let hasher = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let dummy = hasher
            .hash_password(b"nobody has this password")
            .map_err(|e| format!("argon2: {e}"))?
            .to_string();
        Ok(Self { pool: Pool::per_core(MAX_WAITING), hasher, dummy })
    }

    /// A new verifier. Waits for its turn however much there is to do: a password that was silently not set would keep
    /// its owner out.
    pub(crate) async fn hash(&self, password: &str) -> PasswordVerifier {
        loop {
            let (text, hasher) = (prepare(password), self.hasher.clone());
            match self.pool.run(move || hasher.hash_password(text.as_bytes())).await {
                Ok(Ok(hash)) => return PasswordVerifier(hash.to_string()),
                Ok(Err(error)) => {
                    tracing::error!(target: "error", %error, "a password could not be hashed");
                    return PasswordVerifier(NOBODY.to_owned());
                }
                Err(Overloaded) => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    /// Whether the password fits the verifier. Without one, or with one that cannot be read, it takes as long and says no.
    pub(crate) async fn verify(
        &self,
        verifier: Option<&PasswordVerifier>,
        password: &Password,
    ) -> Result<bool, Overloaded> {
        let text = password.prepared();
        let hash = Zeroizing::new(verifier.map_or(NOBODY, |v| v.0.as_str()).to_owned());
        let dummy = self.dummy.clone();
        let hasher = self.hasher.clone();
        self.pool
            .run(move || match PasswordHash::new(&hash) {
                Ok(hash) => hasher.verify_password(text.as_bytes(), &hash).is_ok(),
                Err(_) => {
                    if let Ok(dummy) = PasswordHash::new(&dummy) {
                        let _ = hasher.verify_password(text.as_bytes(), &dummy);
                    }
                    false
                }
            })
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cheap() -> Local {
        Local::new(Cost { memory_kib: 64, passes: 1 }).unwrap()
    }

    #[tokio::test]
    async fn a_verifier_fits_its_password_only() {
        let local = cheap();
        let verifier = local.hash("Caf\u{e9} 7").await;
        assert!(verifier.0.starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{}", verifier.0);
        for (password, fits) in
            [("Caf\u{e9} 7", true), ("Cafe\u{301} 7", true), ("caf\u{e9} 7", false), ("x", false)]
        {
            let password = Password::new(password).unwrap();
            assert_eq!(local.verify(Some(&verifier), &password).await, Ok(fits));
        }
    }

    #[tokio::test]
    async fn no_password_fits_a_missing_or_broken_verifier() {
        let local = cheap();
        let password = Password::new("nobody has this password").unwrap();
        for verifier in [None, Some(""), Some("!"), Some("$argon2id$"), Some("plain")] {
            let verifier = verifier.map(|v| PasswordVerifier(v.to_owned()));
            assert_eq!(local.verify(verifier.as_ref(), &password).await, Ok(false));
        }
    }

    #[tokio::test]
    async fn a_new_password_waits_for_its_turn_when_there_is_too_much_to_do() {
        let local = std::sync::Arc::new(cheap());
        let mut work = tokio::task::JoinSet::new();
        for _ in 0..2 * MAX_WAITING {
            let local = local.clone();
            work.spawn(async move {
                local.pool.run(|| std::thread::sleep(Duration::from_millis(5))).await.is_ok()
            });
        }
        for _ in 0..2 * MAX_WAITING {
            tokio::task::yield_now().await;
        }
        let password = Password::new("Caf\u{e9} 7").unwrap();
        assert_eq!(local.verify(None, &password).await, Err(Overloaded), "all places are taken");
        let verifier = local.hash("Caf\u{e9} 7").await;
        assert_eq!(local.verify(Some(&verifier), &password).await, Ok(true));
    }

    #[tokio::test]
    async fn verifiers_are_salted_and_of_the_documented_cost() {
        let local = Local::new(Cost::default()).unwrap();
        let [a, b] = [local.hash("same").await, local.hash("same").await];
        assert_ne!(a, b);
        assert!(a.0.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
    }
}
