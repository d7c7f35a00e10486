//! What can be done with a user besides changing it: password, state, lock-out.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode};
use posthouse_directory::{Change, Origin, State as AccountState};
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::accounts;
use crate::{Caller, Context, Input, Problem, problem::At, validate};

/// A new password. Deliberately without Debug.
#[derive(Deserialize, ToSchema)]
pub(crate) struct NewPassword {
    /// The password.
    #[schema(format = Password)]
    password: String,
}

/// Enabled or not.
#[derive(Deserialize, ToSchema)]
pub(crate) struct NewState {
    /// Whether the account may be used.
    enabled: bool,
    /// Why not; `disabled by an administrator` if missing.
    #[serde(default)]
    because: String,
}

pub(crate) fn password_elsewhere() -> Problem {
    Problem::new(
        StatusCode::CONFLICT,
        "mapped",
        "the password of this account lives in the external directory",
    )
    .remedy("Change it there.")
}

/// Sets the password of a local user.
#[utoipa::path(put, path = "/users/{id}/password", tag = "users", params(("id" = Uuid, Path)),
    request_body = NewPassword, responses((status = 204, description = "Set")))]
pub(crate) async fn set_password(
    State(context): State<Arc<Context>>,
    caller: Caller,
    At(id): At<Uuid>,
    Input(input): Input<NewPassword>,
) -> Result<StatusCode, Problem> {
    let account = accounts::find_to_change(&context, &caller, "user", id)?;
    if account.origin != Origin::Local {
        return Err(password_elsewhere());
    }
    if let Some(problem) = posthouse_auth::password_problem(&input.password, &[&account.name]) {
        return Err(Problem::invalid("password", problem));
    }
    let verifier = context.auth.hash_password(&input.password).await;
    let change = Change::SetPassword { account: account.id, verifier };
    context.directory.change(caller.actor.clone(), change).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Enables or disables a user. A disabled one cannot sign on; mail is still delivered.
#[utoipa::path(put, path = "/users/{id}/state", tag = "users", params(("id" = Uuid, Path)),
    request_body = NewState, responses((status = 204, description = "Set")))]
pub(crate) async fn set_state(
    State(context): State<Arc<Context>>,
    caller: Caller,
    At(id): At<Uuid>,
    Input(input): Input<NewState>,
) -> Result<StatusCode, Problem> {
    let account = accounts::find_to_change(&context, &caller, "user", id)?;
    let because = validate::line("because", &input.because)?;
    let state = match (input.enabled, because.is_empty()) {
        (true, _) => AccountState::Enabled,
        (false, true) => AccountState::Disabled("disabled by an administrator".to_owned()),
        (false, false) => AccountState::Disabled(because),
    };
    let change = Change::SetState { account: account.id, state };
    context.directory.change(caller.actor.clone(), change).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Ends the lock-out of a user after failed sign-ons.
#[utoipa::path(post, path = "/users/{id}/unlock", tag = "users", params(("id" = Uuid, Path)),
    responses((status = 204, description = "Unlocked")))]
pub(crate) async fn unlock_user(
    State(context): State<Arc<Context>>,
    caller: Caller,
    At(id): At<Uuid>,
) -> Result<StatusCode, Problem> {
    let account = accounts::find_to_change(&context, &caller, "user", id)?;
    let name = context.directory.address_of(&account).unwrap_or_else(|| account.name.clone());
    context.auth.unlock(&name).await;
    let text = format!("unlocked {name}");
    context.directory.change(caller.actor.clone(), Change::Audit(text)).await?;
    Ok(StatusCode::NO_CONTENT)
}
