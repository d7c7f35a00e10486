//! Users.

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use posthouse_cluster::GroupId;
use posthouse_directory::{Account, Kind, StoreId, User};
use posthouse_store::{MailboxId, Quota, Refusal, Request, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::accounts::{self, AccountInput, AccountView, Page, PersonView, RightsName};
use crate::{
    Caller, Context, Input, Problem,
    problem::{At, Params},
};

/// A user.
#[derive(Serialize, ToSchema)]
pub(crate) struct UserView {
    #[serde(flatten)]
    account: AccountView,
    /// Person.
    person: PersonView,
    /// Kerberos principals.
    principals: Vec<String>,
    /// Further names to sign on with.
    login_names: Vec<String>,
    /// Whether there is a password that lives here.
    has_password: bool,
    /// When the account expires, in milliseconds since the Unix epoch.
    expires: Option<u64>,
    /// Own rights.
    rights: RightsName,
    /// Rights with those of groups.
    effective_rights: RightsName,
    /// Largest sum of item sizes in bytes.
    quota_bytes: Option<u64>,
    /// Largest number of items.
    quota_items: Option<u64>,
    /// The store that the mailbox is in, where there is one.
    store: Option<u64>,
    /// Bytes in use; only when one user is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    used_bytes: Option<u64>,
    /// Items in use; only when one user is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    used_items: Option<u64>,
}

/// A page of users.
#[derive(Serialize, ToSchema)]
pub(crate) struct UserPage {
    /// The page.
    items: Vec<UserView>,
    /// How many there are in all.
    total: usize,
}

/// A user to make or to change. Deliberately without Debug.
#[derive(Deserialize, ToSchema)]
pub(crate) struct UserInput {
    #[serde(flatten)]
    account: AccountInput,
    /// Person.
    #[serde(default)]
    person: PersonView,
    /// First password; only when a user is made. Without one the user cannot sign on with a password.
    #[serde(default)]
    #[schema(format = Password)]
    password: Option<String>,
    /// Own rights.
    #[serde(default)]
    rights: RightsName,
    /// Largest sum of item sizes in bytes; missing is unlimited.
    #[serde(default)]
    quota_bytes: Option<u64>,
    /// Largest number of items; missing is unlimited.
    #[serde(default)]
    quota_items: Option<u64>,
}

/// What becomes of the mailbox of a removed user.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Removal {
    /// Remove the mailbox too; it is kept if missing.
    #[serde(default)]
    remove_mailbox: bool,
}

impl UserView {
    fn of(context: &Context, account: &Account) -> Self {
        let none = User::default();
        let user = account.user().unwrap_or(&none);
        Self {
            account: AccountView::of(context, account),
            person: PersonView::of(&user.person),
            principals: user.principals.clone(),
            login_names: user.login_names.clone(),
            has_password: user.password.is_some(),
            expires: user.expires.map(|time| time.0),
            rights: user.rights.into(),
            effective_rights: context.directory.rights(account.id).into(),
            quota_bytes: user.quota_bytes,
            quota_items: user.quota_items,
            store: user.store.map(|store| store.0),
            used_bytes: None,
            used_items: None,
        }
    }

    async fn with_usage(context: &Context, account: &Account) -> Self {
        let mut view = Self::of(context, account);
        let request = Request::Quota { mailbox: MailboxId(account.id.0) };
        if let Ok(Response::Quota { usage, .. }) = context.stores.request(request).await {
            view.used_bytes = Some(usage.bytes);
            view.used_items = Some(usage.items);
        }
        view
    }
}

/// Lists users.
#[utoipa::path(get, path = "/users", tag = "users", params(Page), responses((status = 200, body = UserPage)))]
pub(crate) async fn list_users(
    State(context): State<Arc<Context>>,
    caller: Caller,
    Params(page): Params<Page>,
) -> Json<UserPage> {
    let (found, total) = accounts::list(&context, &caller, "user", &page);
    let items = found.iter().map(|account| UserView::of(&context, account)).collect();
    Json(UserPage { items, total })
}

/// One user, with what the mailbox uses.
#[utoipa::path(get, path = "/users/{id}", tag = "users", params(("id" = Uuid, Path)),
    responses((status = 200, body = UserView)))]
pub(crate) async fn get_user(
    State(context): State<Arc<Context>>,
    caller: Caller,
    At(id): At<Uuid>,
) -> Result<Json<UserView>, Problem> {
    let account = accounts::find(&context, &caller, "user", id)?;
    Ok(Json(UserView::with_usage(&context, &account).await))
}

/// Makes a local user with a mailbox.
#[utoipa::path(post, path = "/users", tag = "users", request_body = UserInput,
    responses((status = 201, body = UserView)))]
