//! Passwords of mapped users: the directory that they come from verifies them.

use posthouse_directory::Account;

use crate::{Reason, inner::Inner, password::text::Password};

pub(crate) async fn verify(_: &Inner, _: &Account, _: &Password) -> Result<(), Reason> {
    Err(Reason::DirectoryDown("no controller".to_owned()))
}
