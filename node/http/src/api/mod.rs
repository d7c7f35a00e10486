//! The admin API: one table of operations; routes, rights and the OpenAPI document come from it.

mod accounts;
mod aliases;
mod audit;
mod cluster;
mod contacts;
mod demo;
mod demo_names;
mod domains;
mod failures;
mod groups;
mod keytab;
mod people;
mod queue;
mod resolve;
mod session;
mod settings;
mod setup;
mod sources;
mod status;
mod users;

use std::{collections::HashMap, sync::Arc, sync::LazyLock};

use axum::{Router, http::Method, middleware, routing::MethodFilter};
use serde_json::json;
use utoipa::OpenApi;

use crate::{Context, Need, access};

pub(crate) use cluster::check_writable;

/// Where the API lives.
pub const API_PREFIX: &str = "/api/v1";

/// One operation of the API.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    /// HTTP method.
    pub method: &'static str,
    /// Path below [`API_PREFIX`], with `{parameters}`.
    pub path: &'static str,
    /// What a caller needs.
    pub need: Need,
}

macro_rules! operations {
    ($($method:ident $path:literal $need:ident $module:ident::$handler:ident;)*) => {
        /// All operations.
        pub const OPERATIONS: &[Operation] = &[$(
            Operation { method: stringify!($method), path: $path, need: Need::$need },
        )*];

        fn routes() -> Router<Arc<Context>> {
            Router::new()$(.route($path, axum::routing::on(MethodFilter::$method, $module::$handler)))*
        }

        #[derive(OpenApi)]
        #[openapi(
            info(
                title = "Posthouse administration",
                description = "What the pages and the command line use. Errors are problem documents (RFC 9457).",
                license(name = "AGPL-3.0-or-later", identifier = "AGPL-3.0-or-later"),
            ),
            servers((url = "/api/v1")),
            paths($($module::$handler),*),
            components(schemas(crate::Problem)),
        )]
        struct Document;
    };
}

operations! {
    GET    "/setup"                    Nobody         setup::setup_state;
    POST   "/session"                  Nobody         session::sign_on;
    GET    "/session/negotiate"        Nobody         session::negotiate;
    GET    "/session"                  SignedOn       session::who_am_i;
    DELETE "/session"                  SignedOn       session::sign_off;
    GET    "/session/failures"         SignedOn       session::own_failures;
    PUT    "/session/password"         SignedOn       session::change_own_password;
    GET    "/openapi.json"             SignedOn       setup::openapi_document;
    GET    "/domains"                  SeeAccounts    domains::list_domains;
    POST   "/domains"                  Full           domains::create_domain;
    GET    "/domains/{id}"             SeeAccounts    domains::get_domain;
    PUT    "/domains/{id}"             Full           domains::update_domain;
    DELETE "/domains/{id}"             Full           domains::remove_domain;
    GET    "/users"                    SeeAccounts    users::list_users;
    POST   "/users"                    ChangeAccounts users::create_user;
    GET    "/users/{id}"               SeeAccounts    users::get_user;
    PUT    "/users/{id}"               ChangeAccounts users::update_user;
    DELETE "/users/{id}"               ChangeAccounts users::remove_user;
    PUT    "/users/{id}/password"      ChangeAccounts people::set_password;
    PUT    "/users/{id}/state"         ChangeAccounts people::set_state;
    POST   "/users/{id}/unlock"        ChangeAccounts people::unlock_user;
    GET    "/groups"                   SeeAccounts    groups::list_groups;
    POST   "/groups"                   ChangeAccounts groups::create_group;
    GET    "/groups/{id}"              SeeAccounts    groups::get_group;
    PUT    "/groups/{id}"              ChangeAccounts groups::update_group;
    DELETE "/groups/{id}"              ChangeAccounts groups::remove_group;
    GET    "/aliases"                  SeeAccounts    aliases::list_aliases;
    POST   "/aliases"                  ChangeAccounts aliases::create_alias;
    GET    "/aliases/{id}"             SeeAccounts    aliases::get_alias;
    PUT    "/aliases/{id}"             ChangeAccounts aliases::update_alias;
    DELETE "/aliases/{id}"             ChangeAccounts aliases::remove_alias;
    GET    "/contacts"                 SeeAccounts    contacts::list_contacts;
    POST   "/contacts"                 ChangeAccounts contacts::create_contact;
    GET    "/contacts/{id}"            SeeAccounts    contacts::get_contact;
    PUT    "/contacts/{id}"            ChangeAccounts contacts::update_contact;
    DELETE "/contacts/{id}"            ChangeAccounts contacts::remove_contact;
    GET    "/resolve"                  SeeAccounts    resolve::resolve_address;
    GET    "/status"                   Read           status::status;
    GET    "/cluster"                  Read           cluster::cluster_status;
    GET    "/cluster/writable"         SignedOn       cluster::cluster_writable;
    GET    "/cluster/invites"          Read           cluster::list_invites;
    POST   "/cluster/invites"          Full           cluster::create_invite;
    DELETE "/cluster/invites/{id}"     Full           cluster::revoke_invite;
    GET    "/cluster/moves"            Read           cluster::list_moves;
    POST   "/cluster/orders"           Full           cluster::give_order;
    GET    "/settings"                 Read           settings::list_settings;
    PUT    "/settings/{name}"          Full           settings::set_setting;
    GET    "/sources"                  Read           sources::list_sources;
    POST   "/sources"                  Full           sources::create_source;
    POST   "/sources/preview"          Full           sources::preview_source;
    GET    "/sources/{id}"             Read           sources::get_source;
    PUT    "/sources/{id}"             Full           sources::update_source;
    DELETE "/sources/{id}"             Full           sources::remove_source;
    POST   "/sources/{id}/sync"        Full           sources::sync_source;
    POST   "/sources/{id}/confirm"     Full           sources::confirm_source;
    GET    "/keytab"                   Read           keytab::list_keytab;
    PUT    "/keytab"                   Full           keytab::put_keytab;
    GET    "/failures"                 Read           failures::list_failures;
    GET    "/queue"                    Read           queue::list_queue;
    POST   "/queue/retry"              Full           queue::retry_queue;
    POST   "/queue/{id}/retry"         Full           queue::retry_entry;
    DELETE "/queue/{id}"               Full           queue::remove_entry;
    GET    "/audit"                    Read           audit::list_audit;
    POST   "/demo/users"               Full           demo::make_demo_users;
}

