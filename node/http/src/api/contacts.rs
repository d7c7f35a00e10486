//! Contacts: people without a mailbox whom the address book shows.

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use posthouse_directory::{Account, Kind, Person};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::accounts::{self, AccountInput, AccountView, Page, PersonView};
use crate::{
    Caller, Context, Input, Problem,
    problem::{At, Params},
};

/// A contact.
#[derive(Serialize, ToSchema)]
pub(crate) struct ContactView {
    #[serde(flatten)]
    account: AccountView,
    /// Person.
    person: PersonView,
}

/// A page of contacts.
#[derive(Serialize, ToSchema)]
pub(crate) struct ContactPage {
    /// The page.
    items: Vec<ContactView>,
    /// How many there are in all.
    total: usize,
}

/// A contact to make or to change.
#[derive(Deserialize, ToSchema)]
pub(crate) struct ContactInput {
    #[serde(flatten)]
    account: AccountInput,
    /// Person.
    #[serde(default)]
    person: PersonView,
}

impl ContactView {
    fn of(context: &Context, account: &Account) -> Self {
        let none = Person::default();
        let person = match &account.kind {
            Kind::Contact(person) => person,
            _ => &none,
        };
        Self { account: AccountView::of(context, account), person: PersonView::of(person) }
    }
}

fn kind(input: &ContactInput) -> Result<Kind, Problem> {
    Ok(Kind::Contact(input.person.person()?))
}

/// Lists contacts.
#[utoipa::path(get, path = "/contacts", tag = "contacts", params(Page),
    responses((status = 200, body = ContactPage)))]
pub(crate) async fn list_contacts(
    State(context): State<Arc<Context>>,
    caller: Caller,
    Params(page): Params<Page>,
) -> Json<ContactPage> {
    let (found, total) = accounts::list(&context, &caller, "contact", &page);
    let items = found.iter().map(|account| ContactView::of(&context, account)).collect();
    Json(ContactPage { items, total })
}

/// One contact.
#[utoipa::path(get, path = "/contacts/{id}", tag = "contacts", params(("id" = Uuid, Path)),
    responses((status = 200, body = ContactView)))]
pub(crate) async fn get_contact(
    State(context): State<Arc<Context>>,
    caller: Caller,
    At(id): At<Uuid>,
) -> Result<Json<ContactView>, Problem> {
    let account = accounts::find(&context, &caller, "contact", id)?;
    Ok(Json(ContactView::of(&context, &account)))
}

/// Makes a contact.
#[utoipa::path(post, path = "/contacts", tag = "contacts", request_body = ContactInput,
    responses((status = 201, body = ContactView)))]
pub(crate) async fn create_contact(
    State(context): State<Arc<Context>>,
    caller: Caller,
    Input(input): Input<ContactInput>,
) -> Result<(StatusCode, Json<ContactView>), Problem> {
    let kind = kind(&input)?;
    let account = accounts::build(&context, &caller, None, &input.account, kind)?;
    let account = accounts::put(&context, &caller, account).await?;
    Ok((StatusCode::CREATED, Json(ContactView::of(&context, &account))))
}

/// Changes a contact.
#[utoipa::path(put, path = "/contacts/{id}", tag = "contacts", params(("id" = Uuid, Path)),
    request_body = ContactInput, responses((status = 200, body = ContactView)))]
pub(crate) async fn update_contact(
    State(context): State<Arc<Context>>,
    caller: Caller,
    At(id): At<Uuid>,
    Input(input): Input<ContactInput>,
) -> Result<Json<ContactView>, Problem> {
    let before = accounts::find_to_change(&context, &caller, "contact", id)?;
    let kind = kind(&input)?;
    let account = accounts::build(&context, &caller, Some(&before), &input.account, kind)?;
    let account = accounts::put(&context, &caller, account).await?;
    Ok(Json(ContactView::of(&context, &account)))
}

/// Removes a contact.
#[utoipa::path(delete, path = "/contacts/{id}", tag = "contacts", params(("id" = Uuid, Path)),
    responses((status = 204, description = "Removed")))]
pub(crate) async fn remove_contact(
    State(context): State<Arc<Context>>,
    caller: Caller,
    At(id): At<Uuid>,
) -> Result<StatusCode, Problem> {
    let account = accounts::find_to_change(&context, &caller, "contact", id)?;
    accounts::remove(&context, &caller, &account).await?;
    Ok(StatusCode::NO_CONTENT)
}
