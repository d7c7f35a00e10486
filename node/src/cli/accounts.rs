//! Commands for domains, users, groups and aliases.

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use hyper::Method;
use posthouse_provisioning::Password;
use serde_json::{Value, json};

use super::{Session, output::Column};

const USERS: &[Column] = &[
    ("NAME", "name"),
    ("DOMAIN", "domain_name"),
    ("DISPLAY NAME", "display_name"),
    ("MAIL", "mail"),
    ("ENABLED", "enabled"),
    ("MAPPED", "mapped"),
    ("RIGHTS", "effective_rights"),
];
const GROUPS: &[Column] = &[
    ("NAME", "name"),
    ("DOMAIN", "domain_name"),
    ("MAIL", "mail"),
    ("MEMBERS", "member_count"),
    ("MAPPED", "mapped"),
];
const ALIASES: &[Column] = &[("ALIAS", "name"), ("DOMAIN", "domain_name"), ("TARGETS", "targets")];
const DOMAINS: &[Column] = &[
    ("DOMAIN", "name"),
    ("PRIMARY", "primary"),
    ("ALIASES", "aliases"),
    ("DESCRIPTION", "description"),
];

#[derive(Debug, Args)]
pub(super) struct ListArguments {
    /// Only names and addresses that contain this.
    #[arg(default_value = "")]
    search: String,
    /// At most so many.
    #[arg(long, default_value_t = 200)]
    limit: usize,
}

#[derive(Debug, Subcommand)]
pub(super) enum DomainCommand {
    /// List domains.
    List,
    /// Add a domain.
    Add {
        /// Its name.
        name: String,
    },
    /// Rename a domain; the old name stays as an alias of it.
    Rename {
        /// Name now.
        name: String,
        /// Name then.
        to: String,
    },
    /// Let another name stand for a domain.
    AddAlias {
        /// The domain.
        name: String,
        /// The other name.
        alias: String,
    },
    /// Remove a domain without accounts.
    Remove {
        /// Its name.
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum UserCommand {
    /// List users.
    List(ListArguments),
    /// Everything about one user.
    Show {
        /// Login name or address.
        name: String,
    },
    /// Add a user. The password is asked for, read, or generated and printed once.
    #[command(
        after_help = "Examples:\n  posthouse user add anna --display-name 'Anna Berg'\n  posthouse user add bot --generate-password --json"
    )]
    Add(AddUser),
    /// Change fields of a user: `display_name='Anna Berg' person.phone=+49-30-1234 rights=full`.
    Set {
        /// Login name or address.
        name: String,
        /// Fields as `name=value`; a value that is JSON is taken as such.
        #[arg(required = true)]
        fields: Vec<String>,
    },
    /// Set a local user's password.
    Password {
        /// Login name or address.
        name: String,
        #[command(flatten)]
        password: PasswordSource,
    },
    /// Keep a user from signing on; mail is still delivered.
    Disable {
        /// Login name or address.
        name: String,
        /// Why, for the log and for administrators.
        #[arg(long, default_value = "")]
        because: String,
    },
    /// Let a disabled user sign on again.
    Enable {
        /// Login name or address.
        name: String,
    },
    /// End a lock-out after failed sign-ons.
    Unlock {
        /// Login name or address.
        name: String,
    },
    /// Remove a user.
    Remove {
        /// Login name or address.
        name: String,
        /// Remove the mailbox too, for good.
        #[arg(long)]
        with_mailbox: bool,
    },
}

#[derive(Debug, Args)]
pub(super) struct AddUser {
    /// Login name.
    name: String,
    /// Name as it is shown.
    #[arg(long, default_value = "")]
    display_name: String,
    /// Domain; the primary one if left out.
    #[arg(long)]
    domain: Option<String>,
    /// Rights: none, own_domain, read_only, full.
    #[arg(long, default_value = "none")]
    rights: String,
    #[command(flatten)]
    password: PasswordSource,
}

