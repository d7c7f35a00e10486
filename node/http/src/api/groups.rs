//! Groups.

use std::{collections::HashSet, sync::Arc};

use axum::{Json, extract::State, http::StatusCode};
use posthouse_directory::{Account, AccountId, GroupInfo, Kind};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::accounts::{self, AccountInput, AccountView, Page, RightsName};
use crate::{
    Caller, Context, Input, Problem,
    problem::{At, Params},
};

/// A group.
#[derive(Serialize, ToSchema)]
pub(crate) struct GroupView {
    #[serde(flatten)]
    account: AccountView,
    /// Number of direct members.
    member_count: usize,
    /// Rights that members get.
    rights: RightsName,
}

/// A group with its members.
#[derive(Serialize, ToSchema)]
pub(crate) struct GroupDetail {
    #[serde(flatten)]
    group: GroupView,
    /// Direct members, as far as the caller sees them.
    members: Vec<Member>,
}

/// A member of a group.
#[derive(Serialize, ToSchema)]
pub(crate) struct Member {
    /// Its id.
    id: Uuid,
    /// `user`, `group` or `contact`.
    kind: &'static str,
    /// Its name.
    name: String,
    /// How it is shown.
    display_name: String,
    /// Its address.
    mail: String,
}

/// A page of groups.
#[derive(Serialize, ToSchema)]
pub(crate) struct GroupPage {
    /// The page.
    items: Vec<GroupView>,
    /// How many there are in all.
    total: usize,
}

/// A group to make or to change.
#[derive(Deserialize, ToSchema)]
pub(crate) struct GroupInput {
    #[serde(flatten)]
    account: AccountInput,
    /// Direct members: users, groups, contacts.
    #[serde(default)]
    members: Vec<Uuid>,
    /// Rights that members get.
    #[serde(default)]
    rights: RightsName,
}

impl GroupView {
    fn of(context: &Context, account: &Account) -> Self {
        let info = info(account);
        Self {
            account: AccountView::of(context, account),
            member_count: info.members.len(),
            rights: info.rights.into(),
        }
    }
}

impl GroupDetail {
    fn of(context: &Context, caller: &Caller, account: &Account) -> Self {
        let members = info(account)
            .members
            .iter()
            .filter_map(|id| context.directory.account(*id))
            .filter(|member| caller.sees(member.domain))
            .map(|member| Member {
                id: member.id.0,
                kind: accounts::kind_name(&member.kind),
                name: member.name.clone(),
                display_name: member.display_name.clone(),
                mail: context.directory.address_of(&member).unwrap_or_default(),
            })
            .collect();
        Self { group: GroupView::of(context, account), members }
    }
}

fn info(account: &Account) -> GroupInfo {
    match &account.kind {
        Kind::Group(info) => info.clone(),
        _ => GroupInfo::default(),
    }
}

/// Members that the caller may put into a group. Those that were there before and that the caller does not see stay.
fn members(
    context: &Context,
    caller: &Caller,
    before: Option<&Account>,
    wanted: &[Uuid],
) -> Result<Vec<AccountId>, Problem> {
    let mut seen = HashSet::new();
    let mut members = Vec::new();
    for id in wanted {
        let member = context
            .directory
            .account(AccountId(*id))
            .filter(|member| caller.sees(member.domain) && !matches!(member.kind, Kind::Alias(_)))
            .ok_or_else(|| Problem::invalid("members", format!("there is no account {id}")))?;
        if seen.insert(member.id) {
            members.push(member.id);
        }
    }
    let hidden = before.map(info).unwrap_or_default().members.into_iter().filter(|id| {
        context.directory.account(*id).is_some_and(|member| !caller.sees(member.domain))
    });
    members.extend(hidden);
    Ok(members)
}

/// Lists groups.
#[utoipa::path(get, path = "/groups", tag = "groups", params(Page), responses((status = 200, body = GroupPage)))]
pub(crate) async fn list_groups(
    State(context): State<Arc<Context>>,
    caller: Caller,
    Params(page): Params<Page>,
) -> Json<GroupPage> {
    let (found, total) = accounts::list(&context, &caller, "group", &page);
    let items = found.iter().map(|account| GroupView::of(&context, account)).collect();
    Json(GroupPage { items, total })
}

/// One group with its members.
#[utoipa::path(get, path = "/groups/{id}", tag = "groups", params(("id" = Uuid, Path)),
    responses((status = 200, body = GroupDetail)))]
pub(crate) async fn get_group(
    State(context): State<Arc<Context>>,
    caller: Caller,
    At(id): At<Uuid>,
) -> Result<Json<GroupDetail>, Problem> {
    let account = accounts::find(&context, &caller, "group", id)?;
    Ok(Json(GroupDetail::of(&context, &caller, &account)))
}

/// Makes a group. It gets mail only if it has an address.
#[utoipa::path(post, path = "/groups", tag = "groups", request_body = GroupInput,
    responses((status = 201, body = GroupDetail)))]
pub(crate) async fn create_group(
    State(context): State<Arc<Context>>,
    caller: Caller,
    Input(input): Input<GroupInput>,
) -> Result<(StatusCode, Json<GroupDetail>), Problem> {
    caller.may_grant(input.rights.into())?;
    let kind = Kind::Group(GroupInfo {
        members: members(&context, &caller, None, &input.members)?,
        rights: input.rights.into(),
    });
    let account = accounts::build(&context, &caller, None, &input.account, kind)?;
    let account = accounts::put(&context, &caller, account).await?;
    Ok((StatusCode::CREATED, Json(GroupDetail::of(&context, &caller, &account))))
}

/// Changes a group.
#[utoipa::path(put, path = "/groups/{id}", tag = "groups", params(("id" = Uuid, Path)),
    request_body = GroupInput, responses((status = 200, body = GroupDetail)))]
pub(crate) async fn update_group(
    State(context): State<Arc<Context>>,
    caller: Caller,
    At(id): At<Uuid>,
    Input(input): Input<GroupInput>,
) -> Result<Json<GroupDetail>, Problem> {
    caller.may_grant(input.rights.into())?;
    let before = accounts::find_to_change(&context, &caller, "group", id)?;
    let kind = Kind::Group(GroupInfo {
        members: members(&context, &caller, Some(&before), &input.members)?,
        rights: input.rights.into(),
    });
    let account = accounts::build(&context, &caller, Some(&before), &input.account, kind)?;
    let account = accounts::put(&context, &caller, account).await?;
    Ok(Json(GroupDetail::of(&context, &caller, &account)))
}

/// Removes a group; its members stay.
#[utoipa::path(delete, path = "/groups/{id}", tag = "groups", params(("id" = Uuid, Path)),
    responses((status = 204, description = "Removed")))]
pub(crate) async fn remove_group(
    State(context): State<Arc<Context>>,
    caller: Caller,
    At(id): At<Uuid>,
) -> Result<StatusCode, Problem> {
    let account = accounts::find_to_change(&context, &caller, "group", id)?;
    accounts::remove(&context, &caller, &account).await?;
    Ok(StatusCode::NO_CONTENT)
}
