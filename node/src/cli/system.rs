//! Commands for sources, sign-on, queue, settings, audit log and status.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Subcommand;
use hyper::Method;
use serde_json::{Value, json};

use super::{Session, accounts::encode, output::Column};

const SOURCES: &[Column] = &[
    ("NAME", "name"),
    ("DIRECTORY", "directory_domain"),
    ("ENABLED", "enabled"),
    ("READ", "read"),
    ("ACCOUNTS", "accounts"),
    ("PROBLEM", "problem"),
];
const QUEUE: &[Column] = &[
    ("ID", "id"),
    ("SENDER", "sender"),
    ("RECIPIENTS", "to"),
    ("SIZE", "size"),
    ("DUE", "due_at"),
    ("LAST ERROR", "last_error"),
];
const SETTINGS: &[Column] = &[
    ("SETTING", "name"),
    ("VALUE", "value"),
    ("DEFAULT", "default"),
    ("DESCRIPTION", "description"),
];
const AUDIT: &[Column] = &[("WHEN", "at"), ("WHO", "who"), ("WHAT", "text")];

#[derive(Debug, Subcommand)]
pub(super) enum SourceCommand {
    /// List sources.
    List,
    /// Add a source from a TOML file with the fields of the API.
    #[command(after_help = "\
Example of a file:
  name = 'Company AD'
  directory_domain = 'ad.example.test'
  bind_name = 'posthouse-read@ad.example.test'
  bind_password = '…'
  ca = '''-----BEGIN CERTIFICATE-----…'''")]
    Add {
        /// The file.
        file: PathBuf,
        /// Only show what would be mapped.
        #[arg(long)]
        dry_run: bool,
    },
    /// Read a source now.
    Sync {
        /// Its name.
        name: String,
    },
    /// Agree that more accounts than the threshold have left the directory, and disable them here.
    ConfirmRemovals {
        /// Its name.
        name: String,
    },
    /// Remove a source. Its accounts are disabled and stay, with their mail.
    Remove {
        /// Its name.
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum AuthCommand {
    /// Why sign-ons failed, and what to do.
    Explain {
        /// A user, or `last` for the newest failures of anybody.
        #[arg(default_value = "last")]
        name: String,
        /// At most so many.
        #[arg(long, default_value_t = 5)]
        limit: usize,
    },
    /// Which Kerberos keys this domain has.
    Keytab,
    /// Take a keytab into use on all nodes.
    PutKeytab {
        /// The file.
        file: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum QueueCommand {
    /// List what waits.
    List,
    /// Try again now.
    Retry {
        /// Which; all if left out.
        id: Option<u64>,
    },
    /// Take a message out without delivering it.
    Remove {
        /// Which.
        id: u64,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum SettingCommand {
    /// List settings.
    List,
    /// Change a setting.
    Set {
        /// Its name.
        name: String,
        /// Its value.
        value: String,
    },
    /// Go back to the default.
    Reset {
        /// Its name.
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum DemoCommand {
    /// Make users with mail. They share one generated password, printed once.
    Users {
        /// How many.
        count: u32,
    },
}

pub(super) async fn status(session: &Session) -> Result<()> {
    session.print_object(&session.get("status").await?)
}

pub(super) async fn resolve(session: &Session, address: &str) -> Result<()> {
    let answer = session.get(&format!("resolve?address={}", encode(address))).await?;
    if session.json {
        return session.print_object(&answer);
    }
    for step in answer["steps"].as_array().into_iter().flatten() {
        say!(
            "{}: {}",
            step["address"].as_str().unwrap_or(""),
            step["found"].as_str().unwrap_or("")
        );
    }
    let targets: Vec<_> = answer["targets"].as_array().into_iter().flatten().collect();
    if targets.is_empty() {
        say!("Mail for {address} is refused.");
    }
    for target in targets {
        let place = if target["user"].is_null() { "another server" } else { "mailbox" };
        say!("→ {place}: {}", target["address"].as_str().unwrap_or(""));
    }
    Ok(())
}

pub(super) async fn source(session: &Session, command: SourceCommand) -> Result<()> {
    match command {
        SourceCommand::List => session.print_list(&session.get("sources").await?, SOURCES),
        SourceCommand::Add { file, dry_run } => {
            let text = std::fs::read_to_string(&file)
                .with_context(|| format!("{} cannot be read", file.display()))?;
            let value: toml::Value = toml::from_str(&text)
                .map_err(|error| anyhow::anyhow!("{}: {}", file.display(), error.message()))?;
            let body = serde_json::to_value(value)?;
            if dry_run {
                return session.print_object(&session.post("sources/preview", &body).await?);
            }
            let made = session.post("sources", &body).await?;
            session.done("The source was added and is being read.", &made)
        }
        SourceCommand::Sync { name } => {
            let id = source_id(session, &name).await?;
            session.print_object(&session.post(&format!("sources/{id}/sync"), &json!({})).await?)
        }
        SourceCommand::ConfirmRemovals { name } => {
            let id = source_id(session, &name).await?;
            let report = session.post(&format!("sources/{id}/confirm"), &json!({})).await?;
            session.print_object(&report)
        }
        SourceCommand::Remove { name } => {
            let id = source_id(session, &name).await?;
            session.delete(&format!("sources/{id}")).await?;
            session.done(&format!("{name} was removed; its accounts stay, disabled."), &Value::Null)
        }
    }
}

async fn source_id(session: &Session, name: &str) -> Result<String> {
    let sources = session.get("sources").await?;
    let found = sources
        .as_array()
        .into_iter()
        .flatten()
        .find(|source| source["name"].as_str() == Some(name));
    let id = found.and_then(|source| source["id"].as_str());
    id.map(str::to_owned).with_context(|| format!("there is no source {name}"))
}

pub(super) async fn auth(session: &Session, command: AuthCommand) -> Result<()> {
    match command {
        AuthCommand::Explain { name, limit } => {
            let mut path = format!("failures?limit={limit}");
            if name != "last" {
                path += &format!("&name={}", encode(&name));
            }
            let failures = session.get(&path).await?;
            explain(session, &failures)
        }
        AuthCommand::Keytab => session.print_object(&session.get("keytab").await?),
        AuthCommand::PutKeytab { file } => {
            let keytab = std::fs::read(&file)
                .with_context(|| format!("{} cannot be read", file.display()))?;
            let answer = session
                .client
                .send(Method::PUT, "keytab", "application/octet-stream", keytab)
                .await?;
            let answer = serde_json::from_slice(&answer).unwrap_or(Value::Null);
            session.print_object(&answer)
        }
    }
}

fn explain(session: &Session, failures: &Value) -> Result<()> {
    if session.json {
        return session.print_object(failures);
    }
    let failures =
        failures.get("items").unwrap_or(failures).as_array().cloned().unwrap_or_default();
    if failures.is_empty() {
        say!("No failed sign-on is remembered.");
    }
    for failure in failures {
        let text = |key: &str| failure[key].as_str().unwrap_or("").escape_debug().to_string();
        say!(
            "{}  {} {} from {} ({})",
            when(&failure["at"]),
            text("service"),
            text("mechanism"),
            text("address"),
            text("name")
        );
        say!("  {}", text("reason"));
        for finding in failure["findings"].as_array().into_iter().flatten() {
            say!("  - {}", finding.as_str().unwrap_or(""));
        }
        for remedy in failure["remedies"].as_array().into_iter().flatten() {
            say!("  → {}", remedy.as_str().unwrap_or(""));
        }
    }
    Ok(())
}

pub(super) async fn queue(session: &Session, command: QueueCommand) -> Result<()> {
    match command {
        QueueCommand::List => {
            let mut list = session.get("queue?limit=1000").await?;
            if !session.json {
                let entries = match list.get_mut("items") {
                    Some(items) => items.as_array_mut(),
                    None => list.as_array_mut(),
                };
                entries.into_iter().flatten().for_each(flatten);
            }
            session.print_list(&list, QUEUE)
        }
        QueueCommand::Retry { id } => {
            let path = id.map_or("queue/retry".to_owned(), |id| format!("queue/{id}/retry"));
            session.post(&path, &json!({})).await?;
            session.done("It is tried again now.", &Value::Null)
        }
        QueueCommand::Remove { id } => {
            session.delete(&format!("queue/{id}")).await?;
            session.done(&format!("{id} was removed from the queue."), &Value::Null)
        }
    }
}

/// One line for an entry with several recipients.
fn flatten(entry: &mut Value) {
    let recipients = entry["recipients"].as_array().cloned().unwrap_or_default();
    let to: Vec<_> =
        recipients.iter().filter_map(|recipient| recipient["address"].as_str()).collect();
    let error =
        recipients.iter().filter_map(|recipient| recipient["last_error"].as_str()).next_back();
    let (to, error) = (json!(to.join(", ")), json!(error.unwrap_or("")));
    let due = json!(when(&entry["due"]));
    entry["to"] = to;
    entry["last_error"] = error;
    entry["due_at"] = due;
}

/// Milliseconds since the Unix epoch as UTC time.
pub(super) fn when(value: &Value) -> String {
    let seconds = value.as_u64().unwrap_or(0) / 1000;
    time::OffsetDateTime::from_unix_timestamp(seconds as i64)
        .ok()
        .and_then(|at| at.format(&time::format_description::well_known::Rfc3339).ok())
        .unwrap_or_default()
}

pub(super) async fn setting(session: &Session, command: SettingCommand) -> Result<()> {
    match command {
        SettingCommand::List => session.print_list(&session.get("settings").await?, SETTINGS),
        SettingCommand::Set { name, value } => {
            let value = serde_json::from_str(&value).unwrap_or_else(|_| json!(value));
            session.put(&format!("settings/{}", encode(&name)), &json!({ "value": value })).await?;
            session.done(&format!("{name} is {value}."), &Value::Null)
        }
        SettingCommand::Reset { name } => {
            session.put(&format!("settings/{}", encode(&name)), &json!({ "value": null })).await?;
            session.done(&format!("{name} has its default again."), &Value::Null)
        }
    }
}

pub(super) async fn audit(session: &Session, limit: usize) -> Result<()> {
    let mut lines = session.get(&format!("audit?limit={limit}")).await?;
    if !session.json {
        let entries = match lines.get_mut("items") {
            Some(items) => items.as_array_mut(),
            None => lines.as_array_mut(),
        };
        for line in entries.into_iter().flatten() {
            let at = when(&line["at"]);
            line["at"] = json!(at);
        }
    }
    session.print_list(&lines, AUDIT)
}

pub(super) async fn demo(session: &Session, command: DemoCommand) -> Result<()> {
    let DemoCommand::Users { count } = command;
    if !session.json {
        say!("Making {count} users with mail…");
    }
    let body = serde_json::to_vec(&json!({ "count": count }))?;
    let answer = session.client.send(Method::POST, "demo/users", "application/json", body).await?;
    let last = String::from_utf8_lossy(&answer).lines().last().unwrap_or("").to_owned();
    let last: Value = serde_json::from_str(&last)
        .context("the node stopped in the middle; what was made stays")?;
    if let Some(message) = last["problem"]["message"].as_str() {
        anyhow::bail!("{message}");
    }
    session.print_object(&last)
}
