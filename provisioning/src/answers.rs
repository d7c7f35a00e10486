//! What set-up needs to know.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{Password, check_code};

/// Everything that set-up asks. All doors fill this.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answers {
    /// Host name of this node as clients reach it: `mail.example.test`.
    pub host: String,
    /// Code of `posthouse cluster invite`: this node joins that cluster. Domain, administrator and everything
    /// after them are not asked then, since the cluster has them.
    #[serde(default)]
    pub join: Option<Password>,
    /// Addresses (`host:port`) where other nodes reach this one; only with `join`. Empty: found out.
    #[serde(default)]
    pub links: Vec<String>,
    /// Primary mail domain: `example.test`.
    #[serde(default)]
    pub domain: String,
    /// Name of the site that this node stands in; empty: [`Answers::site`].
    #[serde(default)]
    pub site: String,
    /// First administrator, an ordinary user with full rights (F8.1-1).
    #[serde(default)]
    pub administrator: UserAnswers,
    /// Active Directory to map accounts from.
    #[serde(default)]
    pub directory: Option<DirectoryAnswers>,
    /// Users to make.
    #[serde(default)]
    pub users: Vec<UserAnswers>,
    /// Groups to make.
    #[serde(default)]
    pub groups: Vec<GroupAnswers>,
    /// Aliases to make.
    #[serde(default)]
    pub aliases: Vec<AliasAnswers>,
}

/// A local user.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserAnswers {
    /// Login name, the part before the `@`.
    pub name: String,
    /// Name as it is shown; the login name if empty.
    #[serde(default)]
    pub display_name: String,
    /// Password. Left out: one is generated and shown once.
    #[serde(default)]
    pub password: Option<Password>,
    /// Business telephone.
    #[serde(default)]
    pub phone: String,
}

/// A group.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupAnswers {
    /// Name.
    pub name: String,
    /// Local part of its address; left out: it gets no mail (F9.1-1).
    #[serde(default)]
    pub address: Option<String>,
    /// Login names of its members.
    #[serde(default)]
    pub members: Vec<String>,
}

/// An alias.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AliasAnswers {
    /// Pattern: local part with `*` and `?`.
    pub name: String,
    /// Where its mail goes.
    pub targets: Vec<String>,
}

/// How the connection to the directory is protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tls {
    /// LDAPS, port 636.
    #[default]
    Ldaps,
    /// StartTLS, port 389.
    StartTls,
}

/// An Active Directory to map.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DirectoryAnswers {
    /// Name of the directory's domain: `ad.example.test`.
    pub domain: String,
    /// Controllers, `host` or `host:port`; empty: found by DNS.
    #[serde(default)]
    pub controllers: Vec<String>,
    /// Protection.
    #[serde(default)]
    pub tls: Tls,
    /// Certificate authorities in PEM; empty: the system's.
    #[serde(default)]
    pub ca: String,
    /// File to read `ca` from (answers file only).
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Account that may read the directory.
    pub bind_name: String,
    /// Its password.
    pub bind_password: Password,
    /// Where to search; empty: everywhere.
    #[serde(default)]
    pub base: String,
    /// LDAP filter that mapped users must match besides being users; empty: all.
    #[serde(default)]
    pub user_filter: String,
    /// Keytab for Kerberos sign-on (answers file only).
    #[serde(default)]
    pub keytab_file: Option<PathBuf>,
}

/// An answer that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Which answer, as a path: `administrator.password`.
    pub field: String,
    /// What is wrong with it and what would be right.
    pub message: String,
}

/// Why an answers file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AnswersError {
    /// It is not TOML, or has an unknown or missing key. The text names line and key.
    #[error("the answers file cannot be read: {0}")]
    Syntax(String),
    /// A file that it names cannot be read.
    #[error("{0} cannot be read: {1}")]
    File(PathBuf, std::io::Error),
}

impl Answers {
    /// Largest answers file in bytes.
    pub const MAX_FILE: usize = 1 << 20;