#[derive(Debug, Args)]
pub(super) struct PasswordSource {
    /// Read the password from standard input.
    #[arg(long, conflicts_with = "generate_password")]
    password_stdin: bool,
    /// Generate a password and print it once.
    #[arg(long)]
    generate_password: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum GroupCommand {
    /// List groups.
    List(ListArguments),
    /// A group with its members.
    Show {
        /// Name.
        name: String,
    },
    /// Add a group.
    Add {
        /// Name.
        name: String,
        /// Local part of its address; without one it gets no mail.
        #[arg(long)]
        address: Option<String>,
        /// Members: names of users and groups.
        members: Vec<String>,
    },
    /// Replace the members.
    Members {
        /// Name.
        name: String,
        /// Members: names of users and groups.
        members: Vec<String>,
    },
    /// Remove a group.
    Remove {
        /// Name.
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum AliasCommand {
    /// List aliases.
    List(ListArguments),
    /// Add an alias: a name or a pattern with `*` and `?`.
    #[command(
        after_help = "Examples:\n  posthouse alias add sales anna bob@other.example\n  posthouse alias add '*' postmaster"
    )]
    Add {
        /// Name or pattern.
        name: String,
        /// Where its mail goes.
        #[arg(required = true)]
        targets: Vec<String>,
    },
    /// Remove an alias.
    Remove {
        /// Name or pattern.
        name: String,
    },
}

pub(super) async fn domain(session: &Session, command: DomainCommand) -> Result<()> {
    match command {
        DomainCommand::List => session.print_list(&session.get("domains").await?, DOMAINS),
        DomainCommand::Add { name } => {
            let made = session.post("domains", &json!({ "name": name })).await?;
            session.done(&format!("The domain {name} was added."), &made)
        }
        DomainCommand::Rename { name, to } => {
            session.edit("domains", &name, |domain| set(domain, "name", json!(to))).await?;
            session
                .done(&format!("{name} is now {to}; mail for {name} still arrives."), &Value::Null)
        }
        DomainCommand::AddAlias { name, alias } => {
            session
                .edit("domains", &name, |domain| {
                    let aliases = domain.get_mut("aliases").and_then(Value::as_array_mut);
                    aliases.context("the node's answer has no aliases")?.push(json!(alias));
                    Ok(())
                })
                .await?;
            session.done(&format!("{alias} now stands for {name}."), &Value::Null)
        }
        DomainCommand::Remove { name } => session.remove("domains", &name, "").await,
    }
}

pub(super) async fn user(session: &Session, command: UserCommand) -> Result<()> {
    match command {
        UserCommand::List(list) => session.list("users", &list, USERS).await,
        UserCommand::Show { name } => session.print_object(&session.find("users", &name).await?),
        UserCommand::Add(add) => add_user(session, add).await,
        UserCommand::Set { name, fields } => {
            let fields: Vec<_> =
                fields.iter().map(|field| parse_field(field)).collect::<Result<_>>()?;
            session
                .edit("users", &name, |user| {
                    fields.into_iter().try_for_each(|(key, value)| set(user, &key, value))
                })
                .await?;
            session.done(&format!("{name} was changed."), &Value::Null)
        }
        UserCommand::Password { name, password } => {
            let (password, generated) = read_password(&password)?;
            let id = session.id("users", &name).await?;
            session
                .put(&format!("users/{id}/password"), &json!({ "password": password.expose() }))
                .await?;
            report_password(
                session,
                &format!("The password of {name} was set."),
                generated.then_some(&password),
            )
        }
        UserCommand::Disable { name, because } => {
            let id = session.id("users", &name).await?;
            session
                .put(&format!("users/{id}/state"), &json!({ "enabled": false, "because": because }))
                .await?;
            session.done(&format!("{name} can no longer sign on."), &Value::Null)
        }
        UserCommand::Enable { name } => {
            let id = session.id("users", &name).await?;
            session.put(&format!("users/{id}/state"), &json!({ "enabled": true })).await?;
            session.done(&format!("{name} can sign on."), &Value::Null)
        }
        UserCommand::Unlock { name } => {
            let id = session.id("users", &name).await?;
            session.post(&format!("users/{id}/unlock"), &json!({})).await?;
            session.done(&format!("{name} is not locked out."), &Value::Null)
        }
        UserCommand::Remove { name, with_mailbox } => {
            let query = if with_mailbox { "?remove_mailbox=true" } else { "" };
            session.remove("users", &name, query).await
        }
    }
}

async fn add_user(session: &Session, add: AddUser) -> Result<()> {
    let (password, generated) = read_password(&add.password)?;
    let mut body = json!({
        "name": add.name, "display_name": add.display_name, "rights": add.rights, "password": password.expose(),
    });
    if let Some(domain) = &add.domain {
        set(&mut body, "domain", json!(session.id("domains", domain).await?))?;
    }
    let made = session.post("users", &body).await?;
    if session.json {
        let shown = generated.then(|| password.expose().to_owned());
        return session.print_object(&json!({ "user": made, "password": shown }));
    }
    report_password(
        session,
        &format!("The user {} was added.", add.name),
        generated.then_some(&password),
    )
}

fn report_password(session: &Session, text: &str, password: Option<&Password>) -> Result<()> {
    session.done(text, &json!({ "password": password.map(Password::expose) }))?;
    match password {
        Some(password) if !session.json => {
            say!("Password (shown only now): {}", password.expose());
        }
        _ => {}
    }
    Ok(())
}

fn read_password(source: &PasswordSource) -> Result<(Password, bool)> {
    if source.generate_password {
        return Ok((Password::generate(), true));
    }
    let text = if source.password_stdin {
        let mut line = String::new();
        std::io::stdin().read_line(&mut line)?;
        line.trim_end_matches(['\r', '\n']).to_owned()
    } else {
        rpassword::prompt_password("Password (at least 10 characters): ").context(
            "no terminal to ask for the password: use --password-stdin or --generate-password",
        )?
    };
    let password = Password::new(text);
    match password.problem() {
        Some(problem) => bail!("{problem}"),
        None => Ok((password, false)),
    }
}

pub(super) async fn group(session: &Session, command: GroupCommand) -> Result<()> {
    match command {
        GroupCommand::List(list) => session.list("groups", &list, GROUPS).await,
        GroupCommand::Show { name } => session.print_object(&session.find("groups", &name).await?),
        GroupCommand::Add { name, address, members } => {
            let addresses: Vec<_> = address.into_iter().collect();
            let members = session.member_ids(&members).await?;
            let body = json!({ "name": name, "addresses": addresses, "members": members });
            let made = session.post("groups", &body).await?;
            session.done(&format!("The group {name} was added."), &made)
        }
        GroupCommand::Members { name, members } => {
            let members = session.member_ids(&members).await?;
            session.edit("groups", &name, |group| set(group, "members", json!(members))).await?;
            session.done(&format!("{name} has {} members.", members.len()), &Value::Null)
        }
        GroupCommand::Remove { name } => session.remove("groups", &name, "").await,
    }
}

pub(super) async fn alias(session: &Session, command: AliasCommand) -> Result<()> {
    match command {
        AliasCommand::List(list) => session.list("aliases", &list, ALIASES).await,
        AliasCommand::Add { name, targets } => {
            let made =
                session.post("aliases", &json!({ "name": name, "targets": targets })).await?;
            session.done(&format!("Mail for {name} goes to {}.", targets.join(", ")), &made)
        }
        AliasCommand::Remove { name } => session.remove("aliases", &name, "").await,
    }
}

fn parse_field(field: &str) -> Result<(String, Value)> {
    let (name, value) = field
        .split_once('=')
        .with_context(|| format!("{field:?} is not of the form name=value"))?;
    let value = serde_json::from_str(value).unwrap_or_else(|_| json!(value));
    Ok((name.to_owned(), value))
}

/// Sets a field by its path, such as `person.phone`. Unknown fields are refused.
fn set(object: &mut Value, path: &str, value: Value) -> Result<()> {
    let (parent, name) = path.rsplit_once('.').unwrap_or(("", path));
    let pointer =
        if parent.is_empty() { String::new() } else { format!("/{}", parent.replace('.', "/")) };
    let fields = object
        .pointer_mut(&pointer)
        .and_then(Value::as_object_mut)
        .with_context(|| format!("there is no field {parent:?}"))?;
    fields.insert(name.to_owned(), value);
    Ok(())
}

impl Session {
    pub(super) async fn get(&self, path: &str) -> Result<Value> {
        self.client.call(Method::GET, path, None).await
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.client.call(Method::POST, path, Some(body)).await
    }

