//! Reading external directories, and what the API can do with them.

use std::sync::Arc;

use posthouse_cluster::env::BoxFuture;
use posthouse_directory::{SourceId, SourceSpec};
use posthouse_http::{SourceControl, SourcePreview, SourceReport};
use posthouse_provisioning::Parts;
use tokio_util::sync::CancellationToken;

/// The readers of all sources.
pub(super) struct Sources {
    parts: Parts,
}

impl Sources {
    pub(super) fn start(parts: &Parts, stop: CancellationToken) -> Arc<Self> {
        let _ = stop;
        Arc::new(Self { parts: parts.clone() })
    }
}

impl SourceControl for Sources {
    fn preview(
        &self,
        spec: SourceSpec,
        password: String,
    ) -> BoxFuture<Result<SourcePreview, String>> {
        let _ = (spec, password);
        Box::pin(async { Err("not yet".to_owned()) })
    }

    fn sync(&self, id: SourceId) -> BoxFuture<Result<SourceReport, String>> {
        let _ = id;
        Box::pin(async { Err("not yet".to_owned()) })
    }
}
