//! Aliases (F12.3).

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use posthouse_directory::{Account, AliasInfo, Kind};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::accounts::{self, AccountInput, AccountView, Page};
use crate::{
    Caller, Context, Input, Problem,
    problem::{At, Params},
    validate,
};

/// An alias.
#[derive(Serialize, ToSchema)]
pub(crate) struct AliasView {
    #[serde(flatten)]
    account: AccountView,
    /// Where mail goes: full addresses, or names in the domain of the alias.
    targets: Vec<String>,
}

/// A page of aliases.
#[derive(Serialize, ToSchema)]
pub(crate) struct AliasPage {
    /// The page.
    items: Vec<AliasView>,
    /// How many there are in all.
    total: usize,
}

/// An alias to make or to change.
#[derive(Deserialize, ToSchema)]
pub(crate) struct AliasInput {
    #[serde(flatten)]
    account: AccountInput,
    /// Where mail goes: full addresses, or names in the domain of the alias.
    targets: Vec<String>,
}

impl AliasView {
    fn of(context: &Context, account: &Account) -> Self {
        let targets = match &account.kind {
            Kind::Alias(info) => info.targets.clone(),
            _ => Vec::new(),
        };
        Self { account: AccountView::of(context, account), targets }
    }
}

fn kind(input: &AliasInput) -> Result<Kind, Problem> {
    let targets = validate::lines("targets", &input.targets)?;
    if targets.is_empty() {
        return Err(Problem::invalid("targets", "an alias needs at least one target"));
    }
    Ok(Kind::Alias(AliasInfo { targets }))
}

/// Lists aliases.
#[utoipa::path(get, path = "/aliases", tag = "aliases", params(Page),
    responses((status = 200, body = AliasPage)))]
pub(crate) async fn list_aliases(
    State(context): State<Arc<Context>>,
    caller: Caller,
    Params(page): Params<Page>,
) -> Json<AliasPage> {
    let (found, total) = accounts::list(&context, &caller, "alias", &page);
    let items = found.iter().map(|account| AliasView::of(&context, account)).collect();
    Json(AliasPage { items, total })
}

/// One alias.
#[utoipa::path(get, path = "/aliases/{id}", tag = "aliases", params(("id" = Uuid, Path)),
    responses((status = 200, body = AliasView)))]
pub(crate) async fn get_alias(
    State(context): State<Arc<Context>>,
    caller: Caller,
    At(id): At<Uuid>,
) -> Result<Json<AliasView>, Problem> {
    let account = accounts::find(&context, &caller, "alias", id)?;
    Ok(Json(AliasView::of(&context, &account)))
}

/// Makes an alias.
#[utoipa::path(post, path = "/aliases", tag = "aliases", request_body = AliasInput,
    responses((status = 201, body = AliasView)))]
pub(crate) async fn create_alias(
    State(context): State<Arc<Context>>,
    caller: Caller,
    Input(input): Input<AliasInput>,
) -> Result<(StatusCode, Json<AliasView>), Problem> {
    let kind = kind(&input)?;
    let account = accounts::build(&context, &caller, None, &input.account, kind)?;
    let account = accounts::put(&context, &caller, account).await?;
    Ok((StatusCode::CREATED, Json(AliasView::of(&context, &account))))
}

/// Changes an alias.
#[utoipa::path(put, path = "/aliases/{id}", tag = "aliases", params(("id" = Uuid, Path)),
    request_body = AliasInput, responses((status = 200, body = AliasView)))]
pub(crate) async fn update_alias(
    State(context): State<Arc<Context>>,
    caller: Caller,
    At(id): At<Uuid>,
    Input(input): Input<AliasInput>,
) -> Result<Json<AliasView>, Problem> {
    let before = accounts::find_to_change(&context, &caller, "alias", id)?;
    let kind = kind(&input)?;
    let account = accounts::build(&context, &caller, Some(&before), &input.account, kind)?;
    let account = accounts::put(&context, &caller, account).await?;
    Ok(Json(AliasView::of(&context, &account)))
}

/// Removes an alias.
#[utoipa::path(delete, path = "/aliases/{id}", tag = "aliases", params(("id" = Uuid, Path)),
    responses((status = 204, description = "Removed")))]
pub(crate) async fn remove_alias(
    State(context): State<Arc<Context>>,
    caller: Caller,
    At(id): At<Uuid>,
) -> Result<StatusCode, Problem> {
    let account = accounts::find_to_change(&context, &caller, "alias", id)?;
    accounts::remove(&context, &caller, &account).await?;
    Ok(StatusCode::NO_CONTENT)
}