    pub(super) async fn put(&self, path: &str, body: &Value) -> Result<Value> {
        self.client.call(Method::PUT, path, Some(body)).await
    }

    pub(super) async fn delete(&self, path: &str) -> Result<Value> {
        self.client.call(Method::DELETE, path, None).await
    }

    async fn list(&self, kind: &str, list: &ListArguments, columns: &[Column]) -> Result<()> {
        let path = format!("{kind}?search={}&limit={}", encode(&list.search), list.limit);
        self.print_list(&self.get(&path).await?, columns)
    }

    /// The id of what is called `name`: by name in the primary domain, or by address.
    pub(super) async fn id(&self, kind: &str, name: &str) -> Result<String> {
        let local = name.split_once('@').map_or(name, |(local, _)| local);
        let found = self.get(&format!("{kind}?search={}&limit=1000", encode(local))).await?;
        let items = found.get("items").unwrap_or(&found).as_array().cloned().unwrap_or_default();
        let text = |item: &Value, key: &str| {
            item.get(key).and_then(Value::as_str).unwrap_or("").to_lowercase()
        };
        let wanted = name.to_lowercase();
        let is_it = |item: &&Value| {
            let (own, domain) = (text(item, "name"), text(item, "domain_name"));
            own == wanted || text(item, "mail") == wanted || format!("{own}@{domain}") == wanted
        };
        let mut matching = items.iter().filter(is_it);
        let first =
            matching.next().with_context(|| format!("there is no {name} among the {kind}"))?;
        if matching.next().is_some() {
            bail!("there are several {name} among the {kind}: give the address");
        }
        first
            .get("id")
            .and_then(Value::as_str)
            .map(str::to_owned)
            .context("the node's answer has no id")
    }

