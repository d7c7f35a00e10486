//! What a node that is set up says about its set-up, and the description of the API.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::Context;

/// How far the set-up is. This part of the program only runs once it is done.
#[derive(Serialize, ToSchema)]
pub(crate) struct SetupDone {
    /// Always `done`.
    stage: &'static str,
    /// Where to sign on.
    address: String,
}

/// Says that the set-up is done.
#[utoipa::path(get, path = "/setup", tag = "setup", responses((status = 200, body = SetupDone)))]
pub(crate) async fn setup_state(State(context): State<Arc<Context>>) -> Json<SetupDone> {
    Json(SetupDone { stage: "done", address: format!("https://{}/", context.host) })
}

/// This document.
#[utoipa::path(get, path = "/openapi.json", tag = "setup", responses((status = 200, description = "OpenAPI")))]
pub(crate) async fn openapi_document() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], super::openapi()).into_response()
}