pub(crate) async fn create_user(
    State(context): State<Arc<Context>>,
    caller: Caller,
    Input(input): Input<UserInput>,
) -> Result<(StatusCode, Json<UserView>), Problem> {
    caller.may_grant(input.rights.into())?;
    let password = match input.password.as_deref() {
        Some(password) => {
            if let Some(problem) =
                posthouse_auth::password_problem(password, &[&input.account.name])
            {
                return Err(Problem::invalid("password", problem));
            }
            Some(context.auth.hash_password(password).await)
        }
        None => None,
    };
    let store = new_store(&context);
    let user = User {
        person: input.person.person()?,
        password,
        rights: input.rights.into(),
        quota_bytes: input.quota_bytes.or_else(|| default_quota(&context)),
        quota_items: input.quota_items,
        store: Some(store),
        ..User::default()
    };
    let account = accounts::build(&context, &caller, None, &input.account, Kind::User(user))?;
    create_mailbox(&context, &account).await?;
    let mailbox = MailboxId(account.id.0);
    match accounts::put(&context, &caller, account).await {
        Ok(account) => Ok((StatusCode::CREATED, Json(UserView::of(&context, &account)))),
        Err(problem) => {
            // Nobody knows the id, so an empty mailbox that stays behind after a failure harms nobody.
            let store = GroupId(store.0);
            let _ = context.stores.request_in(store, Request::RemoveMailbox { mailbox }).await;
            Err(problem)
        }
    }
}

/// Changes a user. Quotas of mapped users, rights, description and whether the address book shows them are changed here too;
/// everything else of mapped users is changed in their directory.
#[utoipa::path(put, path = "/users/{id}", tag = "users", params(("id" = Uuid, Path)), request_body = UserInput,
    responses((status = 200, body = UserView)))]
pub(crate) async fn update_user(
    State(context): State<Arc<Context>>,
    caller: Caller,
    At(id): At<Uuid>,
    Input(input): Input<UserInput>,
) -> Result<Json<UserView>, Problem> {
    caller.may_grant(input.rights.into())?;
    if input.password.is_some() {
        return Err(Problem::invalid("password", "the password is set by an operation of its own"));
    }
    let before = accounts::find_to_change(&context, &caller, "user", id)?;
    let known = before.user().cloned().unwrap_or_default();
    let user = User {
        person: input.person.person()?,
        rights: input.rights.into(),
        quota_bytes: input.quota_bytes,
        quota_items: input.quota_items,
        ..known
    };
    let account =
        accounts::build(&context, &caller, Some(&before), &input.account, Kind::User(user))?;
    let account = accounts::put(&context, &caller, account).await?;
    create_mailbox(&context, &account).await?;
    Ok(Json(UserView::of(&context, &account)))
}

/// Removes a local user; a mapped one is disabled in its directory.
#[utoipa::path(delete, path = "/users/{id}", tag = "users", params(("id" = Uuid, Path), Removal),
    responses((status = 204, description = "Removed")))]
pub(crate) async fn remove_user(
    State(context): State<Arc<Context>>,
    caller: Caller,
    At(id): At<Uuid>,
    Params(removal): Params<Removal>,
) -> Result<StatusCode, Problem> {
    let account = accounts::find_to_change(&context, &caller, "user", id)?;
    let store = context.stores.store_of(MailboxId(id));
    accounts::remove(&context, &caller, &account).await?;
    if removal.remove_mailbox {
        let request = Request::RemoveMailbox { mailbox: MailboxId(id) };
        // the directory knows no more where it is
        match context.stores.request_in(store, request).await? {
            Response::Refused(Refusal::NoSuchMailbox(_)) => {}
            Response::Refused(refusal) => return Err(refusal.into()),
            _ => {}
        }
    }
    Ok(StatusCode::NO_CONTENT)
}

fn default_quota(context: &Context) -> Option<u64> {
    let bytes = context.directory.integer(posthouse_directory::key::QUOTA_BYTES);
    (bytes > 0).then_some(bytes)
}

/// Where new mailboxes go: into a store that is led here, so that it is near to whoever makes them.
pub(crate) fn new_store(context: &Context) -> StoreId {
    let mut stores = context.directory.stores();
    stores.retain(|store| !store.retired);
    let led = context.stores.led_here();
    let near = stores.iter().find(|store| led.contains(&GroupId(store.id.0)));
    near.or(stores.first()).map_or(StoreId(1), |store| store.id)
}

/// Makes the mailbox of a user, or sets the quota of one that is there.
pub(crate) async fn create_mailbox(context: &Context, account: &Account) -> Result<(), Problem> {
    let user = account.user().cloned().unwrap_or_default();
    let mailbox = MailboxId(account.id.0);
    let request = Request::CreateMailbox {
        mailbox,
        quota: Quota { bytes: user.quota_bytes, items: user.quota_items },
    };
    // the directory may not know of the account yet
    let store = user.store.map_or_else(|| context.stores.store_of(mailbox), |id| GroupId(id.0));
    match context.stores.request_in(store, request).await? {
        Response::Refused(refusal) => Err(refusal.into()),
        _ => Ok(()),
    }
}
