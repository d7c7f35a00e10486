//! How an operation on the database ends.

use posthouse_cluster::MachineError;

use crate::{Refusal, Response};

/// Why an operation ends early.
#[derive(Debug)]
pub(crate) enum Stop {
    /// It is refused; nothing was changed.
    Refused(Refusal),
    /// It cannot be done here.
    Failed(MachineError),
}

/// What an operation comes to.
pub(crate) type Outcome = Result<Response, Stop>;

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<rusqlite::Error> for Stop {
    fn from(error: rusqlite::Error) -> Self {
        Self::Failed(error.into())
    }
}

impl From<MachineError> for Stop {
    fn from(error: MachineError) -> Self {
        Self::Failed(error)
    }
}

impl From<postcard::Error> for Stop {
    fn from(error: postcard::Error) -> Self {
        Self::Failed(MachineError::Corrupt(error.to_string()))
    }
}

/// A refusal is an answer.
pub(crate) fn settle(outcome: Outcome) -> Result<Response, MachineError> {
    match outcome {
        Ok(response) => Ok(response),
        Err(Stop::Refused(refusal)) => Ok(Response::Refused(refusal)),
        Err(Stop::Failed(error)) => Err(error),
    }
}
