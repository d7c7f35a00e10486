//! What the tests of the whole system share.
#![allow(clippy::unwrap_used)]

pub mod lab;
pub mod node;
pub mod relay;
pub mod wire;
