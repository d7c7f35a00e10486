mod code;
mod support;
mod trust;
