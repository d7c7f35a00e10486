//! Web sessions: an opaque token, replicated by its hash, so that every node knows it and no backup holds it.
//!
//! A site without a majority cannot write the directory, and its people sign on all the same: their sessions are kept
//! on the node that made them, as long as others, and are lost with a restart of it.

mod local;

use std::{sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use parking_lot::Mutex;
use posthouse_cluster::Timestamp;
use posthouse_directory::{Account, AccountId, Actor, Change, ChangeError, key};
use rand::RngCore;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use crate::{Mechanism, people::People};
use local::{Kept, Key};

const SPACE: &str = "session";
const TOKEN_LEN: usize = 32;
/// How long a sign-on waits for the directory.
const PATIENCE: Duration = Duration::from_secs(2);
/// Ends of sessions that are made up for with one write.
const MAX_MADE_UP: usize = 64;

/// What is kept of a session.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Session {
    pub(crate) account: AccountId,
    pub(crate) mechanism: Mechanism,
    /// Hash of the local password's verifier at that time: whoever changes a password that somebody else may know puts
    /// that somebody out.
    #[serde(default)]
    password: Option<Vec<u8>>,
}

impl Session {
    pub(crate) fn of(account: &Account, mechanism: Mechanism) -> Self {
        Self { account: account.id, mechanism, password: verifier_hash(account) }
    }

    /// Whether the account still has the password that it had when the session began.
    pub(crate) fn is_current(&self, account: &Account) -> bool {
        self.password == verifier_hash(account)
    }
}

fn verifier_hash(account: &Account) -> Option<Vec<u8>> {
    let verifier = account.user()?.password.as_ref()?;
    Some(digest(&SHA256, verifier.0.as_bytes()).as_ref().to_vec())
}

pub(crate) struct Sessions {
    people: Arc<dyn People>,
    /// Sessions that only this node knows.
    own: Mutex<Kept<Arc<Vec<u8>>>>,
    /// Sessions that ended here and that the directory still has.
    ended: Mutex<Kept<AccountId>>,
}

impl Sessions {
    pub(crate) fn new(people: Arc<dyn People>) -> Self {
        Self { people, own: Mutex::default(), ended: Mutex::default() }
    }

    /// Makes a session; the token leaves once a majority has its hash, or this node where there is no majority.
    pub(crate) async fn create(
        &self,
        session: &Session,
        now: Timestamp,
    ) -> Result<String, ChangeError> {
        let mut token = [0; TOKEN_LEN];
        rand::rng().fill_bytes(&mut token);
        let key = hash(&token);
        let value = serde_json::to_vec(session).map_err(|e| ChangeError::Storage(e.to_string()))?;
        let expires = now.after(self.length());
        if let Err(error) = self.put(&key, Some(value.clone()), expires, session.account).await {
            if !may_stay_here(&error) {
                return Err(error);
            }
            tracing::warn!(target: "warning", %error, "a web session is kept on this node only");
            metrics::counter!("posthouse_auth_sessions_kept_here_total").increment(1);
            self.own.lock().put(key, Arc::new(value), expires, now);
        } else {
            self.make_up(now).await;
        }
        Ok(URL_SAFE_NO_PAD.encode(token))
    }

    pub(crate) fn find(&self, token: &str, now: Timestamp) -> Option<Session> {
        let key = hash(&decode(token)?);
        if self.ended.lock().get(&key, now).is_some() {
            return None;
        }
        let own = self.own.lock().get(&key, now);
        let value = own.or_else(|| self.people.ephemeral(SPACE, &key))?;
        serde_json::from_slice(&value).ok()
    }

    /// Ends a session. It is over on this node in any case; the error says that other nodes do not know yet.
    pub(crate) async fn end(&self, token: &str, now: Timestamp) -> Result<(), ChangeError> {
        let (Some(plain), Some(session)) = (decode(token), self.find(token, now)) else {
            return Ok(());
        };
        let key = hash(&plain);
        self.own.lock().remove(&key);
        if self.people.ephemeral(SPACE, &key).is_none() {
            return Ok(());
        }
        let ended = self.put(&key, None, now, session.account).await;
        match &ended {
            Ok(()) => self.make_up(now).await,
            Err(_) => self.ended.lock().put(key, session.account, now.after(self.length()), now),
        }
        ended
    }

