//! The end of a message.

use super::{Action, Session, State, Transaction};
use crate::{
    codec::{Flaw, Reply},
    message::Header,
};

impl From<Flaw> for Reply {
    fn from(flaw: Flaw) -> Self {
        match flaw {
            Flaw::Bare => Self::BareInMessage,
            Flaw::Nul => Self::NulInMessage,
            Flaw::LineTooLong => Self::TextLineTooLong,
            Flaw::TooLarge => Self::TooLarge,
            Flaw::NoMemory => Self::NoMemory,
        }
    }
}

impl Session {
    /// The message is complete: checks that need nobody's help, then responsibility is handed over.
    pub(super) fn on_message(
        &mut self,
        mut transaction: Box<Transaction>,
        message: Result<Vec<u8>, Flaw>,
    ) -> Option<Action> {
        self.state = State::Idle;
        let checked =
            message.map_err(Reply::from).and_then(|message| match Header::parse(&message) {
                None => Err(Reply::HeaderTooLarge),
                Some(header) if header.hops() > self.settings.limits.hops => Err(Reply::Loop),
                Some(_) => Ok(message),
            });
        match checked {
            Ok(message) => {
                transaction.message = message;
                self.state = State::Accepting;
                Some(Action::Accept(transaction))
            }
            Err(reply) => {
                self.refuse(reply);
                None
            }
        }
    }

    pub(super) fn accepted(&mut self, reply: Reply) {
        self.state = State::Idle;
        if !reply.is_error() {
            self.commands = 0;
        }
        self.refuse(reply);
    }
}