static NEEDS: LazyLock<HashMap<(&'static str, &'static str), Need>> = LazyLock::new(|| {
    OPERATIONS
        .iter()
        .map(|operation| ((operation.method, operation.path), operation.need))
        .collect()
});

/// Changes that do not change settings, or that mend a lost majority: they work on a node that is cut off from it.
/// All others are refused there at once, with the reason.
const WITHOUT_MAJORITY: &[(&str, &str)] = &[
    ("POST", "/sources/preview"),
    ("POST", "/queue/retry"),
    ("POST", "/queue/{id}/retry"),
    ("DELETE", "/queue/{id}"),
    ("POST", "/cluster/orders"),
    ("POST", "/session"),
    ("DELETE", "/session"),
];

/// Whether an operation changes settings.
pub(crate) fn changes_settings(method: &Method, matched_path: &str) -> bool {
    let path = matched_path.strip_prefix(API_PREFIX).unwrap_or_default();
    !method.is_safe() && !WITHOUT_MAJORITY.contains(&(method.as_str(), path))
}

/// What an operation needs; `None` if there is none of that method and path.
pub(crate) fn need(method: &Method, matched_path: &str) -> Option<Need> {
    let path = matched_path.strip_prefix(API_PREFIX)?;
    let method = if method == Method::HEAD { "GET" } else { method.as_str() };
    NEEDS.iter().find(|((m, p), _)| *m == method && *p == path).map(|(_, need)| *need)
}

/// The routes, each behind [`access::enforce`].
pub(crate) fn router(context: Arc<Context>) -> Router {
    let routes =
        routes().route_layer(middleware::from_fn_with_state(context.clone(), access::enforce));
    Router::new().nest(API_PREFIX, routes).with_state(context)
}

/// The OpenAPI document, as JSON. Every operation names what it needs (`x-need`) and how errors look.
pub fn openapi() -> String {
    let mut document = serde_json::to_value(Document::openapi()).unwrap_or_default();
    let problem = json!({
        "description": "Not done; the problem says why and what to do.",
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    });
    for operation in OPERATIONS {
        let entry = &mut document["paths"][operation.path][operation.method.to_lowercase()];
        entry["x-need"] = json!(operation.need);
        entry["responses"]["default"] = problem.clone();
    }
    serde_json::to_string_pretty(&document).unwrap_or_default() + "\n"
}
