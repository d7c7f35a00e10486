//! Sources: external directories that domains are mapped from.

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use posthouse_directory::{
    Change, DomainId, SourceId, SourceKind, SourceSpec, SourceTls, fresh_id,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{Caller, Context, Input, Problem, SourcePreview, SourceReport, problem::At, validate};

/// Longest list of certificates in bytes.
const CA: usize = 64 * 1024;

/// How a connection to a source is protected.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TlsName {
    /// LDAPS.
    #[default]
    Ldaps,
    /// StartTLS on the LDAP port.
    StartTls,
}

/// A source. Its password is never shown.
#[derive(Serialize, ToSchema)]
pub(crate) struct SourceView {
    /// Its id.
    id: Uuid,
    /// Name for administrators.
    name: String,
    /// Its kind: `active_directory`.
    kind: &'static str,
    /// Mail domain that it is mapped into.
    domain: Uuid,
    /// Name of the directory's domain.
    directory_domain: String,
    /// Controllers as `host` or `host:port`; empty: found by SRV records.
    controllers: Vec<String>,
    /// Protection.
    tls: TlsName,
    /// Certificate authorities (PEM); empty: the system's.
    ca: String,
    /// Account to bind with.
    bind_name: String,
    /// Whether a password is stored.
    has_password: bool,
    /// Where to search; empty: everywhere.
    base: String,
    /// LDAP filter that users must match; empty: all.
    user_filter: String,
    /// Accounts that may disappear in one sync before the administrator is asked, in percent.
    removal_threshold_percent: u8,
    /// Whether it is read at all.
    enabled: bool,
    /// Whether it has been read completely at least once.
    read: bool,
    /// Last problem in words; empty when all is well.
    problem: String,
    /// Accounts that come from it.
    accounts: usize,
}

/// A source to make, change or try. Deliberately without Debug.
#[derive(Clone, Deserialize, ToSchema)]
pub(crate) struct SourceInput {
    /// Name for administrators.
    #[serde(default)]
    name: String,
    /// Mail domain that it is mapped into; the primary one if missing.
    #[serde(default)]
    domain: Option<Uuid>,
    /// Name of the directory's domain, such as `ad.example.test`.
    directory_domain: String,
    /// Controllers as `host` or `host:port`; empty: found by SRV records.
    #[serde(default)]
    controllers: Vec<String>,
    /// Protection.
    #[serde(default)]
    tls: TlsName,
    /// Certificate authorities (PEM); empty: the system's.
    #[serde(default)]
    ca: String,
    /// Account to bind with: DN, `user@domain` or `DOMAIN\user`.
    bind_name: String,
    /// Its password; missing keeps the stored one, unless the password would go to another server.
    #[serde(default)]
    #[schema(format = Password)]
    bind_password: Option<String>,
    /// Where to search; empty: everywhere.
    #[serde(default)]
    base: String,
    /// LDAP filter that users must match; empty: all.
    #[serde(default)]
    user_filter: String,
    /// Accounts that may disappear in one sync before the administrator is asked, in percent.
    #[serde(default = "SourceInput::default_threshold")]
    removal_threshold_percent: u8,
    /// Whether it is read at all; yes if missing.
    #[serde(default = "SourceInput::default_enabled")]
    enabled: bool,
}

/// A source to try.
#[derive(Deserialize, ToSchema)]
pub(crate) struct PreviewInput {
    #[serde(flatten)]
    source: SourceInput,
    /// The stored source whose password to use if none is given.
    #[serde(default)]
    id: Option<Uuid>,
}

impl SourceView {
    fn of(context: &Context, spec: &SourceSpec) -> Self {
        Self {
            id: spec.id.0,
            name: spec.name.clone(),
            kind: match spec.kind {
                SourceKind::ActiveDirectory => "active_directory",
            },
            domain: spec.domain.0,
            directory_domain: spec.directory_domain.clone(),
            controllers: spec.controllers.clone(),
            tls: match spec.tls {
                SourceTls::Ldaps => TlsName::Ldaps,
                SourceTls::StartTls => TlsName::StartTls,
            },
            ca: spec.ca.clone(),
            bind_name: spec.bind_name.clone(),
            has_password: !spec.bind_secret.is_empty(),
            base: spec.base.clone(),
            user_filter: spec.user_filter.clone(),
            removal_threshold_percent: spec.removal_threshold_percent,
            enabled: spec.enabled,
            read: spec.watermark.is_some(),
            problem: spec.problem.clone(),
            accounts: context.directory.accounts_of(spec.id).len(),
        }
    }
}

