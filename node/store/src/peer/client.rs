//! Asking other nodes.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use posthouse_cluster::{
    Environment, GroupId, NodeId, Timestamp,
    network::{LinkError, Network, Service},
};

use super::{
    BulkAnswer, BulkQuestion, EventsAnswer, EventsQuestion, FRAME, Parcel, StoreAnswer,
    StoreQuestion, decode, encode,
    parcel::{MAX_PARCEL, PART},
};
use crate::{BodyHash, Call};

/// How long one part of a parcel may take.
const PART_PATIENCE: Duration = Duration::from_secs(20);
/// How long another node may take to put a body on disk.
const STAGE_PATIENCE: Duration = Duration::from_secs(15);
/// How often a part whose answer was lost is sent again.
const TRIES: u32 = 3;

/// The other nodes. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Peers {
    network: Arc<dyn Network>,
    env: Environment,
}

/// An answer that makes no sense: the other node runs another program, or is broken.
fn senseless(node: NodeId, what: impl Into<String>) -> LinkError {
    LinkError::Refused(node, what.into())
}

impl Peers {
    pub(crate) fn new(network: Arc<dyn Network>, env: Environment) -> Self {
        Self { network, env }
    }

    /// Whether a node certainly does not answer at the moment.
    pub(crate) fn is_lost(&self, node: NodeId) -> bool {
        self.network.peers().iter().any(|peer| peer.node == node && !peer.reachable)
    }

    /// Asks a node to do a call in a store.
    pub(crate) async fn call(
        &self,
        to: NodeId,
        store: GroupId,
        call: Call,
        patience: Duration,
    ) -> Result<StoreAnswer, LinkError> {
        let question = encode(&StoreQuestion::Call { store, call });
        let mut question = question.map_err(|text| senseless(to, text))?;
        if question.len() > FRAME {
            let parcel = self.send(to, question).await?;
            question = encode(&StoreQuestion::Sent { parcel: parcel.id })
                .map_err(|text| senseless(to, text))?;
        }
        self.ask_store(to, question, patience).await
    }

    /// Asks a node how its replica of a store is doing.
    pub(crate) async fn state(
        &self,
        to: NodeId,
        store: GroupId,
        patience: Duration,
    ) -> Result<StoreAnswer, LinkError> {
        let question = encode(&StoreQuestion::State { store });
        self.ask_store(to, question.map_err(|text| senseless(to, text))?, patience).await
    }

    async fn ask_store(
        &self,
        to: NodeId,
        question: Bytes,
        patience: Duration,
    ) -> Result<StoreAnswer, LinkError> {
        let answer = self.network.ask(to, Service::STORE, question, patience).await?;
        let answer = match decode(&answer) {
            Ok(StoreAnswer::Long(parcel)) => decode(&self.fetch_parcel(to, parcel).await?),
            answer => answer,
        };
        match answer {
            Ok(StoreAnswer::Long(_)) => Err(senseless(to, "a parcel in a parcel")),
            Ok(answer) => Ok(answer),
            // it did something, and what it says cannot be read: as if it were lost
            Err(text) => Err(LinkError::Lost(to, text)),
        }
    }

    /// Waits for the next change events of a store.
    pub(crate) async fn events(
        &self,
        to: NodeId,
        question: &EventsQuestion,
        patience: Duration,
    ) -> Result<EventsAnswer, LinkError> {
        let question = encode(question).map_err(|text| senseless(to, text))?;
        let answer = self.network.ask(to, Service::STORE_EVENTS, question, patience).await?;
        decode(&answer).map_err(|text| senseless(to, text))
    }

