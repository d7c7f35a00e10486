//! Signing on and off, and what belongs to the caller.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use posthouse_auth::{Identity, Reason, Step};
use posthouse_directory::{Account, Change, ChangeError, Kind, Rights};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    accounts::RightsName,
    failures::{FailureView, newest},
};
use crate::{Caller, Context, Input, Peer, Problem, access};

/// Name and password. Deliberately without Debug.
#[derive(Deserialize, ToSchema)]
pub(crate) struct SignOn {
    /// Login name, address, or `DOMAIN\name`.
    name: String,
    /// Password.
    #[schema(format = Password)]
    password: String,
}

/// Who is signed on.
#[derive(Serialize, ToSchema)]
pub(crate) struct WhoAmI {
    /// The account; missing for the command line of this machine.
    id: Option<Uuid>,
    /// Login name.
    name: String,
    /// How the account is shown.
    display_name: String,
    /// Its address.
    mail: String,
    /// The account's domain.
    domain: Option<Uuid>,
    /// What may be administered.
    rights: RightsName,
    /// How it was proven.
    mechanism: String,
    /// Whether the password lives here and can be changed here.
    local_password: bool,
    /// Version of the program.
    version: String,
    /// Host name of this node.
    host: String,
}

fn view(context: &Context, caller: &Caller) -> WhoAmI {
    let account = caller.account.as_deref();
    let user = account.and_then(|account| account.user());
    WhoAmI {
        id: account.map(|account| account.id.0),
        name: account.map_or("command line", |account| &account.name).to_owned(),
        display_name: account.map(|account| account.display_name.clone()).unwrap_or_default(),
        mail: account.and_then(|account| context.directory.address_of(account)).unwrap_or_default(),
        domain: account.map(|account| account.domain.0),
        rights: caller.rights.into(),
        mechanism: caller.mechanism.clone(),
        local_password: user.is_some_and(|user| user.password.is_some()),
        version: context.version.clone(),
        host: context.host.clone(),
    }
}

/// Signs on with name and password; sets the session cookie.
#[utoipa::path(post, path = "/session", tag = "session", request_body = SignOn,
    responses((status = 200, body = WhoAmI)))]
pub(crate) async fn sign_on(
    State(context): State<Arc<Context>>,
    peer: Peer,
    headers: HeaderMap,
    Input(form): Input<SignOn>,
) -> Result<Response, Problem> {
    let identity = context
        .auth
        .password(&form.name, &form.password, &peer.origin())
        .await
        .map_err(|reason| refused(&reason))?;
    start_session(&context, &peer, &headers, identity).await
}

/// Signs on with a Kerberos ticket (RFC 4559). Without one the answer asks for it.
#[utoipa::path(get, path = "/session/negotiate", tag = "session",
    responses((status = 200, body = WhoAmI), (status = 401, description = "Ticket wanted, or refused")))]
pub(crate) async fn negotiate(
    State(context): State<Arc<Context>>,
    peer: Peer,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    if !context.auth.offered(&peer.origin()).contains(&"Negotiate") {
        return Err(refused(&Reason::NotAvailable("Negotiate".to_owned())));
    }
    let Some(token) = negotiate_token(&headers) else {
        return Ok(with_token(Problem::not_signed_on().into_response(), None));
    };
    let token = token?;
    let waiting = peer.negotiation.lock().take();
    let mut exchange = match waiting {
        Some(exchange) => exchange,
        None => {
            context.auth.start("Negotiate", peer.origin()).map_err(|reason| refused(&reason))?
        }
    };
    match exchange.step(&token).await {
        Step::Challenge(challenge) => {
            *peer.negotiation.lock() = Some(exchange);
            Ok(with_token(Problem::not_signed_on().into_response(), Some(&challenge)))
        }
        Step::Done { identity, last } => {
            let response = start_session(&context, &peer, &headers, identity).await?;
            Ok(match last {
                Some(last) => with_token(response, Some(&last)),
                None => response,
            })
        }
        Step::Failed(reason) => Err(refused(&reason)),
    }
}

/// The client's token; `None` if it sent none.
fn negotiate_token(headers: &HeaderMap) -> Option<Result<Vec<u8>, Problem>> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let bad = |_| Problem::new(StatusCode::BAD_REQUEST, "bad_request", "the ticket is not base64");
    scheme.eq_ignore_ascii_case("negotiate").then(|| STANDARD.decode(token.trim()).map_err(bad))
}

fn with_token(mut response: Response, token: Option<&[u8]>) -> Response {
    let value = match token {
        Some(token) => format!("Negotiate {}", STANDARD.encode(token)),
        None => "Negotiate".to_owned(),
    };
    if let Ok(value) = HeaderValue::from_str(&value) {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, value);
    }
    response
}

/// The client learns no more than [`Reason::public`]; the reason is recorded by the authenticator.
fn refused(reason: &Reason) -> Problem {
    if reason.is_temporary() {
        return Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", reason.public())
            .remedy("Try again in a moment, or ask your administrator.");
    }
    let code = match reason {
        Reason::NotAvailable(_) => "not_available",
        _ => "sign_on_failed",
    };
    Problem::new(StatusCode::UNAUTHORIZED, code, reason.public()).remedy(
        "Check name and password. After several failures the account is locked for some minutes.",
    )
}

