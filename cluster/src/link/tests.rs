mod identity;
mod rotation;
mod strangers;
pub(crate) mod support;
mod traffic;
mod wire;
