//! The audit log.

use std::sync::Arc;

use axum::{Json, extract::State};
use posthouse_directory::Actor;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{Context, Problem, problem::Params};

/// Which part of the log.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct AuditPage {
    /// Only lines below this sequence number.
    before: Option<u64>,
    /// At most so many, up to 500.
    #[serde(default = "AuditPage::default_limit")]
    limit: usize,
}

impl AuditPage {
    const MAX: usize = 500;

    const fn default_limit() -> usize {
        100
    }
}

/// A line of the audit log.
#[derive(Serialize, ToSchema)]
pub(crate) struct AuditLine {
    /// Ascending.
    sequence: u64,
    /// When, in milliseconds since the Unix epoch.
    at: u64,
    /// By whom: an address, or what the node did by itself.
    who: String,
    /// What.
    text: String,
}

/// Lists changes, newest first.
#[utoipa::path(get, path = "/audit", tag = "audit", params(AuditPage),
    responses((status = 200, body = Vec<AuditLine>)))]
pub(crate) async fn list_audit(
    State(context): State<Arc<Context>>,
    Params(page): Params<AuditPage>,
) -> Result<Json<Vec<AuditLine>>, Problem> {
    let lines = context.directory.audit(page.before, page.limit.min(AuditPage::MAX)).await?;
    let view = lines.into_iter().map(|line| AuditLine {
        sequence: line.sequence,
        at: line.at.0,
        who: who(&context, &line.actor),
        text: line.text,
    });
    Ok(Json(view.collect()))
}

fn who(context: &Context, actor: &Actor) -> String {
    match actor {
        Actor::Account(id) => context
            .directory
            .account(*id)
            .and_then(|account| context.directory.address_of(&account))
            .unwrap_or_else(|| format!("removed account {}", id.0)),
        Actor::System(what) => what.clone(),
    }
}
