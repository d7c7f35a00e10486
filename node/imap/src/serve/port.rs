//! The session's way to the store.

use std::sync::Arc;

use posthouse_cluster::Timestamp;
use posthouse_store::{Request, Response, StoreError};

use super::Context;
use crate::session::Port;

/// Asks whoever leads the store; a new leader is waited for.
pub(crate) struct StorePort(pub(crate) Arc<Context>);

impl Port for StorePort {
    async fn call(&self, request: Request) -> Result<Response, StoreError> {
        self.0.services.stores.request(request).await
    }

    fn now(&self) -> Timestamp {
        self.0.services.env.clock.now()
    }
}
