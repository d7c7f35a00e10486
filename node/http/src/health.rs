//! `/metrics`, `/healthz`, `/readyz`.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};

use crate::{Context, Need, Peer, Problem, access};

/// The routes outside the API.
pub(crate) fn router(context: Arc<Context>) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(context)
}

/// The reason is in the log and in the status; strangers learn only that the node is not ready.
async fn ready(State(context): State<Arc<Context>>) -> (StatusCode, &'static str) {
    match (context.ready)() {
        Ok(()) => (StatusCode::OK, "ready\n"),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "not ready\n"),
    }
}

/// For processes of this machine, and for administrators who may read everything.
async fn metrics(
    State(context): State<Arc<Context>>,
    request: Request,
) -> Result<Response, Problem> {
    let local = request.extensions().get::<Peer>().is_some_and(Peer::is_this_machine);
    if !local {
        access::authenticate(&context, &request)?
            .ok_or_else(Problem::not_signed_on)?
            .check(Need::Read)?;
    }
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    Ok((kind, (context.metrics)()).into_response())
}
