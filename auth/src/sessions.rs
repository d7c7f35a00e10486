//! Web sessions: an opaque token, replicated by its hash, so that every node knows it and no backup holds it.

use std::{sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use posthouse_cluster::Timestamp;
use posthouse_directory::{Account, AccountId, Actor, Change, ChangeError, key};
use rand::RngCore;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use crate::{Mechanism, people::People};

const SPACE: &str = "session";
const TOKEN_LEN: usize = 32;

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
}

impl Sessions {
    pub(crate) fn new(people: Arc<dyn People>) -> Self {
        Self { people }
    }

    /// Makes a session; the token leaves only once a majority has its hash.
    pub(crate) async fn create(
        &self,
        session: &Session,
        now: Timestamp,
    ) -> Result<String, ChangeError> {
        let mut token = [0; TOKEN_LEN];
        rand::rng().fill_bytes(&mut token);
        let value = serde_json::to_vec(session).map_err(|e| ChangeError::Storage(e.to_string()))?;
        let length = Duration::from_secs(self.people.integer(key::WEB_SESSION));
        self.put(&token, Some(value), now.after(length), session.account).await?;
        Ok(URL_SAFE_NO_PAD.encode(token))
    }

    pub(crate) fn find(&self, token: &str) -> Option<Session> {
        let token = decode(token)?;
        let value = self.people.ephemeral(SPACE, digest(&SHA256, &token).as_ref())?;
        serde_json::from_slice(&value).ok()
    }

    pub(crate) async fn end(&self, token: &str, now: Timestamp) -> Result<(), ChangeError> {
        match (decode(token), self.find(token)) {
            (Some(token), Some(session)) => self.put(&token, None, now, session.account).await,
            _ => Ok(()),
        }
    }

    async fn put(
        &self,
        token: &[u8; TOKEN_LEN],
        value: Option<Vec<u8>>,
        expires: Timestamp,
        account: AccountId,
    ) -> Result<(), ChangeError> {
        let change = Change::PutEphemeral {
            space: SPACE.to_owned(),
            key: digest(&SHA256, token).as_ref().to_vec(),
            value,
            expires,
            only_new: false,
        };
        self.people.change(Actor::Account(account), change).await
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

    #[test]
    fn only_whole_tokens_are_looked_up() {
        let good = URL_SAFE_NO_PAD.encode([7; TOKEN_LEN]);
        assert_eq!(decode(&good), Some([7; TOKEN_LEN]));
        for bad in ["", "x", &good[1..], &format!("{good}="), &good.replace('B', "/")] {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }
}
