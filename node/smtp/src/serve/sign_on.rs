//! Sign-ons: what the session asks, put to [`posthouse_auth`].

use posthouse_auth::{Exchange, Identity, Reason, Step};

use super::connection::Connection;
use crate::{
    codec::{Auth, Reply},
    session::{SignOn, User},
};

/// What the client is told.
fn reply(reason: &Reason) -> Reply {
    match reason {
        reason if reason.is_temporary() => Reply::SignOnUnavailable,
        Reason::Malformed(_) => Reply::SaslMalformed,
        Reason::NotAvailable(_) => Reply::UnknownMechanism,
        Reason::Cancelled => Reply::SaslCancelled,
        _ => Reply::SignOnFailed,
    }
}

impl Connection {
    pub(super) async fn sign_on(&mut self, auth: Auth) -> SignOn {
        match self.context.auth.start(&auth.mechanism, self.origin()) {
            Ok(mut exchange) => match auth.initial {
                Some(initial) => self.step(exchange, &initial).await,
                None => {
                    let challenge = exchange.first_challenge();
                    self.exchange = Some(exchange);
                    SignOn::Challenge(challenge)
                }
            },
            Err(reason) => SignOn::Failed(reply(&reason)),
        }
    }

    pub(super) async fn sasl(&mut self, message: &[u8]) -> SignOn {
        match self.exchange.take() {
            Some(exchange) => self.step(exchange, message).await,
            None => SignOn::Failed(Reply::SaslMalformed),
        }
    }

    async fn step(&mut self, mut exchange: Exchange, message: &[u8]) -> SignOn {
        match exchange.step(message).await {
            Step::Challenge(challenge) => {
                self.exchange = Some(exchange);
                SignOn::Challenge(challenge)
            }
            Step::Done { identity, last } => {
                SignOn::Done(user(&identity), last.unwrap_or_default())
            }
            Step::Failed(reason) => SignOn::Failed(reply(&reason)),
        }
    }
}

fn user(identity: &Identity) -> User {
    User { account: identity.account.id, name: identity.account.name.clone() }
}
