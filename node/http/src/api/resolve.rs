//! Check address (F12.3-5).

use std::sync::Arc;

use axum::{Json, extract::State};
use posthouse_directory::Target;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::{Caller, Context, Problem, problem::Params, validate};

/// What to look up.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Address {
    /// Any address.
    address: String,
}

/// Where mail for an address goes, and why.
#[derive(Serialize, ToSchema)]
pub(crate) struct ResolutionView {
    /// The address.
    address: String,
    /// Whether its domain is ours.
    local_domain: bool,
    /// Whether mail for it would be taken.
    accepted: bool,
    /// Where the mail goes.
    targets: Vec<TargetView>,
    /// How that came about, in order.
    steps: Vec<StepView>,
    /// The limit that ended the resolution, if one did.
    limit: Option<String>,
}

/// One target.
#[derive(Serialize, ToSchema)]
pub(crate) struct TargetView {
    /// The address that is shown for the mailbox, or the address elsewhere.
    address: String,
    /// The user, for a mailbox of ours.
    user: Option<Uuid>,
}

/// One step.
#[derive(Serialize, ToSchema)]
pub(crate) struct StepView {
    /// What was looked up.
    address: String,
    /// What was found.
    found: String,
}

/// Says where mail for an address goes, step by step.
#[utoipa::path(get, path = "/resolve", tag = "addresses", params(Address),
    responses((status = 200, body = ResolutionView)))]
pub(crate) async fn resolve_address(
    State(context): State<Arc<Context>>,
    caller: Caller,
    Params(query): Params<Address>,
) -> Result<Json<ResolutionView>, Problem> {
    let address = validate::line("address", &query.address)?;
    if let Some(own) = caller.only_domain() {
        let domain = address.rsplit_once('@').map(|(_, domain)| domain.to_lowercase());
        let ours = context.directory.domains().into_iter().any(|known| {
            known.id == own
                && domain
                    .as_ref()
                    .is_some_and(|name| known.name == *name || known.aliases.contains(name))
        });
        if !ours {
            return Err(Problem::forbidden("you may check addresses of your own domain only"));
        }
    }
    let found = context.directory.resolve(&address);
    let targets: Vec<_> = found.targets.iter().map(|target| view(&context, target)).collect();
    Ok(Json(ResolutionView {
        address,
        local_domain: found.local_domain,
        accepted: found.local_domain && !targets.is_empty(),
        targets,
        steps: found
            .steps
            .into_iter()
            .map(|step| StepView { address: step.address, found: step.found })
            .collect(),
        limit: found.limit,
    }))
}

fn view(context: &Context, target: &Target) -> TargetView {
    match target {
        Target::Mailbox(id) => TargetView {
            address: context
                .directory
                .account(*id)
                .and_then(|account| context.directory.address_of(&account))
                .unwrap_or_default(),
            user: Some(id.0),
        },
        Target::Remote(address) => TargetView { address: address.clone(), user: None },
    }
}