impl SourceInput {
    const fn default_threshold() -> u8 {
        10
    }

    const fn default_enabled() -> bool {
        true
    }

    fn spec(&self, context: &Context, before: Option<&SourceSpec>) -> Result<SourceSpec, Problem> {
        let directory_domain = validate::line("directory_domain", &self.directory_domain)?;
        if directory_domain.is_empty() {
            return Err(Problem::invalid("directory_domain", "the directory's domain is missing"));
        }
        if self.removal_threshold_percent > 100 {
            return Err(Problem::invalid("removal_threshold_percent", "at most 100 percent"));
        }
        let name = validate::line("name", &self.name)?;
        Ok(SourceSpec {
            id: before.map_or_else(|| SourceId(fresh_id()), |before| before.id),
            name: if name.is_empty() { directory_domain.clone() } else { name },
            kind: SourceKind::ActiveDirectory,
            domain: self.mail_domain(context)?,
            directory_domain: directory_domain.to_lowercase(),
            controllers: validate::lines("controllers", &self.controllers)?,
            tls: match self.tls {
                TlsName::Ldaps => SourceTls::Ldaps,
                TlsName::StartTls => SourceTls::StartTls,
            },
            ca: validate::bounded("ca", &self.ca, CA, true)?,
            bind_name: validate::line("bind_name", &self.bind_name)?,
            bind_secret: Vec::new(),
            base: validate::text("base", &self.base)?,
            user_filter: validate::text("user_filter", &self.user_filter)?,
            removal_threshold_percent: self.removal_threshold_percent,
            enabled: self.enabled,
            watermark: before.and_then(|before| before.watermark.clone()),
            problem: before.map(|before| before.problem.clone()).unwrap_or_default(),
        })
    }

    fn mail_domain(&self, context: &Context) -> Result<DomainId, Problem> {
        let wanted = self.domain.map(DomainId);
        let domains = context.directory.domains();
        domains
            .iter()
            .find(|domain| wanted.map_or(domain.primary, |id| domain.id == id))
            .map(|domain| domain.id)
            .ok_or_else(|| Problem::not_found("domain").field("domain"))
    }

    /// The password to use. A stored one goes only to where it went until now: otherwise whoever can edit a source
    /// could have it sent to a server of his own.
    fn password(
        &self,
        context: &Context,
        before: Option<&SourceSpec>,
        spec: &SourceSpec,
    ) -> Result<String, Problem> {
        if let Some(password) = self.bind_password.as_ref().filter(|text| !text.is_empty()) {
            return Ok(password.clone());
        }
        let missing = |text: &str| Problem::invalid("bind_password", text.to_owned());
        let before = before.ok_or_else(|| missing("the password of the account is missing"))?;
        let same_place = before.directory_domain == spec.directory_domain
            && before.controllers == spec.controllers
            && before.ca == spec.ca
            && before.bind_name == spec.bind_name;
        if !same_place {
            return Err(missing("type the password again, because it would go to another place"));
        }
        context
            .auth
            .unseal(SourceSpec::SECRET_CONTEXT, &before.bind_secret)
            .and_then(|secret| String::from_utf8(secret).ok())
            .ok_or_else(|| missing("the stored password cannot be read; type it again"))
    }
}

fn find(context: &Context, id: Uuid) -> Result<Arc<SourceSpec>, Problem> {
    let mut sources = context.directory.sources().into_iter();
    sources.find(|source| source.id.0 == id).ok_or_else(|| Problem::not_found("source"))
}

async fn put(
    context: &Context,
    caller: &Caller,
    before: Option<&SourceSpec>,
    input: &SourceInput,
) -> Result<Json<SourceView>, Problem> {
    let mut spec = input.spec(context, before)?;
    let password = input.password(context, before, &spec)?;
    spec.bind_secret = context.auth.seal(SourceSpec::SECRET_CONTEXT, password.as_bytes());
    let id = spec.id.0;
    let change = Change::PutSource(Box::new(spec));
    context.directory.change(caller.actor.clone(), change).await?;
    Ok(Json(SourceView::of(context, &*find(context, id)?)))
}

