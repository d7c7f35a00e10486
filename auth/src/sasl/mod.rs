//! SASL exchanges: one state machine for each mechanism, driven by [`Exchange`].

mod kerberos;
mod layer;
mod plain;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use kerberos::Kerberos;

use crate::{
    Identity, Mechanism, Origin, Reason,
    inner::{Failure, Inner},
    password::{self, Claim, text::Password},
};

/// Longest message of a client in one step.
const MAX_INPUT: usize = 64 * 1024;

/// What comes next in a SASL exchange.
#[derive(Debug)]
pub enum Step {
    /// Send this to the client and wait for its answer.
    Challenge(Vec<u8>),
    /// Signed on. `last` goes to the client with the success (or as a last challenge where the protocol has no
    /// success data).
    Done {
        /// Who.
        identity: Identity,
        /// Data with success.
        last: Option<Vec<u8>>,
    },
    /// Refused. Already counted, logged and recorded.
    Failed(Reason),
}

enum State {
    Plain,
    LoginName,
    LoginPassword(String),
    Kerberos(Box<Kerberos>),
    Over,
}

/// One SASL exchange. Dropped: cancelled.
pub struct Exchange {
    inner: Arc<Inner>,
    mechanism: Mechanism,
    origin: Origin,
    state: State,
}

impl Exchange {
    pub(crate) fn new(inner: Arc<Inner>, mechanism: Mechanism, origin: Origin) -> Self {
        let state = match (mechanism, inner.keytabs.acceptor()) {
            (Mechanism::Plain, _) => State::Plain,
            (Mechanism::Login, _) => State::LoginName,
            (Mechanism::Password, _) | (_, None) => State::Over,
            (Mechanism::Gssapi | Mechanism::GssSpnego | Mechanism::Negotiate, Some(acceptor)) => {
                let kerberos = Kerberos::new(inner.clone(), acceptor, mechanism, origin.clone());
                State::Kerberos(Box::new(kerberos))
            }
        };
        Self { inner, mechanism, origin, state }
    }

    /// Whether the server speaks first when there is no initial response (LOGIN does, with a prompt; GSSAPI sends an empty challenge).
    pub fn first_challenge(&mut self) -> Vec<u8> {
        match self.state {
            State::LoginName => b"Username:".to_vec(),
            _ => Vec::new(),
        }
    }

    /// Takes the client's next message (decoded from base64; bounded by the caller to 64 KiB).
    pub async fn step(&mut self, input: &[u8]) -> Step {
        if input.len() > MAX_INPUT {
            return self.refuse(Reason::Malformed("the message is too long".to_owned()));
        }
        match std::mem::replace(&mut self.state, State::Over) {
            State::Plain => match plain::parse(input) {
                Ok(message) => {
                    self.password(message.authzid, message.authcid, message.passwd).await
                }
                Err(reason) => self.refuse(reason),
            },
            State::LoginName => match std::str::from_utf8(input) {
                Ok(name) => {
                    self.state = State::LoginPassword(name.to_owned());
                    Step::Challenge(b"Password:".to_vec())
                }
                Err(_) => self.refuse(Reason::Malformed("the name is not UTF-8".to_owned())),
            },
            State::LoginPassword(name) => match std::str::from_utf8(input) {
                Ok(password) => self.password("", &name, password).await,
                Err(_) => self.refuse(Reason::Malformed("the password is not UTF-8".to_owned())),
            },
            State::Kerberos(mut kerberos) => {
                let step = kerberos.step(input).await;
                if matches!(step, Step::Challenge(_)) {
                    self.state = State::Kerberos(kerberos);
                }
                step
            }
            State::Over => self.refuse(Reason::Malformed("the exchange is over".to_owned())),
        }
    }

    async fn password(&mut self, authzid: &str, name: &str, password: &str) -> Step {
        let claim = Claim {
            mechanism: self.mechanism,
            origin: self.origin.clone(),
            name: name.to_owned(),
            password: Password::new(password),
            authzid: authzid.to_owned(),
        };
        match password::check(self.inner.clone(), claim).await {
            Ok(identity) => Step::Done { identity, last: None },
            Err(reason) => Step::Failed(reason),
        }
    }

    fn refuse(&mut self, reason: Reason) -> Step {
        let failure = Failure::new(reason, "", None);
        Step::Failed(self.inner.refused(failure, self.mechanism, &self.origin))
    }
}
