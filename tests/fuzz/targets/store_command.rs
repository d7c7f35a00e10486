//! A command of a store, applied: see [`posthouse_store::fuzz::command`].
#![no_main]

use posthouse_store::fuzz::{command, command_seeds};

libfuzzer_sys::fuzz_target!(init: posthouse_fuzz::seed(command_seeds()), |data: &[u8]| command(data));
