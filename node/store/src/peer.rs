//! What the nodes of a cluster ask each other about stores: calls, bodies, change events.
//!
//! Everything is a question with one answer over [`Network`]. What is longer than a frame crosses as a
//! parcel, in parts over the connections for bulk, so that it never delays a small question.

mod client;
mod parcel;
mod wire;

pub(crate) use client::Peers;
pub(crate) use parcel::Parcels;
pub(crate) use wire::{
    BulkAnswer, BulkQuestion, EventsAnswer, EventsQuestion, FRAME, Parcel, StoreAnswer,
    StoreQuestion, decode, encode,
};
