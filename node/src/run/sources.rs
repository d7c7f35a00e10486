//! Reading external directories, and what the API can do with them.

use std::sync::Arc;

use posthouse_cluster::{NodeId, env::BoxFuture};
use posthouse_directory::{SourceId, SourceSpec};
use posthouse_http::{SourceControl, SourcePreview, SourcePreviewEntry, SourceReport};
use posthouse_provisioning::Parts;
use posthouse_sources::{Preview, SourceStatus, Syncer, SyncerOptions, preview};

/// The readers of all sources. Dropped: they stop.
pub(super) struct Sources {
    parts: Parts,
    syncer: Syncer,
}

impl Sources {
    /// Starts reading what the directory lists.
    pub(super) fn start(parts: &Parts) -> Arc<Self> {
        let auth = parts.auth.clone();
        let unseal = move |spec: &SourceSpec| {
            let secret = auth.unseal(SourceSpec::SECRET_CONTEXT, &spec.bind_secret)?;
            String::from_utf8(secret).ok()
        };
        let options = SyncerOptions { node: NodeId(parts.node), unseal: Arc::new(unseal) };
        let syncer = Syncer::start(parts.directory.clone(), options);
        Arc::new(Self { parts: parts.clone(), syncer })
    }

    fn mail_domain(&self, spec: &SourceSpec) -> String {
        let domains = self.parts.directory.domains();
        let domain = domains.iter().find(|domain| domain.id == spec.domain);
        domain.map(|domain| domain.name.clone()).unwrap_or_default()
    }
}

impl SourceControl for Sources {
    fn preview(
        &self,
        spec: SourceSpec,
        password: String,
    ) -> BoxFuture<Result<SourcePreview, String>> {
        let domain = self.mail_domain(&spec);
        Box::pin(async move {
            match preview(&spec, &domain, &password).await {
                Ok(preview) => Ok(shown(preview)),
                Err(error) => Err(format!("{error}. {}", error.remedy())),
            }
        })
    }

    fn sync(&self, id: SourceId) -> BoxFuture<Result<SourceReport, String>> {
        let syncer = self.syncer.clone();
        Box::pin(async move { Ok(report(syncer.sync_now(id).await?)) })
    }

    fn confirm_removals(&self, id: SourceId) -> BoxFuture<Result<SourceReport, String>> {
        let syncer = self.syncer.clone();
        Box::pin(async move { Ok(report(syncer.confirm_removals(id).await?)) })
    }
}

fn report(status: SourceStatus) -> SourceReport {
    let mut notes = status.warnings;
    let mut missing = 0;
    if let Some(withheld) = status.withheld {
        missing = withheld.missing;
        let of = withheld.of;
        notes.push(format!(
            "{missing} of {of} accounts are no longer in the directory; they stay until you confirm it"
        ));
    }
    SourceReport { changed: status.changed, disabled: status.disabled, withheld: missing, notes }
}

fn shown(preview: Preview) -> SourcePreview {
    let count = |kind: &str| preview.counts.get(kind).copied().unwrap_or(0);
    let entry = |entry: &posthouse_sources::PreviewEntry| SourcePreviewEntry {
        kind: entry.kind.to_owned(),
        name: entry.name.clone(),
        display_name: entry.display_name.clone(),
        mail: entry.mail.clone(),
        state: if entry.disabled { "disabled in the directory".to_owned() } else { String::new() },
    };
    SourcePreview {
        controller: preview.controller.clone(),
        users: count("users"),
        groups: count("groups"),
        contacts: count("contacts"),
        sample: preview.entries.iter().take(SourcePreview::SAMPLE).map(entry).collect(),
        warnings: preview.warnings,
    }
}