/// Always a fresh token; a session that the browser brought along ends (session fixation).
async fn start_session(
    context: &Context,
    peer: &Peer,
    headers: &HeaderMap,
    identity: Identity,
) -> Result<Response, Problem> {
    if let Some(old) = access::session_token(headers) {
        context.auth.end_session(old).await;
    }
    let token = context.auth.create_session(&identity).await.map_err(|reason| refused(&reason))?;
    let caller = Caller::from_identity(identity);
    if caller.rights > Rights::None {
        let text = format!("signed on as administrator from {}", peer.address());
        note(context, &caller, text).await?;
    }
    Ok(([(header::SET_COOKIE, cookie(&token, None))], Json(view(context, &caller))).into_response())
}

/// Writes a sign-on into the audit log. A site without a majority keeps its sign-on: then the node's log has to do.
async fn note(context: &Context, caller: &Caller, text: String) -> Result<(), Problem> {
    tracing::info!(target: "security", who = ?caller.actor, what = ?text, "administration");
    if !context.directory.has_quorum() {
        return Ok(());
    }
    match context.directory.change(caller.actor.clone(), Change::Audit(text)).await {
        Err(ChangeError::NoMajority(_) | ChangeError::Unavailable(_)) => {
            tracing::warn!(target: "security", who = ?caller.actor, "not in the audit log");
            Ok(())
        }
        other => Ok(other?),
    }
}

fn cookie(token: &str, max_age: Option<u32>) -> String {
    let age = max_age.map(|age| format!("; Max-Age={age}")).unwrap_or_default();
    format!("{}={token}; Path=/; Secure; HttpOnly; SameSite=Strict{age}", access::COOKIE)
}

/// Who is signed on.
#[utoipa::path(get, path = "/session", tag = "session", responses((status = 200, body = WhoAmI)))]
pub(crate) async fn who_am_i(State(context): State<Arc<Context>>, caller: Caller) -> Json<WhoAmI> {
    Json(view(&context, &caller))
}

/// Signs off.
#[utoipa::path(delete, path = "/session", tag = "session", responses((status = 204, description = "Signed off")))]
pub(crate) async fn sign_off(State(context): State<Arc<Context>>, headers: HeaderMap) -> Response {
    if let Some(token) = access::session_token(&headers) {
        context.auth.end_session(token).await;
    }
    (StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie("", Some(0)))]).into_response()
}

/// The caller's own failed sign-ons, newest first: somebody else may be trying.
#[utoipa::path(get, path = "/session/failures", tag = "session",
    responses((status = 200, body = Vec<FailureView>)))]
pub(crate) async fn own_failures(
    State(context): State<Arc<Context>>,
    caller: Caller,
) -> Json<Vec<FailureView>> {
    const SHOWN: usize = 50;
    let Some(account) = caller.account.as_deref() else { return Json(Vec::new()) };
    // A name that nobody else has; the authenticator finds what was tried under the account's other names.
    let Some(name) = unique_name(&context, account) else { return Json(Vec::new()) };
    let found = context.auth.failures(Some(&name), SHOWN);
    Json(newest(found, SHOWN))
}

fn unique_name(context: &Context, account: &Account) -> Option<String> {
    let known = account.user().map(|user| user.login_names.clone()).unwrap_or_default();
    let names = context.directory.address_of(account).into_iter().chain([account.name.clone()]);
    names
        .chain(known)
        .find(|name| context.directory.login(name).is_some_and(|owner| owner.id == account.id))
}

/// Old and new password. Deliberately without Debug.
#[derive(Deserialize, ToSchema)]
pub(crate) struct OwnPassword {
    /// Password until now.
    #[schema(format = Password)]
    old: String,
    /// Password from now on.
    #[schema(format = Password)]
    new: String,
}

/// Changes the caller's own password. The one until now is asked for, so that an open browser is not enough. All web
/// sessions of the account end; this browser gets a new one.
#[utoipa::path(put, path = "/session/password", tag = "session", request_body = OwnPassword,
    responses((status = 204, description = "Changed")))]
pub(crate) async fn change_own_password(
    State(context): State<Arc<Context>>,
    caller: Caller,
    peer: Peer,
    Input(form): Input<OwnPassword>,
) -> Result<Response, Problem> {
    let account = caller.account.as_deref().ok_or_else(|| Problem::not_found("account"))?;
    if !matches!(&account.kind, Kind::User(user) if user.password.is_some()) {
        return Err(super::people::password_elsewhere());
    }
    let name = context.directory.address_of(account).unwrap_or_else(|| account.name.clone());
    let proven = context.auth.password(&name, &form.old, &peer.origin()).await;
    let mut identity = proven.map_err(|reason| refused(&reason).field("old"))?;
    if identity.account.id != account.id {
        return Err(refused(&Reason::WrongPassword).field("old"));
    }
    if let Some(problem) = posthouse_auth::password_problem(&form.new, &[&account.name]) {
        return Err(Problem::invalid("new", problem));
    }
    let verifier = context.auth.hash_password(&form.new).await;
    let change = Change::SetPassword { account: account.id, verifier };
    context.directory.change(caller.actor.clone(), change).await?;
    identity.account = context.directory.account(account.id).ok_or_else(Problem::not_signed_on)?;
    let token = context.auth.create_session(&identity).await.map_err(|reason| refused(&reason))?;
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie(&token, None))]).into_response())
}
