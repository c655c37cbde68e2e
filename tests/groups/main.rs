//! Shares of groups end to end: the binary, real lines, real kills, and members and strangers who speak the wire themselves.

#[path = "../accounts/service.rs"]
#[allow(dead_code)]
mod service;
#[path = "../swarm/support.rs"]
#[allow(unreachable_pub)]
mod support;
#[path = "../accounts/terminal.rs"]
#[allow(dead_code)]
mod terminal;

mod announces;
mod catalogue;
mod changed;
mod eavesdropper;
mod extensions;
mod force;
mod input;
mod interruptions;
mod liar;
mod membership;
mod refusals;
mod scale;
mod team;
mod tour;
mod wire;
