//! The keytab: the keys that Kerberos tickets for this domain are made with.

use std::sync::Arc;

use axum::{Json, body::Bytes, extract::State, http::StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{Caller, Context, Problem};

/// Entries of the keytab: never the keys.
#[derive(Serialize, ToSchema)]
pub(crate) struct KeytabView {
    /// Principal, key version and encryption type of each entry, in words.
    entries: Vec<String>,
}

/// Lists the entries of the present keytab.
#[utoipa::path(get, path = "/keytab", tag = "kerberos", responses((status = 200, body = KeytabView)))]
pub(crate) async fn list_keytab(State(context): State<Arc<Context>>) -> Json<KeytabView> {
    Json(KeytabView { entries: context.auth.keytab() })
}

/// Takes a keytab into use: the file as it is.
#[utoipa::path(put, path = "/keytab", tag = "kerberos",
    request_body(content_type = "application/octet-stream", content = Vec<u8>),
    responses((status = 200, body = KeytabView)))]
pub(crate) async fn put_keytab(
    State(context): State<Arc<Context>>,
    caller: Caller,
    body: Bytes,
) -> Result<Json<KeytabView>, Problem> {
    let entries = context.auth.put_keytab(caller.actor, &body).await.map_err(|problem| {
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "bad_keytab", problem)
            .remedy("Make the keytab anew with ktutil, ktpass or samba-tool and upload that file.")
    })?;
    Ok(Json(KeytabView { entries }))
}
