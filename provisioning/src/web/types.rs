//! What the set-up pages send and get. The TypeScript side is `node/web/src/setup`.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{
    Answers, Check, CheckOutcome, DirectoryAnswers, JoinOutcome, Outcome, Password, Tls,
    UserAnswers,
};

#[derive(Debug, Deserialize)]
pub(super) struct CodeRequest {
    pub(super) code: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ChecksRequest {
    pub(super) host: String,
    pub(super) mail_domain: String,
}

#[derive(Debug, Serialize)]
struct Suggestions {
    host: String,
    mail_domain: String,
    data_folder: String,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct StateAnswer {
    stage: &'static str,
    version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    suggestions: Option<Suggestions>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wait_seconds: Option<u64>,
}

impl StateAnswer {
    pub(super) fn code(version: &'static str, wait_seconds: Option<u64>) -> Self {
        Self { stage: "code", version, wait_seconds, ..Self::default() }
    }

    pub(super) fn form(version: &'static str, host: &str, data: &Path) -> Self {
        let mail_domain = host.split_once('.').map_or("", |(_, domain)| domain);
        let suggestions = Suggestions {
            host: host.to_owned(),
            mail_domain: mail_domain.to_owned(),
            data_folder: data.display().to_string(),
        };
        Self { stage: "form", version, suggestions: Some(suggestions), ..Self::default() }
    }

    pub(super) fn done(version: &'static str, host: &str) -> Self {
        Self {
            stage: "done",
            version,
            address: Some(format!("https://{host}/")),
            ..Self::default()
        }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct CheckAnswer {
    name: String,
    title: String,
    result: CheckOutcome,
    detail: String,
    remedy: String,
}

impl From<&Check> for CheckAnswer {
    fn from(check: &Check) -> Self {
        let mut title = check.name.clone();
        if let Some(first) = title.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        Self {
            name: check.name.clone(),
            title: if check.name == "dns" { "DNS".to_owned() } else { title },
            result: check.outcome,
            detail: check.detail.clone(),
            remedy: check.remedy.clone(),
        }
    }
}

#[derive(Deserialize)]
pub(super) struct DirectoryRequest {
    /// Mail domain that accounts would be mapped into; only for the preview.
    #[serde(default)]
    pub(super) mail_domain: String,
    directory_domain: String,
    #[serde(default)]
    controllers: Vec<String>,
    tls: String,
    #[serde(default)]
    ca: String,
    bind_name: String,
    bind_password: Password,
    #[serde(default)]
    base: String,
    #[serde(default)]
    user_filter: String,
}

impl DirectoryRequest {
    pub(super) fn into_answers(self) -> DirectoryAnswers {
        DirectoryAnswers {
            domain: self.directory_domain,
            controllers: self.controllers,
            tls: if self.tls == "start_tls" { Tls::StartTls } else { Tls::Ldaps },
            ca: self.ca,
            ca_file: None,
            bind_name: self.bind_name,
            bind_password: self.bind_password,
            base: self.base,
            user_filter: self.user_filter,
            keytab_file: None,
        }
    }
}

#[derive(Deserialize)]
struct AdministratorRequest {
    name: String,
    #[serde(default)]
    display_name: String,
    password: Password,
}

#[derive(Deserialize)]
pub(super) struct SetupRequest {
    mail_domain: String,
    host: String,
    administrator: AdministratorRequest,
    #[serde(default)]
    directory: Option<DirectoryRequest>,
}

impl SetupRequest {
    pub(super) fn into_answers(self) -> Answers {
        Answers {
            host: self.host.trim().to_ascii_lowercase(),
            domain: self.mail_domain.trim().to_ascii_lowercase(),
            site: "main".to_owned(),
            administrator: UserAnswers {
                name: self.administrator.name,
                display_name: self.administrator.display_name,
                password: Some(self.administrator.password),
                phone: String::new(),
            },
            directory: self.directory.map(DirectoryRequest::into_answers),
            ..Answers::default()
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct JoinRequest {
    code: Password,
    host: String,
    #[serde(default)]
    site: String,
    #[serde(default)]
    links: Vec<String>,
}

impl JoinRequest {
    pub(super) fn into_answers(self) -> Answers {
        Answers {
            join: Some(self.code),
            host: self.host.trim().to_ascii_lowercase(),
            site: self.site.trim().to_owned(),
            links: self.links.iter().map(|link| link.trim().to_owned()).collect(),
            ..Answers::default()
        }
    }
}

/// What can be seen in a code without asking anybody.
#[derive(Debug, Serialize)]
pub(super) struct CodeAnswer {
    pub(super) addresses: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct DoneAnswer {
    done: bool,
    address: String,
    next: Vec<String>,
}

impl DoneAnswer {
    pub(super) fn joined(answers: &Answers, outcome: &JoinOutcome) -> Self {
        let next = vec![
            format!(
                "This is node {} of {}. Sign on with your account of the cluster.",
                outcome.node, outcome.cluster
            ),
            format!("Let clients and the MX records of the domain find {} too.", answers.host),
            "Replace the certificate by one that your clients trust.".to_owned(),
        ];
        Self { done: true, address: format!("https://{}/", answers.host), next }
    }

    pub(super) fn new(answers: &Answers, outcome: &Outcome) -> Self {
        let mut next = outcome.warnings.clone();
        next.push(format!("Add an MX record for {} that names {}.", answers.domain, answers.host));
        next.push("Replace the certificate by one that your clients trust.".to_owned());
        if answers.directory.is_some() {
            next.push("Upload a keytab so that Kerberos tickets sign users on.".to_owned());
        }
        Self { done: true, address: format!("https://{}/", answers.host), next }
    }
}

/// An account that would be mapped.
#[derive(Debug, Serialize)]
struct Entry {
    kind: &'static str,
    name: String,
    display_name: String,
    mail: String,
    state: &'static str,
}

/// What would be mapped from a source.
#[derive(Debug, Serialize)]
pub(super) struct PreviewAnswer {
    controller: String,
    users: usize,
    groups: usize,
    contacts: usize,
    sample: Vec<Entry>,
    warnings: Vec<String>,
}

/// Longest sample of a preview.
const SAMPLE: usize = 50;

impl From<posthouse_sources::Preview> for PreviewAnswer {
    fn from(preview: posthouse_sources::Preview) -> Self {
        let count = |kind: &str| preview.counts.get(kind).copied().unwrap_or(0);
        let entry = |entry: posthouse_sources::PreviewEntry| Entry {
            kind: entry.kind,
            name: entry.name,
            display_name: entry.display_name,
            mail: entry.mail,
            state: if entry.disabled { "disabled in the directory" } else { "" },
        };
        Self {
            users: count("users"),
            groups: count("groups"),
            contacts: count("contacts"),
            controller: preview.controller,
            sample: preview.entries.into_iter().take(SAMPLE).map(entry).collect(),
            warnings: preview.warnings,
        }
    }
}
