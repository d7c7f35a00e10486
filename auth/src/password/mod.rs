//! Passwords: whose it is decides how it is verified.

mod check;
pub(crate) mod ldap;
mod local;
mod mapped;
#[cfg(test)]
mod tests;
pub(crate) mod text;

pub(crate) use check::{Claim, check};
pub(crate) use local::{Cost, Local};
