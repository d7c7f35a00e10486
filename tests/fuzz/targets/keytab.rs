//! An uploaded keytab: see [`posthouse_auth::fuzz::keytab`].
#![no_main]

use posthouse_auth::fuzz::{KEYTAB, keytab};

libfuzzer_sys::fuzz_target!(init: posthouse_fuzz::seed([KEYTAB]), |data: &[u8]| keytab(data));
