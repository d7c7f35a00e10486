//! What would be mapped, before anything is written.

use std::collections::BTreeMap;

use posthouse_cluster::Timestamp;
use posthouse_directory::{Account, AccountId, Kind, SourceSpec, State, fresh_id};

use crate::{
    SourceError,
    error::guarded,
    plan::{self, Mapping, Previous, Reading},
    reader::Reader,
};

/// Longest list of a preview.
const MAX_LISTED: usize = 200;

/// What a source would bring.
#[derive(Clone, Debug, Default)]
pub struct Preview {
    /// Controller that answered, `host:port`.
    pub controller: String,
    /// NetBIOS name of the domain.
    pub netbios: String,
    /// Where it was searched.
    pub base: String,
    /// How many of each kind: `users`, `groups`, `contacts`.
    pub counts: BTreeMap<&'static str, usize>,
    /// How many users are disabled in the directory.
    pub disabled: usize,
    /// The first of them, users first, by name.
    pub entries: Vec<PreviewEntry>,
    /// What an administrator should know.
    pub warnings: Vec<String>,
}

/// One line of a preview.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreviewEntry {
    /// `user`, `group` or `contact`.
    pub kind: &'static str,
    /// Name here.
    pub name: String,
    /// How it is shown.
    pub display_name: String,
    /// Address that would be shown; empty if there is none.
    pub mail: String,
    /// Distinguished name.
    pub dn: String,
    /// Whether it is disabled in the directory.
    pub disabled: bool,
}

/// Reads a source and shows what would be mapped into `mail_domain`. Writes nothing.
pub async fn preview(
    spec: &SourceSpec,
    mail_domain: &str,
    password: &str,
) -> Result<Preview, SourceError> {
    guarded(&spec.directory_domain, read(spec, mail_domain, password)).await
}

async fn read(
    spec: &SourceSpec,
    mail_domain: &str,
    password: &str,
) -> Result<Preview, SourceError> {
    let mut reader = Reader::open(spec, password, None).await?;
    let entries = reader.all().await?;
    let mail_domain = mail_domain.to_lowercase();
    let mapping = Mapping {
        source: spec.id,
        domain: spec.domain,
        directory_domain: spec.directory_domain.clone(),
        netbios: reader.facts.netbios.clone(),
        mail_domains: [mail_domain.clone()].into(),
        store: None,
        removal_threshold_percent: spec.removal_threshold_percent,
        removals_confirmed: false,
        now: Timestamp(0),
    };
    let reading = Reading { entries: entries.mapped, ..Reading::default() };
    let plan = plan::plan(&mapping, &Previous::default(), &reading, &mut || AccountId(fresh_id()));
    let mut warnings = entries.warnings;
    warnings.truncate(MAX_LISTED);
    warnings.extend(plan.warnings);
    if !plan.wanted.iter().any(|account| account.user().is_some()) {
        warnings.push(
            "no users were found: check base and filter, and that the account for reading may read them".into(),
        );
    }
    let counts = plan::counts(&plan.wanted);
    let disabled = plan.wanted.iter().filter(|a| a.state != State::Enabled).count();
    let mut entries: Vec<_> = plan.wanted.iter().map(|a| line(a, &mail_domain)).collect();
    entries.sort_by(|a, b| (rank(a.kind), &a.name).cmp(&(rank(b.kind), &b.name)));
    entries.truncate(MAX_LISTED);
    Ok(Preview {
        controller: reader.controller.to_string(),
        netbios: reader.facts.netbios.clone(),
        base: reader.facts.base.clone(),
        counts,
        disabled,
        entries,
        warnings,
    })
}

fn rank(kind: &str) -> usize {
    ["user", "group", "contact"].iter().position(|k| *k == kind).unwrap_or(3)
}

fn line(account: &Account, mail_domain: &str) -> PreviewEntry {
    let (kind, own) = match account.kind {
        Kind::User(_) => ("user", format!("{}@{mail_domain}", account.name)),
        Kind::Group(_) => ("group", String::new()),
        Kind::Contact(_) | Kind::Alias(_) => ("contact", String::new()),
    };
    let dn = match &account.origin {
        posthouse_directory::Origin::Mapped { dn, .. } => dn.clone(),
        posthouse_directory::Origin::Local => String::new(),
    };
    PreviewEntry {
        kind,
        name: account.name.clone(),
        display_name: account.display_name.clone(),
        mail: account.addresses.first().cloned().unwrap_or(own),
        dn,
        disabled: account.state != State::Enabled,
    }
}
