//! Settings: the table of the directory with its present values.

use std::sync::Arc;

use axum::{Json, extract::State};
use posthouse_directory::{Change, SETTINGS, SettingChange, SettingSpec, SettingType};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::{Caller, Context, Input, Problem, problem::At};

/// A setting.
#[derive(Serialize, ToSchema)]
pub(crate) struct SettingView {
    /// Its name.
    name: &'static str,
    /// What it does, with its unit.
    description: String,
    /// `bool`, `integer` or `text`.
    kind: &'static str,
    /// Smallest value of an integer.
    min: Option<u64>,
    /// Largest value of an integer, longest text in bytes.
    max: Option<u64>,
    /// Value now.
    value: Value,
    /// Default.
    default: Value,
}

/// A new value.
#[derive(Deserialize, ToSchema)]
pub(crate) struct SettingInput {
    /// The value; `null` goes back to the default.
    #[serde(default)]
    value: Value,
}

fn view(context: &Context, spec: &SettingSpec) -> SettingView {
    let (kind, min, max) = match spec.kind {
        SettingType::Bool => ("bool", None, None),
        SettingType::Integer { min, max } => ("integer", Some(min), Some(max)),
        SettingType::Text { max } => ("text", None, Some(max as u64)),
    };
    let json = |text: &str| serde_json::from_str(text).unwrap_or(Value::Null);
    let default = json(spec.default);
    SettingView {
        name: spec.name,
        description: spec.description.trim().to_owned(),
        kind,
        min,
        max,
        value: context.directory.setting(spec.name).map_or(default.clone(), |text| json(&text)),
        default,
    }
}

/// Lists all settings.
#[utoipa::path(get, path = "/settings", tag = "settings", responses((status = 200, body = Vec<SettingView>)))]
pub(crate) async fn list_settings(State(context): State<Arc<Context>>) -> Json<Vec<SettingView>> {
    Json(SETTINGS.iter().map(|spec| view(&context, spec)).collect())
}

/// Sets a setting.
#[utoipa::path(put, path = "/settings/{name}", tag = "settings", params(("name" = String, Path)),
    request_body = SettingInput, responses((status = 200, body = SettingView)))]
pub(crate) async fn set_setting(
    State(context): State<Arc<Context>>,
    caller: Caller,
    At(name): At<String>,
    Input(input): Input<SettingInput>,
) -> Result<Json<SettingView>, Problem> {
    let spec = SETTINGS
        .iter()
        .find(|spec| spec.name == name)
        .ok_or_else(|| Problem::not_found("setting"))?;
    let value = (!input.value.is_null()).then(|| input.value.to_string());
    if let Some(value) = &value {
        spec.check(value).map_err(|problem| Problem::invalid("value", problem))?;
    }
    let change = Change::Set(SettingChange { name, value });
    context.directory.change(caller.actor.clone(), change).await?;
    Ok(Json(view(&context, spec)))
}
