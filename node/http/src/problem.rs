//! Errors as the API answers them (RFC 9457), and request bodies.

use axum::{
    Json,
    extract::{
        FromRequest,
        rejection::{JsonRejection, PathRejection, QueryRejection},
    },
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use posthouse_directory::{ChangeError, ChangeRefusal};
use posthouse_store::{Refusal, StoreError};
use serde::Serialize;
use utoipa::ToSchema;

/// An error for the client: what happened and what to do about it. Never holds a secret.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Problem {
    /// HTTP status.
    pub status: u16,
    /// Stable short name, for programs.
    pub code: String,
    /// What happened, in words.
    pub message: String,
    /// What to do about it; may be empty.
    pub remedy: String,
    /// The field of the request that is to blame, where one is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
}

impl Problem {
    /// A problem without a remedy.
    pub fn new(status: StatusCode, code: &str, message: impl Into<String>) -> Self {
        Self {
            status: status.as_u16(),
            code: code.to_owned(),
            message: message.into(),
            remedy: String::new(),
            field: None,
        }
    }

    /// With what to do.
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = remedy.into();
        self
    }

    /// With the field that is to blame.
    pub fn field(mut self, field: &str) -> Self {
        self.field = Some(field.to_owned());
        self
    }

    /// There is no such thing, or the caller may not know that there is.
    pub fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", format!("there is no such {what}"))
            .remedy("Load the list again: it may have been removed in the meantime.")
    }

    /// A field has a value that is not allowed.
    pub fn invalid(field: &str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", message).field(field)
    }

    pub(crate) fn not_signed_on() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "not_signed_on", "you are not signed on")
            .remedy("Sign on and try again.")
    }

    pub(crate) fn forbidden(message: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", message)
            .remedy("Ask a full administrator to do it, or to give you the right.")
    }

    pub(crate) fn internal(cause: &str) -> Self {
        tracing::error!(target: "error", cause, "web request failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the node could not do this")
            .remedy("Look into the error log of the node.")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(&self)).into_response();
        let kind = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    }
}

impl From<ChangeError> for Problem {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::Refused(refusal) => refusal.into(),
            ChangeError::Unavailable(text) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", text)
                    .remedy("Nothing was changed. Try again in a moment.")
            }
            ChangeError::Storage(text) => storage(&text),
            read_only @ ChangeError::NoMajority(_) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "read_only", read_only.to_string())
                    .remedy("Wait until the other nodes can be reached, or change it there.")
            }
        }
    }
}

impl From<ChangeRefusal> for Problem {
    fn from(refusal: ChangeRefusal) -> Self {
        let message = refusal.to_string();
        let conflict = |code| Self::new(StatusCode::CONFLICT, code, message.clone());
        match refusal {
            ChangeRefusal::AddressTaken { .. } => conflict("address_taken")
                .remedy("Choose another name or address, or take it from its owner first."),
            ChangeRefusal::DomainTaken(_) => conflict("domain_taken").field("name"),
            ChangeRefusal::BadName(_) => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "bad_name", message)
                    .remedy("Use lower-case letters, digits, dots, hyphens and underscores.")
                    .field("name")
            }
            ChangeRefusal::NotFound(what) => Self::not_found(&what),
            ChangeRefusal::DomainInUse(_) => conflict("domain_in_use")
                .remedy("Remove its users, groups, aliases and contacts first."),
            ChangeRefusal::LastAdministrator => {
                conflict("last_administrator").remedy("Give another user full rights first.")
            }
            ChangeRefusal::PrimaryDomain => conflict("primary_domain"),
            ChangeRefusal::Exists => conflict("exists"),
            ChangeRefusal::Invalid(_) => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", message)
            }
            ChangeRefusal::InviteUnknown => conflict("invite_unknown"),
            ChangeRefusal::InviteUsed(_) => conflict("invite_used"),
            ChangeRefusal::InviteExpired => conflict("invite_expired"),
            ChangeRefusal::InviteRevoked => conflict("invite_revoked"),
            ChangeRefusal::InviteHost(_) => conflict("invite_host"),
            ChangeRefusal::HostTaken { .. } => conflict("host_taken"),
            ChangeRefusal::KeyTaken(_) => conflict("key_taken"),
            ChangeRefusal::NodeRemoved(_) => conflict("node_removed"),
            ChangeRefusal::WouldLose(_) => {
                conflict("would_lose").remedy("Move the mailboxes or add a replica first.")
            }
            ChangeRefusal::LastNode => conflict("last_node"),
            ChangeRefusal::LevelTooLow { .. } => conflict("level_too_low"),
            ChangeRefusal::BadLevel { .. } => conflict("bad_level"),
            ChangeRefusal::StoreInUse(_) => conflict("store_in_use"),
            ChangeRefusal::MoveOpen(_) => conflict("move_open"),
            ChangeRefusal::MoveStep { .. } => conflict("move_step"),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(text) | StoreError::OutOfReach(text) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", text)
                    .remedy("Try again in a moment.")
            }
            StoreError::Storage(text) => storage(&text),
            StoreError::Damaged(text) => Self::internal(&text),
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let status = match refusal {
            Refusal::NoSuchMailbox(_) | Refusal::NoSuchFolder | Refusal::NotFound => {
                StatusCode::NOT_FOUND
            }
            Refusal::FolderExists | Refusal::FolderInUse | Refusal::OverQuota(_) => {
                StatusCode::CONFLICT
            }
            Refusal::BadName | Refusal::Limit(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Refusal::Moving(_) | Refusal::Moved { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Refusal::OutOfStep(_) | Refusal::MoveOver => StatusCode::CONFLICT,
        };
        Self::new(status, "refused", refusal.to_string())
    }
}

fn storage(text: &str) -> Problem {
    tracing::error!(target: "error", cause = ?text, "storage failed");
    Problem::new(StatusCode::INSUFFICIENT_STORAGE, "storage", "the node's disk failed or is full")
        .remedy("Free some space or replace the disk; the error log of the node says more.")
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        Self::new(rejection.status(), "bad_request", rejection.body_text())
    }
}

impl From<PathRejection> for Problem {
    fn from(rejection: PathRejection) -> Self {
        Self::new(rejection.status(), "bad_request", rejection.body_text())
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        Self::new(rejection.status(), "bad_request", rejection.body_text())
    }
}

/// A request body in JSON; what does not fit is answered with a [`Problem`].
#[derive(FromRequest)]
#[from_request(via(Json), rejection(Problem))]
pub struct Input<T>(pub T);

/// Parameters in the path.
#[derive(axum::extract::FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(Problem))]
pub(crate) struct At<T>(pub(crate) T);

/// Parameters in the query.
#[derive(axum::extract::FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(Problem))]
pub(crate) struct Params<T>(pub(crate) T);
