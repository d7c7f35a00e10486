//! How a command ends: the one conversion of what can go wrong to what the client is told.

use posthouse_store::{Refusal, StoreError};

use super::out::Closed;
use crate::codec::{Code, Writer};

/// A command that succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) code: Option<String>,
    pub(crate) text: String,
}

impl Reply {
    pub(crate) fn ok() -> Self {
        Self::text("done")
    }

    pub(crate) fn text(text: &str) -> Self {
        Self { code: None, text: text.to_owned() }
    }

    pub(crate) fn code(code: impl Into<String>) -> Self {
        Self { code: Some(code.into()), text: "done".to_owned() }
    }
}

/// A command that did not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fail {
    /// Refused; the session goes on.
    No(Option<Code>, String),
    /// The command makes no sense here; the session goes on.
    Bad(&'static str),
    /// The session cannot go on.
    Bye(&'static str),
    /// There is nobody left to tell.
    Closed,
}

impl Fail {
    pub(crate) const fn bad(text: &'static str) -> Self {
        Self::Bad(text)
    }

    pub(crate) fn no(code: Code, text: &str) -> Self {
        Self::No(Some(code), text.to_owned())
    }

    /// Whether this says that the target folder is missing.
    pub(crate) fn try_create(self) -> Self {
        match self {
            Self::No(Some(Code::NonExistent), text) => Self::No(Some(Code::TryCreate), text),
            other => other,
        }
    }

    /// An answer of the store that does not fit the question.
    pub(crate) fn unexpected() -> Self {
        tracing::error!(target: "error", "the store gave an answer that does not fit the question");
        Self::no(Code::ServerBug, "internal error")
    }

    /// Tells the client. Whether the session goes on.
    pub(crate) fn answer(&self, tag: &str, out: &mut Writer) -> Result<bool, Closed> {
        match self {
            Self::No(code, text) => out.status(tag, "NO", code.map(Code::text), text),
            Self::Bad(text) => out.status(tag, "BAD", None, text),
            Self::Bye(text) => {
                out.untagged(format_args!("BYE {text}"));
                return Ok(false);
            }
            Self::Closed => return Err(Closed),
        }
        Ok(true)
    }
}

impl From<Closed> for Fail {
    fn from(_: Closed) -> Self {
        Self::Closed
    }
}

impl From<Refusal> for Fail {
    fn from(refusal: Refusal) -> Self {
        let code = match &refusal {
            Refusal::NoSuchFolder | Refusal::NotFound => Code::NonExistent,
            Refusal::FolderExists => Code::AlreadyExists,
            Refusal::FolderInUse | Refusal::BadName => Code::Cannot,
            Refusal::OverQuota(_) => Code::OverQuota,
            Refusal::Limit(_) => Code::Limit,
            Refusal::NoSuchMailbox(_)
            | Refusal::Moving(_)
            | Refusal::Moved { .. }
            | Refusal::OutOfStep(_)
            | Refusal::MoveOver => Code::Unavailable,
        };
        Self::No(Some(code), refusal.to_string())
    }
}

impl From<StoreError> for Fail {
    fn from(error: StoreError) -> Self {
        tracing::error!(target: "error", %error, "the store did not answer");
        match error {
            StoreError::Unavailable(text) | StoreError::OutOfReach(text) => {
                Self::No(Some(Code::Unavailable), format!("{text}; try again later"))
            }
            StoreError::Storage(_) => Self::no(Code::Unavailable, "storage failed"),
            StoreError::Damaged(_) => Self::no(Code::Corruption, "stored data is damaged"),
        }
    }
}