    /// Returns when the body is on the other node's disk.
    pub(crate) async fn stage(
        &self,
        to: NodeId,
        store: GroupId,
        (hash, body): (BodyHash, Bytes),
        at: Timestamp,
    ) -> Result<(), LinkError> {
        let question = if body.len() <= PART {
            BulkQuestion::Stage { store, hash, at, bytes: body }
        } else {
            if let BulkAnswer::Stored = self.bulk(to, &BulkQuestion::Has { store, hash }).await? {
                return Ok(());
            }
            let parcel = self.send(to, body).await?.id;
            BulkQuestion::StageSent { store, hash, at, parcel }
        };
        match self.bulk_in(to, &question, STAGE_PATIENCE).await? {
            BulkAnswer::Stored => Ok(()),
            _ => Err(senseless(to, "the body was not stored")),
        }
    }

    /// A body from another node, not yet verified; `None` if it has no sound one.
    pub(crate) async fn fetch(
        &self,
        from: NodeId,
        store: GroupId,
        hash: BodyHash,
    ) -> Result<Option<Bytes>, LinkError> {
        match self.bulk(from, &BulkQuestion::Fetch { store, hash }).await? {
            BulkAnswer::Bytes(bytes) => Ok(Some(bytes)),
            BulkAnswer::Long(parcel) => self.fetch_parcel(from, parcel).await.map(Some),
            BulkAnswer::Missing => Ok(None),
            _ => Err(senseless(from, "no body in the answer")),
        }
    }

    /// Sends bytes in parts.
    async fn send(&self, to: NodeId, bytes: Bytes) -> Result<Parcel, LinkError> {
        let parcel = Parcel { id: self.env.random.u128(), total: bytes.len() as u64 };
        let mut offset = 0;
        let mut stuck = 0;
        while offset < bytes.len() {
            let part = bytes.slice(offset..offset.saturating_add(PART).min(bytes.len()));
            let question = BulkQuestion::Part { parcel, offset: offset as u64, bytes: part };
            let there = match self.bulk(to, &question).await? {
                BulkAnswer::Have(there) => usize::try_from(there).unwrap_or(usize::MAX),
                _ => return Err(senseless(to, "no number in the answer")),
            };
            stuck = if there > offset { 0 } else { stuck + 1 };
            if there > bytes.len() || stuck >= TRIES {
                return Err(senseless(to, "a part was not taken"));
            }
            offset = there;
        }
        Ok(parcel)
    }

    async fn fetch_parcel(&self, from: NodeId, parcel: Parcel) -> Result<Bytes, LinkError> {
        if parcel.total > MAX_PARCEL {
            return Err(senseless(from, "a long answer is too long"));
        }
        let mut bytes: Vec<u8> = Vec::new();
        loop {
            let offset = bytes.len() as u64;
            let question = BulkQuestion::Take { parcel: parcel.id, offset };
            match self.bulk(from, &question).await? {
                BulkAnswer::Bytes(part) if part.is_empty() => break,
                BulkAnswer::Bytes(part) => bytes.extend_from_slice(&part),
                _ => return Err(LinkError::Lost(from, "a long answer was given up".into())),
            }
            if bytes.len() as u64 > parcel.total {
                return Err(senseless(from, "a long answer is longer than announced"));
            }
        }
        if (bytes.len() as u64) < parcel.total {
            return Err(senseless(from, "a long answer is shorter than announced"));
        }
        Ok(bytes.into())
    }

    /// Asks again where the answer was lost: all questions of this kind may be repeated.
    async fn bulk(&self, to: NodeId, question: &BulkQuestion) -> Result<BulkAnswer, LinkError> {
        self.bulk_in(to, question, PART_PATIENCE).await
    }

    async fn bulk_in(
        &self,
        to: NodeId,
        question: &BulkQuestion,
        patience: Duration,
    ) -> Result<BulkAnswer, LinkError> {
        let question = encode(question).map_err(|text| senseless(to, text))?;
        let mut tries = 1;
        loop {
            let asked = self.network.ask(to, Service::BODIES, question.clone(), patience).await;
            match asked {
                Ok(answer) => return decode(&answer).map_err(|text| senseless(to, text)),
                Err(LinkError::Lost(..)) if tries < TRIES && !self.is_lost(to) => tries += 1,
                Err(error) => return Err(error),
            }
        }
    }
}
