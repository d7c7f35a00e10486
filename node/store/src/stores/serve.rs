//! Answering other nodes.

use std::sync::{Arc, Weak};

use bytes::Bytes;
use posthouse_cluster::{
    GroupId, NodeId,
    env::BoxFuture,
    network::{Handler, Network, Service},
};

use super::{Inner, PATIENCE, Stores};
use crate::{
    Call, Store, StoreError,
    peer::{BulkAnswer, BulkQuestion, FRAME, StoreAnswer, StoreQuestion, decode, encode},
    store::Miss,
};

/// Answers for one service. It does not keep the stores alive.
struct Door {
    service: Service,
    inner: Weak<Inner>,
}

impl Handler for Door {
    fn handle(&self, from: NodeId, question: Bytes) -> BoxFuture<Result<Bytes, String>> {
        let (service, inner) = (self.service, self.inner.upgrade());
        Box::pin(async move {
            let inner = inner.ok_or("the node is stopping")?;
            let stores = Stores { inner, patience: PATIENCE };
            match service {
                Service::STORE => stores.answer_call(from, &question).await,
                Service::BODIES => stores.answer_bulk(from, &question).await,
                _ => stores.answer_events(&question).await,
            }
        })
    }
}

/// Answers questions of other nodes from now on.
pub(super) fn start(inner: &Arc<Inner>, network: &dyn Network) {
    for service in [Service::STORE, Service::BODIES, Service::STORE_EVENTS] {
        network.serve(service, Arc::new(Door { service, inner: Arc::downgrade(inner) }));
    }
}

impl Stores {
    pub(super) fn here(&self, store: GroupId) -> Result<Store, String> {
        self.store(store).ok_or_else(|| format!("store {} is not on this node", store.0))
    }

    async fn answer_call(&self, from: NodeId, question: &[u8]) -> Result<Bytes, String> {
        let mut question = decode(question)?;
        if let StoreQuestion::Sent { parcel } = question {
            let sent = self.inner.parcels.arrived(from, parcel).ok_or("the parcel is not there")?;
            question = decode(&sent)?;
        }
        let answer = match question {
            StoreQuestion::Call { store, call } => self.do_here(&self.here(store)?, call).await,
            StoreQuestion::State { store } => StoreAnswer::State(self.here(store)?.state()),
            StoreQuestion::Sent { .. } => return Err("a parcel in a parcel".into()),
        };
        let answer = encode(&answer)?;
        if answer.len() <= FRAME {
            return Ok(answer);
        }
        let env = &self.inner.env;
        let (id, now) = (env.random.u128(), env.clock.monotonic());
        let parcel = self.inner.parcels.offer(from, id, answer, now);
        match parcel {
            Ok(parcel) => encode(&StoreAnswer::Long(parcel)),
            Err(text) => encode(&StoreAnswer::Failed(StoreError::Unavailable(text).into())),
        }
    }

    async fn do_here(&self, store: &Store, call: Call) -> StoreAnswer {
        match store.attempt(call).await {
            Ok(response) => StoreAnswer::Done(response),
            Err(Miss::NotLeader(leader)) => StoreAnswer::NotLeader(leader),
            Err(Miss::Failed(error)) => StoreAnswer::Failed(error.into()),
        }
    }

    async fn answer_bulk(&self, from: NodeId, question: &[u8]) -> Result<Bytes, String> {
        let now = self.inner.env.clock.monotonic();
        let parcels = &self.inner.parcels;
        let answer = match decode(question)? {
            BulkQuestion::Part { parcel, offset, bytes } => {
                BulkAnswer::Have(parcels.part(from, parcel, offset, &bytes, now)?)
            }
            BulkQuestion::Take { parcel, offset } => {
                match parcels.take(from, parcel, offset, now) {
                    Some(part) => BulkAnswer::Bytes(part),
                    None => BulkAnswer::Missing,
                }
            }
            BulkQuestion::Stage { store, hash, at, bytes } => {
                let taken = self.here(store)?.take_body(hash, bytes, at).await;
                taken.map(|()| BulkAnswer::Stored).map_err(|error| error.to_string())?
            }
            BulkQuestion::StageSent { store, hash, at, parcel } => {
                match parcels.arrived(from, parcel) {
                    Some(bytes) => {
                        let taken = self.here(store)?.take_body(hash, bytes, at).await;
                        taken.map(|()| BulkAnswer::Stored).map_err(|error| error.to_string())?
                    }
                    None => BulkAnswer::Missing,
                }
            }
            BulkQuestion::Has { store, hash } => match self.here(store)?.has_body(&hash) {
                true => BulkAnswer::Stored,
                false => BulkAnswer::Missing,
            },
            BulkQuestion::Fetch { store, hash } => {
                match self.here(store)?.body_for_peer(hash).await {
                    Some(body) if body.len() <= FRAME => BulkAnswer::Bytes(body),
                    Some(body) => {
                        let id = self.inner.env.random.u128();
                        BulkAnswer::Long(parcels.offer(from, id, body, now)?)
                    }
                    None => BulkAnswer::Missing,
                }
            }
        };
        encode(&answer)
    }
}
