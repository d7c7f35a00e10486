//! Joining a cluster instead of making a domain: what all doors check and say.

use posthouse_cluster::{env::BoxFuture, join::InviteCode};

use crate::{Answers, ApplyError, Problem};

/// Makes this node one of the cluster whose member made the code.
pub trait Joiner: Send + Sync + 'static {
    /// Knocks at the addresses in the code. `site` may be empty: that of the node that answers; `links`: addresses
    /// (`host:port`) where other nodes reach this one, empty: found out. The error is for the administrator and
    /// says what to do; after it this node is as it was and the same code may be tried again.
    fn join(
        &self,
        code: String,
        host: String,
        site: String,
        links: Vec<String>,
    ) -> BoxFuture<Result<JoinOutcome, String>>;
}

/// What joining brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinOutcome {
    /// Name of the cluster.
    pub cluster: String,
    /// Number of this node in it.
    pub node: u64,
}

/// Whether a text is a code, without sending anything: the addresses in it, or what is wrong.
pub fn check_code(code: &str) -> Result<Vec<String>, String> {
    code.parse::<InviteCode>().map(|code| code.addresses).map_err(|error| error.to_string())
}

/// Joins as the answers say.
pub async fn join(answers: &Answers, joiner: &dyn Joiner) -> Result<JoinOutcome, ApplyError> {
    let problems = answers.problems();
    if !problems.is_empty() {
        return Err(ApplyError::Invalid(problems));
    }
    let Some(code) = &answers.join else {
        let message = "the code of `posthouse cluster invite` is missing".to_owned();
        return Err(ApplyError::Invalid(vec![Problem { field: "join".to_owned(), message }]));
    };
    let host = answers.host.to_ascii_lowercase();
    let site = answers.site.trim().to_owned();
    joiner
        .join(code.expose().to_owned(), host, site, answers.links.clone())
        .await
        .map_err(ApplyError::Join)
}
