//! Failed sign-ons with explanations.

use std::{cmp::Reverse, sync::Arc};

use axum::{Json, extract::State};
use posthouse_auth::FailureRecord;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{Context, Problem, problem::Params, validate};

/// Which failures.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Filter {
    /// Only of this name or principal.
    name: Option<String>,
    /// At most so many, up to 500.
    #[serde(default = "Filter::default_limit")]
    limit: usize,
}

impl Filter {
    const MAX: usize = 500;

    const fn default_limit() -> usize {
        100
    }
}

/// A failed sign-on.
#[derive(Serialize, ToSchema)]
pub(crate) struct FailureView {
    /// When, in milliseconds since the Unix epoch.
    at: u64,
    /// Which service.
    service: String,
    /// From where.
    address: String,
    /// Mechanism.
    mechanism: String,
    /// Name or principal that was tried.
    name: String,
    /// Why it failed.
    reason: String,
    /// What was found out, one sentence each.
    findings: Vec<String>,
    /// What to do, one sentence each.
    remedies: Vec<String>,
}

impl From<FailureRecord> for FailureView {
    fn from(record: FailureRecord) -> Self {
        Self {
            at: record.at.0,
            service: record.service,
            address: record.address.to_string(),
            mechanism: record.mechanism,
            name: record.name,
            reason: record.reason.to_string(),
            findings: record.findings,
            remedies: record.remedies,
        }
    }
}

/// Newest first, at most `limit`.
pub(crate) fn newest(mut records: Vec<FailureRecord>, limit: usize) -> Vec<FailureView> {
    records.sort_by_key(|record| Reverse(record.at));
    records.truncate(limit);
    records.into_iter().map(FailureView::from).collect()
}

/// Lists the newest failed sign-ons, with why and what to do.
#[utoipa::path(get, path = "/failures", tag = "kerberos", params(Filter),
    responses((status = 200, body = Vec<FailureView>)))]
pub(crate) async fn list_failures(
    State(context): State<Arc<Context>>,
    Params(filter): Params<Filter>,
) -> Result<Json<Vec<FailureView>>, Problem> {
    let name = filter.name.map(|name| validate::line("name", &name)).transpose()?;
    let name = name.as_deref().filter(|name| !name.is_empty());
    let limit = filter.limit.min(Filter::MAX);
    Ok(Json(newest(context.auth.failures(name, limit), limit)))
}
