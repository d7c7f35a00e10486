//! The keytab: uploaded once, encrypted and replicated by the directory, taken into use by every node.

mod file;
pub(crate) mod parse;
mod store;

pub(crate) use file::KeytabFile;
pub(crate) use parse::{Entry, Keytab};
pub(crate) use store::Keytabs;
