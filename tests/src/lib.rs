//! What the tests of the whole system share.
#![allow(clippy::unwrap_used)]

pub mod checker;
pub mod cluster;
pub mod lab;
pub mod ledger;
pub mod load;
pub mod nemesis;
pub mod netns;
pub mod node;
pub mod relay;
pub mod scorecard;
pub mod wire;
