//! Mail domains.

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use posthouse_directory::{Change, Domain, DomainId, Listing, fresh_id};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{Caller, Context, Input, Problem, problem::At, validate};

/// A mail domain.
#[derive(Serialize, ToSchema)]
pub(crate) struct DomainView {
    /// Its id.
    id: Uuid,
    /// Its name.
    name: String,
    /// Other names for the same domain.
    aliases: Vec<String>,
    /// Whether names without a domain belong here. Exactly one domain is primary.
    primary: bool,
    /// Description for administrators.
    description: String,
    /// Accounts in it.
    accounts: usize,
}

/// A domain to make or to change.
#[derive(Deserialize, ToSchema)]
pub(crate) struct DomainInput {
    /// Its name. A changed name is a rename: the old one stays as an alias.
    name: String,
    /// Other names for the same domain.
    #[serde(default)]
    aliases: Vec<String>,
    /// Whether it becomes the primary domain.
    #[serde(default)]
    primary: bool,
    /// Description for administrators.
    #[serde(default)]
    description: String,
}

impl DomainView {
    fn of(context: &Context, domain: &Domain) -> Self {
        let listing = Listing { domain: Some(domain.id), limit: 1, ..Listing::default() };
        Self {
            id: domain.id.0,
            name: domain.name.clone(),
            aliases: domain.aliases.clone(),
            primary: domain.primary,
            description: domain.description.clone(),
            accounts: context.directory.list(&listing).1,
        }
    }
}

impl DomainInput {
    fn domain(&self, id: DomainId) -> Result<Domain, Problem> {
        Ok(Domain {
            id,
            name: validate::line("name", &self.name)?.to_lowercase(),
            aliases: validate::lines("aliases", &self.aliases)?
                .into_iter()
                .map(|alias| alias.to_lowercase())
                .collect(),
            primary: self.primary,
            description: validate::text("description", &self.description)?,
        })
    }
}

fn find(context: &Context, caller: &Caller, id: Uuid) -> Result<Arc<Domain>, Problem> {
    let id = DomainId(id);
    let mut domains = context.directory.domains().into_iter();
    domains
        .find(|domain| domain.id == id && caller.sees(id))
        .ok_or_else(|| Problem::not_found("domain"))
}

async fn put(
    context: &Context,
    caller: &Caller,
    domain: Domain,
) -> Result<Json<DomainView>, Problem> {
    let id = domain.id.0;
    context.directory.change(caller.actor.clone(), Change::PutDomain(domain)).await?;
    Ok(Json(DomainView::of(context, &*find(context, caller, id)?)))
}

/// Lists the domains that the caller may see, the primary one first.
#[utoipa::path(get, path = "/domains", tag = "domains", responses((status = 200, body = Vec<DomainView>)))]
pub(crate) async fn list_domains(
    State(context): State<Arc<Context>>,
    caller: Caller,
) -> Json<Vec<DomainView>> {
    let domains = context.directory.domains();
    let seen = domains.iter().filter(|domain| caller.sees(domain.id));
    Json(seen.map(|domain| DomainView::of(&context, domain)).collect())
}

/// One domain.
#[utoipa::path(get, path = "/domains/{id}", tag = "domains", params(("id" = Uuid, Path)),
    responses((status = 200, body = DomainView)))]
pub(crate) async fn get_domain(
    State(context): State<Arc<Context>>,
    caller: Caller,
    At(id): At<Uuid>,
) -> Result<Json<DomainView>, Problem> {
    Ok(Json(DomainView::of(&context, &*find(&context, &caller, id)?)))
}

/// Makes a domain.
#[utoipa::path(post, path = "/domains", tag = "domains", request_body = DomainInput,
    responses((status = 201, body = DomainView)))]
pub(crate) async fn create_domain(
    State(context): State<Arc<Context>>,
    caller: Caller,
    Input(input): Input<DomainInput>,
) -> Result<(StatusCode, Json<DomainView>), Problem> {
    let domain = input.domain(DomainId(fresh_id()))?;
    Ok((StatusCode::CREATED, put(&context, &caller, domain).await?))
}

/// Changes or renames a domain.
#[utoipa::path(put, path = "/domains/{id}", tag = "domains", params(("id" = Uuid, Path)),
    request_body = DomainInput, responses((status = 200, body = DomainView)))]
pub(crate) async fn update_domain(
    State(context): State<Arc<Context>>,
    caller: Caller,
    At(id): At<Uuid>,
    Input(input): Input<DomainInput>,
) -> Result<Json<DomainView>, Problem> {
    let before = find(&context, &caller, id)?;
    if before.primary && !input.primary {
        return Err(Problem::invalid("primary", "exactly one domain is primary")
            .remedy("Make another domain primary; this one then no longer is."));
    }
    put(&context, &caller, input.domain(before.id)?).await
}

/// Removes a domain without accounts.
#[utoipa::path(delete, path = "/domains/{id}", tag = "domains", params(("id" = Uuid, Path)),
    responses((status = 204, description = "Removed")))]
pub(crate) async fn remove_domain(
    State(context): State<Arc<Context>>,
    caller: Caller,
    At(id): At<Uuid>,
) -> Result<StatusCode, Problem> {
    let domain = find(&context, &caller, id)?;
    context.directory.change(caller.actor.clone(), Change::RemoveDomain(domain.id)).await?;
    Ok(StatusCode::NO_CONTENT)
}
