//! The cluster: its state, invites, moves of mailboxes, and orders that change it.

use std::{sync::Arc, time::Duration};

use axum::{Json, extract::State, http::StatusCode};
use posthouse_directory::{AccountId, Change, key};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    Caller, ClusterError, ClusterOrder, ClusterOutcome, ClusterStatus, Context, Input, InviteView,
    MoveView, NewInvite, Problem, problem::At, validate,
};

/// Seconds of a minute.
const MINUTE: u64 = 60;

/// Whether settings can be changed on this node at this moment.
#[derive(Serialize, ToSchema)]
pub(crate) struct Writable {
    /// Whether they can.
    settings_writable: bool,
    /// Why not, as the rest of a sentence; empty when they can.
    reason: String,
}

/// An invite to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct InviteInput {
    /// Only a node of this host name may use it; empty: any.
    #[serde(default)]
    host: String,
    /// How long it is good, in minutes, up to seven days; as the setting `cluster.invite_minutes` says if missing.
    #[serde(default)]
    minutes: Option<u32>,
}

/// An order to the cluster.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OrderInput {
    /// What.
    order: ClusterOrder,
    /// Only say what it would do.
    #[serde(default)]
    dry_run: bool,
}

impl From<ClusterError> for Problem {
    fn from(error: ClusterError) -> Self {
        match error {
            ClusterError::Refused(text) => refused(text),
            ClusterError::Unavailable(text) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", text)
                    .remedy("Look at the cluster's state, and try again when the nodes answer.")
            }
            ClusterError::NotFound(what) => Self::not_found(&what),
        }
    }
}

fn refused(text: String) -> Problem {
    Problem::new(StatusCode::CONFLICT, "refused", text).remedy("Nothing was changed.")
}

/// Refuses a change of settings while this node is cut off from the majority: at once and with the reason, instead
/// of after a wait.
pub(crate) fn check_writable(context: &Context) -> Result<(), Problem> {
    context.cluster.writable().map_err(|reason| {
        let message = format!("settings are read-only at the moment: {reason}");
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "read_only", message).remedy(
            "Nothing was changed. Change it on a node of the majority, or wait until this node reaches the others again.",
        )
    })
}

/// Writes what is about to be done into the audit log. An order that mends a lost majority must not wait for the
/// majority that is lost: then the node's log has to do.
async fn note(context: &Context, caller: &Caller, text: String) {
    tracing::info!(target: "operation", who = ?caller.actor, what = ?text, "cluster");
    if context.cluster.writable().is_err() {
        return;
    }
    if let Err(error) = context.directory.change(caller.actor.clone(), Change::Audit(text)).await {
        tracing::warn!(target: "warning", %error, "not in the audit log");
    }
}

/// The state of the cluster, as this node sees it and as the others answer it.
#[utoipa::path(get, path = "/cluster", tag = "cluster", responses((status = 200, body = ClusterStatus)))]
pub(crate) async fn cluster_status(
    State(context): State<Arc<Context>>,
) -> Result<Json<ClusterStatus>, Problem> {
    Ok(Json(context.cluster.status().await?))
}

/// Whether settings can be changed here at this moment.
#[utoipa::path(get, path = "/cluster/writable", tag = "cluster", responses((status = 200, body = Writable)))]
pub(crate) async fn cluster_writable(State(context): State<Arc<Context>>) -> Json<Writable> {
    let answer = context.cluster.writable();
    let settings_writable = answer.is_ok();
    Json(Writable { settings_writable, reason: answer.err().unwrap_or_default() })
}

/// Lists invites. Their codes are shown only when they are made.
#[utoipa::path(get, path = "/cluster/invites", tag = "cluster", responses((status = 200, body = Vec<InviteView>)))]
pub(crate) async fn list_invites(
    State(context): State<Arc<Context>>,
) -> Result<Json<Vec<InviteView>>, Problem> {
    Ok(Json(context.cluster.invites().await?))
}

/// Makes an invite for one node. The answer holds its code, once.
#[utoipa::path(post, path = "/cluster/invites", tag = "cluster", request_body = InviteInput,
    responses((status = 201, body = NewInvite)))]