    /// The directory can be written: the ends of sessions that it has not heard of follow.
    async fn make_up(&self, now: Timestamp) {
        let waiting = self.ended.lock().some(MAX_MADE_UP, now);
        for (key, account) in waiting {
            if self.put(&key, None, now, account).await.is_err() {
                return;
            }
            self.ended.lock().remove(&key);
        }
    }

    fn length(&self) -> Duration {
        Duration::from_secs(self.people.integer(key::WEB_SESSION))
    }

    async fn put(
        &self,
        key: &Key,
        value: Option<Vec<u8>>,
        expires: Timestamp,
        account: AccountId,
    ) -> Result<(), ChangeError> {
        if !self.people.can_change() {
            return Err(ChangeError::NoMajority(String::new()));
        }
        let change = Change::PutEphemeral {
            space: SPACE.to_owned(),
            key: key.to_vec(),
            value,
            expires,
            only_new: false,
        };
        let written = self.people.change(Actor::Account(account), change);
        tokio::time::timeout(PATIENCE, written)
            .await
            .unwrap_or_else(|_| Err(ChangeError::Unavailable("no answer in time".to_owned())))
    }
}

fn hash(token: &[u8; TOKEN_LEN]) -> Key {
    let mut key = [0; 32];
    key.copy_from_slice(digest(&SHA256, token).as_ref());
    key
}

/// Whether a session that could not be replicated may live on this node alone. Not when the disk failed: then nothing
/// here is sure any more.
fn may_stay_here(error: &ChangeError) -> bool {
    match error {
        ChangeError::NoMajority(_) | ChangeError::Unavailable(_) => true,
        ChangeError::Refused(_) | ChangeError::Storage(_) => false,
    }
}

fn decode(token: &str) -> Option<[u8; TOKEN_LEN]> {
    // The length first: a cookie of a megabyte is not worth decoding.
    if token.len() != TOKEN_LEN.div_ceil(3) * 4 - 1 {
        return None;
    }
    URL_SAFE_NO_PAD.decode(token).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{Fake, user};

    #[tokio::test]
    async fn without_a_majority_a_session_is_kept_here_and_ends_here() {
        let fake = Fake::new();
        let sessions = Sessions::new(fake.clone());
        let anna = user("anna", None);
        let session = Session::of(&anna, Mechanism::Password);
        let start = posthouse_cluster::Environment::real().clock.now();
        let later = start.after(Duration::from_secs(3_700));

        let replicated = sessions.create(&session, start).await.unwrap();
        fake.set_down(true);
        let own = sessions.create(&session, start).await.unwrap();
        assert_eq!(sessions.find(&own, start).unwrap().account, anna.id);
        assert!(sessions.find(&own, later).is_none(), "it lives as long as any other");
        let elsewhere = Sessions::new(fake.clone());
        assert!(elsewhere.find(&own, start).is_none(), "no other node knows it");
        assert!(sessions.end(&own, start).await.is_ok());
        assert!(sessions.find(&own, start).is_none());

        assert!(sessions.end(&replicated, start).await.is_err());
        assert!(sessions.find(&replicated, start).is_none(), "it is over where it ended");
        assert!(elsewhere.find(&replicated, start).is_some(), "others cannot know yet");
        fake.set_down(false);
        sessions.create(&session, start).await.unwrap();
        assert!(
            elsewhere.find(&replicated, start).is_none(),
            "they hear of it as soon as they can"
        );
    }

    #[tokio::test]
    async fn a_directory_that_does_not_answer_delays_a_sign_on_by_two_seconds_at_most() {
        let fake = Fake::new();
        fake.set_silent(true);
        let sessions = Sessions::new(fake);
        let began = std::time::Instant::now();
        let session = Session::of(&user("anna", None), Mechanism::Password);
        let token = sessions.create(&session, Timestamp(0)).await.unwrap();
        assert!(began.elapsed() < PATIENCE + Duration::from_secs(2));
        assert!(sessions.find(&token, Timestamp(1)).is_some());
    }

    #[test]
    fn only_whole_tokens_are_looked_up() {
        let good = URL_SAFE_NO_PAD.encode([7; TOKEN_LEN]);
        assert_eq!(decode(&good), Some([7; TOKEN_LEN]));
        for bad in ["", "x", &good[1..], &format!("{good}="), &good.replace('B', "/")] {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }
}
