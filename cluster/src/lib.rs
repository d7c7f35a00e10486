//! How nodes agree. Knows nothing of mail or users.
//!
//! Start at [`Node`]: it owns one durable log that all groups of this node share. A [`Group`] is one
//! Raft group; what it agrees on is a [`StateMachine`]. openraft is an implementation detail of this
//! crate: no type of it is public.
//!
//! Clock, disk, randomness and task spawning are handed in ([`env`]), so that a cluster can be
//! simulated from a seed.
#![forbid(unsafe_code)]

/// Highest level of commands that this program knows. Level 1: what one node could; level 2: the distributed domain; level 3:
/// moves of mailboxes. A kind of command is proposed only once all nodes have agreed on its level.
pub const LEVEL: u32 = 3;

#[cfg(test)]
extern crate self as posthouse_cluster;

#[cfg(test)]
#[path = "../tests/common/mod.rs"]
mod common;

pub mod authority;
mod checkpoint;
pub mod env;
pub mod failpoint;
#[doc(hidden)]
pub mod fuzz;
mod group;
pub mod join;
pub mod link;
mod log;
mod machine;
pub mod network;
mod node;
pub mod placement;
mod raft;
pub mod sim;
pub mod sqlite;
pub mod watch;

pub use env::{Environment, Timestamp};
pub use group::{
    Group, GroupId, GroupSpec, GroupState, GroupStatus, MemberError, MemberStatus, Members,
    ProposeError, SnapshotProgress,
};
pub use machine::{Applied, Command, MachineError, StateMachine};
pub use node::{ForceError, Forced, Node, NodeId, NodeOptions, OpenError};