/// Lists sources with their state.
#[utoipa::path(get, path = "/sources", tag = "sources", responses((status = 200, body = Vec<SourceView>)))]
pub(crate) async fn list_sources(State(context): State<Arc<Context>>) -> Json<Vec<SourceView>> {
    Json(context.directory.sources().iter().map(|spec| SourceView::of(&context, spec)).collect())
}

/// One source.
#[utoipa::path(get, path = "/sources/{id}", tag = "sources", params(("id" = Uuid, Path)),
    responses((status = 200, body = SourceView)))]
pub(crate) async fn get_source(
    State(context): State<Arc<Context>>,
    At(id): At<Uuid>,
) -> Result<Json<SourceView>, Problem> {
    Ok(Json(SourceView::of(&context, &*find(&context, id)?)))
}

/// Makes a source; it is read at once and kept current from then on.
#[utoipa::path(post, path = "/sources", tag = "sources", request_body = SourceInput,
    responses((status = 201, body = SourceView)))]
pub(crate) async fn create_source(
    State(context): State<Arc<Context>>,
    caller: Caller,
    Input(input): Input<SourceInput>,
) -> Result<(StatusCode, Json<SourceView>), Problem> {
    Ok((StatusCode::CREATED, put(&context, &caller, None, &input).await?))
}

/// Changes a source.
#[utoipa::path(put, path = "/sources/{id}", tag = "sources", params(("id" = Uuid, Path)),
    request_body = SourceInput, responses((status = 200, body = SourceView)))]
pub(crate) async fn update_source(
    State(context): State<Arc<Context>>,
    caller: Caller,
    At(id): At<Uuid>,
    Input(input): Input<SourceInput>,
) -> Result<Json<SourceView>, Problem> {
    let before = find(&context, id)?;
    put(&context, &caller, Some(&before), &input).await
}

/// Removes a source; its accounts become disabled and stay.
#[utoipa::path(delete, path = "/sources/{id}", tag = "sources", params(("id" = Uuid, Path)),
    responses((status = 204, description = "Removed")))]
pub(crate) async fn remove_source(
    State(context): State<Arc<Context>>,
    caller: Caller,
    At(id): At<Uuid>,
) -> Result<StatusCode, Problem> {
    let source = find(&context, id)?;
    context.directory.change(caller.actor.clone(), Change::RemoveSource(source.id)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Reads a source as it is described here and says what would be mapped. Writes nothing.
#[utoipa::path(post, path = "/sources/preview", tag = "sources", request_body = PreviewInput,
    responses((status = 200, body = SourcePreview)))]
pub(crate) async fn preview_source(
    State(context): State<Arc<Context>>,
    Input(input): Input<PreviewInput>,
) -> Result<Json<SourcePreview>, Problem> {
    let before = input.id.map(|id| find(&context, id)).transpose()?;
    let spec = input.source.spec(&context, before.as_deref())?;
    let password = input.source.password(&context, before.as_deref(), &spec)?;
    context.sources.preview(spec, password).await.map(Json).map_err(not_read)
}

/// Reads a source now.
#[utoipa::path(post, path = "/sources/{id}/sync", tag = "sources", params(("id" = Uuid, Path)),
    responses((status = 200, body = SourceReport)))]
pub(crate) async fn sync_source(
    State(context): State<Arc<Context>>,
    At(id): At<Uuid>,
) -> Result<Json<SourceReport>, Problem> {
    let source = find(&context, id)?;
    context.sources.sync(source.id).await.map(Json).map_err(not_read)
}

/// Confirms that the accounts that are gone from a source are really gone, and reads it: they are disabled.
#[utoipa::path(post, path = "/sources/{id}/confirm", tag = "sources", params(("id" = Uuid, Path)),
    responses((status = 200, body = SourceReport)))]
pub(crate) async fn confirm_source(
    State(context): State<Arc<Context>>,
    caller: Caller,
    At(id): At<Uuid>,
) -> Result<Json<SourceReport>, Problem> {
    let source = find(&context, id)?;
    let text = format!("confirmed that accounts have left the source {}", source.name);
    context.directory.change(caller.actor, Change::Audit(text)).await?;
    context.sources.confirm_removals(source.id).await.map(Json).map_err(not_read)
}

fn not_read(why: String) -> Problem {
    Problem::new(StatusCode::BAD_GATEWAY, "source_failed", why)
        .remedy("Check name, controllers, certificate, account and password of the source.")
}