    async fn find(&self, kind: &str, name: &str) -> Result<Value> {
        let id = self.id(kind, name).await?;
        self.get(&format!("{kind}/{id}")).await
    }

    /// Reads an object, changes it, writes it back.
    async fn edit(
        &self,
        kind: &str,
        name: &str,
        change: impl FnOnce(&mut Value) -> Result<()>,
    ) -> Result<Value> {
        let id = self.id(kind, name).await?;
        let mut object = self.get(&format!("{kind}/{id}")).await?;
        if kind == "groups" {
            // Members are read as objects and written as ids.
            let ids = object.get("members").and_then(Value::as_array).map(|members| {
                members.iter().filter_map(|member| member.get("id").cloned()).collect::<Vec<_>>()
            });
            set(&mut object, "members", json!(ids.unwrap_or_default()))?;
        }
        change(&mut object)?;
        self.put(&format!("{kind}/{id}"), &object).await
    }

    async fn remove(&self, kind: &str, name: &str, query: &str) -> Result<()> {
        let id = self.id(kind, name).await?;
        self.delete(&format!("{kind}/{id}{query}")).await?;
        self.done(&format!("{name} was removed."), &Value::Null)
    }

    async fn member_ids(&self, names: &[String]) -> Result<Vec<String>> {
        let mut ids = Vec::new();
        for name in names {
            let id = match self.id("users", name).await {
                Ok(id) => id,
                Err(_) => self
                    .id("groups", name)
                    .await
                    .with_context(|| format!("there is no user or group {name}"))?,
            };
            ids.push(id);
        }
        Ok(ids)
    }
}

/// Percent-encoding of a query value (RFC 3986 §2.1).
pub(super) fn encode(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte))
            }
            _ => out += &format!("%{byte:02X}"),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_set_by_path_and_json_values_are_taken_as_such() {
        let mut user = json!({ "person": { "phone": "" }, "published": true });
        for field in ["person.phone=+49 30 1", "published=false", "quota_bytes=1000"] {
            let (key, value) = parse_field(field).unwrap();
            set(&mut user, &key, value).unwrap();
        }
        assert_eq!(
            user,
            json!({ "person": { "phone": "+49 30 1" }, "published": false, "quota_bytes": 1000 })
        );
        assert!(set(&mut user, "persn.phone", json!("x")).is_err());
        assert!(parse_field("nothing").is_err());
    }

    #[test]
    fn query_values_are_encoded() {
        assert_eq!(encode("a&b=ü *"), "a%26b%3D%C3%BC%20%2A");
    }
}
