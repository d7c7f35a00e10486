//! Moving mailboxes between two stores, a directory that only knows moves, and a client that never stops.

mod client;
mod crashes;
mod fences;
mod model;
mod running;
mod sizes;
mod world;

use super::*;
use crate::{Mark, MoveId, Standing};
use client::Client;
use world::{Fault, World};
