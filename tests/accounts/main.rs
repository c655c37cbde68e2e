//! Accounts and groups end to end: the binary, real lines, real kills.

#[path = "../announce/client.rs"]
#[allow(dead_code)]
mod http;
#[path = "../swarm/support.rs"]
#[allow(unreachable_pub)]
mod support;

mod commands;
mod console;
mod crowd;
mod durable;
mod hostile;
mod login;
mod prompt;
mod roles;
mod scale;
mod secrets;
mod service;
mod story;
mod terminal;
