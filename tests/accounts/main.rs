//! Accounts and groups end to end: the binary, real lines, real kills.

#[path = "../swarm/support.rs"]
#[allow(unreachable_pub)]
mod support;

mod commands;
mod durable;
mod roles;
mod service;
mod story;
mod terminal;
