//! Explains failed sign-ons in plain words. Explains only; decides nothing.

use crate::Reason;

/// What was found out and what to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Explanation {
    pub(crate) findings: Vec<String>,
    pub(crate) remedies: Vec<String>,
}

/// What the reason alone tells.
pub(crate) fn reason(reason: &Reason) -> Explanation {
    Explanation { findings: vec![reason.to_string()], remedies: Vec::new() }
}