    /// Reads an answers file. Files that it names are read too.
    pub fn from_toml(text: &str) -> Result<Self, AnswersError> {
        if text.len() > Self::MAX_FILE {
            return Err(AnswersError::Syntax("it is larger than 1 MiB".to_owned()));
        }
        // The error must not quote the line: it may hold a password.
        let mut answers: Self = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(0, |span| text[..span.start].lines().count().max(1));
            AnswersError::Syntax(format!("line {line}: {}", error.message()))
        })?;
        if let Some(directory) = &mut answers.directory
            && let Some(path) = &directory.ca_file
        {
            directory.ca =
                std::fs::read_to_string(path).map_err(|e| AnswersError::File(path.clone(), e))?;
        }
        Ok(answers)
    }

    /// The site of a new domain's first node: `main` if nothing was answered.
    pub fn site(&self) -> &str {
        let site = self.site.trim();
        if site.is_empty() { "main" } else { site }
    }

    /// What is wrong with the answers, all of it. Empty: they can be applied, or joined with.
    pub fn problems(&self) -> Vec<Problem> {
        let mut found = match &self.join {
            None => self.domain_problems(),
            Some(code) => self.join_problems(code.expose()),
        };
        let named = self.site.is_empty() || !self.site.trim().is_empty();
        if !named || self.site.chars().any(char::is_control) || self.site.len() > MAX_SITE {
            let message = "a site has a name of at most 64 letters".to_owned();
            found.push(Problem { field: "site".to_owned(), message });
        }
        found
    }

    fn join_problems(&self, code: &str) -> Vec<Problem> {
        let mut found = Vec::new();
        let mut check = |field: &str, ok: bool, message: &str| {
            if !ok {
                found.push(Problem { field: field.to_owned(), message: message.to_owned() });
            }
        };
        if let Err(problem) = check_code(code) {
            check("join", false, &problem);
        }
        check("host", is_host(&self.host), HOST);
        for (position, link) in self.links.iter().enumerate() {
            let field = format!("links[{position}]");
            check(&field, is_link(link), "host and port are needed, such as 10.1.0.2:4041");
        }
        let from_cluster = "it comes from the cluster: leave it out when joining";
        check("domain", self.domain.is_empty(), from_cluster);
        check("administrator", self.administrator.name.is_empty(), from_cluster);
        check("directory", self.directory.is_none(), from_cluster);
        check("users", self.users.is_empty(), from_cluster);
        check("groups", self.groups.is_empty(), from_cluster);
        check("aliases", self.aliases.is_empty(), from_cluster);
        found
    }

    fn domain_problems(&self) -> Vec<Problem> {
        let mut found = Vec::new();
        let mut check = |field: &str, ok: bool, message: &str| {
            if !ok {
                found.push(Problem { field: field.to_owned(), message: message.to_owned() });
            }
        };
        check("host", is_host(&self.host), HOST);
        check("domain", is_host(&self.domain), "a mail domain is needed, such as example.test");
        check("links", self.links.is_empty(), "they are asked only when joining a cluster");
        check_user("administrator", &self.administrator, &mut check);
        for (position, user) in self.users.iter().enumerate() {
            check_user(&format!("users[{position}]"), user, &mut check);
        }
        for (position, group) in self.groups.iter().enumerate() {
            check(&format!("groups[{position}].name"), is_name(&group.name), NAME);
        }
        if let Some(directory) = &self.directory {
            let field = |name: &str| format!("directory.{name}");
            check(&field("domain"), is_host(&directory.domain), "such as ad.example.test");
            check(
                &field("bind_name"),
                !directory.bind_name.trim().is_empty(),
                "it is needed to read the directory",
            );
            check(
                &field("bind_password"),
                !directory.bind_password.expose().is_empty(),
                "it is needed to read the directory",
            );
        }
        found
    }
}

/// Longest name of a site in bytes.
const MAX_SITE: usize = 64;
const HOST: &str = "a full host name is needed, such as mail.example.test";
const NAME: &str = "lower-case letters, digits, dot, hyphen and underscore are allowed";

fn check_user(field: &str, user: &UserAnswers, check: &mut impl FnMut(&str, bool, &str)) {
    check(&format!("{field}.name"), is_name(&user.name), NAME);
    if let Some(problem) = user.password.as_ref().and_then(Password::problem) {
        check(&format!("{field}.password"), false, problem);
    }
}

/// Characters of a local name (F12.3-7).
fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
    !name.is_empty() && name.len() <= 64 && name.chars().all(allowed)
}

/// A host or domain name of at least two labels (RFC 1123 §2.1).
fn is_host(name: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    name.len() <= 253 && name.contains('.') && name.split('.').all(label)
}

/// `host:port`; the host a name or an IP address, of version 6 in brackets.
fn is_link(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).map_or_else(
        || host.parse::<std::net::Ipv4Addr>().is_ok(),
        |host| host.parse::<std::net::Ipv6Addr>().is_ok(),
    );
    port.parse::<u16>().is_ok_and(|port| port > 0) && (address || is_host(host))
}

/// A code that was never made by a cluster.
#[cfg(test)]
pub(crate) fn example_code() -> String {
    let addresses = vec!["192.0.2.1:4041".to_owned()];
    posthouse_cluster::join::InviteCode::new(addresses, &[7; 32], [8; 16], [9; 16]).to_string()
}

#[cfg(test)]
mod tests;
