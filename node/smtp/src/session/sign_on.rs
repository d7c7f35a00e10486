//! AUTH (RFC 4954).

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{Action, Answer, MAX_SIGN_ON_FAILURES, Session, SignOn, State, User};
use crate::codec::{Auth, Reply, decode_sasl};

impl Session {
    pub(super) fn auth(&mut self, auth: Auth) -> Option<Action> {
        let reply = match () {
            () if !self.settings.mode.is_submission() => Reply::NotImplemented,
            () if !self.extended || self.user.is_some() => Reply::BadSequence,
            () if !matches!(self.state, State::Idle) => Reply::BadSequence,
            () if !self.settings.mechanisms.contains(&auth.mechanism.as_str()) => {
                if self.settings.tls { Reply::UnknownMechanism } else { Reply::TlsRequired }
            }
            () => {
                self.state = State::SigningOn;
                return Some(Action::SignOn(auth));
            }
        };
        self.refuse(reply);
        None
    }

    pub(super) fn on_sasl_line(&mut self, line: &[u8]) -> Option<Action> {
        let text = std::str::from_utf8(line).unwrap_or("\u{fffd}");
        if text == "*" {
            self.sign_on_failed(Reply::SaslCancelled);
            return Some(Action::CancelSignOn);
        }
        match decode_sasl(text) {
            Ok(message) => {
                self.state = State::SigningOn;
                Some(Action::Sasl(message))
            }
            Err(reply) => {
                self.sign_on_failed(reply);
                Some(Action::CancelSignOn)
            }
        }
    }

    pub(super) fn signing_on(&mut self, step: SignOn) {
        match step {
            SignOn::Challenge(bytes) => self.challenge(&bytes, State::Sasl),
            SignOn::Done(user, last) if last.is_empty() => self.signed_on(user),
            SignOn::Done(user, last) => self.challenge(&last, State::SaslLast(user)),
            SignOn::Failed(reply) => self.sign_on_failed(reply),
        }
    }

    fn challenge(&mut self, bytes: &[u8], next: State) {
        let line = format!("334 {}\r\n", STANDARD.encode(bytes));
        self.output.extend_from_slice(line.as_bytes());
        self.state = next;
    }

    pub(super) fn signed_on(&mut self, user: User) {
        self.user = Some(user);
        self.state = State::Idle;
        self.reply(Reply::SignedOn);
    }

    fn sign_on_failed(&mut self, reply: Reply) {
        self.state = State::Idle;
        self.refuse(reply);
        self.sign_on_failures += 1;
        if self.sign_on_failures >= MAX_SIGN_ON_FAILURES && !matches!(self.state, State::Closed) {
            self.close(Reply::TooManyErrors);
        }
    }

    /// Gives the answer to the action that [`Session::advance`] returned last. An answer that does not fit is ignored.
    pub fn answer(&mut self, answer: Answer) {
        match (std::mem::take(&mut self.state), answer) {
            (State::SigningOn, Answer::SignOn(step)) => self.signing_on(step),
            (State::CheckingSender(mail), Answer::Checked(reply)) => {
                self.sender_checked(*mail, reply);
            }
            (State::Resolving(transaction), Answer::Resolved(result)) => {
                self.resolved(transaction, result);
            }
            (State::Accepting, Answer::Checked(reply)) => self.accepted(reply),
            (state, _) => self.state = state,
        }
    }
}
