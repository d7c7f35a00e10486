//! The queue: messages that still have somewhere to go.

use std::{sync::Arc, time::Duration};

use axum::{Json, extract::State, http::StatusCode};
use posthouse_cluster::GroupId;
use posthouse_directory::Change;
use posthouse_store::{Request, Response, SpoolEntry, SpoolId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    Caller, Context, Problem,
    problem::{At, Params},
};

/// Which part of the queue.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct QueuePage {
    /// Only entries above this one.
    #[serde(default)]
    after: u64,
    /// At most so many, up to 1,000.
    #[serde(default = "QueuePage::default_limit")]
    limit: u32,
}

impl QueuePage {
    const MAX: u32 = 1000;

    const fn default_limit() -> u32 {
        100
    }
}

/// A message in the queue.
#[derive(Serialize, ToSchema)]
pub(crate) struct QueueEntry {
    /// Its number.
    id: u64,
    /// When it was accepted, in milliseconds since the Unix epoch.
    accepted: u64,
    /// Not to be tried before.
    due: u64,
    /// Sender; empty for reports.
    sender: String,
    /// Size in bytes.
    size: u32,
    /// Recipients that it still has to reach.
    recipients: Vec<QueueRecipient>,
}

/// A recipient of a message in the queue.
#[derive(Serialize, ToSchema)]
pub(crate) struct QueueRecipient {
    /// Where to.
    address: String,
    /// Attempts so far.
    attempts: u32,
    /// What the next hop said last.
    last_error: Option<String>,
}

impl From<SpoolEntry> for QueueEntry {
    fn from(entry: SpoolEntry) -> Self {
        Self {
            id: entry.id.0,
            accepted: entry.accepted.0,
            due: entry.due.0,
            sender: entry.envelope.sender,
            size: entry.size,
            recipients: entry
                .recipients
                .into_iter()
                .map(|recipient| QueueRecipient {
                    address: recipient.recipient.address,
                    attempts: recipient.attempts,
                    last_error: recipient.last_error,
                })
                .collect(),
        }
    }
}

/// How long one store is waited for.
const PATIENCE: Duration = Duration::from_secs(3);

async fn ask(context: &Context, store: GroupId, request: Request) -> Result<Response, Problem> {
    match context.stores.patient(PATIENCE).request_in(store, request).await? {
        Response::Refused(refusal) => Err(refusal.into()),
        response => Ok(response),
    }
}

async fn note(context: &Context, caller: &Caller, text: String) -> Result<(), Problem> {
    context.directory.change(caller.actor.clone(), Change::Audit(text)).await?;
    Ok(())
}

/// Entries of all stores from `after` on, at most `limit`. Those of stores that cannot be reached are left out, unless
/// that leaves nothing.
pub(crate) async fn entries(
    context: &Context,
    after: SpoolId,
    limit: u32,
) -> Result<Vec<SpoolEntry>, Problem> {
    let (mut found, mut failed) = (Vec::new(), None);
    for store in context.stores.all() {
        let after = after.max(SpoolId::beginning(store));
        let left = limit.saturating_sub(u32::try_from(found.len()).unwrap_or(u32::MAX));
        if after.store() != store || left == 0 {
            continue;
        }
        match ask(context, store, Request::Spool { after, limit: left, due: None }).await {
            Ok(Response::Spool(entries)) => found.extend(entries),
            Ok(other) => {
                let text = format!("unexpected answer of the store: {other:?}");
                return Err(Problem::internal(&text));
            }
            Err(problem) => failed = Some(problem),
        }
    }
    match failed {
        Some(problem) if found.is_empty() => Err(problem),
        _ => Ok(found),
    }
}

/// Lists the queue in order of arrival.
#[utoipa::path(get, path = "/queue", tag = "queue", params(QueuePage),
    responses((status = 200, body = Vec<QueueEntry>)))]
pub(crate) async fn list_queue(
    State(context): State<Arc<Context>>,
    Params(page): Params<QueuePage>,
) -> Result<Json<Vec<QueueEntry>>, Problem> {
    let limit = page.limit.min(QueuePage::MAX);
    let entries = entries(&context, SpoolId(page.after), limit).await?;
    Ok(Json(entries.into_iter().map(QueueEntry::from).collect()))
}

/// Tries everything in the queue now.
#[utoipa::path(post, path = "/queue/retry", tag = "queue", responses((status = 204, description = "Due now")))]
pub(crate) async fn retry_queue(
    State(context): State<Arc<Context>>,
    caller: Caller,
) -> Result<StatusCode, Problem> {
    for store in context.stores.all() {
        ask(&context, store, Request::SpoolRetry { id: None }).await?;
    }
    note(&context, &caller, "retried the whole queue".to_owned()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Tries one message now.
#[utoipa::path(post, path = "/queue/{id}/retry", tag = "queue", params(("id" = u64, Path)),
    responses((status = 204, description = "Due now")))]
pub(crate) async fn retry_entry(
    State(context): State<Arc<Context>>,
    caller: Caller,
    At(id): At<u64>,
) -> Result<StatusCode, Problem> {
    let id = SpoolId(id);
    ask(&context, id.store(), Request::SpoolRetry { id: Some(id) }).await?;
    note(&context, &caller, format!("retried message {} of the queue", id.0)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes a message out of the queue. It is lost; the sender is not told.
#[utoipa::path(delete, path = "/queue/{id}", tag = "queue", params(("id" = u64, Path)),
    responses((status = 204, description = "Removed")))]
pub(crate) async fn remove_entry(
    State(context): State<Arc<Context>>,
    caller: Caller,
    At(id): At<u64>,
) -> Result<StatusCode, Problem> {
    note(&context, &caller, format!("removes message {id} from the queue")).await?;
    let id = SpoolId(id);
    ask(&context, id.store(), Request::SpoolRemove { id }).await?;
    Ok(StatusCode::NO_CONTENT)
}
