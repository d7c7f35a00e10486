//! The session's way to the store.

use std::{sync::Arc, time::Duration};

use posthouse_cluster::Timestamp;
use posthouse_store::{Call, Request, RequestId, Response, StoreError};

use super::Context;
use crate::session::Port;

/// A store that is not available is asked so often, with this pause: long enough for a new leader.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_millis(300);

/// Calls with one request id until there is an answer.
pub(crate) struct StorePort(pub(crate) Arc<Context>);

impl Port for StorePort {
    async fn call(&self, request: Request) -> Result<Response, StoreError> {
        let services = &self.0.services;
        let id = RequestId(services.env.random.u128());
        let call = Call { id, at: services.env.clock.now(), request };
        let mut tries = 1;
        loop {
            match services.stores.call(call.clone()).await {
                Err(StoreError::Unavailable(_)) if tries < TRIES => {
                    tries += 1;
                    tokio::time::sleep(PAUSE).await;
                }
                done => return done,
            }
        }
    }

    fn now(&self) -> Timestamp {
        self.0.services.env.clock.now()
    }
}