pub(crate) async fn create_invite(
    State(context): State<Arc<Context>>,
    caller: Caller,
    Input(input): Input<InviteInput>,
) -> Result<(StatusCode, Json<NewInvite>), Problem> {
    let host = validate::line("host", &input.host)?.trim().to_ascii_lowercase();
    let usual = || context.directory.integer(key::CLUSTER_INVITE_MINUTES);
    let lifetime = Duration::from_secs(input.minutes.map_or_else(usual, u64::from) * MINUTE);
    if lifetime.is_zero() || lifetime > NewInvite::LONGEST {
        let days = NewInvite::LONGEST.as_secs() / (24 * 60 * MINUTE);
        let text = format!("an invite is good for one minute to {days} days");
        return Err(Problem::invalid("minutes", text));
    }
    let wanted = (!host.is_empty()).then(|| host.clone());
    let invite = context.cluster.invite(caller.actor.clone(), wanted, lifetime).await?;
    let whom = if host.is_empty() { "any node".to_owned() } else { host };
    note(&context, &caller, format!("made the invite {} for {whom}", invite.id)).await;
    Ok((StatusCode::CREATED, Json(invite)))
}

/// Makes an invite worthless.
#[utoipa::path(delete, path = "/cluster/invites/{id}", tag = "cluster", params(("id" = Uuid, Path)),
    responses((status = 204, description = "Revoked")))]
pub(crate) async fn revoke_invite(
    State(context): State<Arc<Context>>,
    caller: Caller,
    At(id): At<Uuid>,
) -> Result<StatusCode, Problem> {
    context.cluster.revoke_invite(caller.actor.clone(), id).await?;
    note(&context, &caller, format!("revoked the invite {id}")).await;
    Ok(StatusCode::NO_CONTENT)
}

/// Lists moves of mailboxes: running and waiting ones first, then the last ended ones.
#[utoipa::path(get, path = "/cluster/moves", tag = "cluster", responses((status = 200, body = Vec<MoveView>)))]
pub(crate) async fn list_moves(
    State(context): State<Arc<Context>>,
) -> Result<Json<Vec<MoveView>>, Problem> {
    Ok(Json(context.cluster.moves().await?))
}

/// Changes the cluster, or says what that would do. What takes long has begun when the answer comes.
#[utoipa::path(post, path = "/cluster/orders", tag = "cluster", request_body = OrderInput,
    responses((status = 200, body = ClusterOutcome)))]
pub(crate) async fn give_order(
    State(context): State<Arc<Context>>,
    caller: Caller,
    Input(input): Input<OrderInput>,
) -> Result<Json<ClusterOutcome>, Problem> {
    let OrderInput { order, dry_run } = input;
    let order = checked(&context, order)?;
    if !dry_run {
        note(&context, &caller, format!("asks to {}", in_words(&context, &order))).await;
    }
    let outcome = context.cluster.order(caller.actor.clone(), order, dry_run).await?;
    if !dry_run && !outcome.plan.refuses.is_empty() {
        return Err(refused(outcome.plan.refuses.join(" ")));
    }
    Ok(Json(outcome))
}

fn checked(context: &Context, order: ClusterOrder) -> Result<ClusterOrder, Problem> {
    match order {
        ClusterOrder::SetSite { node, site } => {
            let site = validate::line("site", site.trim())?;
            if site.is_empty() {
                return Err(Problem::invalid("site", "the name of the site is missing"));
            }
            Ok(ClusterOrder::SetSite { node, site })
        }
        ClusterOrder::MoveMailbox { account, .. }
            if context.directory.account(AccountId(account)).is_none() =>
        {
            Err(Problem::not_found("user"))
        }
        order => Ok(order),
    }
}

fn in_words(context: &Context, order: &ClusterOrder) -> String {
    match order {
        ClusterOrder::MoveMailbox { account, store } => {
            let account = context.directory.account(AccountId(*account));
            let name = account.map(|account| account.name.clone()).unwrap_or_default();
            format!("move the mailbox of {name} to store {store}")
        }
        order => order.to_string(),
    }
}
