//! Accounts and groups end to end: the binary, real lines, real kills.

#[path = "../announce/client.rs"]
#[allow(dead_code)]
mod http;
#[path = "../swarm/support.rs"]
#[allow(unreachable_pub)]
mod support;

mod commands;
mod crowd;
mod durable;
mod roles;
mod scale;
mod service;
mod story;
mod terminal;
