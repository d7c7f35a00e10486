//! The web listener: sign-on, admin API, pages.
//!
//! [`router`] is everything that a node that is set up answers; [`serve`] puts any router on a socket under TLS.
//! [`pages`] gives another API (the set-up) the same pages, headers and limits. The API is declared in one
//! table, [`OPERATIONS`]; routes, rights and the OpenAPI document come from it.
#![forbid(unsafe_code)]

mod access;
mod api;
mod assets;
mod context;
mod headers;
mod health;
mod peer;
mod problem;
mod redirect;
mod serve;
mod stall_limit;
mod token;
mod validate;

pub use access::{Caller, Need};
pub use api::{API_PREFIX, OPERATIONS, Operation, openapi};
pub use assets::{MAX_BODY, pages};
pub use context::{
    AuthorityView, ClusterControl, ClusterError, ClusterLink, ClusterNode, ClusterNodeState,
    ClusterOrder, ClusterOutcome, ClusterPlan, ClusterReplica, ClusterResult, ClusterStatus,
    ClusterStore, Context, DomainGroupView, InviteState, InviteView, MoveState, MoveView,
    NewInvite, NoCluster, PlannedAction, SourceControl, SourcePreview, SourcePreviewEntry,
    SourceReport,
};
pub use headers::REQUEST_HEADER;
pub use peer::Peer;
pub use problem::{Input, Problem};
pub use redirect::redirect_to_https;
pub use serve::{ConnectionLimits, ServeOptions, serve};
pub use token::LocalToken;

use std::sync::Arc;

use axum::Router;

/// Everything that a node answers over HTTP once it is set up: pages, `/api/v1`, `/metrics`, `/healthz`, `/readyz`.
pub fn router(context: Arc<Context>) -> Router {
    pages(api::router(context.clone()).merge(health::router(context)))
}
